//! What is counted of tenants, flows and runs, read at one moment for who draws it: plain values.
//!
//! Entry point: [`Directory::numbers`]. It takes the lock of each flow's list of versions for as long as that is counted, which
//! no call waits for, and no other.

use std::sync::{Arc, Weak};

use super::account::Account;
use super::directory::Directory;
use super::flow::Flow;
use super::refusals::Refused;
use crate::call::Reading;
use crate::histogram;
use crate::record::Counts;

/// Runs that ended in one way.
pub type Ended = (&'static str, u64);

/// Everything.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// In the order of the configuration.
    pub tenants: Vec<TenantNumbers>,
    /// Calls that were refused before a flow had them.
    pub refusals: Vec<Refused>,
    /// Versions that were to be taken in, by what became of them.
    pub deploys: Vec<(&'static str, u64)>,
    /// Versions that were taken out of service because they trapped.
    pub fallen: u64,
    /// Calls and jobs whose flow runs.
    pub runs: usize,
    /// As many as may.
    pub runs_max: usize,
    /// No new calls are taken.
    pub draining: bool,
    /// Of calls that came in, until they were answered.
    pub answered: histogram::Reading,
    /// The same of those that were not.
    pub refused: histogram::Reading,
    /// Legs and the like that wait for each SIP thread to take their commands.
    pub commands: Vec<usize>,
    /// Call records.
    pub records: Counts,
}

/// One tenant.
#[derive(Debug, Clone)]
pub struct TenantNumbers {
    /// Its name.
    pub tenant: Arc<str>,
    /// How it stands with its limits.
    pub readings: Vec<Reading>,
    /// CPU that its flows have had, in microseconds.
    pub cpu_us: u64,
    /// In the order of the configuration.
    pub flows: Vec<FlowNumbers>,
}

/// One flow.
#[derive(Debug, Clone)]
pub struct FlowNumbers {
    /// Its name.
    pub flow: Arc<str>,
    /// Calls by how they ended.
    pub calls: Vec<Ended>,
    /// Jobs likewise.
    pub jobs: Vec<Ended>,
    /// Fuel of both.
    pub fuel: u64,
    /// The number of the version that new calls get; none when there is none.
    pub current: Option<u32>,
    /// Versions whose code is in memory.
    pub versions_alive: usize,
    /// Those of them that get no calls because they have trapped too often.
    pub circuits_open: usize,
    /// The share of the calls that a canary gets.
    pub canary_percent: u8,
}

impl Directory {
    /// Everything that is counted, at this moment.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let mut answered = histogram::Reading::default();
        let mut refused = histogram::Reading::default();
        let mut commands = Vec::new();
        for shard in self.runs.shards() {
            answered.add(&shard.answers().read_answered());
            refused.add(&shard.answers().read_refused());
            commands.push(shard.waiting());
        }
        Numbers {
            tenants: self
                .plan()
                .accounts
                .iter()
                .map(|account| tenant(account))
                .collect(),
            refusals: self.refusals.read(),
            deploys: self.deploys.read(),
            fallen: self.deploys.fallen(),
            runs: self.runs.count(),
            runs_max: self.runs.most(),
            draining: self.runs.is_draining(),
            answered,
            refused,
            commands,
            records: self.records(),
        }
    }
}

fn tenant(account: &Account) -> TenantNumbers {
    TenantNumbers {
        tenant: Arc::clone(&account.name),
        readings: account.quota.readings(),
        cpu_us: account.quota.bounds.cpu.spent(),
        flows: account.flows.iter().map(|one| flow(one)).collect(),
    }
}

fn flow(flow: &Flow) -> FlowNumbers {
    let alive: Vec<_> = flow.versions.alive().iter().filter_map(Weak::upgrade).collect();
    FlowNumbers {
        flow: Arc::clone(&flow.name),
        calls: flow.tally.calls(),
        jobs: flow.tally.jobs(),
        fuel: flow.tally.fuel(),
        current: flow.versions.current().map(|version| version.number),
        versions_alive: alive.len(),
        circuits_open: alive.iter().filter(|version| version.circuit.is_open()).count(),
        canary_percent: flow.versions.canary_percent(),
    }
}
