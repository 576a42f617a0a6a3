//! Where a flow wants to call: a SIP URI or a telephone number.
//!
//! A guest's string is hostile until it is one of these: nothing in it ends a line, opens a header or names a method.
//! Whether anybody may call there is the tenant's matter ([`super::policy`]).

use callbox_sip::message::{SipUri, Uri};

use super::error::CallError;
use super::text::quoted;

/// Bytes of a destination URI.
pub(super) const URI_MAX: usize = 512;

/// A destination that a flow named: a `sip:` or `sips:` URI, a `tel:` URI, or a bare number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialTarget {
    uri: String,
    /// Of a number: its digits, without visual separators.
    number: Option<String>,
}

impl DialTarget {
    /// Parses `dest`. A bare number, such as `+4930123`, is the `tel:` URI of that number.
    ///
    /// # Errors
    /// `Invalid` for what is no such URI, with the reason; `Unsupported` for a `tel:` URI with parameters.
    pub fn parse(dest: &str) -> Result<Self, CallError> {
        Self::parse_as("destination", dest)
    }

    /// As [`Self::parse`]; `what` names the argument in errors.
    pub(super) fn parse_as(what: &str, text: &str) -> Result<Self, CallError> {
        let text = text.trim_matches(' ');
        let wrong = |why: &str| CallError::invalid(format!("{what} {}: {why}", quoted(text)));
        if text.len() > URI_MAX {
            return Err(CallError::invalid(format!(
                "{what} has {} bytes, {URI_MAX} at most",
                text.len()
            )));
        }
        let forbidden = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'<' | b'>' | b'"');
        if let Some(byte) = text.bytes().find(|byte| forbidden(*byte)) {
            return Err(wrong(&format!("byte 0x{byte:02x} is in no URI")));
        }
        if !escapes_are_whole(text.as_bytes()) {
            return Err(wrong("% needs two hexadecimal digits"));
        }
        let bare = text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_digit() || b"+*#".contains(&first));
        let uri = match bare {
            true => format!("tel:{text}"),
            false => text.to_owned(),
        };
        let number = match Uri::parse(uri.as_bytes()) {
            Ok(Uri::Sip(sip)) => {
                whole_request_uri(&sip).map_err(wrong)?;
                None
            }
            Ok(Uri::Tel(tel)) if tel.params.iter().next().is_some() => {
                return Err(CallError::Unsupported(format!(
                    "{what} {}: parameters of tel URIs",
                    quoted(text)
                )));
            }
            Ok(Uri::Tel(tel)) => Some(tel.dialled().map(char::from).collect()),
            Ok(Uri::Other { .. }) => return Err(wrong("neither a sip nor a tel URI")),
            Err(error) => return Err(wrong(&error.to_string())),
        };
        Ok(Self { uri, number })
    }

    /// A SIP URI; a number is `Invalid`.
    pub(super) fn sip(what: &str, text: &str) -> Result<Self, CallError> {
        let target = Self::parse_as(what, text)?;
        match target.number {
            None => Ok(target),
            Some(_) => Err(CallError::invalid(format!(
                "{what} {}: not a sip URI",
                quoted(text)
            ))),
        }
    }

    /// The URI as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The number that a `tel:` URI names, without visual separators; none for a SIP URI.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }
}

/// What may not stand in a Request-URI (RFC 3261 §19.1.1): it would set headers or the method behind the host's back.
fn whole_request_uri(sip: &SipUri<'_>) -> Result<(), &'static str> {
    if sip.headers.is_some() {
        return Err("headers (?) belong to the header option");
    }
    if sip.params.has("method") {
        return Err("the method is not the URI's to name");
    }
    Ok(())
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let whole = |at: usize| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut signs = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    signs.all(|(at, _)| whole(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn number(dest: &str) -> Option<String> {
        DialTarget::parse(dest).unwrap().number().map(str::to_owned)
    }

    #[test]
    fn sip_uris_and_numbers_are_targets() {
        assert_eq!(number("sip:bob@example.com;transport=tcp"), None);
        assert_eq!(number(" sips:bob@[2001:db8::1]:5061 "), None);
        assert_eq!(number("tel:+49-(30)-123.45").as_deref(), Some("+493012345"));
        assert_eq!(number("+4930123").as_deref(), Some("+4930123"));
        assert_eq!(number("*21#").as_deref(), Some("*21#"));
        assert_eq!(DialTarget::parse("110").unwrap().as_str(), "tel:110");
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_reason() {
        let long = format!("sip:{}@h", "a".repeat(URI_MAX));
        for (dest, why) in [
            ("", "scheme"),
            ("bob", "scheme"),
            ("sip:", "host"),
            ("sip:@h", "user"),
            ("sip:a@h:99999", "port"),
            ("sip:a b@h", "0x20"),
            ("sip:a@h\r\nX: y", "0x0d"),
            ("sip:a@h\0", "0x00"),
            ("sip:größe@h", "0xc3"),
            ("<sip:a@h>", "0x3c"),
            ("sip:a%4@h", "hexadecimal"),
            ("sip:a@h?Replaces=x", "header option"),
            ("sip:a@h;method=BYE", "method"),
            ("http://h", "neither"),
            ("tel:alice", "telephone number"),
            ("+49x", "telephone number"),
            (long.as_str(), "at most"),
        ] {
            match DialTarget::parse(dest) {
                Err(CallError::Invalid(text)) => assert!(text.contains(why), "{dest:?}: {text}"),
                other => panic!("{dest:?}: {other:?}"),
            }
        }
        assert!(matches!(
            DialTarget::parse("tel:1;ext=2"),
            Err(CallError::Unsupported(_))
        ));
        assert!(matches!(
            DialTarget::sip("registrar", "110"),
            Err(CallError::Invalid(_))
        ));
    }
}
