//! A flow asks its caller to call somebody else: the REFER on the wire, and what the caller's answers make of the call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::{Call, Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

fn desk(to: &str, more: &str, allowed: &[&str]) -> Callbox {
    let config = format!("config = {{ to = {to:?}{more} }}");
    Setup::new()
        .dial("house", allowed)
        .tenant_flow("house", "desk", &flows::example("transfer"), &config)
        .start()
}

/// Calls, and receives the REFER that follows.
fn referred(server: &Callbox) -> (Phone, Call, Message) {
    let mut phone = server.phone();
    let call = phone.connect("desk");
    let refer = phone.request(&call, "REFER");
    (phone, call, refer)
}

fn report(phone: &mut Phone, call: &mut Call, status: &str, state: &str) {
    let extra = format!("message/sipfrag;version=2.0\r\nEvent: refer\r\nSubscription-State: {state}");
    phone.send_in_dialog(call, "NOTIFY", &extra, &format!("SIP/2.0 {status}\r\n"));
    assert_eq!(phone.final_response(call, "NOTIFY").status(), Some(200));
}

#[test]
fn the_caller_is_referred_and_let_go() {
    let server = desk("sip:6000@127.0.0.9", "", &["127.0.0.9"]);
    let (mut phone, call, refer) = referred(&server);
    assert_eq!(refer.header("Refer-To"), "<sip:6000@127.0.0.9>");
    phone.respond(&refer, "202 Accepted");
    phone.expect_bye(&call);
    server.wait_for_log(&["transferred to sip:6000@127.0.0.9"], SOON);
}

#[test]
fn a_caller_that_declines_stays_with_the_flow() {
    let server = desk("sip:6000@127.0.0.9", "", &["127.0.0.9"]);
    let (mut phone, call, refer) = referred(&server);
    phone.respond(&refer, "603 Decline");
    server.wait_for_log(&["not transferred: 603 Decline"], SOON);
    phone.expect_bye(&call);
}

#[test]
fn the_flow_may_wait_for_the_outcome() {
    let server = desk("sip:6000@127.0.0.9", ", wait = \"outcome\"", &["127.0.0.9"]);
    let (mut phone, mut call, refer) = referred(&server);
    phone.respond(&refer, "202 Accepted");
    report(&mut phone, &mut call, "100 Trying", "active;expires=60");
    report(&mut phone, &mut call, "180 Ringing", "active;expires=60");
    report(&mut phone, &mut call, "200 OK", "terminated;reason=noresource");
    phone.expect_bye(&call);
    server.wait_for_log(&["transferred to", "200"], SOON);

    let (mut phone, mut call, refer) = referred(&server);
    phone.respond(&refer, "202 Accepted");
    report(
        &mut phone,
        &mut call,
        "486 Busy Here",
        "terminated;reason=noresource",
    );
    server.wait_for_log(&["not transferred: 486 Busy Here"], SOON);
    phone.expect_bye(&call);
}

#[test]
fn nobody_is_referred_to_where_the_tenant_may_not_call() {
    let server = desk("sip:0900@premium.example", "", &["127.0.0.9"]);
    let mut phone = server.phone();
    let call = phone.connect("desk");
    phone.expect_bye(&call);
    server.wait_for_log(&["desk", "denied"], SOON);
}
