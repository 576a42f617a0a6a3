//! How an endpoint behaves: timing, bounds, addresses.
//!
//! Plain data without behaviour. Entry type: [`EndpointConfig`].

use std::net::SocketAddr;
use std::time::Duration;

use super::address::{ListenerId, Protocol};
use crate::message::MessageLimits;
use crate::transaction::Timing;

/// One of our listening sockets as peers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in [`Path`](super::Path).
    pub id: ListenerId,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address written into Via and Contact. An unspecified one is replaced by the path's local address.
    pub advertised: SocketAddr,
}

/// Every bound of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointLimits {
    /// Legs alive at most. Beyond: 503 with Retry-After, and [`EndpointError::Limit`](super::EndpointError::Limit).
    pub legs_max: usize,
    /// Transactions alive at most. Beyond: the same.
    pub transactions_max: usize,
    /// Requests of the host in flight on one leg.
    pub requests_per_leg_max: usize,
    /// REFERs of one leg that are not over, each way. Beyond: `Limit`, and 500 with Retry-After.
    pub refers_per_leg_max: usize,
    /// Early dialogs of one outbound leg (forks) that are told apart. Beyond: the oldest is forgotten.
    pub forks_max: usize,
    /// Route headers of a dialog. Beyond: the INVITE is refused with 400 (UAS), the 2xx ended with BYE (UAC).
    pub routes_max: usize,
    /// Registrations alive at most. Beyond: [`EndpointError::Limit`](super::EndpointError::Limit).
    pub registrations_max: usize,
    /// Contacts that one registration may bind beside our own.
    pub contacts_max: usize,
    /// Bindings of a registrar's answer that are told to the host. The others are left out.
    pub bindings_max: usize,
    /// Subscriptions alive at most. Beyond: [`EndpointError::Limit`](super::EndpointError::Limit).
    pub subscriptions_max: usize,
    /// MIME types that one subscription may accept.
    pub accepts_max: usize,
    /// Times one request is repeated with credentials.
    pub auth_tries_max: u8,
    /// How long the host may think about a re-INVITE; then 488.
    pub reinvite_decision_max: Duration,
    /// The same for an UPDATE or a REFER, which must be answered well before 64·T1; then 504 (RFC 3311 §5.2) or 603.
    pub update_decision_max: Duration,
    /// The session interval that we ask for on calls (RFC 4028), s; below 90 means 90, and 0 not to ask. A peer's own wish
    /// goes before it.
    pub session_expires_s: u32,
    /// The largest body the host may send, in octets.
    pub body_max: usize,
    /// Timers handled by one `handle_timeout`; more wait for the next one, which is due at once.
    pub timers_per_wake_max: usize,
    /// Seconds in Retry-After of a 503.
    pub retry_after_s: u32,
    /// Bounds of a message.
    pub message: MessageLimits,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            legs_max: 10_000,
            transactions_max: 200_000,
            requests_per_leg_max: 16,
            refers_per_leg_max: 4,
            forks_max: 8,
            routes_max: 16,
            registrations_max: 1_000,
            contacts_max: 8,
            bindings_max: 32,
            subscriptions_max: 1_000,
            accepts_max: 16,
            auth_tries_max: 2,
            reinvite_decision_max: Duration::from_secs(30),
            update_decision_max: Duration::from_secs(10),
            session_expires_s: 1_800,
            body_max: 60_000,
            timers_per_wake_max: 1_024,
            retry_after_s: 5,
            message: MessageLimits::default(),
        }
    }
}

/// How an endpoint behaves.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// T1, T2, T4 and what follows from them.
    pub timing: Timing,
    /// Every bound.
    pub limits: EndpointLimits,
    /// Our sockets. At least one is needed to place calls.
    pub listeners: Vec<Listener>,
    /// User-Agent and Server; empty writes neither.
    pub user_agent: Box<str>,
    /// This endpoint's index among `shards`.
    pub shard: u16,
    /// How many endpoints share the traffic; Call-IDs of our own hash to this one (see [`shard_of`](super::shard_of)).
    pub shards: u16,
    /// An INVITE without a response for so long gets 100 (RFC 3261 §17.2.1: at most 200 ms).
    pub auto_100_after: Duration,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            limits: EndpointLimits::default(),
            listeners: Vec::new(),
            user_agent: "callbox".into(),
            shard: 0,
            shards: 1,
            auto_100_after: Duration::from_millis(200),
        }
    }
}
