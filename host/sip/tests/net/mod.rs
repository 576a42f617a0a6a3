//! A network in virtual time for tests: endpoints, and a wire that loses, delays, reorders and repeats.
//!
//! Everything random comes from one seed, so a failure repeats: see [`seed`].
#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, Destination, Endpoint, EndpointConfig, Event, InviteRequest, Listener, ListenerId, Output,
    PartyAddress, Path, Protocol, Transmit,
};
use callbox_sip::message::Framing;

/// The seed of this run: `CALLBOX_SEED`, else the one given.
#[allow(clippy::disallowed_methods)] // A test may read its seed from outside.
pub fn seed(default: u64) -> u64 {
    match std::env::var("CALLBOX_SEED") {
        Ok(text) => text.parse().expect("CALLBOX_SEED is a number"),
        Err(_) => default,
    }
}

/// Prints how to repeat a failure, when the test fails.
pub struct Repeat {
    pub seed: u64,
    pub test: &'static str,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "repeat with: CALLBOX_SEED={} cargo test -p callbox-sip {}",
                self.seed, self.test
            );
        }
    }
}

/// A small generator (SplitMix64): the tests' own randomness.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How bad the wire is.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Each message takes from the first to the second; different times reorder.
    pub delay_ms: (u64, u64),
}

impl Wire {
    pub const PERFECT: Self = Self {
        loss_percent: 0,
        duplicate_percent: 0,
        delay_ms: (5, 5),
    };
}

/// What happened at a node.
#[derive(Debug)]
pub struct Happened {
    pub at: Instant,
    pub node: usize,
    pub event: Event,
}

/// A message on its way.
type Flight = Reverse<(Instant, u64, usize, SocketAddr, Bytes)>;

pub struct Node {
    pub endpoint: Endpoint,
    pub addr: SocketAddr,
    wake: Option<Instant>,
}

/// Some endpoints and the wire between them.
pub struct Net {
    pub start: Instant,
    pub now: Instant,
    pub nodes: Vec<Node>,
    pub wire: Wire,
    pub dice: Dice,
    flights: BinaryHeap<Flight>,
    sent: u64,
    /// Every message put on the wire, lost ones too: (sender, octets).
    pub log: Vec<(usize, Bytes)>,
    pub keep_log: bool,
    pub protocol: Protocol,
}

impl Net {
    pub fn new(nodes: usize, seed: u64, wire: Wire) -> Self {
        Self::with(nodes, seed, wire, Protocol::Udp, |_| {})
    }

    pub fn with(
        nodes: usize,
        seed: u64,
        wire: Wire,
        protocol: Protocol,
        tune: impl Fn(&mut EndpointConfig),
    ) -> Self {
        #[allow(clippy::disallowed_methods)] // The one place where virtual time begins.
        let start = Instant::now();
        let mut dice = Dice(seed);
        let nodes = (0..nodes)
            .map(|index| {
                let addr = SocketAddr::from(([192, 0, 2, index as u8 + 1], 5060));
                let mut config = EndpointConfig {
                    listeners: vec![Listener {
                        id: ListenerId(0),
                        protocol,
                        advertised: addr,
                    }],
                    ..EndpointConfig::default()
                };
                tune(&mut config);
                let mut key = [0; 32];
                key.iter_mut().for_each(|byte| *byte = dice.next() as u8);
                Node {
                    endpoint: Endpoint::new(config, key, start),
                    addr,
                    wake: None,
                }
            })
            .collect();
        let (flights, log) = (BinaryHeap::new(), Vec::new());
        Self {
            start,
            now: start,
            nodes,
            wire,
            dice,
            flights,
            sent: 0,
            log,
            keep_log: true,
            protocol,
        }
    }

    /// How far virtual time has come.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The path of a message from `from` as node `to` sees it.
    pub fn path(&self, to: usize, from: SocketAddr) -> Path {
        Path {
            protocol: self.protocol,
            listener: ListenerId(0),
            local: self.nodes[to].addr,
            remote: from,
            connection: None,
        }
    }

    /// Takes what a node gives out. Must follow everything that is done to it.
    pub fn drain(&mut self, node: usize) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.nodes[node].endpoint.poll_output() {
                Output::Transmit(transmit) => self.send(node, &transmit),
                Output::Event(event) => events.push(event),
                Output::Timeout(wake) => {
                    self.nodes[node].wake = wake;
                    return events;
                }
            }
        }
    }

    fn send(&mut self, node: usize, transmit: &Transmit) {
        let to = match &transmit.to {
            Destination::Path(path) => path.remote,
            Destination::Addr { addr, .. } => *addr,
            Destination::Name { host, .. } => panic!("{host} needs DNS"),
        };
        if self.keep_log {
            self.log.push((node, transmit.payload.clone()));
        }
        let Some(target) = self.nodes.iter().position(|n| n.addr == to) else {
            return;
        };
        let copies = if self.dice.chance(self.wire.duplicate_percent) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.dice.chance(self.wire.loss_percent) {
                continue;
            }
            let (least, most) = self.wire.delay_ms;
            let at = self.now + Duration::from_millis(least + self.dice.below(most - least + 1));
            self.sent += 1;
            let from = self.nodes[node].addr;
            self.flights
                .push(Reverse((at, self.sent, target, from, transmit.payload.clone())));
        }
    }

    /// The time of the next thing to happen.
    pub fn next(&self) -> Option<Instant> {
        let flight = self.flights.peek().map(|Reverse(flight)| flight.0);
        let wake = self.nodes.iter().filter_map(|node| node.wake).min();
        [flight, wake].into_iter().flatten().min()
    }

    /// Lets the next thing happen, if it does until `limit`; gives the events. None: nothing happened, it is `limit` now.
    pub fn step(&mut self, limit: Instant) -> Option<Vec<Happened>> {
        let Some(at) = self.next().filter(|at| *at <= limit) else {
            self.now = self.now.max(limit);
            return None;
        };
        self.now = self.now.max(at);
        let node = if self.flights.peek().is_some_and(|Reverse(flight)| flight.0 <= at) {
            let Reverse((_, _, node, from, bytes)) = self.flights.pop().unwrap();
            let path = self.path(node, from);
            self.nodes[node]
                .endpoint
                .handle_message(self.now, &path, bytes, Framing::Datagram);
            node
        } else {
            let node = self
                .nodes
                .iter()
                .position(|n| n.wake.is_some_and(|wake| wake <= at))
                .unwrap();
            self.nodes[node].endpoint.handle_timeout(self.now);
            node
        };
        let now = self.now;
        Some(
            self.drain(node)
                .into_iter()
                .map(|event| Happened { at: now, node, event })
                .collect(),
        )
    }

    /// Lets time pass; gives all events.
    pub fn run(&mut self, time: Duration) -> Vec<Happened> {
        let limit = self.now + time;
        let mut all = Vec::new();
        while let Some(events) = self.step(limit) {
            all.extend(events);
        }
        all
    }

    /// Does something to a node and drains it.
    pub fn act<T>(&mut self, node: usize, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> (T, Vec<Event>) {
        let result = act(&mut self.nodes[node].endpoint, self.now);
        (result, self.drain(node))
    }

    /// How often a message whose first line begins so was sent by a node.
    pub fn count_sent(&self, node: usize, start: &str) -> usize {
        self.log
            .iter()
            .filter(|(sender, bytes)| *sender == node && bytes.starts_with(start.as_bytes()))
            .count()
    }

    /// Whether every node is empty.
    pub fn assert_quiescent(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            assert_eq!(
                node.endpoint.counts(),
                Default::default(),
                "node {index} after {:?}",
                self.elapsed()
            );
            assert_eq!(node.endpoint.stats().invariant_breaks, 0, "node {index}");
        }
    }
}

pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

pub fn sdp() -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: Bytes::from_static(SDP.as_bytes()),
    })
}

/// A call to a node.
pub fn invite_to(addr: SocketAddr, body: Option<Body>, timeout: Duration) -> InviteRequest {
    InviteRequest {
        uri: format!("sip:bob@{addr}"),
        from: PartyAddress {
            user: Some("alice".into()),
            ..PartyAddress::default()
        },
        to: None,
        next_hop: None,
        headers: Vec::new(),
        body,
        credentials: Vec::new(),
        contact_user: None,
        timeout,
    }
}
