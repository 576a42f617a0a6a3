//! Calls with baresip: a telephone that nobody here wrote, on either end.

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

/// Longer than anything takes that should come at once, with all of these programs on a busy machine.
const LONG: Duration = Duration::from_secs(15);

/// A server with an example of this name, on a number of this name, and this configuration.
fn server(flow: &str, config: &str) -> Callbox {
    with(Setup::new().dial("house", &["127.0.0.0/8"]), flow, config).start()
}

fn with(setup: Setup, flow: &str, config: &str) -> Setup {
    let more = match config.is_empty() {
        true => String::new(),
        false => format!("config = {{ {config} }}"),
    };
    setup.tenant_flow("house", flow, &flows::example(flow), &more)
}

fn at(user: &str, server: &Callbox) -> String {
    format!("sip:{user}@{}", server.address())
}

/// Starts a flow by a call that is left alone.
fn go(server: &Callbox, number: &str) -> (Phone, Call) {
    let mut phone = server.phone();
    let call = phone.invite(number);
    (phone, call)
}

#[test]
fn baresip_calls_a_flow_and_hangs_up() {
    let server = server("hello", "");
    let mut desk = Baresip::start("desk");
    for uri in [
        at("hello", &server),
        format!("{};transport=tcp", at("hello", &server)),
    ] {
        desk.dial(&uri);
        desk.wait_for("CALL_RINGING", "hello");
        desk.wait_for("CALL_ESTABLISHED", "hello");
        let ended = server.log().matches("the peer ended the call").count();
        desk.hang_up();
        assert_eq!(
            server.wait_for_count("the peer ended the call", ended + 1, LONG),
            ended + 1
        );
    }
    assert_eq!(server.log().matches("desk is talking to hello").count(), 2);
}

#[test]
fn baresip_gives_up_before_the_answer() {
    let server = server("ring", "");
    let mut desk = Baresip::start("desk");
    desk.dial(&at("ring", &server));
    desk.wait_for("CALL_RINGING", "ring");
    desk.hang_up();
    server.wait_for_log(&["flow: the peer", "487"], LONG);
}

#[test]
fn baresip_holds_and_resumes() {
    let server = server("logbook", "");
    let mut desk = Baresip::start("desk");
    desk.dial(&at("logbook", &server));
    desk.wait_for("CALL_ESTABLISHED", "logbook");
    desk.hold();
    server.wait_for_log(&["event: held"], LONG);
    desk.resume();
    server.wait_for_log(&["event: resumed"], LONG);
    desk.hang_up();
    server.wait_for_log(&["event: hung up"], LONG);
}

#[test]
fn a_flow_calls_baresip_holds_it_sends_digits_and_hangs_up() {
    let mut desk = Baresip::start("desk");
    let server = server("callout", &format!("dest = {:?}", desk.uri()));
    let _caller = go(&server, "callout");
    desk.wait_for("CALL_ESTABLISHED", "house");
    for line in ["answered with 200", "hold: Ok", "resume: Ok"] {
        server.wait_for_log(&[line], LONG);
    }
    // baresip knows no INFO but those with digits.
    server.wait_for_log(&["info: 488"], LONG);
    desk.wait_for("CALL_CLOSED", "house");
    for key in ['1', '#'] {
        desk.wait_for_log(&format!("received DTMF: '{key}'"));
    }
    server.wait_for_log(&["we end it: Ok"], LONG);
}

#[test]
fn baresip_hangs_up_on_a_flow_that_called_it() {
    let mut desk = Baresip::start("desk");
    let server = server("callout", &format!("dest = {:?}, stay = \"15000\"", desk.uri()));
    let _caller = go(&server, "callout");
    server.wait_for_log(&["digits: Ok"], LONG);
    desk.hang_up();
    server.wait_for_log(&["they ended it: the peer ended the call"], LONG);
}

#[test]
fn baresip_declines_a_call() {
    let mut desk = Baresip::with("desk", "answermode=manual");
    let server = server("callout", &format!("dest = {:?}", desk.uri()));
    let _caller = go(&server, "callout");
    desk.wait_for("CALL_INCOMING", "house");
    desk.hang_up();
    server.wait_for_log(&["not answered: rejected: 486"], LONG);
}

#[test]
fn a_flow_transfers_baresip_to_another_and_hears_that_it_worked() {
    let (mut desk, mut kitchen) = (Baresip::start("desk"), Baresip::start("kitchen"));
    let server = server(
        "transfer",
        &format!("to = {:?}, wait = \"outcome\"", kitchen.uri()),
    );
    desk.dial(&at("transfer", &server));
    desk.wait_for("TRANSFER", "kitchen");
    desk.wait_for("CALL_ESTABLISHED", "kitchen");
    kitchen.wait_for("CALL_ESTABLISHED", "desk");
    server.wait_for_log(&["transferred to", "code: 202", "code: 200"], LONG);
    // The flow has hung up; the two talk on.
    desk.wait_for("CALL_CLOSED", "transfer");
    assert!(desk.calls().contains("kitchen"));
    desk.wait_for_sound();
    desk.hang_up();
    kitchen.wait_for("CALL_CLOSED", "desk");
}

#[test]
fn a_flow_transfers_baresip_and_hears_that_it_did_not_work() {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]).flow("busy", "busy");
    let busy = format!("sip:busy@{}", setup.address());
    let server = with(setup, "transfer", &format!("to = {busy:?}, wait = \"outcome\"")).start();
    let mut desk = Baresip::start("desk");
    desk.dial(&at("transfer", &server));
    desk.wait_for("TRANSFER", "busy");
    server.wait_for_log(&["not transferred: 486"], LONG);
    desk.wait_for("CALL_CLOSED", "transfer");
}

#[test]
fn baresip_refers_a_flow_that_declines() {
    let server = server("logbook", "");
    let mut desk = Baresip::start("desk");
    desk.dial(&at("logbook", &server));
    desk.wait_for("CALL_ESTABLISHED", "logbook");
    desk.transfer("sip:kitchen@127.0.0.1");
    desk.wait_for("TRANSFER_FAILED", "603");
    server.wait_for_log(&["event: referred to sip:kitchen@127.0.0.1"], LONG);
}

#[test]
fn baresip_refers_a_flow_that_follows() {
    let server = server("logbook", "follow = \"yes\"");
    let (mut desk, mut kitchen) = (Baresip::start("desk"), Baresip::start("kitchen"));
    desk.dial(&at("logbook", &server));
    desk.wait_for("CALL_ESTABLISHED", "logbook");
    desk.transfer(&kitchen.uri());
    kitchen.wait_for("CALL_ESTABLISHED", "house");
    server.wait_for_log(&["the other answered with 200"], LONG);
    // baresip hangs up when it hears of the 200.
    desk.wait_for("CALL_CLOSED", "logbook");
    server.wait_for_log(&["event: hung up"], LONG);
    kitchen.hang_up();
    server.wait_for_log(&["the other call: Ok"], LONG);
}

/// All three together: both ends are registered, and neither knows where the other is.
#[test]
fn a_registered_baresip_and_a_registered_flow_call_each_other_by_name() {
    let kamailio = Registrar::new().user("alice", "1234").user("bob", "5678").start();
    let setup = Setup::new()
        .dial("house", &["127.0.0.0/8"])
        .flow("alice", "hello");
    let (registrar, dest) = (kamailio.uri("alice"), kamailio.uri("bob"));
    let login = "username = \"alice\", password = \"1234\"";
    let setup = with(setup, "extension", &format!("registrar = {registrar:?}, {login}"));
    let server = with(setup, "callout", &format!("dest = {dest:?}, {login}")).start();
    let mut bob = Baresip::registered("bob", "5678", kamailio.address());
    kamailio.wait_for_contacts("bob", 1, LONG);
    let _extension = go(&server, "extension");
    kamailio.wait_for_contacts("alice", 1, LONG);

    bob.dial(&kamailio.uri("alice"));
    bob.wait_for("CALL_ESTABLISHED", "alice");
    server.wait_for_log(&["bob is talking to alice"], LONG);
    bob.hang_up();
    server.wait_for_log(&["the peer ended the call"], LONG);

    let _callout = go(&server, "callout");
    bob.wait_for("CALL_ESTABLISHED", "house");
    server.wait_for_log(&["we end it: Ok"], LONG);
    bob.wait_for("CALL_CLOSED", "house");
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}
