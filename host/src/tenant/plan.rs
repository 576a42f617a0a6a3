//! What a configuration says of tenants: who they are, which flows they have, and which call goes where.
//!
//! Knows no calls that are up. Entry type: [`Plan`]. Invariant: a plan never changes; a host that is told a new
//! configuration makes a new plan, and what has to outlive the old one (versions, counts) is handed over in an `Arc`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::account::Account;
use super::dial::DialRules;
use super::flow::Flow;
use super::ledger::Ledger;
use super::own_addresses::own_addresses;
use super::quota::Quotas;
use super::traps::Traps;
use crate::call::{Services, Siblings, WaitingRoom};
use crate::config::{Config, NumberRule, Route, RouteTarget};

/// Every tenant, flow and route of a configuration.
pub(super) struct Plan {
    /// What it was made of.
    pub(super) config: Arc<Config>,
    /// In the order of the configuration.
    pub(super) accounts: Vec<Arc<Account>>,
    routes: Vec<Target>,
}

pub(super) struct Target {
    pub(super) route: Route,
    pub(super) to: Answerer,
}

/// What answers the calls of a route.
#[derive(Clone)]
pub(super) enum Answerer {
    /// A new instance of this flow.
    Flow(Found),
    /// A session of the tenant that accepts.
    Service { account: Arc<Account>, name: Box<str> },
}

/// A flow and whose it is.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) account: Arc<Account>,
    pub(super) flow: Arc<Flow>,
}

impl Plan {
    /// The plan of `config`. What is in the plan `before`, too, keeps its versions; other flows are not loaded. Tenants have
    /// their `quotas`, sized for this configuration; what they have used of their day stands in `ledger`. Sessions reach
    /// each other by `siblings`.
    pub(super) fn new(
        config: &Arc<Config>,
        quotas: &Quotas,
        ledger: &Ledger,
        room: &Arc<WaitingRoom>,
        siblings: &Weak<dyn Siblings>,
        before: Option<&Self>,
    ) -> Self {
        let limits = Arc::new(config.limits.call.clone());
        let quotas = quotas.of(&config.tenants, &config.limits.host);
        let own = own_addresses(&config.listen);
        let accounts: Vec<Arc<Account>> = config
            .tenants
            .iter()
            .zip(quotas)
            .enumerate()
            .map(|(position, (tenant, quota))| {
                let name: Arc<str> = tenant.name.as_str().into();
                let old = before.and_then(|plan| plan.account(&tenant.name));
                let flow = |(at, flow): (usize, &crate::config::Flow)| {
                    let takes_calls = config
                        .routes
                        .iter()
                        .any(|route| route.tenant == position && route.to == RouteTarget::Flow(at))
                        || tenant.is_fallback(&flow.name);
                    let old = old.and_then(|account| account.flow(&flow.name));
                    let versions = old.map(|old| Arc::clone(&old.versions)).unwrap_or_default();
                    let tally = old.map(|old| Arc::clone(&old.tally)).unwrap_or_default();
                    Arc::new(Flow::new(flow, &tenant.name, takes_calls, versions, tally))
                };
                Arc::new(Account {
                    flows: tenant.flows.iter().enumerate().map(flow).collect(),
                    dial: Arc::new(DialRules::of(tenant, config, &own, ledger)),
                    services: Services::new(Arc::clone(room), services_of(config, position))
                        .with_siblings(Weak::clone(siblings)),
                    limits: Arc::clone(&limits),
                    quota,
                    traps: old.map_or_else(
                        || Arc::new(Traps::new(config.limits.host.traps_max)),
                        |account| Arc::clone(&account.traps),
                    ),
                    name,
                })
            })
            .collect();
        let routes = config
            .routes
            .iter()
            .filter_map(|route| {
                let account = Arc::clone(accounts.get(route.tenant)?);
                let to = match &route.to {
                    RouteTarget::Flow(flow) => Answerer::Flow(Found {
                        flow: Arc::clone(account.flows.get(*flow)?),
                        account,
                    }),
                    RouteTarget::Service(service) => Answerer::Service {
                        account,
                        name: service.as_str().into(),
                    },
                };
                Some(Target {
                    route: route.clone(),
                    to,
                })
            })
            .collect();
        Self {
            config: Arc::clone(config),
            accounts,
            routes,
        }
    }

    /// What answers a call: the first route that matches decides, even if its flow is broken. A later route is for
    /// other calls, and must not silently take these.
    pub(super) fn find(&self, user: &str, domain: &str, source: IpAddr) -> Option<&Answerer> {
        self.target(user, domain, source).map(|target| &target.to)
    }

    /// The route that takes a call, with what answers it.
    pub(super) fn target(&self, user: &str, domain: &str, source: IpAddr) -> Option<&Target> {
        self.routes
            .iter()
            .find(|target| target.route.miss(user, domain, source).is_none())
    }

    /// A number whose calls a route leads to this flow, if one can be named.
    pub(super) fn number_of(&self, found: &Found) -> Option<&str> {
        self.routes
            .iter()
            .filter(|target| matches!(&target.to, Answerer::Flow(to) if Arc::ptr_eq(&to.flow, &found.flow)))
            .find_map(|target| match &target.route.number {
                NumberRule::Exact(numbers) | NumberRule::Prefix(numbers) => {
                    numbers.first().map(String::as_str)
                }
                NumberRule::Any | NumberRule::Pattern(_) => None,
            })
    }

    /// Every flow of every tenant, in the order of the configuration.
    pub(super) fn flows(&self) -> impl Iterator<Item = Found> {
        self.accounts.iter().flat_map(|account| {
            account.flows.iter().map(|flow| Found {
                account: Arc::clone(account),
                flow: Arc::clone(flow),
            })
        })
    }

    /// A flow by the names of its tenant and of itself.
    pub(super) fn flow(&self, tenant: &str, name: &str) -> Option<Found> {
        let account = self.account(tenant)?;
        Some(Found {
            account: Arc::clone(account),
            flow: Arc::clone(account.flow(name)?),
        })
    }

    /// A tenant by its name.
    pub(super) fn account(&self, tenant: &str) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| *account.name == *tenant)
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
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::tenant::Directory;

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
            .plan()
            .find(user, domain, source.parse().unwrap())
            .map(|to| match to {
                Answerer::Flow(Found { account, flow }) => format!("{}/{}", account.name, flow.name),
                Answerer::Service { account, name } => format!("{}'s {name}", account.name),
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
