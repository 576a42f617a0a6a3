//! The endpoint: random sequences of messages, time-outs and commands.
//!
//! Messages are templates whose call, branch, tag and CSeq the input chooses from small sets, so that they meet
//! transactions and dialogs instead of missing them; one template takes octets of the input as they are. What must hold:
//! no panic, exactly one end a leg and nothing after it, nothing in answer to an ACK, tables within their limits, and
//! quiescence once the peer is silent and the host has hung up.
#![no_main]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, Endpoint, EndpointConfig, EndpointLimits, Event, Header, InDialogRequest, InviteRequest, LegEvent,
    LegId, Listener, ListenerId, Output, PartyAddress, Path, Protocol, Transmit, TransportFailure,
};
use callbox_sip::message::{Framing, Method};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "MESSAGE",
    "REGISTER",
    "FOO",
];
const CODES: [u16; 10] = [100, 180, 183, 200, 202, 302, 401, 407, 481, 600];
const LEGS_MAX: usize = 6;

struct World {
    endpoint: Endpoint,
    now: Instant,
    path: Path,
    legs: Vec<LegId>,
    /// Leg → whether it has ended.
    ended: BTreeMap<LegId, bool>,
    sent: Vec<Transmit>,
}

impl World {
    fn drain(&mut self) -> usize {
        let mut transmits = 0;
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    transmits += 1;
                    if self.sent.len() < 64 {
                        self.sent.push(transmit);
                    } else {
                        let at = transmits % 64;
                        self.sent[at] = transmit;
                    }
                }
                Output::Event(Event::Incoming { leg, .. }) => {
                    assert!(self.ended.insert(leg, false).is_none());
                    self.legs.push(leg);
                }
                Output::Event(Event::Leg { leg, event }) => {
                    let ended = self.ended.entry(leg).or_insert(false);
                    assert!(!*ended, "an event after the end");
                    *ended = matches!(event, LegEvent::Ended(_));
                }
                Output::Event(Event::Registration { .. } | Event::Subscription { .. }) => {
                    panic!("nobody registers or subscribes");
                }
                Output::Timeout(_) => return transmits,
            }
        }
    }

    fn receive(&mut self, bytes: Bytes) -> usize {
        let (now, path) = (self.now, self.path);
        self.endpoint.handle_message(now, &path, bytes, Framing::Datagram);
        self.drain()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.endpoint.handle_timeout(now);
        self.drain();
    }
}

/// Takes octets of the input; zero when they are used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first)
    }

    fn text(&mut self) -> Vec<u8> {
        let (text, rest) = self.0.split_at((self.byte() * 4).min(self.0.len()));
        self.0 = rest;
        text.to_vec()
    }
}

fuzz_target!(|data: &[u8]| {
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let local = SocketAddr::from(([192, 0, 2, 9], 5060));
    let mut input = Input(data);
    let protocol = if input.byte() % 2 == 0 {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    let config = EndpointConfig {
        listeners: vec![Listener {
            id: ListenerId(0),
            protocol,
            advertised: local,
        }],
        limits: EndpointLimits {
            legs_max: LEGS_MAX,
            transactions_max: 60,
            ..EndpointLimits::default()
        },
        ..EndpointConfig::default()
    };
    let path = Path {
        protocol,
        listener: ListenerId(0),
        local,
        remote: SocketAddr::from(([192, 0, 2, 1], 5060)),
        connection: None,
    };
    let endpoint = Endpoint::new(config, [3; 32], start);
    let mut world = World {
        endpoint,
        now: start,
        path,
        legs: vec![],
        ended: BTreeMap::new(),
        sent: vec![],
    };
    while !input.0.is_empty() {
        step(&mut world, &mut input);
        let counts = world.endpoint.counts();
        assert!(
            counts.timers <= 4 * counts.transactions + 4 * counts.legs,
            "{counts:?}"
        );
        assert_eq!(world.endpoint.stats().invariant_breaks, 0);
    }
    for leg in std::mem::take(&mut world.legs) {
        let now = world.now;
        let _ = world.endpoint.hangup(now, leg, None);
        world.drain();
    }
    // 64·T1 for an answer, 64·T1 for a BYE, and time for what is left.
    for _ in 0..400 {
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(world.endpoint.counts(), Default::default());
    assert!(world.ended.values().all(|ended| *ended), "a leg that never ended");
});

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 8 {
        0 | 1 => {
            let (method, text) = request(world, input);
            let transmits = world.receive(text);
            // An ACK may let a BYE out that waited for it; a response it never gets.
            assert!(method != "ACK" || transmits <= 1);
        }
        2 => {
            if let Some(text) = response(world, input) {
                world.receive(text);
            }
        }
        3 => {
            let text = input.text();
            world.receive(text.into());
        }
        4 => world.pass(Duration::from_millis(100 * input.byte() as u64)),
        5 => place_call(world, input),
        6 => {
            let now = world.now;
            if let Some(token) = world.sent.get(input.byte() % 64).and_then(|sent| sent.token) {
                world
                    .endpoint
                    .handle_transmit_failed(now, token, TransportFailure::Closed);
                world.drain();
            }
        }
        _ => command(world, input),
    }
}

fn body(present: bool) -> Option<Body> {
    present.then(|| Body {
        content_type: "application/sdp".into(),
        data: Bytes::from_static(b"v=0\r\n"),
    })
}

/// A request of the peer: a copy of ours turned round for its dialog, or a fresh one.
fn request(world: &World, input: &mut Input<'_>) -> (&'static str, Bytes) {
    let method = METHODS[input.byte() % METHODS.len()];
    let choice = input.byte();
    let (call, branch, seq) = (choice % 3, input.byte() % 8, input.byte() % 5);
    let to = match world.sent.get(input.byte() % 64).filter(|_| choice >= 64) {
        // Our own From or To, tag included.
        Some(sent) => header(
            &sent.payload,
            if sent.payload.starts_with(b"SIP/2.0") {
                "To"
            } else {
                "From"
            },
        ),
        None => "<sip:bob@192.0.2.9>".into(),
    };
    let extra = [
        "",
        "Require: x\r\n",
        "Accept: a/b\r\n",
        "Record-Route: <sip:p;lr>\r\n",
        "Contact: <sip:a@192.0.2.1>\r\n",
    ];
    let (length, body) = if choice % 2 == 0 { (5, "v=0\r\n") } else { (0, "") };
    let text = format!(
        "{method} sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@192.0.2.1>;tag=a\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {seq} {method}\r\nMax-Forwards: 70\r\n\
         {}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
        extra[input.byte() % extra.len()]
    );
    (method, text.into())
}

/// A response to something that the endpoint sent.
fn response(world: &World, input: &mut Input<'_>) -> Option<Bytes> {
    let sent = &world.sent.get(input.byte() % 64)?.payload;
    let code = CODES[input.byte() % CODES.len()];
    let tag = input.byte() % 3;
    let mut to = header(sent, "To");
    if !to.contains("tag=") {
        to = format!("{to};tag=t{tag}");
    }
    let extra = [
        "",
        "Contact: <sip:a@192.0.2.1>\r\n",
        "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n",
        "Proxy-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth,auth-int\",stale=true\r\n",
        "Record-Route: <sip:p>\r\nRecord-Route: <sip:q;lr>\r\n",
    ];
    let (length, body) = if tag == 0 { (0, "") } else { (5, "v=0\r\n") };
    let text = format!(
        "SIP/2.0 {code} X\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{}Content-Length: {length}\r\n\r\n{body}",
        header(sent, "Via"),
        header(sent, "From"),
        header(sent, "Call-ID"),
        header(sent, "CSeq"),
        extra[input.byte() % extra.len()]
    );
    Some(text.into())
}

fn header(message: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or("x").to_owned()
}

fn place_call(world: &mut World, input: &mut Input<'_>) {
    let choice = input.byte();
    let credentials = callbox_sip::auth::Credentials {
        username: "u".into(),
        password: "p".into(),
        realm: None,
    };
    let request = InviteRequest {
        uri: "sip:a@192.0.2.1".into(),
        from: PartyAddress::default(),
        to: None,
        next_hop: None,
        headers: vec![],
        body: body(choice % 2 == 0),
        credentials: if choice % 3 == 0 {
            vec![credentials]
        } else {
            vec![]
        },
        contact_user: None,
        timeout: Duration::from_secs((choice % 50) as u64),
    };
    let now = world.now;
    if let Ok(leg) = world.endpoint.invite(now, request) {
        world.ended.insert(leg, false);
        world.legs.push(leg);
    }
    world.drain();
}

fn command(world: &mut World, input: &mut Input<'_>) {
    let Some(leg) = world.legs.get(input.byte() % (LEGS_MAX * 2)).copied() else {
        return;
    };
    let (what, code, now) = (input.byte(), 100 + input.byte() as u16 * 3, world.now);
    let value = String::from_utf8_lossy(&input.text()).into_owned();
    let headers = [Header {
        name: "X-Fuzz".into(),
        value: value.into(),
    }];
    let endpoint = &mut world.endpoint;
    let _ = match what % 7 {
        0 => endpoint.progress(now, leg, code, None, &headers, body(what > 128)),
        1 => endpoint.answer(now, leg, &[], body(what > 128)),
        2 => endpoint.reject(now, leg, code, None, &headers),
        3 => endpoint.cancel(now, leg, None),
        4 => endpoint.hangup(now, leg, None),
        _ => {
            let method = if what > 128 { Method::Info } else { Method::Message };
            endpoint
                .request(
                    now,
                    leg,
                    InDialogRequest {
                        method,
                        headers: vec![],
                        body: body(what > 64),
                    },
                )
                .map(|_| ())
        }
    };
    world.drain();
}
