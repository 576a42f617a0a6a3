//! Strings from a flow become SIP here, or become an error.
//!
//! A guest's string is hostile until one of these constructors has parsed it: nothing with CR, LF or NUL reaches a
//! header, and no flow writes a header that the stack owns (Via, CSeq, Contact, …). Entry types: [`Header`], [`Body`];
//! destinations are [`super::target`]'s.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::limits::{self, CallLimits};

use super::error::{CallError, Denial};
use super::session::SessionShared;
use super::tenant_bounds::TenantBounds;
use super::usage::LaterCounting;

/// Bytes of a reason phrase, a Reason text, a MIME type, or a name.
pub(super) const SHORT_TEXT_MAX: usize = 256;

/// Headers that belong to transactions, dialogs, the transport or to methods of their own.
const OWNED_BY_HOST: &[&str] = &[
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "contact",
    "m",
    "max-forwards",
    "content-length",
    "l",
    "content-type",
    "c",
    "route",
    "record-route",
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "require",
    "proxy-require",
    "supported",
    "k",
    "unsupported",
    "rack",
    "rseq",
    "session-expires",
    "x",
    "min-se",
    "allow",
    "event",
    "o",
    "subscription-state",
    "expires",
    "refer-to",
    "r",
    "retry-after",
    "warning-agent",
    "path",
    "service-route",
    // The host names itself.
    "user-agent",
    "server",
    // Between networks that trust each other (RFC 7315).
    "p-charging-vector",
    "p-charging-function-addresses",
    // Places in other people's calls; Replaces is a flow's to carry out a REFER with.
    "join",
    "target-dialog",
];

/// Claims of who calls, who pays, or who was called before: only who is granted one by name may set it. With the compact form
/// of Identity.
const CLAIMS: &[&str] = &[
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "p-charge-info",
    "diversion",
    "history-info",
    "identity",
    "y",
];

/// Whether a header of this name claims who calls, who pays, or who was called before.
#[must_use]
pub fn is_claim(name: &str) -> bool {
    CLAIMS.iter().any(|claim| claim.eq_ignore_ascii_case(name))
}

/// One SIP header field that a flow may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

impl Header {
    /// Checks that `name` is a token (RFC 3261 §25.1) that the host does not own, and that `value` is one line.
    ///
    /// # Errors
    /// `Invalid` with what is wrong, or `Denied(Header)` for a header of the host's and for a claim ([`is_claim`]).
    pub fn parse(name: &str, value: &str, limits: &CallLimits) -> Result<Self, CallError> {
        Self::granted(name, value, limits, |name, _| {
            Err(CallError::Denied(Denial::Header(name.to_owned())))
        })
    }

    /// The same, with claims decided by `may_claim`, which is asked about the value as it would be sent.
    ///
    /// # Errors
    /// As [`Self::parse`], and what `may_claim` says.
    pub(super) fn granted(
        name: &str,
        value: &str,
        limits: &CallLimits,
        may_claim: impl FnOnce(&str, &str) -> Result<(), CallError>,
    ) -> Result<Self, CallError> {
        if name.is_empty() || name.len() > SHORT_TEXT_MAX || !name.bytes().all(is_token_byte) {
            return Err(CallError::invalid(format!(
                "header name {} is not a SIP token",
                quoted(name)
            )));
        }
        if OWNED_BY_HOST.iter().any(|owned| owned.eq_ignore_ascii_case(name)) {
            return Err(CallError::Denied(Denial::Header(name.to_owned())));
        }
        if name.len() + value.len() > limits.header_max_bytes {
            limits::hit("limits.call.header_max_bytes");
            return Err(CallError::invalid(format!(
                "header {name} has {} bytes, {} at most",
                name.len() + value.len(),
                limits.header_max_bytes
            )));
        }
        one_line(value, || format!("value of header {name}"))?;
        if is_claim(name) {
            may_claim(name, value.trim())?;
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.trim().to_owned(),
        })
    }

    /// The name as the flow wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, without white space round it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// A header as the peer sent it: bytes that are not UTF-8 are replaced, nothing is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedHeader {
    /// Name as on the wire.
    pub name: String,
    /// Value as on the wire, unfolded.
    pub value: String,
}

/// A message body and its MIME type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    content_type: String,
    data: Bytes,
}

/// Bytes that count in a tenant's memory until the last who has them lets go.
struct Counted {
    data: Bytes,
    bytes: usize,
    bounds: Arc<TenantBounds>,
    usage: LaterCounting,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bounds.memory.give_back(self.bytes);
        self.usage.gave_back(self.bytes);
    }
}

impl Body {
    /// Checks a body of a flow. `application/sdp` gets CRLF line ends (the seed's strings end their lines with LF) and
    /// must begin with `v=`; everything else passes unchanged.
    ///
    /// # Errors
    /// `Invalid` with what is wrong.
    pub fn parse(content_type: &str, data: Vec<u8>, limits: &CallLimits) -> Result<Self, CallError> {
        let content_type = content_type.trim();
        let mime = self::content_type(content_type)?;
        if data.len() > limits.body_max_bytes {
            limits::hit("limits.call.body_max_bytes");
            return Err(CallError::invalid(format!(
                "body has {} bytes, {} at most",
                data.len(),
                limits.body_max_bytes
            )));
        }
        let data = if mime.eq_ignore_ascii_case("application/sdp") {
            normalise_sdp(data)?
        } else {
            data
        };
        Ok(Self {
            content_type: content_type.to_owned(),
            data: Bytes::from(data),
        })
    }

    /// A body as the peer sent it.
    pub(crate) fn received(content_type: &[u8], data: Bytes) -> Self {
        Self {
            content_type: String::from_utf8_lossy(content_type).into_owned(),
            data,
        }
    }

    /// The same kind of body with other bytes, which the host itself wrote.
    pub(super) fn with_data(&self, data: Bytes) -> Self {
        Self {
            content_type: self.content_type.clone(),
            data,
        }
    }

    /// The same, counted in the memory of the session that it is for, and of its tenant, for as long as anybody has it: what
    /// a flow leaves with the host is its tenant's as what it has itself.
    ///
    /// # Errors
    /// `Denied` when the tenant has no room for it.
    pub(super) fn counted(self, session: &Arc<SessionShared>) -> Result<Self, CallError> {
        let bounds = &session.context.bounds;
        let bytes = self.data.len().saturating_add(self.content_type.len());
        if bounds.memory.take(bytes).is_err() {
            let row = bounds.hit("limits.tenant.memory_max_bytes", bounds.memory.refused());
            return Err(CallError::limit(row));
        }
        Ok(Self {
            content_type: self.content_type,
            data: Bytes::from_owner(Counted {
                data: self.data,
                bytes,
                bounds: Arc::clone(bounds),
                usage: LaterCounting::took(session, bytes),
            }),
        })
    }

    /// MIME type with its parameters.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The bytes.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

/// Checks a MIME type with its parameters; returns the type without them.
pub(super) fn content_type(text: &str) -> Result<&str, CallError> {
    let mime = text.split(';').next().unwrap_or_default().trim();
    let well_formed = mime.split_once('/').is_some_and(|(kind, sub)| {
        !kind.is_empty() && !sub.is_empty() && (kind.bytes().chain(sub.bytes())).all(is_token_byte)
    });
    if !well_formed || text.len() > SHORT_TEXT_MAX {
        return Err(CallError::invalid(format!(
            "content type {} is not type/subtype",
            quoted(text)
        )));
    }
    one_line(text, || "content type".to_owned())?;
    Ok(mime)
}

fn normalise_sdp(data: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let start = data
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .unwrap_or(data.len());
    let text = data.get(start..).unwrap_or_default();
    if !text.starts_with(b"v=") {
        return Err(CallError::invalid(
            "an application/sdp body must begin with v= (RFC 8866 §5)",
        ));
    }
    if text.contains(&0) {
        return Err(CallError::invalid("an application/sdp body must not contain NUL"));
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The page's here-documents end with empty lines; SDP has none.
        if !line.is_empty() {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(out)
}

/// Checks a reason phrase or Reason text of a flow.
pub(crate) fn reason_text(text: &str) -> Result<&str, CallError> {
    if text.len() > SHORT_TEXT_MAX {
        return Err(CallError::invalid(format!(
            "reason has {} bytes, {SHORT_TEXT_MAX} at most",
            text.len()
        )));
    }
    one_line(text, || "reason".to_owned())?;
    Ok(text)
}

/// Checks a word of a flow's that must be a token (RFC 3261 §25.1), such as the name of an event package.
pub(crate) fn token(text: &str, what: &str) -> Result<(), CallError> {
    short(text, what)?;
    if text.is_empty() || !text.bytes().all(is_token_byte) {
        return Err(CallError::invalid(format!(
            "{what} {} is not a token",
            quoted(text)
        )));
    }
    Ok(())
}

/// Checks a short text of a flow.
pub(crate) fn short(text: &str, what: &str) -> Result<(), CallError> {
    if text.len() > SHORT_TEXT_MAX {
        return Err(CallError::invalid(format!(
            "{what} has {} bytes, {SHORT_TEXT_MAX} at most",
            text.len()
        )));
    }
    one_line(text, || what.to_owned())
}

/// Checks the number of headers that one operation adds.
pub(crate) fn check_headers(headers: &[Header], limits: &CallLimits) -> Result<(), CallError> {
    if headers.len() > limits.headers_max {
        return Err(CallError::limit("limits.call.headers_max"));
    }
    Ok(())
}

fn one_line(text: &str, what: impl Fn() -> String) -> Result<(), CallError> {
    if let Some(byte) = text
        .bytes()
        .find(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(CallError::invalid(format!(
            "{} contains control byte 0x{byte:02x}",
            what()
        )));
    }
    Ok(())
}

/// `token` of RFC 3261 §25.1.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// A guest's text for an error message: escaped and short.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(64) + 2);
    out.push('"');
    for c in text.chars().take(64) {
        out.extend(c.escape_default());
    }
    out.push('"');
    out
}
