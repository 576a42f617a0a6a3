//! Jobs in the sandbox: what they report, how they fail, how long they may live.

use std::time::{Duration, Instant};

use callbox::config::limits::PluginLimits;
use callbox::plugin::{Outcome, RunReport, TrapPolicy, run_job};

use super::flows::embed;
use super::{Sandbox, session, small};

/// A module whose `run` is this body: it leaves a pointer to a `result<body, string>`. Its parameters are `$kind`,
/// `$kind_len`, `$data`, `$data_len`.
fn job(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "callbox:flow/session@0.1.0" "sleep" (func $sleep (param i32)))
            (memory (export "memory") 4)
            (data (i32.const 64) "no list")
            (global $bump (mut i32) (i32.const 131072))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 7)) (i32.const -8)))
                (global.set $bump (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "callbox:flow/job@0.1.0#run")
                (param $kind i32) (param $kind_len i32) (param $data i32) (param $data_len i32) (result i32)
                {body})
        )"#
    );
    embed(&text, "job-flow")
}

/// Reports the body at these places.
fn reports(kind: &str, kind_len: &str, data: &str, data_len: &str) -> Vec<u8> {
    job(&format!(
        "(i32.store (i32.const 4) {kind}) (i32.store (i32.const 8) {kind_len})
         (i32.store (i32.const 12) {data}) (i32.store (i32.const 16) {data_len}) (i32.const 0)"
    ))
}

async fn run(limits: PluginLimits, wasm: Vec<u8>) -> RunReport {
    let version = Sandbox::new(limits).load(wasm).await.unwrap();
    let session = session();
    let args = session.body("text/plain", b"monday".to_vec()).unwrap();
    run_job(version, TrapPolicy::default(), session, args).await
}

#[tokio::test]
async fn a_job_gets_its_arguments_and_its_report_comes_back() {
    let echo = reports(
        "(local.get $kind)",
        "(local.get $kind_len)",
        "(local.get $data)",
        "(local.get $data_len)",
    );
    let report = run(small(), echo).await;
    assert_eq!(report.outcome, Outcome::Finished);
    let body = report.reported.unwrap();
    assert_eq!(
        (body.content_type(), &body.data()[..]),
        ("text/plain", &b"monday"[..])
    );
}

#[tokio::test]
async fn a_job_that_fails_says_why_and_so_does_one_whose_report_is_no_body() {
    let failed = job(
        "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))
                      (i32.store (i32.const 8) (i32.const 7)) (i32.const 0)",
    );
    let report = run(small(), failed).await;
    assert_eq!(report.outcome, Outcome::Failed("no list".to_owned()));
    assert!(report.reported.is_none());

    // "no list" is no MIME type.
    let nonsense = reports(
        "(i32.const 64)",
        "(i32.const 7)",
        "(i32.const 64)",
        "(i32.const 7)",
    );
    let report = run(small(), nonsense).await;
    assert!(
        matches!(&report.outcome, Outcome::Failed(why) if why.contains("what it reports is no body")),
        "{:?}",
        report.outcome
    );
    assert!(report.reported.is_none());
}

#[tokio::test]
async fn a_job_that_traps_or_lives_too_long_is_ended() {
    let report = run(small(), job("(unreachable)")).await;
    assert_eq!(report.outcome, Outcome::Panicked(None));

    let limits = PluginLimits {
        job_max_s: 1,
        ..small()
    };
    let started = Instant::now();
    let report = run(limits, job("(call $sleep (i32.const 3600000)) (i32.const 0)")).await;
    assert_eq!(
        report.outcome,
        Outcome::TooLong {
            limit: "limits.plugin.job_max_s",
            limit_s: 1
        }
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_flow_for_calls_is_not_run_as_a_job() {
    let report = run(small(), super::flows::nothing()).await;
    assert!(
        matches!(&report.outcome, Outcome::NotInstantiated(why) if why.contains("job-flow")),
        "{:?}",
        report.outcome
    );
}
