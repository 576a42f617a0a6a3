//! How many transactions of an endpoint are in which state.
//!
//! Kept by those who own the machines, at each step, so that nobody has to look at all of them. Entry type: [`Population`].
//! Invariant: an endpoint without transactions has a population of zeros.

use super::client::ClientState;
use super::client_invite::ClientInviteState;
use super::server::ServerState;
use super::server_invite::ServerInviteState;

/// The states that a transaction can be in while it is there, as the kind and the state of RFC 3261 §17 and RFC 6026.
pub const STATES: [(&str, &str); 14] = [
    ("invite-server", "proceeding"),
    ("invite-server", "completed"),
    ("invite-server", "confirmed"),
    ("invite-server", "accepted"),
    ("server", "trying"),
    ("server", "proceeding"),
    ("server", "completed"),
    ("invite-client", "calling"),
    ("invite-client", "proceeding"),
    ("invite-client", "completed"),
    ("invite-client", "accepted"),
    ("client", "trying"),
    ("client", "proceeding"),
    ("client", "completed"),
];

/// A count for each of [`STATES`], in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population(pub [usize; STATES.len()]);

/// A place in [`STATES`]; none for a transaction that is over.
pub(crate) type Place = Option<usize>;

impl Population {
    /// A transaction has gone from one state to another; none is before its beginning or after its end.
    pub(crate) fn moved(&mut self, from: Place, to: Place) {
        if from == to {
            return;
        }
        if let Some(count) = from.and_then(|place| self.0.get_mut(place)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = to.and_then(|place| self.0.get_mut(place)) {
            *count += 1;
        }
    }

    /// Kind, state and count, in the order of [`STATES`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, usize)> {
        let named = STATES.into_iter().zip(self.0);
        named.map(|((kind, state), count)| (kind, state, count))
    }

    /// Adds the transactions of another endpoint.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }
}

impl ServerInviteState {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Proceeding => Some(0),
            Self::Completed => Some(1),
            Self::Confirmed => Some(2),
            Self::Accepted => Some(3),
            Self::Terminated => None,
        }
    }
}

impl ServerState {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Trying => Some(4),
            Self::Proceeding => Some(5),
            Self::Completed => Some(6),
            Self::Terminated => None,
        }
    }
}

impl ClientInviteState {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Calling => Some(7),
            Self::Proceeding => Some(8),
            Self::Completed => Some(9),
            Self::Accepted => Some(10),
            Self::Terminated => None,
        }
    }
}

impl ClientState {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Trying => Some(11),
            Self::Proceeding => Some(12),
            Self::Completed => Some(13),
            Self::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn each_state_has_a_place_of_its_own_with_its_name() {
        let places = [
            (
                ServerInviteState::Proceeding.place(),
                format!("{:?}", ServerInviteState::Proceeding),
            ),
            (
                ServerInviteState::Completed.place(),
                format!("{:?}", ServerInviteState::Completed),
            ),
            (
                ServerInviteState::Confirmed.place(),
                format!("{:?}", ServerInviteState::Confirmed),
            ),
            (
                ServerInviteState::Accepted.place(),
                format!("{:?}", ServerInviteState::Accepted),
            ),
            (ServerState::Trying.place(), format!("{:?}", ServerState::Trying)),
            (
                ServerState::Proceeding.place(),
                format!("{:?}", ServerState::Proceeding),
            ),
            (
                ServerState::Completed.place(),
                format!("{:?}", ServerState::Completed),
            ),
            (
                ClientInviteState::Calling.place(),
                format!("{:?}", ClientInviteState::Calling),
            ),
            (
                ClientInviteState::Proceeding.place(),
                format!("{:?}", ClientInviteState::Proceeding),
            ),
            (
                ClientInviteState::Completed.place(),
                format!("{:?}", ClientInviteState::Completed),
            ),
            (
                ClientInviteState::Accepted.place(),
                format!("{:?}", ClientInviteState::Accepted),
            ),
            (ClientState::Trying.place(), format!("{:?}", ClientState::Trying)),
            (
                ClientState::Proceeding.place(),
                format!("{:?}", ClientState::Proceeding),
            ),
            (
                ClientState::Completed.place(),
                format!("{:?}", ClientState::Completed),
            ),
        ];
        for (position, (place, name)) in places.iter().enumerate() {
            assert_eq!(*place, Some(position));
            assert_eq!(STATES[position].1, name.to_lowercase());
        }
        assert_eq!(places.len(), STATES.len());
    }

    #[test]
    fn what_has_come_and_gone_leaves_nothing() {
        let mut population = Population::default();
        let (first, second) = (ClientState::Trying.place(), ClientState::Completed.place());
        population.moved(None, first);
        population.moved(first, first);
        population.moved(first, second);
        assert_eq!(population.iter().map(|(_, _, count)| count).sum::<usize>(), 1);
        population.moved(second, ClientState::Terminated.place());
        population.moved(ClientState::Terminated.place(), None);
        assert_eq!(population, Population::default());
    }
}
