//! Dialogs (RFC 3261 §12): who talks to whom, along which route, with which sequence numbers.
//!
//! Knows nothing of calls, transactions or timers. Entry type: [`Dialog`]. Invariants: local sequence numbers rise; a
//! dialog keeps copies of the few octets it needs, never a slice of a message.

mod route_set;
mod sequence;

pub(crate) use route_set::RouteSet;
pub(crate) use sequence::{LocalSequence, RemoteSequence};

use crate::endpoint::Destination;
use crate::message::{HeaderName, Message};

/// One dialog, early or confirmed.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// Its place in the endpoint's index.
    pub(crate) key: u128,
    /// `From`, `To` and `Call-ID` lines of our requests, ready to send.
    pub(crate) head: Box<[u8]>,
    /// The peer's Contact: Request-URI of our requests.
    pub(crate) target: Box<[u8]>,
    pub(crate) routes: RouteSet,
    pub(crate) local_seq: LocalSequence,
    pub(crate) remote_seq: RemoteSequence,
    /// Where our requests go: derived from the route set, or the target, or the connection that the peer opened.
    pub(crate) destination: Destination,
    /// Where they go when that connection is gone.
    pub(crate) alternate: Option<Destination>,
}

/// The lines of our requests when we were called: the peer's To is our From.
pub(crate) fn head_as_callee(request: &Message, local_tag: &[u8]) -> Box<[u8]> {
    let value = |name| request.header(name).unwrap_or_default();
    let mut head = Vec::with_capacity(256);
    line(&mut head, "From", &[value(HeaderName::To), b";tag=", local_tag]);
    line(&mut head, "To", &[value(HeaderName::From)]);
    line(&mut head, "Call-ID", &[value(HeaderName::CallId)]);
    head.into_boxed_slice()
}

/// The lines of our requests when we called: those of the response, which echoes ours and adds the peer's tag.
pub(crate) fn head_as_caller(response: &Message) -> Box<[u8]> {
    let value = |name| response.header(name).unwrap_or_default();
    let mut head = Vec::with_capacity(256);
    line(&mut head, "From", &[value(HeaderName::From)]);
    line(&mut head, "To", &[value(HeaderName::To)]);
    line(&mut head, "Call-ID", &[value(HeaderName::CallId)]);
    head.into_boxed_slice()
}

fn line(out: &mut Vec<u8>, name: &str, parts: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}
