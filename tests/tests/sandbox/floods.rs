//! Flows that make the host send, log or remember without end.

use std::time::{Duration, Instant};

use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::Setup;

use crate::{Stage, setup, trick};

/// A flow that floods a phone, and the phone.
fn flood(name: &str, scheme: &str) -> (Stage, Phone) {
    let setup = setup();
    let victim = Phone::udp(setup.address());
    let to = format!("{scheme}:victim@{}", victim.address());
    let host = victim.address().ip().to_string();
    let setup = setup.dial("umbrella", &[&host]).tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("flood"),
        &trick(name, &[("to", &to)]),
    );
    (Stage::of(setup), victim)
}

/// Requests of a method that came within the next second.
fn count(victim: &mut Phone, method: &str) -> usize {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(message) = victim.receive(
        deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1)),
    ) {
        if message.method() == Some(method) {
            seen.insert(message.header("Via").to_owned());
        }
    }
    seen.len()
}

/// The flow says which limit of a session's it ran into first: one of these.
fn refused_by(stage: &Stage, name: &str, limits: [&str; 2]) {
    let line = stage.told(&[&format!("{name}:"), "refused: denied: over the limit"]);
    let said = line.rsplit(' ').next().unwrap_or_default().trim_end();
    let one_of = limits.map(|limit| format!("limits.call.{limit}"));
    assert!(one_of.iter().any(|limit| limit == said), "{said:?} of {line}");
}

#[test]
fn ten_thousand_timers_are_not_set() {
    let stage = Stage::trick("flood", "timers");
    stage.ends(480, &["timers:", "Overflow(9936)"]);
}

#[test]
fn a_flow_that_feeds_itself_events_ends_with_its_fuel() {
    let setup = setup().limit("limits.plugin", "fuel_total", 200_000_000);
    let setup = setup.tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("flood"),
        &trick("events", &[]),
    );
    Stage::of(setup).ends(500, &["limits.plugin.fuel_total"]);
}

#[test]
fn a_storm_of_calls_is_a_breeze_on_the_wire() {
    for (name, method, limits) in [
        // Which is first depends on how fast the legs before are gone.
        ("dials", "INVITE", ["legs_max", "sends_rate"]),
        ("registers", "REGISTER", ["registrations_max", "sends_rate"]),
        ("subscribes", "SUBSCRIBE", ["subscriptions_max", "sends_rate"]),
    ] {
        let (mut stage, mut victim) = flood(name, "sip");
        stage.call();
        refused_by(&stage, name, limits);
        let sent = count(&mut victim, method);
        assert!(sent < 400, "{name}: {sent} requests");
        stage.is_booked(&[]);
        stage.unharmed();
    }
}

#[test]
fn a_storm_of_responses_and_infos_is_a_breeze_too() {
    for (name, limits) in [
        // The first when the SIP thread has not taken yet what was said before.
        ("rings", ["commands_max", "sends_rate"]),
        ("infos", ["commands_max", "sends_rate"]),
    ] {
        let (mut stage, _victim) = flood(name, "sip");
        let ending = stage.call();
        assert!(
            ending.messages.len() < 400,
            "{name}: {} messages",
            ending.messages.len()
        );
        refused_by(&stage, name, limits);
        stage.is_booked(&[]);
        stage.unharmed();
    }
}

#[test]
fn a_flow_has_so_many_legs_and_no_more() {
    let (stage, _victim) = flood("legs", "sip");
    stage.ends(480, &["legs:", "limits.call.legs_max"]);
}

#[test]
fn a_flood_of_log_lines_is_cut_and_can_forge_nothing() {
    let mut stage = Stage::file(&flows::example("log-flood"), setup());
    assert_eq!(stage.call().status, 500);
    stage.told(&["limits.plugin.fuel_burst"]);
    stage.is_booked_as("out-of-fuel-burst", Some("limits.plugin.fuel_burst"));
    let log = stage.server.log();
    assert!(
        log.len() < 2 << 20,
        "a call's log has a bound, but there are {} bytes",
        log.len()
    );
    assert!(
        !log.contains('\x1b'),
        "no escape sequence of a guest reaches a terminal"
    );
    assert!(
        !log.lines()
            .any(|line| line.starts_with("2026-01-01T00:00:00Z  INFO callbox: all is well")),
        "no guest writes a line of the host's"
    );
    stage.unharmed();
}

#[test]
fn no_wait_outlasts_the_call() {
    for name in ["sleep", "event", "digit", "hang-up"] {
        let setup = setup().limit("limits.plugin", "call_max_s", 2).tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("wait-for-ever"),
            &trick(name, &[]),
        );
        let begun = Instant::now();
        Stage::of(setup).ends(200, &["limits.plugin.call_max_s"]);
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}");
    }
}

#[test]
fn a_call_has_a_longest_life() {
    let server = Setup::new()
        .limit("limits.plugin", "call_max_s", 1)
        .flow("answer", "hello")
        .start();
    let mut phone = server.phone();
    let begun = Instant::now();
    let call = phone.connect("answer");
    phone.expect_bye(&call);
    let lived = begun.elapsed();
    assert!(
        lived > Duration::from_millis(900) && lived < SOON,
        "the call lived {lived:?}"
    );
}
