//! What one session has of something that all sessions of its tenant have together.
//!
//! A [`Place`](super::tenant_bounds::Place) is one thing that says itself when it is over; a share is for things of which a
//! session has many and that live in a queue of its own: it counts with the queue, without an allocation for each. Entry type:
//! [`Share`]. Invariant: what a share holds is given back when it is dropped, whatever ended the session.

use std::sync::Arc;

use super::gauge::Gauge;
use super::tenant_bounds::TenantBounds;

/// A session's part of one gauge of its tenant's.
pub(super) struct Share {
    bounds: Arc<TenantBounds>,
    of: fn(&TenantBounds) -> &Gauge,
    /// The row of the table of limits.
    row: &'static str,
    held: usize,
}

impl Share {
    /// Nothing yet.
    pub(super) fn new(
        bounds: &Arc<TenantBounds>,
        of: fn(&TenantBounds) -> &Gauge,
        row: &'static str,
    ) -> Self {
        Self {
            bounds: Arc::clone(bounds),
            of,
            row,
            held: 0,
        }
    }

    /// Takes one more. At the tenant's bound it takes none, counts that, and names the row.
    pub(super) fn take(&mut self) -> Result<(), &'static str> {
        let gauge = (self.of)(&self.bounds);
        if gauge.take(1).is_err() {
            return Err(self.bounds.hit(self.row, gauge.refused()));
        }
        self.held += 1;
        Ok(())
    }

    /// Takes one more where it cannot be refused: the next one finds less room.
    pub(super) fn take_anyway(&mut self) {
        (self.of)(&self.bounds).take_anyway(1);
        self.held += 1;
    }

    /// Gives back what is held beyond this number.
    pub(super) fn shrink_to(&mut self, left: usize) {
        let over = self.held.saturating_sub(left);
        if over > 0 {
            (self.of)(&self.bounds).give_back(over);
            self.held -= over;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::TenantLimits;

    #[test]
    fn shares_of_two_sessions_meet_at_the_tenants_bound_and_what_is_dropped_is_given_back() {
        let bounds = TenantBounds::new(
            "acme",
            &TenantLimits {
                timers_max: 3,
                ..TenantLimits::default()
            },
        );
        let share = || Share::new(&bounds, |bounds| &bounds.timers, "limits.tenant.timers_max");
        let (mut one, mut two) = (share(), share());
        assert_eq!((one.take(), one.take(), two.take()), (Ok(()), Ok(()), Ok(())));
        assert_eq!(two.take(), Err("limits.tenant.timers_max"));
        two.take_anyway();
        assert_eq!((bounds.timers.taken(), bounds.timers.refused()), (4, 1));
        one.shrink_to(1);
        one.shrink_to(5);
        assert_eq!(bounds.timers.taken(), 3);
        drop(two);
        assert_eq!(bounds.timers.taken(), 1);
        drop(one);
        assert_eq!(bounds.timers.taken(), 0);
    }
}
