//! The latest traps of each tenant, for who has to find out why a flow fell over.
//!
//! Entry types: [`Trap`], one report, and [`Traps`], those of one tenant. Invariants: a tenant's reports are bounded in number
//! (`limits.traps_max`) and each in size, whatever the flow is called inside and has logged; a run that ended well never comes
//! here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use crate::plugin::RunReport;

/// A run that neither its flow nor the host ended.
#[derive(Debug, Clone)]
pub struct Trap {
    /// When.
    pub at: SystemTime,
    /// Whose flow it was.
    pub tenant: Arc<str>,
    /// The flow.
    pub flow: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// The id of the session.
    pub session: String,
    /// The Call-ID of its first leg, as the peer wrote it; empty when it had none.
    pub call: String,
    /// What happened, as metrics and records name it.
    pub outcome: &'static str,
    /// The limit that ended it, as the table of limits names it.
    pub limit: Option<&'static str>,
    /// What happened, for people. May hold words of the flow's, without control characters.
    pub text: String,
    /// Functions of the flow, innermost first, one a line.
    pub backtrace: Option<String>,
    /// The last lines that the flow logged, oldest first.
    pub last_lines: Vec<String>,
    /// Fuel that the run used.
    pub fuel: u64,
    /// Bytes of memory at its end.
    pub memory: usize,
    /// The session that took the call over.
    pub heir: Option<String>,
}

/// The latest traps of one tenant.
pub(super) struct Traps {
    most: usize,
    latest: Mutex<VecDeque<Arc<Trap>>>,
}

impl Traps {
    /// Keeps so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            latest: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Trap>>> {
        // Each step leaves a whole queue behind.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, found: &Found, version: &Version, report: &RunReport) {
        if self.most == 0 {
            return;
        }
        let trap = Arc::new(Trap {
            at: SystemTime::now(),
            tenant: Arc::clone(&found.account.name),
            flow: Arc::clone(&found.flow.name),
            version: Arc::clone(&version.name),
            session: report.session.clone(),
            call: report
                .legs
                .legs
                .first()
                .map(|leg| leg.call_id.clone())
                .unwrap_or_default(),
            outcome: report.outcome.name(),
            limit: report.outcome.limit(),
            text: report.outcome.to_string(),
            backtrace: report.backtrace.clone(),
            last_lines: report.last_lines.clone(),
            fuel: report.fuel_used,
            memory: report.memory_bytes,
            heir: report.heir.clone(),
        });
        let mut latest = self.lock();
        if latest.len() >= self.most {
            latest.pop_front();
        }
        latest.push_back(trap);
    }

    fn all(&self) -> Vec<Arc<Trap>> {
        self.lock().iter().cloned().collect()
    }
}

impl Directory {
    /// The latest traps of one tenant, or of all, the newest first; none if there is no such tenant.
    #[must_use]
    pub fn traps(&self, tenant: Option<&str>) -> Option<Vec<Arc<Trap>>> {
        let plan = self.plan();
        let mut found = false;
        let mut traps = Vec::new();
        for account in &plan.accounts {
            if tenant.is_none_or(|tenant| *account.name == *tenant) {
                found = true;
                traps.extend(account.traps.all());
            }
        }
        traps.sort_by_key(|trap| std::cmp::Reverse(trap.at));
        (found || tenant.is_none()).then_some(traps)
    }
}
