//! Properties over generated and damaged messages: nothing panics, the index is exact, what is built reads back the same
//! here and in rsip.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use callbox_sip::{
    interop,
    message::{
        Frame, Framing, HeaderName, Message, MessageBuilder, MessageLimits, Method, StreamFramer, Uri,
        peek_call_id, validate,
    },
};
use proptest::prelude::*;
use rsip::prelude::*;
use support::request;

/// Reads everything there is to read. Returns a number so that nothing is optimised away.
fn touch(m: &Message) -> usize {
    let mut n = m.all_headers().map(|(a, b)| a.len() + b.len()).sum::<usize>() + m.body_bytes().len();
    if let Some(line) = m.request() {
        n += usize::from(Uri::parse(line.uri).is_ok());
    }
    n += m
        .vias()
        .flatten()
        .map(|v| v.params.iter().count() + usize::from(v.received().is_some()))
        .sum::<usize>();
    for addr in [m.from(), m.to(), m.contact()].into_iter().flatten() {
        n += addr.params.iter().count() + addr.display().map_or(0, |d| d.len());
        if let Ok(Uri::Sip(uri)) = addr.uri() {
            n += uri.header_pairs().count() + usize::from(uri.equivalent(&uri));
        }
    }
    n += m.contacts().count() + m.routes().count() + m.record_routes().count() + m.reasons().count();
    n += usize::from(m.cseq().is_ok())
        + usize::from(m.max_forwards().is_ok())
        + usize::from(m.expires().is_ok());
    n += usize::from(m.rack().is_ok())
        + usize::from(m.rseq().is_ok())
        + usize::from(m.session_expires().is_ok());
    n += usize::from(m.replaces().is_ok())
        + usize::from(m.refer_to().is_ok())
        + usize::from(m.content_type().is_ok());
    n + usize::from(validate::response(m).is_ok()) + callbox_sip::auth::Challenge::parse_all(m).len()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut all = vec![
        request(
            "INVITE sip:a@b;transport=tcp SIP/2.0",
            &["Content-Length: 5", "Route: <sip:p;lr>, \"x\" <sip:q>"],
        ),
        request(
            "SIP/2.0 200 OK",
            &[
                "CSeq: 1 INVITE",
                "Contact: *",
                "Reason: Q.850;cause=16;text=\"a;b\"",
            ],
        ),
        request(
            "REFER tel:+1;ext=2 SIP/2.0",
            &[
                "Refer-To: <sip:a@[::1]?Replaces=a%3Bto-tag%3D1>",
                "RAck: 1 2 INVITE",
            ],
        ),
        request(
            "SIP/2.0 401 x",
            &[
                "WWW-Authenticate: Digest realm=\"a,b\", nonce=\"c\", qop=\"auth,auth-int\", stale=true",
                "v: SIP / 2.0 /UDP\r\n h : 1 ; rport",
            ],
        ),
    ];
    all.iter_mut().for_each(|m| m.extend_from_slice(b"v=0\r\n"));
    all
}

/// Cuts, doubles and overwrites pieces.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0usize..4,
        prop::sample::select(b" \t\r\n:;,<>\"\\=@%[]/?*0\x00\xff".to_vec()),
        1usize..40,
    );
    (prop::sample::select(seeds()), prop::collection::vec(edit, 1..8)).prop_map(|(mut m, edits)| {
        for (at, kind, octet, n) in edits {
            let at = at.index(m.len());
            let end = (at + n).min(m.len());
            match kind {
                0 => m[at] = octet,
                1 => m.insert(at, octet),
                2 => drop(m.drain(at..end)),
                _ => {
                    let piece = m[at..end].to_vec();
                    m.splice(at..at, piece);
                }
            }
            if m.is_empty() {
                m.push(octet);
            }
        }
        m
    })
}

/// The reply to whatever could be read.
fn answer(bytes: &[u8]) {
    let limits = MessageLimits::default();
    let parsed =
        Message::parse(Bytes::copy_from_slice(bytes), Framing::Datagram, &limits).and_then(validate::request);
    let (message, code) = match parsed {
        Ok(m) => (m, 200),
        Err(e) => match e.reply {
            Some(m) => (*m, e.reason.status()),
            None => return,
        },
    };
    touch(&message);
    let source: SocketAddr = "192.0.2.9:5062".parse().unwrap();
    let reply = MessageBuilder::response_from(&message, source, code, None, Some("t")).finish();
    let read = Message::parse(reply, Framing::Stream, &limits).expect("a reply is a message");
    assert_eq!(read.code(), Some(code));
    assert_eq!(read.call_id(), message.call_id());
    assert_eq!(read.count(HeaderName::Via), message.count(HeaderName::Via));
    assert_eq!(read.vias().count(), message.vias().count());
    assert_eq!(
        read.top_via().unwrap().branch(),
        message.top_via().unwrap().branch()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_messages_never_panic_and_replies_are_messages(bytes in damaged()) {
        if let Ok(m) = Message::parse(Bytes::copy_from_slice(&bytes), Framing::Datagram, &MessageLimits::default()) {
            touch(&m);
            prop_assert_eq!(peek_call_id(&bytes), m.call_id());
        }
        answer(&bytes);
    }

    #[test]
    fn random_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        answer(&bytes);
        let _ = peek_call_id(&bytes);
        let _ = Uri::parse(&bytes);
        let mut framer = StreamFramer::new(MessageLimits::default());
        framer.push(&bytes);
        while framer.next_frame().is_some() {}
    }

    /// The index loses and invents nothing: names, values and body put together again are the message.
    #[test]
    fn the_index_is_exact(
        fields in prop::collection::vec(("[A-Za-z][A-Za-z0-9-]{0,20}", "[!-~]([ -~]{0,40}[!-~])?"), 0..30),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let fields: Vec<_> = fields.into_iter().filter(|(n, _)| HeaderName::lookup(n.as_bytes()) == HeaderName::Other).collect();
        let mut text = b"OPTIONS sip:a@b SIP/2.0\r\n".to_vec();
        for (name, value) in &fields {
            text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&body);
        let m = Message::parse(Bytes::from(text), Framing::Datagram, &MessageLimits::default()).unwrap();
        let read: Vec<_> = m.all_headers().map(|(n, v)| (String::from_utf8_lossy(n).into_owned(), String::from_utf8_lossy(v).into_owned())).collect();
        prop_assert_eq!(read, fields);
        prop_assert_eq!(m.body(), &body[..]);
        for (name, value) in m.all_headers() {
            prop_assert_eq!(&m.slice(name)[..], name);
            prop_assert_eq!(&m.slice(value)[..], value);
        }
    }

    /// However a stream is cut, the same frames come out.
    #[test]
    fn frames_do_not_depend_on_reads(bytes in damaged(), cuts in prop::collection::vec(1usize..60, 1..40)) {
        let whole = frames([&bytes[..]]);
        let mut pieces = Vec::new();
        let mut tail = &bytes[..];
        for n in cuts.iter().cycle() {
            if tail.is_empty() { break; }
            let (head, rest) = tail.split_at((*n).min(tail.len()));
            pieces.push(head);
            tail = rest;
        }
        prop_assert_eq!(frames(pieces), whole);
    }

    /// What we build, rsip reads, and on this subset both read the same.
    #[test]
    fn rsip_agrees(
        method in prop::sample::select(vec![Method::Invite, Method::Bye, Method::Options, Method::Register, Method::Info]),
        user in "[a-z0-9]{1,12}", host in "[a-z]{1,8}\\.example\\.com", port in prop::option::of(1024u16..),
        branch in "z9hG4bK[A-Za-z0-9]{1,20}", tag in "[a-z0-9]{1,16}", call_id in "[a-z0-9]{1,20}@[a-z]{1,8}",
        seq in 0u32..=0x7fff_ffff, forwards in any::<u8>(), body in "[ -~]{0,60}",
    ) {
        let at = port.map_or(host.clone(), |p| format!("{host}:{p}"));
        let built = MessageBuilder::request(&method, format!("sip:{user}@{at}"))
            .header_fmt(HeaderName::Via, format_args!("SIP/2.0/UDP {at};branch={branch}"))
            .header_fmt(HeaderName::MaxForwards, format_args!("{forwards}"))
            .header_fmt(HeaderName::From, format_args!("<sip:{user}@{host}>;tag={tag}"))
            .header_fmt(HeaderName::To, format_args!("<sip:{user}@{host}>"))
            .header(HeaderName::CallId, &call_id)
            .header_fmt(HeaderName::CSeq, format_args!("{seq} {method}"))
            .body("text/plain", body.as_bytes())
            .finish();
        let ours = Message::parse(built.clone(), Framing::Stream, &MessageLimits::default()).and_then(validate::request).unwrap();
        let rsip::SipMessage::Request(theirs) = rsip::SipMessage::try_from(&built[..]).unwrap() else { panic!("a request") };
        prop_assert_eq!(theirs.method.to_string(), method.as_str());
        let via = theirs.via_header().unwrap().typed().unwrap();
        let our_via = ours.top_via().unwrap();
        prop_assert_eq!(via.branch().map(|b| b.value().as_bytes()), our_via.branch());
        prop_assert_eq!(via.uri.host().to_string(), our_via.host.to_string());
        prop_assert_eq!(via.uri.port().map(|p| *p.value()), our_via.port);
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!(cseq.seq, ours.cseq().unwrap().seq);
        let from = theirs.from_header().unwrap().typed().unwrap();
        prop_assert_eq!(from.tag().map(|t| t.value().as_bytes()), ours.from().unwrap().tag());
        prop_assert_eq!(from.uri.user().map(str::as_bytes), ours.from().unwrap().uri().unwrap().user());
        prop_assert_eq!(theirs.call_id_header().unwrap().value().as_bytes(), ours.call_id().unwrap());
        prop_assert_eq!(theirs.max_forwards_header().unwrap().num().unwrap(), u32::from(ours.max_forwards().unwrap().unwrap()));
        prop_assert_eq!(&theirs.body[..], ours.body());
        let back = interop::from_rsip(&interop::to_rsip(&ours).unwrap(), &MessageLimits::default()).unwrap();
        prop_assert_eq!(back.request().unwrap().uri, ours.request().unwrap().uri);
        prop_assert_eq!(back.body(), ours.body());
        // And our answer to it reads in rsip as well.
        let reply = MessageBuilder::response_to(&ours, 486, None, Some("x")).finish();
        let rsip::SipMessage::Response(reply) = rsip::SipMessage::try_from(&reply[..]).unwrap() else { panic!("a response") };
        prop_assert_eq!(u16::from(reply.status_code.clone()), 486);
        prop_assert_eq!(reply.call_id_header().unwrap().value().as_bytes(), ours.call_id().unwrap());
    }
}

/// All frames of a stream. A pong and a half ping depend on what was there at the time of the read, so they are left out.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut framer = StreamFramer::new(MessageLimits::default());
    let mut out = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(m) => out.push(m.to_vec()),
                Frame::Fatal(e) => out.push(format!("{}", e.reason.status()).into_bytes()),
                Frame::Ping | Frame::Pong => {}
            }
        }
    }
    out
}
