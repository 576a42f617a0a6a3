//! How long something takes, as counts of what was shorter than each of a few bounds.
//!
//! A leaf that knows nothing of what is measured. Entry types: [`Histogram`], which is written on the way of calls, and
//! [`Reading`], what it held at one moment. Invariants: an observation is two relaxed atomic additions and takes no lock; what is
//! counted in buckets is exactly what was observed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: from the making of an instance to a phone that rings for minutes.
const BOUNDS_US: [u64; 22] = [
    10,
    25,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
];

const BUCKETS: usize = BOUNDS_US.len() + 1;

/// Counts durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than there are bounds, for what is longer than all of them.
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let position = BOUNDS_US.partition_point(|bound| bound.saturating_mul(1_000) < ns);
        if let Some(bucket) = self.buckets.get(position) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What it holds. Durations that are counted at this moment may be in the buckets and not yet in the sum.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = Reading {
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            ..Reading::default()
        };
        for (read, bucket) in reading.buckets.iter_mut().zip(&self.buckets) {
            *read = bucket.load(Ordering::Relaxed);
        }
        reading
    }
}

impl Reading {
    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*more);
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took together, in seconds.
    #[must_use]
    pub fn sum_s(&self) -> f64 {
        Duration::from_nanos(self.sum_ns).as_secs_f64()
    }

    /// Each upper bound in seconds, the last one infinite, and how many were above the one before and not above it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS_US
            .iter()
            .map(|us| Duration::from_micros(*us).as_secs_f64())
            .chain([f64::INFINITY]);
        bounds.zip(self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_observed_is_in_the_first_bucket_that_is_wide_enough() {
        let histogram = Histogram::default();
        for ns in [0, 10_000, 10_001, 25_000, 180_000_000_000, 180_000_000_001] {
            histogram.observe(Duration::from_nanos(ns));
        }
        histogram.observe(Duration::MAX);
        let reading = histogram.read();
        let filled: Vec<(f64, u64)> = reading.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            filled,
            [(0.000_01, 2), (0.000_025, 2), (180.0, 1), (f64::INFINITY, 2)]
        );
        assert_eq!(reading.count(), 7);
    }

    #[test]
    fn readings_add_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(Duration::from_millis(500));
        other.observe(Duration::from_millis(1_000));
        let mut sum = one.read();
        sum.add(&other.read());
        assert_eq!((sum.count(), sum.sum_s()), (2, 1.5));
        assert_eq!(sum.buckets().map(|(_, count)| count).sum::<u64>(), 2);
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_US.windows(2).all(|pair| pair.first() < pair.last()));
    }
}
