//! How long calls that came in waited for their final responses: counted by each shard where it sends them.
//!
//! Knows no codes but that of an answer. Entry type: [`Answers`], one a shard, so that no two threads write to the same.
//! What is refused before a flow has the call is not in it: that takes no time and would hide what does.

use std::time::Instant;

use super::leg::{Direction, LegInner};
use crate::histogram::{Histogram, Reading};

/// From the INVITE to what ends its transaction.
#[derive(Debug, Default)]
pub struct Answers {
    answered: Histogram,
    refused: Histogram,
}

impl Answers {
    /// Calls that were answered: until the 2xx.
    #[must_use]
    pub fn read_answered(&self) -> Reading {
        self.answered.read()
    }

    /// Calls that were not, by their flow or for it: until the 3xx to 6xx.
    #[must_use]
    pub fn read_refused(&self) -> Reading {
        self.refused.read()
    }

    /// A 2xx was sent, or, on a leg of ours, the ACK that brings an answer, which does not count.
    pub(super) fn answered(&self, now: Instant, leg: &LegInner) {
        if leg.direction == Direction::Inbound {
            self.answered
                .observe(now.saturating_duration_since(leg.moments.started()));
        }
    }

    /// Another final response was sent.
    pub(super) fn refused(&self, now: Instant, leg: &LegInner) {
        if leg.direction == Direction::Inbound {
            self.refused
                .observe(now.saturating_duration_since(leg.moments.started()));
        }
    }
}
