//! What a session has used so far: read by an operator while it runs, without a lock and without stopping it.
//!
//! Knows neither fuel nor memories: whoever runs the flow says how much, at moments when it has the number anyway. Entry
//! types: [`Usage`], a copy of one moment, and [`Counting`], by which the numbers come in. Invariants: counting is relaxed
//! and allocates nothing; each number is right by itself, and two of them may be of moments a turn apart.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::session::{Session, SessionShared};

/// What a session has used so far, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time of its turns by the clock, in microseconds; as it counts in `limits.tenant.cpu_rate`.
    pub cpu_us: u64,
    /// Fuel, host work included, up to its last call of a host function.
    pub fuel: u64,
    /// Calls of host functions, those of WASI included.
    pub host_calls: u64,
    /// Bytes of its linear memories, and of what others have sent it and it has not let go of.
    pub memory_bytes: u64,
    /// The most that this has been.
    pub memory_peak_bytes: u64,
}

/// The numbers of one session.
#[derive(Debug, Default)]
pub(super) struct Counters {
    cpu_ns: AtomicU64,
    fuel: AtomicU64,
    host_calls: AtomicU64,
    memory: AtomicU64,
    memory_peak: AtomicU64,
}

/// Whoever runs the flow of a session, telling what that uses. Keeps the session's numbers, not its run, alive.
#[derive(Clone)]
pub struct Counting(Arc<SessionShared>);

/// As [`Counting`], for what may outlive the session.
pub(super) struct LaterCounting(Weak<SessionShared>);

impl Usage {
    /// Adds another's, number by number: of the peaks, too, the sum.
    pub fn add(&mut self, other: &Self) {
        let Self {
            cpu_us,
            fuel,
            host_calls,
            memory_bytes,
            memory_peak_bytes,
        } = other;
        for (sum, more) in [
            (&mut self.cpu_us, cpu_us),
            (&mut self.fuel, fuel),
            (&mut self.host_calls, host_calls),
            (&mut self.memory_bytes, memory_bytes),
            (&mut self.memory_peak_bytes, memory_peak_bytes),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

impl Counters {
    pub(super) fn read(&self) -> Usage {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Usage {
            cpu_us: get(&self.cpu_ns) / 1_000,
            fuel: get(&self.fuel),
            host_calls: get(&self.host_calls),
            memory_bytes: get(&self.memory),
            memory_peak_bytes: get(&self.memory_peak),
        }
    }

    /// A turn is over.
    fn computed(&self, ns: u64) {
        self.cpu_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// The flow calls a host function. It alone does, so that a plain addition is enough.
    fn called_host(&self, fuel: u64) {
        self.fuel.store(fuel, Ordering::Relaxed);
        let before = self.host_calls.load(Ordering::Relaxed);
        self.host_calls.store(before.wrapping_add(1), Ordering::Relaxed);
    }

    fn took(&self, bytes: u64) {
        let now = self
            .memory
            .fetch_add(bytes, Ordering::Relaxed)
            .wrapping_add(bytes);
        self.memory_peak.fetch_max(now, Ordering::Relaxed);
    }

    fn gave_back(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Counting {
    /// A turn of so many nanoseconds is over.
    pub fn computed(&self, ns: u64) {
        self.0.usage.computed(ns);
    }

    /// It has so many bytes more.
    pub fn took(&self, bytes: usize) {
        self.0.usage.took(bytes as u64);
    }

    /// It has so many of them less.
    pub fn gave_back(&self, bytes: usize) {
        self.0.usage.gave_back(bytes as u64);
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counting").field(&self.0.usage).finish()
    }
}

impl LaterCounting {
    /// Counts bytes that a session has got from others.
    pub(super) fn took(session: &Arc<SessionShared>, bytes: usize) -> Self {
        session.usage.took(bytes as u64);
        Self(Arc::downgrade(session))
    }

    /// They are gone.
    pub(super) fn gave_back(&self, bytes: usize) {
        if let Some(session) = self.0.upgrade() {
            session.usage.gave_back(bytes as u64);
        }
    }
}

impl Session {
    /// Where what runs this session says what it uses.
    #[must_use]
    pub fn counting(&self) -> Counting {
        Counting(Arc::clone(&self.shared))
    }

    /// The flow calls a host function, and has used so much fuel. To be told by the one who runs it, and by nobody else.
    pub fn called_host(&self, fuel: u64) {
        self.shared.usage.called_host(fuel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_gone_and_the_most_is_kept() {
        let counters = Counters::default();
        counters.computed(1_500);
        counters.computed(2_500);
        counters.called_host(7);
        counters.called_host(9);
        counters.took(100);
        counters.took(50);
        counters.gave_back(120);
        counters.took(10);
        let usage = counters.read();
        let expected = Usage {
            cpu_us: 4,
            fuel: 9,
            host_calls: 2,
            memory_bytes: 40,
            memory_peak_bytes: 150,
        };
        assert_eq!(usage, expected);
        let mut sum = expected;
        sum.add(&usage);
        assert_eq!((sum.fuel, sum.memory_peak_bytes), (18, 300));
    }
}
