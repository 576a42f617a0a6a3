//! What a request must be before it reaches a leg (RFC 3261 §8.2), as pure functions.
//!
//! Syntax was checked before ([`validate`](crate::message::validate)); state comes after. Entry functions:
//! [`body_refusal`], [`unknown_extensions`].

use crate::message::{HeaderName, Message, Uri, Value};

/// A refusal: its code and the header lines that go with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) lines: Vec<u8>,
}

impl Refusal {
    fn new(code: u16, lines: &str) -> Option<Self> {
        Some(Self {
            code,
            lines: lines.as_bytes().to_vec(),
        })
    }
}

/// Extensions that we support.
const SUPPORTED: [&str; 4] = ["100rel", "replaces", "norefersub", "timer"];

/// The same as a line.
pub(crate) const SUPPORTED_LINE: &[u8] = b"Supported: 100rel, replaces, norefersub, timer\r\n";

/// The same where a reliable provisional response must not come.
pub(crate) const SUPPORTED_BUT_PRACK_LINE: &[u8] = b"Supported: replaces, norefersub, timer\r\n";

/// Whether we can be called by a Request-URI of this scheme (§8.2.2.1).
pub(crate) fn scheme_is_known(uri: &[u8]) -> bool {
    !matches!(Uri::parse(uri), Ok(Uri::Other { .. }))
}

/// The Unsupported line for what Require asks and we do not have (§8.2.2.3). None when all is well.
pub(crate) fn unknown_extensions(request: &Message) -> Option<Vec<u8>> {
    let mut line: Vec<u8> = Vec::new();
    let unknown = |tag: &&[u8]| {
        !SUPPORTED
            .iter()
            .any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
    };
    // Proxy-Require is for proxies, but a request that needs what no element here has cannot be served as asked.
    let asked = request
        .values(HeaderName::Require)
        .chain(request.values(HeaderName::ProxyRequire));
    for tag in asked.filter(unknown) {
        line.extend_from_slice(if line.is_empty() { b"Unsupported: " } else { b", " });
        line.extend_from_slice(tag);
    }
    if line.is_empty() {
        return None;
    }
    line.extend_from_slice(b"\r\n");
    Some(line)
}

/// Whether we understand the body of an INVITE (§8.2.3) and the peer the one that we would send (§21.4.7).
pub(crate) fn body_refusal(request: &Message) -> Option<Refusal> {
    const ACCEPT: &str = "Accept: application/sdp, multipart/mixed\r\n";
    if !request.body().is_empty() && !is_optional(request) {
        let coded = |value: &[u8]| !value.eq_ignore_ascii_case(b"identity");
        if request.values(HeaderName::ContentEncoding).any(coded) {
            return Refusal::new(415, "Accept-Encoding: identity\r\n");
        }
        let understood = match request.content_type() {
            Ok(Some(value)) => {
                value.is("application/sdp")
                    || value
                        .media()
                        .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(b"multipart"))
            }
            _ => false,
        };
        if !understood {
            return Refusal::new(415, ACCEPT);
        }
    }
    let mut ranges = request.values(HeaderName::Accept).map(Value::parse).peekable();
    if ranges.peek().is_some() && !ranges.any(|range| admits_sdp(&range)) {
        return Refusal::new(406, ACCEPT);
    }
    None
}

/// Content-Disposition with `handling=optional`: what is not understood is ignored (§20.11).
fn is_optional(request: &Message) -> bool {
    request.content_disposition().is_some_and(|value| {
        value
            .params
            .value("handling")
            .is_some_and(|handling| handling.eq_ignore_ascii_case(b"optional"))
    })
}

fn admits_sdp(range: &Value<'_>) -> bool {
    let refused = range
        .params
        .value("q")
        .is_some_and(|q| q.iter().all(|byte| matches!(byte, b'0' | b'.')));
    let fits = ["application/sdp", "application/*", "*/*"]
        .iter()
        .any(|name| range.is(name));
    fits && !refused
}
