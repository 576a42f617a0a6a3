//! 486 Busy Here to everybody.

use callbox_sdk::{Call, Result};

callbox_sdk::flow!(busy);

fn busy(call: Call) -> Result {
    call.reject(486)
}
