//! Takes memory, one megabyte at a time, and touches all of it.

use std::hint::black_box;

use callbox_sdk::Call;

callbox_sdk::flow!(grow);

fn grow(_call: Call) {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
}
