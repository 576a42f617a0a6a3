//! Which tenant's turns hold a thread far longer than a turn shall.
//!
//! A flow that computes gives way after its slice. What it has the machine do in one step (filling or giving back 64 MiB
//! of memory) cannot be cut short, and who waits on that thread waits as long. A tenant that does so again and again is
//! confined for a while: its new runs all go to one thread, and others' to those that are free.
//!
//! Entry type: [`Overruns`]. Knows neither threads nor turns: numbers and times. Invariant: no lock, and who has never overrun
//! is known by one load.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The longest turn that is nobody's fault: the thread may have been taken off its core meanwhile.
pub(crate) const LONGEST: Duration = Duration::from_millis(5);
/// Two overruns within this time confine, for as long after each further one.
const MEMORY_MS: u64 = 1_000;

/// The overruns of one tenant.
#[derive(Debug)]
pub struct Overruns {
    epoch: Instant,
    /// Milliseconds of the last one, counted from 1.
    last: AtomicU64,
    /// Until when the tenant is confined; 0 when it never was.
    until: AtomicU64,
    thread: AtomicUsize,
}

impl Default for Overruns {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            last: AtomicU64::new(0),
            until: AtomicU64::new(0),
            thread: AtomicUsize::new(0),
        }
    }
}

impl Overruns {
    /// A turn took longer than [`LONGEST`] on this thread.
    pub(crate) fn note(&self, thread: usize) {
        self.note_at(self.now(), thread);
    }

    /// The thread for the tenant's new runs; none for most tenants at most times.
    pub(crate) fn confined_to(&self) -> Option<usize> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            until => (self.now() < until).then(|| self.thread.load(Ordering::Relaxed)),
        }
    }

    fn note_at(&self, now: u64, thread: usize) {
        let last = self.last.swap(now, Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) > MEMORY_MS {
            return;
        }
        // Who is confined stays where it is: its other runs end where they began.
        if self.until.load(Ordering::Relaxed) < now {
            self.thread.store(thread, Ordering::Relaxed);
        }
        self.until.store(now.saturating_add(MEMORY_MS), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).map_or(u64::MAX, |ms| ms.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_overrun_is_forgiven_and_two_confine_to_one_thread() {
        let overruns = Overruns::default();
        overruns.note_at(10, 3);
        assert_eq!(overruns.confined_to(), None);
        // So late that the first is forgotten.
        overruns.note_at(2_000, 3);
        assert_eq!(overruns.confined_to(), None);
        overruns.note_at(2_500, 1);
        assert_eq!(overruns.confined_to(), Some(1));
        overruns.note_at(3_000, 0);
        assert_eq!(overruns.confined_to(), Some(1), "it stays where it is");
        assert_eq!(overruns.until.load(Ordering::Relaxed), 4_000);
        // It was over, and begins where it overruns now.
        overruns.note_at(4_500, 0);
        overruns.note_at(4_600, 0);
        assert_eq!(overruns.thread.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn confinement_ends_by_itself() {
        let overruns = Overruns::default();
        overruns.until.store(1, Ordering::Relaxed);
        assert_eq!(overruns.confined_to(), None);
    }
}
