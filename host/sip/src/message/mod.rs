//! SIP messages on the wire: indexing, typed access, validation, framing and building (RFC 3261 §7, §18.3, §20).
//!
//! A [`Message`] is one `Bytes` and an index of spans into it; nothing is copied or decoded until it is asked for, and
//! what is echoed is echoed octet by octet. Typed access ([`Message::top_via`], [`Message::from`], …) borrows.
//!
//! The layer knows nothing of transactions, dialogs, sockets or time.
//!
//! Where checks live:
//! - [`Message::parse`]: what framing depends on. Start line, header lines, [`MessageLimits`], Content-Length, version.
//! - [`validate::request`] and [`validate::response`]: headers that every message needs, their grammar, no repetition.
//! - typed accessors: the grammar of the one header that is asked for.
//!
//! Invariants: no input panics; work is linear in the message; a span always lies within its message; values hold a
//! line end only as part of a fold.

mod access;
pub mod build;
mod fields;
mod framer;
mod method;
mod name;
mod name_addr;
mod params;
mod parse;
mod peek;
mod reject;
mod scan;
mod status;
pub mod uri;
pub mod validate;
mod via;

use bytes::Bytes;

pub use build::MessageBuilder;
pub use fields::{CSeq, MAX_SEQ, RAck, Reason, Refresher, Replaces, SessionExpires, Value, delta_seconds};
pub use framer::{Frame, StreamFramer};
pub use method::Method;
pub use name::HeaderName;
pub use name_addr::{Contact, NameAddr};
pub use params::{Param, Params};
pub use peek::{Outline, peek_call_id, peek_outline};
pub use reject::{HeaderError, Malformed, Reject};
pub use scan::{is_field_value, is_token};
pub use status::reason_phrase;
pub use uri::{Host, SipUri, TelUri, Uri, UriError, unescape};
pub use via::{Rport, Via};

/// The elements of a comma list, for headers that are read outside this module.
pub(crate) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::Elements::new(value)
}

/// How the end of a message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message a datagram: Content-Length may be missing and may cut, but not promise more than came.
    Datagram,
    /// A byte stream: Content-Length is required (RFC 3261 §18.3).
    Stream,
}

/// What a message may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// Octets of a whole message. Above: 413.
    pub max_message: usize,
    /// Header lines, folded ones counted once. Above: 400.
    pub max_headers: usize,
    /// Octets of one header's value (above: 400) and of the Request-URI (above: 414).
    pub max_value: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            max_message: 65_536,
            max_headers: 200,
            max_value: 8_192,
        }
    }
}

/// A range of octets in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    /// `parse` admits no message whose offsets exceed 32 bits; should one come anyway, the span is empty.
    fn new(from: usize, to: usize) -> Self {
        match (u32::try_from(from), u32::try_from(to)) {
            (Ok(from), Ok(to)) => Self { from, to },
            _ => Self { from: 0, to: 0 },
        }
    }

    /// The span of `part`, a sub-slice of `whole`.
    fn of(whole: &[u8], part: &[u8]) -> Self {
        let from = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self::new(from, from + part.len())
    }

    fn get(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.from as usize..self.to as usize)
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
enum Start {
    Request { method: Method, uri: Span },
    Response { code: u16, reason: Span },
}

/// One header line in the index.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: HeaderName,
    written: Span,
    value: Span,
}

/// A SIP message: its octets and where everything is in them.
///
/// Cloning shares the octets and copies the index.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Bytes,
    start: Start,
    fields: Vec<Field>,
    body: Span,
}

/// The start line of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a Method,
    /// The Request-URI as written. [`Uri::parse`] reads it.
    pub uri: &'a [u8],
}

/// The start line of a response.
#[derive(Debug, Clone, Copy)]
pub struct StatusLine<'a> {
    /// 100 to 699.
    pub code: u16,
    /// The reason phrase as written, possibly empty, any octets.
    pub reason: &'a [u8],
}
