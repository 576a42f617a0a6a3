//! What a caller's phone asks in a call, and a flow that decides: new sessions, calls to somebody else, another phone in its place.
//! The flow is `examples/reception`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::{Call, OFFER, Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

fn desk(config: &str) -> Setup {
    let config = format!("config = {{ {config} }}");
    Setup::new().dial("house", &["127.0.0.0/8"]).tenant_flow(
        "house",
        "desk",
        &flows::example("reception"),
        &config,
    )
}

/// Asks for a new session and gives the final answer, acknowledged.
fn reoffer(phone: &mut Phone, call: &mut Call, method: &str, offer: &str) -> Message {
    phone.ask(call, method, "", offer);
    let response = phone.final_response(call, method);
    if method == "INVITE" {
        phone.ack_again(call, &response);
    }
    response
}

/// The call is up.
fn unharmed(phone: &mut Phone, call: &mut Call) {
    phone.ask(call, "OPTIONS", "", "");
    assert_eq!(phone.final_response(call, "OPTIONS").status(), Some(200));
}

/// The next report on a referral, answered: what it says, and whether more will come.
fn report(phone: &mut Phone, call: &Call) -> (String, bool) {
    let notify = phone.request(call, "NOTIFY");
    phone.respond(&notify, "200 OK");
    let last = notify.header("Subscription-State").starts_with("terminated");
    (notify.body().trim_end().to_owned(), last)
}

fn refer(phone: &mut Phone, call: &mut Call, to: &str) -> Option<u16> {
    let lines = format!("Refer-To: <{to}>\r\nReferred-By: <sip:boss@example.com>\r\n");
    phone.ask(call, "REFER", &lines, "");
    phone.final_response(call, "REFER").status()
}

#[test]
fn offers_are_accepted_with_the_flows_answer() {
    let server = desk("").start();
    let mut phone = server.phone();
    let mut call = phone.connect("desk");
    for method in ["INVITE", "UPDATE"] {
        let response = reoffer(&mut phone, &mut call, method, OFFER);
        assert_eq!(response.status(), Some(200), "{response:?}");
        assert!(response.body().contains("a=inactive"), "{response:?}");
        server.wait_for_log(&["offer: decided"], SOON);
    }
    // Asked for an offer, the flow makes one.
    let response = reoffer(&mut phone, &mut call, "INVITE", "");
    assert!(response.body().contains("m=audio"), "{response:?}");
    unharmed(&mut phone, &mut call);
    phone.hang_up(&mut call);
}

#[test]
fn offers_are_rejected_dropped_or_left_to_the_host() {
    for (offers, code) in [("reject", 406), ("drop", 488), ("host", 200)] {
        let server = desk(&format!("offers = {offers:?}")).start();
        let mut phone = server.phone();
        let mut call = phone.connect("desk");
        for method in ["INVITE", "UPDATE"] {
            let response = reoffer(&mut phone, &mut call, method, OFFER);
            assert_eq!(response.status(), Some(code), "{offers}: {response:?}");
        }
        unharmed(&mut phone, &mut call);
        phone.hang_up(&mut call);
    }
}

#[test]
fn an_offer_may_be_thought_about_and_the_peer_may_not_wait() {
    let server = desk("offers = \"wait\"").start();
    let mut phone = server.phone();
    let mut call = phone.connect("desk");
    assert_eq!(
        reoffer(&mut phone, &mut call, "INVITE", OFFER).status(),
        Some(200)
    );
    server.wait_for_log(&["offer: decided"], SOON);

    phone.ask(&mut call, "INVITE", "", OFFER);
    server.wait_for_log(&["thinking about offer 2"], SOON);
    phone.cancel_again(&call);
    assert_eq!(phone.final_response(&call, "CANCEL").status(), Some(200));
    let gone = phone.final_response(&call, "INVITE");
    assert_eq!(gone.status(), Some(487));
    phone.ack_again(&call, &gone);
    server.wait_for_log(&["offer: withdrawn"], SOON);
    unharmed(&mut phone, &mut call);

    // The peer hangs up while the flow thinks.
    phone.ask(&mut call, "INVITE", "", OFFER);
    phone.bye(&mut call);
    assert_eq!(phone.final_response(&call, "BYE").status(), Some(200));
    server.wait_for_log(&["call 1 hung up"], SOON);
}

#[test]
fn a_referral_is_carried_out_and_its_outcome_reported() {
    let server = desk("").start();
    let (mut phone, mut other) = (server.phone(), server.phone());
    let mut call = phone.connect("desk");
    let target = format!("sip:6000@{}", other.address());
    let place = "a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2";
    assert_eq!(
        refer(&mut phone, &mut call, &format!("{target}?Replaces={place}")),
        Some(202)
    );
    assert_eq!(
        report(&mut phone, &call),
        ("SIP/2.0 100 Trying".to_owned(), false)
    );
    let (at_other, invite) = other.called();
    assert_eq!(invite.request_uri(), target);
    assert_eq!(invite.header("Replaces"), "a@b;to-tag=1;from-tag=2");
    assert_eq!(invite.header("Referred-By"), "<sip:boss@example.com>");
    other.answer_call(&invite, "200 OK");
    other.request(&at_other, "ACK");
    assert_eq!(report(&mut phone, &call), ("SIP/2.0 200 OK".to_owned(), true));
    server.wait_for_log(&["referral to", "200"], SOON);
    phone.hang_up(&mut call);
    other.expect_bye(&at_other);
}

#[test]
fn a_referral_that_fails_is_reported_and_one_that_the_flow_declines_is_declined() {
    let server = desk("").start();
    let (mut phone, mut other) = (server.phone(), server.phone());
    let mut call = phone.connect("desk");
    assert_eq!(
        refer(&mut phone, &mut call, &format!("sip:6000@{}", other.address())),
        Some(202)
    );
    report(&mut phone, &call);
    let (_, invite) = other.called();
    other.answer_call(&invite, "486 Busy Here");
    assert_eq!(
        report(&mut phone, &call),
        ("SIP/2.0 486 Busy Here".to_owned(), true)
    );
    // The dial rules hold for what the peer asks as for what the flow wants.
    assert_eq!(
        refer(&mut phone, &mut call, "sip:0900@premium.example"),
        Some(202)
    );
    report(&mut phone, &call);
    assert_eq!(
        report(&mut phone, &call),
        ("SIP/2.0 403 Forbidden".to_owned(), true)
    );
    unharmed(&mut phone, &mut call);
    phone.hang_up(&mut call);

    for (referrals, code) in [("reject", 486), ("drop", 603)] {
        let server = desk(&format!("referrals = {referrals:?}")).start();
        let mut phone = server.phone();
        let mut call = phone.connect("desk");
        assert_eq!(
            refer(&mut phone, &mut call, "sip:6000@127.0.0.9"),
            Some(code),
            "{referrals}"
        );
        unharmed(&mut phone, &mut call);
        phone.hang_up(&mut call);
    }
}

#[test]
fn another_phone_takes_the_place_of_the_caller() {
    let server = desk("").start();
    // The two Call-IDs may belong to one SIP thread or to two.
    for _ in 0..8 {
        let (mut phone, mut other) = (server.phone(), server.phone());
        let call = phone.connect("desk");
        let contact = call.contact().to_owned();
        let mut new = other.invite_to(&contact, &call.replaces());
        let response = other.final_response(&new, "INVITE");
        assert_eq!(response.status(), Some(200), "{response:?}");
        other.ack(&mut new, &response);
        let bye = phone.expect_bye(&call);
        assert!(bye.header("Reason").contains("replaced by call 2"), "{bye:?}");
        unharmed(&mut other, &mut new);
        // In its turn it can be replaced, too.
        let mut newer = phone.invite_to(new.contact(), &new.replaces());
        let response = phone.final_response(&newer, "INVITE");
        assert_eq!(response.status(), Some(200), "{response:?}");
        phone.ack(&mut newer, &response);
        other.expect_bye(&new);
        phone.hang_up(&mut newer);
    }
    server.wait_for_log(&["call 3 instead of 2"], SOON);
}

#[test]
fn a_phone_that_may_not_take_a_place_is_told_that_there_is_none() {
    let server: Callbox = desk("successor = \"reject\"")
        .tenant_flow("neighbour", "shop", &flows::example("reception"), "")
        .start();
    let (mut phone, mut other) = (server.phone(), server.phone());
    let mut call = phone.connect("desk");
    let contact = call.contact().to_owned();
    let shop = format!("sip:shop@{}", server.address());
    let desk = format!("sip:desk@{}", server.address());
    let line = call.replaces();
    let unknown = line.replace("from-tag=", "from-tag=x");
    for (uri, line, code) in [
        (&shop, &line, 481),
        (&shop, &unknown, 481),
        (&contact, &unknown, 481),
        (&format!("sip:nobody@{}", server.address()), &line, 481),
        // The flow is asked, and refuses.
        (&contact, &line, 486),
        (&desk, &line, 486),
    ] {
        let mut new = other.invite_to(uri, line);
        let response = other.final_response(&new, "INVITE");
        assert_eq!(response.status(), Some(code), "{uri} {line}");
        other.ack(&mut new, &response);
        unharmed(&mut phone, &mut call);
    }
    // The neighbour's own calls are not in the way.
    let mut own = other.connect("shop");
    std::thread::sleep(Duration::from_millis(50));
    other.hang_up(&mut own);
    phone.hang_up(&mut call);
}
