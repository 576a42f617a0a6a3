//! Every cap of the wire layer: just below it passes, just above it is rejected with the right status.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bytes::Bytes;
use callbox_sip::message::{Framing, Message, MessageLimits, Reject};
use support::request;

const LIMITS: MessageLimits = MessageLimits {
    max_message: 2_000,
    max_headers: 12,
    max_value: 300,
};

fn parse(bytes: &[u8]) -> Result<usize, (Reject, u16)> {
    match Message::parse(Bytes::copy_from_slice(bytes), Framing::Datagram, &LIMITS) {
        Ok(m) => Ok(m.all_headers().count()),
        Err(e) => Err((e.reason, e.reply.map_or(0, |_| e.reason.status()))),
    }
}

#[test]
fn size_of_the_message() {
    let mut m = request("MESSAGE sip:a@b SIP/2.0", &[]);
    m.resize(2_000, b'x');
    assert!(parse(&m).is_ok());
    m.push(b'x');
    assert_eq!(parse(&m), Err((Reject::TooLarge, 413)));
}

#[test]
fn number_of_headers() {
    let lines = ["X: 1"; 5];
    assert_eq!(parse(&request("BYE sip:a@b SIP/2.0", &lines)), Ok(12));
    let lines = ["X: 1"; 6];
    assert_eq!(
        parse(&request("BYE sip:a@b SIP/2.0", &lines)),
        Err((Reject::TooManyHeaders, 400))
    );
}

#[test]
fn length_of_a_value() {
    let value = |n: usize| format!("Subject: {}", "s".repeat(n));
    assert!(parse(&request("BYE sip:a@b SIP/2.0", &[&value(300)])).is_ok());
    let long = parse(&request("BYE sip:a@b SIP/2.0", &[&value(301)]));
    assert_eq!(long.map_err(|e| e.1), Err(400));
}

#[test]
fn length_of_the_request_uri() {
    let start = |n: usize| format!("BYE sip:{}@b SIP/2.0", "u".repeat(n - 6));
    assert!(parse(&request(&start(300), &[])).is_ok());
    assert_eq!(parse(&request(&start(301), &[])), Err((Reject::UriTooLong, 414)));
}
