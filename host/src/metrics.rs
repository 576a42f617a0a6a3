//! What a running host counts, as text that Prometheus reads.
//!
//! The numbers are those of the layers: each counts what it does with relaxed atomics, and all of them are read when somebody
//! asks, once, into a [`Snapshot`]. Nothing here is on the way of a call. Knows no HTTP.
//!
//! [`families`] is *the* table of metrics: `docs/metrics.md` and the test of the dashboard are made from it. Invariants:
//! the values of labels are names of the configuration and words of this program's own, never a peer's: so there are never
//! more series than the configuration has tenants, flows and limits; a name that was published keeps its meaning.
//!
//! Entry types: [`Sources`], what is read, and [`Family`], a row of the table.

mod exposition;
mod family;
mod host;
mod log_tally;
mod process;
mod sip;
mod snapshot;
mod tenants;
mod traces;

pub use exposition::CONTENT_TYPE;
pub use family::{Family, Kind};
pub use log_tally::LogTally;
pub use snapshot::{Snapshot, Sources};

/// Every metric that there is, in the order in which they are written.
pub fn families() -> impl Iterator<Item = &'static Family> {
    [tenants::FAMILIES, host::FAMILIES, sip::FAMILIES, traces::FAMILIES]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::call::TenantBounds;
    use crate::config::limits::{self, TenantLimits};

    #[test]
    fn names_are_of_the_right_form_and_stand_once() {
        let mut seen = BTreeSet::new();
        for family in families() {
            let Family { name, kind, help, .. } = family;
            assert!(seen.insert(*name), "{name} stands twice");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.starts_with("callbox_") && name.chars().all(plain), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            // What OpenMetrics would want escaped.
            assert!(
                help.ends_with('.') && !help.contains(['\\', '"', '\n']),
                "{name}: {help}"
            );
        }
    }

    #[test]
    fn every_metric_that_the_table_of_limits_names_exists() {
        let named: BTreeSet<&str> = limits::table().filter_map(limits::Limit::metric).collect();
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            let family = families().find(|family| family.name == name);
            let by_limit = [limits::HITS, limits::TENANT_HITS].contains(&name);
            assert!(
                family.is_some_and(|it| it.labels.contains(&"limit") == by_limit),
                "{name}"
            );
        }
    }

    #[test]
    fn every_row_of_a_tenant_that_claims_to_be_counted_is_read() {
        let read = TenantBounds::new("acme", &TenantLimits::default()).readings();
        for row in TenantLimits::ROWS {
            let is_read = read.iter().any(|reading| reading.limit == row.name);
            assert_eq!(row.metric() == Some(limits::TENANT_HITS), is_read, "{row}");
        }
    }
}
