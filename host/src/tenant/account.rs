//! One tenant: its flows, and what its sessions are granted.
//!
//! Entry type: [`Account`]. Everything that is counted, bounded or granted for a tenant as a whole hangs on it.

use std::sync::Arc;

use super::dial::DialRules;
use super::flow::Flow;
use super::quota::Quota;
use super::traps::Traps;
use crate::call::Services;

pub(super) struct Account {
    pub(super) name: Arc<str>,
    /// In the order of the configuration.
    pub(super) flows: Vec<Arc<Flow>>,
    pub(super) dial: Arc<DialRules>,
    pub(super) services: Services,
    /// What its flows may have together. Outlives a new configuration.
    pub(super) quota: Arc<Quota>,
    /// What its flows fell over lately.
    pub(super) traps: Traps,
}
