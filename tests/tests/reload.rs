//! SIGHUP: a new configuration is taken whole or not at all, and no call notices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::cli;
use callbox_tests::flows::{self, Broken};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

const SOON: Duration = Duration::from_secs(20);

/// Writes the configuration anew, with these lines at its end.
fn rewrite(server: &Callbox, original: &str, more: &str) {
    fs::write(server.config(), format!("{original}\n{more}\n")).unwrap();
}

fn text(server: &Callbox) -> String {
    fs::read_to_string(server.config()).unwrap()
}

/// The status that a caller gets.
fn status(server: &Callbox, user: &str) -> String {
    let mut phone = server.phone();
    let mut call = phone.invite(user);
    let response = phone.final_response(&call, "INVITE");
    let status = response.start_line().to_owned();
    phone.ack(&mut call, &response);
    if status.contains(" 200 ") {
        phone.hang_up(&mut call);
    }
    status
}

#[test]
fn no_call_notices_fifty_reloads_half_of_them_broken() {
    let server = Setup::new().flow("answer", "hello").start();
    let original = text(&server);
    let folder = tempfile::tempdir().unwrap();
    let no_flow = Broken::Text.write(folder.path());
    let more = |file: &std::path::Path, name: &str| {
        format!(
            "[[tenant]]\nname = {name:?}\nflow.f.file = {file:?}\n[[route]]\nnumber = {name:?}\ntenant = {name:?}\nflow = \"f\""
        )
    };
    let (busy, ring) = (flows::example("busy"), flows::example("ring"));
    let calls = Sipp::scenario("answer", server.address(), "answer")
        .fill("HOLD_MS", 300)
        .load(600, 50)
        .start();
    for round in 0..50 {
        let (lines, taken) = match round % 5 {
            0 => (more(&busy, "one"), true),
            1 => ("[[route]]\nnumber = ".to_owned(), false),
            2 => (String::new(), true),
            3 => (more(&no_flow, "two"), false),
            _ => (more(&ring, "one"), true),
        };
        rewrite(&server, &original, &lines);
        assert_eq!(server.reload(), taken, "round {round}: {lines}");
        std::thread::sleep(Duration::from_millis(100));
    }
    calls.finish().assert_all(600);
    server.wait_until_idle(Duration::from_secs(60));
}

#[test]
fn a_tenant_comes_changes_and_goes() {
    let server = Setup::new().flow("answer", "hello").flow("ring", "busy").start();
    let original = text(&server);
    assert!(status(&server, "new").contains(" 404 "));

    let file = flows::example("busy");
    let tenant = format!("[[tenant]]\nname = \"new\"\nflow.f = {{ file = {file:?}, numbers = \"new\" }}\n");
    rewrite(&server, &original, &tenant);
    assert!(server.reload());
    assert!(status(&server, "new").contains(" 486 "), "the next call finds it");
    server.wait_for_log(&["reload: tenant new added"], SOON);
    server.wait_for_log(&["reload: route new to new/f added"], SOON);

    // Another file under the same name.
    let other = format!("{:?}", flows::example("hello"));
    rewrite(&server, &original, &tenant.replace(&format!("{file:?}"), &other));
    assert!(server.reload());
    server.wait_for_log(&["reload: flow new/f changed"], SOON);
    let mut phone = server.phone();
    let mut call = phone.connect("new");

    // It goes while its call is up.
    rewrite(&server, &original, "");
    assert!(server.reload());
    server.wait_for_log(&["reload: tenant new removed"], SOON);
    assert!(status(&server, "new").contains(" 404 "));
    // The call is still up.
    phone.hang_up(&mut call);
    assert!(status(&server, "answer").contains(" 200 "));
    server.wait_until_idle(Duration::from_secs(60));
}

#[test]
fn what_is_refused_changes_nothing_and_says_why() {
    let server = Setup::new().flow("answer", "hello").start();
    let original = text(&server);
    let folder = tempfile::tempdir().unwrap();
    let no_flow = Broken::Text.write(folder.path());
    let house = original.replace(
        "[[route]]",
        "[[route]]\nnumber = \"other\"\ntenant = \"house\"\nflow = \"answer\"\n[[route]]",
    );
    for (wrong, said) in [
        ("nonsense = 1".to_owned(), "nonsense: is not a key"),
        (
            format!("[[tenant]]\nname = \"x\"\nflow.f.file = {no_flow:?}"),
            "flow x/f: ",
        ),
        ("tenants = \"nowhere\"".to_owned(), "cannot be read"),
    ] {
        // Keys of the root stand before the first table.
        let (root, tables) = match wrong.starts_with('[') {
            true => ("", wrong.as_str()),
            false => (wrong.as_str(), ""),
        };
        fs::write(server.config(), format!("{root}\n{house}\n{tables}")).unwrap();
        assert!(!server.reload(), "{wrong}");
        server.wait_for_log(&["ERROR", "reload: ", said], SOON);
        assert!(
            status(&server, "other").contains(" 404 "),
            "the right half was not taken either"
        );
        assert!(status(&server, "answer").contains(" 200 "));
    }
    fs::remove_file(server.config()).unwrap();
    assert!(!server.reload());

    fs::write(
        server.config(),
        house.replacen("listen = [", "listen = [\"udp:127.0.0.1:0\", ", 1),
    )
    .unwrap();
    let ask = |expected| {
        let said = cli::run(["reload", "--config", server.config().to_str().unwrap()]);
        assert_eq!(said.code, Some(expected), "{said:?}");
        said.all()
    };
    assert!(ask(0).contains("route other to house/answer added"));
    assert_eq!(ask(0), "stays as it was until callbox is started again: listen\n");
    server.wait_for_log(
        &["WARN", "stays as it was until callbox is started again: listen"],
        SOON,
    );
    assert!(status(&server, "other").contains(" 200 "));
}

#[test]
fn the_runs_of_a_job_that_is_gone_end() {
    let server = Setup::new().flow("answer", "hello").start();
    let original = text(&server);
    let file = flows::example("desk");
    let tenant = format!(
        "[[tenant]]\nname = \"crew\"\n[tenant.flow.desk]\nfile = {file:?}\n\
         job.start = \"boot\"\njob.restart = true\njob.args = {{ service = \"desk\", wait = \"600\" }}\n\
         [[route]]\nnumber = \"7\"\ntenant = \"crew\"\nservice = \"desk\"\n"
    );
    let config = server.config();
    let config = config.to_str().unwrap();
    let runs = |expected: bool| {
        let deadline = Instant::now() + SOON;
        loop {
            let ps = callbox_tests::cli::run(["ps", "--config", config]);
            if ps.out.contains("crew/desk") == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{ps:#?}\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let table =
        "job.start = \"boot\"\njob.restart = true\njob.args = { service = \"desk\", wait = \"600\" }\n";
    assert!(tenant.contains(table));
    // With its tenant, and with its table only.
    for without in [String::new(), tenant.replace(table, "")] {
        fs::write(server.config(), format!("{original}\n{tenant}")).unwrap();
        assert!(server.reload());
        runs(true);
        fs::write(server.config(), format!("{original}\n{without}")).unwrap();
        assert!(server.reload());
        runs(false);
    }
}

#[test]
fn jobs_follow_their_tables() {
    let server = Setup::new().flow("answer", "hello").start();
    let original = text(&server);
    let with = |start: &str| {
        let file = flows::example("desk");
        let job = format!(
            "[tenant.flow.tick]\nfile = {file:?}\njob.{start}\njob.args = {{ service = \"nobody\" }}\n"
        );
        original.replacen("[[route]]", &format!("{job}[[route]]"), 1)
    };
    let runs = || {
        let log = server.log();
        let ended = |line: &&str| line.contains("\"tick\"") && line.contains("no service");
        log.lines().filter(ended).count()
    };
    fs::write(server.config(), with("every = \"1s\"")).unwrap();
    assert!(server.reload());
    let deadline = Instant::now() + SOON;
    while runs() < 2 {
        assert!(
            Instant::now() < deadline,
            "the job does not run:\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::write(server.config(), &original).unwrap();
    assert!(server.reload());
    // What was about to end has ended.
    std::thread::sleep(Duration::from_millis(500));
    let before = runs();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(
        runs(),
        before,
        "a job that is gone from the configuration still runs"
    );

    fs::write(server.config(), with("start = \"boot\"")).unwrap();
    assert!(server.reload());
    let deadline = Instant::now() + SOON;
    while runs() == before {
        assert!(
            Instant::now() < deadline,
            "a job that comes with a reload is not started:\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_limits_in_force_are_those_of_the_reload_or_of_the_start() {
    let server = Setup::new()
        .flow("answer", "hello")
        .limit("limits.sip", "legs_max", 1_000)
        .start();
    let original = text(&server);
    let limit = |name: &str| {
        let answer = Admin::of(server.folder()).get("/v1/limits");
        let rows: Vec<serde_json::Value> = serde_json::from_str(&answer.body).unwrap();
        let row = rows.into_iter().find(|row| row["name"] == name).unwrap();
        (row["value"].as_u64().unwrap(), row["after_restart"].as_u64())
    };
    assert_eq!(limit("limits.sip.legs_max"), (1_000, None));
    let more = "[limits.call]\ndigits_max = 7\n[limits.wire]\ntcp_message_ms = 700";
    rewrite(&server, &original, more);
    assert!(server.reload());
    assert_eq!(limit("limits.call.digits_max"), (7, None));
    assert_eq!(limit("limits.wire.tcp_message_ms"), (10_000, Some(700)));
    assert_eq!(limit("limits.sip.legs_max"), (1_000, None));
    rewrite(&server, &original, "");
    assert!(server.reload());
    assert_eq!(limit("limits.call.digits_max"), (256, None));
    assert_eq!(limit("limits.wire.tcp_message_ms"), (10_000, None));
}
