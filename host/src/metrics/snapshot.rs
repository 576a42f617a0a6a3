//! All numbers of a host, read once, so that what is written of them adds up.
//!
//! Entry types: [`Sources`], which lives as long as the host, and [`Snapshot`]. Reading takes no lock that a call waits for.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use callbox_sip::endpoint::{Counts, Stats};

use super::log_tally::LogTally;
use super::process::{self, Process};
use crate::config::limits;
use crate::plugin::{Engine, Pool};
use crate::tenant::{Directory, Numbers};
use crate::trace;
use crate::wire::{WireStats, WireView};

/// Where the numbers are.
#[derive(Clone)]
pub struct Sources {
    /// Tenants and what runs.
    pub directory: Arc<Directory>,
    /// What flows run in.
    pub engine: Engine,
    /// The sockets.
    pub wire: WireView,
    /// The host's own log.
    pub log: Arc<LogTally>,
    /// When the host was started.
    pub started: SystemTime,
}

/// The numbers of one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) numbers: Numbers,
    pub(super) pool: Pool,
    pub(super) wire: WireStats,
    pub(super) counts: Counts,
    pub(super) stats: Stats,
    pub(super) handovers: Vec<usize>,
    pub(super) connections: usize,
    /// Copies for a HEP collector: taken by the kernel, and lost; none without one.
    pub(super) mirrored: Option<(u64, u64)>,
    /// Traces for an OpenTelemetry collector; none without one.
    pub(super) traces: Option<trace::Counts>,
    pub(super) log: (u64, u64, u64),
    pub(super) started: SystemTime,
    pub(super) process: Process,
    /// Rows of the table of limits but those of tenants, by full name.
    pub(super) hits: Vec<(String, u64)>,
}

impl Sources {
    /// Reads everything. Takes a few milliseconds on a host with thousands of open files, so not on a thread that others
    /// wait for.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            numbers: self.directory.numbers(),
            pool: self.engine.pool(),
            wire: self.wire.stats(),
            counts: self.wire.counts(),
            stats: self.wire.endpoint_stats(),
            handovers: self.wire.handovers(),
            connections: self.wire.connections(),
            mirrored: self.wire.mirrored(),
            traces: self.directory.traces(),
            log: self.log.read(),
            started: self.started,
            process: process::read(),
            hits: Vec::new(),
        };
        snapshot.hits = limits::hits()
            .filter(|(row, _)| row.metric() == Some(limits::HITS))
            .map(|(row, hits)| {
                let name = row.full_name();
                let more = snapshot.counted_elsewhere(&name);
                (name, hits.saturating_add(more))
            })
            .collect();
        snapshot
    }
}

impl Snapshot {
    /// Hits of a row for which its layer has a counter of its own, which is cheaper where there may be thousands a second.
    fn counted_elsewhere(&self, row: &str) -> u64 {
        match row {
            "limits.log_queue_lines" => self.log.1,
            "limits.wire.udp_send_queue" => self.wire.datagrams_unsent,
            "limits.wire.handover_queue" => self.wire.handover_dropped,
            "limits.wire.tcp_write_queue_bytes" => self.wire.write_queue_closed,
            "limits.wire.tcp_idle_ms" => self.wire.idle_closed,
            "limits.sip.legs_max" => self.stats.overload_legs,
            "limits.sip.transactions_max" => self.stats.overload.saturating_sub(self.stats.overload_legs),
            _ => 0,
        }
    }

    /// Seconds since 1970.
    pub(super) fn started_s(&self) -> f64 {
        self.started
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64())
    }
}
