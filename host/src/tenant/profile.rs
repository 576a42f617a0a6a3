//! What an operator is told of a tenant: what is its own, what its calls get, and how it stands with its bounds.
//!
//! Entry points: [`Directory::tenants`] and [`Directory::tenant`]. Everything here is a copy, of one configuration. Numbers and
//! domains are those of the configuration, never a caller's.

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::flow::Flow;
use super::plan::Plan;
use super::versions::Standing;
use crate::config::{self, Config, NumberRule, Route, RouteTarget};

/// One tenant at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantProfile {
    /// Its name.
    pub name: String,
    /// Runs, and calls that its sessions have accepted.
    pub calls: u64,
    /// As many as may be.
    pub calls_max: u64,
    /// Host parts that its routes name, each once.
    pub domains: Vec<String>,
    /// Numbers that its routes name, each once; a beginning ends with `*`, a pattern stands between slashes.
    pub numbers: Vec<String>,
    /// What leads calls to it; the first route of the host that fits a call decides.
    pub routes: Vec<TenantRoute>,
    /// Its flows, in the order of the configuration.
    pub flows: Vec<TenantFlow>,
    /// What its flows may do.
    pub grants: Vec<String>,
    /// What its flows have together, and how much of it is taken.
    pub quotas: Vec<TenantQuota>,
}

/// One route to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRoute {
    /// What it asks of a call: `100, 101 at acme.example from 10.0.0.0/8`.
    pub takes: String,
    /// `flow` or `service`.
    pub kind: String,
    /// Its name.
    pub to: String,
    /// The file and line of the route.
    pub at: String,
}

/// One flow of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantFlow {
    /// Its name.
    pub name: String,
    /// Its own file.
    pub file: String,
    /// Calls are routed to it.
    pub takes_calls: bool,
    /// The host runs it by itself.
    pub is_job: bool,
    /// What it may do, within what its tenant may.
    pub grants: Vec<String>,
    /// Runs of all its versions.
    pub running: u32,
    /// What its calls get, and what was to be and is not.
    #[serde(flatten)]
    pub standing: Standing,
}

/// How it stands with one bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantQuota {
    /// `limits.tenant.legs_max`, `tenant.budget.minutes_per_day`
    pub limit: String,
    /// The bound in force.
    pub max: u64,
    /// How much is taken; null for a rate.
    pub taken: Option<u64>,
    /// How often it was hit since the host began; null where nobody counts.
    pub hits: Option<u64>,
}

impl Directory {
    /// Every tenant, in the order of the configuration.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantProfile> {
        let plan = self.plan();
        (0..plan.accounts.len())
            .filter_map(|position| self.profile(&plan, position))
            .collect()
    }

    /// One tenant; none if there is none of this name.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<TenantProfile> {
        let plan = self.plan();
        let position = plan.accounts.iter().position(|account| *account.name == *name)?;
        self.profile(&plan, position)
    }

    /// What keeps tenants out whose files have mistakes.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let plan = self.plan();
        plan.config.left_out.iter().map(ToString::to_string).collect()
    }

    fn profile(&self, plan: &Plan, position: usize) -> Option<TenantProfile> {
        let account = plan.accounts.get(position)?;
        let config: &Config = &plan.config;
        let tenant = config.tenants.get(position)?;
        let own = config.routes.iter().filter(|route| route.tenant == position);
        let own: Vec<&Route> = own.collect();
        let mut quotas: Vec<TenantQuota> = account
            .quota
            .readings()
            .into_iter()
            .map(|reading| TenantQuota {
                limit: format!("limits.tenant.{}", reading.limit),
                max: reading.max,
                taken: reading.taken,
                hits: Some(reading.hits),
            })
            .collect();
        let calls = quotas
            .iter()
            .find(|quota| quota.limit == "limits.tenant.calls_max");
        let (calls, calls_max) = calls.map_or((0, 0), |quota| (quota.taken.unwrap_or(0), quota.max));
        quotas.extend(self.of_the_day(tenant));
        Some(TenantProfile {
            name: account.name.to_string(),
            calls,
            calls_max,
            domains: once(own.iter().flat_map(|route| route.domains.iter().cloned())),
            numbers: once(own.iter().flat_map(|route| numbers(&route.number))),
            routes: own.into_iter().filter_map(|own| route(own, tenant)).collect(),
            flows: account.flows.iter().map(flow).collect(),
            grants: names(&tenant.granted),
            quotas,
        })
    }

    /// What its calls out may cost a day, where that is bounded.
    fn of_the_day(&self, tenant: &config::Tenant) -> Vec<TenantQuota> {
        let budget = tenant.policy.budget;
        let used = self.ledger.book(&tenant.name).today(|used| *used);
        let bounds = [
            (
                "minutes_per_day",
                budget.minutes_per_day,
                used.seconds.div_ceil(60),
            ),
            ("dials_per_day", budget.dials_per_day, used.dials),
        ];
        let quota = |(key, max, taken): (&str, Option<u64>, u64)| {
            Some(TenantQuota {
                limit: format!("tenant.budget.{key}"),
                max: max?,
                taken: Some(taken),
                hits: None,
            })
        };
        bounds.into_iter().filter_map(quota).collect()
    }
}

fn flow(flow: &std::sync::Arc<Flow>) -> TenantFlow {
    let grants = flow.grants.set();
    TenantFlow {
        name: flow.name.to_string(),
        file: flow.file.display().to_string(),
        takes_calls: flow.takes_calls,
        is_job: flow.job.is_some(),
        grants: grants.iter().map(|one| one.name().to_owned()).collect(),
        running: flow.versions.running(),
        standing: flow.versions.standing(),
    }
}

fn route(route: &Route, tenant: &config::Tenant) -> Option<TenantRoute> {
    let (kind, to) = match &route.to {
        RouteTarget::Flow(flow) => ("flow", &tenant.flows.get(*flow)?.name),
        RouteTarget::Service(service) => ("service", service),
    };
    Some(TenantRoute {
        takes: route.to_string(),
        kind: kind.to_owned(),
        to: to.clone(),
        at: route.origin.to_string(),
    })
}

/// As the configuration writes them.
fn numbers(rule: &NumberRule) -> Vec<String> {
    match rule {
        NumberRule::Any => Vec::new(),
        NumberRule::Exact(numbers) => numbers.clone(),
        NumberRule::Prefix(beginnings) => beginnings.iter().map(|text| format!("{text}*")).collect(),
        NumberRule::Pattern(pattern) => vec![format!("/{pattern}/")],
    }
}

fn names(granted: &config::Granted) -> Vec<String> {
    let set = granted.set();
    set.iter().map(|one| one.name().to_owned()).collect()
}

/// Each once, in the order in which it comes first.
fn once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::path::Path;

    use super::*;

    const CONFIG: &str = r#"
listen = "udp:127.0.0.1:0"
limits.tenant.legs_max = 40
[ceiling]
grants = ["dial", "send", "job"]
[[tenant]]
name = "acme"
grants = ["dial", "job"]
limits.calls_max = 7
budget = { dials_per_day = 100 }
flow.ivr.file = "ivr.wasm"
flow.desk.file = "desk.wasm"
flow.desk.grants = ["job"]
[[tenant]]
name = "other"
flow.one.file = "one.wasm"

[[route]]
number = ["100", "101"]
domain = "acme.example"
tenant = "acme"
flow = "ivr"
[[route]]
number_prefix = "44"
domain = ["acme.example", "acme.test"]
tenant = "acme"
service = "desk"
[[route]]
tenant = "other"
flow = "one"
"#;

    #[test]
    fn a_tenant_is_told_with_what_is_its_own_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = Config::parse(Path::new("callbox.toml"), CONFIG).unwrap();
        let directory = Directory::new(&config, 10, runtime.handle().clone());
        assert!(directory.tenant("nobody").is_none());
        let all = directory.tenants();
        assert_eq!(all.len(), 2);
        let acme = directory.tenant("acme").unwrap();
        assert_eq!(acme, all[0]);
        assert_eq!((acme.calls, acme.calls_max), (0, 7));
        assert_eq!(acme.domains, ["acme.example", "acme.test"]);
        assert_eq!(acme.numbers, ["100", "101", "44*"]);
        assert_eq!(acme.grants, ["dial", "job"]);
        let routes: Vec<_> = acme
            .routes
            .iter()
            .map(|route| (route.kind.as_str(), route.to.as_str(), route.at.as_str()))
            .collect();
        assert_eq!(
            routes,
            [
                ("flow", "ivr", "callbox.toml:18"),
                ("service", "desk", "callbox.toml:23")
            ]
        );
        let desk = acme.flows.iter().find(|flow| flow.name == "desk").unwrap();
        assert_eq!(desk.grants, ["job"]);
        assert!(!desk.takes_calls && desk.standing.current.is_none());
        let quota = |limit: &str| acme.quotas.iter().find(|quota| quota.limit == limit).unwrap();
        assert_eq!(quota("limits.tenant.legs_max").max, 40);
        assert_eq!(quota("tenant.budget.dials_per_day").taken, Some(0));
        assert_eq!(quota("limits.tenant.calls_rate").taken, None);
        assert!(all[1].numbers.is_empty() && all[1].domains.is_empty());
        assert!(!all[1].quotas.iter().any(|quota| quota.limit.contains("budget")));
    }
}
