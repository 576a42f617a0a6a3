//! What the test files of this crate share.

#![allow(dead_code, clippy::panic)] // each test file uses a part

use bytes::Bytes;
use callbox_sip::message::{Framing, Malformed, Message, MessageLimits, validate};

/// A request with the given lines in place of the usual ones; every usual header that `lines` names is left out.
pub(crate) fn request(start: &str, lines: &[&str]) -> Vec<u8> {
    let method = start.split(' ').next().unwrap_or_default();
    let usual = [
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds8".to_owned(),
        "Max-Forwards: 70".to_owned(),
        "From: \"Alice\" <sip:alice@example.com>;tag=1928301774".to_owned(),
        "To: <sip:bob@example.com>".to_owned(),
        "Call-ID: a84b4c76e66710@192.0.2.1".to_owned(),
        format!("CSeq: 314159 {method}"),
        "Contact: <sip:alice@192.0.2.1>".to_owned(),
    ];
    let name = |line: &str| {
        line.split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    let given: Vec<String> = lines.iter().map(|l| name(l)).collect();
    let mut text = format!("{start}\r\n");
    for line in usual.iter().filter(|l| !given.contains(&name(l))) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    for line in lines.iter().filter(|l| !l.ends_with(": -")) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Parses a datagram.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    Message::parse(
        Bytes::copy_from_slice(bytes),
        Framing::Datagram,
        &MessageLimits::default(),
    )
}

/// Parses and validates a request that came as a datagram.
pub(crate) fn accept(bytes: &[u8]) -> Result<Message, Malformed> {
    validate::request(parse(bytes)?)
}

/// An INVITE that must be accepted.
pub(crate) fn invite(lines: &[&str]) -> Message {
    let bytes = request("INVITE sip:bob@example.com SIP/2.0", lines);
    match accept(&bytes) {
        Ok(message) => message,
        Err(e) => panic!("{e}\n{}", String::from_utf8_lossy(&bytes)),
    }
}

/// The status with which a request is rejected; 0 when it is dropped in silence.
pub(crate) fn rejected(bytes: &[u8]) -> u16 {
    match accept(bytes) {
        Ok(_) => panic!("accepted\n{}", String::from_utf8_lossy(bytes)),
        Err(e) => e.reply.map_or(0, |_| e.reason.status()),
    }
}
