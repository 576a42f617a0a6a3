//! SIPp on the other end of what a flow does: called parties that behave in all the ways that called parties do, and callers
//! that use more of the protocol than a plain call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::phone::{Call, Phone};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

/// Longer than anything takes that should come at once, with all of these programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);

/// A party to be called, with its address.
fn called(scenario: &str, setup: &Setup) -> (Sipp, String) {
    let sipp = Sipp::scenario(scenario, setup.address(), "200").longest(Duration::from_secs(30));
    let uri = format!("sip:200@{}", sipp.address());
    (sipp, uri)
}

/// A server whose flow `callout` calls these.
fn calling(setup: Setup, dest: &str, more: &str) -> Callbox {
    let config = format!("auto_ring = false\nconfig = {{ dest = {dest:?}{more} }}");
    setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "go", &flows::example("callout"), &config)
        .start()
}

fn go(server: &Callbox) -> (Phone, Call) {
    let mut phone = server.phone();
    let call = phone.invite("go");
    (phone, call)
}

/// Calls one party of this scenario, lets it run to its end, and expects these lines of the log in this order.
fn call_out(scenario: &str, more: &str, lines: &[&[&str]]) {
    let setup = Setup::new();
    let (sipp, uri) = called(scenario, &setup);
    let sipp = sipp.start();
    let server = calling(setup, &uri, more);
    let _caller = go(&server);
    for parts in lines {
        server.wait_for_log(parts, LONG);
    }
    sipp.finish().assert_all(1);
}

const TALKED: [&[&str]; 5] = [
    &["hold: Ok"],
    &["resume: Ok"],
    &["info: 200 very well"],
    &["digits: Ok"],
    &["we end it: Ok"],
];

#[test]
fn the_called_party_makes_the_offer() {
    let mut lines: Vec<&[&str]> = vec![&["answered with 200"], &["answered their offer"]];
    lines.extend(TALKED);
    call_out("called-late-offer", ", late = \"yes\"", &lines);
}

#[test]
fn early_media_is_acknowledged_where_the_called_party_wants_it() {
    let mut lines: Vec<&[&str]> = vec![
        &["answered with 200"],
        &["progress: 183 with a session, reliable"],
    ];
    lines.extend(TALKED);
    call_out("called-early-media", "", &lines);
}

#[test]
fn a_refused_hold_leaves_the_call_as_it_was() {
    call_out(
        "called-refuses-hold",
        "",
        &[
            &["hold: Err(Rejected", "488"],
            &["resume: Ok"],
            &["info: 200 very well"],
            &["we end it: Ok"],
        ],
    );
}

#[test]
fn a_hold_that_met_another_offer_comes_again() {
    call_out("called-glare", "", &TALKED);
}

/// One leg, four destinations: busy, silent, moved, and at last somebody.
#[test]
fn a_flow_hunts_from_one_to_the_next() {
    let setup = Setup::new();
    let (busy, busy_uri) = called("called-refuses", &setup);
    let (silent, silent_uri) = called("called-never-answers", &setup);
    let (moved, moved_uri) = called("called-redirects", &setup);
    let (last, last_uri) = called("called", &setup);
    let calls = [
        busy.fill("STATUS", 486).start(),
        silent.start(),
        moved.fill("CONTACT", &last_uri).start(),
        last.start(),
    ];
    let server = calling(
        setup,
        &format!("{busy_uri} {silent_uri} {moved_uri} {last_uri}"),
        ", ring = \"2\"",
    );
    let _caller = go(&server);
    for parts in [
        &["not answered: rejected: 486"][..],
        &["not answered: no answer in time"],
        &["progress: 180"],
        &["not answered: rejected: 302"],
        &["answered with 200"],
        &["we end it: Ok"],
    ] {
        server.wait_for_log(parts, LONG);
    }
    for call in calls {
        call.finish().assert_all(1);
    }
}

#[test]
fn a_redirection_is_followed_when_the_flow_says_so() {
    let setup = Setup::new();
    let (moved, moved_uri) = called("called-redirects", &setup);
    let (last, last_uri) = called("called", &setup);
    let calls = [moved.fill("CONTACT", &last_uri).start(), last.start()];
    let server = calling(setup, &moved_uri, ", redirects = \"follow\"");
    let _caller = go(&server);
    server.wait_for_log(&["answered with 200"], LONG);
    server.wait_for_log(&["we end it: Ok"], LONG);
    for call in calls {
        call.finish().assert_all(1);
    }
}

/// The 200 crosses the CANCEL: nobody may be left talking to nobody.
#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    call_out(
        "called-answers-a-cancel",
        ", ring = \"1\"",
        &[&["not answered: no answer in time"]],
    );
}

#[test]
fn a_caller_updates_sends_a_message_and_hangs_up() {
    let server = Setup::new().flow("100", "logbook").start();
    Sipp::scenario("update", server.address(), "100")
        .run()
        .assert_all(1);
    for line in ["held", "resumed", "message hello there", "hung up"] {
        server.wait_for_log(&[&format!("event: {line}")], LONG);
    }
}

#[test]
fn a_caller_without_an_offer_gets_one() {
    let server = Setup::new().flow("100", "hello").start();
    for transport in [Sipp::tcp, |sipp| sipp] {
        let sipp = Sipp::scenario("late-offer", server.address(), "100");
        transport(sipp).run().assert_all(1);
    }
    assert_eq!(server.wait_for_count("the peer ended the call", 2, LONG), 2);
}

#[test]
fn a_caller_that_requires_it_gets_reliable_ringing() {
    let server = Setup::new()
        .tenant_flow("house", "100", &flows::example("ring"), "auto_ring = false")
        .start();
    let counts = Sipp::scenario("reliable", server.address(), "100").run();
    counts.assert_all(1);
    counts.assert_no_retransmission();
    server.wait_for_log(&["flow: the peer", "487"], LONG);
}

/// SIPp computes the digest too, over the body where the challenge says so (Kamailio cannot, but knows SHA-256).
#[test]
fn a_called_party_may_ask_who_calls() {
    for qop in ["auth", "auth-int"] {
        for (password, line) in [
            ("1234", "answered with 200"),
            ("4321", "rejected: 403 Wrong Response"),
        ] {
            let setup = Setup::new();
            let (sipp, uri) = called("called-challenges", &setup);
            let sipp = sipp.fill("QOP", qop).start();
            let login = format!(", username = \"alice\", password = {password:?}");
            let server = calling(setup, &uri, &login);
            let _caller = go(&server);
            server.wait_for_log(&[line], LONG);
            sipp.finish().assert_all(1);
        }
    }
}
