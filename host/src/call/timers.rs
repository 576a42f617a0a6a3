//! The timers that a flow has set: each becomes an event when its time has come and the flow looks.
//!
//! Knows no clock but what it is told. Entry type: [`Timers`]. Invariants: there are never more than `timers_max` of one
//! session, nor of its tenant's sessions together; an id stands once.

use std::sync::Arc;

use tokio::time::Instant;

use super::share::Share;
use super::tenant_bounds::TenantBounds;
use crate::config::limits;

/// The running timers of one session.
pub(super) struct Timers {
    /// Id and deadline, unordered: there are few.
    running: Vec<(u32, Instant)>,
    max: usize,
    share: Share,
}

impl Timers {
    /// None runs; at most `max` will.
    pub(super) fn new(max: usize, bounds: &Arc<TenantBounds>) -> Self {
        Self {
            running: Vec::new(),
            max,
            share: Share::new(bounds, |bounds| &bounds.timers, "limits.tenant.timers_max"),
        }
    }

    /// Sets a timer, or sets it anew; false where there are as many as may be.
    pub(super) fn set(&mut self, id: u32, at: Instant) -> bool {
        if let Some(timer) = self.running.iter_mut().find(|timer| timer.0 == id) {
            timer.1 = at;
            return true;
        }
        if self.running.len() >= self.max {
            limits::hit("limits.call.timers_max");
            return false;
        }
        if self.share.take().is_err() {
            return false;
        }
        self.running.push((id, at));
        true
    }

    /// Forgets a timer.
    pub(super) fn cancel(&mut self, id: u32) {
        self.running.retain(|timer| timer.0 != id);
        self.share.shrink_to(self.running.len());
    }

    /// Forgets them all: nobody will look any more.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        self.share.shrink_to(0);
    }

    /// Takes those whose time has come, in the order of their time.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<u32> {
        let mut due: Vec<(u32, Instant)> = Vec::new();
        self.running.retain(|&timer| {
            let is_due = timer.1 <= now;
            if is_due {
                due.push(timer);
            }
            !is_due
        });
        self.share.shrink_to(self.running.len());
        due.sort_by_key(|timer| timer.1);
        due.into_iter().map(|(id, _)| id).collect()
    }

    /// When the next one's time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.running.iter().map(|&(_, at)| at).min()
    }
}
