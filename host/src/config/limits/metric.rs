//! Which metric tells that a limit was hit.
//!
//! Most rows are counted one by one, by [`super::hit`]; some have a metric that others need too, and some are hit so often and
//! so rightly that nobody counts it. Entry point: [`Limit::metric`]. Invariant: a row that claims to be counted one by one is
//! named where it is hit; a test looks for it.

use super::{Limit, TENANT};

/// Counts rows of the host, by the label `limit`.
pub const HITS: &str = "callbox_limit_hits_total";
/// Counts those of tenants, by the labels `tenant` and `limit`.
pub const TENANT_HITS: &str = "callbox_tenant_limit_hits_total";

/// Rows that another metric tells of.
const OTHERS: [(&str, &str); 14] = [
    (
        "limits.sip.message_max_bytes",
        "callbox_sip_malformed_answered_total",
    ),
    ("limits.sip.headers_max", "callbox_sip_malformed_answered_total"),
    (
        "limits.sip.header_value_max_bytes",
        "callbox_sip_malformed_answered_total",
    ),
    ("limits.sip.t1_ms", "callbox_sip_retransmitted_total"),
    ("limits.sip.t2_ms", "callbox_sip_retransmitted_total"),
    (
        "limits.wire.tcp_first_message_ms",
        "callbox_connections_slow_closed_total",
    ),
    (
        "limits.wire.tcp_message_ms",
        "callbox_connections_slow_closed_total",
    ),
    ("limits.wire.tcp_connect_ms", "callbox_connections_failed_total"),
    ("limits.wire.name_lookup_ms", "callbox_lookups_failed_total"),
    ("limits.trace.queue", "callbox_traces_dropped_total"),
    ("limits.trace.tries", "callbox_traces_dropped_total"),
    ("limits.trace.request_ms", "callbox_trace_failures_total"),
    ("limits.versions.breaker_traps", "callbox_versions_fallen_total"),
    ("limits.versions.breaker_open_s", "callbox_flow_circuits_open"),
];

/// Rows that nothing counts: what happens there is the way that things go, or is seen at once by who does it.
const UNCOUNTED: [&str; 42] = [
    "limits.tenants_max",
    "limits.flows_max",
    "limits.routes_max",
    "limits.traps_max",
    "limits.drain_grace_ms",
    "limits.drain_ms",
    "limits.sip.t4_ms",
    "limits.sip.forks_max",
    "limits.sip.route_headers_max",
    "limits.sip.bindings_max",
    "limits.sip.auth_tries_max",
    "limits.sip.offer_decision_ms",
    "limits.sip.request_decision_ms",
    "limits.sip.session_expires_s",
    "limits.sip.timers_per_wake",
    "limits.wire.udp_batch",
    "limits.wire.udp_socket_buffer_bytes",
    "limits.wire.names_max",
    "limits.wire.name_ttl_ms",
    "limits.wire.name_lookups",
    "limits.wire.ladder_bytes",
    "limits.call.sends_burst",
    "limits.call.wait_max_ms",
    "limits.plugin.compiles_max",
    "limits.plugin.fuel_slice",
    "limits.plugin.log_line_max_bytes",
    "limits.record.batch",
    "limits.record.batch_ms",
    "limits.record.flush_ms",
    "limits.record.jsonl_max_bytes",
    "limits.admin.connections_max",
    "limits.admin.stream_lines",
    "limits.trace.batch",
    "limits.trace.batch_ms",
    "limits.trace.retry_after_max_s",
    "limits.trace.answer_max_bytes",
    "limits.trace.flush_ms",
    "limits.versions.kept_max",
    "limits.versions.smoke_ms",
    "limits.versions.breaker_calls",
    "limits.tenant.cpu_burst_ms",
    "limits.tenant.log_burst_bytes",
];

impl Limit {
    /// The metric that tells how often it was hit; none for a number that is no bound, for the burst of a rate, which is counted with it,
    /// and for what nobody counts.
    #[must_use]
    pub fn metric(&self) -> Option<&'static str> {
        let name = self.full_name();
        if let Some((_, metric)) = OTHERS.iter().find(|(row, _)| *row == name) {
            return Some(metric);
        }
        let burst = self.group == TENANT && self.name.ends_with("_burst");
        if burst || self.when_hit.starts_with("not a bound") || UNCOUNTED.contains(&name.as_str()) {
            None
        } else if self.group == TENANT {
            Some(TENANT_HITS)
        } else {
            Some(HITS)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::super::{Limits, table};
    use super::*;

    /// The sources but this table and the pages that are made of it.
    fn sources(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/config") {
                sources(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let file = fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]").next().unwrap());
            }
        }
    }

    #[test]
    fn what_claims_to_be_counted_is_named_where_it_is_hit() {
        let mut text = String::new();
        sources(
            &PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
            &mut text,
        );
        for row in table().filter(|row| row.metric() == Some(HITS)) {
            let name = format!("\"{}\"", row.full_name());
            assert!(text.contains(&name), "{name} is counted nowhere");
        }
    }

    #[test]
    fn the_lists_name_rows_that_there_are() {
        let known =
            |name: &str| table().any(|row| row.full_name() == name && Limits::default().get(row).is_some());
        for name in OTHERS.iter().map(|(row, _)| row).chain(&UNCOUNTED) {
            assert!(known(name), "{name}");
        }
    }
}
