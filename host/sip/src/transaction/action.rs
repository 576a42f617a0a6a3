//! What a transaction machine asks its owner to do: a short list without allocation.
//!
//! Entry type: [`Actions`]. Invariant: carried out in order.

use std::time::Duration;

use super::timing::Timer;

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Timer B, F or H fired.
    Timeout,
    /// The message could not be sent.
    Transport,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the request (client) or the last response (server).
    Send,
    /// Send the ACK for a failure (client INVITE).
    SendAck,
    /// Send 100 (server INVITE).
    SendTrying,
    /// Hand the message to the transaction's user.
    Deliver,
    /// Tell the transaction's user that it failed.
    Fail(Failure),
    /// Start a timer; one of that name that runs is replaced.
    Start(Timer, Duration),
    /// Stop a timer, if it runs.
    Stop(Timer),
    /// Forget the transaction and its timers.
    Terminated,
}

/// Actions in order; never more than [`Actions::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    items: [Option<Action>; Self::MAX],
}

impl Actions {
    /// The longest list that a machine gives.
    pub const MAX: usize = 6;

    /// Nothing to do.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The list of these actions.
    #[must_use]
    pub fn of<const N: usize>(list: [Action; N]) -> Self {
        const { assert!(N <= Self::MAX) };
        let mut actions = Self::default();
        for (slot, action) in actions.items.iter_mut().zip(list) {
            *slot = Some(action);
        }
        actions
    }

    /// The actions in order.
    pub fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        self.items.iter().flatten().copied()
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Action>, { Actions::MAX }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}
