//! Trunks and logins that the operator configured: where calls, registrations and subscriptions of a flow go, as whom, and what
//! the flow never sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

const SECRET: &str = "hunter2-and-more";
const REALM: &str = "carrier.example";
const NONCE: &str = "f84f1cec41e6cbe5";

/// A server that runs an example flow with this configuration; the trunk `main` leads to the phone, with a credential whose
/// secret is in a file.
fn start(flow: &str, config: &str) -> (Callbox, Phone) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let setup = Setup::new();
    let mut carrier = Phone::udp(setup.address());
    let own = carrier.address();
    let more = format!(
        "auto_ring = false\nconfig = {{ {config} }}\n\
         [tenant.credential.carrier]\nusername = \"acme\"\npassword_file = {file:?}\nrealm = {REALM:?}\n\
         [tenant.trunk.main]\nproxy = \"udp:{own}\"\ndomain = \"carrier.example\"\nnumbers = [\"+49*\", \"*21#\"]\n\
         credential = \"carrier\"\ncaller_id = \"+4930\"\n"
    )
    .replace("CARRIER", &own.to_string());
    let server = setup
        .log_level("trace")
        .dial("house", &["127.0.0.0/8", "house.example"])
        .tenant_flow("house", "go", &flows::example(flow), &more)
        .start();
    while carrier.receive(Duration::from_millis(1)).is_some() {}
    let mut caller = server.phone();
    caller.invite("go");
    (server, carrier)
}

fn challenge(carrier: &mut Phone, request: &Message) {
    let more = format!("Proxy-Authenticate: Digest realm=\"{REALM}\", nonce=\"{NONCE}\"\r\n");
    carrier.respond_with(request, "407 Proxy Authentication Required", &more);
}

/// RFC 2069's digest of the operator's secret.
fn is_right(request: &Message) -> bool {
    let hex = |text: String| format!("{:x}", md5::compute(text));
    let first = hex(format!("acme:{REALM}:{SECRET}"));
    let second = hex(format!("{}:{}", request.method().unwrap(), request.request_uri()));
    let right = hex(format!("{first}:{NONCE}:{second}"));
    let line = request.header("Proxy-Authorization");
    line.contains("username=\"acme\"") && line.contains(&format!("response=\"{right}\""))
}

/// Challenges the request that comes, and returns its repetition, which must be right.
fn authorised(carrier: &mut Phone, method: &str) -> Message {
    let first = carrier.next_request(method, |it| it.header("Proxy-Authorization").is_empty());
    challenge(carrier, &first);
    let again = carrier.next_request(method, |it| !it.header("Proxy-Authorization").is_empty());
    assert!(is_right(&again), "{again:?}");
    again
}

fn assert_secret(server: &Callbox) {
    let log = server.log();
    assert!(!log.contains(SECRET) && !log.contains("hunter2"), "{log}");
}

#[test]
fn a_number_goes_over_the_trunk_in_its_name_and_with_its_login() {
    for (dest, uri) in [
        ("tel:+49-30-(123)", "sip:+4930123@carrier.example;user=phone"),
        ("+4931", "sip:+4931@carrier.example;user=phone"),
        ("*21#", "sip:*21%23@carrier.example;user=phone"),
    ] {
        let (server, mut carrier) = start("callout", &format!("dest = {dest:?}"));
        let invite = authorised(&mut carrier, "INVITE");
        assert_eq!(invite.request_uri(), uri);
        assert_eq!(invite.header("To"), format!("<{uri}>"));
        assert!(
            invite
                .header("From")
                .starts_with("<sip:+4930@carrier.example>;tag="),
            "{invite:?}"
        );
        carrier.respond_with(&invite, "486 Busy Here", "");
        server.wait_for_log(&["not answered", "486"], SOON);
        assert_secret(&server);
    }
}

#[test]
fn a_number_that_the_trunk_is_not_for_goes_nowhere() {
    let (server, mut carrier) = start("callout", "dest = \"+1900 0900 tel:0049\"");
    assert_eq!(server.wait_for_count("not answered: denied", 3, SOON), 3);
    if let Some(message) = carrier.receive(Duration::from_millis(300)) {
        panic!("{message:?}");
    }
}

#[test]
fn a_uri_takes_the_trunk_that_is_named_and_keeps_its_own_host() {
    let (server, mut carrier) = start("callout", "dest = \"sip:bob@house.example\", trunk = \"main\"");
    let invite = authorised(&mut carrier, "INVITE");
    assert_eq!(invite.request_uri(), "sip:bob@house.example");
    carrier.respond_with(&invite, "480 Away", "");
    server.wait_for_log(&["not answered", "480"], SOON);
    // The trunk is no way round the dial rules.
    let (server, mut carrier) = start("callout", "dest = \"sip:bob@evil.example\", trunk = \"main\"");
    server.wait_for_log(&["not answered: denied"], SOON);
    assert!(carrier.receive(Duration::from_millis(200)).is_none());
}

#[test]
fn a_login_by_name_answers_without_a_trunk_and_only_its_realm() {
    let (server, mut peer) = start("callout", "dest = \"sip:bob@CARRIER\", credential = \"carrier\"");
    let invite = authorised(&mut peer, "INVITE");
    peer.respond_with(&invite, "486 Busy Here", "");
    server.wait_for_log(&["not answered", "486"], SOON);
    assert_secret(&server);

    let (server, mut peer) = start("callout", "dest = \"sip:bob@CARRIER\", credential = \"carrier\"");
    let invite = peer.next_request("INVITE", |_| true);
    let other = "WWW-Authenticate: Digest realm=\"other.example\", nonce=\"1\"\r\n";
    peer.respond_with(&invite, "401 Unauthorized", other);
    server.wait_for_log(&["not answered", "401"], SOON);
}

#[test]
fn a_registration_and_a_subscription_take_the_trunk() {
    let (server, mut carrier) = start(
        "watch",
        "registrar = \"sip:alice@house.example\", server = \"sip:alice@house.example\", trunk = \"main\"",
    );
    let register = authorised(&mut carrier, "REGISTER");
    assert_eq!(register.request_uri(), "sip:house.example");
    let contact = format!("Contact: {};expires=60\r\n", register.header("Contact"));
    carrier.respond_with(&register, "200 OK", &contact);
    let subscribe = authorised(&mut carrier, "SUBSCRIBE");
    assert_eq!(subscribe.request_uri(), "sip:alice@house.example");
    carrier.respond_with(&subscribe, "489 Bad Event", "");
    // The flow ends, and what takes the registration back goes the same way.
    let removal = carrier.next_request("REGISTER", |it| it.header("Expires") == "0");
    assert_eq!(removal.header("Call-ID"), register.header("Call-ID"));
    carrier.respond_with(&removal, "200 OK", "");
    assert_secret(&server);
}

/// Registers, subscribes and calls with the login, lets the carrier say back all that it was told, and searches the flow's
/// memory for the secret.
#[test]
fn the_secret_is_nowhere_in_the_memory_of_a_flow_that_uses_it() {
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let marker = "a text that the flow reads";
    let (server, mut carrier) = start(
        "secrets",
        &format!(
            "to = \"sip:alice@house.example\", needle = {:?}, there = {:?}, password = {marker:?}",
            backwards(SECRET),
            backwards(marker)
        ),
    );
    let register = authorised(&mut carrier, "REGISTER");
    let contact = format!("Contact: {};expires=60\r\n", register.header("Contact"));
    carrier.respond_with(&register, "200 OK", &contact);
    let subscribe = authorised(&mut carrier, "SUBSCRIBE");
    carrier.respond_with(&subscribe, "489 Bad Event", "");
    let invite = authorised(&mut carrier, "INVITE");
    let login = invite.header("Proxy-Authorization");
    let reflected =
        format!("Authorization: {login}\r\nProxy-Authorization: {login}\r\nX-Reflected: {login}\r\n");
    carrier.respond_with(&invite, "486 Busy Here", &reflected);
    let found = server.wait_for_log(&["found: there "], SOON);
    assert!(found.contains("secret 0 times"), "{found}");
    assert!(
        !found.contains("there 0 times"),
        "the search finds nothing at all: {found}"
    );
    server.wait_for_log(&["called: Err(Rejected", "486"], SOON);
    assert_secret(&server);
}

#[test]
fn a_redirection_to_a_number_takes_the_trunk_within_its_numbers() {
    let (server, mut carrier) = start("callout", "dest = \"sip:bob@CARRIER\", redirects = \"follow\"");
    let invite = carrier.next_request("INVITE", |_| true);
    let contacts = "Contact: <tel:+1900>;q=0.9, <tel:+49-77;ext=1>;q=0.8, <tel:+49-77>;q=0.1\r\n";
    carrier.respond_with(&invite, "302 Moved Temporarily", contacts);
    let moved = authorised(&mut carrier, "INVITE");
    assert_eq!(moved.request_uri(), "sip:+4977@carrier.example;user=phone");
    assert_eq!(moved.header("To"), invite.header("To"));
    carrier.respond_with(&moved, "486 Busy Here", "");
    server.wait_for_log(&["redirection not followed", "+1900"], SOON);
    server.wait_for_log(&["not answered", "486"], SOON);
    assert_secret(&server);
}

#[test]
fn a_redirection_does_not_take_the_operators_login_elsewhere() {
    for more in ["trunk = \"main\"", "trunk = \"main\", credential = \"carrier\""] {
        let (server, mut carrier) = start(
            "callout",
            &format!("dest = \"sip:bob@house.example\", redirects = \"follow\", {more}"),
        );
        let invite = carrier.next_request("INVITE", |_| true);
        let contact = format!("Contact: <sip:eve@{}>\r\n", carrier.address());
        carrier.respond_with(&invite, "302 Moved Temporarily", &contact);
        let moved = carrier.next_request("INVITE", |it| it.request_uri().starts_with("sip:eve@"));
        // Eve calls herself the carrier.
        challenge(&mut carrier, &moved);
        server.wait_for_log(&["not answered", "407"], SOON);
    }
}
