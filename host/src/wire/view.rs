//! What a wire tells of itself, for those who only look.
//!
//! Entry type: [`WireView`]. It keeps nothing alive but numbers: a wire that has been shut down still tells its last ones.

use std::sync::Arc;

use callbox_sip::endpoint::{Counts, Stats};

use super::bind::Bound;
use super::inbox::InboxSender;
use super::ladder::Rung;
use super::shared::Shared;
use super::start::Wire;
use super::stats::WireStats;
use crate::config::Tls;

/// A look at a wire, from any thread. Cheap to clone; reading takes no lock that a shard waits for.
#[derive(Clone)]
pub struct WireView {
    shared: Arc<Shared>,
}

impl Wire {
    /// For those who only look.
    #[must_use]
    pub fn view(&self) -> WireView {
        WireView {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl WireView {
    /// The listeners in the order of the configuration.
    pub fn listeners(&self) -> impl Iterator<Item = &Bound> {
        self.shared.listeners.iter().map(|listener| &listener.bound)
    }

    /// Takes another certificate, key and authorities for the connections to come. Those that are open go on.
    pub fn renew_tls(&self, tls: &Tls) {
        self.shared.tls.store(Some(Arc::new(tls.clone())));
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shared.inboxes.len()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> WireStats {
        self.shared.counters.read()
    }

    /// Copies of messages that went to the HEP collector, and those that did not; none where there is no collector.
    #[must_use]
    pub fn mirrored(&self) -> Option<(u64, u64)> {
        self.shared.mirror.as_ref().map(|mirror| mirror.counts())
    }

    /// What is still known of the messages of a call, oldest first.
    #[must_use]
    pub fn ladder(&self, call_id: &str) -> Vec<Rung> {
        let mut rungs: Vec<Rung> = self
            .shared
            .ladders
            .iter()
            .flat_map(|ladder| ladder.of(call_id))
            .collect();
        // Stable: what stands at the same time stays in its order.
        rungs.sort_by_key(|rung| rung.at);
        rungs
    }

    /// What is alive in all endpoints.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.tallies.sum()
    }

    /// What all endpoints have counted.
    #[must_use]
    pub fn endpoint_stats(&self) -> Stats {
        self.shared.tallies.stats()
    }

    /// Messages that wait for each shard to take them from others, in the order of the shards.
    #[must_use]
    pub fn handovers(&self) -> Vec<usize> {
        let waiting = |inbox: &InboxSender| inbox.max_capacity().saturating_sub(inbox.capacity());
        self.shared.inboxes.iter().map(waiting).collect()
    }

    /// TCP connections open or being opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }
}
