//! Requests that never become a call: code, headers and statelessness of each refusal (RFC 3261 §8.2).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use peer::{Peer, SDP};

#[test]
fn each_refusal_has_its_code_and_header_and_the_same_octets_for_a_copy() {
    // (method, lines, body, code, a header that must hold …)
    type Row = (
        &'static str,
        &'static [&'static str],
        &'static str,
        u16,
        &'static str,
        &'static str,
    );
    let table: [Row; 21] = [
        ("OPTIONS", &[], "", 200, "Allow", "INVITE"),
        ("OPTIONS", &[], "", 200, "Accept", "application/sdp"),
        ("OPTIONS", &["Max-Forwards: 0"], "", 200, "Allow", "BYE"),
        ("OPTIONS", &["Require: a, b"], "", 420, "Unsupported", "a, b"),
        (
            "INVITE",
            &["Require: 100rel, precondition", "Proxy-Require: z"],
            SDP,
            420,
            "Unsupported",
            "precondition, z",
        ),
        (
            "INVITE",
            &["Content-Type: application/unknown"],
            SDP,
            415,
            "Accept",
            "application/sdp",
        ),
        (
            "INVITE",
            &["Content-Encoding: gzip"],
            SDP,
            415,
            "Accept-Encoding",
            "identity",
        ),
        (
            "INVITE",
            &["Content-Type:"],
            SDP,
            415,
            "Accept",
            "application/sdp",
        ),
        (
            "INVITE",
            &["Accept: text/nobodyKnowsThis"],
            SDP,
            406,
            "Accept",
            "application/sdp",
        ),
        (
            "INVITE",
            &["Accept: application/sdp;q=0.0"],
            SDP,
            406,
            "Accept",
            "application/sdp",
        ),
        ("REGISTER", &[], "", 405, "Allow", "INVITE"),
        ("MESSAGE", &[], "", 405, "Allow", "INVITE"),
        ("NEWMETHOD", &[], "", 405, "Allow", "INVITE"),
        ("SUBSCRIBE", &["Event: presence"], "", 489, "Allow-Events", ""),
        ("NOTIFY", &["Event: presence"], "", 481, "To", "tag="),
        ("BYE", &[], "", 481, "To", "tag="),
        (
            "BYE",
            &["To: <sip:bob@192.0.2.9>;tag=unknown"],
            "",
            481,
            "To",
            "tag=unknown",
        ),
        (
            "INFO",
            &["To: <sip:bob@192.0.2.9>;tag=unknown"],
            "",
            481,
            "To",
            "tag=unknown",
        ),
        (
            "INVITE",
            &["To: <sip:bob@192.0.2.9>;tag=unknown"],
            SDP,
            481,
            "To",
            "tag=unknown",
        ),
        ("INVITE", &["CSeq: 1 BYE"], SDP, 400, "To", "tag="),
        ("INVITE", &["Content-Length: 99999"], SDP, 400, "To", "tag="),
    ];
    for (method, lines, body, code, header, holds) in table {
        let mut peer = Peer::new();
        let mut text = peer.compose(method, lines, body);
        if lines
            .first()
            .is_some_and(|line| line.starts_with("Content-Length"))
        {
            text = text.replacen(&format!("Content-Length: {}\r\n\r\n", body.len()), "\r\n", 1);
        }
        let sent = peer.receive(&text);
        assert_eq!(sent.len(), 1, "{method} {lines:?}");
        assert_eq!(sent[0].code(), code, "{method} {lines:?}");
        assert!(
            sent[0].header(header).contains(holds),
            "{method} {lines:?}: {header}"
        );
        assert!(
            sent[0].header("To").contains("tag="),
            "every final response has a To tag"
        );
        assert_eq!(
            peer.receive(&text)[0].bytes,
            sent[0].bytes,
            "{method} {lines:?}: a copy"
        );
        assert!(peer.events.is_empty());
        assert_eq!(
            peer.endpoint.counts(),
            Default::default(),
            "{method} {lines:?} keeps no state"
        );
    }
}

#[test]
fn what_is_fine_becomes_a_call() {
    let table: [(&[&str], &str); 7] = [
        (&[], SDP),
        (&[], ""),
        (&["Accept: text/plain, application/*;q=0.5"], SDP),
        (&["Accept: */*"], SDP),
        (&["Content-Type: multipart/mixed;boundary=x"], "--x--"),
        (
            &[
                "Content-Type: application/odd",
                "Content-Disposition: session;handling=optional",
            ],
            "x",
        ),
        (&["Content-Encoding: identity", "Contact:"], SDP),
    ];
    for (lines, body) in table {
        let mut peer = Peer::new();
        assert!(peer.send("INVITE", lines, body).is_empty(), "{lines:?}");
        peer.incoming();
    }
}

#[test]
fn a_scheme_that_nobody_can_call_gets_416() {
    let mut peer = Peer::new();
    let text = peer.compose("INVITE", &[], SDP).replacen(
        "INVITE sip:bob@192.0.2.9 ",
        "INVITE nobodyKnowsThisScheme:x ",
        1,
    );
    assert_eq!(peer.receive(&text)[0].code(), 416);
}

#[test]
fn at_the_limit_new_calls_get_503_with_retry_after_and_those_that_talk_go_on() {
    let mut peer = Peer::with(callbox_sip::endpoint::Protocol::Udp, |config| {
        config.limits.legs_max = 1
    });
    let (_, tag) = peer.talking();
    let sent = peer.send("INVITE", &["Call-ID: other"], SDP);
    assert_eq!(
        (sent[0].code(), sent[0].header("Retry-After").as_str()),
        (503, "5")
    );
    assert_eq!(peer.endpoint.counts().legs, 1);
    assert_eq!(
        peer.send("BYE", &["CSeq: 2 BYE", &peer::to(&tag)], "")[0].code(),
        200
    );
    assert!(peer.send("INVITE", &["Call-ID: third"], SDP).is_empty());
    assert_eq!(peer.endpoint.stats().overload, 1);
}

#[test]
#[should_panic(expected = "drain poll_output")]
#[cfg(debug_assertions)]
fn the_drain_law_is_enforced() {
    let mut peer = Peer::new();
    let text = peer.compose("OPTIONS", &[], "");
    let (now, path) = (peer.now, peer.path);
    for _ in 0..2 {
        peer.endpoint.handle_message(
            now,
            &path,
            text.clone().into(),
            callbox_sip::message::Framing::Datagram,
        );
    }
}
