//! What becomes of a version that traps: it gives way to the one before it, or gets no calls for a while.
//!
//! Fed with each end of a run. Runs on threads of flows, so it changes memory only; what needs the disk is left to `tend`.
//! Entry points: [`Directory::judge`], [`Directory::admits`].

use std::time::{Duration, Instant};

use super::Versions;
use super::circuit::Verdict;
use super::deploy::name_of;
use super::line::Fallen;
use crate::call::Refusal;
use crate::plugin::{Outcome, RunReport};
use crate::tenant::directory::Directory;
use crate::tenant::flow::Version;
use crate::tenant::plan::Found;

impl Directory {
    fn open_time(&self) -> Duration {
        Duration::from_secs(self.version_limits.breaker_open_s)
    }

    /// Whether a run of this version may begin.
    pub(in crate::tenant) fn admits(&self, version: &Version) -> bool {
        // The clock is only read when there is something to ask it.
        !version.circuit.is_open() || version.circuit.admits(Instant::now(), self.open_time())
    }

    /// What a call gets whose version may not run: what it would get if that trapped.
    pub(in crate::tenant) fn broken(&self, Found { account, flow }: &Found, version: &Version) -> Refusal {
        tracing::debug!(
            tenant = %account.name, flow = %flow.name, version = %version.name,
            "{}: the version has trapped too often (limits.versions.breaker_traps)", flow.trap_code
        );
        Refusal::new(flow.trap_code)
    }

    /// A run of this version has ended.
    pub(in crate::tenant) fn judge(&self, found: &Found, version: &Version, report: &RunReport) {
        let trapped = is_its_fault(&report.outcome);
        let now = Instant::now();
        let limits = &self.version_limits;
        let (name, number) = (|| name_of(found), version.number);
        match version.circuit.ended(trapped, now, report.elapsed, limits) {
            Verdict::Nothing => {}
            Verdict::Proven => {
                let _ = found.flow.versions.change(None, limits.kept_max, |line| {
                    line.prove(number);
                    Ok(())
                });
                self.tend.wake();
            }
            Verdict::Broken { traps, of } => {
                let why = format!(
                    "{traps} of its first {of} calls trapped (limits.versions.breaker_traps); the last one {}",
                    report.outcome
                );
                self.fall(found, version, &why);
            }
            Verdict::Tripped(traps) => {
                version.circuit.open(now, self.open_time());
                tracing::warn!(
                    flow = name(), number, version = %version.name, traps,
                    "the last calls all trapped (limits.versions.breaker_traps), so its calls get {} at once; one is \
                     let through every {} s; the last one {}",
                    found.flow.trap_code, limits.breaker_open_s, report.outcome
                );
            }
            Verdict::Closed => {
                tracing::info!(flow = name(), number, version = %version.name, "a call ended well: its calls are taken again");
            }
        }
    }

    /// Takes a version out of service.
    fn fall(&self, found: &Found, version: &Version, why: &str) {
        let (name, number) = (name_of(found), version.number);
        self.deploys.count_fallen();
        let versions = &found.flow.versions;
        match versions.fall(number, why, self.version_limits.kept_max) {
            Some(Fallen::BackTo(back)) => {
                let serving = versions.current();
                let serving = serving.as_ref().map_or("none", |version| &*version.name);
                tracing::warn!(
                    flow = name, number, version = %version.name, back_to = back, serving,
                    "rolled back by itself: {why}"
                );
            }
            Some(Fallen::Tried) => tracing::warn!(
                flow = name, number, version = %version.name,
                "not tried any more, its calls go to the current version: {why}"
            ),
            Some(Fallen::Unused) => tracing::info!(flow = name, number, version = %version.name, "{why}"),
            Some(Fallen::Alone) => {
                version.circuit.open(Instant::now(), self.open_time());
                tracing::warn!(
                    flow = name, number, version = %version.name,
                    "there is no version before it, so its calls get {} at once; one is let through every {} s: {why}",
                    found.flow.trap_code, self.version_limits.breaker_open_s
                );
            }
            None => {
                // Until the one before it has been read back.
                version.circuit.open(Instant::now(), self.open_time());
                tracing::warn!(flow = name, number, version = %version.name, "it is to give way: {why}");
            }
        }
        self.tend.wake();
    }
}

impl Versions {
    /// Takes a version out of service; None when the code of the one before it has to be read back first.
    pub(super) fn fall(&self, number: u32, why: &str, kept_max: usize) -> Option<Fallen> {
        let mut book = self.book();
        let back = book
            .line
            .before_current()
            .filter(|_| book.line.current == Some(number));
        if let Some(back) = back
            && !book.loaded.contains_key(&back)
        {
            match book.alive.get(&back).and_then(std::sync::Weak::upgrade) {
                Some(version) => drop(book.loaded.insert(back, version)),
                None => {
                    book.falling = Some((number, why.to_owned()));
                    return None;
                }
            }
        }
        let fallen = book.line.break_version(number, why.to_owned());
        book.falling = None;
        book.line.prune(kept_max);
        book.changes += 1;
        self.serve(&mut book);
        Some(fallen)
    }
}

/// Whether the flow's code is to blame; a full host, a full tenant and a call that lasts are not its fault.
fn is_its_fault(outcome: &Outcome) -> bool {
    outcome.is_trap()
        && !matches!(
            outcome,
            Outcome::PoolFull(_) | Outcome::TenantOutOfMemory { .. } | Outcome::TooLong { .. }
        )
}
