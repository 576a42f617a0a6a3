//! What one tenant may have of the host: sized here by the configuration, enforced where each thing is made.
//!
//! The host's runs (`limits.calls_max`) are divided: each tenant has an equal part of the reserve to itself, the rest is for
//! whoever comes first. So no tenant, and no number of them together, can take the last run of another, and no host that
//! one tenant has filled says 503, which proxies take as the word of the whole host.
//!
//! Entry types: [`Quotas`] of a host, [`Quota`] of a tenant. A quota belongs to a tenant and not to a plan: a new
//! configuration finds it again by the tenant's name and sizes it anew, so that what runs goes on being counted.
//! Invariants: own parts and the shared part never add up to more than the host has; nothing here takes a lock on the way
//! of a call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedSemaphorePermit;

use super::runs::Runs;
use crate::call::{Gauge, Place, Reading, TenantBounds};
use crate::config;
use crate::config::limits::{self, HostLimits, TenantLimits};

/// The quotas of all tenants.
pub(super) struct Quotas {
    calls_max: usize,
    shared: Arc<Gauge>,
    by_name: Mutex<HashMap<String, Weak<Quota>>>,
}

/// A tenant's counters and their bounds.
pub(super) struct Quota {
    /// What its sessions ask.
    pub(super) bounds: Arc<TenantBounds>,
    /// Runs that nobody else can take.
    own: Gauge,
    /// How often what was left belonged to others.
    crowded_out: AtomicU64,
}

/// The right to one run. Dropping it gives everything back.
pub(super) struct Admission {
    // In this order: a part that is free has a permit of the host's.
    _permit: OwnedSemaphorePermit,
    _part: Part,
    _call: Place,
    _spawned: Option<Place>,
}

/// Which part of the host's runs it came from.
enum Part {
    Own(Arc<Quota>),
    Shared(Arc<Gauge>),
}

/// Why there is no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The host has none, for nobody.
    Host,
    /// The tenant has as much as it may; the row of the table that says so.
    Tenant(&'static str),
}

/// Who wants a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Call,
    /// A job of the operator's: by hand, or by its schedule.
    Job,
    /// A job that a flow has started.
    SpawnedJob,
}

impl NoRoom {
    pub(super) fn limit(self) -> &'static str {
        match self {
            Self::Host => "limits.calls_max",
            Self::Tenant(row) => row,
        }
    }
}

impl Quotas {
    /// For a host that runs `calls_max` at a time.
    pub(super) fn new(calls_max: usize) -> Self {
        Self {
            calls_max,
            shared: Arc::new(Gauge::new(calls_max)),
            by_name: Mutex::default(),
        }
    }

    /// The quotas of these tenants, in their order; those that are there already are sized anew.
    pub(super) fn of(&self, tenants: &[config::Tenant], limits: &HostLimits) -> Vec<Arc<Quota>> {
        // A map whose entries are each valid on their own, whoever panicked.
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|_, quota| quota.strong_count() > 0);
        let reserved = self
            .calls_max
            .saturating_mul(limits.calls_reserved_percent)
            .checked_div(100)
            .unwrap_or(0);
        let part = reserved.checked_div(tenants.len()).unwrap_or(0);
        let mut shared = self.calls_max;
        let quotas = tenants
            .iter()
            .map(|tenant| {
                let known = by_name.get(&tenant.name).and_then(Weak::upgrade);
                let quota = known.unwrap_or_else(|| {
                    let quota = Arc::new(Quota::new(tenant));
                    by_name.insert(tenant.name.clone(), Arc::downgrade(&quota));
                    quota
                });
                let own = part.min(tenant.limits.calls_max);
                quota.resize(&tenant.limits, own);
                shared = shared.saturating_sub(own);
                quota
            })
            .collect();
        self.shared.resize(shared);
        quotas
    }
}

impl Quota {
    fn new(tenant: &config::Tenant) -> Self {
        Self {
            bounds: TenantBounds::new(&tenant.name, &tenant.limits),
            own: Gauge::new(0),
            crowded_out: AtomicU64::new(0),
        }
    }

    fn resize(&self, limits: &TenantLimits, own: usize) {
        self.bounds.resize(limits);
        self.own.resize(own);
    }

    /// How it stands with each bound. Takes no lock.
    pub(super) fn readings(&self) -> Vec<Reading> {
        self.bounds.readings()
    }

    /// The right to one more run.
    ///
    /// # Errors
    /// Whose bound is reached; the log has a line of it now and then.
    pub(super) fn admit(self: &Arc<Self>, wanted: For, runs: &Runs) -> Result<Admission, NoRoom> {
        let spawned = match wanted {
            For::Call | For::Job => None,
            For::SpawnedJob => Some(
                Place::among(
                    &self.bounds,
                    |bounds| &bounds.spawned,
                    "limits.tenant.spawned_max",
                )
                .map_err(NoRoom::Tenant)?,
            ),
        };
        let call = match wanted {
            For::Call => self.bounds.admit_call(),
            For::Job | For::SpawnedJob => self.bounds.admit_job(),
        };
        let call = call.map_err(NoRoom::Tenant)?;
        let part = self
            .part(&runs.quotas().shared)
            .ok_or_else(|| match runs.is_full() {
                true => NoRoom::Host,
                // What is left belongs to others.
                false => {
                    let hits = self.crowded_out.fetch_add(1, Ordering::Relaxed) + 1;
                    limits::hit("limits.calls_reserved_percent");
                    NoRoom::Tenant(self.bounds.hit("limits.calls_reserved_percent", hits))
                }
            })?;
        Ok(Admission {
            _permit: runs.permit().ok_or(NoRoom::Host)?,
            _part: part,
            _call: call,
            _spawned: spawned,
        })
    }

    fn part(self: &Arc<Self>, shared: &Arc<Gauge>) -> Option<Part> {
        // Its own part first: who takes little takes nothing from the others.
        if self.own.take(1).is_ok() {
            return Some(Part::Own(Arc::clone(self)));
        }
        shared.take(1).ok()?;
        Some(Part::Shared(Arc::clone(shared)))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        match self {
            Self::Own(quota) => quota.own.give_back(1),
            Self::Shared(shared) => shared.give_back(1),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn config(limits: &str, of_b: &str) -> Config {
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[limits]\n{limits}\n[[tenant]]\nname = \"a\"\nflow.one.file = \"a.wasm\"\n\
             [[tenant]]\nname = \"b\"\nflow.one.file = \"b.wasm\"\n{of_b}\n"
        );
        Config::parse(Path::new("callbox.toml"), &text).unwrap()
    }

    fn scene(calls: usize, limits: &str, of_b: &str) -> (Runs, Arc<Quota>, Arc<Quota>) {
        let runs = Runs::new(calls, 0, tokio::runtime::Handle::current());
        let config = config(limits, of_b);
        let mut two = runs.quotas().of(&config.tenants, &config.limits.host);
        let b = two.pop().unwrap();
        (runs, two.pop().unwrap(), b)
    }

    fn fill(quota: &Arc<Quota>, runs: &Runs) -> (Vec<Admission>, NoRoom) {
        let mut all = Vec::new();
        loop {
            match quota.admit(For::Call, runs) {
                Ok(admission) => all.push(admission),
                Err(why) => return (all, why),
            }
        }
    }

    #[tokio::test]
    async fn a_tenant_that_takes_all_it_can_leaves_the_others_part() {
        let (runs, a, b) = scene(10, "calls_reserved_percent = 40", "");
        let (of_b, why) = fill(&b, &runs);
        assert_eq!(
            (of_b.len(), why),
            (8, NoRoom::Tenant("limits.calls_reserved_percent"))
        );
        let (of_a, why) = fill(&a, &runs);
        assert_eq!((of_a.len(), why), (2, NoRoom::Host), "now the host is full");
        drop(of_b);
        let (more, _) = fill(&a, &runs);
        assert_eq!(more.len(), 6, "and A has what B has left, but for B's part");
        drop((of_a, more));
        assert_eq!(fill(&a, &runs).0.len(), 8, "nothing is lost");
        assert_eq!(runs.count(), 0);
    }

    #[tokio::test]
    async fn a_tenants_own_bound_is_its_own_affair() {
        let (runs, a, b) = scene(10, "calls_reserved_percent = 0", "limits.calls_max = 3");
        let (of_b, why) = fill(&b, &runs);
        assert_eq!((of_b.len(), why), (3, NoRoom::Tenant("limits.tenant.calls_max")));
        let (of_a, why) = fill(&a, &runs);
        assert_eq!((of_a.len(), why), (7, NoRoom::Host));
    }

    #[tokio::test]
    async fn what_no_tenant_may_have_is_for_everybody() {
        let (runs, a, _b) = scene(10, "calls_reserved_percent = 100", "limits.calls_max = 1");
        assert_eq!(fill(&a, &runs).0.len(), 9);
    }

    #[tokio::test]
    async fn flows_start_so_many_jobs_and_callers_still_get_through() {
        let (runs, _a, b) = scene(10, "", "limits.spawned_max = 1");
        let first = b.admit(For::SpawnedJob, &runs).ok();
        assert!(first.is_some());
        assert_eq!(
            b.admit(For::SpawnedJob, &runs).err(),
            Some(NoRoom::Tenant("limits.tenant.spawned_max"))
        );
        assert!(b.admit(For::Job, &runs).is_ok(), "the operator's own");
        assert!(b.admit(For::Call, &runs).is_ok());
        drop(first);
        assert!(b.admit(For::SpawnedJob, &runs).is_ok());
    }

    #[tokio::test]
    async fn a_new_configuration_finds_the_quota_of_a_tenant_and_what_runs_in_it() {
        let (runs, a, b) = scene(10, "", "");
        let (of_b, _) = fill(&b, &runs);
        let smaller = config("", "limits.calls_max = 2");
        let again = runs.quotas().of(&smaller.tenants, &smaller.limits.host);
        assert!(again.iter().zip([&a, &b]).all(|(new, old)| Arc::ptr_eq(new, old)));
        let calls = |quota: &Quota| {
            let readings = quota.readings();
            let calls = readings.iter().find(|reading| reading.limit == "calls_max");
            calls.map(|reading| (reading.max, reading.taken)).unwrap()
        };
        assert_eq!(calls(&b), (2, Some(of_b.len() as u64)));
        drop(of_b);
        assert_eq!(fill(&b, &runs).0.len(), 2);
    }
}
