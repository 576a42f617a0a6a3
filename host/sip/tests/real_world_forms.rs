//! Forms that real traffic has. Each was seen to break at least one SIP stack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use callbox_sip::message::{
    Contact, HeaderName, Host, Method, Rport, Uri, UriError, reason_phrase, validate,
};
use support::{accept, invite, parse, rejected, request};

fn lossy(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

// URIs

#[test]
fn dot_in_the_user() {
    let m = accept(&request("INVITE sip:first.last@h SIP/2.0", &[])).unwrap();
    let uri = Uri::parse(m.request().unwrap().uri).unwrap();
    let sip = uri.sip().unwrap();
    assert_eq!((sip.user, sip.host), (Some(&b"first.last"[..]), Host::Name(b"h")));
}

#[test]
fn phone_context() {
    let uri = Uri::parse(b"sip:+1234;phone-context=x.com@h").unwrap();
    assert_eq!(uri.user(), Some(&b"+1234;phone-context=x.com"[..]));
    let uri = Uri::parse(b"sip:+1234@h;phone-context=x.com").unwrap();
    assert_eq!(
        uri.sip().unwrap().params.value("Phone-Context"),
        Some(&b"x.com"[..])
    );
}

#[test]
fn tel_and_urn_can_be_called_other_schemes_cannot() {
    let m = accept(&request("INVITE tel:+123;ext=4 SIP/2.0", &[])).unwrap();
    let Uri::Tel(tel) = Uri::parse(m.request().unwrap().uri).unwrap() else {
        panic!("tel")
    };
    assert_eq!(
        (tel.number, tel.params.value("ext")),
        (&b"+123"[..], Some(&b"4"[..]))
    );
    assert!(accept(&request("INVITE urn:service:sos SIP/2.0", &[])).is_ok());
    assert_eq!(
        rejected(&request("INVITE soap.beep://192.0.2.103:3002 SIP/2.0", &[])),
        416
    );
    assert_eq!(
        rejected(&request("INVITE nobodyKnowsThisScheme:total SIP/2.0", &[])),
        416
    );
}

#[test]
fn ipv6_everywhere() {
    let m = invite(&[
        "Via: SIP/2.0/UDP [2001:db8::9:1]:5061;branch=z9hG4bKx",
        "From: <sip:a@[2001:db8::1]>;tag=1",
        "Contact: <sip:a@[2001:db8::1]:5060>",
    ]);
    assert_eq!(m.top_via().unwrap().port, Some(5061));
    let contact = m.contact().unwrap();
    let uri = contact.uri().unwrap();
    let sip = uri.sip().unwrap();
    assert_eq!(
        (sip.host, sip.port),
        (Host::V6("2001:db8::1".parse().unwrap()), Some(5060))
    );
    assert_eq!(rejected(&request("INVITE sip:2001:db8::10 SIP/2.0", &[])), 400);
}

#[test]
fn underscore_in_the_host() {
    let m = invite(&["Contact: <sip:a@my_host.example>"]);
    assert_eq!(
        m.contact().unwrap().uri().unwrap().sip().unwrap().host.name(),
        Some("my_host.example")
    );
}

#[test]
fn lr_with_a_value() {
    let m = invite(&["Route: <sip:p1.example;lr=on>, <sip:p2.example;lr>,<sip:p3.example>"]);
    let loose: Vec<bool> = m
        .routes()
        .map(|r| r.unwrap().uri().unwrap().sip().unwrap().lr())
        .collect();
    assert_eq!(loose, [true, true, false]);
}

#[test]
fn unknown_transport_in_the_request_uri() {
    let m = accept(&request("INVITE sip:a@b;transport=foo SIP/2.0", &[])).unwrap();
    let uri = Uri::parse(m.request().unwrap().uri).unwrap();
    assert_eq!(uri.sip().unwrap().transport(), Some(&b"foo"[..]));
}

#[test]
fn headers_in_uris() {
    assert_eq!(rejected(&request("INVITE sip:a@b?Subject=x SIP/2.0", &[])), 400);
    assert!(matches!(
        accept(&request("INVITE sip:a@b?Subject=x SIP/2.0", &[]))
            .unwrap_err()
            .reason,
        callbox_sip::message::Reject::RequestUri(UriError::Headers)
    ));
    let m = accept(&request(
        "REFER sip:a@b SIP/2.0",
        &["Refer-To: <sip:a@b?Replaces=id%40h%3Bto-tag%3D7%3Bfrom-tag%3D8&X=1>"],
    ))
    .unwrap();
    let to = m.refer_to().unwrap().unwrap();
    let uri = to.uri().unwrap();
    let value = uri.sip().unwrap().header("Replaces").unwrap();
    let replaces = callbox_sip::message::Replaces::parse(&value).unwrap();
    assert_eq!(
        (replaces.call_id, replaces.to_tag, replaces.from_tag),
        (&b"id@h"[..], &b"7"[..], &b"8"[..])
    );
}

// Via

#[test]
fn via_with_spaces_and_unknown_transport() {
    let m = invite(&[
        "Via: SIP / 2.0 / TLS-SCTP  first.example.com: 4000 ; ttl=16 ;maddr=224.2.0.1 ; branch = z9hG4bKa7 ",
    ]);
    let via = m.top_via().unwrap();
    assert_eq!(via.transport, b"TLS-SCTP");
    assert_eq!(
        (via.host.name(), via.port),
        (Some("first.example.com"), Some(4000))
    );
    assert_eq!(
        (via.branch(), via.maddr()),
        (Some(&b"z9hG4bKa7"[..]), Some(&b"224.2.0.1"[..]))
    );
}

#[test]
fn received_ipv6_before_the_branch() {
    let m = invite(&["Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3;rport"]);
    let via = m.top_via().unwrap();
    assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
    assert_eq!(
        (via.branch(), via.rport()),
        (Some(&b"z9hG4bKas3"[..]), Rport::Asked)
    );
}

#[test]
fn two_vias_in_one_line() {
    let m = invite(&["Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b:5070;branch=z9hG4bK2"]);
    let all: Vec<_> = m.vias().map(|v| lossy(v.unwrap().branch().unwrap())).collect();
    assert_eq!(all, ["z9hG4bK1", "z9hG4bK2"]);
    assert_eq!(m.top_via().unwrap().raw, b"SIP/2.0/UDP a;branch=z9hG4bK1");
}

#[test]
fn empty_parts_in_a_via_are_rejected() {
    assert_eq!(
        rejected(&request(
            "INVITE sip:a@b SIP/2.0",
            &["Via: SIP/2.0/UDP 192.0.2.15;;,;,,"]
        )),
        400
    );
}

// Addresses

#[test]
fn two_contacts_in_one_line_and_star() {
    let m = invite(&["Contact: \"A, B\" <sip:a@b>;q=0.5,sip:c@d;expires=7 , <sip:e,f@g>"]);
    let uris: Vec<_> = m
        .contacts()
        .map(|c| lossy(c.unwrap().addr().unwrap().uri_raw))
        .collect();
    assert_eq!(uris, ["sip:a@b", "sip:c@d", "sip:e,f@g"]);
    let m = accept(&request("REGISTER sip:h SIP/2.0", &["Contact: *", "Expires: 0"])).unwrap();
    assert!(matches!(m.contacts().next(), Some(Ok(Contact::Star))));
    assert!(m.contact().is_err());
}

#[test]
fn instance_and_reg_id() {
    let m = invite(&[
        "Contact: <sip:a@b;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\";reg-id=1;ob",
    ]);
    let c = m.contact().unwrap();
    assert_eq!(
        &*c.params.get("+SIP.instance").unwrap().text(),
        b"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"
    );
    assert_eq!((c.param("reg-id"), c.params.has("ob")), (Some(&b"1"[..]), true));
}

#[test]
fn quoted_display_names() {
    let m = invite(&["From: \"<sip:x@y> \\\"Q\\\", B; \" <sip:a@b>;tag=1"]);
    let from = m.from().unwrap();
    assert_eq!(&*from.display().unwrap(), b"<sip:x@y> \"Q\", B; ");
    assert_eq!((from.uri_raw, from.tag()), (&b"sip:a@b"[..], Some(&b"1"[..])));
}

#[test]
fn latin_1_octets_are_kept() {
    let mut bytes = request(
        "INVITE sip:a@b SIP/2.0",
        &["From: \"J@rg\" <sip:a@b>;tag=1", "Subject: caf@"],
    );
    for b in &mut bytes {
        if *b == b'@' {
            *b = 0xfc;
        }
    }
    // The start line and addresses lost their `@` too: parse only.
    let m = parse(&bytes).unwrap();
    assert_eq!(&*m.from().unwrap().display().unwrap(), b"J\xfcrg");
    assert_eq!(m.header(HeaderName::Subject), Some(&b"caf\xfc"[..]));
}

#[test]
fn space_before_the_tag_and_quoted_semicolons() {
    let m = invite(&["From: <sip:a@b> ;tag=1", "To: <sip:c@d>;x=\"a;tag=no\" ; tag = 2"]);
    assert_eq!(m.from().unwrap().tag(), Some(&b"1"[..]));
    assert_eq!(m.to().unwrap().tag(), Some(&b"2"[..]));
}

#[test]
fn from_without_brackets() {
    let m = invite(&["From: sip:alice@example.com;tag=88sja8x"]);
    let from = m.from().unwrap();
    assert_eq!(
        (from.uri_raw, from.tag()),
        (&b"sip:alice@example.com"[..], Some(&b"88sja8x"[..]))
    );
    assert!(from.uri().unwrap().sip().unwrap().params.iter().next().is_none());
}

// Framing and start lines

#[test]
fn status_without_reason() {
    for start in ["SIP/2.0 200", "SIP/2.0 200 "] {
        let m = parse(&request(start, &["CSeq: 1 INVITE"])).unwrap();
        assert_eq!((m.code(), m.status().unwrap().reason), (Some(200), &b""[..]));
        assert_eq!(validate::response(&m), Ok(()));
    }
    assert_eq!(reason_phrase(200), "OK");
}

#[test]
fn other_versions() {
    assert_eq!(
        rejected(&request(
            "INVITE sip:a@b SIP/7.0",
            &["Via: SIP/7.0/UDP c;branch=z9hG4bKx"]
        )),
        505
    );
    assert_eq!(rejected(&request("INVITE sip:a@b HTTP/1.1", &[])), 0);
    assert!(accept(&request("INVITE sip:a@b sip/2.0", &[])).is_ok());
}

#[test]
fn compact_names() {
    let m = invite(&[
        "v: SIP/2.0/UDP h;branch=z9hG4bKs",
        "Via: -",
        "k: 100rel,timer",
        "x: 90;refresher=uac",
        "m: <sip:c@d>",
    ]);
    assert_eq!(m.top_via().unwrap().branch(), Some(&b"z9hG4bKs"[..]));
    assert!(m.lists(HeaderName::Supported, "TIMER") && !m.lists(HeaderName::Supported, "path"));
    assert_eq!(m.session_expires().unwrap().unwrap().seconds, 90);
    assert_eq!(m.headers_named("session-expires").count(), 1);
    assert_eq!(m.headers_named("X").count(), 1);
}

#[test]
fn lf_only_and_leading_line_ends() {
    let text = String::from_utf8(request("INVITE sip:a@b SIP/2.0", &["Subject: x\r\n  y"])).unwrap();
    let m = accept(format!("\r\n\n\r\n{}", text.replace("\r\n", "\n")).as_bytes()).unwrap();
    assert_eq!(m.header(HeaderName::Subject), Some(&b"x\n  y"[..]));
    assert_eq!(m.cseq().unwrap().seq, 314_159);
}

#[test]
fn folded_lines() {
    let m = invite(&[
        "CSeq: 0009\r\n  INVITE",
        "Max-Forwards:\r\n\t0068",
        "To:\r\n sip:v@h ;\r\n  tag  = 19n",
    ]);
    assert_eq!(m.cseq().unwrap().seq, 9);
    assert_eq!(m.max_forwards(), Ok(Some(68)));
    assert_eq!(m.to().unwrap().tag(), Some(&b"19n"[..]));
}

#[test]
fn content_length() {
    let with = |value: &str, body: &str| {
        let mut b = request("INVITE sip:a@b SIP/2.0", &[&format!("Content-Length: {value}")]);
        b.extend_from_slice(body.as_bytes());
        b
    };
    // None on a datagram: all that follows. A shorter one cuts.
    let mut none = request("INVITE sip:a@b SIP/2.0", &[]);
    none.extend_from_slice(b"v=0\r\n");
    assert_eq!(accept(&none).unwrap().body(), b"v=0\r\n");
    assert_eq!(accept(&with("3", "v=0\r\nINVITE")).unwrap().body(), b"v=0");
    for bad in [
        "9",
        "-999",
        "18446744073709551615",
        "18446744073709551616",
        "",
        "0x1",
        "1 1",
        "+1",
        "1,1",
    ] {
        assert_eq!(rejected(&with(bad, "v=0")), 400, "{bad:?}");
    }
    let twice = request("INVITE sip:a@b SIP/2.0", &["Content-Length: 0", "l: 0"]);
    assert_eq!(rejected(&twice), 400);
}

#[test]
fn methods() {
    let m = accept(&request("invite sip:a@b SIP/2.0", &[])).unwrap();
    assert_eq!(m.method(), Some(&Method::Other("invite".into())));
    let m = accept(&request("RE%47IST%45R sip:a@b SIP/2.0", &[])).unwrap();
    assert_eq!(m.method().unwrap().as_str(), "RE%47IST%45R");
}

#[test]
fn numbers_out_of_range() {
    for line in [
        "CSeq: 12345678901234567 INVITE",
        "CSeq: 2147483648 INVITE",
        "CSeq: 36893488147419103232 INVITE",
        "Max-Forwards: 256",
        "Max-Forwards: 300",
        "Max-Forwards: -1",
        "Expires: 10000000000000000000000000000000000000000000000",
        "Contact: <sip:a@b>;expires=280297596632815",
    ] {
        assert_eq!(
            rejected(&request("INVITE sip:a@b SIP/2.0", &[line])),
            400,
            "{line}"
        );
    }
    assert_eq!(invite(&["Max-Forwards: 0"]).max_forwards(), Ok(Some(0)));
    for code in ["4294967301", "0", "99", "700", "20", "2000", "-200", "abc"] {
        let e = parse(&request(&format!("SIP/2.0 {code} OK"), &["CSeq: 1 INVITE"])).unwrap_err();
        assert!(e.reply.is_none(), "{code}");
    }
}

#[test]
fn headers_that_must_be_there_once() {
    for name in ["From", "To", "Call-ID", "CSeq"] {
        assert_eq!(
            rejected(&request("INVITE sip:a@b SIP/2.0", &[&format!("{name}: -")])),
            400,
            "{name}"
        );
    }
    // Without a Via there is nowhere to answer to, and an ACK or a response is never answered.
    assert_eq!(rejected(&request("INVITE sip:a@b SIP/2.0", &["Via: -"])), 0);
    assert_eq!(rejected(&request("ACK sip:a@b SIP/2.0", &["From: -"])), 0);
    for line in [
        "From: <sip:z@z>;tag=2",
        "To: <sip:z@z>",
        "Call-ID: z",
        "CSeq: 1 INVITE",
        "Max-Forwards: 1",
    ] {
        let name = line.split(':').next().unwrap();
        let first = format!(
            "{name}: {}",
            lossy(invite(&[]).headers_named(name).next().unwrap())
        );
        assert_eq!(
            rejected(&request("INVITE sip:bob@example.com SIP/2.0", &[&first, line])),
            400,
            "{line}"
        );
    }
    assert!(
        accept(&request(
            "INVITE sip:a@b SIP/2.0",
            &["Max-Forwards: -", "Contact: -"]
        ))
        .is_ok()
    );
    assert_eq!(
        rejected(&request("INVITE sip:a@b SIP/2.0", &["CSeq: 8 NEWMETHOD"])),
        400
    );
    assert_eq!(rejected(&request("INVITE sip:a@b SIP/2.0", &["Call-ID:"])), 400);
}

#[test]
fn start_line_spaces() {
    assert!(accept(&request("INVITE  sip:a@b   SIP/2.0", &[])).is_ok());
    assert!(accept(&request("INVITE sip:a@b SIP/2.0  ", &[])).is_ok());
    assert_eq!(rejected(&request("INVITE sip:a@b; lr SIP/2.0", &[])), 400);
    assert_eq!(rejected(&request("INVITE <sip:a@b> SIP/2.0", &[])), 400);
    assert_eq!(rejected(&request("INVITE  SIP/2.0", &[])), 400);
}

#[test]
fn garbage_lines() {
    for line in ["no colon here", ": no name", "na me: x", "\u{e9}: x"] {
        assert_eq!(
            rejected(&request("INVITE sip:a@b SIP/2.0", &[line])),
            400,
            "{line}"
        );
    }
    assert_eq!(
        rejected(&request("INVITE sip:a@b SIP/2.0", &["Subject: a\rX: b"])),
        400
    );
    let mut cut = request("INVITE sip:a@b SIP/2.0", &[]);
    cut.truncate(cut.len() - 2);
    assert_eq!(rejected(&cut), 400);
    for nothing in [
        &b""[..],
        b"\r\n\r\n",
        b"\0",
        b"hello",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ] {
        assert_eq!(rejected(nothing), 0);
    }
}

#[test]
fn options_that_are_not_known() {
    let m = invite(&[
        "Require: nothingSupportsThis, 100REL",
        "Require: nothingSupportsThisEither",
    ]);
    let unknown: Vec<_> = validate::unsupported(&m, HeaderName::Require, &["100rel"])
        .map(lossy)
        .collect();
    assert_eq!(unknown, ["nothingSupportsThis", "nothingSupportsThisEither"]);
}
