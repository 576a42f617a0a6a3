//! What a call may compute: the accounts behind wasmtime's fuel counter.
//!
//! Two budgets bound one call. The *burst* is what may be used between two waits: it is filled again when a host
//! function really suspended the guest, so a flow that waits for a human computes as often as it likes, and one that
//! spins is stopped within a quarter of a second. The *total* is never filled again. Work that the host does for a
//! guest (bytes copied, log lines, pattern steps) is charged to both.
//!
//! The counter that compiled code decrements is set to the smaller budget. It is read and set at the border only, by
//! [`Meter::entering_host`] and [`Meter::leaving_host`]; host functions see just [`Meter::charge`]. Knows nothing of
//! wasmtime. Invariant: `total_left` never rises.

use std::fmt;

use crate::config::limits::PluginLimits;

/// Which budget ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Computing between two waits.
    Burst,
    /// Computing of the whole call.
    Total,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Budget::Burst => "burst",
            Budget::Total => "total",
        })
    }
}

/// A budget ended in work that the host did for the guest; raised as a trap at the border.
#[derive(Debug, thiserror::Error)]
#[error("out of fuel ({0})")]
pub(super) struct Exhausted(pub(super) Budget);

/// The fuel accounts of one call.
#[derive(Debug)]
pub(super) struct Meter {
    burst_max: u64,
    burst_left: u64,
    total_max: u64,
    total_left: u64,
    slice: u64,
    since_yield: u64,
    /// What the counter was last set to, less what has been booked since.
    counter: u64,
    touched: bool,
}

impl Meter {
    pub(super) fn new(limits: &PluginLimits) -> Self {
        let (burst, total) = (limits.fuel_burst, limits.fuel_total);
        Self {
            burst_max: burst,
            burst_left: burst,
            total_max: total,
            total_left: total,
            slice: limits.fuel_slice,
            since_yield: 0,
            counter: burst.min(total),
            touched: false,
        }
    }

    /// What the guest may use now; the counter starts with it.
    pub(super) fn grant(&self) -> u64 {
        self.burst_left.min(self.total_left)
    }

    /// Books what the guest used, from what is left on the counter.
    pub(super) fn entering_host(&mut self, counter: u64) {
        let used = self.counter.saturating_sub(counter);
        self.counter = counter;
        self.book(used);
    }

    /// The number to set the counter to, if it changes; or the budget that the host's work ended.
    pub(super) fn leaving_host(&mut self) -> Result<Option<u64>, Exhausted> {
        if !std::mem::take(&mut self.touched) {
            return Ok(None);
        }
        if let Some(budget) = self.ended() {
            return Err(Exhausted(budget));
        }
        self.counter = self.grant();
        Ok(Some(self.counter))
    }

    /// Charges work that the host does for the guest, one unit a byte or step.
    pub(super) fn charge(&mut self, units: u64) {
        self.touched |= units > 0;
        self.book(units);
    }

    /// A blocking host function suspended the guest: the burst is whole again.
    pub(super) fn rearm(&mut self) {
        self.burst_left = self.burst_max;
        self.since_yield = 0;
        self.touched = true;
    }

    /// True when the guest has used its slice, in its own code or in quick host calls: it must give way to others.
    ///
    /// Compiled code yields by itself, but setting the counter starts its slice anew; a guest that loops over cheap
    /// host calls would never give way without this.
    pub(super) fn take_turn_over(&mut self) -> bool {
        let over = self.since_yield >= self.slice;
        if over {
            self.since_yield = 0;
        }
        over
    }

    /// Fuel used so far, host work included.
    pub(super) fn used(&self) -> u64 {
        self.total_max - self.total_left
    }

    /// Fuel left to the whole call.
    pub(super) fn total_left(&self) -> u64 {
        self.total_left
    }

    /// The budget that has ended, if one has.
    pub(super) fn ended(&self) -> Option<Budget> {
        if self.total_left == 0 {
            Some(Budget::Total)
        } else if self.burst_left == 0 {
            Some(Budget::Burst)
        } else {
            None
        }
    }

    fn book(&mut self, units: u64) {
        self.burst_left = self.burst_left.saturating_sub(units);
        self.total_left = self.total_left.saturating_sub(units);
        self.since_yield = self.since_yield.saturating_add(units);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn meter(burst: u64, total: u64) -> Meter {
        Meter::new(&PluginLimits {
            fuel_burst: burst,
            fuel_total: total,
            fuel_slice: 100,
            ..Default::default()
        })
    }

    #[test]
    fn a_wait_fills_the_burst_but_never_the_total() {
        let mut meter = meter(1_000, 2_500);
        assert_eq!(meter.grant(), 1_000);
        meter.entering_host(100);
        meter.rearm();
        assert_eq!(meter.leaving_host().unwrap(), Some(1_000));
        meter.entering_host(0);
        assert_eq!((meter.used(), meter.ended()), (1_900, Some(Budget::Burst)));
        meter.rearm();
        assert_eq!(
            meter.leaving_host().unwrap(),
            Some(600),
            "the total is the smaller one now"
        );
        meter.entering_host(0);
        assert_eq!((meter.used(), meter.ended()), (2_500, Some(Budget::Total)));
    }

    #[test]
    fn a_quick_host_call_leaves_the_counter_alone() {
        let mut meter = meter(1_000, 10_000);
        meter.entering_host(400);
        assert_eq!(meter.leaving_host().unwrap(), None);
        meter.entering_host(300);
        assert_eq!(meter.used(), 700);
    }

    #[test]
    fn host_work_is_paid_from_the_same_budgets() {
        let mut meter = meter(1_000, 10_000);
        meter.entering_host(900);
        meter.charge(500);
        assert_eq!(meter.leaving_host().unwrap(), Some(400));
        meter.entering_host(400);
        meter.charge(400);
        assert_eq!(meter.leaving_host().unwrap_err().0, Budget::Burst);
        assert_eq!(meter.used(), 1_000);
    }

    #[test]
    fn a_chain_of_quick_host_calls_gives_way() {
        let mut meter = meter(1_000, 10_000);
        let mut turns = 0;
        for step in 1..=50 {
            meter.entering_host(1_000 - step * 10);
            turns += u32::from(meter.take_turn_over());
        }
        assert_eq!(turns, 5);
    }
}
