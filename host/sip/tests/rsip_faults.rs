//! What `rsip` 0.4 reads wrong, one test a fault. Each asserts the wrong result beside our right one: when a newer rsip
//! makes a test fail, that fault is gone and the test can go; when the file is empty, rsip could carry more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use callbox_sip::message::Uri;
use rsip::prelude::*;
use support::{invite, parse, request};

fn theirs(bytes: &[u8]) -> Result<rsip::SipMessage, rsip::Error> {
    rsip::SipMessage::try_from(bytes)
}

#[test]
fn a_dot_in_the_user_part() {
    let ours = Uri::parse(b"sip:first.last@example.com").unwrap();
    assert_eq!(ours.user(), Some(&b"first.last"[..]));
    let user = rsip::Uri::try_from("sip:first.last@example.com")
        .ok()
        .and_then(|u| u.user().map(str::to_owned));
    assert_ne!(user.as_deref(), Some("first.last"));
}

#[test]
fn ipv6_hosts() {
    let ours = Uri::parse(b"sip:a@[2001:db8::1]:5060").unwrap();
    assert_eq!(ours.sip().unwrap().port, Some(5060));
    let host = rsip::Uri::try_from("sip:a@[2001:db8::1]:5060").map(|u| u.host().to_string());
    assert!(host.map_or(true, |h| !h.contains("2001:db8::1")));
}

#[test]
fn tel_uris() {
    assert!(matches!(Uri::parse(b"tel:+123;ext=4"), Ok(Uri::Tel(_))));
    let uri = match theirs(&request("INVITE tel:+123;ext=4 SIP/2.0", &[])) {
        Ok(rsip::SipMessage::Request(r)) => Some(r.uri.to_string()),
        _ => None,
    };
    assert_ne!(uri.as_deref(), Some("tel:+123;ext=4"));
}

#[test]
fn a_space_before_the_branch() {
    let value = "SIP/2.0/UDP 192.0.2.1;rport; branch=z9hG4bK1";
    let m = invite(&[&format!("Via: {value}")]);
    assert_eq!(m.top_via().unwrap().branch(), Some(&b"z9hG4bK1"[..]));
    let via = rsip::headers::Via::new(value).into_typed();
    assert!(via.map_or(true, |v| v.branch().is_none()));
}

#[test]
fn compact_names() {
    let bytes = request("OPTIONS sip:a@b SIP/2.0", &["i: compact", "Call-ID: -"]);
    assert_eq!(parse(&bytes).unwrap().call_id(), Some(&b"compact"[..]));
    let call_id = theirs(&bytes)
        .ok()
        .and_then(|m| m.call_id_header().ok().map(|c| c.value().to_owned()));
    assert_ne!(call_id.as_deref(), Some("compact"));
}

#[test]
fn folded_lines() {
    let bytes = request("OPTIONS sip:a@b SIP/2.0", &["CSeq: 1\r\n OPTIONS"]);
    assert_eq!(parse(&bytes).unwrap().cseq().unwrap().seq, 1);
    let seq = theirs(&bytes)
        .ok()
        .and_then(|m| m.cseq_header().ok().and_then(|c| c.typed().ok()).map(|c| c.seq));
    assert_ne!(seq, Some(1));
}

#[test]
fn unknown_methods() {
    let bytes = request("NOVEL sip:a@b SIP/2.0", &[]);
    assert_eq!(parse(&bytes).unwrap().method().unwrap().as_str(), "NOVEL");
    assert!(theirs(&bytes).is_err());
}

#[test]
fn binary_bodies_are_written_as_something_else() {
    let mut bytes = request("MESSAGE sip:a@b SIP/2.0", &["Content-Length: 2"]);
    bytes.extend_from_slice(b"\xff\xfe");
    assert_eq!(parse(&bytes).unwrap().body(), b"\xff\xfe");
    let written = theirs(&bytes).map(|m| Vec::<u8>::from(m.to_string()));
    assert!(written.map_or(true, |w| !w.ends_with(b"\r\n\r\n\xff\xfe")));
}
