//! How long to wait before a store that failed is tried again, and when to say so.
//!
//! Entry type: [`Retry`]. Invariant: no more log lines than the logarithm of what went wrong.

use std::time::Duration;

/// The first wait; each next one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest: a store that is back is noticed within seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
}

impl Retry {
    /// Once more: how long to wait, and whether this one is worth a line.
    pub(super) fn failed(&mut self) -> (Duration, bool) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(16));
        (doubled.min(LONGEST), self.failures.is_power_of_two())
    }

    /// It works; how often it had failed.
    pub(super) fn worked(&mut self) -> u32 {
        std::mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_lines_grow_rare() {
        let mut retry = Retry::default();
        let tries: Vec<_> = (0..40).map(|_| retry.failed()).collect();
        assert_eq!(tries.first(), Some(&(FIRST, true)));
        assert_eq!(tries.get(2), Some(&(FIRST * 4, false)));
        assert_eq!(tries.last(), Some(&(LONGEST, false)));
        assert_eq!(tries.iter().filter(|(_, said)| *said).count(), 6);
        assert_eq!(retry.worked(), 40);
        assert_eq!(retry.worked(), 0);
    }
}
