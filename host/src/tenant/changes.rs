//! What a new configuration changes: for the log, and for whoever asked for it.
//!
//! Deliberately knows nothing of a host. Entry type: [`Changes`]. Invariant: what takes a restart to take effect is never
//! listed as a change, but as what is kept.

use std::collections::BTreeMap;

use crate::config::limits::{Limit, table};
use crate::config::{Config, RouteTarget};

/// Rows of the table of limits that hold for calls to come as soon as they are read; the others size what is there.
const LIVE_GROUPS: [&str; 2] = ["limits.call", "limits.tenant"];
const LIVE_ROWS: [&str; 4] = ["calls_reserved_percent", "tenants_max", "flows_max", "routes_max"];
/// Lines of one kind that the log gets; the rest is counted.
const LINES_MAX: usize = 50;

/// The difference between two configurations, in words: each entry is one line of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changes {
    /// `tenant acme added`, `flow acme/ivr removed`, …
    pub tenants: Vec<String>,
    /// `route … added`, `route … removed`, `routes in another order`.
    pub routes: Vec<String>,
    /// `limits.call.digits_max 64 → 7`
    pub limits: Vec<String>,
    /// `tls: another certificate, key or authorities`
    #[serde(default)]
    pub tls: Vec<String>,
    /// What stays as it was until the host is started again.
    pub restart: Vec<String>,
}

impl Changes {
    /// What is another in `after` than in `before`, and what than in the configuration that the host was `started` with.
    pub(super) fn between(started: &Config, before: &Config, after: &Config) -> Self {
        let mut changes = Self {
            tenants: tenants(before, after),
            routes: routes(before, after),
            ..Self::default()
        };
        if let (Some(old), Some(new)) = (&before.tls, &after.tls)
            && old != new
        {
            let line = "tls: another certificate, key or authorities, for the connections to come";
            changes.tls.push(line.to_owned());
        }
        for row in table() {
            let live = is_live(row);
            let since = if live { before } else { started };
            let (Some(old), Some(new)) = (since.limits.get(row), after.limits.get(row)) else {
                continue;
            };
            if old != new {
                let line = format!("{}.{} {old} → {new}", row.group, row.name);
                let list = if live {
                    &mut changes.limits
                } else {
                    &mut changes.restart
                };
                list.push(line);
            }
        }
        let differ = [
            ("listen", started.listen != after.listen),
            ("tls", started.tls.is_some() != after.tls.is_some()),
            ("user_agent", started.user_agent != after.user_agent),
            ("cache_dir", started.cache_dir != after.cache_dir),
            ("state_dir", started.state_dir != after.state_dir),
            ("log", started.log != after.log),
            ("admin", started.admin != after.admin),
            ("metrics", started.metrics != after.metrics),
            ("drain", started.drain != after.drain),
            ("hep", started.hep != after.hep),
            ("otel", started.otel != after.otel),
            ("records", started.records != after.records),
        ];
        for (key, _) in differ.into_iter().filter(|(_, differs)| *differs) {
            changes.restart.push(key.to_owned());
        }
        for list in [&mut changes.tenants, &mut changes.routes] {
            let more = list.len().saturating_sub(LINES_MAX);
            if more > 0 {
                list.truncate(LINES_MAX);
                list.push(format!("and {more} more"));
            }
        }
        changes
    }

    /// Whether nothing is another, whatever it takes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none() && self.restart.is_empty()
    }

    /// What has changed.
    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.tenants
            .iter()
            .chain(&self.routes)
            .chain(&self.limits)
            .chain(&self.tls)
    }
}

/// Whether a reload takes a new number of this row over.
pub(super) fn is_live(row: &Limit) -> bool {
    LIVE_GROUPS.contains(&row.group) || (row.group == "limits" && LIVE_ROWS.contains(&row.name))
}

fn tenants(before: &Config, after: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for old in &before.tenants {
        if !after.tenants.iter().any(|new| new.name == old.name) {
            lines.push(format!("tenant {} removed", old.name));
        }
    }
    for new in &after.tenants {
        let name = &new.name;
        let Some(old) = before.tenants.iter().find(|old| old.name == *name) else {
            lines.push(format!("tenant {name} added"));
            continue;
        };
        if old == new {
            continue;
        }
        for flow in &old.flows {
            if !new.flows.iter().any(|other| other.name == flow.name) {
                lines.push(format!("flow {name}/{} removed", flow.name));
            }
        }
        for flow in &new.flows {
            match old.flows.iter().find(|other| other.name == flow.name) {
                None => lines.push(format!("flow {name}/{} added", flow.name)),
                Some(other) if other != flow => lines.push(format!("flow {name}/{} changed", flow.name)),
                Some(_) => {}
            }
        }
        if old.flows == new.flows {
            lines.push(format!("tenant {name} changed"));
        }
    }
    lines
}

/// Every route as one line, which says all that decides about it.
fn route_lines(config: &Config) -> Vec<String> {
    let line = |route: &crate::config::Route| {
        let tenant = config.tenants.get(route.tenant)?;
        let to = match &route.to {
            RouteTarget::Flow(flow) => tenant.flows.get(*flow)?.name.clone(),
            RouteTarget::Service(service) => format!("service {service}"),
        };
        Some(format!("{route} to {}/{to}", tenant.name))
    };
    config.routes.iter().filter_map(line).collect()
}

fn routes(before: &Config, after: &Config) -> Vec<String> {
    let (before, after) = (route_lines(before), route_lines(after));
    if before == after {
        return Vec::new();
    }
    // How many more of each there are than before.
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in &after {
        *counts.entry(line).or_default() += 1;
    }
    for line in &before {
        *counts.entry(line).or_default() -= 1;
    }
    let lines: Vec<String> = counts
        .into_iter()
        .filter(|(_, more)| *more != 0)
        .map(|(line, more)| format!("route {line} {}", if more > 0 { "added" } else { "removed" }))
        .collect();
    match lines.is_empty() {
        true => vec!["routes in another order".to_owned()],
        false => lines,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    const BEFORE: &str = "listen = \"udp:127.0.0.1:0\"\n\
        [[tenant]]\nname = \"a\"\nflow.one.file = \"1\"\nflow.two.file = \"2\"\n\
        [[tenant]]\nname = \"b\"\nflow.one.file = \"1\"\n\
        [[route]]\nnumber = \"1\"\ntenant = \"a\"\nflow = \"one\"\n\
        [[route]]\nnumber = \"2\"\ntenant = \"b\"\nflow = \"one\"\n";

    fn between(replace: &str, by: &str) -> Changes {
        let parse = |text: &str| Config::parse(Path::new("callbox.toml"), text).unwrap();
        assert!(BEFORE.contains(replace), "{replace}");
        Changes::between(
            &parse(BEFORE),
            &parse(BEFORE),
            &parse(&BEFORE.replace(replace, by)),
        )
    }

    #[test]
    fn a_change_is_one_line_that_names_it() {
        for (replace, by, expected) in [
            ("flow.two.file = \"2\"\n", "", "flow a/two removed"),
            (
                "flow.two.file = \"2\"\n",
                "flow.two.file = \"3\"\n",
                "flow a/two changed",
            ),
            (
                "flow.two.file = \"2\"\n",
                "flow.two.file = \"2\"\nflow.x.file = \"3\"\n",
                "flow a/x added",
            ),
            (
                "name = \"a\"\n",
                "name = \"a\"\ndial = \"example.com\"\n",
                "tenant a changed",
            ),
            (
                "[[route]]\nnumber = \"1\"",
                "[[tenant]]\nname = \"c\"\nflow.f.file = \"f\"\n[[route]]\nnumber = \"1\"",
                "tenant c added",
            ),
            (
                "number = \"2\"\n",
                "number = \"3\"\n",
                "route 2 to b/one removed, route 3 to b/one added",
            ),
            (
                "[[tenant]]\nname = \"a\"",
                "limits.call.digits_max = 7\n[[tenant]]\nname = \"a\"",
                "limits.call.digits_max 256 → 7",
            ),
        ] {
            let changes = between(replace, by);
            let mut said: Vec<&String> = changes.lines().collect();
            said.sort_by_key(|line| line.contains("added"));
            let said: Vec<&str> = said.into_iter().map(String::as_str).collect();
            assert_eq!(
                said.join(", "),
                expected.replace("route 3 to b/one added, ", ""),
                "{by}"
            );
            assert!(changes.restart.is_empty() && !changes.is_empty(), "{changes:?}");
        }
        assert!(between("number", "number").is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_said_and_kept() {
        for (by, expected) in [
            ("listen = \"udp:127.0.0.1:1\"\n", "listen"),
            ("listen = \"udp:127.0.0.1:0\"\nstate_dir = \"x\"\n", "state_dir"),
            (
                "listen = \"udp:127.0.0.1:0\"\nlimits.calls_max = 1\n",
                "limits.calls_max 5000 → 1",
            ),
        ] {
            let changes = between("listen = \"udp:127.0.0.1:0\"\n", by);
            assert!(changes.restart.iter().any(|line| line == expected), "{changes:?}");
            assert!(changes.lines().next().is_none() && !changes.is_empty());
        }
    }

    #[test]
    fn the_order_of_routes_is_a_change() {
        let first = "[[route]]\nnumber = \"1\"\ntenant = \"a\"\nflow = \"one\"\n";
        let second = "[[route]]\nnumber = \"2\"\ntenant = \"b\"\nflow = \"one\"\n";
        let both = format!("{first}{second}");
        assert_eq!(
            between(&both, &format!("{second}{first}")).routes,
            ["routes in another order"]
        );
    }
}
