//! Registrations and subscriptions of flows, against a registrar and notifier that does only what its test says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callbox_tests::callee::{
    PASSWORD, REALM, authorised, challenge, is_removal, is_right, next, nothing_comes, notify, registered,
    respond, subscribed,
};
use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

/// A server whose flow (an example of `seed/`) knows this peer as registrar, notifier and destination. The peer's socket
/// must exist before the flow's configuration can name it.
fn start(flow: &str, password: &str, allowed: bool) -> (Callbox, Phone) {
    let setup = Setup::new();
    let setup = match allowed {
        true => setup.dial("house", &["127.0.0.0/8"]),
        false => setup.dial("house", &["192.0.2.0/24"]),
    };
    let mut peer = Phone::udp(setup.address());
    let (ip, port) = (peer.address().ip(), peer.address().port());
    let config = format!(
        "auto_ring = false\n[tenant.flow.go.config]\nregistrar = \"sip:alice@{ip}:{port}\"\n\
         server = \"sip:alice@{ip}:{port}\"\nusername = \"alice\"\npassword = \"{password}\"\nrealm = \"{REALM}\"\n\
         dest = \"sip:bob@{ip}:{port}\"\nstay = \"200\"\n"
    );
    let server = setup
        .tenant_flow("house", "go", &flows::example(flow), &config)
        .start();
    while peer.receive(Duration::from_millis(1)).is_some() {}
    (server, peer)
}

/// Starts the flow by a call, which no test here is about.
fn go(server: &Callbox) -> Phone {
    let mut caller = server.phone();
    caller.invite("go");
    caller
}

fn contact_host(peer: SocketAddr) -> String {
    format!("@{}:5060", peer.ip())
}

// ---- registration -----------------------------------------------------------------------------------------------

#[test]
fn a_flow_registers_calls_in_that_name_and_unregisters_when_it_ends() {
    let (server, mut peer) = start("register", PASSWORD, true);
    let _caller = go(&server);
    let register = registered(&mut peer, 300);
    let own = peer.address();
    assert_eq!(register.request_uri(), format!("sip:{own}"), "no user part");
    assert!(register.header("To").starts_with(&format!("<sip:alice@{own}>")));
    assert!(
        register
            .header("From")
            .starts_with(&format!("<sip:alice@{own}>;tag="))
    );
    assert!(
        register
            .contact_uri()
            .starts_with(&format!("sip:alice{}", contact_host(own))),
        "{register:?}"
    );
    server.wait_for_log(&["c1:startregister res = 0"], SOON);

    // The call is placed by alice, with her credentials.
    let invite = next(&mut peer, "INVITE", |_| true);
    assert!(
        invite.header("From").contains(&format!("<sip:alice@{own}>;tag=")),
        "{invite:?}"
    );
    challenge(&mut peer, &invite);
    let again = next(&mut peer, "INVITE", |it| !it.header("Authorization").is_empty());
    assert!(is_right(&again), "{again:?}");
    respond(&mut peer, &again, "486 Busy Here", "");
    server.wait_for_log(&["c1:makecall res = 4", "486"], SOON);

    // The flow is over, its object dropped.
    let removal = next(&mut peer, "REGISTER", is_removal);
    assert_eq!(removal.header("Call-ID"), register.header("Call-ID"));
    assert_eq!(
        removal.contact_uri(),
        register.contact_uri(),
        "our binding and no other"
    );
    assert_ne!(removal.header("Contact"), "*");
    respond(&mut peer, &removal, "200 OK", "");
    nothing_comes(&mut peer, "REGISTER", Duration::from_millis(700));
}

#[test]
fn a_wrong_password_is_rejected_with_its_status() {
    let (server, mut peer) = start("register", "4321", true);
    let _caller = go(&server);
    let register = authorised(&mut peer, "REGISTER");
    assert!(!is_right(&register), "{register:?}");
    respond(&mut peer, &register, "403 Wrong Password", "");
    server.wait_for_log(&["c1:startregister res = 4", "403", "Wrong Password"], SOON);
    nothing_comes(&mut peer, "REGISTER", Duration::from_millis(700));
}

#[test]
fn a_registrar_that_challenges_again_is_a_401() {
    let (server, mut peer) = start("register", "4321", true);
    let _caller = go(&server);
    let register = authorised(&mut peer, "REGISTER");
    challenge(&mut peer, &register);
    server.wait_for_log(&["c1:startregister res = 4", "401"], SOON);
    nothing_comes(&mut peer, "REGISTER", Duration::from_millis(700));
}

#[test]
fn a_registrar_outside_the_dial_rules_hears_nothing() {
    let (server, mut peer) = start("register", PASSWORD, false);
    let _caller = go(&server);
    server.wait_for_log(&["c1:startregister res = 10", "Denied"], SOON);
    nothing_comes(&mut peer, "REGISTER", Duration::from_millis(300));
}

// ---- subscription -----------------------------------------------------------------------------------------------

#[test]
fn a_flow_subscribes_takes_the_first_notify_and_unsubscribes_when_it_ends() {
    let (server, mut peer) = start("presence", PASSWORD, true);
    let _caller = go(&server);
    registered(&mut peer, 300);
    let subscribe = authorised(&mut peer, "SUBSCRIBE");
    assert!(is_right(&subscribe), "{subscribe:?}");
    assert_eq!(subscribe.header("Event"), "presence");
    assert_eq!(subscribe.header("Expires"), "60");
    subscribed(&mut peer, &subscribe, 60);
    notify(&mut peer, &subscribe, 1, "active;expires=60", "alice is in");
    server.wait_for_log(&["s:subscribe res = 0"], SOON);
    server.wait_for_log(&["0 text/plain"], SOON);
    server.wait_for_log(&["alice is in"], SOON);
    server.wait_for_log(&["=== END ==="], SOON);

    // Both objects are dropped, and who is first is nobody's business.
    let mut left = [false, false];
    while left != [true, true] {
        let message = peer.receive(SOON).expect("both are removed");
        match message.method() {
            Some("SUBSCRIBE") if is_removal(&message) => {
                assert_eq!(message.header("Call-ID"), subscribe.header("Call-ID"));
                assert_eq!(message.to_tag(), Some("peer"), "within the dialog");
                subscribed(&mut peer, &message, 0);
                left[0] = true;
            }
            Some("REGISTER") if is_removal(&message) => {
                respond(&mut peer, &message, "200 OK", "");
                left[1] = true;
            }
            other => panic!("unexpected {other:?}: {message:?}"),
        }
    }
}

#[test]
fn a_subscription_that_is_refused_says_with_what() {
    let (server, mut peer) = start("presence", PASSWORD, true);
    let _caller = go(&server);
    registered(&mut peer, 300);
    let subscribe = authorised(&mut peer, "SUBSCRIBE");
    respond(&mut peer, &subscribe, "489 Bad Event", "");
    server.wait_for_log(&["s:subscribe res = 4", "489", "Bad Event"], SOON);
    let removal = next(&mut peer, "REGISTER", is_removal);
    respond(&mut peer, &removal, "200 OK", "");
}

// ---- events -----------------------------------------------------------------------------------------------------

#[test]
fn events_tell_of_notifies_and_of_a_lost_registration_and_each_is_delivered_once() {
    let (server, mut peer) = start("watch", PASSWORD, true);
    let _caller = go(&server);
    let register = registered(&mut peer, 2);
    let subscribe = next(&mut peer, "SUBSCRIBE", |_| true);
    assert_eq!(subscribe.header("Accept"), "application/simple-message-summary");
    assert_eq!(subscribe.header("Expires"), "160");
    subscribed(&mut peer, &subscribe, 160);
    notify(&mut peer, &subscribe, 1, "active;expires=160", "one");
    server.wait_for_log(&["bound sip:alice", "for 2 s"], SOON);
    server.wait_for_log(&["first notify:", "Active"], SOON);
    server.wait_for_log(&["no second notify yet"], SOON);
    notify(&mut peer, &subscribe, 2, "active;expires=150", "two");
    server.wait_for_log(&["notify", "Active: two"], SOON);
    assert_eq!(
        server.log().matches("Active: one").count(),
        0,
        "taken by the wait"
    );

    // The renewal is refused for good.
    let renewal = next(&mut peer, "REGISTER", |it| {
        it.cseq_number() > register.cseq_number()
    });
    respond(&mut peer, &renewal, "403 No Longer", "");
    server.wait_for_log(&["registration lost:", "403 No Longer", "active: false"], SOON);
    server.wait_for_log(&["every notify was taken"], SOON);

    let leave = next(&mut peer, "SUBSCRIBE", is_removal);
    subscribed(&mut peer, &leave, 0);
    notify(&mut peer, &leave, 3, "terminated;reason=timeout", "");
    server.wait_for_log(&["unsubscribe: Ok"], SOON);
    server.wait_for_log(&["unsubscribe again: Err(WrongState"], SOON);
    server.wait_for_log(&["unregister: Err(WrongState"], SOON);
    nothing_comes(&mut peer, "REGISTER", Duration::from_millis(300));
}

#[test]
fn unregister_waits_for_the_registrar_and_a_notifier_that_ended_leaves_nothing_to_unsubscribe() {
    let (server, mut peer) = start("watch", PASSWORD, true);
    let _caller = go(&server);
    let register = registered(&mut peer, 300);
    let subscribe = next(&mut peer, "SUBSCRIBE", |_| true);
    subscribed(&mut peer, &subscribe, 160);
    notify(&mut peer, &subscribe, 1, "pending", "one");
    server.wait_for_log(&["first notify:", "Pending"], SOON);
    notify(&mut peer, &subscribe, 2, "terminated;reason=noresource", "gone");
    server.wait_for_log(&["Terminated: gone"], SOON);
    server.wait_for_log(&["unsubscribe: Err(WrongState", "noresource"], SOON);

    let removal = next(&mut peer, "REGISTER", is_removal);
    assert_eq!(removal.header("Call-ID"), register.header("Call-ID"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!server.log().contains("unregister:"), "no answer yet");
    respond(&mut peer, &removal, "200 OK", "");
    server.wait_for_log(&["unregister: Ok"], SOON);
    server.wait_for_log(&["unregister again: Err(WrongState"], SOON);
    server.wait_for_log(&["active: false"], SOON);
    nothing_comes(&mut peer, "SUBSCRIBE", Duration::from_millis(300));
}

#[test]
fn a_host_that_is_stopped_takes_its_registrations_and_subscriptions_back() {
    let (mut server, mut peer) = start("watch", PASSWORD, true);
    let _caller = go(&server);
    registered(&mut peer, 300);
    let subscribe = next(&mut peer, "SUBSCRIBE", |_| true);
    subscribed(&mut peer, &subscribe, 160);
    notify(&mut peer, &subscribe, 1, "active", "one");
    server.wait_for_log(&["no second notify yet"], SOON);
    server.terminate();
    let deadline = Instant::now() + 4 * SOON;
    let mut left = [false, false];
    while left != [true, true] {
        let message = peer
            .receive(deadline.saturating_duration_since(Instant::now()))
            .unwrap_or_else(|| panic!("only {left:?}"));
        left[0] |= message.method() == Some("SUBSCRIBE") && is_removal(&message);
        left[1] |= message.method() == Some("REGISTER") && is_removal(&message);
    }
}
