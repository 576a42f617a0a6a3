//! What an operator is told of the versions of a flow: by `callbox versions` and the admin API.
//!
//! Entry point: [`Directory::versions`]. Everything here is a copy: nothing is held while somebody reads it.

use std::sync::Weak;

use serde::{Deserialize, Serialize};

use super::Versions;
use super::line::{Line, Record};
use crate::tenant::Directory;
use crate::tenant::plan::Found;

/// The versions of one flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowVersions {
    /// `tenant/flow`.
    pub flow: String,
    /// Its own file.
    pub file: String,
    /// That file is taken by itself when it changes.
    pub watched: bool,
    /// Why the last version that was to be taken was not; none once one was.
    pub failure: Option<Failure>,
    /// Those that are kept, the newest first.
    pub versions: Vec<VersionInfo>,
}

/// A version that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, in milliseconds since 1970 began.
    pub at_ms: u64,
    /// Who wanted it: `folder`, `start`, or a name.
    pub by: String,
    /// What is wrong and what to do.
    pub why: String,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Counted from 1 for each flow.
    pub number: u32,
    /// What logs and `session.flow-version` call it.
    pub version: String,
    /// SHA-256 of its file, hexadecimal.
    pub digest: String,
    /// `current`, `canary`, `pinned`, `previous` or `broken`.
    pub state: String,
    /// The share of new calls that it gets as a canary, in percent.
    pub canary_percent: Option<u8>,
    /// The numbers whose calls it gets.
    pub pins: Vec<String>,
    /// When it was accepted, in milliseconds since 1970 began.
    pub accepted_ms: u64,
    /// Who brought it: `folder`, `start`, or a name.
    pub by: String,
    /// Bytes of its file.
    pub bytes: usize,
    /// How long it took to compile, or to find compiled.
    pub compile_ms: u64,
    /// The world that it implements.
    pub world: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// Runs that have it now.
    pub running: u32,
    /// Runs that have ended since it was loaded last.
    pub runs: u32,
    /// Those of them that trapped.
    pub traps: u32,
    /// Its circuit is open: calls get `trap_code` and no instance.
    pub open: bool,
    /// It came well through its first calls.
    pub proven: bool,
    /// Why it is not used again by itself.
    pub broken: Option<String>,
}

impl Directory {
    /// The versions of the flow `tenant/flow`; none if there is no such flow.
    #[must_use]
    pub fn versions(&self, flow: &str) -> Option<FlowVersions> {
        let (tenant, flow) = flow.split_once('/')?;
        Some(describe(&self.plan().flow(tenant, flow)?))
    }

    /// The versions of every flow, in the order of the configuration.
    #[must_use]
    pub fn all_versions(&self) -> Vec<FlowVersions> {
        self.plan().flows().map(|found| describe(&found)).collect()
    }
}

fn describe(Found { account, flow }: &Found) -> FlowVersions {
    let versions: &Versions = &flow.versions;
    let book = versions.book();
    let of = |record: &Record| {
        let alive = book.alive.get(&record.number).and_then(Weak::upgrade);
        let (began, runs, traps) = alive
            .as_ref()
            .map_or((0, 0, 0), |version| version.circuit.counts());
        let line = &book.line;
        VersionInfo {
            number: record.number,
            version: short(&record.digest).to_owned(),
            digest: record.digest.clone(),
            state: state(line, record).to_owned(),
            canary_percent: line
                .canary
                .filter(|canary| canary.number == record.number)
                .map(|canary| canary.percent),
            pins: line
                .pins
                .iter()
                .filter(|pinned| pinned.number == record.number)
                .map(|pinned| pinned.pin.to_string())
                .collect(),
            accepted_ms: record.accepted_ms,
            by: record.by.clone(),
            bytes: record.bytes,
            compile_ms: record.compile_ms,
            world: record.world.clone(),
            imports: record.imports.clone(),
            running: began.saturating_sub(runs),
            runs,
            traps,
            open: alive.is_some_and(|version| version.circuit.is_open()),
            proven: record.proven,
            broken: record.broken.clone(),
        }
    };
    FlowVersions {
        flow: format!("{}/{}", account.name, flow.name),
        file: flow.file.display().to_string(),
        watched: flow.watch,
        failure: book.failure.clone(),
        versions: book.line.kept.iter().rev().map(of).collect(),
    }
}

fn state(line: &Line, record: &Record) -> &'static str {
    let number = record.number;
    if line.current == Some(number) {
        "current"
    } else if line.canary.is_some_and(|canary| canary.number == number) {
        "canary"
    } else if line.pins.iter().any(|pinned| pinned.number == number) {
        "pinned"
    } else if record.broken.is_some() {
        "broken"
    } else {
        "previous"
    }
}

/// The beginning of a digest: what logs call a version.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
