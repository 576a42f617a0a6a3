//! Calls itself without end. Each turn keeps a little on the stack, so that no optimiser makes a loop of it.

use std::hint::black_box;

use callbox_sdk::Call;

callbox_sdk::flow!(dive);

fn dive(_call: Call) {
    black_box(deeper(1));
}

#[allow(unconditional_recursion)]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let weight = black_box([depth; 4]);
    black_box(deeper(depth.wrapping_add(1))).wrapping_add(weight[0])
}
