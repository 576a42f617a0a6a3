//! Those who bring versions: one by the admin API, one as files in the flow folder. Each has a flow of its own and half of the
//! storm.
//!
//! Entry points: [`by_hand`], [`by_file`].

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Refused, Storm, with_mark};
use crate::admin::Admin;
use crate::flows::{self, Broken};
use crate::hostile;
use crate::server::Callbox;

/// How long one may take to be taken or refused, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The two versions that come again and again.
const OLD: [u64; 2] = [1, 2];

/// A good version that was brought, and that the host says it took.
pub(super) struct Deploy {
    pub(super) flow: &'static str,
    pub(super) number: u64,
    pub(super) mark: u64,
    pub(super) by_hand: bool,
    pub(super) fresh: bool,
}

/// A broken version that was brought; how long it took to refuse it, none when it was taken.
pub(super) struct Refusal {
    kind: &'static str,
    by_hand: bool,
    pub(super) took: Option<Duration>,
}

impl Refusal {
    pub(super) fn into_refused(self) -> Option<Refused> {
        let (kind, by_hand) = (self.kind, self.by_hand);
        self.took.map(|took| Refused { kind, by_hand, took })
    }
}

/// What was taken, what was refused, and the good ones that were not taken.
pub(super) type Done = (Vec<Deploy>, Vec<Refusal>, Vec<String>);

enum Step {
    Good { mark: u64, fresh: bool },
    Broken { kind: &'static str, file: Vec<u8> },
}

/// Half of the storm, in the order in which it comes, and how long each step has.
fn steps(storm: Storm, first_mark: u64) -> (Vec<Step>, Duration) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traps = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32) unreachable))"#;
    let traps = fs::read(hostile::module("traps", traps, folder.path())).expect("it was just written");
    let kinds = [
        ("traps at its start", traps),
        ("not wasm", Broken::Text.bytes()),
        ("missing import", Broken::UnknownImport.bytes()),
        ("truncated", Broken::Truncated.bytes()),
    ];
    let (good, broken) = (storm.deploys / 2, storm.broken / 2);
    let count = good + broken;
    let mut steps = Vec::new();
    let (mut goods, mut brokens) = (0_u32, 0_u32);
    for at in 0..count {
        // Spread evenly: as many broken ones so far as are due.
        if u64::from(brokens) * u64::from(count) < u64::from(at) * u64::from(broken) {
            let (kind, file) = &kinds[brokens as usize % kinds.len()];
            let file = flows::numbered(file.clone(), u64::from(brokens));
            steps.push(Step::Broken { kind, file });
            brokens += 1;
        } else {
            let fresh = goods % 2 == 0;
            let mark = match fresh {
                true => first_mark + u64::from(goods),
                false => OLD[(goods as usize / 2) % 2],
            };
            steps.push(Step::Good { mark, fresh });
            goods += 1;
        }
    }
    (steps, storm.time / count.max(1))
}

/// Waits until it is time for a step. A host that is slower than the storm makes it longer, not thinner.
fn pace(began: Instant, each: Duration, step: usize) {
    let due = each * u32::try_from(step).expect("few steps");
    std::thread::sleep(due.saturating_sub(began.elapsed()));
}

/// By the admin API, to the flow `hand`.
pub(super) fn by_hand(server: &Callbox, marked: &[u8], storm: Storm) -> Done {
    let admin = Admin::of(server.folder());
    let bring = |file: &[u8]| admin.upload("/v1/versions/acme/hand?by=storm", file);
    let (mut deploys, mut refusals, mut not_taken) = (Vec::new(), Vec::new(), Vec::new());
    // The two that come again are known before.
    for mark in OLD {
        let answer = bring(&with_mark(marked, mark));
        assert_eq!(answer.status(), 201, "{answer:#?}");
    }
    let (steps, each) = steps(storm, 1_000);
    let began = Instant::now();
    for (at, step) in steps.into_iter().enumerate() {
        pace(began, each, at);
        match step {
            Step::Good { mark, fresh } => {
                let answer = bring(&with_mark(marked, mark));
                let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                match (answer.status(), said["number"].as_u64()) {
                    (201, Some(number)) => deploys.push(Deploy {
                        flow: "hand",
                        number,
                        mark,
                        by_hand: true,
                        fresh,
                    }),
                    _ => not_taken.push(format!("hand {mark}: {answer:?}")),
                }
            }
            Step::Broken { kind, file } => {
                let sent = Instant::now();
                let answer = bring(&file);
                let refused = (400..500).contains(&answer.status());
                refusals.push(Refusal {
                    kind,
                    by_hand: true,
                    took: refused.then(|| sent.elapsed()),
                });
            }
        }
    }
    (deploys, refusals, not_taken)
}

/// As files, to the flow `folder`.
pub(super) fn by_file(server: &Callbox, folder: &Path, marked: &[u8], storm: Storm) -> Done {
    let (mut deploys, mut refusals, mut not_taken) = (Vec::new(), Vec::new(), Vec::new());
    let mut host = Outcomes::of(server, "folder");
    let place = |file: &[u8]| {
        let beside = folder.join("folder.new");
        fs::write(&beside, file).expect("a file in a temporary folder");
        fs::rename(&beside, folder.join("folder.wasm")).expect("the same folder");
    };
    for mark in OLD {
        place(&with_mark(marked, mark));
        assert!(
            host.next().is_some(),
            "version {mark} is not taken:\n{}",
            server.log()
        );
    }
    let (steps, each) = steps(storm, 2_000);
    let began = Instant::now();
    for (at, step) in steps.into_iter().enumerate() {
        pace(began, each, at);
        let sent = Instant::now();
        match step {
            Step::Good { mark, fresh } => {
                place(&with_mark(marked, mark));
                match host.next() {
                    Some(Ok(number)) => deploys.push(Deploy {
                        flow: "folder",
                        number,
                        mark,
                        by_hand: false,
                        fresh,
                    }),
                    other => not_taken.push(format!("folder {mark}: {other:?}")),
                }
            }
            Step::Broken { kind, file } => {
                place(&file);
                let refused = matches!(host.next(), Some(Err(_)));
                refusals.push(Refusal {
                    kind,
                    by_hand: false,
                    took: refused.then(|| sent.elapsed()),
                });
            }
        }
    }
    (deploys, refusals, not_taken)
}

/// What the host says of one flow's versions after what it has said before: asked of the API, whose answer does not grow.
struct Outcomes {
    admin: Admin,
    path: String,
    number: u64,
    failed_ms: u64,
}

impl Outcomes {
    fn of(server: &Callbox, flow: &str) -> Self {
        let mut outcomes = Self {
            admin: Admin::of(server.folder()),
            path: format!("/v1/versions/acme/{flow}"),
            number: 0,
            failed_ms: 0,
        };
        outcomes.look();
        outcomes
    }

    /// The number of a version that is new, or why one was refused; none when nothing has happened.
    fn look(&mut self) -> Option<Result<u64, String>> {
        let answer = self.admin.get(&self.path);
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let number = said["versions"][0]["number"].as_u64().unwrap_or(0);
        if number > self.number {
            self.number = number;
            return Some(Ok(number));
        }
        let failure = &said["failure"];
        let at = failure["at_ms"].as_u64().unwrap_or(0);
        if at > self.failed_ms {
            self.failed_ms = at;
            return Some(Err(failure["why"].to_string()));
        }
        None
    }

    /// The next of them.
    fn next(&mut self) -> Option<Result<u64, String>> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(outcome) = self.look() {
                return Some(outcome);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}
