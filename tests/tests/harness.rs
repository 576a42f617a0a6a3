//! The harness against a server that is not callbox: what it counts must be true of SIPp's own answering machine too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use callbox_tests::net;
use callbox_tests::phone::Phone;
use callbox_tests::process::{self, Running};
use callbox_tests::sipp::Sipp;

fn answering_machine() -> (Running, SocketAddr) {
    let address = SocketAddr::new(net::fresh_ipv4().into(), 5060);
    let own = address.ip().to_string();
    let mut command = Command::new("sipp");
    command.args([
        "-sn", "uas", "-i", &own, "-mi", &own, "-ci", &own, "-p", "5060", "-nostdin",
    ]);
    command
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running::start(&mut command).expect("SIPp starts");
    let mut phone = Phone::udp(address);
    let call = phone.new_call("ping");
    let there = (0..50).any(|_| {
        phone.send(&call.invite);
        phone.receive_of(&call, Duration::from_millis(100)).is_some()
    });
    assert!(there, "SIPp does not answer");
    (running, address)
}

#[test]
fn calls_that_go_right_are_counted_as_such() {
    let (server, address) = answering_machine();
    let counts = Sipp::scenario("answer", address, "answer")
        .fill("HOLD_MS", 10)
        .load(50, 100)
        .run();
    counts.assert_all(50);
    counts.assert_no_retransmission();
    assert!(process::rss_kib(server.pid()) > 100 && process::threads(server.pid()) > 0);

    let mut phone = Phone::udp(address);
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
}

#[test]
fn calls_that_go_wrong_are_counted_as_such() {
    let (_server, address) = answering_machine();
    // It answers; the scenario wants 486.
    let counts = Sipp::scenario("rejected", address, "busy")
        .fill("STATUS", 486)
        .load(3, 10)
        .run();
    assert_eq!((counts.successful, counts.failed), (0, 3), "{counts:#?}");
    assert!(
        counts.errors.contains("200"),
        "the reason is kept: {}",
        counts.errors
    );
}

#[test]
fn a_copy_of_a_response_is_counted() {
    let (_server, address) = answering_machine();
    // A caller that waits 1.2 s before its ACK gets the 200 again after 500 ms.
    let late = Sipp::scenario("late-ack", address, "answer").run();
    late.assert_all(1);
    assert!(late.received_again >= 1, "{late:#?}");
}
