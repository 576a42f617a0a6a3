//! All tenants of a host: finds the flow for a call, admits the call, and starts it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::flow::Version;
use super::ledger::Ledger;
use super::plan::{Answerer, Found, Plan};
use super::quota::{For, NoRoom};
use super::refusals::Refusals;
use super::refused_record::RefusedRecords;
use super::runs::Runs;
use super::schedule::Schedules;
use super::versions::{Deploys, Keeper, Tending};
use crate::call::{
    IncomingCall, IncomingCalls, Reading, Refusal, SessionContext, ShardQueue, Siblings, WaitingRoom,
};
use crate::config::limits::{self, VersionLimits};
use crate::config::{Config, DrainTarget};
use crate::pii::Pii;
use crate::plugin::{FlowRuntime, Heir, Loader, TrapPolicy, run_call_for};
use crate::record::Recorder;
use crate::trace::Tracer;

/// Files that are read and compiled at the same time; the loader bounds the compilers among them further.
const LOADS_AT_ONCE: usize = 8;

/// Every tenant, flow and route of a host, and what runs of them.
pub struct Directory {
    /// What the configuration says. A call reads it once, when it comes in.
    pub(super) plan: ArcSwap<Plan>,
    /// What the tenants have used of their day, over every plan.
    pub(super) ledger: Arc<Ledger>,
    pub(super) room: Arc<WaitingRoom>,
    pub(super) runs: Arc<Runs>,
    pub(super) retry_after: Duration,
    /// Where calls are sent while the host drains.
    pub(super) redirect: Option<DrainTarget>,
    refused: AtomicU64,
    /// Every call that was refused before a flow had it.
    pub(super) refusals: Refusals,
    /// What became of versions that were to be taken in.
    pub(super) deploys: Deploys,
    /// Runs that a flow did not end itself.
    pub(super) trapped: AtomicU64,
    pub(super) myself: Weak<Self>,
    pub(super) recorder: OnceLock<Recorder>,
    /// Calls that were refused leave records too, where that is wanted.
    pub(super) refused_records: RefusedRecords,
    /// Who wants to know of ended sessions as spans.
    pub(super) tracer: OnceLock<Tracer>,
    /// Jobs that the configuration starts.
    pub(super) schedules: Mutex<Schedules>,
    /// Where versions are kept, once somebody said so.
    pub(super) keeper: OnceLock<Keeper>,
    /// Asks for what is done about versions in the background.
    pub(super) tend: Tending,
    pub(super) version_limits: VersionLimits,
}

/// How the loading of one flow went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// `tenant/flow`.
    pub flow: String,
    /// The version, or what is wrong and what to do.
    pub version: Result<String, String>,
}

/// How a tenant stands with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUsage {
    /// Whose they are.
    pub tenant: Arc<str>,
    /// One for each bound.
    pub readings: Vec<Reading>,
}

impl Directory {
    /// The tenants of `config`, whose calls run on `runtime`, `calls_max` of them at most. No flow is loaded yet.
    #[must_use]
    pub fn new(config: &Config, calls_max: usize, runtime: impl Into<FlowRuntime>) -> Arc<Self> {
        let runtime = runtime.into();
        Arc::new_cyclic(|myself: &Weak<Self>| {
            let retry_after = Duration::from_secs(config.limits.host.retry_after_s.into());
            let room = WaitingRoom::new(runtime.pick().clone(), &config.limits.call, retry_after);
            let siblings: Weak<dyn Siblings> = Weak::<Self>::clone(myself);
            let runs = Runs::new(calls_max, config.limits.host.delayed_jobs_max, runtime);
            let ledger = Arc::new(Ledger::default());
            Self {
                plan: ArcSwap::from_pointee(Plan::new(
                    &Arc::new(config.clone()),
                    runs.quotas(),
                    &ledger,
                    &room,
                    &siblings,
                    None,
                )),
                ledger,
                room,
                runs: Arc::new(runs),
                schedules: Mutex::default(),
                retry_after,
                redirect: config.drain.redirect.clone(),
                refused: AtomicU64::new(0),
                refusals: Refusals::default(),
                deploys: Deploys::default(),
                trapped: AtomicU64::new(0),
                myself: Weak::clone(myself),
                recorder: OnceLock::new(),
                refused_records: RefusedRecords::new(config),
                tracer: OnceLock::new(),
                keeper: OnceLock::new(),
                tend: Tending::default(),
                version_limits: config.limits.versions.clone(),
            }
        })
    }

    /// What the configuration says at this moment.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Loads one flow: `tenant/flow`; none if there is no such flow.
    pub async fn load_one(&self, name: &str, loader: &Loader) -> Option<Loaded> {
        let (tenant, flow) = name.split_once('/')?;
        let found = self.plan().flow(tenant, flow)?;
        Some(self.take_up(&found, loader).await)
    }

    /// Loads every flow, some at a time. One that fails is reported and leaves the others alone.
    pub async fn load_all(&self, loader: &Loader) -> Vec<Loaded> {
        let Some(myself) = self.myself.upgrade() else {
            return Vec::new();
        };
        let turn = Arc::new(Semaphore::new(LOADS_AT_ONCE));
        let mut loading = JoinSet::new();
        for (index, found) in self.plan().flows().enumerate() {
            let (loader, turn, directory) = (loader.clone(), Arc::clone(&turn), Arc::clone(&myself));
            loading.spawn(async move {
                let _permit = turn.acquire().await;
                (index, directory.take_up(&found, &loader).await)
            });
        }
        let mut loaded = loading.join_all().await;
        loaded.sort_by_key(|(index, _)| *index);
        loaded.into_iter().map(|(_, loaded)| loaded).collect()
    }

    /// What the tenants have used of their day, to be kept over restarts.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Calls and jobs whose flow runs.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.runs.count()
    }

    /// Calls refused with 503 so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Calls and jobs so far whose flow trapped or ran into a limit.
    #[must_use]
    pub fn trapped(&self) -> u64 {
        self.trapped.load(Ordering::Relaxed)
    }

    /// How each tenant stands with each of its limits (`limits.tenant`), in the order of the configuration.
    #[must_use]
    pub fn usage(&self) -> Vec<TenantUsage> {
        let usage = |account: &Arc<super::account::Account>| TenantUsage {
            tenant: Arc::clone(&account.name),
            readings: account.quota.readings(),
        };
        self.plan().accounts.iter().map(usage).collect()
    }

    /// A shard runs: sessions of jobs may live on it.
    pub fn add_shard(&self, queue: Arc<ShardQueue>) {
        self.runs.add_shard(queue);
    }

    /// What a session of this flow is told and granted.
    pub(super) fn context(&self, Found { account, flow }: &Found, version: &Version) -> SessionContext {
        SessionContext {
            tenant: Arc::clone(&account.name),
            flow: Arc::clone(&flow.name),
            version: Arc::clone(&version.name),
            config: Arc::clone(&flow.config),
            auto_ring: flow.auto_ring,
            grants: Arc::clone(&flow.grants),
            policy: Arc::clone(&account.dial) as _,
            services: account.services.clone(),
            limits: Arc::clone(&account.limits),
            bounds: Arc::clone(&account.quota.bounds),
        }
    }

    fn busy(&self, limit: &'static str, Found { account, flow }: &Found) -> Refusal {
        limits::hit(limit);
        // One line for each power of two, because this is what an overloaded host does all the time.
        let refused = self.count_refused();
        if refused.is_power_of_two() {
            tracing::warn!(tenant = %account.name, flow = %flow.name, refused, "503: {limit} reached");
        }
        Refusal::busy(self.retry_after).because(limit)
    }

    /// Counts a refused call; how many there are with it.
    pub(super) fn count_refused(&self) -> u64 {
        self.refused.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Directory {
    /// Whose call it is, and whether there is room for it.
    fn admit(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        if self.runs.is_draining() {
            return Err(self.turned_away(call));
        }
        if let Some(given) = call.give_to_registration(&self.room) {
            return given;
        }
        let user = call.user();
        let source = call.source().ip();
        let plan = self.plan.load();
        let found = match plan.find(&user, &call.domain(), source) {
            Some(Answerer::Service { account, name }) => {
                return call.wait_for_service(&self.room, &account.name, name, &account.quota.bounds);
            }
            Some(Answerer::Flow(found)) => found,
            None => {
                if let Some(waits) = call.wait_for_registration(&self.room) {
                    return waits;
                }
                // Strings are recorded as debug values: quoted, control characters escaped.
                tracing::info!(call = call.call_id(), user = Pii::number(&user).shown(), %source, "404: no route");
                return Err(Refusal::new(404));
            }
        };
        let picked = found
            .flow
            .versions
            .pick(&user, || call.caller(), || call.call_id());
        let loaded = match picked {
            Some(version) if self.admits(&version) => Some((found.clone(), version)),
            Some(version) => match Self::stand_in(found) {
                None => {
                    let refusal = self.broken(found, &version);
                    return Err(self.noted(call, found, "limits.versions.breaker_traps", refusal));
                }
                instead => instead,
            },
            None => Self::stand_in(found),
        };
        let Some((found, version)) = loaded else {
            tracing::warn!(
                call = call.call_id(), tenant = %found.account.name, flow = %found.flow.name,
                "500: the flow is not loaded"
            );
            return Err(self.noted(call, found, "the flow is not loaded", Refusal::new(500)));
        };
        if self.has_no_room_for_records() {
            return Err(self.busy("limits.record.queue", &found));
        }
        let admission = match found.account.quota.admit(For::Call, &self.runs) {
            Ok(admission) => admission,
            Err(NoRoom::Host) => {
                let refusal = self.busy("limits.calls_max", &found);
                return Err(self.noted(call, &found, "limits.calls_max", refusal));
            }
            // The log has it already.
            Err(NoRoom::Tenant(limit)) => {
                let refusal = Refusal::later(self.retry_after).because(limit);
                return Err(self.noted(call, &found, limit, refusal));
            }
        };
        let (session, leg) = call.open(self.context(&found, &version));
        let policy = TrapPolicy {
            status: found.flow.trap_code,
        };
        version.circuit.begins();
        let listed = self.runs.list(&session);
        let directory = Weak::clone(&self.myself);
        let fallback = self.fallback(&found);
        let runtime = self.runs.runtime_for(&found.account.quota.bounds);
        runtime.spawn(async move {
            let heir = fallback.clone().map(|fallback| fallback as Arc<dyn Heir>);
            let run = run_call_for(Arc::clone(&version.flow), policy, heir, session, leg);
            let (mut report, inheritance) = run.await;
            if let Some(directory) = directory.upgrade() {
                directory.ended(&found, &version, &mut report);
            }
            drop(listed);
            if let (Some(fallback), Some(inheritance)) = (fallback, inheritance) {
                // In a place of its own, which calls that end well never need.
                Box::pin(fallback.run(inheritance)).await;
            }
            drop(admission);
        });
        Ok(())
    }
}

impl IncomingCalls for Directory {
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        self.admit(call)
            .inspect_err(|refusal| self.refusals.count(refusal))
    }

    fn may_replace(&self, call: &IncomingCall, tenant: &str) -> bool {
        let (user, source) = (call.user(), call.source().ip());
        // Our Contact in a call has no user part, and is what an attended transfer leads to: no number of anybody's.
        if user.is_empty() {
            return true;
        }
        match self.plan.load().find(&user, &call.domain(), source) {
            Some(Answerer::Flow(Found { account, .. }) | Answerer::Service { account, .. }) => {
                &*account.name == tenant
            }
            None => false,
        }
    }
}
