//! Flows in Python and JavaScript, whose runtimes import all of WASI: they find nothing in it but clocks, random numbers and
//! their log.
//!
//! `make guests` builds them. Where their tools are not to be had the tests say so and pass; with `CI=true` they fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

/// Twelve seconds of CPU on a quiet machine.
const COMPILED: Duration = Duration::from_secs(900);
/// For a call that starts an interpreter.
const ANSWERED: Duration = Duration::from_secs(20);

/// The flow's file, if it was built.
fn built(language: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CALLBOX_FLOWS")
        .map_or_else(|| flows::root().join("examples/target/flows"), PathBuf::from);
    let file = folder.join(format!("{language}.wasm"));
    if file.is_file() {
        return Some(file);
    }
    let why = format!("{} is not there: run `make guests`", file.display());
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
    println!("not tested: {why}");
    None
}

/// A server with this flow twice, the second time to flood its log; the operator's own things are in its environment.
fn start(language: &str) -> Option<Callbox> {
    let file = built(language)?;
    let server = Setup::new()
        .patience(COMPILED)
        .limit("limits.plugin", "compile_wall_ms", COMPILED.as_millis() as u64)
        .tenant_flow("house", language, &file, "")
        .tenant_flow("house", "flood", &file, "config = { flood = \"yes\" }\n")
        .start();
    Some(server)
}

/// The call is answered, and ends when the caller hangs up.
fn call(server: &Callbox, user: &str) -> Phone {
    let mut phone = server.phone();
    let mut call = phone.invite(user);
    let answer = loop {
        let message = phone.receive_of(&call, ANSWERED).expect("an answer");
        if message.status().is_some_and(|code| code >= 200) {
            break message;
        }
    };
    assert_eq!(answer.status(), Some(200), "{answer:?}\n{}", server.log());
    phone.ack(&mut call, &answer);
    phone.hang_up(&mut call);
    phone
}

/// What the flow says after `what: ` in the first line of the log that has it.
fn said(server: &Callbox, what: &str) -> String {
    let line = server.wait_for_log(&[&format!("flow: {what}: ")], SOON);
    line.split_once(&format!("flow: {what}: ")).unwrap().1.to_owned()
}

/// What both languages have in common.
fn finds_nothing(language: &str, empty: [(&str, &str); 2]) -> Option<Callbox> {
    let server = start(language)?;
    call(&server, language);
    server.wait_for_log(&[&format!("{language} answers 2001")], SOON);

    let clock = said(&server, "clock");
    let (seconds, monotonic) = clock.split_once(' ').unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(seconds.parse().unwrap()) < 600, "{clock}");
    assert_eq!(monotonic.to_lowercase(), "true");

    for (what, nothing) in empty {
        assert_eq!(said(&server, what), nothing, "{what}");
    }
    for what in ["name", "tcp"] {
        let outcome = said(&server, what);
        assert!(outcome.starts_with("refused: "), "{what}: {outcome}");
    }

    // Lines of the call's log, each at its level, with nothing in them that a terminal would obey.
    let out = server.wait_for_log(&["INFO", "on stdout: "], SOON);
    assert!(out.ends_with(r"on stdout: \u{1b}[31mred\u{1b}[0m"), "{out}");
    let err = server.wait_for_log(&["WARN", "on stderr: "], SOON);
    assert!(err.ends_with(r"on stderr: \u{7}bell"), "{err}");

    // Random numbers are the system's, for each call anew, and not those of the build.
    let before = server.log();
    call(&server, language);
    server.wait_for_count("flow: random: ", 2, SOON);
    let log = server.log();
    let drawn = |log: &str| -> Vec<String> {
        let lines = log.lines().filter_map(|line| line.split_once("flow: random: "));
        lines.map(|(_, hex)| hex.to_owned()).collect()
    };
    let (first, both) = (drawn(&before), drawn(&log));
    assert_eq!((first.len(), both.len()), (1, 2), "{both:?}");
    assert!(both[0].len() == 32 && both[0] != both[1], "{both:?}");

    // A flood on stdout is cut: what one call may log is bounded.
    call(&server, "flood");
    server.wait_for_log(&["flood", "limits.plugin.log_max_bytes"], ANSWERED);
    assert!(server.log().len() < 1 << 20, "{}", server.log().len());
    Some(server)
}

#[test]
fn a_flow_in_python_finds_nothing_but_clocks_random_numbers_and_its_log() {
    let nothing = [("environment", "{}"), ("arguments", "[]")];
    let Some(server) = finds_nothing("python", nothing) else {
        return;
    };
    for what in ["read a file", "write a file", "list a folder"] {
        assert_eq!(
            said(&server, what),
            "refused: No such file or directory",
            "{what}"
        );
    }
    for what in ["tcp", "udp"] {
        assert_eq!(said(&server, what), "refused: Permission denied", "{what}");
    }
}

#[test]
fn a_flow_in_javascript_finds_nothing_but_clocks_random_numbers_and_its_log() {
    let nothing = [("environment", "[]"), ("arguments", "[]")];
    let Some(server) = finds_nothing("javascript", nothing) else {
        return;
    };
    assert_eq!(said(&server, "folders"), "[]");
    assert_eq!(said(&server, "tcp"), "refused: access-denied");
}
