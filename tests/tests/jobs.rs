//! Jobs: by `callbox call`, at the start of the host, and again and again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use callbox_tests::cli::{self, Said};
use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::process::Running;
use callbox_tests::server::Setup;

const LONG: Duration = Duration::from_secs(60);

fn desk_on_demand() -> Setup {
    Setup::new()
        .job("house", "desk", &flows::example("desk"), "")
        .job("house", "busy", &flows::example("busy"), "")
        .service("house", "7", "desk")
}

fn call(config: &Path, arguments: &[&str]) -> Said {
    cli::said(call_command(config).args(arguments), LONG)
}

fn call_command(config: &Path) -> Command {
    let mut command = cli::command();
    command.arg("call").arg("--config").arg(config);
    command
}

#[test]
fn a_job_is_run_and_what_it_reports_is_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let config = desk_on_demand().write(folder.path());
    let said = call(
        &config,
        &["house/desk", "--arg", "service=desk", "--arg", "calls=0"],
    );
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "calls: 0\n"),
        "{said:#?}"
    );

    // The same as a document of one's own, from a file and from standard input.
    let args = r#"{"service": "desk", "calls": 0}"#;
    let file = folder.path().join("args.json");
    fs::write(&file, args).unwrap();
    let said = call(&config, &["house/desk", "--args", file.to_str().unwrap()]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "calls: 0\n"),
        "{said:#?}"
    );
    let mut child = call_command(&config)
        .args(["house/desk", "--args", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(args.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "calls: 0\n");
}

#[test]
fn a_job_that_fails_and_one_that_cannot_be_tried_differ_in_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let config = desk_on_demand().write(folder.path());
    let failed = call(&config, &["house/desk", "--arg", "service=window"]);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    assert!(
        failed.err.contains("no service") && failed.out.is_empty(),
        "{failed:#?}"
    );
    for (arguments, part) in [
        (&["house/dsk"][..], "there are: house/"),
        (&["house/busy"], "job-flow"),
        (&["house/desk", "--arg", "service"], "KEY=VALUE"),
        (
            &["house/desk", "--args", "/nowhere/args.json"],
            "/nowhere/args.json",
        ),
        (
            &["house/desk", "--arg", "a=1", "--arg", "a=2"],
            "--arg names a key twice",
        ),
    ] {
        let said = call(&config, arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:#?}");
        assert!(said.err.contains(part), "{arguments:?}: {said:#?}");
    }
}

/// A registrar that answers every REGISTER with 200 and says so; how many it has seen, and whether the last one was a
/// removal.
fn registrar(mut phone: Phone, longest: Duration, answered: &mpsc::Sender<()>) -> (usize, bool) {
    let deadline = Instant::now() + longest;
    let mut seen = 0;
    while let Some(message) = phone.receive(deadline.saturating_duration_since(Instant::now())) {
        if message.method() != Some("REGISTER") {
            continue;
        }
        seen += 1;
        let removal = message.header("Expires") == "0";
        let mut text = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in message.headers(name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if removal {
            // Slow, so that a host which does not wait for the answer is found out.
            std::thread::sleep(Duration::from_millis(300));
        } else {
            text.push_str(&format!("Contact: {};expires=300\r\n", message.header("Contact")));
        }
        phone.send(text + "Content-Length: 0\r\n\r\n");
        answered.send(()).unwrap();
        if removal {
            return (seen, true);
        }
    }
    (seen, false)
}

#[test]
fn an_interrupted_job_takes_its_registration_back_and_waits_for_the_answer() {
    let setup = desk_on_demand().dial("house", &["127.0.0.0/8"]);
    let phone = Phone::udp(setup.address());
    let folder = tempfile::tempdir().unwrap();
    let config = setup.write(folder.path());
    let registrar_is = format!("registrar=sip:alice@{}", phone.address());
    let mut command = call_command(&config);
    command.args(["house/desk", "--arg", &registrar_is, "--log-level", "warn"]);
    // The registrar's socket knows this address only.
    command.args(["--listen", &format!("udp:{}", setup.address())]);
    let log = fs::File::create(folder.path().join("err")).unwrap();
    let mut running = Running::start(command.stdout(Stdio::null()).stderr(log)).unwrap();
    let (answered, answers) = mpsc::channel();
    let registered = std::thread::spawn(move || registrar(phone, LONG, &answered));
    answers.recv_timeout(LONG).expect("it registers");
    std::thread::sleep(Duration::from_millis(200));
    running.terminate();
    let status = running.wait(Duration::from_secs(10)).expect("it ends");
    let err = fs::read_to_string(folder.path().join("err")).unwrap();
    assert_eq!(status.code(), Some(1), "{err}");
    assert_eq!(registered.join().unwrap(), (2, true), "{err}");
    assert!(
        err.contains("was ended before it was over") && !err.contains("stopped before"),
        "{err}"
    );
}

#[test]
fn a_stopped_server_waits_until_its_registrations_are_taken_back() {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let phone = Phone::udp(setup.address());
    let own = phone.address();
    let more = format!("job.start = \"boot\"\njob.args.registrar = \"sip:alice@{own}\"");
    let setup = setup.job("house", "desk", &flows::example("desk"), &more);
    let (answered, answers) = mpsc::channel();
    let registered = std::thread::spawn(move || registrar(phone, LONG, &answered));
    let mut server = setup.start();
    answers.recv_timeout(SOON).expect("it registers");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.stop(Duration::from_secs(10)), Some(0), "{}", server.log());
    assert_eq!(registered.join().unwrap(), (2, true));
    assert!(!server.log().contains("stopped before"), "{}", server.log());
}

#[test]
fn jobs_start_at_boot_and_at_intervals_and_never_twice_at_a_time() {
    let file = flows::example("desk");
    let server = Setup::new()
        .job(
            "house",
            "once",
            &file,
            "job.start = \"boot\"\njob.args.service = \"nowhere\"",
        )
        .job(
            "house",
            "again",
            &file,
            "job.start = \"boot\"\njob.restart = true\njob.args.service = \"nowhere\"",
        )
        .job(
            "house",
            "often",
            &file,
            "job.every = \"1s\"\njob.args = { service = \"desk\", wait = 3 }",
        )
        .service("house", "7", "desk")
        .start();
    server.wait_for_log(&["\"once\"", "no service"], SOON);
    let failed_again = |server: &callbox_tests::server::Callbox| {
        let log = server.log();
        log.lines()
            .filter(|line| line.contains("\"again\"") && line.contains("no service"))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while failed_again(&server) < 3 {
        assert!(Instant::now() < deadline, "it is begun again:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    server.wait_for_log(
        &["the job was still running when its time came", "often"],
        Duration::from_secs(20),
    );
    let once = server.log();
    assert_eq!(
        once.lines()
            .filter(|line| line.contains("\"once\"") && line.contains("no service"))
            .count(),
        1
    );
}

#[test]
fn sessions_start_others_hear_from_them_and_write_into_the_record() {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]).job(
        "house",
        "campaign",
        &flows::example("campaign"),
        "",
    );
    let mut phone = Phone::udp(setup.address());
    let own = phone.address();
    let folder = tempfile::tempdir().unwrap();
    let config = setup.write(folder.path());
    let people: Vec<String> = ["ann", "bob", "cid", "dora"]
        .iter()
        .map(|name| format!("sip:{name}@{own}"))
        .collect();
    let (people_are, listen) = (
        format!("people={}", people.join(" ")),
        format!("udp:{}", setup.address()),
    );
    // Everybody declines in a way of their own.
    let callee = std::thread::spawn(move || {
        let deadline = Instant::now() + LONG;
        let mut declined = std::collections::BTreeSet::new();
        while declined.len() < 4
            && let Some(message) = phone.receive(deadline.saturating_duration_since(Instant::now()))
        {
            if message.method() != Some("INVITE") {
                continue;
            }
            let user = message.request_uri().trim_start_matches("sip:");
            let user = user.split('@').next().unwrap_or_default().to_owned();
            let status = match user.as_str() {
                "ann" => "486 Busy Here",
                "bob" => "603 Decline",
                "cid" => "404 Not Found",
                _ => "480 Gone Out",
            };
            phone.respond(&message, status);
            declined.insert(user);
        }
        declined.len()
    });
    let said = call(
        &config,
        &["house/campaign", "--arg", &people_are, "--listen", &listen],
    );
    assert_eq!(callee.join().unwrap(), 4, "{said:#?}");
    let expected = format!(
        "sip:ann@{own}: 486 Busy Here\nsip:bob@{own}: 603 Decline\nsip:cid@{own}: 404 Not Found\n\
         sip:dora@{own}: 480 Gone Out\n"
    );
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), expected.as_str()),
        "{said:#?}"
    );
    let record = said
        .err
        .lines()
        .find(|line| line.contains("603 Decline") && line.contains("outcome="))
        .unwrap_or_else(|| panic!("no record: {said:#?}"));
    assert!(
        record.contains(&format!("sip:bob@{own}")) && record.contains("house"),
        "{record}"
    );
}
