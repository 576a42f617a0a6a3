//! What a session has of one kind, by number: its legs, its registrations, its subscriptions.
//!
//! It holds nothing alive and knows nothing of what it lists: each thing is gone from it when its last owner is. Entry type:
//! [`Roster`]. Invariant: a number stands in it once, because the session gives none out twice.

use std::sync::{Arc, Weak};

/// A list of things with numbers. They are few, so it is searched from the front.
pub(super) struct Roster<T>(Vec<(u32, Weak<T>)>);

impl<T> Roster<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn put(&mut self, id: u32, one: &Arc<T>) {
        self.0.push((id, Arc::downgrade(one)));
    }

    /// How many are still there.
    pub(super) fn count(&mut self) -> usize {
        self.0.retain(|(_, one)| one.strong_count() > 0);
        self.0.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<Arc<T>> {
        let (_, one) = self.0.iter().find(|(of, _)| *of == id)?;
        one.upgrade()
    }

    /// Those whose number is wanted. Their own locks are never taken under the session's, so they are handed out.
    pub(super) fn those(&self, wanted: impl Fn(u32) -> bool) -> Vec<Arc<T>> {
        let of = self.0.iter().filter(|(id, _)| wanted(*id));
        of.filter_map(|(_, one)| one.upgrade()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.those(|_| true)
    }
}
