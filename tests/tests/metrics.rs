//! What a host counts, against what it has really done: calls of SIPp that are answered, refused, trapped and limited.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::metrics::Scrape;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;
use callbox_tests::{cli, flows};

/// How long a call that is over may take to be counted, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

fn scrape(server: &Callbox) -> Scrape {
    Scrape::of(&Admin::of(server.folder()).get("/metrics"))
}

/// Scrapes until it is so: runs are counted when their flow's thread gets to it, a moment after the BYE.
fn until(server: &Callbox, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = Instant::now() + SOON;
    loop {
        let scrape = scrape(server);
        if is_so(&scrape) {
            return scrape;
        }
        assert!(
            Instant::now() < deadline,
            "not so: {what}\n{}",
            Admin::of(server.folder()).get("/metrics").body
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn rejected(server: &Callbox, number: &str, status: u16, calls: u32) {
    Sipp::scenario("rejected", server.address(), number)
        .fill("STATUS", status)
        .load(calls, 50)
        .run()
        .assert_all(calls);
}

fn answered(server: &Callbox, number: &str, calls: u32) {
    Sipp::scenario("answer", server.address(), number)
        .fill("HOLD_MS", 50)
        .load(calls, 20)
        .run()
        .assert_all(calls);
}

#[test]
fn the_numbers_are_those_of_the_calls() {
    let server = Setup::new()
        .flow("hello", "hello")
        .flow("busy", "busy")
        .tenant_flow("umbrella", "loop", &flows::example("loop"), "")
        .tenant_flow("small", "little", &flows::example("hello"), "")
        .tenant_limit("small", "calls_rate", 1)
        .tenant_limit("small", "calls_burst", 2)
        .limit("limits.versions", "breaker_traps", 0)
        .limit("limits.plugin", "fuel_burst", 10_000_000)
        .start();
    let before = scrape(&server);
    let house = |flow: &'static str| [("tenant", "house"), ("flow", flow), ("outcome", "finished")];
    assert_eq!(before.value("callbox_calls_total", &house("hello")), 0.0);
    assert_eq!(before.sum("callbox_refusals_total", &[]), 0.0);
    assert_eq!(
        before.sum("callbox_flow_version", &[]),
        4.0,
        "the first of four flows"
    );
    assert_eq!(before.value("callbox_deploys_total", &[("result", "taken")]), 4.0);

    answered(&server, "hello", 12);
    rejected(&server, "busy", 486, 5);
    rejected(&server, "nobody", 404, 3);
    rejected(&server, "loop", 500, 4);
    // The bucket of two has one more each second: the calls come at once, so some of them find it empty.
    answered(&server, "little", 2);
    rejected(&server, "little", 480, 1);

    let after = until(&server, "every run is over", |it| {
        it.sum("callbox_calls_total", &[]) >= 23.0 && it.value("callbox_runs", &[]) == 0.0
    });
    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(after.value(name, labels), expected, "{name} {labels:?}");
    };
    is("callbox_calls_total", &house("hello"), 12.0);
    is("callbox_calls_total", &house("busy"), 5.0);
    let spun = [
        ("tenant", "umbrella"),
        ("flow", "loop"),
        ("outcome", "out-of-fuel-burst"),
    ];
    is("callbox_calls_total", &spun, 4.0);
    is(
        "callbox_traps_total",
        &[("tenant", "umbrella"), ("flow", "loop")],
        4.0,
    );
    assert_eq!(after.sum("callbox_traps_total", &[]), 4.0);
    is(
        "callbox_limit_hits_total",
        &[("limit", "limits.plugin.fuel_burst")],
        4.0,
    );
    assert_eq!(after.sum("callbox_limit_hits_total", &[]), 4.0);
    assert_eq!(after.sum("callbox_calls_total", &[("tenant", "small")]), 2.0);
    is(
        "callbox_refusals_total",
        &[("code", "404"), ("reason", "no-route")],
        3.0,
    );
    let rate = [("code", "480"), ("reason", "limits.tenant.calls_rate")];
    is("callbox_refusals_total", &rate, 1.0);
    assert_eq!(after.sum("callbox_refusals_total", &[]), 4.0);
    let rate = [("tenant", "small"), ("limit", "limits.tenant.calls_rate")];
    is("callbox_tenant_limit_hits_total", &rate, 1.0);
    is("callbox_tenant_limit", &rate, 1.0);
    assert_eq!(after.sum("callbox_tenant_limit_hits_total", &[]), 1.0);

    // 14 were answered, 5 were refused by their flow and 4 for it.
    is("callbox_answer_seconds_count", &[("answer", "2xx")], 14.0);
    is("callbox_answer_seconds_count", &[("answer", "other")], 9.0);
    is(
        "callbox_answer_seconds_bucket",
        &[("answer", "2xx"), ("le", "+Inf")],
        14.0,
    );
    let made = |it: &Scrape| it.value("callbox_instantiate_seconds_count", &[]);
    assert_eq!(made(&after) - made(&before), 23.0);
    assert!(after.value("callbox_instantiate_seconds_sum", &[]) > 0.0);

    for tenant in ["house", "umbrella", "small"] {
        let own = [("tenant", tenant)];
        assert!(after.sum("callbox_fuel_used_total", &own) > 0.0, "{tenant}");
        assert!(
            after.value("callbox_tenant_cpu_seconds_total", &own) > 0.0,
            "{tenant}"
        );
        is("callbox_tenant_calls", &own, 0.0);
    }
    // INVITE, ACK and, for those that were answered, BYE; and what asked whether the host is there.
    assert!(after.value("callbox_datagrams_received_total", &[]) >= 14.0 * 3.0 + 13.0 * 2.0);
    assert!(after.value("callbox_datagrams_sent_total", &[]) >= 14.0 * 2.0 + 13.0);
    assert_eq!(after.value("callbox_sip_malformed_answered_total", &[]), 0.0);
    assert!(after.value("callbox_log_lines_total", &[]) > 0.0);
    is("callbox_pool_instances", &[], 0.0);
    assert!(after.value("callbox_open_files", &[]) >= 5.0);
    assert!(after.value("callbox_resident_memory_bytes", &[]) > 1e6);
    // The transactions of answered calls absorb copies for half a minute.
    assert!(
        after.value(
            "callbox_sip_transactions",
            &[("kind", "invite-server"), ("state", "accepted")]
        ) >= 14.0
    );
    until(&server, "every record is written", |it| {
        it.value("callbox_records_written_total", &[]) == 23.0
            && it.value("callbox_records_queue", &[]) == 0.0
    });
    only_rise(&before, &after);
}

/// Counters never fall, whatever happens between two scrapes.
fn only_rise(before: &Scrape, after: &Scrape) {
    for (name, labels, value) in before.samples().filter(|(name, ..)| name.ends_with("_total")) {
        let own: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert!(after.value(name, &own) >= value, "{name} {labels:?} fell");
    }
}

#[test]
fn calls_in_progress_and_what_a_peer_says_are_seen_as_they_are() {
    let server = Setup::new().flow("ring", "ring").start();
    let mut phone = server.phone();
    let evil = "a\"}1\\";
    let call = phone.invite("ring");
    // Each SIP thread tells of itself when it rests.
    let open = [("kind", "invite-server"), ("state", "proceeding")];
    let ringing = until(&server, "a call rings", |it| {
        it.value("callbox_runs", &[]) == 1.0
            && it.value("callbox_sip_legs", &[]) == 1.0
            && it.value("callbox_pool_instances", &[]) == 1.0
            && it.value("callbox_sip_transactions", &open) == 1.0
    });
    assert_eq!(ringing.value("callbox_tenant_calls", &[("tenant", "house")]), 1.0);
    let legs = [("tenant", "house"), ("limit", "limits.tenant.legs_max")];
    assert_eq!(ringing.value("callbox_tenant_usage", &legs), 1.0);
    assert_eq!(ringing.value("callbox_tenant_limit", &legs), 32_000.0);
    phone.invite(evil);
    drop(call);
    let mut names: Vec<String> = Vec::new();
    for (name, labels, _) in scrape(&server).samples() {
        for value in labels.values() {
            assert!(
                !value.contains('"') && !value.contains("127.") && !value.contains('@'),
                "{name} {labels:?}"
            );
        }
        names.push(name.to_owned());
    }
    assert!(names.len() > 100, "{}", names.len());
}

#[test]
fn a_plain_port_has_the_same_page_and_nothing_else() {
    let setup = Setup::new().flow("hello", "hello");
    let address = SocketAddr::new(setup.address().ip(), 9_090);
    let server = setup.lines(&format!("[metrics]\nlisten = \"{address}\"")).start();
    let plain = Admin::Tcp(address);
    let page = Scrape::of(&plain.get("/metrics"));
    assert_eq!(page.families(), scrape(&server).families());
    plain.get("/v1/status").assert_problem(404, "unknown-resource");
    plain.get("/").assert_problem(404, "unknown-resource");
    plain
        .request("POST", "/v1/jobs", "", "{}")
        .assert_problem(404, "unknown-resource");
    plain
        .request("DELETE", "/metrics", "", "")
        .assert_problem(405, "method");

    let said = cli::run(["metrics", "--config", server.config().to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(Scrape::parse(&said.out).families(), page.families());
}

#[test]
fn a_port_that_is_taken_is_said_with_the_line_to_change() {
    let setup = Setup::new().flow("hello", "hello");
    let taken = std::net::TcpListener::bind((setup.address().ip(), 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = setup
        .lines(&format!(
            "[metrics]\nlisten = \"{}\"",
            taken.local_addr().unwrap()
        ))
        .write(folder.path());
    let said = cli::run(["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("[metrics] listen"), "{}", said.err);
}

#[test]
fn the_page_that_explains_has_every_family_and_no_other() {
    let server = Setup::new().flow("hello", "hello").start();
    let served = scrape(&server).families();
    let page = cli::run(["metrics", "--markdown"]).out;
    let row = regex::Regex::new(r"(?m)^\| `(callbox_[a-z_]+)` \| (\w+) \| ([^|]*) \| (.+) \|$").unwrap();
    let mut explained = std::collections::BTreeMap::new();
    for found in row.captures_iter(&page) {
        explained.insert(found[1].to_owned(), found[2].to_owned());
    }
    assert_eq!(served, explained);
    assert!(served.len() > 60, "{}", served.len());
}

#[test]
fn counts_outlive_versions_and_configurations() {
    let server = Setup::new().flow("hello", "hello").start();
    let labels = [("tenant", "house"), ("flow", "hello"), ("outcome", "finished")];
    answered(&server, "hello", 2);
    until(&server, "two calls", |it| {
        it.value("callbox_calls_total", &labels) == 2.0
    });
    let config = server.config();
    let config = config.to_str().unwrap();
    let info = flows::example("info");
    let deployed = cli::run([
        "deploy",
        "house/hello",
        info.to_str().unwrap(),
        "--config",
        config,
    ]);
    assert_eq!(deployed.code, Some(0), "{deployed:#?}");
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(
        config,
        text.replace("number = \"hello\"", "number_prefix = \"hello\""),
    )
    .unwrap();
    assert!(server.reload());
    answered(&server, "hello", 3);
    let after = until(&server, "five calls", |it| {
        it.value("callbox_calls_total", &labels) == 5.0
    });
    let flow = [("tenant", "house"), ("flow", "hello")];
    assert_eq!(after.value("callbox_flow_version", &flow), 2.0);
    assert_eq!(after.value("callbox_deploys_total", &[("result", "taken")]), 2.0);
    std::fs::write(server.folder().join("broken"), "no flow").unwrap();
    let broken = server.folder().join("broken");
    let refused = cli::run([
        "deploy",
        "house/hello",
        broken.to_str().unwrap(),
        "--config",
        config,
    ]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let after = scrape(&server);
    assert_eq!(
        after.value("callbox_deploys_total", &[("result", "refused")]),
        1.0
    );
    assert_eq!(after.value("callbox_flow_version", &flow), 2.0);
}
/// Every string of a JSON value that stands under one of these keys.
fn strings<'a>(value: &'a serde_json::Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => strings(value, keys, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, keys, found)),
        _ => {}
    }
}

/// Whether brackets and quotes close in the order in which they open.
fn is_balanced(expression: &str) -> bool {
    let (mut open, mut quoted) = (Vec::new(), false);
    for letter in expression.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(letter) => return false,
            _ => {}
        }
    }
    open.is_empty() && !quoted
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
    let page = cli::run(["metrics", "--markdown"]).out;
    let row = regex::Regex::new(r"(?m)^\| `(callbox_[a-z_]+)` \| (\w+) \| ([^|]*) \|").unwrap();
    let known: std::collections::BTreeMap<String, (String, String)> = row
        .captures_iter(&page)
        .map(|found| (found[1].to_owned(), (found[2].to_owned(), found[3].to_owned())))
        .collect();
    let file = flows::root().join("docs/grafana.json");
    let text = std::fs::read_to_string(file).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();

    let mut sources = Vec::new();
    strings(&dashboard, &["uid"], &mut sources);
    sources.retain(|uid| *uid != "callbox");
    assert!(
        !sources.is_empty() && sources.iter().all(|uid| *uid == "${datasource}"),
        "{sources:?}"
    );

    let mut expressions = Vec::new();
    strings(&dashboard, &["expr", "definition"], &mut expressions);
    assert!(expressions.len() > 60, "{}", expressions.len());
    // A selector, its matchers, and whether a function of counters is around it.
    let selector =
        regex::Regex::new(r#"(rate\(|increase\()?(callbox_[a-z_]+)(?:\{([^}]*)\})?(\[\$?\w+\])?"#).unwrap();
    let matcher = regex::Regex::new(r#"(\w+)\s*(?:=~|!=|!~|=)"#).unwrap();
    let by = regex::Regex::new(r"by \(([^)]*)\)").unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for expression in expressions {
        assert!(is_balanced(expression), "{expression}");
        let mut labels = String::from("le job instance");
        for found in selector.captures_iter(expression) {
            let name = found[2].strip_suffix("_bucket").unwrap_or(&found[2]);
            let (kind, own) = known
                .get(name)
                .unwrap_or_else(|| panic!("{name} of {expression} does not exist"));
            assert_eq!(kind == "histogram", found[2].ends_with("_bucket"), "{expression}");
            let rises = found.get(1).is_some();
            assert_eq!(
                rises,
                kind != "gauge",
                "a counter is read by its rate, a gauge is not: {expression}"
            );
            assert!(!rises || found.get(4).is_some(), "{expression}");
            for label in matcher.captures_iter(found.get(3).map_or("", |it| it.as_str())) {
                let label = &label[1];
                assert!(
                    ["job", "instance"].contains(&label) || own.contains(&format!("`{label}`")),
                    "{name} has no label {label}: {expression}"
                );
            }
            labels.push_str(own);
            asked.insert(name.to_owned());
        }
        for found in by.captures_iter(expression) {
            for label in found[1].split(", ") {
                assert!(labels.contains(label), "no label {label} in {expression}");
            }
        }
    }
    assert!(
        asked.len() > 50,
        "only {} of {} metrics are shown",
        asked.len(),
        known.len()
    );
}
