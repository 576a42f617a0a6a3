//! The page's examples, one after the other, with SIPp on the other end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::server::Setup;
use callbox_tests::sipp::{Counts, Sipp};

const LONG: Duration = Duration::from_secs(15);
/// An address of loopback that nobody calls.
const ELSEWHERE: &str = "sip:24001@127.0.0.1";

/// Runs an example as a job that calls SIPp, with `more` in its configuration; what SIPp counted, and what the flow logged.
fn run(example: &str, scenario: &str, more: &str, line: &[&str]) -> Counts {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let sipp = Sipp::scenario(scenario, setup.address(), "24001").longest(Duration::from_secs(30));
    let sipp = match scenario {
        "page-blindxfer" => sipp.fill("TARGET", ELSEWHERE),
        _ => sipp,
    };
    let dest = format!("sip:24001@{}", sipp.address());
    let sipp = sipp.start();
    let job = format!(
        "[tenant.flow.script.job]\nstart = \"boot\"\n[tenant.flow.script.config]\ndest = {dest:?}\n{more}"
    );
    let server = setup
        .job("house", "script", &flows::example(example), &job)
        .start();
    let counts = sipp.finish();
    if !line.is_empty() {
        server.wait_for_log(line, LONG);
    }
    counts
}

#[test]
fn make_call() {
    run("makecall", "page-makecall", "", &[]).assert_all(1);
}

#[test]
fn gather_digits() {
    run("gather", "page-gatherdigits", "", &["0=ressignal=4#"]).assert_all(1);
}

#[test]
fn reoffer() {
    run("reoffer", "page-reoffer", "", &[]).assert_all(1);
}

#[test]
fn blind_transfer() {
    let more = format!("xfer = {ELSEWHERE:?}\n");
    run("blindxfer", "page-blindxfer", &more, &[]).assert_all(1);
}

#[test]
fn accept() {
    let job = "[tenant.flow.script.job]\nstart = \"boot\"\n";
    let server = Setup::new()
        .job("house", "script", &flows::example("accept"), job)
        .service("house", "1000", "sip,resip")
        .start();
    Sipp::scenario("answer", server.address(), "1000")
        .fill("HOLD_MS", 200)
        .run()
        .assert_all(1);
    server.wait_for_log(&["sipp is talking to 1000"], LONG);
}
