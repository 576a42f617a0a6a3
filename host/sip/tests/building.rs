//! What the builder writes: exact octets, and nothing that a value could smuggle in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use callbox_sip::message::{HeaderName, Message, MessageBuilder, Method, validate};
use support::{invite, parse, request};

fn text(b: bytes::Bytes) -> String {
    String::from_utf8(b.to_vec()).unwrap()
}

#[test]
fn a_request() {
    let built = MessageBuilder::request(&Method::Info, "sip:bob@example.com")
        .header(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
        .header_fmt(HeaderName::CSeq, format_args!("{} {}", 7, Method::Info))
        .header("X-Own", "1")
        .body("application/dtmf-relay", b"Signal=5\r\n")
        .header(HeaderName::CallId, "id")
        .finish();
    assert_eq!(
        text(built),
        "INFO sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nCSeq: 7 INFO\r\nX-Own: 1\r\n\
         Content-Type: application/dtmf-relay\r\nCall-ID: id\r\nContent-Length: 10\r\n\r\nSignal=5\r\n"
    );
}

#[test]
fn a_response_echoes_octet_by_octet() {
    let m = parse(
        b"INVITE sip:a@b SIP/2.0\r\nv :  SIP / 2.0/UDP  h ;branch= z9hG4bK1,SIP/2.0/UDP i\r\nVia: SIP/2.0/TCP \r\n j\r\n\
          f: \"J\xfc\" <sip:a@b> ; tag=1\r\nTo:<sip:c@d>;x\r\nRecord-Route: <sip:p;lr>,<sip:q;lr>\r\nRecord-Route: <sip:r>\r\n\
          i: id\r\nCSeq: 01   INVITE\r\nTimestamp: 54\r\nSubject: not echoed\r\n\r\n",
    )
    .unwrap();
    let ok = MessageBuilder::response_to(&m, 200, None, Some("t1"))
        .header("Contact", "<sip:me>")
        .finish();
    assert_eq!(
        &ok[..],
        b"SIP/2.0 200 OK\r\nVia: SIP / 2.0/UDP  h ;branch= z9hG4bK1,SIP/2.0/UDP i\r\nVia: SIP/2.0/TCP \r\n j\r\n\
          From: \"J\xfc\" <sip:a@b> ; tag=1\r\nTo: <sip:c@d>;x;tag=t1\r\nRecord-Route: <sip:p;lr>,<sip:q;lr>\r\n\
          Record-Route: <sip:r>\r\nCall-ID: id\r\nCSeq: 01   INVITE\r\nContact: <sip:me>\r\nContent-Length: 0\r\n\r\n"
            .as_slice()
    );
    let trying = parse(&MessageBuilder::response_to(&m, 100, None, None).finish()).unwrap();
    assert_eq!(
        (
            trying.count(HeaderName::RecordRoute),
            trying.count(HeaderName::Timestamp)
        ),
        (0, 1)
    );
    assert!(trying.to().unwrap().tag().is_none());
    let busy = parse(&MessageBuilder::response_to(&m, 486, Some("Not\r\nNow"), Some("t")).finish()).unwrap();
    assert_eq!(
        (busy.status().unwrap().reason, busy.count(HeaderName::RecordRoute)),
        (&b"Not  Now"[..], 0)
    );
}

#[test]
fn a_tag_that_is_there_stays() {
    let m = invite(&["To: sip:c@d;tag=theirs"]);
    let r = parse(&MessageBuilder::response_to(&m, 200, None, Some("mine")).finish()).unwrap();
    assert_eq!(r.header(HeaderName::To), Some(&b"sip:c@d;tag=theirs"[..]));
}

fn via_of(via: &str, source: &str) -> String {
    let m = invite(&[&format!("Via: {via}")]);
    let r = MessageBuilder::response_from(&m, source.parse().unwrap(), 200, None, None).finish();
    let r = parse(&r).unwrap();
    String::from_utf8(r.header(HeaderName::Via).unwrap().to_vec()).unwrap()
}

#[test]
fn received_and_rport() {
    for (via, source, expected) in [
        (
            "SIP/2.0/UDP 192.0.2.1;branch=b",
            "192.0.2.1:9",
            "SIP/2.0/UDP 192.0.2.1;branch=b",
        ),
        (
            "SIP/2.0/UDP 192.0.2.1;branch=b",
            "[::ffff:192.0.2.1]:9",
            "SIP/2.0/UDP 192.0.2.1;branch=b",
        ),
        (
            "SIP/2.0/UDP 10.0.0.1;branch=b",
            "192.0.2.1:9",
            "SIP/2.0/UDP 10.0.0.1;branch=b;received=192.0.2.1",
        ),
        (
            "SIP/2.0/UDP pc.example;branch=b",
            "192.0.2.1:9",
            "SIP/2.0/UDP pc.example;branch=b;received=192.0.2.1",
        ),
        (
            "SIP/2.0/UDP 192.0.2.1;rport;branch=b",
            "192.0.2.1:4000",
            "SIP/2.0/UDP 192.0.2.1;branch=b;received=192.0.2.1;rport=4000",
        ),
        (
            "SIP/2.0/UDP h:5070 ;rport=;received=6.6.6.6;branch=b , SIP/2.0/UDP next;rport",
            "[2001:db8::7]:4000",
            "SIP/2.0/UDP h:5070;branch=b;received=2001:db8::7;rport=4000, SIP/2.0/UDP next;rport",
        ),
    ] {
        assert_eq!(via_of(via, source), expected);
    }
}

#[test]
fn nothing_is_smuggled_in() {
    let built = MessageBuilder::request(&Method::Other("A B\r\nX: 1".into()), "sip:a b\r\nX: 1@h")
        .header("Subject", "x\r\nVia: evil\n\0y")
        .header("Bad Name", "x")
        .header("", "x")
        .header("X\r\nVia", "x")
        .header("Content-Length", "99")
        .header("l", "99")
        .header("X-Utf", "\u{e9}")
        .finish();
    assert_eq!(
        text(built),
        "ABX1 sip:a%20b%0D%0AX:%201@h SIP/2.0\r\nSubject: x  Via: evil  y\r\nX-Utf: \u{e9}\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(text(MessageBuilder::response(42, Some("x")).finish()).starts_with("SIP/2.0 100 x\r\n"));
    let m = invite(&[]);
    let r = text(MessageBuilder::response_to(&m, 200, None, Some("t;x\r\ny")).finish());
    assert!(r.contains("To: <sip:bob@example.com>;tag=txy\r\n"));
}

#[test]
fn a_reply_to_a_broken_request_is_a_message() {
    for line in ["To: \"open <sip:a@b>", "From: <", "CSeq: x", "Contact: ;;;"] {
        let bytes = request("INVITE sip:a@b SIP/2.0", &[line]);
        let e = validate::request(parse(&bytes).unwrap()).unwrap_err();
        let broken: Box<Message> = e.reply.unwrap();
        let reply =
            MessageBuilder::response_to(&broken, e.reason.status(), Some(&e.reason.to_string()), Some("t"))
                .finish();
        let reply = parse(&reply).unwrap();
        assert_eq!(reply.code(), Some(400));
        assert_eq!(reply.call_id(), broken.call_id());
    }
}

#[test]
fn copied_fields_keep_their_folds() {
    let m = invite(&["Route: <sip:a>,\r\n <sip:b>", "Route: <sip:c>"]);
    let built = MessageBuilder::request(&Method::Ack, "sip:x")
        .copy(&m, HeaderName::Route)
        .finish();
    assert_eq!(
        text(built),
        "ACK sip:x SIP/2.0\r\nRoute: <sip:a>,\r\n <sip:b>\r\nRoute: <sip:c>\r\nContent-Length: 0\r\n\r\n"
    );
}
