//! The flow that takes a call whose own flow has trapped, or is not loaded (`[tenant.flow.NAME.on_trap]`).
//!
//! Entry points: [`Directory::stand_in`], before a call begins, and [`Fallback`], after its flow has trapped. Invariants: a
//! call is handed over once at most, so that flows which all trap end it; whoever takes it over runs on the permit that the call
//! had.

use std::sync::{Arc, OnceLock, Weak};

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use super::runs::Listed;
use crate::call::Session;
use crate::plugin::{Heir, Inheritance, TrapPolicy, run_call};

impl Directory {
    /// Who takes the calls of a flow that is not loaded, if anybody does.
    pub(super) fn stand_in(found: &Found) -> Option<(Found, Arc<Version>)> {
        named(found, found.flow.on_trap.fallback.as_deref()?)
    }

    /// Who takes a call of this flow over when it traps; none if nobody ever does.
    pub(super) fn fallback(&self, found: &Found) -> Option<Arc<Fallback>> {
        found.flow.on_trap.fallbacks().next()?;
        Some(Arc::new(Fallback {
            directory: Weak::clone(&self.myself),
            found: found.clone(),
            chosen: OnceLock::new(),
        }))
    }
}

/// Another flow of the tenant that is loaded.
fn named(Found { account, .. }: &Found, name: &str) -> Option<(Found, Arc<Version>)> {
    let flow = account.flows.iter().find(|flow| *flow.name == *name)?;
    let version = flow.versions.current()?;
    let found = Found {
        account: Arc::clone(account),
        flow: Arc::clone(flow),
    };
    Some((found, version))
}

/// Waits for the trap of one call.
pub(super) struct Fallback {
    directory: Weak<Directory>,
    /// The flow of the call.
    found: Found,
    chosen: OnceLock<Chosen>,
}

struct Chosen {
    found: Found,
    version: Arc<Version>,
    /// The new session's place in the table.
    _listed: Listed,
}

impl Heir for Fallback {
    fn session(&self, session: &Session, answered: bool) -> Option<Session> {
        let directory = self.directory.upgrade()?;
        let on_trap = &self.found.flow.on_trap;
        let name = match answered {
            false => on_trap.fallback.as_deref(),
            true => on_trap.answered_fallback.as_deref(),
        }?;
        let (found, version) = named(&self.found, name)?;
        let heir = session.successor(directory.context(&found, &version));
        let _listed = directory.runs.list(&heir);
        let chosen = Chosen {
            found,
            version,
            _listed,
        };
        self.chosen.set(chosen).ok()?;
        Some(heir)
    }
}

impl Fallback {
    /// Runs the flow that has taken the call over. When it traps as well the caller gets the code of the first.
    pub(super) async fn run(&self, Inheritance { session, leg }: Inheritance) {
        let Some(Chosen { found, version, .. }) = self.chosen.get() else {
            return;
        };
        let policy = TrapPolicy {
            status: self.found.flow.trap_code,
        };
        let mut report = run_call(Arc::clone(&version.flow), policy, session, leg).await;
        if let Some(directory) = self.directory.upgrade() {
            directory.ended(found, version, &mut report);
        }
    }
}
