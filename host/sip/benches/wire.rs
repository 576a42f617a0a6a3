//! What a message costs: indexing with the typed headers every request needs, validation, and building.
//!
//! `cargo bench -p callbox-sip --bench wire`
#![allow(missing_docs, clippy::unwrap_used)]

use std::{hint::black_box, net::SocketAddr};

use bytes::Bytes;
use callbox_sip::message::{
    Framing, HeaderName, Message, MessageBuilder, MessageLimits, Method, StreamFramer, peek_call_id, validate,
};
use criterion::{Criterion, criterion_group, criterion_main};

const INVITE: &[u8] = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bKnashds8;rport\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
From: \"Alice Smith\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.example.com:5060;transport=udp>\r\n\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY\r\n\
Supported: 100rel, timer, replaces\r\n\
User-Agent: bench/1.0\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 136\r\n\r\n\
v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
m=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

fn parse(bytes: &Bytes) -> Message {
    Message::parse(bytes.clone(), Framing::Datagram, &MessageLimits::default()).unwrap()
}

fn typed(m: &Message) -> u32 {
    let via = m.top_via().unwrap();
    black_box((via.branch(), via.host));
    black_box((m.from().unwrap().tag(), m.to().unwrap().tag()));
    black_box(m.contact().unwrap().uri().unwrap());
    m.cseq().unwrap().seq
}

fn reading(c: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE);
    let mut group = c.benchmark_group("read");
    group.bench_function("index", |b| b.iter(|| parse(black_box(&bytes))));
    group.bench_function("index + Via, From, To, CSeq, Contact", |b| {
        b.iter(|| typed(&parse(black_box(&bytes))))
    });
    group.bench_function("copy + index + validate", |b| {
        b.iter(|| {
            let copy = Bytes::copy_from_slice(black_box(INVITE));
            validate::request(Message::parse(copy, Framing::Datagram, &MessageLimits::default()).unwrap())
                .unwrap()
        });
    });
    let message = parse(&bytes);
    group.bench_function("validate", |b| {
        b.iter(|| validate::check_request(black_box(&message)).unwrap())
    });
    group.bench_function("peek Call-ID", |b| {
        b.iter(|| peek_call_id(black_box(INVITE)).map(<[u8]>::len))
    });
    group.bench_function("frame", |b| {
        let mut framer = StreamFramer::new(MessageLimits::default());
        b.iter(|| {
            framer.push(black_box(INVITE));
            framer.next_frame()
        });
    });
    group.finish();
}

fn building(c: &mut Criterion) {
    let message = parse(&Bytes::from_static(INVITE));
    let source: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let mut group = c.benchmark_group("build");
    group.bench_function("100", |b| {
        b.iter(|| MessageBuilder::response_to(black_box(&message), 100, None, None).finish())
    });
    group.bench_function("200 with received, rport, tag, Contact, body", |b| {
        b.iter(|| {
            MessageBuilder::response_from(black_box(&message), source, 200, None, Some("8321234356"))
                .header(HeaderName::Contact, "<sip:bob@192.0.2.4>")
                .body("application/sdp", message.body())
                .finish()
        });
    });
    group.bench_function("BYE", |b| {
        b.iter(|| {
            MessageBuilder::request(&Method::Bye, black_box("sip:alice@pc33.atlanta.example.com:5060"))
                .header(
                    HeaderName::Via,
                    "SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK87asdks7;rport",
                )
                .header(HeaderName::MaxForwards, "70")
                .header(
                    HeaderName::From,
                    "Bob <sip:bob@biloxi.example.com>;tag=8321234356",
                )
                .header(
                    HeaderName::To,
                    "\"Alice\" <sip:alice@atlanta.example.com>;tag=1928301774",
                )
                .header(HeaderName::CallId, "a84b4c76e66710@pc33.atlanta.example.com")
                .header_fmt(HeaderName::CSeq, format_args!("{} BYE", black_box(231)))
                .finish()
        });
    });
    group.finish();
}

criterion_group!(benches, reading, building);
criterion_main!(benches);
