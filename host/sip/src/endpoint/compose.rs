//! Writing whole messages into one buffer that is used again for each.
//!
//! Responses are a status line, the head of their transaction ([`reply`](super::reply)) and more lines; requests within
//! a dialog are a request line, Via and the dialog's own lines. Knows nothing of state. Entry types: [`ResponseParts`],
//! [`RequestParts`]. Invariant: what the host gave was checked ([`check_headers`]) before it comes here.

use bytes::Bytes;

use super::command::{Body, EndpointError, Header};
use crate::message::{HeaderName, is_field_value, is_token, reason_phrase};

/// A response to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseParts<'a> {
    pub(crate) code: u16,
    /// None: the usual phrase.
    pub(crate) reason: Option<&'a str>,
    pub(crate) head: &'a [u8],
    /// Whole lines of ours.
    pub(crate) lines: &'a [u8],
    pub(crate) headers: &'a [Header],
    pub(crate) body: Option<&'a Body>,
}

/// A request to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a [u8],
    /// Whole lines of ours: Via, Route, From, To, Call-ID, Contact, ….
    pub(crate) lines: &'a [u8],
    pub(crate) seq: u32,
    pub(crate) headers: &'a [Header],
    pub(crate) body: Option<&'a Body>,
}

pub(crate) fn response(scratch: &mut Vec<u8>, parts: &ResponseParts<'_>) -> Bytes {
    scratch.clear();
    scratch.extend_from_slice(b"SIP/2.0 ");
    number(scratch, u32::from(parts.code));
    scratch.push(b' ');
    scratch.extend_from_slice(parts.reason.unwrap_or(reason_phrase(parts.code)).as_bytes());
    scratch.extend_from_slice(b"\r\n");
    scratch.extend_from_slice(parts.head);
    scratch.extend_from_slice(parts.lines);
    finish(scratch, parts.headers, parts.body)
}

pub(crate) fn request(scratch: &mut Vec<u8>, parts: &RequestParts<'_>) -> Bytes {
    scratch.clear();
    scratch.extend_from_slice(parts.method.as_bytes());
    scratch.push(b' ');
    scratch.extend_from_slice(parts.uri);
    scratch.extend_from_slice(b" SIP/2.0\r\n");
    scratch.extend_from_slice(parts.lines);
    scratch.extend_from_slice(b"Max-Forwards: 70\r\nCSeq: ");
    number(scratch, parts.seq);
    scratch.push(b' ');
    scratch.extend_from_slice(parts.method.as_bytes());
    scratch.extend_from_slice(b"\r\n");
    finish(scratch, parts.headers, parts.body)
}

fn finish(scratch: &mut Vec<u8>, headers: &[Header], body: Option<&Body>) -> Bytes {
    for header in headers {
        scratch.extend_from_slice(header.name.as_bytes());
        scratch.extend_from_slice(b": ");
        scratch.extend_from_slice(header.value.as_bytes());
        scratch.extend_from_slice(b"\r\n");
    }
    if let Some(body) = body {
        scratch.extend_from_slice(b"Content-Type: ");
        scratch.extend_from_slice(body.content_type.as_bytes());
        scratch.extend_from_slice(b"\r\n");
    }
    let octets = body.map(|body| &body.data[..]).unwrap_or_default();
    scratch.extend_from_slice(b"Content-Length: ");
    number(scratch, u32::try_from(octets.len()).unwrap_or(u32::MAX));
    scratch.extend_from_slice(b"\r\n\r\n");
    scratch.extend_from_slice(octets);
    Bytes::copy_from_slice(scratch)
}

/// A request of the same transaction as `original`, one of our own INVITEs (RFC 3261 §9.1, §17.1.1.3): CANCEL with the
/// same To, ACK with the To of the response. `lines` follow.
pub(crate) fn derived(
    scratch: &mut Vec<u8>,
    original: &[u8],
    method: &str,
    to: Option<&[u8]>,
    lines: &[u8],
) -> Bytes {
    scratch.clear();
    for (index, line) in original.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if index == 0 {
            let uri = line.strip_prefix(b"INVITE ").unwrap_or(line);
            scratch.extend_from_slice(method.as_bytes());
            scratch.push(b' ');
            scratch.extend_from_slice(uri);
        } else if name == b"CSeq" {
            scratch.extend_from_slice(line.strip_suffix(b"INVITE").unwrap_or(line));
            scratch.extend_from_slice(method.as_bytes());
        } else if let (b"To", Some(to)) = (name, to) {
            scratch.extend_from_slice(b"To: ");
            scratch.extend_from_slice(to);
        } else if matches!(
            name,
            b"Via" | b"Route" | b"From" | b"To" | b"Call-ID" | b"Max-Forwards"
        ) || (method == "ACK" && matches!(name, b"Authorization" | b"Proxy-Authorization"))
        {
            scratch.extend_from_slice(line);
        } else {
            continue;
        }
        scratch.extend_from_slice(b"\r\n");
    }
    scratch.extend_from_slice(lines);
    scratch.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Bytes::copy_from_slice(scratch)
}

/// Decimal digits without an allocation.
pub(crate) fn number(out: &mut Vec<u8>, mut n: u32) {
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    for (index, slot) in digits.iter_mut().enumerate().rev() {
        *slot = b'0' + (n % 10) as u8;
        n /= 10;
        at = index;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Headers that the endpoint writes itself; the host may not.
fn is_ours(name: HeaderName, redirect: bool) -> bool {
    match name {
        HeaderName::Contact => !redirect,
        HeaderName::Via
        | HeaderName::From
        | HeaderName::To
        | HeaderName::CallId
        | HeaderName::CSeq
        | HeaderName::MaxForwards
        | HeaderName::Route
        | HeaderName::RecordRoute
        | HeaderName::ContentLength
        | HeaderName::ContentType
        | HeaderName::Require
        | HeaderName::RSeq
        | HeaderName::RAck
        | HeaderName::SessionExpires
        | HeaderName::MinSe => true,
        _ => false,
    }
}

/// Checks what the host wants to send: names are tokens and not ours, values are one line. Contact is allowed in a
/// `redirect` (3xx) only.
pub(crate) fn check_headers(
    headers: &[Header],
    redirect: bool,
    value_max: usize,
) -> Result<(), EndpointError> {
    for Header { name, value } in headers {
        if !is_token(name.as_bytes()) {
            return Err(EndpointError::Invalid(format!(
                "header name {name:?} is not a token"
            )));
        }
        if is_ours(HeaderName::lookup(name.as_bytes()), redirect) {
            return Err(EndpointError::Invalid(format!(
                "header {name} is written by the endpoint"
            )));
        }
        if !is_one_line(value) || value.len() > value_max {
            return Err(EndpointError::Invalid(format!(
                "value of header {name} has control characters or is too long"
            )));
        }
    }
    Ok(())
}

/// Checks that the host names none of these: the usage at hand writes them itself.
pub(crate) fn check_not_named(headers: &[Header], ours: &[HeaderName]) -> Result<(), EndpointError> {
    match headers
        .iter()
        .find(|header| ours.contains(&HeaderName::lookup(header.name.as_bytes())))
    {
        Some(header) => Err(EndpointError::Invalid(format!(
            "header {} is written by the endpoint",
            header.name
        ))),
        None => Ok(()),
    }
}

/// Checks a body of the host.
pub(crate) fn check_body(body: Option<&Body>, max: usize) -> Result<(), EndpointError> {
    let Some(body) = body else { return Ok(()) };
    if body.data.len() > max {
        return Err(EndpointError::Invalid(format!(
            "body of {} octets; at most {max}",
            body.data.len()
        )));
    }
    let value = crate::message::Value::parse(body.content_type.as_bytes());
    if value.media().is_none() || !is_one_line(&body.content_type) {
        return Err(EndpointError::Invalid(format!(
            "content type {:?} is not type/subtype",
            body.content_type
        )));
    }
    Ok(())
}

/// Checks what the host refuses a request of the peer's with, within a call: 400..=699.
pub(crate) fn check_refusal(
    code: u16,
    reason: Option<&str>,
    headers: &[Header],
    max_value: usize,
) -> Result<(), EndpointError> {
    if !(400..=699).contains(&code) {
        return Err(EndpointError::Invalid(format!(
            "{code} is not a final response from 400 to 699"
        )));
    }
    check_headers(headers, false, max_value)?;
    check_phrase(reason)
}

/// Checks a reason phrase.
pub(crate) fn check_phrase(phrase: Option<&str>) -> Result<(), EndpointError> {
    match phrase {
        Some(text) if !is_one_line(text) => Err(EndpointError::Invalid(
            "reason phrase has control characters".into(),
        )),
        _ => Ok(()),
    }
}

fn is_one_line(text: &str) -> bool {
    is_field_value(text.as_bytes())
}
