//! What is alive in each shard's endpoint and what it has counted, readable from other threads.
//!
//! A shard publishes after each turn, without a lock. A reading is not one moment: each number is true of the moment at which
//! its shard last rested. Entry type: [`Tallies`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use callbox_sip::endpoint::{Counts, Stats};
use callbox_sip::transaction::Population;

use super::shard::ShardIndex;

/// Numbers of an endpoint that are read one by one: those that may fall, and those that only rise.
macro_rules! tally {
    (alive: $($alive:ident),*; so far: $($stat:ident),*;) => {
        // Each shard writes its own at every turn: two of them in one cache line would cost each other that line.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        struct Tally {
            $( $alive: AtomicUsize, )*
            population: [AtomicUsize; callbox_sip::transaction::STATES.len()],
            $( $stat: AtomicU64, )*
            turns: AtomicU64,
        }

        impl Tally {
            fn publish(&self, counts: &Counts, stats: &Stats) {
                $( self.$alive.store(counts.$alive, Ordering::Relaxed); )*
                for (cell, count) in self.population.iter().zip(counts.population.0) {
                    cell.store(count, Ordering::Relaxed);
                }
                $( self.$stat.store(stats.$stat, Ordering::Relaxed); )*
            }

            fn counts(&self) -> Counts {
                let mut population = Population::default();
                for (count, cell) in population.0.iter_mut().zip(&self.population) {
                    *count = cell.load(Ordering::Relaxed);
                }
                Counts { $( $alive: self.$alive.load(Ordering::Relaxed), )* population }
            }

            fn stats(&self) -> Stats {
                Stats { $( $stat: self.$stat.load(Ordering::Relaxed), )* }
            }
        }

        fn add_counts(sum: &mut Counts, more: &Counts) {
            $( sum.$alive = sum.$alive.saturating_add(more.$alive); )*
            sum.population.add(&more.population);
        }

        fn add_stats(sum: &mut Stats, more: &Stats) {
            $( sum.$stat = sum.$stat.saturating_add(more.$stat); )*
        }
    };
}

tally! {
    alive: legs, registrations, subscriptions, transactions, dialogs, timers;
    so far: malformed_answered, malformed_dropped, strays, absorbed, retransmitted, overload, overload_legs, undrained_inputs,
        invariant_breaks;
}

/// One tally a shard.
#[derive(Debug)]
pub(super) struct Tallies(Vec<Tally>);

impl Tallies {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Tally::default()).collect())
    }

    pub(super) fn publish(&self, shard: ShardIndex, counts: &Counts, stats: &Stats) {
        if let Some(tally) = self.0.get(usize::from(shard.0)) {
            tally.publish(counts, stats);
            // Only the shard itself writes here.
            let turns = tally.turns.load(Ordering::Relaxed);
            tally.turns.store(turns.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// How many turns each shard has ended.
    pub(super) fn turns(&self) -> Vec<u64> {
        self.0
            .iter()
            .map(|tally| tally.turns.load(Ordering::Relaxed))
            .collect()
    }

    /// What is alive, over all shards.
    pub(super) fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        for tally in &self.0 {
            add_counts(&mut sum, &tally.counts());
        }
        sum
    }

    /// What was counted, over all shards.
    pub(super) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for tally in &self.0 {
            add_stats(&mut sum, &tally.stats());
        }
        sum
    }
}
