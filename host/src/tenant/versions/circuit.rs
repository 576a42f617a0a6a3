//! Whether a version may be called: one that traps and traps is not instantiated again for a while.
//!
//! Atomics only, because each call asks and each end of a run tells. Knows no versions but by their runs. Entry type:
//! [`Circuit`]. Invariant: while it is open one call in `open` is let through, and the first of those that ends well
//! closes it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::limits::VersionLimits;

/// How the runs of a version went.
#[derive(Debug)]
pub(in crate::tenant) struct Circuit {
    /// What times below count from.
    born: Instant,
    began: AtomicU32,
    ended: AtomicU32,
    traps: AtomicU32,
    in_a_row: AtomicU32,
    /// Closed (0), or the time in ms until which no call is let through.
    until: AtomicU64,
    /// When it opened.
    opened: AtomicU64,
}

/// What a run's end leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tenant) enum Verdict {
    /// Nothing.
    Nothing,
    /// It came well through its first runs.
    Proven,
    /// It trapped too often in its first runs.
    Broken {
        /// So many trapped.
        traps: u32,
        /// Of so many.
        of: u32,
    },
    /// It was good once, and has trapped so many times in a row.
    Tripped(u32),
    /// It was let through and ended well.
    Closed,
}

impl Circuit {
    pub(in crate::tenant) fn new() -> Self {
        Self {
            born: Instant::now(),
            began: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            traps: AtomicU32::new(0),
            in_a_row: AtomicU32::new(0),
            until: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }

    fn ms(&self, at: Instant) -> u64 {
        // One more, because 0 is closed.
        u64::try_from(at.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether a call may have an instance. Of many that ask at once when the time has come one may.
    pub(in crate::tenant) fn admits(&self, now: Instant, open: Duration) -> bool {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let now = self.ms(now);
        let next = now.saturating_add(u64::try_from(open.as_millis()).unwrap_or(u64::MAX));
        now >= until
            && self
                .until
                .compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Lets no call through from now on, for a while.
    pub(in crate::tenant) fn open(&self, now: Instant, open: Duration) {
        let now = self.ms(now);
        self.opened.store(now, Ordering::Release);
        let next = now.saturating_add(u64::try_from(open.as_millis()).unwrap_or(u64::MAX));
        self.until.store(next, Ordering::Release);
    }

    /// Calls get no instance at the moment.
    pub(in crate::tenant) fn is_open(&self) -> bool {
        self.until.load(Ordering::Acquire) != 0
    }

    /// Milliseconds until a call is let through again to see; none while all are.
    pub(in crate::tenant) fn until_next_try(&self, now: Instant) -> Option<u64> {
        match self.until.load(Ordering::Acquire) {
            0 => None,
            until => Some(until.saturating_sub(self.ms(now))),
        }
    }

    /// A run begins.
    pub(in crate::tenant) fn begins(&self) {
        self.began.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs that have begun, ended, and trapped.
    pub(in crate::tenant) fn counts(&self) -> (u32, u32, u32) {
        let ended = self.ended.load(Ordering::Relaxed);
        (
            self.began.load(Ordering::Relaxed).max(ended),
            ended,
            self.traps.load(Ordering::Relaxed),
        )
    }

    /// A run that took `elapsed` has ended. `trapped`: by the flow's own fault.
    pub(in crate::tenant) fn ended(
        &self,
        trapped: bool,
        now: Instant,
        elapsed: Duration,
        limits: &VersionLimits,
    ) -> Verdict {
        let ended = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        if !trapped {
            self.in_a_row.store(0, Ordering::Release);
            return self.ended_well(ended, now, elapsed, limits);
        }
        let traps = self.traps.fetch_add(1, Ordering::AcqRel) + 1;
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::AcqRel) + 1;
        if limits.breaker_traps == 0 || self.is_open() {
            return Verdict::Nothing;
        }
        // Equal, not at least: of runs that end at once on several threads one has the last word.
        if ended <= limits.breaker_calls && traps == limits.breaker_traps {
            return Verdict::Broken { traps, of: ended };
        }
        if in_a_row == limits.breaker_traps {
            return Verdict::Tripped(in_a_row);
        }
        Verdict::Nothing
    }

    fn ended_well(&self, ended: u32, now: Instant, elapsed: Duration, limits: &VersionLimits) -> Verdict {
        if self.is_open() {
            // Calls from before it opened go on and end well; they prove nothing.
            let began = self.ms(now.checked_sub(elapsed).unwrap_or(self.born));
            if began <= self.opened.load(Ordering::Acquire) {
                return Verdict::Nothing;
            }
            return match self.until.swap(0, Ordering::AcqRel) {
                0 => Verdict::Nothing,
                _ => Verdict::Closed,
            };
        }
        let traps = self.traps.load(Ordering::Acquire);
        if ended == limits.breaker_calls && (limits.breaker_traps == 0 || traps < limits.breaker_traps) {
            return Verdict::Proven;
        }
        Verdict::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(30);

    fn limits() -> VersionLimits {
        VersionLimits {
            breaker_calls: 10,
            breaker_traps: 3,
            ..VersionLimits::default()
        }
    }

    fn run(circuit: &Circuit, trapped: bool) -> Verdict {
        circuit.begins();
        circuit.ended(trapped, Instant::now(), Duration::ZERO, &limits())
    }

    #[test]
    fn a_version_that_traps_in_its_first_runs_is_broken() {
        let circuit = Circuit::new();
        assert_eq!(run(&circuit, false), Verdict::Nothing);
        assert_eq!(run(&circuit, true), Verdict::Nothing);
        assert_eq!(run(&circuit, false), Verdict::Nothing);
        assert_eq!(run(&circuit, true), Verdict::Nothing);
        assert_eq!(run(&circuit, true), Verdict::Broken { traps: 3, of: 5 });
        assert_eq!(circuit.counts(), (5, 5, 3));
    }

    #[test]
    fn a_version_that_was_good_trips_only_in_a_row() {
        let circuit = Circuit::new();
        for _ in 0..9 {
            assert_eq!(run(&circuit, false), Verdict::Nothing);
        }
        assert_eq!(run(&circuit, false), Verdict::Proven);
        for _ in 0..20 {
            assert_eq!(run(&circuit, true), Verdict::Nothing);
            assert_eq!(run(&circuit, true), Verdict::Nothing);
            assert_eq!(run(&circuit, false), Verdict::Nothing);
        }
        run(&circuit, true);
        run(&circuit, true);
        assert_eq!(run(&circuit, true), Verdict::Tripped(3));
    }

    #[test]
    fn an_open_circuit_lets_one_call_through_and_closes_when_that_ends_well() {
        let circuit = Circuit::new();
        let began = Instant::now();
        assert!(circuit.admits(began, OPEN));
        assert_eq!(circuit.until_next_try(began), None);
        circuit.open(began, OPEN);
        assert!(circuit.is_open());
        assert!(!circuit.admits(began, OPEN));
        assert!(!circuit.admits(began + OPEN / 2, OPEN));
        let left = circuit.until_next_try(began + OPEN / 2);
        assert!(left.is_some_and(|ms| (14_900..=15_100).contains(&ms)), "{left:?}");
        let later = began + OPEN + Duration::from_millis(5);
        assert!(circuit.admits(later, OPEN), "one probe");
        assert!(!circuit.admits(later, OPEN), "and not two");
        assert_eq!(
            circuit.ended(true, later, Duration::from_millis(1), &limits()),
            Verdict::Nothing
        );
        assert!(!circuit.admits(later, OPEN), "it trapped");
        let again = later + OPEN + Duration::from_millis(5);
        assert_eq!(
            circuit.ended(false, again, OPEN * 4, &limits()),
            Verdict::Nothing,
            "a call from before it opened proves nothing"
        );
        assert!(circuit.admits(again, OPEN));
        assert_eq!(
            circuit.ended(false, again, Duration::from_millis(1), &limits()),
            Verdict::Closed
        );
        assert!(circuit.admits(again, OPEN) && circuit.admits(again, OPEN));
    }

    #[test]
    fn without_a_bound_nothing_breaks() {
        let circuit = Circuit::new();
        let limits = VersionLimits {
            breaker_traps: 0,
            ..VersionLimits::default()
        };
        for _ in 0..100 {
            let verdict = circuit.ended(true, Instant::now(), Duration::ZERO, &limits);
            assert_eq!(verdict, Verdict::Nothing);
        }
    }
}
