//! Computes without end, in the way that `trick` names. Only fuel can stop it.

use std::hint::black_box;
use std::time::Duration;

use callbox_sdk::{Call, session};

callbox_sdk::flow!(compute);

fn compute(call: Call) {
    let trick = session::config("trick").unwrap_or_default();
    match trick.as_str() {
        // Never long without the host: a budget that every host call fills again would never end.
        "host-calls" => loop {
            black_box(call.state());
        },
        // The dearest answers for the least fuel: the host copies whole bodies and headers into the flow.
        "answers" => loop {
            black_box((call.remote_offer(), call.header("Via"), call.from_uri()));
        },
        // Always within a burst, because it waits in between; so slowly that nobody looks.
        "drip" => loop {
            spin(1 << 18);
            session::sleep(Duration::from_millis(1));
        },
        // One instruction for 16 MiB.
        "bulk" => {
            let mut block = vec![0u8; 16 << 20];
            let mut with = 0u8;
            loop {
                with = with.wrapping_add(1);
                black_box(&mut block).fill(with);
            }
        }
        // One instruction that is a call of the host's allocator.
        "grow" => loop {
            black_box(grow_by_nothing());
        },
        other => panic!("no trick {other:?}"),
    }
}

fn spin(turns: u64) {
    for turn in 0..turns {
        black_box(turn);
    }
}

#[cfg(target_arch = "wasm32")]
fn grow_by_nothing() -> usize {
    std::arch::wasm32::memory_grow(0, 0)
}

#[cfg(not(target_arch = "wasm32"))]
fn grow_by_nothing() -> usize {
    0
}
