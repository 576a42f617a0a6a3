//! What the endpoint gives out: octets to send, events for the host, and when to wake it.
//!
//! Plain data without behaviour. Entry type: [`Output`].

use std::time::Instant;

use bytes::Bytes;

use super::address::Destination;
use super::event::Event;
use crate::transaction::Population;

/// Names a transmission whose failure must be reported to
/// [`handle_transmit_failed`](super::Endpoint::handle_transmit_failed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransmitToken(pub(crate) u64);

/// One message to send.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where to.
    pub to: Destination,
    /// The whole message. Retransmissions share it.
    pub payload: Bytes,
    /// Set when a failure to send must be reported back.
    pub token: Option<TransmitToken>,
}

/// One thing to do, in order.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Tell the host this.
    Event(Event),
    /// Drained. Call [`handle_timeout`](super::Endpoint::handle_timeout) at this time, or never when none.
    Timeout(Option<Instant>),
}

/// Why a transmission failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportFailure {
    /// The host name has no address.
    #[error("the destination does not resolve")]
    Unresolved,
    /// The peer refused, or an ICMP error came back.
    #[error("the destination refused")]
    Refused,
    /// The connection closed before the message was written.
    #[error("the connection closed")]
    Closed,
    /// Connecting took too long.
    #[error("connecting timed out")]
    TimedOut,
    /// TLS could not be agreed on, or the peer did not prove its name.
    #[error("the destination is not secure")]
    Insecure,
    /// The write queue is full.
    #[error("the write queue is full")]
    QueueFull,
    /// Above what the protocol carries.
    #[error("the message is too large for the protocol")]
    TooLarge,
    /// No listener or client of that protocol is configured.
    #[error("the protocol is not configured")]
    NoProtocol,
    /// The filter of the destination lets none of its addresses pass.
    #[error("the destination leads to addresses that are not allowed")]
    Forbidden,
}

/// How much is alive in an endpoint. All zero: quiescent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Legs, those included that only wait for the end of their last transaction.
    pub legs: usize,
    /// Registrations, those included that are being removed.
    pub registrations: usize,
    /// Subscriptions. The one dialog that each may have is not counted among `dialogs`.
    pub subscriptions: usize,
    /// Transactions, client and server.
    pub transactions: usize,
    /// The same by kind and state.
    pub population: Population,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Running timers.
    pub timers: usize,
}

/// What has happened since the start; all only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages that did not parse and were answered.
    pub malformed_answered: u64,
    /// Messages that did not parse and were dropped.
    pub malformed_dropped: u64,
    /// Responses and ACKs that belong to nothing.
    pub strays: u64,
    /// Retransmissions absorbed by a server transaction.
    pub absorbed: u64,
    /// Copies sent by a timer.
    pub retransmitted: u64,
    /// Requests refused with 503 because a limit was reached.
    pub overload: u64,
    /// Those of them that were INVITEs, because there were as many legs as may be.
    pub overload_legs: u64,
    /// Inputs given before the outputs of the last one were drained (a fault of the caller).
    pub undrained_inputs: u64,
    /// Broken invariants: the call concerned was dropped (a fault of this crate).
    pub invariant_breaks: u64,
}
