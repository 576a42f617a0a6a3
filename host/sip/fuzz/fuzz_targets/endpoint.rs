//! The endpoint: random sequences of messages, time-outs and commands.
//!
//! Messages are templates whose call, branch, tag and CSeq the input chooses from small sets, so that they meet
//! transactions and dialogs instead of missing them; one template takes octets of the input as they are. What must hold:
//! no panic, exactly one end a leg, a registration or a subscription and nothing after it, one outcome a request of the
//! host, nothing in answer to an ACK, tables within their limits, and quiescence once the peer is silent and the host has
//! let go of everything.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, Endpoint, EndpointConfig, EndpointError, EndpointLimits, Event, Header, InDialogRequest,
    InviteRequest, LegEvent, LegId, Listener, ListenerId, Output, PartyAddress, Path, PeerRequestId,
    Protocol, ReferRequest, RegisterRequest, RegistrationId, ReofferRequest, RequestId, SubscribeRequest,
    SubscriptionEvent, SubscriptionId, Transmit, TransportFailure,
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
const CODES: [u16; 16] = [
    100, 180, 183, 200, 202, 302, 401, 407, 408, 422, 423, 481, 487, 491, 501, 600,
];
const LEGS_MAX: usize = 6;
const STANDING_MAX: usize = 2;

struct World {
    endpoint: Endpoint,
    now: Instant,
    path: Path,
    legs: Vec<LegId>,
    /// Leg → whether it has ended.
    ended: BTreeMap<LegId, bool>,
    registrations: BTreeMap<RegistrationId, bool>,
    subscriptions: BTreeMap<SubscriptionId, bool>,
    /// What the peers ask and the host may decide.
    asked: Vec<PeerRequestId>,
    /// Requests of the host without an outcome.
    open: BTreeSet<RequestId>,
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
                    match event {
                        LegEvent::Offer { decide: Some(id), .. } | LegEvent::Refer { refer: id, .. } => {
                            self.asked.push(id)
                        }
                        LegEvent::Reoffered { request, .. } | LegEvent::Response { request, .. } => {
                            assert!(self.open.remove(&request), "one outcome a request");
                        }
                        LegEvent::Ended(_) => *ended = true,
                        _ => {}
                    }
                }
                Output::Event(Event::Registration { registration, event }) => {
                    let over = self.registrations.entry(registration).or_insert(false);
                    assert!(!*over, "an event after the end");
                    *over = event.is_last();
                }
                Output::Event(Event::Subscription { subscription, event }) => {
                    let over = self.subscriptions.entry(subscription).or_insert(false);
                    assert!(!*over, "an event after the end");
                    *over = matches!(event, SubscriptionEvent::Ended(_));
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
            registrations_max: STANDING_MAX,
            subscriptions_max: STANDING_MAX,
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
        registrations: BTreeMap::new(),
        subscriptions: BTreeMap::new(),
        asked: vec![],
        open: BTreeSet::new(),
        sent: vec![],
    };
    while !input.0.is_empty() {
        step(&mut world, &mut input);
        let counts = world.endpoint.counts();
        let standing = counts.registrations + counts.subscriptions;
        assert!(
            counts.timers <= 4 * counts.transactions + 7 * counts.legs + 4 * standing,
            "{counts:?}"
        );
        assert_eq!(world.endpoint.stats().invariant_breaks, 0);
    }
    for leg in std::mem::take(&mut world.legs) {
        let now = world.now;
        let _ = world.endpoint.hangup(now, leg, None);
        world.drain();
    }
    let now = world.now;
    for id in world.registrations.keys().copied().collect::<Vec<_>>() {
        let _ = world.endpoint.unregister(now, id);
        world.drain();
    }
    for id in world.subscriptions.keys().copied().collect::<Vec<_>>() {
        let _ = world.endpoint.unsubscribe(now, id);
        world.drain();
    }
    // 64·T1 for an answer, 64·T1 for a BYE, and time for what is left.
    for _ in 0..400 {
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(world.endpoint.counts(), Default::default());
    let standing = world.registrations.values().chain(world.subscriptions.values());
    assert!(
        world.ended.values().chain(standing).all(|over| *over),
        "one that never ended"
    );
    assert!(world.open.is_empty(), "a request without an outcome");
});

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 10 {
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
        7 => stand(world, input),
        8 => command(world, input),
        _ => negotiate(world, input),
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
    let sent = world.sent.get(input.byte() % 64);
    // The names of a dialog that we began, turned round.
    if let Some(sent) = sent.filter(|sent| choice >= 160 && !sent.payload.starts_with(b"SIP/2.0")) {
        let text = turned_round(&sent.payload, method, (choice, branch, seq), input);
        return (method, text.into());
    }
    let to = match sent.filter(|_| choice >= 64) {
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
    let extra = lines(sent.map_or(b"", |sent| &sent.payload[..]));
    let (length, body) = if choice % 2 == 0 { (5, "v=0\r\n") } else { (0, "") };
    let text = format!(
        "{method} sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@192.0.2.1>;tag=a\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {seq} {method}\r\nMax-Forwards: 70\r\n\
         {}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
        extra[input.byte() % extra.len()]
    );
    (method, text.into())
}

/// Lines that a request of the peer may have; `sent` is what its PRACK would be for.
fn lines(sent: &[u8]) -> [String; 13] {
    [
        String::new(),
        "Require: x\r\n".into(),
        "Accept: a/b\r\n".into(),
        "Record-Route: <sip:p;lr>\r\n".into(),
        "Contact: <sip:a@192.0.2.1>\r\n".into(),
        "Supported: 100rel, timer\r\n".into(),
        "Require: 100rel\r\n".into(),
        "Supported: 100rel, timer\r\nSession-Expires: 90;refresher=uas\r\nAllow: UPDATE\r\n".into(),
        "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n".into(),
        format!("RAck: {} {}\r\n", header(sent, "RSeq"), header(sent, "CSeq")),
        "Refer-To: <sip:c@h>\r\n".into(),
        "Event: refer\r\nSubscription-State: active\r\n".into(),
        "Event: presence\r\nSubscription-State: terminated;reason=noresource\r\n".into(),
    ]
}

/// A request in a dialog that `sent`, a request of ours, began or belongs to.
fn turned_round(
    sent: &[u8],
    method: &str,
    (choice, branch, seq): (usize, usize, usize),
    input: &mut Input<'_>,
) -> String {
    let mut from = header(sent, "To");
    if !from.contains("tag=") {
        from = format!("{from};tag=t{}", choice % 3);
    }
    let extra = lines(sent);
    let event = ["", "Event: presence\r\nSubscription-State: active;expires=60\r\n"];
    let (length, body) = if choice % 2 == 0 { (5, "v=0\r\n") } else { (0, "") };
    format!(
        "{method} sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKr{branch}\r\nFrom: {from}\r\n\
         To: {}\r\nCall-ID: {}\r\nCSeq: {seq} {method}\r\nMax-Forwards: 70\r\n{}{}Content-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}",
        header(sent, "From"),
        header(sent, "Call-ID"),
        extra[input.byte() % extra.len()],
        event[usize::from(method == "NOTIFY")],
    )
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
        "Require: 100rel\r\nRSeq: 1\r\nContact: <sip:a@192.0.2.1>\r\n",
        "Require: 100rel\r\nRSeq: 2\r\n",
        "Session-Expires: 90;refresher=uac\r\nAllow: UPDATE\r\n",
        "Session-Expires: 90;refresher=uac\r\n",
        "Session-Expires: 90;refresher=uas\r\n",
        "Min-SE: 2000\r\n",
        "Min-Expires: 90\r\n",
        "Expires: 60\r\n",
        "Contact: <sip:u@192.0.2.9>;expires=60\r\n",
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

fn credentials(some: bool) -> Vec<callbox_sip::auth::Credentials> {
    let credentials = callbox_sip::auth::Credentials {
        username: "u".into(),
        password: "p".into(),
        realm: None,
    };
    if some { vec![credentials] } else { vec![] }
}

fn place_call(world: &mut World, input: &mut Input<'_>) {
    let choice = input.byte();
    let request = InviteRequest {
        uri: "sip:a@192.0.2.1".into(),
        from: PartyAddress::default(),
        to: None,
        next_hop: None,
        headers: vec![],
        body: body(choice % 2 == 0),
        credentials: credentials(choice % 3 == 0),
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

/// Registrations and subscriptions.
fn stand(world: &mut World, input: &mut Input<'_>) {
    let (what, choice, now) = (input.byte(), input.byte(), world.now);
    let timeout = Duration::from_secs((choice % 50) as u64);
    let endpoint = &mut world.endpoint;
    match what % 4 {
        0 => {
            let request = RegisterRequest {
                registrar: "sip:192.0.2.1".into(),
                aor: "sip:u@192.0.2.1".into(),
                contact_user: Some("u".into()),
                contacts: vec![],
                expires: 1 + choice as u32,
                headers: vec![],
                credentials: credentials(choice % 3 == 0),
                next_hop: None,
                timeout,
            };
            if let Ok(id) = endpoint.register(now, request) {
                world.registrations.insert(id, false);
            }
        }
        1 => {
            let request = SubscribeRequest {
                uri: "sip:a@192.0.2.1".into(),
                from: PartyAddress::default(),
                event: "presence".into(),
                expires: choice as u32,
                refresh: None,
                accept: vec![],
                body: body(choice % 2 == 0),
                headers: vec![],
                credentials: credentials(choice % 3 == 0),
                contact_user: None,
                next_hop: None,
                timeout,
            };
            if let Ok(id) = endpoint.subscribe(now, request) {
                world.subscriptions.insert(id, false);
            }
        }
        2 => {
            if let Some(id) = world.registrations.keys().nth(choice % 4).copied() {
                let _ = endpoint.unregister(now, id);
            }
        }
        _ => {
            if let Some(id) = world.subscriptions.keys().nth(choice % 4).copied() {
                let _ = endpoint.unsubscribe(now, id);
            }
        }
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
    let asked = match what % 7 {
        0 => none(endpoint.progress(now, leg, code, None, &headers, body(what > 128))),
        1 => none(endpoint.answer(now, leg, &[], body(what > 128))),
        2 => none(endpoint.reject(now, leg, code, None, &headers)),
        3 => none(endpoint.cancel(now, leg, None)),
        4 => none(endpoint.hangup(now, leg, None)),
        5 => none(endpoint.progress(now, leg, 183, None, &[], body(what > 128))),
        _ => {
            let request = InDialogRequest {
                method: if what > 128 { Method::Info } else { Method::Message },
                headers: vec![],
                body: body(what > 64),
            };
            endpoint.request(now, leg, request)
        }
    };
    world.open.extend(asked);
    world.drain();
}

/// Offers and transfers, of both sides.
fn negotiate(world: &mut World, input: &mut Input<'_>) {
    let Some(leg) = world.legs.get(input.byte() % (LEGS_MAX * 2)).copied() else {
        return;
    };
    let (what, choice, now) = (input.byte(), input.byte(), world.now);
    let code = 100 + choice as u16 * 3;
    let asked = world.asked.last().copied();
    let open = world.open.last().copied();
    let endpoint = &mut world.endpoint;
    let sent = match (what % 10, asked, open) {
        (0 | 1, ..) => {
            let request = ReofferRequest {
                headers: vec![],
                body: body(choice % 4 != 0),
                update: choice % 3 == 0,
                timeout: Duration::from_millis(choice as u64 * 100),
            };
            endpoint.reoffer(now, leg, request)
        }
        (2, _, Some(open)) => none(endpoint.withdraw_reoffer(now, leg, open)),
        (3, ..) => none(endpoint.decide_offers(leg, choice % 4 != 0)),
        (4, Some(id), _) => none(endpoint.accept_offer(now, leg, id, &[], body(choice % 2 == 0))),
        (5, Some(id), _) => none(endpoint.reject_offer(now, leg, id, code, None, &[])),
        (6, Some(id), _) => none(endpoint.accept_refer(now, leg, id)),
        (7, Some(id), _) => none(endpoint.reject_refer(now, leg, id, code, None, &[])),
        (8, Some(id), _) => none(endpoint.notify_refer(now, leg, id, code, None)),
        _ => {
            let request = ReferRequest {
                refer_to: "sip:c@h".into(),
                referred_by: None,
                progress: choice % 2 == 0,
                headers: vec![],
            };
            endpoint.refer(now, leg, request)
        }
    };
    world.open.extend(sent);
    world.drain();
}

/// A command that has no outcome to wait for.
fn none(result: Result<(), EndpointError>) -> Result<RequestId, EndpointError> {
    result.and(Err(EndpointError::WrongState("no request")))
}
