//! Metrics of tenants and their flows.

use super::family::{Family, Kind, Series};
use super::snapshot::Snapshot;
use crate::plugin::Outcome;
use crate::tenant::{Ended, FlowNumbers, TenantNumbers};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "callbox_calls_total",
        kind: Kind::Counter,
        labels: &["tenant", "flow", "outcome"],
        help: "Calls whose flow has ended, by how: finished is well, failed is an error of the flow's own, ended is by the \
               host or an operator, all others are traps.",
        read: |snapshot, series| {
            each_outcome(snapshot, series, |flow| &flow.calls, |name| name == "finished");
        },
    },
    Family {
        name: "callbox_jobs_total",
        kind: Kind::Counter,
        labels: &["tenant", "flow", "outcome"],
        help: "Runs of jobs that have ended, by how, as callbox_calls_total.",
        read: |snapshot, series| each_outcome(snapshot, series, |flow| &flow.jobs, |_| false),
    },
    Family {
        name: "callbox_traps_total",
        kind: Kind::Counter,
        labels: &["tenant", "flow"],
        help: "Calls and jobs that trapped or ran into a limit. A rise is a flow that is broken, or attacked: callbox traps \
               says where.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                let trapped = |(name, count): &Ended| Outcome::names_a_trap(name).then_some(*count);
                let traps = flow.calls.iter().chain(&flow.jobs).filter_map(trapped);
                series.put(&[&tenant.tenant, &flow.flow], traps.sum());
            });
        },
    },
    Family {
        name: "callbox_fuel_used_total",
        kind: Kind::Counter,
        labels: &["tenant", "flow"],
        help: "Fuel of calls and jobs that have ended, work of the host for them included. A rise without more calls is a flow \
               that computes more.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                series.put(&[&tenant.tenant, &flow.flow], flow.fuel);
            });
        },
    },
    Family {
        name: "callbox_tenant_calls",
        kind: Kind::Gauge,
        labels: &["tenant"],
        help: "Calls and jobs in progress, and calls that sessions have accepted.",
        read: |snapshot, series| {
            for tenant in &snapshot.numbers.tenants {
                let calls = tenant.readings.iter().find(|it| it.limit == "calls_max");
                let taken = calls.and_then(|it| it.taken).unwrap_or_default();
                series.put(&[&tenant.tenant], taken);
            }
        },
    },
    Family {
        name: "callbox_tenant_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &["tenant"],
        help: "CPU that the tenant's flows have had. Near limits.tenant.cpu_rate its calls are slowed.",
        read: |snapshot, series| {
            for tenant in &snapshot.numbers.tenants {
                series.put_float(&[&tenant.tenant], tenant.cpu_us as f64 / 1e6);
            }
        },
    },
    Family {
        name: "callbox_tenant_usage",
        kind: Kind::Gauge,
        labels: &["tenant", "limit"],
        help: "How much a tenant has of what its limits bound at a time, in the unit of the limit. At callbox_tenant_limit the \
               next one is refused.",
        read: |snapshot, series| {
            each_reading(snapshot, |labels, reading| {
                if let Some(taken) = reading.taken {
                    series.put(labels, taken);
                }
            });
        },
    },
    Family {
        name: "callbox_tenant_limit",
        kind: Kind::Gauge,
        labels: &["tenant", "limit"],
        help: "The limit in force for a tenant, in its unit.",
        read: |snapshot, series| each_reading(snapshot, |labels, reading| series.put(labels, reading.max)),
    },
    Family {
        name: "callbox_tenant_limit_hits_total",
        kind: Kind::Counter,
        labels: &["tenant", "limit"],
        help: "How often a limit of the tenant was hit: docs/limits.md says what happened then. A rise is a tenant that needs \
               more, or misbehaves.",
        read: |snapshot, series| each_reading(snapshot, |labels, reading| series.put(labels, reading.hits)),
    },
    Family {
        name: "callbox_flow_version",
        kind: Kind::Gauge,
        labels: &["tenant", "flow"],
        help: "The number of the version that new calls get; 0 when none is loaded, and calls get 500. A change is a deploy or a \
               rollback.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                let number = flow.current.unwrap_or_default();
                series.put(&[&tenant.tenant, &flow.flow], number.into());
            });
        },
    },
    Family {
        name: "callbox_flow_versions_live",
        kind: Kind::Gauge,
        labels: &["tenant", "flow"],
        help: "Versions whose code is in memory: what calls may get, have, or may fall back to. It falls when the last call of an \
               old one ends.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                series.put(&[&tenant.tenant, &flow.flow], flow.versions_alive as u64);
            });
        },
    },
    Family {
        name: "callbox_flow_canary_percent",
        kind: Kind::Gauge,
        labels: &["tenant", "flow"],
        help: "The share of new calls that a canary gets; 0 without one.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                series.put(&[&tenant.tenant, &flow.flow], flow.canary_percent.into());
            });
        },
    },
    Family {
        name: "callbox_flow_circuits_open",
        kind: Kind::Gauge,
        labels: &["tenant", "flow"],
        help: "Versions that get no calls for a while because they trapped too often. Above 0 callers hear trap_code at once.",
        read: |snapshot, series| {
            each_flow(snapshot, |tenant, flow| {
                series.put(&[&tenant.tenant, &flow.flow], flow.circuits_open as u64);
            });
        },
    },
];

fn each_flow(snapshot: &Snapshot, mut put: impl FnMut(&TenantNumbers, &FlowNumbers)) {
    for tenant in &snapshot.numbers.tenants {
        tenant.flows.iter().for_each(|flow| put(tenant, flow));
    }
}

/// Outcomes that were there, and those that are wanted from the start.
fn each_outcome(
    snapshot: &Snapshot,
    series: &mut Series<'_>,
    of: fn(&FlowNumbers) -> &Vec<Ended>,
    always: fn(&str) -> bool,
) {
    each_flow(snapshot, |tenant, flow| {
        for (name, count) in of(flow) {
            if *count > 0 || always(name) {
                series.put(&[&tenant.tenant, &flow.flow, name], *count);
            }
        }
    });
}

fn each_reading(snapshot: &Snapshot, mut put: impl FnMut(&[&str], &crate::call::Reading)) {
    for tenant in &snapshot.numbers.tenants {
        for reading in &tenant.readings {
            let limit = format!("limits.tenant.{}", reading.limit);
            put(&[&tenant.tenant, &limit], reading);
        }
    }
}
