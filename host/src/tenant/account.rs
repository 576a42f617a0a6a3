//! One tenant: its flows, and what its sessions are granted.
//!
//! Entry type: [`Account`]. Everything that is counted, bounded or granted for a tenant as a whole hangs on it.

use std::sync::Arc;

use super::dial::DialRules;
use super::flow::Flow;
use super::quota::Quota;
use super::traps::Traps;
use crate::call::Services;
use crate::config::limits::CallLimits;

pub(super) struct Account {
    pub(super) name: Arc<str>,
    /// In the order of the configuration.
    pub(super) flows: Vec<Arc<Flow>>,
    pub(super) dial: Arc<DialRules>,
    pub(super) services: Services,
    /// What each of its sessions may have.
    pub(super) limits: Arc<CallLimits>,
    /// What its flows may have together. Outlives a new configuration.
    pub(super) quota: Arc<Quota>,
    /// What its flows fell over lately.
    pub(super) traps: Arc<Traps>,
}

impl Account {
    /// A flow by its name.
    pub(super) fn flow(&self, name: &str) -> Option<&Arc<Flow>> {
        self.flows.iter().find(|flow| *flow.name == *name)
    }
}
