//! Metrics of the host as a whole: what it refuses, its pool, queues, records, and the process.

use super::family::{Family, Kind};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "callbox_runs",
        kind: Kind::Gauge,
        labels: &[],
        help: "Calls and jobs whose flow runs. At callbox_runs_max the next call gets 503.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.runs as u64),
    },
    Family {
        name: "callbox_runs_max",
        kind: Kind::Gauge,
        labels: &[],
        help: "As many as may run at a time: limits.calls_max, or fewer where the kernel has no room for them.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.runs_max as u64),
    },
    Family {
        name: "callbox_refusals_total",
        kind: Kind::Counter,
        labels: &["code", "reason"],
        help: "Calls refused before a flow had them, by the response and the limit or cause. A rise of 503 is a host that is \
               full, of 480 a tenant that is, of 404 a caller without a route, of 500 a flow that is not loaded.",
        read: |snapshot, series| {
            for refused in &snapshot.numbers.refusals {
                series.put(&[&refused.code.to_string(), refused.reason], refused.count);
            }
        },
    },
    Family {
        name: "callbox_limit_hits_total",
        kind: Kind::Counter,
        labels: &["limit"],
        help: "How often a limit of the host was hit: docs/limits.md says what happened then.",
        read: |snapshot, series| {
            for (limit, hits) in &snapshot.hits {
                series.put(&[limit], *hits);
            }
        },
    },
    Family {
        name: "callbox_draining",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while the host takes no new calls.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.draining.into()),
    },
    Family {
        name: "callbox_answer_seconds",
        kind: Kind::Histogram,
        labels: &["answer"],
        help: "From an INVITE to its final response, for calls that a flow had: 2xx, or other. Phones that ring are in it; a \
               rise of what is answered at once is a host that is slow.",
        read: |snapshot, series| {
            series.durations(&["2xx"], &snapshot.numbers.answered);
            series.durations(&["other"], &snapshot.numbers.refused);
        },
    },
    Family {
        name: "callbox_instantiate_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "From a run's first turn until its instance could be called; trials of new versions are in it. A rise is a lack \
               of CPU, or a flow that does much before its first call.",
        read: |snapshot, series| series.durations(&[], &snapshot.pool.instantiations),
    },
    Family {
        name: "callbox_pool_instances",
        kind: Kind::Gauge,
        labels: &[],
        help: "Slots of the pool in use.",
        read: |snapshot, series| series.put(&[], snapshot.pool.instances),
    },
    Family {
        name: "callbox_pool_instances_max",
        kind: Kind::Gauge,
        labels: &[],
        help: "Slots that the pool has.",
        read: |snapshot, series| series.put(&[], snapshot.pool.instances_max as u64),
    },
    Family {
        name: "callbox_pool_memories",
        kind: Kind::Gauge,
        labels: &[],
        help: "Linear memories in use: one to three for each instance.",
        read: |snapshot, series| series.put(&[], snapshot.pool.memories as u64),
    },
    Family {
        name: "callbox_pool_stacks",
        kind: Kind::Gauge,
        labels: &[],
        help: "Stacks in use.",
        read: |snapshot, series| series.put(&[], snapshot.pool.stacks as u64),
    },
    Family {
        name: "callbox_pool_warm_slots",
        kind: Kind::Gauge,
        labels: &[],
        help: "Free slots that still hold the image of a flow, whose next instance starts sooner.",
        read: |snapshot, series| series.put(&[], snapshot.pool.warm.into()),
    },
    Family {
        name: "callbox_pool_kept_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory that stays resident in free slots, for the next instances.",
        read: |snapshot, series| series.put(&[], snapshot.pool.kept_bytes as u64),
    },
    Family {
        name: "callbox_deploys_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Versions that were to be taken in, at the start, by hand or by a changed file: taken, refused (not fit), \
               not-kept (the disk), not-possible. A rise of refused is somebody's broken build.",
        read: |snapshot, series| {
            for (result, count) in &snapshot.numbers.deploys {
                series.put(&[result], *count);
            }
        },
    },
    Family {
        name: "callbox_versions_fallen_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Versions taken out of service because they trapped in their first calls. Each is a deploy to look at.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.fallen),
    },
    Family {
        name: "callbox_records_written_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Call records that the store has acknowledged.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.records.written),
    },
    Family {
        name: "callbox_records_lost_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Call records that will never be written. Each is a call that cannot be billed.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.records.lost),
    },
    Family {
        name: "callbox_records_failures_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Times that the store refused a batch of records; it is tried again.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.records.failures),
    },
    Family {
        name: "callbox_records_queue",
        kind: Kind::Gauge,
        labels: &[],
        help: "Call records that wait for the store. At limits.record.queue they are lost, or calls are refused.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.records.waiting as u64),
    },
    Family {
        name: "callbox_records_failing",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while the store of call records does not work.",
        read: |snapshot, series| series.put(&[], snapshot.numbers.records.failing.into()),
    },
    Family {
        name: "callbox_log_lines_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Lines of the host's own log, those of flows included.",
        read: |snapshot, series| series.put(&[], snapshot.log.0),
    },
    Family {
        name: "callbox_log_lines_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Lines that found the queue full. A rise is a terminal or disk that is too slow, or a level that is too low.",
        read: |snapshot, series| series.put(&[], snapshot.log.1),
    },
    Family {
        name: "callbox_log_queue",
        kind: Kind::Gauge,
        labels: &[],
        help: "Lines that wait to be written. At limits.log_queue_lines they are dropped.",
        read: |snapshot, series| series.put(&[], snapshot.log.2),
    },
    Family {
        name: "callbox_build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "1, with the version of callbox.",
        read: |_, series| series.put(&[env!("CARGO_PKG_VERSION")], 1),
    },
    Family {
        name: "callbox_start_time_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the host was started, in seconds since 1970. A change is a restart: all counters begin again.",
        read: |snapshot, series| series.put_float(&[], snapshot.started_s()),
    },
    Family {
        name: "callbox_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "CPU of the whole process, compilers not included.",
        read: |snapshot, series| {
            if let Some(seconds) = snapshot.process.cpu_seconds {
                series.put_float(&[], seconds);
            }
        },
    },
    Family {
        name: "callbox_resident_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the process. It stays after a wave of calls, for the next one; a rise without calls is a leak.",
        read: |snapshot, series| {
            if let Some(bytes) = snapshot.process.resident_bytes {
                series.put(&[], bytes);
            }
        },
    },
    Family {
        name: "callbox_threads",
        kind: Kind::Gauge,
        labels: &[],
        help: "Threads of the process.",
        read: |snapshot, series| {
            if let Some(threads) = snapshot.process.threads {
                series.put(&[], threads);
            }
        },
    },
    Family {
        name: "callbox_open_files",
        kind: Kind::Gauge,
        labels: &[],
        help: "Open descriptors. At callbox_open_files_max connections cannot be accepted.",
        read: |snapshot, series| {
            if let Some(files) = snapshot.process.open_files {
                series.put(&[], files);
            }
        },
    },
    Family {
        name: "callbox_open_files_max",
        kind: Kind::Gauge,
        labels: &[],
        help: "As many descriptors as the process may have.",
        read: |snapshot, series| {
            if let Some(files) = snapshot.process.open_files_max {
                series.put(&[], files);
            }
        },
    },
];
