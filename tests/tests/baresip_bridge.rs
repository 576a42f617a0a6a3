//! Two parties and a flow between them: the page's second example of `makecall` with baresip on either end, or on both, and what
//! the parties do once they talk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::baresip::Baresip;
use callbox_tests::flows;
use callbox_tests::kamailio::Setup as Registrar;
use callbox_tests::phone::{Call, Phone};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

/// Longer than anything takes that should come at once, with all of these programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);
/// What a port of baresip looks like: it takes any that is free.
const PORT: &str = "[1-9][0-9]*";

fn party(scenario: &str, setup: &Setup) -> (Sipp, String) {
    let sipp = Sipp::scenario(scenario, setup.address(), "200").longest(Duration::from_secs(30));
    let uri = format!("sip:200@{}", sipp.address());
    (sipp, uri)
}

/// A server with an example of this name and this configuration, that is called as `go`.
fn server(setup: Setup, flow: &str, config: &str) -> Callbox {
    let more = format!("auto_ring = false\nconfig = {{ {config} }}");
    setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "go", &flows::example(flow), &more)
        .start()
}

fn between(setup: Setup, first: &str, second: &str) -> (Callbox, Phone, Call) {
    let server = server(setup, "b2b", &format!("first = {first:?}, second = {second:?}"));
    let mut phone = server.phone();
    let call = phone.invite("go");
    (server, phone, call)
}

#[test]
fn the_first_party_may_be_baresip() {
    let mut desk = Baresip::start("desk");
    let setup = Setup::new();
    let (second, second_uri) = party("delayed-second", &setup);
    let second = second.fill("OFFER", PORT).start();
    let (server, _phone, _call) = between(setup, &desk.uri(), &second_uri);
    desk.wait_for("CALL_ESTABLISHED", "house");
    server.wait_for_log(&["joined"], LONG);
    desk.hang_up();
    second.finish().assert_all(1);
    server.wait_for_log(&["over: the peer ended the call"], LONG);
}

#[test]
fn the_second_party_may_be_baresip() {
    let mut desk = Baresip::start("desk");
    let setup = Setup::new();
    let (first, first_uri) = party("delayed-first", &setup);
    let first = first.fill("ANSWER", PORT).start();
    let (server, _phone, _call) = between(setup, &first_uri, &desk.uri());
    first.finish().assert_all(1);
    desk.wait_for("CALL_CLOSED", "house");
    server.wait_for_log(&["over: the peer ended the call"], LONG);
}

#[test]
fn a_second_party_that_does_not_come_is_no_call_for_the_first() {
    let setup = Setup::new();
    let (first, first_uri) = party("delayed-abandoned", &setup);
    let (second, second_uri) = party("called-refuses", &setup);
    let (first, second) = (first.start(), second.fill("STATUS", 486).start());
    let (server, _phone, _call) = between(setup, &first_uri, &second_uri);
    server.wait_for_log(&["leg2:makecall res = 4"], LONG);
    second.finish().assert_all(1);
    first.finish().assert_all(1);
}

/// As on the page: both are numbers at one proxy. They hear each other, hold each other, and the second hangs up.
#[test]
fn two_baresips_behind_a_proxy_hear_and_hold_each_other() {
    let kamailio = Registrar::new()
        .user("24001", "1234")
        .user("6095", "5678")
        .start();
    let mut first = Baresip::registered("24001", "1234", kamailio.address());
    let mut second = Baresip::registered("6095", "5678", kamailio.address());
    kamailio.wait_for_contacts("24001", 1, LONG);
    kamailio.wait_for_contacts("6095", 1, LONG);
    let (server, _phone, _call) = between(Setup::new(), &kamailio.uri("24001"), &kamailio.uri("6095"));
    first.wait_for("CALL_ESTABLISHED", "house");
    second.wait_for("CALL_ESTABLISHED", "house");
    server.wait_for_log(&["joined"], LONG);
    first.wait_for_sound();
    second.wait_for_sound();

    first.hold();
    second.wait_for_log("a=sendonly");
    first.resume();
    second.hang_up();
    first.wait_for("CALL_CLOSED", "house");
    server.wait_for_log(&["over:"], LONG);
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}

/// The example `bridge`: who calls is connected, and the host relays.
#[test]
fn baresip_is_connected_with_baresip() {
    let (mut desk, mut kitchen) = (Baresip::start("desk"), Baresip::start("kitchen"));
    let server = server(Setup::new(), "bridge", &format!("dest = {:?}", kitchen.uri()));
    desk.dial(&format!("sip:go@{}", server.address()));
    desk.wait_for("CALL_ESTABLISHED", "go");
    kitchen.wait_for("CALL_ESTABLISHED", "house");
    server.wait_for_log(&["joined"], LONG);
    desk.wait_for_sound();
    kitchen.wait_for_sound();
    kitchen.hold();
    desk.wait_for_log("a=sendonly");
    kitchen.resume();
    desk.hang_up();
    kitchen.wait_for("CALL_CLOSED", "house");
    server.wait_for_log(&["hung up:"], LONG);
}
