//! Flows that reach for what is not theirs: nothing leaves the host, and the flow is told what refused it.

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::server::Setup;

use crate::{Stage, setup, trick};

/// A flow that reaches for `to`; its tenant may call 127.0.0.1 and owns the number 100.
fn reach(name: &str, to: &str, who: &str, setup: Setup) -> Stage {
    let setup = setup.dial("umbrella", &["127.0.0.1"]).tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("reach"),
        &trick(name, &[("to", to), ("who", who)]),
    );
    Stage::of(setup)
}

#[test]
fn forbidden_addresses_are_not_called() {
    for to in [
        "sip:a@127.0.0.9".to_owned(),
        "sip:a@localhost".to_owned(),
        "sip:a@[::1]".to_owned(),
        "sip:a@[::ffff:127.0.0.9]".to_owned(),
        "sip:a@224.0.0.251".to_owned(),
        "sip:a@255.255.255.255".to_owned(),
        "sip:a@0.0.0.0".to_owned(),
        "sip:127.0.0.1@example.invalid".to_owned(),
        "sip:a@127.0.0.1.example.invalid".to_owned(),
        "sip:a@127.1".to_owned(),
        "sip:a@2130706433".to_owned(),
        "sip:a@127.0.0.9;maddr=127.0.0.1".to_owned(),
    ] {
        let stage = reach("dial", &to, "", setup());
        stage.ends(403, &["reach dial", "denied"]);
    }
    let setup = setup();
    let own = format!("sip:hostile@{}", setup.address());
    reach("dial", &own, "", setup).ends(403, &["reach dial", "denied"]);
}

#[test]
fn a_wildcard_leads_neither_to_this_machine_nor_to_the_host_itself() {
    let wild = |setup: Setup, to: &str| {
        let setup = setup.dial("umbrella", &["*", "*.example.com"]).tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("reach"),
            &trick("dial", &[("to", to)]),
        );
        Stage::of(setup)
    };
    for to in [
        "sip:a@127.0.0.9",
        "sip:a@[::1]",
        "sip:a@0.0.0.0",
        "sip:a@169.254.169.254",
        "sip:a@224.0.0.251",
    ] {
        wild(setup(), to).ends(403, &["reach dial", "denied"]);
    }
    let setup = setup();
    let own = format!("sip:hostile@{}", setup.address());
    wild(setup, &own).ends(403, &["reach dial", "denied"]);
    // Names are judged by what they lead to.
    for to in ["sip:a@localhost", "sip:a@127.1", "sip:a@2130706433"] {
        wild(crate::setup(), to).ends(403, &["reach dial", "not allowed"]);
    }
}

#[test]
fn dear_numbers_are_nobody_s_to_call_or_to_be_sent_to() {
    let to = "sip:+1900555@127.0.0.1:9";
    reach("dial", to, "", setup()).ends(403, &["reach dial", "denied"]);
    reach("redirect", to, "", setup()).ends(403, &["reach redirect", "denied"]);
    let ending = reach("transfer", to, "", setup()).ends(200, &["reach transfer", "denied"]);
    assert_eq!(ending.requests("REFER"), 0, "{ending:?}");
}

#[test]
fn a_parameter_leads_nowhere_else() {
    // 127.0.0.1 is allowed; what is named beside it is not, and listens.
    let setup = setup();
    let elsewhere = callbox_tests::net::fresh_ipv4();
    let socket = std::net::UdpSocket::bind((elsewhere, 5060)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let to = format!("sip:a@127.0.0.1:9;maddr={elsewhere}");
    reach("dial", &to, "", setup).ends(403, &["reach dial", "denied"]);
    let to = format!("sip:a@127.0.0.1:9?Route=%3Csip:{elsewhere};lr%3E");
    let mut stage = reach("dial", &to, "", crate::setup());
    stage.call();
    stage.told(&["reach dial"]);
    stage.is_booked(&[]);
    stage.unharmed();
    assert!(socket.recv(&mut [0; 1_500]).is_err(), "something was sent there");
}

#[test]
fn registrars_watchers_and_transfers_follow_the_same_rules() {
    reach("register", "sip:a@127.0.0.9", "", setup()).ends(403, &["reach register", "denied"]);
    reach("subscribe", "sip:a@127.0.0.9", "", setup()).ends(403, &["reach subscribe", "denied"]);
    let ending =
        reach("transfer", "sip:+1900555@127.0.0.9", "", setup()).ends(200, &["reach transfer", "denied"]);
    assert_eq!(ending.requests("REFER"), 0, "{ending:?}");
    reach("redirect", "sip:+1900555@127.0.0.9", "", setup()).ends(403, &["reach redirect", "denied"]);
}

#[test]
fn nobody_elses_number_is_shown() {
    let to = "sip:a@127.0.0.1:9";
    reach("caller-id", to, "+4930110", setup()).ends(403, &["reach caller-id", "denied"]);
    for header in [
        "P-Asserted-Identity",
        "Identity",
        "From",
        "Contact",
        "Remote-Party-ID",
        "P-Preferred-Identity",
        "P-Charge-Info",
        "Diversion",
        "History-Info",
    ] {
        reach("identity", to, header, setup()).ends(403, &["reach identity", "denied"]);
    }
}

#[test]
fn nobody_elses_registration_trunk_or_credential_is_used() {
    let to = "sip:a@127.0.0.1:9";
    reach("registration", to, "", setup()).ends(403, &["reach registration", "registration"]);
    reach("trunk", to, "carrier", setup()).ends(403, &["reach trunk", "trunk"]);
    reach("credential", to, "carrier", setup()).ends(403, &["reach credential", "credential"]);
}

#[test]
fn nobody_elses_session_is_told_anything() {
    let mut stage = reach("send", "", "1@callbox", setup());
    assert_eq!(stage.call().status, 403);
    stage.told(&["reach send"]);
    stage.is_booked(&[]);
    stage.unharmed();
}
