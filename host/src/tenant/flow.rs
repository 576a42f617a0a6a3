//! One flow of a tenant: what the configuration says of it, and the version that a call gets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::grants;
use super::tally::Tally;
use super::versions::{Circuit, Versions};
use crate::call::Grants;
use crate::config::{Job, OnTrap};
use crate::plugin::FlowVersion;

pub(super) struct Flow {
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    /// The file is taken by itself when it changes.
    pub(super) watch: bool,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) auto_ring: bool,
    pub(super) trap_code: u16,
    pub(super) on_trap: OnTrap,
    pub(super) grants: Arc<Grants>,
    /// When the host runs it by itself.
    pub(super) job: Option<Job>,
    /// Calls are routed to it.
    pub(super) takes_calls: bool,
    /// Handed over from plan to plan, by the names of tenant and flow.
    pub(super) versions: Arc<Versions>,
    /// How its runs ended, of every version; handed over likewise.
    pub(super) tally: Arc<Tally>,
}

/// A loaded version, with the name that logs and flows see.
pub(super) struct Version {
    /// Counted from 1 for each flow.
    pub(super) number: u32,
    pub(super) name: Arc<str>,
    pub(super) flow: Arc<FlowVersion>,
    /// How it has fared, and whether it may be called.
    pub(super) circuit: Circuit,
}

impl Flow {
    /// A flow of this tenant, with the versions that it has had so far.
    pub(super) fn new(
        flow: &crate::config::Flow,
        tenant: &str,
        takes_calls: bool,
        versions: Arc<Versions>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            name: flow.name.as_str().into(),
            file: flow.file.clone(),
            watch: flow.watch,
            config: Arc::new(flow.config.clone()),
            auto_ring: flow.auto_ring,
            trap_code: flow.trap_code,
            on_trap: flow.on_trap.clone(),
            grants: grants::of(&flow.granted, tenant, Some(&flow.name)),
            job: flow.job.clone(),
            takes_calls,
            versions,
            tally,
        }
    }
}

impl Version {
    pub(super) fn new(number: u32, flow: Arc<FlowVersion>) -> Self {
        Self {
            number,
            name: flow.version().into(),
            flow,
            circuit: Circuit::new(),
        }
    }
}
