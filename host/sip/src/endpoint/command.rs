//! What the host can ask of the endpoint, as data, and how asking fails.
//!
//! Entry types: [`InviteRequest`], [`InDialogRequest`], [`EndpointError`]. Strings in here are checked before anything is
//! sent: nothing with CR, LF or NUL reaches a header.

use std::time::Duration;

use bytes::Bytes;

use super::address::Destination;
use crate::auth::Credentials;

/// One header to add to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// A token. Headers that the endpoint writes itself (Via, CSeq, …) are refused.
    pub name: Box<str>,
    /// One line, at most 8 KiB.
    pub value: Box<str>,
}

/// A message body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type.
    pub content_type: Box<str>,
    /// The octets.
    pub data: Bytes,
}

/// One side of a call as the endpoint writes it into From or To.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartyAddress {
    /// User part; none writes a URI without one.
    pub user: Option<Box<str>>,
    /// Display name, without quotes.
    pub display: Option<Box<str>>,
    /// Host part (with a port, when wanted); none writes our own address.
    pub host: Option<Box<str>>,
}

/// A call to place.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The Request-URI (sip or sips), and the destination when `next_hop` is none.
    pub uri: String,
    /// From.
    pub from: PartyAddress,
    /// The URI of To; none: the Request-URI.
    pub to: Option<String>,
    /// Outbound proxy; none: where `uri` points to.
    pub next_hop: Option<Destination>,
    /// More headers.
    pub headers: Vec<Header>,
    /// The offer; none places a call whose 2xx must hold the offer (RFC 3261 §13.2.1).
    pub body: Option<Body>,
    /// For 401 and 407.
    pub credentials: Vec<Credentials>,
    /// User part of our Contact.
    pub contact_user: Option<Box<str>>,
    /// Without a final response for so long: CANCEL (or ACK and BYE when a 2xx crosses it).
    pub timeout: Duration,
}

/// A request to send within a dialog: INFO, MESSAGE, OPTIONS, ….
#[derive(Clone, Debug)]
pub struct InDialogRequest {
    /// The method; not INVITE, ACK, BYE, CANCEL, which have commands of their own.
    pub method: crate::message::Method,
    /// More headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Option<Body>,
}

/// A transfer to ask the peer for (RFC 3515).
#[derive(Clone, Debug)]
pub struct ReferRequest {
    /// The URI that the peer shall call; [`refer_to_replacing`](super::Endpoint::refer_to_replacing) makes the one of an
    /// attended transfer.
    pub refer_to: String,
    /// Our URI for Referred-By (RFC 3892).
    pub referred_by: Option<String>,
    /// Whether the peer shall tell how it goes; else `Refer-Sub: false` (RFC 4488).
    pub progress: bool,
    /// More headers.
    pub headers: Vec<Header>,
}

/// A change of the session to propose within a dialog.
#[derive(Clone, Debug)]
pub struct ReofferRequest {
    /// More headers.
    pub headers: Vec<Header>,
    /// The offer. None: a re-INVITE whose 2xx must hold the offer, or an UPDATE that only renews our Contact.
    pub body: Option<Body>,
    /// UPDATE (RFC 3311) rather than re-INVITE.
    pub update: bool,
    /// For all of it, repetitions after a 491 included. Then CANCEL.
    pub timeout: Duration,
}

/// Why a command was refused. Nothing was sent and nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The leg is dead or never was.
    #[error("no such leg")]
    NoSuchLeg,
    /// The leg cannot do that now.
    #[error("wrong state: {0}")]
    WrongState(&'static str),
    /// A limit is reached; try again later.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// An argument cannot be sent.
    #[error("invalid: {0}")]
    Invalid(String),
}
