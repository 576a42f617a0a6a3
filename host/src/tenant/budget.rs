//! What a tenant's calls out may cost a day.
//!
//! Minutes are charged in steps of [`STEP`], each before it begins, as carriers do: a budget is never overdrawn by more than
//! the rounding of its last step. Entry type: [`Budget`]. Invariant: calls out are counted whether or not there is a
//! limit, so that one that is set at noon knows of the morning; minutes only where there is one, because that costs a timer
//! a call.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Book, Ledger, Used};
use crate::call::CallError;
use crate::config;

/// The step in which answered calls are charged.
const STEP: Duration = Duration::from_secs(6);

const MINUTES: &str = "tenant.budget.minutes_per_day";
const DIALS: &str = "tenant.budget.dials_per_day";
const CALL_MAX: &str = "tenant.budget.call_max_s";

/// The budget of one tenant.
#[derive(Debug)]
pub(super) struct Budget {
    tenant: String,
    book: Arc<Book>,
    limits: config::Budget,
}

impl Budget {
    pub(super) fn new(tenant: &str, limits: config::Budget, ledger: &Ledger) -> Self {
        Self {
            tenant: tenant.to_owned(),
            book: ledger.book(tenant),
            limits,
        }
    }

    /// Counts one call out, if there is anything left for it.
    pub(super) fn dial(&self) -> Result<(), CallError> {
        let limits = self.limits;
        let denied = self.book.today(|used| {
            if limits.dials_per_day.is_some_and(|most| used.dials >= most) {
                return Some((DIALS, first(used)));
            }
            // A call that could not be charged for its first step is not placed.
            if limits
                .minutes_per_day
                .is_some_and(|most| used.seconds + STEP.as_secs() > most * 60)
            {
                return Some((MINUTES, first(used)));
            }
            used.dials += 1;
            None
        });
        denied.map_or(Ok(()), |(limit, first)| Err(self.used_up(limit, first)))
    }

    /// The step that an answered call is charged in, if it is.
    pub(super) fn step(&self) -> Option<Duration> {
        self.limits.minutes_per_day.map(|_| STEP)
    }

    /// Charges the next step of an answered call.
    pub(super) fn charge(&self) -> Result<(), CallError> {
        let most = self.limits.minutes_per_day;
        let denied = self.book.today(|used| {
            if most.is_some_and(|most| used.seconds + STEP.as_secs() > most * 60) {
                return Some(first(used));
            }
            used.seconds += STEP.as_secs();
            None
        });
        denied.map_or(Ok(()), |first| Err(self.used_up(MINUTES, first)))
    }

    /// The longest that an answered call may last, and the limit's name.
    pub(super) fn call_max(&self) -> Option<(Duration, &'static str)> {
        let seconds = self.limits.call_max_s?;
        Some((Duration::from_secs(seconds), CALL_MAX))
    }

    /// The log says it once a day.
    fn used_up(&self, limit: &'static str, first: bool) -> CallError {
        if first {
            tracing::warn!(
                tenant = self.tenant,
                "{limit} is used up: no more calls out before midnight UTC"
            );
        }
        CallError::limit(limit)
    }
}

fn first(used: &mut Used) -> bool {
    !std::mem::replace(&mut used.told, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Denial;

    fn budget(minutes: Option<u64>, dials: Option<u64>, ledger: &Ledger) -> Budget {
        let limits = config::Budget {
            minutes_per_day: minutes,
            dials_per_day: dials,
            call_max_s: None,
        };
        Budget::new("acme", limits, ledger)
    }

    fn is_limit(result: Result<(), CallError>, name: &str) -> bool {
        matches!(result, Err(CallError::Denied(Denial::Limit(limit))) if limit == name)
    }

    #[test]
    fn minutes_are_charged_in_steps_and_never_overdrawn() {
        let ledger = Ledger::default();
        let budget = budget(Some(1), None, &ledger);
        for _ in 0..10 {
            assert_eq!(budget.dial(), Ok(()));
            assert_eq!(budget.charge(), Ok(()));
        }
        assert!(is_limit(budget.charge(), MINUTES));
        assert!(is_limit(budget.dial(), MINUTES));
        assert_eq!(
            ledger.book("acme").today(|used| (used.seconds, used.dials)),
            (60, 10)
        );
    }

    #[test]
    fn a_new_configuration_knows_what_was_used_under_the_old_one() {
        let ledger = Ledger::default();
        let before = budget(None, None, &ledger);
        for _ in 0..3 {
            assert_eq!(before.dial(), Ok(()));
        }
        assert!(is_limit(budget(None, Some(3), &ledger).dial(), DIALS));
        assert_eq!(budget(None, Some(4), &ledger).dial(), Ok(()));
    }
}
