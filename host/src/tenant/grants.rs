//! What a flow is granted, and for all the rest the line that would grant it.
//!
//! Entry points: [`of`], and [`warn`], which compares with what a component imports.

use std::fmt::Write as _;
use std::sync::Arc;

use super::flow::Flow;
use crate::call::{Grants, Withheld};
use crate::config::{Capability, Granted};
use crate::plugin::Inspection;

/// What the configuration grants to a flow of a tenant; where nothing is said of `flow`, to any flow of the tenant.
#[must_use]
pub fn of(granted: &Granted, tenant: &str, flow: Option<&str>) -> Arc<Grants> {
    let set = granted.set();
    let withheld = Capability::ALL
        .into_iter()
        .filter(|capability| !set.has(*capability))
        .map(|capability| withheld(granted, capability, tenant, flow))
        .collect();
    Arc::new(Grants::all_but(withheld))
}

/// Every line that withholds it is named: adding it to one of them would not do.
fn withheld(granted: &Granted, capability: Capability, tenant: &str, flow: Option<&str>) -> Withheld {
    let whose = [
        (&granted.ceiling, "of [ceiling]".to_owned()),
        (&granted.tenant, format!("of tenant {tenant}")),
        (
            &granted.flow,
            format!("of flow {} of tenant {tenant}", flow.unwrap_or_default()),
        ),
    ];
    let (mut fix, mut place) = (format!("add \"{capability}\" to grants "), String::new());
    let lines = whose
        .into_iter()
        .filter_map(|(line, whose)| Some((line.as_ref()?, whose)))
        .filter(|(line, _)| !line.set.has(capability));
    for (position, (line, whose)) in lines.enumerate() {
        if position > 0 {
            fix.push_str(" and ");
            place.push_str(", ");
        }
        fix.push_str(&whose);
        // Writing to a string does not fail.
        let _ = write!(place, "{}", line.at);
    }
    Withheld::new(capability, fix, place)
}

/// Tells the operator what a version that was loaded imports in vain. Its calls run: a flow may do without.
pub(super) fn warn(inspection: &Inspection, tenant: &str, flow: &Flow) {
    for withheld in flow.grants.withheld() {
        let functions = inspection.functions_of(withheld.capability);
        if !functions.is_empty() {
            tracing::warn!(
                tenant,
                flow = &*flow.name,
                "it has {}, which will be denied: \"{}\" is not granted; {} ({})",
                functions.join(", "),
                withheld.capability,
                withheld.fix,
                withheld.place
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_withheld_names_every_line_to_change() {
        let text = r#"
listen = "udp:127.0.0.1:0"
[ceiling]
grants = ["dial", "send", "job"]
[[tenant]]
name = "acme"
grants = ["dial", "job"]
[tenant.flow.ivr]
file = "f.wasm"
grants = ["job"]
"#;
        let config = Config::parse(Path::new("callbox.toml"), text).unwrap();
        let tenant = config.tenants.first().unwrap();
        let granted = &tenant.flows.first().unwrap().granted;
        let grants = of(granted, "acme", Some("ivr"));
        let fix = |capability| {
            let withheld = grants.withheld_of(capability).unwrap();
            (withheld.fix.clone(), withheld.place.clone())
        };
        let expected = |fix: &str, place: &str| (fix.to_owned(), place.to_owned());
        assert_eq!(
            fix(Capability::Dial),
            expected(
                "add \"dial\" to grants of flow ivr of tenant acme",
                "callbox.toml:10"
            )
        );
        assert_eq!(
            fix(Capability::Send),
            expected(
                "add \"send\" to grants of tenant acme and of flow ivr of tenant acme",
                "callbox.toml:7, callbox.toml:10"
            )
        );
        assert_eq!(
            fix(Capability::Spawn).1,
            "callbox.toml:4, callbox.toml:7, callbox.toml:10"
        );
        assert!(grants.withheld_of(Capability::Job).is_none());
        assert!(of(&tenant.granted, "acme", None).set().has(Capability::Dial));
    }
}
