//! Kamailio as a proxy that stays in the way (Record-Route): whoever forgets the route set of a dialog gets 404 from it.

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::kamailio::Kamailio;
use callbox_tests::phone::SOON;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

use crate::{LONG, go, house};

/// A server whose number `100` is the flow `logbook`, reached through Kamailio over this transport.
fn logbook(kamailio: &Kamailio, transport: &str) -> Callbox {
    let server = Setup::new().flow("100", "logbook").start();
    kamailio.route(
        "100",
        &format!("sip:100@{};transport={transport}", server.address()),
    );
    server
}

fn all_by_route(kamailio: &Kamailio, methods: &[(&str, usize)]) {
    for (method, count) in methods {
        let line = format!("in dialog by route: {method} ");
        assert_eq!(kamailio.logged(&[&line]), *count, "{method}");
    }
    assert_eq!(kamailio.logged(&["in dialog without a route"]), 0);
}

fn was_talked_to(server: &Callbox) {
    for event in [
        "event: held",
        "event: resumed",
        "event: digit 5",
        "event: hung up",
    ] {
        server.wait_for_log(&[event], SOON);
    }
}

#[test]
fn a_caller_behind_a_proxy_holds_presses_a_key_and_hangs_up_over_udp() {
    let kamailio = house().start();
    let server = logbook(&kamailio, "udp");
    Sipp::scenario("rounds", kamailio.address(), "100")
        .run()
        .assert_all(1);
    was_talked_to(&server);
    all_by_route(&kamailio, &[("INVITE", 2), ("ACK", 3), ("INFO", 1), ("BYE", 1)]);
}

#[test]
fn the_same_over_tcp_to_the_proxy_and_from_it() {
    let kamailio = house().start();
    let server = logbook(&kamailio, "tcp");
    Sipp::scenario("rounds", kamailio.address(), "100")
        .tcp()
        .run()
        .assert_all(1);
    was_talked_to(&server);
    all_by_route(&kamailio, &[("INVITE", 2), ("ACK", 3), ("INFO", 1), ("BYE", 1)]);
    assert_eq!(kamailio.logged(&["in dialog", "over udp"]), 0);
}

/// Two Record-Routes, one for each side (RFC 5658).
#[test]
fn the_same_over_udp_to_the_proxy_and_tcp_from_it() {
    let kamailio = house().start();
    let server = logbook(&kamailio, "tcp");
    Sipp::scenario("rounds", kamailio.address(), "100")
        .run()
        .assert_all(1);
    was_talked_to(&server);
    all_by_route(&kamailio, &[("INVITE", 2), ("ACK", 3), ("INFO", 1), ("BYE", 1)]);
}

/// The flow hangs up: our BYE takes the way of the INVITE back.
#[test]
fn a_flow_that_hangs_up_goes_back_through_the_proxy() {
    let kamailio = house().start();
    let server = Setup::new().flow("101", "info").start();
    kamailio.route("101", &format!("sip:101@{}", server.address()));
    Sipp::scenario("info", kamailio.address(), "101")
        .fill("DIGIT", 7)
        .run()
        .assert_all(1);
    server.wait_for_log(&["sipp pressed 7"], SOON);
    let from_server = format!("from {}", server.address().ip());
    assert_eq!(kamailio.logged(&["in dialog by route: BYE", &from_server]), 1);
    all_by_route(&kamailio, &[("ACK", 1), ("INFO", 1), ("BYE", 1)]);
}

/// A flow calls somebody through Kamailio, as alice with her password; `transport` is that to the proxy.
fn call_out(scenario: &str, transport: &str, stay: &str) -> (Kamailio, Callbox) {
    let kamailio = house().start();
    let called = Sipp::scenario(scenario, kamailio.address(), "200").longest(Duration::from_secs(30));
    let (ip, dest) = (kamailio.address().ip(), kamailio.uri("200"));
    kamailio.route("200", &format!("sip:200@{ip}:{}", called.address().port()));
    let called = called.start();
    let config = format!(
        "auto_ring = false\n[tenant.flow.go.config]\ndest = \"{dest};transport={transport}\"\nstay = \"{stay}\"\n"
    );
    let server = Setup::new()
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "go", &flows::example("callout"), &config)
        .start();
    let _caller = go(&server, "go");
    server.wait_for_log(&["answered with 200"], LONG);
    for line in ["hold: Ok", "resume: Ok", "info: 200", "digits: Ok"] {
        server.wait_for_log(&[line], LONG);
    }
    called.finish().assert_all(1);
    all_by_route(&kamailio, &[("INVITE", 2), ("ACK", 3), ("INFO", 3), ("BYE", 1)]);
    (kamailio, server)
}

#[test]
fn a_call_out_through_a_proxy_keeps_its_route_over_udp() {
    let (_kamailio, server) = call_out("called", "udp", "0");
    server.wait_for_log(&["we end it: Ok"], SOON);
}

#[test]
fn a_call_out_through_a_proxy_keeps_its_route_over_tcp() {
    let (kamailio, server) = call_out("called", "tcp", "0");
    server.wait_for_log(&["we end it: Ok"], SOON);
    assert_eq!(kamailio.logged(&["in dialog", "over udp"]), 0);
}

#[test]
fn the_called_party_hangs_up_through_the_proxy() {
    let (_kamailio, server) = call_out("called-and-hangs-up", "udp", "10000");
    server.wait_for_log(&["they ended it:"], SOON);
}

/// The parameters of `makecall` by themselves, without a registration.
#[test]
fn a_call_that_costs_money_needs_credentials() {
    let kamailio = house().start();
    let setup = Setup::new()
        .dial("house", &["127.0.0.0/8"])
        .flow("hello", "hello");
    let flow = |setup: Setup, number: &str, credentials: &str| {
        let dest = kamailio.uri("900");
        let config =
            format!("auto_ring = false\n[tenant.flow.{number}.config]\ndest = \"{dest}\"\n{credentials}\n");
        setup.tenant_flow("house", number, &flows::example("callout"), &config)
    };
    let setup = flow(setup, "right", "username = \"alice\"\npassword = \"1234\"");
    let setup = flow(setup, "wrong", "username = \"alice\"\npassword = \"4321\"");
    let server = flow(setup, "none", "").start();
    kamailio.route("900", &format!("sip:hello@{}", server.address()));

    let _caller = go(&server, "right");
    server.wait_for_log(&["flow=\"right\"", "answered with 200"], LONG);
    let challenged = kamailio.logged(&["challenged: INVITE"]);
    assert_eq!(challenged, 1);
    for (number, more) in [("wrong", 2), ("none", 1)] {
        let before = kamailio.logged(&["challenged: INVITE"]);
        let _caller = go(&server, number);
        let line = format!("flow={number:?}");
        server.wait_for_log(&[&line, "not answered: rejected: 407"], LONG);
        assert_eq!(
            kamailio.logged(&["challenged: INVITE"]),
            before + more,
            "{number}"
        );
    }
}
