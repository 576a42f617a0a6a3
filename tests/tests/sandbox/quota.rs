//! A tenant that takes all it may have: its own callers get a defined answer, and the others notice nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use callbox_tests::message::Message;
use callbox_tests::phone::{Call, Phone, SOON};
use callbox_tests::server::Setup;
use callbox_tests::{flows, process};

use crate::{MEMORY_KIB, STOPPED, Stage, setup, trick};

/// The hostile tenant answers calls and never ends them.
fn holding(setup: Setup) -> Stage {
    Stage::of(setup.tenant_flow(
        "umbrella",
        "hostile",
        &flows::example("wait-for-ever"),
        &trick("sleep", &[]),
    ))
}

/// Calls it until somebody says no: the calls that are up, and the answer.
fn fill(phone: &mut Phone, number: &str, most: usize) -> (Vec<Call>, Message) {
    let mut up = Vec::new();
    loop {
        let mut call = phone.invite(number);
        let answer = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &answer);
        if answer.status() != Some(200) {
            return (up, answer);
        }
        up.push(call);
        assert!(up.len() <= most, "more than {most} calls are up");
    }
}

fn is_told_to_come_later(answer: &Message) {
    // Not 503: a proxy would send everybody's calls elsewhere.
    assert_eq!(answer.status(), Some(480), "{answer:?}");
    assert!(answer.header("Retry-After").parse::<u32>().is_ok(), "{answer:?}");
}

#[test]
fn a_tenant_that_fills_the_host_leaves_the_others_their_part() {
    // A fifth of twenty is kept, two for each: umbrella gets eighteen.
    let mut stage = holding(setup().limit("limits", "calls_max", 20));
    let (mut up, answer) = fill(&mut stage.phone, "hostile", 18);
    assert_eq!(up.len(), 18);
    is_told_to_come_later(&answer);
    stage.told(&["limits.calls_reserved_percent reached"]);
    stage.others_are_answered();
    // Both of its own, and then the host itself is full.
    let mut others = Vec::new();
    let deadline = Instant::now() + SOON;
    // The place of the call before is given back when its instance is gone, a moment after the BYE.
    while others.len() < 2 {
        others.extend(fill(&mut stage.phone, "answer", 2).0);
        assert!(
            Instant::now() < deadline,
            "the others have {} of two",
            others.len()
        );
    }
    let (more, answer) = fill(&mut stage.phone, "answer", 0);
    assert_eq!((more.len(), answer.status()), (0, Some(503)), "{answer:?}");
    for call in up.iter_mut().chain(&mut others) {
        stage.phone.hang_up(call);
    }
    stage.server.assert_alive();
}

#[test]
fn a_tenant_has_so_many_calls_and_no_more() {
    let mut stage = holding(setup().tenant_limit("umbrella", "calls_max", 2));
    let (up, answer) = fill(&mut stage.phone, "hostile", 2);
    assert_eq!(up.len(), 2);
    is_told_to_come_later(&answer);
    stage.told(&["limits.tenant.calls_max reached"]);
    stage.others_are_answered();
}

#[test]
fn a_flood_of_calls_is_refused_before_anything_is_instantiated() {
    let setup = setup()
        .tenant_limit("umbrella", "calls_rate", 1)
        .tenant_limit("umbrella", "calls_burst", 3)
        .tenant_flow("umbrella", "hostile", &flows::example("busy"), "");
    let mut stage = Stage::of(setup);
    let (mut through, mut refused) = (0, 0);
    for _ in 0..50 {
        let mut call = stage.phone.invite("hostile");
        let answer = stage.phone.final_response(&call, "INVITE");
        stage.phone.ack(&mut call, &answer);
        if answer.header("Retry-After").is_empty() {
            through += 1;
        } else {
            is_told_to_come_later(&answer);
            refused += 1;
        }
        stage.others_are_answered();
    }
    // One a second more, and the machine may be slow.
    assert!(
        through >= 3 && refused >= 10,
        "{through} through, {refused} refused"
    );
    stage.told(&["limits.tenant.calls_rate reached"]);
    stage.unharmed();
}

#[test]
fn calls_that_a_session_accepts_count_too() {
    let more = "[tenant.flow.desk.job]\nstart = \"boot\"\n[tenant.flow.desk.job.args]\nservice = \"desk\"\ncalls = 10";
    let setup = setup()
        .limit("limits.call", "service_wait_ms", 60_000)
        .tenant_limit("umbrella", "calls_max", 2)
        .job("umbrella", "desk", &flows::example("desk"), more)
        .service("umbrella", "7", "desk");
    let mut stage = Stage::of(setup);
    // The job is one of the two.
    let mut first = stage.phone.connect("7");
    let mut second = stage.phone.invite("7");
    let answer = stage.phone.final_response(&second, "INVITE");
    is_told_to_come_later(&answer);
    stage.phone.ack(&mut second, &answer);
    stage.told(&["limits.tenant.calls_max reached"]);
    stage.phone.hang_up(&mut first);
    let deadline = Instant::now() + SOON;
    loop {
        let mut third = stage.phone.invite("7");
        let answer = stage.phone.final_response(&third, "INVITE");
        stage.phone.ack(&mut third, &answer);
        if answer.status() == Some(200) {
            stage.phone.hang_up(&mut third);
            break;
        }
        assert!(
            Instant::now() < deadline,
            "its place is never given back: {answer:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_spawn_bomb_fills_its_own_tenants_part_and_not_that_of_its_callers() {
    let setup = setup()
        .tenant_limit("umbrella", "spawned_max", 20)
        .tenant_limit("umbrella", "delayed_jobs_max", 5)
        .job(
            "umbrella",
            "bomb",
            &flows::example("spawn-bomb"),
            "[tenant.flow.bomb.job]\nstart = \"boot\"",
        )
        .tenant_flow("umbrella", "hostile", &flows::example("hello"), "");
    let mut stage = Stage::of(setup);
    // Which copy starts how many is a race between them.
    stage.told(&["now:", "limits.tenant.spawned_max"]);
    stage.told(&["later:", "limits.tenant.delayed_jobs_max"]);
    let started = stage.server.log().matches("flow: now:").count();
    assert!(
        started <= 21,
        "{started} copies: the first, and twenty that it and they have started"
    );
    stage.others_are_answered();
    // Callers of the tenant that does this to itself get through as well.
    let mut own = stage.phone.connect("hostile");
    stage.phone.hang_up(&mut own);
    stage.server.assert_alive();
    stage.is_booked(&[]);
}

#[test]
fn a_spawn_bomb_that_begins_slowly_is_slow() {
    let setup = setup()
        .tenant_limit("umbrella", "spawns_rate", 1)
        .tenant_limit("umbrella", "spawns_burst", 3)
        .job(
            "umbrella",
            "bomb",
            &flows::example("spawn-bomb"),
            "[tenant.flow.bomb.job]\nstart = \"boot\"",
        );
    let stage = Stage::of(setup);
    stage.told(&["started, refused", "limits.tenant.spawns_rate"]);
}

#[test]
fn a_storm_of_dials_ends_at_the_tenants_number() {
    let setup = setup();
    let mut victim = Phone::udp(setup.address());
    let to = format!("sip:victim@{}", victim.address());
    let host = victim.address().ip().to_string();
    let setup = setup
        .dial("umbrella", &[&host])
        .tenant_limit("umbrella", "dials_rate", 1)
        .tenant_limit("umbrella", "dials_burst", 2)
        .tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("flood"),
            &trick("dials", &[("to", &to)]),
        );
    let mut stage = Stage::of(setup);
    stage.call();
    stage.told(&["dials:", "limits.tenant.dials_rate"]);
    stage.told(&["limits.tenant.dials_rate reached"]);
    let mut calls = BTreeSet::new();
    while let Some(message) = victim.receive(Duration::from_millis(500)) {
        if message.method() == Some("INVITE") {
            calls.insert(message.header("Call-ID").to_owned());
        }
    }
    // Two at once, and one for each second of the storm; one that is dropped at once may never be sent.
    assert!(calls.len() <= 5, "{} calls", calls.len());
    stage.unharmed();
    stage.is_booked(&[]);
}

#[test]
fn a_tenant_has_so_many_registrations_and_no_more() {
    let setup = setup();
    let registrar = Phone::udp(setup.address());
    let host = registrar.address().ip().to_string();
    let job = format!(
        "[tenant.flow.NAME.job]\nstart = \"boot\"\n[tenant.flow.NAME.job.args]\nregistrar = \"sip:desk@{}\"\n",
        registrar.address()
    );
    let desk = flows::example("desk");
    // The registrar says nothing, so both are on their way at the same time.
    let stage = Stage::of(
        setup
            .dial("umbrella", &[&host])
            .tenant_limit("umbrella", "registrations_max", 1)
            .job("umbrella", "one", &desk, &job.replace("NAME", "one"))
            .job("umbrella", "two", &desk, &job.replace("NAME", "two")),
    );
    stage.told(&["limits.tenant.registrations_max reached"]);
    stage.told(&["denied", "limits.tenant.registrations_max"]);
}

#[test]
fn a_tenant_that_has_spent_its_cpu_is_slowed_and_its_callers_are_told() {
    let setup = setup()
        .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
        .tenant_limit("umbrella", "cpu_rate", 10)
        .tenant_limit("umbrella", "cpu_burst_ms", 100)
        .tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("loop"),
            "auto_ring = false\n",
        );
    let mut stage = Stage::of(setup);
    let begun = Instant::now();
    let spinning = stage.phone.invite("hostile");
    stage.told(&["limits.tenant.cpu_rate reached"]);
    // It has its rate, and what it was given at first.
    let deadline = Instant::now() + SOON;
    let answer = loop {
        let mut second = stage.phone.invite("hostile");
        if let Some(answer) = stage
            .phone
            .receive_of(&second, Duration::from_millis(300))
            .filter(|answer| answer.status() == Some(480))
        {
            stage.phone.ack(&mut second, &answer);
            break answer;
        }
        stage.phone.cancel(&second);
        assert!(Instant::now() < deadline, "no caller was told");
    };
    is_told_to_come_later(&answer);
    for _ in 0..20 {
        stage.others_are_answered();
    }
    assert!(begun.elapsed() < STOPPED);
    stage.phone.cancel(&spinning);
    stage.server.assert_alive();
}

#[test]
fn the_memory_bombs_of_a_tenant_share_its_memory() {
    let setup = setup()
        .tenant_limit("umbrella", "memory_max_bytes", 80 << 20)
        .tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("memory-bomb"),
            "auto_ring = false\n",
        );
    let mut stage = Stage::of(setup);
    // Each could have 64 MiB; six together have 80.
    let calls: Vec<Call> = (0..6).map(|_| stage.phone.invite("hostile")).collect();
    let most = stage.rss_kib + (80 << 10) + MEMORY_KIB;
    let mut peak = 0;
    for mut call in calls {
        let answer = stage.phone.final_response(&call, "INVITE");
        peak = peak.max(process::rss_kib(stage.server.pid()));
        assert_eq!(answer.status(), Some(500), "{answer:?}");
        stage.phone.ack(&mut call, &answer);
    }
    assert!(
        peak < most,
        "{} KiB before and {peak} KiB meanwhile",
        stage.rss_kib
    );
    stage.told(&["limits.tenant.memory_max_bytes"]);
    stage.unharmed();
    stage.is_booked(&["limits.tenant.memory_max_bytes"]);
}

#[test]
fn what_all_flows_of_a_tenant_log_is_bounded_too() {
    let setup = setup()
        .tenant_limit("umbrella", "log_rate", 1_024)
        .tenant_limit("umbrella", "log_burst_bytes", 65_536)
        .tenant_flow(
            "umbrella",
            "hostile",
            &flows::example("log-flood"),
            "auto_ring = false\n",
        );
    let mut stage = Stage::of(setup);
    stage.call();
    stage.told(&["suppressed", "limits.tenant.log_rate"]);
    let log = stage.server.log();
    assert!(log.len() < 512 << 10, "{} bytes of log", log.len());
    stage.unharmed();
    stage.is_booked(&[]);
}
