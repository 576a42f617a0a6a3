//! How much there is of something at a time, and how much there may be.
//!
//! Entry type: [`Gauge`]. Invariants: what is taken never exceeds the bound that held when it was taken, but by
//! [`Gauge::take_anyway`]; taking is one atomic step.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A number with a bound.
#[derive(Debug)]
pub struct Gauge {
    max: AtomicUsize,
    taken: AtomicUsize,
    refused: AtomicU64,
}

impl Gauge {
    /// Nothing is taken of `max`.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            taken: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes so much.
    ///
    /// # Errors
    /// How much it would have been.
    pub fn take(&self, amount: usize) -> Result<(), usize> {
        let max = self.max();
        let fits = |taken: usize| taken.checked_add(amount).filter(|sum| *sum <= max);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|taken| {
                self.refused.fetch_add(1, Ordering::Relaxed);
                taken.saturating_add(amount)
            })
    }

    /// The same for what cannot be refused any more: it counts, and the next one finds less room.
    pub fn take_anyway(&self, amount: usize) {
        self.taken.fetch_add(amount, Ordering::AcqRel);
    }

    /// Gives back what was taken.
    pub fn give_back(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::AcqRel);
    }

    /// Another bound. What is taken stays taken, also where it is more now.
    pub fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The bound.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// How much is taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// How often there was not enough.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_counted_and_takes_nothing() {
        let gauge = Gauge::new(10);
        assert_eq!(gauge.take(7), Ok(()));
        assert_eq!(gauge.take(4), Err(11));
        assert_eq!(gauge.take(usize::MAX), Err(usize::MAX));
        assert_eq!(gauge.take(3), Ok(()));
        assert_eq!((gauge.taken(), gauge.refused()), (10, 2));
        gauge.give_back(3);
        gauge.resize(5);
        assert_eq!(gauge.take(0), Err(7), "a bound that has sunk below what is taken");
        gauge.take_anyway(1);
        assert_eq!(gauge.taken(), 8);
    }
}
