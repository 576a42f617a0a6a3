//! Kamailio under TLS, which wants a certificate of whoever connects: as registrar, and as a proxy on either side.

use std::sync::Arc;

use callbox_tests::phone::SOON;
use callbox_tests::server::Setup;
use callbox_tests::sipp::Sipp;
use callbox_tests::tls::Authority;

use crate::{LONG, go, house, with};

/// A server that listens by TLS, with a certificate of this authority for its address.
fn setup(authority: &Authority) -> Setup {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let address = setup.address().ip();
    let own = authority.sign("callbox", &address.to_string());
    setup
        .listen(&format!("tls:{address}:5061"))
        .lines(&authority.table(&own))
}

#[test]
fn alice_is_registered_and_called_under_tls() {
    let authority = Arc::new(Authority::new());
    let setup = setup(&authority);
    let kamailio = house().tls(&authority).start();
    let registrar = format!(
        "registrar = \"sip:alice@{};transport=tls\"\n",
        kamailio.secure_address()
    );
    let setup = setup.flow("alice", "hello");
    let server = with(setup, &kamailio, "go", "extension", "alice", &registrar).start();
    let (mut phone, call) = go(&server, "go");
    let contacts = kamailio.wait_for_contacts("alice", 1, LONG);
    assert!(contacts[0].contains(":5061;transport=tls"), "{contacts:?}");

    // Kamailio connects to the contact, and shows its certificate as ours is shown to it.
    Sipp::scenario("answer", kamailio.address(), "alice")
        .fill("HOLD_MS", 200)
        .run()
        .assert_all(1);
    server.wait_for_log(&["sipp is talking to alice"], SOON);
    kamailio.wait_for_log(&["relayed: INVITE to sip:alice@", ":5061;transport=tls"], SOON);
    phone.cancel(&call);
    server.wait_for_log(&["unregistered: Ok"], LONG);
}

/// Two Record-Routes, the nearer one under TLS: our requests go back by the connection that the INVITE came by.
#[test]
fn a_caller_behind_a_proxy_is_served_under_tls() {
    let authority = Arc::new(Authority::new());
    let setup = setup(&authority);
    let kamailio = house().tls(&authority).start();
    let server = setup.flow("100", "logbook").flow("101", "info").start();
    let at = format!("{}:5061;transport=tls", server.address().ip());
    kamailio.route("100", &format!("sip:100@{at}"));
    kamailio.route("101", &format!("sip:101@{at}"));
    Sipp::scenario("rounds", kamailio.address(), "100")
        .run()
        .assert_all(1);
    server.wait_for_log(&["event: resumed"], SOON);
    server.wait_for_log(&["event: hung up"], SOON);
    Sipp::scenario("info", kamailio.address(), "101")
        .fill("DIGIT", 7)
        .run()
        .assert_all(1);
    assert_eq!(kamailio.logged(&["in dialog by route: BYE", "over tls"]), 1);
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}

/// A flow's call through a trunk under TLS to somebody who answers by UDP.
#[test]
fn a_trunk_leads_through_a_proxy_under_tls() {
    let authority = Arc::new(Authority::new());
    let setup = setup(&authority);
    let kamailio = house().tls(&authority).start();
    let callee = Setup::new().flow("hello", "hello").start();
    kamailio.route("+4930123", &format!("sip:hello@{}", callee.address()));
    let more = format!(
        "auto_ring = false\nconfig = {{ dest = \"+4930123\" }}\n\
         [tenant.trunk.main]\nproxy = \"tls:{}\"\nnumbers = [\"+49*\"]\n",
        kamailio.secure_address()
    );
    let file = callbox_tests::flows::example("callout");
    let server = setup.tenant_flow("house", "go", &file, &more).start();
    let _caller = go(&server, "go");
    server.wait_for_log(&["hold: Ok"], LONG);
    server.wait_for_log(&["we end it: Ok"], LONG);
    callee.wait_for_log(&["the peer ended the call"], LONG);
    assert_eq!(kamailio.logged(&["in dialog by route: BYE", "over tls"]), 1);
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}
