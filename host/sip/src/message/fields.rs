//! Typed values of the smaller headers: CSeq, RAck, Reason, Session-Expires, Replaces, and all that have the shape
//! `value *(;param)`.

use std::{borrow::Cow, fmt};

use super::{
    Method,
    params::Params,
    scan::{self, cut, digits, find_unquoted, is_lws, is_token, rest, take_while, trim, trim_start},
};

/// Greatest sequence number of CSeq, RSeq and RAck (RFC 3261 §8.1.1.5: less than 2^31).
pub const MAX_SEQ: u32 = (1 << 31) - 1;

/// `CSeq: 4711 INVITE` (RFC 3261 §20.16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// At most [`MAX_SEQ`].
    pub seq: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads a CSeq value.
    ///
    /// # Errors
    /// A short reason when the number is missing, above [`MAX_SEQ`], or the method is no token.
    pub fn parse(b: &[u8]) -> Result<Self, &'static str> {
        let (seq, b) = seq(trim_start(b))?;
        let method = trim(b);
        if method.len() == b.len() {
            return Err("no white space after the number");
        }
        Ok(Self {
            seq,
            method: Method::parse(method).ok_or("method is no token")?,
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.method)
    }
}

/// A sequence number at the start of `b`, and what follows.
fn seq(b: &[u8]) -> Result<(u32, &[u8]), &'static str> {
    let (number, tail) = take_while(b, |c| c.is_ascii_digit());
    if number.is_empty() {
        return Err("no number");
    }
    let seq = digits(number)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n <= MAX_SEQ);
    Ok((seq.ok_or("number of 2^31 or more")?, tail))
}

/// `RAck: 1 4711 INVITE` (RFC 3262 §7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// RSeq of the response that is acknowledged.
    pub rseq: u32,
    /// CSeq of that response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads an RAck value.
    ///
    /// # Errors
    /// As [`CSeq::parse`].
    pub fn parse(b: &[u8]) -> Result<Self, &'static str> {
        let (rseq, b) = seq(trim_start(b))?;
        if !b.first().is_some_and(|c| is_lws(*c)) {
            return Err("no white space after the number");
        }
        Ok(Self {
            rseq,
            cseq: CSeq::parse(b)?,
        })
    }
}

/// A value with parameters: `text/plain;charset=utf-8`, `refer;id=7`, `active;expires=60`, `SIP;cause=200`.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// What stands before the first `;`, trimmed.
    pub value: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Value<'a> {
    /// Splits a value from its parameters; never fails, the value may be empty.
    #[must_use]
    pub fn parse(b: &'a [u8]) -> Self {
        let end = find_unquoted(b, |c| c == b';').unwrap_or(b.len());
        Self {
            value: trim(cut(b, 0, end)),
            params: Params::new(rest(b, end)),
        }
    }

    /// Whether the value is `text`, in any letter case. White space round a `/` does not count.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let written = self.value.iter().copied().filter(|c| !is_lws(*c));
        written
            .map(|c| c.to_ascii_lowercase())
            .eq(text.bytes().map(|c| c.to_ascii_lowercase()))
    }

    /// Type and subtype of a media type (Content-Type, Accept).
    #[must_use]
    pub fn media(&self) -> Option<(&'a [u8], &'a [u8])> {
        let slash = memchr::memchr(b'/', self.value)?;
        let (kind, sub) = (trim(cut(self.value, 0, slash)), trim(rest(self.value, slash + 1)));
        (is_token(kind) && is_token(sub)).then_some((kind, sub))
    }

    /// A parameter that is a number of at most 32 bits, e.g. `expires` or `retry-after`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        delta_seconds(self.params.value(name)?).ok()
    }
}

/// One element of a Reason header (RFC 3326 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, …
    pub protocol: &'a [u8],
    /// The cause, when it is a number below 65536.
    pub cause: Option<u16>,
    /// The text without quotes.
    pub text: Option<Cow<'a, [u8]>>,
}

impl<'a> Reason<'a> {
    /// Reads one element.
    ///
    /// # Errors
    /// When the protocol is no token.
    pub fn parse(b: &'a [u8]) -> Result<Self, &'static str> {
        let Value {
            value: protocol,
            params,
        } = Value::parse(b);
        if !is_token(protocol) {
            return Err("protocol is no token");
        }
        let cause = params
            .get("cause")
            .and_then(|p| u16::try_from(digits(&p.text())?).ok());
        Ok(Self {
            protocol,
            cause,
            text: params.get("text").map(|p| p.text()),
        })
    }
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The UA that sent the request.
    Uac,
    /// The UA that answers it.
    Uas,
}

/// `Session-Expires: 1800;refresher=uac` (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Interval, s.
    pub seconds: u32,
    /// Who refreshes, when it says so.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads the value.
    ///
    /// # Errors
    /// When the interval is no number of 32 bits.
    pub fn parse(b: &[u8]) -> Result<Self, &'static str> {
        let Value { value, params } = Value::parse(b);
        let refresher = params.value("refresher").and_then(|r| match r {
            r if r.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            r if r.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        });
        Ok(Self {
            seconds: delta_seconds(value)?,
            refresher,
        })
    }
}

/// `Replaces: call-id;to-tag=…;from-tag=…` (RFC 3891 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// Call-ID of the dialog to replace.
    pub call_id: &'a [u8],
    /// Its to-tag, seen from the receiver of the Replaces.
    pub to_tag: &'a [u8],
    /// Its from-tag.
    pub from_tag: &'a [u8],
    /// Replace an early dialog only.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads the value, already unescaped where it came in a URI.
    ///
    /// # Errors
    /// When the Call-ID or one of the tags is missing.
    pub fn parse(b: &'a [u8]) -> Result<Self, &'static str> {
        let Value {
            value: call_id,
            params,
        } = Value::parse(b);
        if call_id.is_empty() || call_id.iter().any(|c| is_lws(*c)) {
            return Err("no Call-ID");
        }
        Ok(Self {
            call_id,
            to_tag: params.value("to-tag").ok_or("no to-tag")?,
            from_tag: params.value("from-tag").ok_or("no from-tag")?,
            early_only: params.has("early-only"),
        })
    }
}

/// A number of seconds, at most 2^32-1 (RFC 3261 §25.1, delta-seconds).
///
/// # Errors
/// When it is no number or greater.
pub fn delta_seconds(b: &[u8]) -> Result<u32, &'static str> {
    let n = digits(trim(b)).ok_or("not a number")?;
    u32::try_from(n).map_err(|_| "number of 2^32 or more")
}

/// Retry-After: seconds, then an optional comment and parameters (RFC 3261 §20.33).
pub(crate) fn retry_after(b: &[u8]) -> Result<u32, &'static str> {
    let (seconds, tail) = take_while(trim_start(b), |c| c.is_ascii_digit());
    match scan::trim_start(tail) {
        [] | [b';' | b'(', ..] => delta_seconds(seconds),
        _ => Err("not a number"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cseq() {
        assert_eq!(
            CSeq::parse(b"0009\r\n  INVITE").unwrap(),
            CSeq {
                seq: 9,
                method: Method::Invite
            }
        );
        assert_eq!(CSeq::parse(b"2147483647 BYE").unwrap().seq, MAX_SEQ);
        for bad in [
            &b""[..],
            b"INVITE",
            b"1",
            b"1INVITE",
            b"-1 INVITE",
            b"2147483648 INVITE",
            b"36893488147419103232 REGISTER",
            b"12345678901234567 BYE",
            b"1 IN VITE",
            b"1 INVITE,2 INVITE",
        ] {
            assert!(CSeq::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn rack() {
        let r = RAck::parse(b"776656 1 INVITE").unwrap();
        assert_eq!((r.rseq, r.cseq.to_string().as_str()), (776_656, "1 INVITE"));
        assert!(RAck::parse(b"776656 INVITE").is_err() && RAck::parse(b"1").is_err());
    }

    #[test]
    fn media_types() {
        let v = Value::parse(b"multipart / mixed;boundary=\"a;b\"");
        assert!(v.is("Multipart/Mixed"));
        assert_eq!(v.media(), Some((&b"multipart"[..], &b"mixed"[..])));
        assert_eq!(&*v.params.get("boundary").unwrap().text(), b"a;b");
        assert!(Value::parse(b"text").media().is_none() && Value::parse(b"/x").media().is_none());
    }

    #[test]
    fn reasons() {
        let r = Reason::parse(b"Q.850 ;cause=16 ;text=\"Normal; clearing\"").unwrap();
        assert_eq!(
            (r.protocol, r.cause, r.text.as_deref()),
            (&b"Q.850"[..], Some(16), Some(&b"Normal; clearing"[..]))
        );
        assert_eq!(Reason::parse(b"SIP;cause=70000").unwrap().cause, None);
        assert!(Reason::parse(b";cause=1").is_err());
    }

    #[test]
    fn session_expires() {
        let s = SessionExpires::parse(b"1800;refresher=UAS").unwrap();
        assert_eq!(
            s,
            SessionExpires {
                seconds: 1800,
                refresher: Some(Refresher::Uas)
            }
        );
        assert_eq!(SessionExpires::parse(b"90").unwrap().refresher, None);
        assert!(SessionExpires::parse(b"4294967296").is_err());
    }

    #[test]
    fn replaces() {
        let r = Replaces::parse(b"425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only").unwrap();
        assert_eq!(
            (r.call_id, r.to_tag, r.from_tag),
            (&b"425928@bobster.example.org"[..], &b"7743"[..], &b"6472"[..])
        );
        assert!(r.early_only);
        assert!(Replaces::parse(b"x;to-tag=1").is_err() && Replaces::parse(b";to-tag=1;from-tag=2").is_err());
    }

    #[test]
    fn retry_after_with_a_comment() {
        assert_eq!(retry_after(b"18000;duration=3600"), Ok(18000));
        assert_eq!(retry_after(b" 120 (I'm in a meeting)"), Ok(120));
        assert!(retry_after(b"soon").is_err());
    }
}
