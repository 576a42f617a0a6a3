//! Never ends and never calls the host: only fuel can stop it.

use std::hint::black_box;

use callbox_sdk::Call;

callbox_sdk::flow!(spin);

fn spin(_call: Call) {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
