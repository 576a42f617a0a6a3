//! Many calls at once. One test at a time: each wants the whole machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::process;
use callbox_tests::server::Setup;
use callbox_tests::sipp::Sipp;

fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_thousand_calls_at_a_hundred_a_second() {
    let _alone = alone();
    let server = Setup::new().flow("answer", "hello").start();
    for tcp in [false, true] {
        let sipp = Sipp::scenario("answer", server.address(), "answer")
            .fill("HOLD_MS", 500)
            .load(1_000, 100);
        let counts = if tcp { sipp.tcp() } else { sipp }.run();
        counts.assert_all(1_000);
        counts.assert_no_retransmission();
    }
}

#[test]
fn sixty_four_endless_loops_delay_nobody_elses_calls() {
    let _alone = alone();
    let file = flows::example("loop");
    // Enough fuel that they spin for as long as the other calls last, however fast the machine.
    let mut server = Setup::new()
        // They shall all spin, and not be spared for it.
        .limit("limits.versions", "breaker_traps", 0)
        .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
        .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000)
        .flow("answer", "hello")
        .tenant_flow("umbrella", "loop", &file, "")
        .start();
    let mut phone = server.phone();
    let mut spinning: Vec<_> = (0..64).map(|_| phone.invite("loop")).collect();
    for call in &spinning {
        phone.wait_for(call, "provisional response", |message| {
            message.status().is_some_and(|code| code < 200)
        });
    }
    let before = process::cpu_time(server.pid());
    let counts = Sipp::scenario("answer", server.address(), "answer")
        .fill("HOLD_MS", 200)
        .load(1_000, 100)
        .run();
    let burnt = process::cpu_time(server.pid()) - before;
    assert!(
        burnt > Duration::from_secs(2),
        "the loops did not spin ({burnt:?} of CPU): this test tests nothing"
    );
    counts.assert_all(1_000);
    counts.assert_no_retransmission();
    for call in &mut spinning {
        phone.cancel(call);
        let response = phone.final_response(call, "INVITE");
        assert_eq!(response.status(), Some(487), "{response:?}");
        phone.ack(call, &response);
    }
    server.assert_alive();
}

#[test]
fn calls_leave_nothing_behind() {
    let _alone = alone();
    let server = Setup::new().flow("answer", "hello").start();
    let wave = || {
        let sipp = Sipp::scenario("answer", server.address(), "answer")
            .fill("HOLD_MS", 0)
            .load(2_000, 400);
        sipp.run().assert_all(2_000);
        // Timer J keeps ended transactions for 32 s on UDP: what is measured is that they do not add up.
        (process::rss_kib(server.pid()), process::descriptors(server.pid()))
    };
    wave();
    let (first, descriptors) = wave();
    std::thread::sleep(Duration::from_secs(33));
    let (second, descriptors_then) = wave();
    assert!(
        second < first + 16 * 1024,
        "memory grew from {first} to {second} KiB over 2 000 calls"
    );
    assert_eq!(descriptors, descriptors_then, "descriptors are left behind");
}
