//! How it stands with a flow: what its calls get at this moment, and what was to be and is not.
//!
//! What serves is read where calls read it, so that nothing is shown that no call gets; what failed stands in the book. Entry
//! types: [`Standing`] and [`Fallen`]. Everything here is a copy: nothing is held while somebody reads it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Versions;
use super::report::{Failure, short};
use crate::tenant::flow::Version;
use crate::unix_time::now_ms;

/// Why no call of a version that is not broken has an instance.
const OPEN: &str = "its calls all trapped (limits.versions.breaker_traps): they get trap_code at once";

/// What the calls of a flow get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What every call gets that nothing else is for; none when nothing could be loaded.
    pub current: Option<Serving>,
    /// What a share of the calls gets.
    pub canary: Option<CanaryServing>,
    /// What the calls of some numbers get; the first that fits decides.
    pub pins: Vec<PinServing>,
    /// Why the last version that was to be taken was not; none once one was.
    pub failure: Option<Failure>,
    /// Versions that were taken out of service since, and those whose circuit is open.
    pub fallen: Vec<Fallen>,
}

/// A version that takes calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Counted from 1 for each flow.
    pub number: u32,
    /// What logs and `session.flow-version` call it.
    pub version: String,
    /// Runs that have it now.
    pub running: u32,
    /// Runs that have ended since it was loaded last.
    pub runs: u32,
    /// Those of them that trapped.
    pub traps: u32,
    /// `closed`: it takes calls. `open`: it has trapped too often, and they get `trap_code` at once.
    pub breaker: String,
    /// When a call is let through again to see, in milliseconds since 1970; only while the breaker is open.
    pub next_try_ms: Option<u64>,
}

/// A version that is tried on a share of the calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryServing {
    /// Of new calls.
    pub percent: u8,
    /// The version.
    pub version: Serving,
}

/// A version that has the calls of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinServing {
    /// The number, as `--pin` takes it.
    pub pin: String,
    /// The version.
    pub version: Serving,
}

/// A version that trapped too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallen {
    /// Its number.
    pub number: u32,
    /// What logs and `session.flow-version` call it.
    pub version: String,
    /// Nothing else takes its calls: they get `trap_code` until one ends well. Else another version has them.
    pub open: bool,
    /// What happened.
    pub why: String,
}

impl Versions {
    /// What calls get at this moment, and what they do not.
    pub(in crate::tenant) fn standing(&self) -> Standing {
        let serving = self.serving.load_full();
        let mut fallen: Vec<Fallen> = Vec::new();
        let pinned = serving.pins.iter().map(|(_, version)| version);
        let canary = serving.canary.iter().map(|(_, version)| version);
        for version in serving.current.iter().chain(canary).chain(pinned) {
            let known = fallen.iter().any(|other| other.number == version.number);
            if version.circuit.is_open() && !known {
                fallen.push(Fallen {
                    number: version.number,
                    version: version.name.to_string(),
                    open: true,
                    why: OPEN.to_owned(),
                });
            }
        }
        let book = self.book();
        // One that was taken after it has taken its place in the operator's mind, too.
        let current = book.line.current.unwrap_or(0);
        let since = book.line.kept.iter().filter(|record| record.number > current);
        fallen.extend(since.filter_map(|record| {
            Some(Fallen {
                number: record.number,
                version: short(&record.digest).to_owned(),
                open: false,
                why: record.broken.clone()?,
            })
        }));
        let failure = book.failure.clone();
        drop(book);
        fallen.sort_by_key(|version| version.number);
        fallen.dedup_by_key(|version| version.number);
        Standing {
            current: serving.current.as_deref().map(describe),
            canary: serving.canary.as_ref().map(|(percent, version)| CanaryServing {
                percent: *percent,
                version: describe(version),
            }),
            pins: serving
                .pins
                .iter()
                .map(|(pin, version)| PinServing {
                    pin: pin.to_string(),
                    version: describe(version),
                })
                .collect(),
            failure,
            fallen,
        }
    }

    /// Runs of all its versions that have begun and not ended.
    pub(in crate::tenant) fn running(&self) -> u32 {
        let alive: Vec<Arc<Version>> = self.alive().iter().filter_map(Weak::upgrade).collect();
        alive.iter().map(|version| running(version)).sum()
    }
}

fn running(version: &Version) -> u32 {
    let (began, ended, _) = version.circuit.counts();
    began.saturating_sub(ended)
}

fn describe(version: &Version) -> Serving {
    let (_, runs, traps) = version.circuit.counts();
    let open = version.circuit.is_open();
    Serving {
        number: version.number,
        version: version.name.to_string(),
        running: running(version),
        runs,
        traps,
        breaker: if open { "open" } else { "closed" }.to_owned(),
        next_try_ms: version
            .circuit
            .until_next_try(Instant::now())
            .map(|left| now_ms().saturating_add(left)),
    }
}
