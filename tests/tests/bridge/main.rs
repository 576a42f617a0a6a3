//! The built program between two peers: flows that join a caller with somebody else, with raw sockets and with SIPp on both
//! ends. What the bridge itself does in every case is `host/tests/bridge`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(unreachable_pub, reason = "modules of one test")]

mod end;

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;
use end::{End, sdp};

/// Longer than anything takes that should come at once, with all of these programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);

/// A server whose flow `bridge` calls Bob, and Bob.
fn house() -> (Callbox, End) {
    let setup = Setup::new();
    let bob = End::new(setup.address());
    let config = format!("config = {{ dest = \"sip:bob@{}\" }}", bob.address());
    let server = setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "desk", &flows::example("bridge"), &config)
        .start();
    (server, bob)
}

/// Alice calls, Bob answers, and they are joined.
fn joined() -> (Callbox, End, End) {
    let (server, mut bob) = house();
    let mut alice = End::new(server.address());
    let (hers, his) = (sdp(4_000, "sendrecv"), sdp(5_000, "sendrecv"));
    alice.call("desk", &hers);
    let invite = bob.called();
    assert_eq!(invite.body(), hers);
    bob.respond(&invite, "180 Ringing", "");
    bob.respond(&invite, "200 OK", &his);
    bob.request("ACK");
    let answer = alice.connected();
    assert_eq!(answer.body(), his);
    server.wait_for_log(&["joined"], LONG);
    (server, alice, bob)
}

/// Nobody is left, on either side: the server has nothing to wait for when it is told to stop.
fn nothing_left(mut server: Callbox) {
    assert_eq!(server.stop(LONG), Some(0), "{}", server.log());
    assert!(!server.log().contains("stopped before every call was ended"));
}

#[test]
fn what_one_says_the_other_hears() {
    let (server, mut alice, mut bob) = joined();
    // A new session from Alice, then from Bob; hold and resume are no different.
    for (port, direction, answer) in [
        (4_002, "sendrecv", "sendrecv"),
        (4_002, "sendonly", "recvonly"),
        (4_002, "sendrecv", "sendrecv"),
    ] {
        renegotiate(&mut alice, &mut bob, "INVITE", (port, direction), answer);
    }
    renegotiate(&mut bob, &mut alice, "INVITE", (5_002, "inactive"), "inactive");
    renegotiate(&mut bob, &mut alice, "UPDATE", (5_004, "sendrecv"), "sendrecv");
    renegotiate(&mut alice, &mut bob, "UPDATE", (4_004, "sendrecv"), "sendrecv");

    let refused = alice.send("INVITE", "application/sdp", &sdp(4_006, "sendrecv"));
    let invite = bob.request("INVITE");
    bob.respond(&invite, "488 Not Acceptable Here", "");
    bob.request("ACK");
    assert_eq!(alice.response(&refused).status(), Some(488));

    alice.press('5');
    assert_eq!(bob.info(), "Signal=5\r\nDuration=160\r\n");
    bob.press('#');
    assert_eq!(alice.info(), "Signal=#\r\nDuration=160\r\n");
    alice.hang_up();
    bob.expect_bye();
    server.wait_for_log(&["hung up"], LONG);
    nothing_left(server);
}

/// One end offers, the other answers.
fn renegotiate(from: &mut End, to: &mut End, method: &str, offer: (u16, &str), answer: &str) {
    let (offer, answer) = (sdp(offer.0, offer.1), sdp(7_000, answer));
    let sent = from.send(method, "application/sdp", &offer);
    let request = to.request(method);
    assert_eq!(request.body(), offer);
    to.respond(&request, "200 OK", &answer);
    if method == "INVITE" {
        to.request("ACK");
    }
    let response = from.response(&sent);
    assert_eq!((response.status(), response.body()), (Some(200), answer.as_str()));
    if method == "INVITE" {
        from.ack(&response, "");
    }
}

#[test]
fn the_called_party_may_hang_up_too() {
    let (server, mut alice, mut bob) = joined();
    bob.hang_up();
    alice.expect_bye();
    nothing_left(server);
}

#[test]
fn a_feature_code_parts_and_joins_them() {
    let (server, mut alice, mut bob) = joined();
    alice.press('1');
    assert!(bob.info().contains("Signal=1"));
    alice.press('*');
    alice.press('*');
    // The other is held, and hears nothing more.
    let hold = bob.request("INVITE");
    assert!(hold.body().contains("a=sendonly"), "{hold:?}");
    bob.respond(&hold, "200 OK", &sdp(5_000, "recvonly"));
    bob.request("ACK");
    server.wait_for_log(&["parted by call 1"], LONG);
    alice.press('2');
    bob.silent();
    bob.press('*');
    bob.press('*');
    // Joined anew: Alice is asked for an offer, Bob gets it, and his answer goes back.
    let (offer, answer) = (sdp(4_008, "sendrecv"), sdp(5_008, "sendrecv"));
    let asked = alice.request("INVITE");
    assert_eq!(asked.body(), "");
    alice.respond(&asked, "200 OK", &offer);
    let invite = bob.request("INVITE");
    assert_eq!(invite.body(), offer);
    bob.respond(&invite, "200 OK", &answer);
    bob.request("ACK");
    assert_eq!(alice.request("ACK").body(), answer);
    assert_eq!(server.wait_for_count("joined", 2, LONG), 2);
    bob.press('3');
    assert!(alice.info().contains("Signal=3"));
    alice.hang_up();
    bob.expect_bye();
    nothing_left(server);
}

#[test]
fn a_caller_without_an_offer_gets_the_called_partys() {
    let (server, mut bob) = house();
    let mut alice = End::new(server.address());
    alice.call("desk", "");
    let invite = bob.called();
    assert_eq!(invite.body(), "");
    let (offer, answer) = (sdp(5_000, "sendrecv"), sdp(4_000, "sendrecv"));
    bob.respond(&invite, "200 OK", &offer);
    let response = alice.final_response("INVITE");
    assert_eq!(response.body(), offer);
    alice.ack(&response, &answer);
    assert_eq!(bob.request("ACK").body(), answer);
    server.wait_for_log(&["joined"], LONG);
    alice.silent();
    // And so within the call.
    let sent = alice.send("INVITE", "", "");
    let asked = bob.request("INVITE");
    bob.respond(&asked, "200 OK", &offer);
    let response = alice.response(&sent);
    assert_eq!(response.body(), offer);
    alice.ack(&response, &answer);
    assert_eq!(bob.request("ACK").body(), answer);
    bob.hang_up();
    alice.expect_bye();
    nothing_left(server);
}

#[test]
fn a_refusal_reaches_the_caller_and_a_caller_who_gives_up_the_called_party() {
    let (server, mut bob) = house();
    let mut alice = End::new(server.address());
    alice.call("desk", &sdp(4_000, "sendrecv"));
    let invite = bob.called();
    bob.respond(&invite, "486 Busy Here", "");
    bob.request("ACK");
    assert_eq!(alice.final_response("INVITE").status(), Some(486));

    let mut carol = End::new(server.address());
    let mine = carol.call("desk", &sdp(4_000, "sendrecv"));
    let invite = bob.called();
    bob.respond(&invite, "180 Ringing", "");
    carol.provisional(180);
    carol.cancel(&mine);
    assert_eq!(carol.final_response("INVITE").status(), Some(487));
    let cancel = bob.request("CANCEL");
    bob.respond(&cancel, "200 OK", "");
    bob.respond(&invite, "487 Request Terminated", "");
    bob.request("ACK");
    nothing_left(server);
}

/// The page's second example of `makecall`, between two raw ends: every body where it belongs.
#[test]
fn the_pages_proxy_chains_a_delayed_offer() {
    let setup = Setup::new();
    let (mut first, mut second) = (End::new(setup.address()), End::new(setup.address()));
    let server = b2b(setup, &first.address().to_string(), &second.address().to_string());
    let mut starter = End::new(server.address());
    starter.call("go", &sdp(9_000, "sendrecv"));
    let (offer, answer) = (sdp(6_100, "sendrecv"), sdp(6_200, "sendrecv"));
    let invite = first.called();
    assert_eq!(invite.body(), "");
    first.respond(&invite, "200 OK", &offer);
    let invite = second.called();
    assert_eq!(invite.body(), offer);
    second.respond(&invite, "200 OK", &answer);
    second.request("ACK");
    assert_eq!(first.request("ACK").body(), answer);
    server.wait_for_log(&["joined"], LONG);
    first.silent();
    second.silent();
    renegotiate(&mut second, &mut first, "INVITE", (6_200, "sendonly"), "recvonly");
    first.hang_up();
    second.expect_bye();
    server.wait_for_log(&["over: the peer"], LONG);
    nothing_left(server);
}

fn b2b(setup: Setup, first: &str, second: &str) -> Callbox {
    let config = format!("config = {{ first = \"sip:1@{first}\", second = \"sip:2@{second}\" }}");
    setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "go", &flows::example("b2b"), &config)
        .start()
}

/// The same between two SIPps, which also hold, resume and send a digit.
#[test]
fn sipp_talks_to_sipp_through_the_pages_proxy() {
    let setup = Setup::new();
    let party = |scenario| Sipp::scenario(scenario, setup.address(), "0").longest(Duration::from_secs(30));
    let (first, second) = (party("b2b-first"), party("b2b-second"));
    let ends = (first.address().to_string(), second.address().to_string());
    let (first, second) = (first.start(), second.start());
    let server = b2b(setup, &ends.0, &ends.1);
    let mut starter = server.phone();
    starter.invite("go");
    server.wait_for_log(&["joined"], LONG);
    server.wait_for_log(&["over:"], LONG);
    first.finish().assert_all(1);
    second.finish().assert_all(1);
    nothing_left(server);
}

/// Some hundred calls at once between SIPps: each is joined, holds, resumes, sends a digit and ends, and nothing is left.
#[test]
fn hundreds_of_bridged_calls_leave_nothing() {
    const CALLS: u32 = 300;
    let setup = Setup::new();
    let called = Sipp::scenario("bridged-callee", setup.address(), "0")
        .load(CALLS, 100)
        .longest(Duration::from_secs(120));
    let config = format!("config = {{ dest = \"sip:bob@{}\" }}", called.address());
    let called = called.start();
    let server = setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "desk", &flows::example("bridge"), &config)
        .start();
    let callers = Sipp::scenario("bridged-caller", server.address(), "desk")
        .load(CALLS, 50)
        .longest(Duration::from_secs(120));
    callers.run().assert_all(CALLS);
    called.finish().assert_all(CALLS);
    nothing_left(server);
}
