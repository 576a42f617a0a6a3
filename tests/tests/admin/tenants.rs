//! Tenants as an operator sees them, and what `status` says of versions that were not taken or have fallen.

use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::{flows, hostile};
use serde_json::Value;

use super::callbox;

fn tenant(server: &Callbox, name: &str) -> Value {
    let answer = Admin::of(server.folder()).get(&format!("/v1/tenants/{name}"));
    assert_eq!(answer.status(), 200, "{answer:#?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn deploy(server: &Callbox, flow: &str, file: &str, more: &[&str]) {
    let file = flows::example(file);
    let arguments = ["deploy", flow, file.to_str().unwrap()];
    let said = callbox(server, &[&arguments, more].concat());
    assert_eq!(said.code, Some(0), "{said:#?}");
}

/// Calls until the page of a subcommand says so.
fn call_until(server: &Callbox, phone: &mut Phone, user: &str, page: &[&str], says: &str) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let mut call = phone.invite(user);
        let response = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &response);
        let said = callbox(server, page);
        assert_eq!(said.code, Some(0), "{said:#?}");
        if said.out.contains(says) {
            return said.out;
        }
        assert!(Instant::now() < deadline, "no {says:?} in:\n{}", said.out);
    }
}

#[test]
fn a_tenant_is_shown_with_its_numbers_versions_grants_and_quotas() {
    let server = Setup::new()
        .tenant_flow("acme", "100", &flows::example("hello"), "grants = [\"info\"]")
        .service("acme", "7", "desk")
        .tenant("acme", "grants = [\"info\", \"dial\"]")
        .tenant("acme", "budget = { dials_per_day = 50 }")
        .tenant_limit("acme", "legs_max", 20)
        .flow("1", "hello")
        .start();
    let mut phone = server.phone();
    let mut call = phone.connect("100");
    deploy(&server, "acme/100", "busy", &["--canary", "30%"]);
    deploy(&server, "acme/100", "info", &["--pin", "4420*"]);

    let acme = tenant(&server, "acme");
    assert_eq!(acme["calls"], 1, "{acme:#}");
    assert_eq!(acme["numbers"], serde_json::json!(["100", "7"]));
    assert_eq!(acme["grants"], serde_json::json!(["dial", "info"]));
    assert_eq!(acme["routes"][1]["kind"], "service");
    let flow = &acme["flows"][0];
    assert_eq!(flow["grants"], serde_json::json!(["info"]));
    assert_eq!(flow["running"], 1);
    assert_eq!(flow["current"]["number"], 1);
    assert_eq!(flow["current"]["breaker"], "closed");
    assert_eq!(
        (&flow["canary"]["percent"], &flow["canary"]["version"]["number"]),
        (&30.into(), &2.into())
    );
    assert_eq!(
        (&flow["pins"][0]["pin"], &flow["pins"][0]["version"]["number"]),
        (&"4420*".into(), &3.into())
    );
    let quota = |limit: &str| {
        let quotas = acme["quotas"].as_array().unwrap();
        let found = quotas.iter().find(|quota| quota["limit"] == limit);
        found.unwrap_or_else(|| panic!("no {limit} in {acme:#}")).clone()
    };
    assert_eq!(quota("limits.tenant.legs_max")["max"], 20);
    assert!(quota("limits.tenant.memory_max_bytes")["taken"].as_u64() > Some(0));
    assert_eq!(quota("tenant.budget.dials_per_day")["max"], 50);

    let said = callbox(&server, &["tenants"]);
    let line = |name: &str| said.out.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        line("acme").contains("1 of ") && line("acme").contains("100, 7"),
        "{}",
        said.out
    );
    assert!(line("house").contains("0 of "), "{}", said.out);
    let said = callbox(&server, &["tenants", "acme"]);
    for part in [
        "30 % of them",
        "4420*",
        "all others",
        "service desk",
        "limits.tenant.legs_max",
    ] {
        assert!(said.out.contains(part), "no {part} in:\n{}", said.out);
    }
    let said = callbox(&server, &["tenants", "nobody"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("there is no tenant \"nobody\""), "{}", said.err);
    Admin::of(server.folder())
        .get("/v1/tenants/nobody")
        .assert_problem(404, "unknown-tenant");

    phone.hang_up(&mut call);
    let deadline = Instant::now() + SOON;
    while tenant(&server, "acme")["calls"] != 0 {
        assert!(Instant::now() < deadline, "{:#}", tenant(&server, "acme"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_of_a_tenant_stays_taken_after_deploys_and_calls() {
    let server = Setup::new()
        .tenant_flow("acme", "1", &flows::example("hello"), "")
        .start();
    let hello = std::fs::read(flows::example("hello")).unwrap();
    let mut phone = server.phone();
    let idle = |after: u64| {
        let deadline = Instant::now() + SOON;
        loop {
            let acme = tenant(&server, "acme");
            let taken = |limit: &str| {
                let quotas = acme["quotas"].as_array().unwrap();
                let quota = quotas.iter().find(|quota| quota["limit"] == limit);
                quota.unwrap_or_else(|| panic!("no {limit} in {acme:#}"))["taken"].clone()
            };
            let alive = [
                &acme["calls"],
                &taken("limits.tenant.calls_max"),
                &taken("limits.tenant.legs_max"),
            ];
            if alive.iter().all(|count| **count == 0) {
                return;
            }
            assert!(Instant::now() < deadline, "after {after} deploys: {acme:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Each is tried on a virtual call, which takes a leg of the tenant's for a moment.
    for number in 1..=5 {
        let file = server.folder().join("next.wasm");
        std::fs::write(&file, flows::numbered(hello.clone(), number)).unwrap();
        let said = callbox(&server, &["deploy", "acme/1", file.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:#?}");
        idle(number);
        let mut call = phone.connect("1");
        assert_eq!(tenant(&server, "acme")["calls"], 1);
        phone.hang_up(&mut call);
        idle(number);
    }
    assert_eq!(tenant(&server, "acme")["flows"][0]["current"]["number"], 6);
}

#[test]
fn status_has_a_line_of_what_was_not_taken_and_of_what_fell() {
    let limits = [("smoke_ms", 0), ("breaker_calls", 10), ("breaker_traps", 3)];
    let mut setup = Setup::new().flow("1", "busy");
    for (key, value) in limits {
        setup = setup.limit("limits.versions", key, value);
    }
    let server = setup.start();
    let mut phone = server.phone();
    let clean = callbox(&server, &["status"]).out;
    assert!(!clean.contains("house/1:"), "{clean}");

    let broken = server.folder().join("broken.wasm");
    std::fs::write(&broken, "no flow").unwrap();
    let said = callbox(&server, &["deploy", "house/1", broken.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let said = callbox(&server, &["status"]);
    assert_eq!(said.code, Some(0), "the one before serves");
    assert!(
        said.out.contains("house/1: not taken, ") && said.out.contains("a text file"),
        "{}",
        said.out
    );

    let (_folder, bad) = hostile::traps();
    let said = callbox(&server, &["deploy", "house/1", bad.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let page = call_until(&server, &mut phone, "1", &["status"], "was taken out of service");
    assert!(page.contains("house/1: version 2 ("), "{page}");
    assert!(!page.contains("not taken"), "a version was taken since:\n{page}");
    let fallen = &tenant(&server, "house")["flows"][0];
    assert_eq!(fallen["current"]["number"], 1, "{fallen:#}");
    assert_eq!(fallen["fallen"][0]["open"], false);
    assert!(
        callbox(&server, &["tenants"])
            .out
            .contains("1 with a version that fell")
    );

    // What serves after it is all that matters.
    deploy(&server, "house/1", "hello", &[]);
    let said = callbox(&server, &["status"]);
    assert!(!said.out.contains("house/1:"), "{}", said.out);
}

#[test]
fn a_breaker_that_is_open_is_seen_and_when_it_is_tried_again() {
    let (_folder, bad) = hostile::traps();
    let mut setup = Setup::new().tenant_flow("acme", "1", &bad, "");
    for (key, value) in [
        ("breaker_calls", 10),
        ("breaker_traps", 3),
        ("breaker_open_s", 600),
    ] {
        setup = setup.limit("limits.versions", key, value);
    }
    let server = setup.start();
    let mut phone = server.phone();
    let page = call_until(&server, &mut phone, "1", &["status"], "takes no calls");
    assert!(page.contains("acme/1: version 1 ("), "{page}");
    let flow = &tenant(&server, "acme")["flows"][0];
    assert_eq!(flow["current"]["breaker"], "open", "{flow:#}");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let next = u128::from(flow["current"]["next_try_ms"].as_u64().unwrap());
    assert!(next > now && next <= now + 601_000, "{next} and it is {now}");
    let said = callbox(&server, &["tenants", "acme"]);
    assert!(
        said.out.contains("open") && said.out.contains("takes no calls"),
        "{}",
        said.out
    );
}
