//! How much may be done in a time: a bucket of tokens that fills again as time goes by.
//!
//! Fuel bounds what a flow computes, but a response costs it a few hundred instructions and the network a packet. So what
//! reaches beyond the flow takes a token from a bucket of the session's, of the tenant's, or of both. Entry type:
//! [`Allowance`]. Invariants: no more than a burst is ever saved up; taking is one atomic step, no lock and no timer.
//!
//! The bucket is kept as one number: the moment until which its tokens are taken. A token moves it by what the bucket
//! needs to gain one; an empty bucket is one whose moment lies a whole burst ahead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A bucket of tokens.
#[derive(Debug)]
pub struct Allowance {
    epoch: Instant,
    per_s: AtomicU64,
    burst: AtomicU64,
    /// Nanoseconds after the epoch.
    taken_until: AtomicU64,
    refused: AtomicU64,
    spent: AtomicU64,
}

impl Allowance {
    /// A full bucket of `burst` tokens that gains `per_s` a second.
    #[must_use]
    pub fn new(burst: u32, per_s: u32) -> Self {
        Self {
            epoch: Instant::now(),
            per_s: AtomicU64::new(u64::from(per_s.max(1))),
            burst: AtomicU64::new(burst.into()),
            taken_until: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            spent: AtomicU64::new(0),
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> bool {
        self.take_many(1)
    }

    /// Takes so many tokens, or none of them.
    pub fn take_many(&self, tokens: u64) -> bool {
        self.take_at(tokens, self.now())
    }

    /// Takes tokens whether they are there or not: for what is known only when it is done. Returns how long it takes until
    /// what was taken too much is made up for.
    pub fn spend(&self, tokens: u64) -> Duration {
        // Beside the number that the next step writes anyway.
        self.spent.fetch_add(tokens, Ordering::Relaxed);
        self.spend_at(tokens, self.now())
    }

    /// True when there is not one left.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let ahead = self
            .taken_until
            .load(Ordering::Relaxed)
            .saturating_sub(self.now());
        ahead.saturating_add(self.time_of(1)) > self.time_of(self.burst.load(Ordering::Relaxed))
    }

    /// Counts a refusal that somebody else decided on with [`Allowance::is_spent`].
    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often there were not enough tokens.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Tokens that were spent, as [`Allowance::spend`] does it, since the beginning.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Tokens that it gains in a second.
    #[must_use]
    pub fn per_s(&self) -> u64 {
        self.per_s.load(Ordering::Relaxed)
    }

    /// Another size; what was taken stays taken, in tokens.
    pub fn resize(&self, burst: u32, per_s: u32) {
        let now = self.now();
        let ahead = self.taken_until.load(Ordering::Relaxed).saturating_sub(now);
        let before = self.per_s.swap(u64::from(per_s.max(1)), Ordering::Relaxed);
        self.burst.store(burst.into(), Ordering::Relaxed);
        let ahead = scaled(ahead, before, u64::from(per_s.max(1)));
        self.taken_until
            .store(now.saturating_add(ahead), Ordering::Relaxed);
    }

    fn take_at(&self, tokens: u64, now: u64) -> bool {
        let furthest = now.saturating_add(self.time_of(self.burst.load(Ordering::Relaxed)));
        let cost = self.time_of(tokens);
        let taken = self
            .taken_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
                let until = until.max(now).saturating_add(cost);
                (until <= furthest).then_some(until)
            });
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    fn spend_at(&self, tokens: u64, now: u64) -> Duration {
        let cost = self.time_of(tokens);
        let moved = |until: u64| until.max(now).saturating_add(cost);
        let before = self
            .taken_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| Some(moved(until)))
            .unwrap_or_else(|until| until);
        let furthest = now.saturating_add(self.time_of(self.burst.load(Ordering::Relaxed)));
        Duration::from_nanos(moved(before).saturating_sub(furthest))
    }

    /// Nanoseconds in which the bucket gains so many tokens.
    fn time_of(&self, tokens: u64) -> u64 {
        scaled(tokens, 1_000_000_000, self.per_s.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn scaled(number: u64, by: u64, to: u64) -> u64 {
    let exact = u128::from(number) * u128::from(by) / u128::from(to.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_and_then_what_time_brings() {
        let bucket = Allowance::new(5, 10);
        let taken = |ms: u64| (0..20).filter(|_| bucket.take_at(1, ms * MS)).count();
        assert_eq!(taken(0), 5);
        assert_eq!(taken(250), 2);
        assert_eq!(taken(300), 1, "halves are kept");
        assert_eq!(taken(3_600_000), 5, "and no more than a burst is saved up");
        assert_eq!(bucket.refused(), 15 + 18 + 19 + 15);
    }

    #[test]
    fn what_is_spent_beyond_the_bucket_is_made_up_for_in_time() {
        let bucket = Allowance::new(100, 1_000);
        assert_eq!(bucket.spend_at(100, 0), Duration::ZERO);
        assert_eq!(bucket.spend_at(50, 0), Duration::from_millis(50));
        assert_eq!(bucket.spend_at(0, 40 * MS), Duration::from_millis(10));
        assert!(!bucket.take_at(1, 50 * MS));
        assert!(bucket.take_at(1, 51 * MS));
    }

    #[test]
    fn several_tokens_are_taken_together_or_not_at_all() {
        let bucket = Allowance::new(10, 1);
        assert!(bucket.take_at(7, 0));
        assert!(!bucket.take_at(7, 0));
        assert!(bucket.take_at(3, 0));
    }

    #[tokio::test]
    async fn another_size_neither_forgives_nor_punishes() {
        let bucket = Allowance::new(1_000, 1);
        assert!(bucket.take_many(1_000));
        bucket.resize(1_000, 1_000);
        assert!(
            bucket.is_spent() || bucket.take(),
            "a thousand a second fill it within a second"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(bucket.take(), "and not in a thousand seconds");
        bucket.resize(1, 1);
        assert!(!bucket.take(), "a smaller bucket is as empty as the one before");
    }
}
