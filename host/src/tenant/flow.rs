//! One flow of a tenant: what the configuration says of it, and the version that new calls get.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwapOption;

use super::grants;
use crate::call::Grants;
use crate::config::{Job, OnTrap};
use crate::plugin::{FlowVersion, World};

pub(super) struct Flow {
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) auto_ring: bool,
    pub(super) trap_code: u16,
    pub(super) on_trap: OnTrap,
    pub(super) grants: Arc<Grants>,
    /// When the host runs it by itself.
    pub(super) job: Option<Job>,
    /// Calls are routed to it.
    pub(super) takes_calls: bool,
    /// Handed over from plan to plan.
    current: Arc<ArcSwapOption<Version>>,
}

/// A loaded version, with the name that logs and flows see.
pub(super) struct Version {
    pub(super) name: Arc<str>,
    pub(super) flow: Arc<FlowVersion>,
    pub(super) tally: Tally,
}

/// How a version has fared.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Runs that have ended.
    pub(super) runs: AtomicU64,
    /// Those of them that the flow did not end itself.
    pub(super) traps: AtomicU64,
}

impl Flow {
    /// A flow of this tenant without a version, or with that of the `before` one, of the same names and file.
    pub(super) fn new(
        flow: &crate::config::Flow,
        tenant: &str,
        takes_calls: bool,
        before: Option<&Self>,
    ) -> Self {
        Self {
            name: flow.name.as_str().into(),
            file: flow.file.clone(),
            config: Arc::new(flow.config.clone()),
            auto_ring: flow.auto_ring,
            trap_code: flow.trap_code,
            on_trap: flow.on_trap.clone(),
            grants: grants::of(&flow.granted, tenant, Some(&flow.name)),
            job: flow.job.clone(),
            takes_calls,
            current: before
                .filter(|before| before.file == flow.file)
                .map_or_else(Arc::default, |before| Arc::clone(&before.current)),
        }
    }

    /// What a new call gets. None while no version could be loaded.
    pub(super) fn current(&self) -> Option<Arc<Version>> {
        self.current.load_full()
    }

    /// Why a version cannot do what the configuration wants of it.
    pub(super) fn unfit(&self, version: &FlowVersion) -> Option<String> {
        let file = self.file.display();
        let world = version.world();
        if self.takes_calls && world != World::CallFlow {
            return Some(format!(
                "{file}: it implements the world {world}, and calls need call-flow: take the route to it away, or build \
                 it with a call handler"
            ));
        }
        if self.job.is_some() && world != World::JobFlow {
            return Some(format!(
                "{file}: it implements the world {world}, and a job needs job-flow: take the table \
                 [tenant.flow.{}.job] away, or build it with a job",
                self.name
            ));
        }
        None
    }

    /// From now on new calls get this version; calls that are up keep theirs.
    pub(super) fn replace(&self, flow: Arc<FlowVersion>) {
        let name = flow.version().into();
        self.current.store(Some(Arc::new(Version {
            name,
            flow,
            tally: Tally::default(),
        })));
    }
}
