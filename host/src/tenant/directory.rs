//! All tenants of a host: finds the flow for a call, admits the call, and starts it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::dial::DialRules;
use super::flow::{Flow, Version};
use super::runs::Runs;
use crate::call::{IncomingCall, IncomingCalls, Refusal, Services, SessionContext, ShardQueue, WaitingRoom};
use crate::config::limits::CallLimits;
use crate::config::{Config, Route, RouteTarget};
use crate::plugin::{Loader, TrapPolicy, World, run_call};

/// Files that are read and compiled at the same time; the loader bounds the compilers among them further.
const LOADS_AT_ONCE: usize = 8;

/// Every tenant, flow and route of a configuration.
pub struct Directory {
    /// In the order of the configuration: tenants, and the flows of each.
    pub(super) flows: Vec<Flow>,
    routes: Vec<Target>,
    room: Arc<WaitingRoom>,
    pub(super) runs: Arc<Runs>,
    limits: Arc<CallLimits>,
    retry_after: Duration,
    refused: AtomicU64,
}

struct Target {
    route: Route,
    to: Answerer,
}

/// What answers the calls of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answerer {
    /// A new instance of this flow, by position in [`Directory::flows`].
    Flow(usize),
    /// A session of the tenant that accepts.
    Service { tenant: Arc<str>, name: Box<str> },
}

/// How the loading of one flow went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// `tenant/flow`.
    pub flow: String,
    /// The version, or what is wrong and what to do.
    pub version: Result<String, String>,
}

impl Directory {
    /// The tenants of `config`, whose calls run on `runtime`, `calls_max` of them at most. No flow is loaded yet.
    #[must_use]
    pub fn new(config: &Config, calls_max: usize, runtime: Handle) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self::build(config, calls_max, runtime, myself))
    }

    fn build(config: &Config, calls_max: usize, runtime: Handle, myself: &Weak<Self>) -> Self {
        let mut flows = Vec::new();
        // Where the flows of each tenant begin in the one list.
        let mut first = Vec::new();
        let retry_after = Duration::from_secs(config.limits.host.retry_after_s.into());
        let room = WaitingRoom::new(runtime.clone(), &config.limits.call, retry_after);
        let mut names: Vec<Arc<str>> = Vec::new();
        for (position, tenant) in config.tenants.iter().enumerate() {
            first.push(flows.len());
            let name: Arc<str> = tenant.name.as_str().into();
            let dial = Arc::new(DialRules::of(tenant, &config.limits.call));
            let siblings = Weak::<Self>::clone(myself);
            let services =
                Services::new(Arc::clone(&room), services_of(config, position)).with_siblings(siblings);
            flows.extend(
                tenant
                    .flows
                    .iter()
                    .map(|flow| Flow::new(&name, flow, &dial, &services)),
            );
            names.push(name);
        }
        let routes: Vec<Target> = config
            .routes
            .iter()
            .filter_map(|route| {
                let to = match &route.to {
                    RouteTarget::Flow(flow) => Answerer::Flow(first.get(route.tenant)? + flow),
                    RouteTarget::Service(service) => Answerer::Service {
                        tenant: Arc::clone(names.get(route.tenant)?),
                        name: service.as_str().into(),
                    },
                };
                Some(Target {
                    route: route.clone(),
                    to,
                })
            })
            .collect();
        for target in &routes {
            if let Answerer::Flow(flow) = target.to
                && let Some(flow) = flows.get_mut(flow)
            {
                flow.takes_calls = true;
            }
        }
        Self {
            routes,
            flows,
            room,
            runs: Arc::new(Runs::new(calls_max, config.limits.host.delayed_jobs_max, runtime)),
            limits: Arc::new(config.limits.call.clone()),
            retry_after,
            refused: AtomicU64::new(0),
        }
    }

    /// Loads one flow; none if there is none at this position.
    pub async fn load_one(&self, flow: usize, loader: &Loader) -> Option<Loaded> {
        self.load(flow, loader).await
    }

    /// Loads every flow, some at a time. One that fails is reported and leaves the others alone.
    pub async fn load_all(self: &Arc<Self>, loader: &Loader) -> Vec<Loaded> {
        let turn = Arc::new(Semaphore::new(LOADS_AT_ONCE));
        let mut loading = JoinSet::new();
        for index in 0..self.flows.len() {
            let (directory, loader, turn) = (Arc::clone(self), loader.clone(), Arc::clone(&turn));
            loading.spawn(async move {
                let _permit = turn.acquire().await;
                (index, directory.load(index, &loader).await)
            });
        }
        let mut loaded = loading.join_all().await;
        loaded.sort_by_key(|(index, _)| *index);
        loaded.into_iter().filter_map(|(_, loaded)| loaded).collect()
    }

    async fn load(&self, index: usize, loader: &Loader) -> Option<Loaded> {
        let flow = self.flows.get(index)?;
        let version = match loader.load(&flow.file).await {
            Ok(version) if flow.takes_calls && version.world() != World::CallFlow => Err(format!(
                "{}: it implements the world {}, and calls need call-flow: take the route to it away, or build it with a \
                 call handler",
                flow.file.display(),
                version.world()
            )),
            Ok(version) if flow.job.is_some() && version.world() != World::JobFlow => Err(format!(
                "{}: it implements the world {}, and a job needs job-flow: take the table [tenant.flow.{}.job] away, or \
                 build it with a job",
                flow.file.display(),
                version.world(),
                flow.name
            )),
            Ok(version) => {
                let name = version.version().to_owned();
                flow.replace(version);
                Ok(name)
            }
            Err(error) => Err(format!("{}: {error}", flow.file.display())),
        };
        Some(Loaded {
            flow: format!("{}/{}", flow.tenant, flow.name),
            version,
        })
    }

    /// What answers a call: the first route that matches decides, even if its flow is broken. A later route is for
    /// other calls, and must not silently take these.
    fn find(&self, user: &str, domain: &str, source: IpAddr) -> Option<&Answerer> {
        let matches = |route: &Route| {
            route.number.matches(user)
                && (route.domains.is_empty() || route.domains.iter().any(|own| own == domain))
                && (route.sources.is_empty() || route.sources.iter().any(|range| range.contains(source)))
        };
        self.routes
            .iter()
            .find(|target| matches(&target.route))
            .map(|target| &target.to)
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

    /// Takes no more calls, which get 503, and starts no more jobs. What is up goes on.
    pub fn drain(&self) {
        self.runs.drain();
        self.room.drain();
    }

    /// Ends every call and job: flows are dropped where they wait, and their legs are hung up.
    pub fn end_calls(&self) {
        self.drain();
        self.runs.end();
    }

    /// A shard runs: sessions of jobs may live on it.
    pub fn add_shard(&self, queue: Arc<ShardQueue>) {
        self.runs.add_shard(queue);
    }

    /// What a session of this flow is told and granted.
    pub(super) fn context(&self, flow: &Flow, version: &Version) -> SessionContext {
        SessionContext {
            tenant: Arc::clone(&flow.tenant),
            flow: Arc::clone(&flow.name),
            version: Arc::clone(&version.name),
            config: Arc::clone(&flow.config),
            auto_ring: flow.auto_ring,
            policy: Arc::clone(&flow.dial) as _,
            services: flow.services.clone(),
            limits: Arc::clone(&self.limits),
        }
    }

    fn busy(&self, why: &'static str, flow: &Flow) -> Refusal {
        // One line for each power of two, because this is what an overloaded host does all the time.
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            tracing::warn!(tenant = %flow.tenant, flow = %flow.name, refused, "503: {why}");
        }
        Refusal::busy(self.retry_after)
    }
}

impl IncomingCalls for Directory {
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        if call.give_to_registration(&self.room) {
            return Ok(());
        }
        let user = call.user();
        let source = call.source().ip();
        let flow = match self.find(&user, &call.domain(), source) {
            Some(Answerer::Service { tenant, name }) => {
                return call.wait_for_service(&self.room, tenant, name);
            }
            Some(Answerer::Flow(flow)) => self.flows.get(*flow),
            None => None,
        };
        let Some(flow) = flow else {
            if let Some(waits) = call.wait_for_registration(&self.room) {
                return waits;
            }
            // Strings of the peer are recorded as debug values: quoted, control characters escaped.
            tracing::info!(call = call.call_id(), user, %source, "404: no route");
            return Err(Refusal::new(404));
        };
        if self.runs.is_draining() {
            return Err(self.busy("shutting down", flow));
        }
        let Some(version) = flow.current() else {
            tracing::warn!(call = call.call_id(), tenant = %flow.tenant, flow = %flow.name, "500: the flow is not loaded");
            return Err(Refusal::new(500));
        };
        let Some(permit) = self.runs.permit() else {
            return Err(self.busy("limits.calls_max reached", flow));
        };
        let (session, leg) = call.open(self.context(flow, &version));
        let policy = TrapPolicy {
            status: flow.trap_code,
        };
        let runs = Arc::clone(&self.runs);
        let listed = runs.list(&session);
        self.runs.runtime().spawn(async move {
            let run = run_call(Arc::clone(&version.flow), policy, session, leg);
            runs.until_the_end(run).await;
            drop(listed);
            drop(permit);
        });
        Ok(())
    }

    fn may_replace(&self, call: &IncomingCall, tenant: &str) -> bool {
        let (user, source) = (call.user(), call.source().ip());
        // Our Contact in a call has no user part, and is what an attended transfer leads to: no number of anybody's.
        if user.is_empty() {
            return true;
        }
        match self.find(&user, &call.domain(), source) {
            Some(Answerer::Flow(flow)) => self.flows.get(*flow).is_some_and(|flow| &*flow.tenant == tenant),
            Some(Answerer::Service { tenant: own, .. }) => &**own == tenant,
            None => false,
        }
    }
}

/// The names of services that calls of a tenant may have.
fn services_of(config: &Config, tenant: usize) -> BTreeSet<String> {
    let of_tenant = config.routes.iter().filter(|route| route.tenant == tenant);
    of_tenant
        .filter_map(|route| match &route.to {
            RouteTarget::Service(name) => Some(name.clone()),
            RouteTarget::Flow(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::path::Path;

    use super::*;

    const CONFIG: &str = r#"
listen = "udp:127.0.0.1:0"
[[tenant]]
name = "a"
flow.one.file = "one.wasm"
flow.two.file = "two.wasm"
[[tenant]]
name = "b"
flow.one.file = "other.wasm"

[[route]]
number = "100"
source = "10.0.0.0/8"
tenant = "b"
flow = "one"
[[route]]
number = "100"
tenant = "a"
flow = "two"
[[route]]
number_prefix = "1"
domain = ["b.example", "B2.example"]
tenant = "b"
flow = "one"
[[route]]
domain = "a.example"
number = "desk"
tenant = "a"
service = "desk"
[[route]]
domain = "a.example"
tenant = "a"
flow = "one"
"#;

    fn route(user: &str, domain: &str, source: &str) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = Config::parse(Path::new("callbox.toml"), CONFIG).unwrap();
        let directory = Directory::new(&config, 1, runtime.handle().clone());
        directory
            .find(user, domain, source.parse().unwrap())
            .map(|to| match to {
                Answerer::Flow(flow) => {
                    let flow = &directory.flows[*flow];
                    format!("{}/{}", flow.tenant, flow.name)
                }
                Answerer::Service { tenant, name } => format!("{tenant}'s {name}"),
            })
    }

    #[test]
    fn the_first_route_that_matches_in_all_its_conditions_decides() {
        let found = |user, domain, source| route(user, domain, source).unwrap_or_default();
        assert_eq!(found("100", "x.example", "10.1.2.3"), "b/one");
        assert_eq!(found("100", "x.example", "192.0.2.1"), "a/two");
        assert_eq!(
            found("100", "a.example", "192.0.2.1"),
            "a/two",
            "the order of the file, not the best fit"
        );
        assert_eq!(found("101", "b.example", "192.0.2.1"), "b/one");
        assert_eq!(found("101", "b2.example", "192.0.2.1"), "b/one");
        assert_eq!(found("101", "a.example", "192.0.2.1"), "a/one");
        assert_eq!(found("", "a.example", "192.0.2.1"), "a/one");
        assert_eq!(found("desk", "a.example", "192.0.2.1"), "a's desk");
        assert_eq!(found("101", "x.example", "10.0.0.1"), "", "no route");
    }
}
