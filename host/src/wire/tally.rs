//! What is alive in each shard's endpoint, readable from other threads.
//!
//! A shard publishes after each turn, without a lock. A reading is not one moment: each number is true of the moment at which
//! its shard last rested. Entry type: [`Tallies`].

use std::sync::atomic::{AtomicUsize, Ordering};

use callbox_sip::endpoint::Counts;

use super::shard::ShardIndex;

#[derive(Debug, Default)]
struct Tally {
    legs: AtomicUsize,
    registrations: AtomicUsize,
    subscriptions: AtomicUsize,
    transactions: AtomicUsize,
    dialogs: AtomicUsize,
    timers: AtomicUsize,
}

/// One tally a shard.
#[derive(Debug)]
pub(super) struct Tallies(Vec<Tally>);

impl Tallies {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Tally::default()).collect())
    }

    pub(super) fn publish(&self, shard: ShardIndex, counts: Counts) {
        let Some(tally) = self.0.get(usize::from(shard.0)) else {
            return;
        };
        tally.legs.store(counts.legs, Ordering::Relaxed);
        tally.registrations.store(counts.registrations, Ordering::Relaxed);
        tally.subscriptions.store(counts.subscriptions, Ordering::Relaxed);
        tally.transactions.store(counts.transactions, Ordering::Relaxed);
        tally.dialogs.store(counts.dialogs, Ordering::Relaxed);
        tally.timers.store(counts.timers, Ordering::Relaxed);
    }

    /// The sum over all shards.
    pub(super) fn sum(&self) -> Counts {
        let sum = |pick: fn(&Tally) -> &AtomicUsize| {
            self.0
                .iter()
                .map(|tally| pick(tally).load(Ordering::Relaxed))
                .sum()
        };
        Counts {
            legs: sum(|tally| &tally.legs),
            registrations: sum(|tally| &tally.registrations),
            subscriptions: sum(|tally| &tally.subscriptions),
            transactions: sum(|tally| &tally.transactions),
            dialogs: sum(|tally| &tally.dialogs),
            timers: sum(|tally| &tally.timers),
        }
    }
}
