//! What the SIP side is told of the configuration: addresses, timing, and the rows of the table of limits that the
//! endpoints obey.
//!
//! Deliberately the only place that knows both the table and [`EndpointLimits`]. Entry point: [`wire_config`]. Invariant:
//! no bound of an endpoint comes from its own defaults but `body_max`, which the flows' own bound lies below.

use std::time::Duration;

use callbox_sip::endpoint::{EndpointConfig, EndpointLimits};
use callbox_sip::message::MessageLimits;
use callbox_sip::transaction::Timing;

use crate::config::Config;
use crate::config::limits::{HostLimits, SipLimits};
use crate::wire::WireConfig;

/// The SIP side of a configuration.
pub(super) fn wire_config(config: &Config) -> WireConfig {
    let sip = &config.limits.sip;
    WireConfig {
        listen: config.listen.clone(),
        tls: config.tls.clone(),
        limits: config.limits.wire.clone(),
        hep: config.hep.clone(),
        endpoint: EndpointConfig {
            timing: Timing {
                t1: Duration::from_millis(sip.t1_ms),
                t2: Duration::from_millis(sip.t2_ms),
                t4: Duration::from_millis(sip.t4_ms),
                ..Timing::default()
            },
            limits: endpoint_limits(sip, &config.limits.host),
            user_agent: config.user_agent.as_str().into(),
            ..EndpointConfig::default()
        },
    }
}

fn endpoint_limits(sip: &SipLimits, host: &HostLimits) -> EndpointLimits {
    EndpointLimits {
        legs_max: sip.legs_max,
        transactions_max: sip.transactions_max,
        requests_per_leg_max: sip.requests_per_leg_max,
        refers_per_leg_max: sip.refers_per_leg_max,
        forks_max: sip.forks_max,
        routes_max: sip.route_headers_max,
        registrations_max: sip.registrations_max,
        contacts_max: sip.contacts_max,
        bindings_max: sip.bindings_max,
        subscriptions_max: sip.subscriptions_max,
        accepts_max: sip.accepts_max,
        auth_tries_max: sip.auth_tries_max,
        reinvite_decision_max: Duration::from_millis(sip.offer_decision_ms),
        update_decision_max: Duration::from_millis(sip.request_decision_ms),
        session_expires_s: sip.session_expires_s,
        timers_per_wake_max: sip.timers_per_wake,
        retry_after_s: host.retry_after_s,
        message: MessageLimits {
            max_message: sip.message_max_bytes,
            max_headers: sip.headers_max,
            max_value: sip.header_value_max_bytes,
        },
        ..EndpointLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least number of each row is another one than its default, so a row that is not passed on shows.
    #[test]
    #[allow(clippy::unwrap_used)]
    fn every_bound_of_an_endpoint_follows_the_table() {
        let mut sip = SipLimits::default();
        let host = HostLimits {
            retry_after_s: 77,
            ..HostLimits::default()
        };
        let before = format!("{:#?}", endpoint_limits(&sip, &HostLimits::default()));
        for row in SipLimits::ROWS {
            sip.set(row.name, row.range.0).unwrap();
        }
        let after = format!("{:#?}", endpoint_limits(&sip, &host));
        let same: Vec<_> = before
            .lines()
            .zip(after.lines())
            .filter(|(a, b)| a == b)
            .collect();
        let own = same.iter().filter(|(line, _)| line.contains(':')).count();
        // `body_max`, and the line that opens the group of message bounds.
        assert_eq!(own, 2, "{same:#?}");
    }
}
