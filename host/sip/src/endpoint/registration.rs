//! What the host asks and hears of registrations (RFC 3261 §10), as data.
//!
//! Plain data. Entry types: [`RegisterRequest`], [`RegistrationEvent`]. Invariant: each registration gets exactly one
//! last event, see [`RegistrationEvent::is_last`], and nothing after it.

use std::time::Duration;

use super::address::Destination;
use super::command::Header;
use super::output::TransportFailure;
use crate::auth::Credentials;
use crate::message::Message;

/// One registration, kept alive by the endpoint. Never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub(crate) u64);

impl RegistrationId {
    /// A number for logs and maps, unique in the life of an endpoint.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// A registration to make and to keep.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// The Request-URI (sip or sips), which has no user part, and the destination when `next_hop` is none.
    pub registrar: String,
    /// The address of record: the URI of To and From.
    pub aor: String,
    /// User part of our Contact.
    pub contact_user: Option<Box<str>>,
    /// URIs bound beside our own Contact, and removed with it. At most `contacts_max` of
    /// [`EndpointLimits`](super::EndpointLimits).
    pub contacts: Vec<String>,
    /// Seconds to ask for, at least 1. A 423 (Interval Too Brief) raises it.
    pub expires: u32,
    /// More headers, on each REGISTER.
    pub headers: Vec<Header>,
    /// For 401 and 407.
    pub credentials: Vec<Credentials>,
    /// Outbound proxy; none: where `registrar` points to.
    pub next_hop: Option<Destination>,
    /// The longest wait for the first 2xx. A 2xx that comes later is undone in silence.
    pub timeout: Duration,
}

/// One contact that the registrar has on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The URI; octets that are not UTF-8 are replaced.
    pub contact: Box<str>,
    /// Seconds left when the registrar answered.
    pub expires: u32,
}

/// A 2xx to a REGISTER.
#[derive(Debug)]
pub struct Registered {
    /// What the registrar listed, in its order; at most `bindings_max` of [`EndpointLimits`](super::EndpointLimits).
    pub bindings: Vec<Binding>,
    /// Seconds granted to our own binding.
    pub expires: u32,
    /// The 2xx, for Service-Route and whatever else it holds.
    pub response: Message,
}

/// What happened to a registration.
#[derive(Debug)]
pub enum RegistrationEvent {
    /// The first 2xx: the binding is in force.
    Registered(Registered),
    /// It was renewed in time.
    Refreshed(Registered),
    /// It is in force again after [`Lost`](Self::Lost).
    Recovered(Registered),
    /// The first REGISTER failed. The last event.
    Failed(RegistrationFailure),
    /// The binding is no longer in force: it ran out before a renewal succeeded, or the registrar refused the renewal.
    Lost {
        /// What went wrong last.
        failure: RegistrationFailure,
        /// The endpoint goes on trying, with growing pauses (RFC 5626 §4.5). False: it was refused for good, and this is
        /// the last event.
        retrying: bool,
    },
    /// [`unregister`](super::Endpoint::unregister) is done, well or not. The last event.
    Unregistered(Result<(), RegistrationFailure>),
}

impl RegistrationEvent {
    /// Whether the registration is over and its id dead.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Unregistered(_) | Self::Lost { retrying: false, .. } => true,
            Self::Registered(_) | Self::Refreshed(_) | Self::Recovered(_) | Self::Lost { .. } => false,
        }
    }
}

/// Why a REGISTER failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationFailure {
    /// A final response other than 2xx, credentials that were refused included; or a 2xx that grants our binding no
    /// time.
    #[error("the registrar refused with {}", .0.code().unwrap_or(0))]
    Rejected(Box<Message>),
    /// No final response in time.
    #[error("no response in time")]
    Timeout,
    /// It could not be sent.
    #[error("not sent: {0}")]
    Transport(TransportFailure),
    /// 2³¹ requests were sent under one Call-ID; register anew.
    #[error("the sequence numbers are used up")]
    Exhausted,
}
