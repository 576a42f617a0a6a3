//! Flows that fall over, at every moment of a call: each leg is ended, and the caller gets what the tenant chose.

use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::Setup;

use crate::{Stage, setup, trick};

/// A flow that falls over, and the phone that it may call.
fn falls(name: &str) -> (Stage, Phone) {
    let setup = setup();
    let peer = Phone::udp(setup.address());
    let to = format!("sip:peer@{}", peer.address());
    let host = peer.address().ip().to_string();
    let setup = setup.dial("umbrella", &[&host]).tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("fall"),
        &trick(name, &[("to", &to)]),
    );
    (Stage::of(setup), peer)
}

#[test]
fn before_the_answer_the_caller_gets_the_trap_code() {
    for name in ["at-once", "ringing", "early-media"] {
        let (stage, _) = falls(name);
        stage.ends(500, &["panicked", &format!("fell over: {name}")]);
    }
}

#[test]
fn after_the_answer_the_caller_gets_a_bye() {
    for name in ["timer", "hung-up"] {
        let (stage, _) = falls(name);
        let ending = stage.ends(200, &["panicked", &format!("fell over: {name}")]);
        assert_eq!(ending.requests("BYE"), 1, "{name}");
    }
}

#[test]
fn a_panic_after_the_answer_hangs_up_and_its_text_is_logged() {
    let stage = Stage::file(&flows::example("panic"), setup());
    stage.ends(200, &["a flow of hostile fell over"]);
}

#[test]
fn a_panic_on_a_digit_hangs_up() {
    let (mut stage, _) = falls("digit");
    let mut pressed = false;
    let ending = stage.call_with(|phone, call, message| {
        if message.status() == Some(200) && !pressed {
            pressed = true;
            phone.send_in_dialog(
                call,
                "INFO",
                "application/dtmf-relay",
                "Signal=1\r\nDuration=160\r\n",
            );
        }
    });
    assert_eq!((ending.status, ending.requests("BYE")), (200, 1));
    stage.told(&["panicked", "fell over: digit"]);
    stage.is_booked_as("panicked", None);
    stage.unharmed();
}

#[test]
fn a_panic_after_a_refused_transfer_is_no_transfer() {
    let (mut stage, _) = falls("transfer");
    let ending = stage.call_with(|phone, _, message| {
        if message.method() == Some("REFER") {
            phone.respond(message, "202 Accepted");
        }
    });
    assert_eq!((ending.requests("REFER"), ending.requests("BYE")), (1, 1));
    stage.told(&["panicked", "fell over: transfer"]);
    stage.is_booked_as("panicked", None);
    stage.unharmed();
}

#[test]
fn a_panic_while_another_phone_rings_stops_the_ringing() {
    let (mut stage, mut peer) = falls("dialling");
    let mut caller = stage.phone.invite("hostile");
    let invite = peer.receive(SOON).expect("the other phone is called");
    assert_eq!(invite.method(), Some("INVITE"));
    peer.respond(&invite, "180 Ringing");
    let cancel = loop {
        let message = peer.receive(SOON).expect("a CANCEL");
        if message.method() == Some("CANCEL") {
            break message;
        }
    };
    peer.respond(&cancel, "200 OK");
    peer.respond(&invite, "487 Request Terminated");
    let response = stage.phone.final_response(&caller, "INVITE");
    assert_eq!(response.status(), Some(500));
    stage.phone.ack(&mut caller, &response);
    stage.told(&["panicked", "fell over: dialling"]);
    stage.is_booked_as("panicked", None);
    stage.unharmed();
}

#[test]
fn a_panic_when_the_caller_is_gone_is_told_all_the_same() {
    let (mut stage, _) = falls("caller-gone");
    let mut caller = stage.phone.connect("hostile");
    stage.phone.hang_up(&mut caller);
    stage.told(&["panicked", "fell over: caller-gone"]);
    stage.is_booked_as("panicked", None);
    stage.unharmed();
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
