//! Conversions between [`Message`] and `rsip`'s types, for programs that embed this crate and speak rsip elsewhere.
//!
//! The one module that names `rsip`. Nothing of this crate's protocol work depends on it. What rsip cannot hold
//! (methods outside its list, several URI forms, `tel:`; the list is kept as tests in `tests/rsip_faults.rs`) is an
//! error here, never a silent change of meaning: a conversion is only returned when it says what the message says.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::message::{Framing, Malformed, Message, MessageBuilder, MessageLimits, Method, reason_phrase};

/// Why a conversion is not possible.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A header or the start line holds octets that are not UTF-8; rsip keeps text only.
    #[error("not UTF-8, which rsip needs")]
    NotUtf8,
    /// rsip rejects the message.
    #[error("rsip cannot read it: {0}")]
    Rsip(#[from] rsip::Error),
    /// rsip read a start line that differs from ours.
    #[error("rsip misreads the start line")]
    Misread,
    /// What rsip wrote is no message.
    #[error("rsip wrote what is no message: {0}")]
    Malformed(#[from] Malformed),
}

/// Converts to rsip. Folds are joined, compact names written out; the body is moved over octet by octet.
///
/// # Errors
/// [`InteropError`] where rsip has no room for the message.
pub fn to_rsip(message: &Message) -> Result<rsip::SipMessage, InteropError> {
    let mut head = String::with_capacity(message.as_bytes().len());
    let text = |b| std::str::from_utf8(b).map_err(|_| InteropError::NotUtf8);
    // Writing to a string cannot fail.
    let _ = match (message.request(), message.status()) {
        (Some(line), _) => write!(head, "{} {} SIP/2.0\r\n", line.method, text(line.uri)?),
        (None, Some(line)) => {
            let reason = match text(line.reason)? {
                "" => reason_phrase(line.code),
                given => given,
            };
            write!(head, "SIP/2.0 {} {reason}\r\n", line.code)
        }
        (None, None) => Ok(()),
    };
    for ((written, value), (known, _)) in message.all_headers().zip(message.known_headers()) {
        let name = match known.as_str() {
            "" => text(written)?,
            known => known,
        };
        let value = text(value)?;
        let joined: Vec<&str> = value
            .split(['\r', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let _ = write!(head, "{name}: {}\r\n", joined.join(" "));
    }
    head.push_str("\r\n");
    let mut converted = rsip::SipMessage::try_from(head.as_bytes())?;
    let same = match &mut converted {
        rsip::SipMessage::Request(r) => {
            r.body = message.body().to_vec();
            message.request().is_some_and(|line| {
                r.method.to_string() == line.method.as_str() && r.uri.to_string().as_bytes() == line.uri
            })
        }
        rsip::SipMessage::Response(r) => {
            r.body = message.body().to_vec();
            message.code() == Some(u16::from(r.status_code.clone()))
        }
    };
    if same {
        Ok(converted)
    } else {
        Err(InteropError::Misread)
    }
}

/// Converts from rsip. Content-Length is written anew; the body may hold any octets.
///
/// # Errors
/// [`InteropError::Malformed`] when the result breaks `limits` or rsip's parts make no message.
pub fn from_rsip(message: &rsip::SipMessage, limits: &MessageLimits) -> Result<Message, InteropError> {
    let bytes = match message {
        rsip::SipMessage::Request(r) => {
            let method = Method::parse(r.method.to_string().as_bytes()).ok_or(InteropError::Misread)?;
            write(
                MessageBuilder::request(&method, r.uri.to_string()),
                &r.headers,
                &r.body,
            )
        }
        rsip::SipMessage::Response(r) => {
            let code = u16::from(r.status_code.clone());
            // rsip names a known status by its variant (`BusyHere`); the RFC's phrase says it better.
            let reason = match &r.status_code {
                rsip::StatusCode::Other(_, reason) if !reason.is_empty() => Some(reason.as_str()),
                _ => None,
            };
            write(MessageBuilder::response(code, reason), &r.headers, &r.body)
        }
    };
    Ok(Message::parse(bytes, Framing::Stream, limits)?)
}

fn write<'b>(mut out: MessageBuilder<'b>, headers: &rsip::Headers, body: &'b [u8]) -> Bytes {
    for header in headers.iter() {
        let line = header.to_string();
        if let Some((name, value)) = line.split_once(':') {
            out.push_header(name.trim(), value.trim());
        }
    }
    out.raw_body(body).finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::HeaderName;

    fn parse(text: &[u8]) -> Message {
        Message::parse(
            Bytes::copy_from_slice(text),
            Framing::Datagram,
            &MessageLimits::default(),
        )
        .unwrap()
    }

    #[test]
    fn there_and_back() {
        let ours = parse(
            b"INVITE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\
              f: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\ni: a@b\r\nCSeq: 1\r\n INVITE\r\n\
              X-Own: one,\r\n two\r\nContent-Length: 4\r\n\r\n\xff\x00\xfea",
        );
        let theirs = to_rsip(&ours).unwrap();
        let back = from_rsip(&theirs, &MessageLimits::default()).unwrap();
        assert_eq!(back.method(), Some(&Method::Invite));
        assert_eq!(back.body(), b"\xff\x00\xfea");
        assert_eq!(back.cseq(), ours.cseq());
        assert_eq!(back.call_id(), Some(&b"a@b"[..]));
        assert_eq!(back.top_via().unwrap().branch(), Some(&b"z9hG4bK1"[..]));
        assert_eq!(back.headers_named("x-own").next(), Some(&b"one, two"[..]));
        assert_eq!(back.header(HeaderName::ContentLength), Some(&b"4"[..]));
    }

    #[test]
    fn responses_keep_code_and_get_the_rfcs_phrase() {
        let ours = parse(b"SIP/2.0 486\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n");
        let back = from_rsip(&to_rsip(&ours).unwrap(), &MessageLimits::default()).unwrap();
        let line = back.status().unwrap();
        assert_eq!((line.code, line.reason), (486, &b"Busy Here"[..]));
    }

    #[test]
    fn what_rsip_cannot_hold_is_an_error() {
        assert!(to_rsip(&parse(b"BYE tel:+123 SIP/2.0\r\nCall-ID: x\r\n\r\n")).is_err());
        assert!(to_rsip(&parse(b"NOVEL sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n")).is_err());
        let latin1 = parse(b"BYE sip:a@b SIP/2.0\r\nSubject: caf\xe9\r\n\r\n");
        assert!(matches!(to_rsip(&latin1), Err(InteropError::NotUtf8)));
    }
}
