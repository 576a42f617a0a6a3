//! Opens a million handles and closes none: legs first, then options.

use callbox_sdk::{Call, wit::callbox::flow::sipcall::MakeCallOptions};

callbox_sdk::flow!(hoard);

fn hoard(_call: Call) {
    for _ in 0..500_000 {
        std::mem::forget(MakeCallOptions::new());
        std::mem::forget(Call::new());
    }
}
