//! Whether the shards still do their turns: what a watchdog wants to know.
//!
//! A shard without work sleeps, so it is woken and must then have a turn. Costs a shard one store a turn. Entry type: [`Pulse`].

use std::sync::Arc;

use super::shard::ShardWaker;
use super::shared::Shared;
use super::start::Wire;

/// Feels the pulse of every shard.
pub struct Pulse {
    shared: Arc<Shared>,
    wakers: Vec<ShardWaker>,
    /// Turns of each shard when it was asked last.
    before: Vec<u64>,
}

impl Wire {
    /// For one who watches the shards.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse {
            shared: Arc::clone(&self.shared),
            wakers: self.wakers.clone(),
            before: self.shared.tallies.turns(),
        }
    }
}

impl Pulse {
    /// Asks every shard for a sign of life.
    pub fn ask(&mut self) {
        self.before = self.shared.tallies.turns();
        for waker in &self.wakers {
            waker.wake();
        }
    }

    /// Whether every shard has ended a turn since it was asked last. A shard that hangs never does.
    #[must_use]
    pub fn beats(&self) -> bool {
        let now = self.shared.tallies.turns();
        now.iter().zip(&self.before).all(|(now, before)| now != before)
    }
}
