//! What the host asks and hears of subscriptions (RFC 6665), as data.
//!
//! Plain data. Entry types: [`SubscribeRequest`], [`SubscriptionEvent`]. Invariant: each subscription gets exactly one
//! [`SubscriptionEvent::Ended`], and nothing after it.

use std::time::Duration;

use super::address::Destination;
use super::command::{Body, Header, PartyAddress};
use super::output::TransportFailure;
use crate::auth::Credentials;
use crate::message::Message;

/// One subscription, kept alive by the endpoint. Never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u64);

impl SubscriptionId {
    /// A number for logs and maps, unique in the life of an endpoint.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// A subscription to make and to keep.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// The resource (sip or sips): Request-URI, To, and the destination when `next_hop` is none.
    pub uri: String,
    /// From.
    pub from: PartyAddress,
    /// The Event header: an event package, with its parameters if any.
    pub event: String,
    /// Seconds to ask for. A 423 (Interval Too Brief) raises it; 0 fetches the state once.
    pub expires: u32,
    /// Seconds after which to subscribe again. None, and whenever it is 0 or not before the end of what was granted: at
    /// 90 % of that, and at least 5 s before its end.
    pub refresh: Option<u32>,
    /// MIME types for Accept. At most `accepts_max` of [`EndpointLimits`](super::EndpointLimits).
    pub accept: Vec<String>,
    /// A body, such as a filter, on each SUBSCRIBE but the one that ends it.
    pub body: Option<Body>,
    /// More headers, on each SUBSCRIBE.
    pub headers: Vec<Header>,
    /// For 401 and 407.
    pub credentials: Vec<Credentials>,
    /// User part of our Contact.
    pub contact_user: Option<Box<str>>,
    /// Outbound proxy; none: where `uri` points to.
    pub next_hop: Option<Destination>,
    /// The longest wait for the first NOTIFY. One that comes later is refused, which ends the subscription there too.
    pub timeout: Duration,
}

/// What a NOTIFY says of its subscription (RFC 6665 §4.1.3). A state that we do not know counts as pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Accepted, not yet authorised.
    Pending,
    /// In force.
    Active,
    /// Over.
    Terminated,
}

/// What happened to a subscription.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// A NOTIFY came in order and was answered 200.
    Notify {
        /// The state it announces.
        state: SubscriptionState,
        /// Why it is terminated: `noresource`, `timeout`, `rejected`, ….
        reason: Option<Box<str>>,
        /// Seconds left, as the notifier says.
        expires: Option<u32>,
        /// The NOTIFY.
        request: Message,
    },
    /// The notifier has accepted the end that [`unsubscribe`](super::Endpoint::unsubscribe) asked for. Its last NOTIFY may
    /// still come before `Ended`.
    Released,
    /// It is over. Exactly one, and the last event.
    Ended(SubscriptionEnd),
}

/// How a subscription ended.
#[derive(Debug)]
pub enum SubscriptionEnd {
    /// The notifier ended it; its NOTIFY came just before.
    Terminated {
        /// Its reason parameter.
        reason: Option<Box<str>>,
        /// When subscribing again makes sense, by the reason (RFC 6665 §4.1.3): none is never, zero is at once.
        retry_in: Option<Duration>,
    },
    /// It could not be made, or not be kept.
    Failed(SubscriptionFailure),
    /// [`unsubscribe`](super::Endpoint::unsubscribe) is done, well or not.
    Unsubscribed(Result<(), SubscriptionFailure>),
}

/// Why a subscription failed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionFailure {
    /// A final response other than 2xx, credentials that were refused included.
    #[error("the notifier refused with {}", .0.code().unwrap_or(0))]
    Rejected(Box<Message>),
    /// No final response, or no first NOTIFY, in time.
    #[error("no response or NOTIFY in time")]
    Timeout,
    /// It could not be sent.
    #[error("not sent: {0}")]
    Transport(TransportFailure),
    /// It was accepted, but the NOTIFY that must follow did not come within 64·T1 (timer N).
    #[error("the NOTIFY that must follow a SUBSCRIBE did not come")]
    NoNotify,
    /// What was granted ran out before renewing it succeeded.
    #[error("it ran out before it could be renewed")]
    Expired,
    /// 2³¹ requests were sent in one dialog; subscribe anew.
    #[error("the sequence numbers are used up")]
    Exhausted,
}
