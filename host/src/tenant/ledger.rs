//! What the tenants have used of their day: seconds of answered calls out, and calls out.
//!
//! Knows no limits: [`super::budget`] compares. Days are those of UTC, numbered from 1970. Entry type: [`Ledger`].
//! Invariants: a tenant has one [`Book`] for as long as the host lives, whatever the configuration does in between; a book
//! of another day is an empty one.

use crate::unix_time::now_s;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECONDS_PER_DAY: u64 = 86_400;

/// The books of all tenants, by name.
#[derive(Debug, Default)]
pub struct Ledger {
    books: Mutex<BTreeMap<String, Arc<Book>>>,
}

/// What one tenant has used today.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Used>);

/// What was used of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Days since 1970.
    pub(super) day: u64,
    /// Of answered calls out, in the steps that they are charged in.
    pub(super) seconds: u64,
    /// INVITEs.
    pub(super) dials: u64,
    /// The log has said that the day's minutes, or its dials, are used up.
    pub(super) told: bool,
}

impl Ledger {
    /// The book of this tenant.
    pub(super) fn book(&self, tenant: &str) -> Arc<Book> {
        Arc::clone(self.lock().entry(tenant.to_owned()).or_default())
    }

    /// What each tenant has used today; those that have used nothing are left out.
    pub(super) fn used(&self) -> Vec<(String, Used)> {
        let today = today();
        let books = self.lock();
        let used = books
            .iter()
            .map(|(tenant, book)| (tenant.clone(), book.on(today, |used| *used)));
        used.filter(|(_, used)| used.seconds > 0 || used.dials > 0)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Book>>> {
        // A panic while the lock was held leaves a map in which each entry is valid on its own.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Reads or changes what is used today.
    pub(super) fn today<T>(&self, change: impl FnOnce(&mut Used) -> T) -> T {
        self.on(today(), change)
    }

    /// The same for a day. A clock that is set back over midnight does not give the day's minutes back; one that was
    /// days ahead does not keep them for ever.
    pub(super) fn on<T>(&self, day: u64, change: impl FnOnce(&mut Used) -> T) -> T {
        // Numbers, each valid on its own whoever panicked.
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.day != day && used.day != day + 1 {
            *used = Used {
                day,
                ..Used::default()
            };
        }
        change(&mut used)
    }
}

/// Days since 1970, UTC.
pub(super) fn today() -> u64 {
    now_s() / SECONDS_PER_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_empty_and_a_clock_that_jumps_gives_nothing_back() {
        let book = Book::default();
        let add = |day| {
            book.on(day, |used| {
                used.seconds += 60;
                used.seconds
            })
        };
        assert_eq!((add(100), add(100)), (60, 120));
        assert_eq!(add(101), 60, "midnight");
        assert_eq!(add(100), 120, "set back over midnight");
        assert_eq!(add(101), 180);
        assert_eq!(add(90), 60, "it was wrong by days");
    }

    #[test]
    fn a_tenant_has_one_book() {
        let ledger = Ledger::default();
        ledger.book("acme").today(|used| used.dials += 1);
        ledger.book("other");
        let used = ledger.used();
        assert_eq!(used.len(), 1);
        assert!(
            used.iter()
                .all(|(tenant, used)| tenant == "acme" && used.dials == 1)
        );
    }
}
