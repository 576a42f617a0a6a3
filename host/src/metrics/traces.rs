//! Metrics of the traces that go to an OpenTelemetry collector, if there is one.

use super::family::{Family, Kind};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "callbox_traces_sent_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Traces of calls that the OpenTelemetry collector has taken, if there is one.",
        read: |snapshot, series| {
            if let Some(traces) = &snapshot.traces {
                series.put(&[], traces.sent);
            }
        },
    },
    Family {
        name: "callbox_traces_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Traces that were lost: refused, tried too often, or no room in the queue. A rise is a collector that is gone or \
               too slow; calls go on.",
        read: |snapshot, series| {
            if let Some(traces) = &snapshot.traces {
                series.put(&[], traces.dropped);
            }
        },
    },
    Family {
        name: "callbox_trace_spans_rejected_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Spans that the collector did not take in requests that it took. Its own log says why.",
        read: |snapshot, series| {
            if let Some(traces) = &snapshot.traces {
                series.put(&[], traces.rejected_spans);
            }
        },
    },
    Family {
        name: "callbox_trace_failures_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Requests to the collector that failed and are tried again. A rise without callbox_traces_dropped_total is a \
               collector that stumbles.",
        read: |snapshot, series| {
            if let Some(traces) = &snapshot.traces {
                series.put(&[], traces.failures);
            }
        },
    },
];
