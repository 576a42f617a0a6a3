//! What a host does about a run that has ended: the one place that every run passes on its way out, call or job.
//!
//! Entry point: [`Directory::ended`]. Invariant: it is called once for each instance, after its legs have ended and
//! before its permit is given back.

use std::sync::atomic::Ordering;

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use crate::config::limits;
use crate::plugin::RunReport;

impl Directory {
    pub(super) fn ended(&self, found: &Found, version: &Version, report: &mut RunReport) {
        self.judge(found, version, report);
        self.trace(found, version, report);
        found.flow.tally.count(report);
        if let Some(limit) = report.outcome.limit() {
            limits::hit(limit);
        }
        if report.outcome.is_trap() {
            self.trapped.fetch_add(1, Ordering::Relaxed);
            found.account.traps.note(found, version, report);
            tracing::debug!(
                tenant = %found.account.name,
                flow = %found.flow.name,
                version = %version.name,
                outcome = report.outcome.name(),
                limit = report.outcome.limit(),
                traps = version.circuit.counts().2,
                "a run of this version trapped"
            );
        }
        // The last, for it takes of the report what it can.
        self.record(found, version, report);
    }
}
