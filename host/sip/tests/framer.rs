//! Streams: partial reads, several messages in one read, keep-alives, and what ends a connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use callbox_sip::message::{Frame, MessageLimits, Reject, StreamFramer};
use support::request;

const LIMITS: MessageLimits = MessageLimits {
    max_message: 2_000,
    max_headers: 50,
    max_value: 500,
};

fn message(id: &str, body: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    let mut m = request("MESSAGE sip:a@b SIP/2.0", &[&format!("Call-ID: {id}"), &length]);
    m.extend_from_slice(body.as_bytes());
    m
}

/// What comes out, in words.
fn drain(framer: &mut StreamFramer) -> Vec<String> {
    std::iter::from_fn(|| framer.next_frame())
        .map(|f| match f {
            Frame::Message(b) => String::from_utf8_lossy(&b).into_owned(),
            Frame::Ping => "ping".into(),
            Frame::Pong => "pong".into(),
            Frame::Fatal(e) => format!("fatal {} {}", e.reason.status(), e.reply.is_some()),
        })
        .collect()
}

#[test]
fn every_split_gives_the_same_messages() {
    let (a, b) = (message("1", "hello\r\n\r\nworld"), message("2", ""));
    let expected = [
        String::from_utf8(a.clone()).unwrap(),
        String::from_utf8(b.clone()).unwrap(),
    ];
    let stream = [a, b].concat();
    for at in 0..stream.len() {
        let mut framer = StreamFramer::new(LIMITS);
        let (head, tail) = stream.split_at(at);
        framer.push(head);
        let mut got = drain(&mut framer);
        framer.push(tail);
        got.extend(drain(&mut framer));
        assert_eq!(got, expected, "split at {at}");
        assert_eq!(framer.buffered(), 0);
    }
    let mut framer = StreamFramer::new(LIMITS);
    let mut got = Vec::new();
    for b in &stream {
        framer.push(std::slice::from_ref(b));
        got.extend(drain(&mut framer));
    }
    assert_eq!(got, expected);
}

#[test]
fn keep_alives() {
    let mut framer = StreamFramer::new(LIMITS);
    framer.push(b"\r\n\r\n");
    assert_eq!(drain(&mut framer), ["ping"]);
    framer.push(b"\r\n");
    assert_eq!(drain(&mut framer), ["pong"]);
    framer.push(b"\r\n");
    assert_eq!(drain(&mut framer), ["ping"], "its second half came late");
    framer.push(b"\r");
    assert!(drain(&mut framer).is_empty());
    framer.push(b"\n\r\n\r\n\r\n");
    assert_eq!(drain(&mut framer), ["ping", "ping"]);
    let m = message("1", "");
    framer.push(&[b"\r\n", &*m].concat());
    assert_eq!(drain(&mut framer), [String::from_utf8(m).unwrap()]);
    framer.push(b"\n\n\n");
    assert!(drain(&mut framer).is_empty());
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn what_cannot_be_framed_is_fatal_and_answered() {
    for (line, expected) in [
        ("Content-Length: -", "fatal 400 true"),
        ("Content-Length: x", "fatal 400 true"),
        ("Content-Length: 2000", "fatal 413 true"),
        ("Content-Length: 18446744073709551615", "fatal 413 true"),
        ("Content-Length: 99999999999999999999", "fatal 400 true"),
        ("Content-Length: 0\r\nContent-Length: 0", "fatal 400 true"),
    ] {
        let mut framer = StreamFramer::new(LIMITS);
        framer.push(&request("MESSAGE sip:a@b SIP/2.0", &[line]));
        assert_eq!(drain(&mut framer), [expected], "{line}");
        framer.push(b"more");
        assert!(drain(&mut framer).is_empty() && framer.buffered() == 0);
    }
}

#[test]
fn a_head_without_end_is_cut_off() {
    let mut framer = StreamFramer::new(LIMITS);
    let mut out = Vec::new();
    for _ in 0..3_000 {
        framer.push(b"x");
        out.extend(drain(&mut framer));
        assert!(framer.buffered() <= LIMITS.max_message);
    }
    assert_eq!(out, ["fatal 400 false"]);
    let mut framer = StreamFramer::new(LIMITS);
    framer.push(&request("MESSAGE sip:a@b SIP/2.0", &[])[..200]);
    framer.push(&"X: y\r\n".repeat(400).into_bytes());
    assert!(matches!(framer.next_frame(), Some(Frame::Fatal(e)) if e.reason == Reject::TooManyHeaders));
}
