//! The wire layer: any octets as a datagram and as a stream, every typed accessor, and the reply to what was read.
#![no_main]

use std::net::SocketAddr;

use bytes::Bytes;
use callbox_sip::{
    auth::{Credentials, DigestClient},
    message::{
        Frame, Framing, HeaderName, Message, MessageBuilder, MessageLimits, Method, StreamFramer, Uri, peek_call_id,
        validate,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first octet chooses how the stream is cut; the rest is the message.
    let Some((cut, data)) = data.split_first() else { return };
    let limits = MessageLimits { max_message: 4_096, max_headers: 60, max_value: 1_024 };
    let bytes = Bytes::copy_from_slice(data);
    match Message::parse(bytes.clone(), Framing::Datagram, &limits) {
        Ok(message) => {
            assert_eq!(peek_call_id(data), message.call_id());
            touch(&message);
            match validate::request(message) {
                Ok(message) => answer(&message, 200, &limits),
                Err(e) => {
                    if let Some(message) = e.reply {
                        answer(&message, e.reason.status(), &limits);
                    }
                }
            }
        }
        Err(e) => {
            if let Some(message) = e.reply {
                touch(&message);
                answer(&message, e.reason.status(), &limits);
            }
        }
    }
    let whole = frames([data], limits);
    let pieces = frames(data.chunks(usize::from(*cut).max(1)), limits);
    assert_eq!(whole, pieces, "a stream reads the same however it is cut");
    if let (Ok(a), Ok(b)) = (Uri::parse(data), Uri::parse(data)) {
        assert!(a.equivalent(&b));
    }
});

/// Reads all there is.
fn touch(m: &Message) {
    if let Some(line) = m.request() {
        let _ = Uri::parse(line.uri).map(|u| u.user().map(<[u8]>::len));
    }
    for via in m.vias().flatten() {
        let _ = (via.branch(), via.received(), via.rport(), via.maddr(), via.params.iter().count());
    }
    let addresses = [m.from(), m.to(), m.contact()].into_iter().flatten();
    for addr in addresses.chain(m.routes().flatten()).chain(m.record_routes().flatten()) {
        let _ = (addr.display(), addr.tag(), addr.params.iter().map(|p| p.text().len()).sum::<usize>());
        if let Ok(Uri::Sip(uri)) = addr.uri() {
            assert!(uri.equivalent(&uri));
            let _ = (uri.lr(), uri.header("Replaces"), uri.header_pairs().count());
        }
    }
    let _ = (m.contacts().count(), m.reasons().count(), m.cseq(), m.max_forwards(), m.expires(), m.min_expires());
    let _ = (m.retry_after(), m.session_expires(), m.min_se(), m.rseq(), m.rack(), m.refer_to(), m.replaces());
    let _ = (m.content_type(), m.content_disposition(), m.event(), m.subscription_state());
    let _ = (validate::response(m), validate::unsupported(m, HeaderName::Require, &["100rel"]).count());
    for (name, value) in m.all_headers() {
        assert_eq!(m.slice(name), name);
        assert_eq!(m.slice(value), value);
        assert!(!value.contains(&b'\n') || value.len() > 1);
    }
    assert_eq!(m.body_bytes(), m.body());
    let user = Credentials { username: "u".into(), password: "p".into(), realm: None };
    let mut client = DigestClient::new(vec![user]);
    if client.challenged(m, m).is_ok() {
        let _ = client.answers(&Method::Invite, b"sip:a@b", m.body(), "cnonce");
    }
}

/// A reply to whatever was read is a message that finds its way.
fn answer(m: &Message, code: u16, limits: &MessageLimits) {
    let source = SocketAddr::from(([192, 0, 2, 9], 5062));
    let reply = MessageBuilder::response_from(m, source, code, None, Some("t")).finish();
    // The additions to Via and To may exceed the limits by a little.
    let limits = MessageLimits {
        max_message: limits.max_message * 2,
        max_headers: limits.max_headers + 2,
        max_value: limits.max_value + 200,
    };
    let reply = Message::parse(reply, Framing::Stream, &limits).expect("a reply parses");
    assert_eq!(reply.code(), Some(code));
    assert_eq!(reply.call_id(), m.call_id());
    assert_eq!(reply.vias().count(), m.vias().count());
    let (theirs, ours) = (m.top_via().expect("checked"), reply.top_via().expect("echoed"));
    assert_eq!((theirs.host, theirs.port, theirs.branch()), (ours.host, ours.port, ours.branch()));
}

fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: MessageLimits) -> Vec<Vec<u8>> {
    let mut framer = StreamFramer::new(limits);
    let mut out = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(m) => {
                    let _ = Message::parse(m.clone(), Framing::Stream, &limits);
                    out.push(m.to_vec());
                }
                // What is wrong may depend on how much was there; that it is wrong does not.
                Frame::Fatal(_) => out.push(b"fatal".to_vec()),
                Frame::Ping | Frame::Pong => {}
            }
        }
        assert!(framer.buffered() <= limits.max_message, "the buffer is bounded");
    }
    out
}
