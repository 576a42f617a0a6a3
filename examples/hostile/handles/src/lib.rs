//! Opens a million handles and closes none.

use callbox_sdk::{Call, wit::callbox::flow::sipcall::MakeCallOptions};

callbox_sdk::flow!(hoard);

fn hoard(_call: Call) {
    for _ in 0..1_000_000 {
        std::mem::forget(MakeCallOptions::new());
    }
}
