//! Metrics of the SIP side: transactions, dialogs, messages, sockets, connections.

use super::family::{Family, Kind};

/// A number without labels.
macro_rules! plain {
    ($kind:ident $name:literal, $help:literal, |$snapshot:ident| $value:expr) => {
        Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[],
            help: $help,
            read: |$snapshot, series| series.put(&[], $value),
        }
    };
}

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "callbox_sip_transactions",
        kind: Kind::Gauge,
        labels: &["kind", "state"],
        help: "Transactions by kind and state (RFC 3261 section 17, RFC 6026); those that are completed or accepted only absorb \
               copies for half a minute. A rise of calling or trying is a peer that does not answer.",
        read: |snapshot, series| {
            for (kind, state, count) in snapshot.counts.population.iter() {
                series.put(&[kind, state], count as u64);
            }
        },
    },
    plain!(Gauge "callbox_sip_dialogs", "Dialogs, early ones included.", |s| s.counts.dialogs as u64),
    plain!(Gauge "callbox_sip_legs",
        "Legs, those included that only wait for the end of their last transaction.", |s| s.counts.legs as u64),
    plain!(Gauge "callbox_sip_registrations",
        "Registrations that flows hold elsewhere.", |s| s.counts.registrations as u64),
    plain!(Gauge "callbox_sip_subscriptions",
        "Subscriptions that flows hold elsewhere.", |s| s.counts.subscriptions as u64),
    plain!(Gauge "callbox_sip_timers", "Running timers of all of them.", |s| s.counts.timers as u64),
    plain!(Counter "callbox_sip_retransmitted_total",
        "Copies of our messages that a timer sent. A rise is loss on the way, or a peer that is slow.", |s| s.stats.retransmitted),
    plain!(Counter "callbox_sip_absorbed_total",
        "Copies of requests that were absorbed. A rise is loss on the way, or a host that is slow.", |s| s.stats.absorbed),
    plain!(Counter "callbox_sip_strays_total",
        "Responses and ACKs that belong to nothing: late, or misrouted.", |s| s.stats.strays),
    plain!(Counter "callbox_sip_malformed_answered_total",
        "Requests that were refused because they are not SIP as it should be.", |s| s.stats.malformed_answered),
    plain!(Counter "callbox_sip_malformed_dropped_total",
        "Messages that could not even be answered. A rise is a probe, or something that is no SIP.", |s| s.stats.malformed_dropped),
    plain!(Counter "callbox_sip_overload_total",
        "Requests that got 503 because a SIP thread has as many legs or transactions as it may (limits.sip).", |s| s.stats.overload),
    plain!(Counter "callbox_sip_faults_total",
        "Broken invariants of the stack, the call concerned being dropped. Any is a fault of callbox: please report it.",
        |s| s.stats.invariant_breaks.saturating_add(s.stats.undrained_inputs)),
    Family {
        name: "callbox_sip_handover_queue",
        kind: Kind::Gauge,
        labels: &["shard"],
        help: "Messages that wait for a SIP thread to take them from another. At limits.wire.handover_queue datagrams are \
               dropped.",
        read: |snapshot, series| {
            for (shard, waiting) in snapshot.handovers.iter().enumerate() {
                series.put(&[&shard.to_string()], *waiting as u64);
            }
        },
    },
    Family {
        name: "callbox_sip_command_queue",
        kind: Kind::Gauge,
        labels: &["shard"],
        help: "Legs whose flows have commands that their SIP thread has not taken yet. More than a few for long is a thread \
               without CPU.",
        read: |snapshot, series| {
            for (shard, waiting) in snapshot.numbers.commands.iter().enumerate() {
                series.put(&[&shard.to_string()], *waiting as u64);
            }
        },
    },
    plain!(Counter "callbox_datagrams_received_total", "Datagrams read.", |s| s.wire.datagrams_in),
    plain!(Counter "callbox_datagrams_sent_total", "Datagrams given to the kernel.", |s| s.wire.datagrams_out),
    plain!(Counter "callbox_datagrams_unsent_total",
        "Datagrams dropped because the kernel would not take them and the queue was full.", |s| s.wire.datagrams_unsent),
    plain!(Counter "callbox_handover_dropped_total",
        "Datagrams for another SIP thread whose queue was full. A rise is a host at its end.", |s| s.wire.handover_dropped),
    plain!(Counter "callbox_stream_messages_received_total", "Messages read from connections.", |s| s.wire.stream_messages_in),
    plain!(Gauge "callbox_connections", "TCP connections, open or being opened.", |s| s.connections as u64),
    plain!(Counter "callbox_connections_accepted_total", "Connections that peers have opened.", |s| s.wire.accepted),
    plain!(Counter "callbox_connections_refused_total",
        "Connections closed at once, or not opened, because there were too many in all or of one address.", |s| s.wire.refused),
    plain!(Counter "callbox_connections_opened_total", "Connections that this host has opened.", |s| s.wire.connected),
    plain!(Counter "callbox_connections_failed_total",
        "Connections that could not be opened: a peer that is gone.", |s| s.wire.connect_failed),
    plain!(Counter "callbox_connections_slow_closed_total",
        "Connections closed because a message, or the first one, took too long: a probe, or slow loris.", |s| s.wire.slow_closed),
    plain!(Counter "callbox_connections_full_closed_total",
        "Connections closed because the peer did not read.", |s| s.wire.write_queue_closed),
    plain!(Counter "callbox_connections_framing_closed_total",
        "Connections closed because what came was not SIP.", |s| s.wire.framing_closed),
    plain!(Counter "callbox_connections_idle_closed_total", "Connections closed because nothing came.", |s| s.wire.idle_closed),
    plain!(Counter "callbox_tls_agreed_total", "Connections on which TLS was agreed.", |s| s.wire.tls_agreed),
    plain!(Counter "callbox_tls_failed_total",
        "Connections closed because TLS could not be agreed on, or was broken. A rise is a probe, or a certificate that has expired.",
        |s| s.wire.tls_failed),
    plain!(Counter "callbox_unreachable_total",
        "Destinations that ICMP reported as unreachable.", |s| s.wire.unreachable),
    plain!(Counter "callbox_lookups_total", "Names looked up.", |s| s.wire.lookups),
    plain!(Counter "callbox_lookups_failed_total",
        "Names without an address, or without an answer in time. A rise is a resolver that is down.", |s| s.wire.lookups_failed),
    Family {
        name: "callbox_hep_sent_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Copies of messages sent to the HEP collector, if there is one.",
        read: |snapshot, series| {
            if let Some((sent, _)) = snapshot.mirrored {
                series.put(&[], sent);
            }
        },
    },
    Family {
        name: "callbox_hep_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Copies that did not get to the HEP collector. A rise is a collector that is gone; calls go on.",
        read: |snapshot, series| {
            if let Some((_, dropped)) = snapshot.mirrored {
                series.put(&[], dropped);
            }
        },
    },
];
