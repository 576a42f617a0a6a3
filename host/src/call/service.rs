//! Calls that wait for a session that is already there: the services of the tenants, and the one waiting room of a host.
//!
//! A *service* is a name that the operator gave to some of a tenant's calls, or the address of record of a registration
//! that a session holds. Sessions that accept and calls that came for the same service meet here, each side in the order
//! of its arrival. Deliberately knows no routes: which service a call is for is decided before.
//!
//! Entry types: [`WaitingRoom`], one a host, and [`Services`], what one tenant's sessions may accept. Invariants: a call is
//! given to one session at most, and to one that still waits at that moment; a call that nobody takes ends with 480 after
//! `service_wait_ms`; no more than `service_waiting_calls` calls wait for one service; nothing here outlives the call, the
//! accepting method or the registration that it stands for. Locks are taken in this order: room, call, leg.

mod arrival;
mod call;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::siblings::Siblings;
pub(super) use call::{HandedOver, ServiceCall};
pub(super) use room::Listing;
pub use room::WaitingRoom;

/// What calls wait for and sessions accept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Service {
    /// A name that the operator gave to calls of one tenant.
    Named { tenant: Arc<str>, name: Box<str> },
    /// A registration, by the `line` of its contact.
    Registered { line: Box<str> },
}

/// An address of record as a call may name it: the user part as it is written, the host in lower case without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    user: Box<str>,
    host: Box<str>,
}

impl Address {
    pub(super) fn new(user: &str, host: &str) -> Self {
        Self {
            user: user.into(),
            host: bare_host(host).into(),
        }
    }
}

/// A host without port and brackets, in lower case.
fn bare_host(host: &str) -> String {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match host.rsplit_once(':') {
            // More than one colon without brackets is an IPv6 address as a socket writes it.
            Some((name, _)) if !name.contains(':') => name,
            _ => host,
        },
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What the sessions of one tenant may accept, where the calls wait, and how the sessions reach each other.
#[derive(Clone)]
pub struct Services {
    pub(super) room: Option<Arc<WaitingRoom>>,
    names: Arc<BTreeSet<String>>,
    siblings: Option<Weak<dyn Siblings>>,
}

impl Services {
    /// The services of a tenant, by name. Calls for them wait in `room`.
    #[must_use]
    pub fn new(room: Arc<WaitingRoom>, names: BTreeSet<String>) -> Self {
        Self {
            room: Some(room),
            names: Arc::new(names),
            siblings: None,
        }
    }

    /// No services: every name is unknown, and so is the address of a registration.
    #[must_use]
    pub fn none() -> Self {
        Self {
            room: None,
            names: Arc::default(),
            siblings: None,
        }
    }

    /// Lets the sessions start others and write to them.
    #[must_use]
    pub fn with_siblings(mut self, siblings: Weak<dyn Siblings>) -> Self {
        self.siblings = Some(siblings);
        self
    }

    pub(super) fn siblings(&self) -> Option<Arc<dyn Siblings>> {
        self.siblings.as_ref()?.upgrade()
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
