//! Hostile flows: the caller gets a defined outcome, the log says why in words, and a second tenant's calls go on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::flows;
use callbox_tests::process;
use callbox_tests::server::{Callbox, Setup};

/// How long a hostile flow may take to be stopped: its whole fuel is about five seconds of CPU, and the machine is shared.
const STOPPED: Duration = Duration::from_secs(60);

fn with_hostile(name: &str) -> Callbox {
    let file = flows::example(name);
    Setup::new()
        .flow("answer", "hello")
        .tenant_flow("umbrella", "hostile", &file, "auto_ring = false\n")
        .start()
}

/// Calls the hostile flow; meanwhile the other tenant's calls are answered. Returns the status that the caller gets.
fn outcome(server: &mut Callbox) -> u16 {
    let mut phone = server.phone();
    let mut hostile = phone.invite("hostile");
    let deadline = Instant::now() + STOPPED;
    loop {
        let begun = Instant::now();
        let mut other = phone.connect("answer");
        phone.hang_up(&mut other);
        let took = begun.elapsed();
        assert!(
            took < Duration::from_millis(500),
            "a call of the other tenant took {took:?}"
        );
        while let Some(message) = phone.receive_of(&hostile, Duration::from_millis(100)) {
            if let Some(status) = message.status().filter(|code| *code >= 200) {
                phone.ack(&mut hostile, &message);
                if status < 300 {
                    phone.expect_bye(&hostile);
                }
                server.assert_alive();
                return status;
            }
        }
        assert!(
            Instant::now() < deadline,
            "the flow was not stopped within {STOPPED:?}"
        );
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let mut server = with_hostile("loop");
    assert_eq!(outcome(&mut server), 500);
    server.wait_for_log(&["umbrella", "fuel"], Duration::from_secs(5));
}

#[test]
fn a_memory_bomb_hits_its_own_limit() {
    let mut server = with_hostile("memory-bomb");
    let before = process::rss_kib(server.pid());
    assert_eq!(outcome(&mut server), 500);
    server.wait_for_log(&["umbrella", "memory"], Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(500));
    let after = process::rss_kib(server.pid());
    assert!(
        after < before + 48 * 1024,
        "64 MiB were taken and must be given back: {before} KiB, {after} KiB"
    );
}

#[test]
fn a_deep_recursion_ends_at_its_stack() {
    let mut server = with_hostile("deep-recursion");
    assert_eq!(outcome(&mut server), 500);
    // A guest's own stack lies in its memory, and which of the two stacks ends first depends on the compiler.
    let log = server.wait_for_log(&["umbrella", "outcome"], Duration::from_secs(5));
    assert!(
        log.contains("stack") || log.contains("out of bounds memory access"),
        "{log}"
    );
}

#[test]
fn a_panic_after_the_answer_hangs_up_and_its_text_is_logged() {
    let mut server = with_hostile("panic");
    assert_eq!(outcome(&mut server), 200);
    server.wait_for_log(
        &["umbrella", "a flow of hostile fell over"],
        Duration::from_secs(5),
    );
}

#[test]
fn a_string_of_50_mb_is_not_copied() {
    let mut server = with_hostile("huge-string");
    let before = process::rss_kib(server.pid());
    assert_eq!(outcome(&mut server), 500);
    let after = process::rss_kib(server.pid());
    assert!(
        after < before + 120 * 1024,
        "50 MB are the guest's, none the host's: {before} KiB, {after} KiB"
    );
    assert!(
        !server.log().contains(&"A".repeat(8_192)),
        "a log line has a bound"
    );
}

#[test]
fn a_million_handles_are_not_given() {
    let mut server = with_hostile("handles");
    assert_eq!(outcome(&mut server), 500);
    server.wait_for_log(&["umbrella", "limit"], Duration::from_secs(5));
}

#[test]
fn a_flood_of_log_lines_is_cut_and_can_forge_nothing() {
    let mut server = with_hostile("log-flood");
    assert_eq!(outcome(&mut server), 500);
    let log = server.log();
    assert!(
        log.len() < 2 << 20,
        "a call's log has a bound, but there are {} bytes",
        log.len()
    );
    assert!(
        !log.contains('\x1b'),
        "no escape sequence of a guest reaches a terminal"
    );
    assert!(
        !log.lines()
            .any(|line| line.starts_with("2026-01-01T00:00:00Z  INFO callbox: all is well")),
        "no guest writes a line of the host's"
    );
}

#[test]
fn a_caller_may_give_up_on_a_flow_that_spins() {
    let file = flows::example("loop");
    let server = Setup::new()
        .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
        .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000)
        .tenant_flow("umbrella", "hostile", &file, "")
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("hostile");
    phone.wait_for(&call, "provisional response", |message| {
        message.status().is_some_and(|code| code < 200)
    });
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    phone.cancel(&call);
    assert_eq!(phone.final_response(&call, "CANCEL").status(), Some(200));
    let response = phone.final_response(&call, "INVITE");
    let took = begun.elapsed();
    assert_eq!(response.status(), Some(487), "{response:?}");
    assert!(took < Duration::from_millis(250), "giving up took {took:?}");
    phone.ack(&mut call, &response);
}

#[test]
fn the_trap_code_is_the_tenants_choice() {
    let file = flows::example("deep-recursion");
    let server = Setup::new()
        .tenant_flow("umbrella", "hostile", &file, "trap_code = 480\n")
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("hostile");
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(480), "{response:?}");
    phone.ack(&mut call, &response);
}

#[test]
fn a_call_has_a_longest_life() {
    let server = Setup::new()
        .limit("limits.plugin", "call_max_s", 1)
        .flow("answer", "hello")
        .start();
    let mut phone = server.phone();
    let begun = Instant::now();
    let call = phone.connect("answer");
    phone.expect_bye(&call);
    let lived = begun.elapsed();
    assert!(
        lived > Duration::from_millis(900) && lived < Duration::from_secs(4),
        "the call lived {lived:?}"
    );
}
