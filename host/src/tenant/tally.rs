//! How the runs of a flow ended, counted since the host began.
//!
//! Outlives versions and plans: a counter that starts again at every deploy would be of no use to who draws a line through
//! it. Entry type: [`Tally`]. Invariant: a run is two relaxed additions at its end, and no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plugin::{Outcome, RunKind, RunReport};

/// The counters of one flow, over all its versions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: ByOutcome,
    jobs: ByOutcome,
    fuel: AtomicU64,
}

/// One counter for each of [`Outcome::NAMES`].
type ByOutcome = [AtomicU64; Outcome::NAMES.len()];

impl Tally {
    /// A run has ended.
    pub(super) fn count(&self, report: &RunReport) {
        let by_outcome = match report.kind {
            RunKind::Call => &self.calls,
            RunKind::Job => &self.jobs,
        };
        let name = report.outcome.name();
        let named = Outcome::NAMES.iter().zip(by_outcome);
        if let Some((_, counter)) = named.into_iter().find(|(own, _)| **own == name) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.fuel.fetch_add(report.fuel_used, Ordering::Relaxed);
    }

    /// Calls that ended so, for each outcome.
    pub(super) fn calls(&self) -> Vec<(&'static str, u64)> {
        read(&self.calls)
    }

    /// Jobs that ended so, for each outcome.
    pub(super) fn jobs(&self) -> Vec<(&'static str, u64)> {
        read(&self.jobs)
    }

    /// Fuel that they used, host work included.
    pub(super) fn fuel(&self) -> u64 {
        self.fuel.load(Ordering::Relaxed)
    }
}

fn read(by_outcome: &ByOutcome) -> Vec<(&'static str, u64)> {
    let named = Outcome::NAMES.into_iter().zip(by_outcome);
    named
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
        .collect()
}
