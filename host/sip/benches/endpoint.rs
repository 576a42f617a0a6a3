//! The cost of one call through the endpoint: INVITE, 200, ACK, BYE, 200, as the callee, without sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, Endpoint, EndpointConfig, Event, LegId, Listener, ListenerId, Output, Path, Protocol,
};
use callbox_sip::message::Framing;
use criterion::{Criterion, criterion_group, criterion_main};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

fn text(method: &str, call: u64, seq: u32, to_tag: &str, body: &str) -> Bytes {
    format!(
        "{method} sip:answer@192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bK-{call}-{seq}-{method}\r\n\
         From: sipp <sip:sipp@192.0.2.1:5061>;tag={call}\r\nTo: answer <sip:answer@192.0.2.9:5060>{to_tag}\r\n\
         Call-ID: {call}-31@192.0.2.1\r\nCSeq: {seq} {method}\r\nContact: sip:sipp@192.0.2.1:5061\r\nMax-Forwards: 70\r\n\
         Subject: Performance Test\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

fn drain(endpoint: &mut Endpoint) -> (Option<LegId>, Option<Bytes>) {
    let (mut leg, mut sent) = (None, None);
    loop {
        match endpoint.poll_output() {
            Output::Transmit(transmit) => sent = Some(transmit.payload),
            Output::Event(Event::Incoming { leg: new, .. }) => leg = Some(new),
            Output::Event(_) => {}
            Output::Timeout(_) => return (leg, sent),
        }
    }
}

fn one_call(c: &mut Criterion) {
    #[allow(clippy::disallowed_methods)] // Where virtual time begins.
    let mut now = Instant::now();
    let local = SocketAddr::from(([192, 0, 2, 9], 5060));
    let config = EndpointConfig {
        listeners: vec![Listener {
            id: ListenerId(0),
            protocol: Protocol::Udp,
            advertised: local,
        }],
        ..EndpointConfig::default()
    };
    let remote = SocketAddr::from(([192, 0, 2, 1], 5061));
    let path = Path {
        protocol: Protocol::Udp,
        listener: ListenerId(0),
        local,
        remote,
        connection: None,
    };
    let mut endpoint = Endpoint::new(config, [1; 32], now);
    let mut call = 0_u64;
    c.bench_function("call as callee", |b| {
        b.iter_batched(
            || {
                call += 1;
                (
                    call,
                    text("INVITE", call, 1, "", SDP),
                    Body {
                        content_type: "application/sdp".into(),
                        data: Bytes::from_static(SDP.as_bytes()),
                    },
                )
            },
            |(call, invite, answer)| {
                // A thousand calls a second, so that the tables hold what they would hold under load.
                now += Duration::from_millis(1);
                endpoint.handle_timeout(now);
                drain(&mut endpoint);
                endpoint.handle_message(now, &path, invite, Framing::Datagram);
                let (leg, _) = drain(&mut endpoint);
                endpoint.answer(now, leg.unwrap(), &[], Some(answer)).unwrap();
                let (_, ok) = drain(&mut endpoint);
                let ok = ok.unwrap();
                let ok = std::str::from_utf8(&ok).unwrap();
                let tag = ok
                    .split("\r\nTo: ")
                    .nth(1)
                    .and_then(|to| to.split(";tag=").nth(1))
                    .unwrap();
                let tag = format!(";tag={}", tag.split("\r\n").next().unwrap());
                endpoint.handle_message(now, &path, text("ACK", call, 1, &tag, ""), Framing::Datagram);
                drain(&mut endpoint);
                endpoint.handle_message(now, &path, text("BYE", call, 2, &tag, ""), Framing::Datagram);
                drain(&mut endpoint)
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, one_call);
criterion_main!(benches);
