//! One flow of a tenant: what the configuration says of it, and the version that new calls get.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::dial::DialRules;
use crate::call::Services;
use crate::config::Job;
use crate::plugin::FlowVersion;

pub(super) struct Flow {
    pub(super) tenant: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) auto_ring: bool,
    pub(super) trap_code: u16,
    pub(super) dial: Arc<DialRules>,
    pub(super) services: Services,
    /// When the host runs it by itself.
    pub(super) job: Option<Job>,
    /// Calls are routed to it.
    pub(super) takes_calls: bool,
    current: ArcSwapOption<Version>,
}

/// A loaded version, with the name that logs and flows see.
pub(super) struct Version {
    pub(super) name: Arc<str>,
    pub(super) flow: Arc<FlowVersion>,
}

impl Flow {
    pub(super) fn new(
        tenant: &Arc<str>,
        flow: &crate::config::Flow,
        dial: &Arc<DialRules>,
        services: &Services,
    ) -> Self {
        Self {
            tenant: Arc::clone(tenant),
            name: flow.name.as_str().into(),
            file: flow.file.clone(),
            config: Arc::new(flow.config.clone()),
            auto_ring: flow.auto_ring,
            trap_code: flow.trap_code,
            dial: Arc::clone(dial),
            services: services.clone(),
            job: flow.job.clone(),
            takes_calls: false,
            current: ArcSwapOption::empty(),
        }
    }

    /// What a new call gets. None while no version could be loaded.
    pub(super) fn current(&self) -> Option<Arc<Version>> {
        self.current.load_full()
    }

    /// From now on new calls get this version; calls that are up keep theirs.
    pub(super) fn replace(&self, flow: Arc<FlowVersion>) {
        let name = flow.version().into();
        self.current.store(Some(Arc::new(Version { name, flow })));
    }
}
