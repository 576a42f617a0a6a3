//! One endpoint and a peer made of text, in virtual time: a test writes what the peer sends and reads what comes back.
#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, ConnectionId, Destination, Ended, Endpoint, EndpointConfig, Event, InviteRequest, LegEvent, LegId,
    Listener, ListenerId, Output, PartyAddress, Path, Protocol, TransmitToken,
};
use callbox_sip::message::{Framing, Message, MessageLimits};

pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

pub fn sdp() -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: Bytes::from_static(SDP.as_bytes()),
    })
}

/// A message that the endpoint sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When, ms since the start.
    pub at: u64,
    pub to: Destination,
    pub bytes: Bytes,
    pub token: Option<TransmitToken>,
}

impl Sent {
    pub fn message(&self) -> Message {
        Message::parse(self.bytes.clone(), Framing::Datagram, &MessageLimits::default()).unwrap()
    }

    /// The status code, 0 for a request.
    pub fn code(&self) -> u16 {
        self.message().code().unwrap_or(0)
    }

    /// The method, of the CSeq for a response.
    pub fn method(&self) -> String {
        self.message().cseq().unwrap().method.to_string()
    }

    /// All values of a header, joined.
    pub fn header(&self, name: &str) -> String {
        let message = self.message();
        let values: Vec<_> = message
            .headers_named(name)
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .collect();
        values.join(", ")
    }

    pub fn to_tag(&self) -> String {
        String::from_utf8(self.message().to().unwrap().tag().unwrap_or_default().to_vec()).unwrap()
    }

    pub fn uri(&self) -> String {
        String::from_utf8(self.message().request().unwrap().uri.to_vec()).unwrap()
    }

    pub fn addr(&self) -> SocketAddr {
        match &self.to {
            Destination::Path(path) => path.remote,
            Destination::Addr { addr, .. } => *addr,
            Destination::Name { .. } => panic!("a name"),
        }
    }
}

pub struct Peer {
    pub endpoint: Endpoint,
    pub start: Instant,
    pub now: Instant,
    pub path: Path,
    wake: Option<Instant>,
    pub sent: Vec<Sent>,
    pub events: Vec<Event>,
    branches: u32,
}

impl Peer {
    pub fn new() -> Self {
        Self::with(Protocol::Udp, |_| {})
    }

    pub fn with(protocol: Protocol, tune: impl Fn(&mut EndpointConfig)) -> Self {
        #[allow(clippy::disallowed_methods)] // Where virtual time begins.
        let start = Instant::now();
        let local = SocketAddr::from(([192, 0, 2, 9], 5060));
        let mut config = EndpointConfig {
            listeners: vec![Listener {
                id: ListenerId(0),
                protocol,
                advertised: local,
            }],
            ..EndpointConfig::default()
        };
        tune(&mut config);
        let connection = protocol.is_reliable().then_some(ConnectionId(7));
        let remote = SocketAddr::from(([192, 0, 2, 1], if protocol.is_reliable() { 40_000 } else { 5060 }));
        Self {
            endpoint: Endpoint::new(config, [7; 32], start),
            start,
            now: start,
            path: Path {
                protocol,
                listener: ListenerId(0),
                local,
                remote,
                connection,
            },
            wake: None,
            sent: Vec::new(),
            events: Vec::new(),
            branches: 0,
        }
    }

    /// A request of the peer with the usual lines; a line of `lines` replaces the usual one of its name, an empty value
    /// leaves it out.
    pub fn compose(&mut self, method: &str, lines: &[&str], body: &str) -> String {
        self.branches += 1;
        let transport = self.path.protocol.via_name();
        let mut head = vec![
            format!(
                "Via: SIP/2.0/{transport} {};branch=z9hG4bKpeer{};rport",
                self.path.remote, self.branches
            ),
            "Max-Forwards: 70".into(),
            "From: <sip:alice@192.0.2.1>;tag=a1".into(),
            "To: <sip:bob@192.0.2.9>".into(),
            "Call-ID: call-1@192.0.2.1".into(),
            format!("CSeq: 1 {method}"),
            "Contact: <sip:alice@192.0.2.1:5060>".into(),
        ];
        if !body.is_empty() {
            head.push("Content-Type: application/sdp".into());
        }
        let name_of = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
        head.retain(|usual| !lines.iter().any(|line| name_of(line) == name_of(usual)));
        let has_value = |line: &&&str| {
            line.split_once(':')
                .is_some_and(|(_, value)| !value.trim().is_empty())
        };
        head.extend(lines.iter().filter(has_value).map(|line| (*line).to_owned()));
        format!(
            "{method} sip:bob@192.0.2.9 SIP/2.0\r\n{}\r\nContent-Length: {}\r\n\r\n{body}",
            head.join("\r\n"),
            body.len()
        )
    }

    /// The endpoint gets these octets; gives what it sends at once.
    pub fn receive(&mut self, text: &str) -> Vec<Sent> {
        let (now, path) = (self.now, self.path);
        self.endpoint.handle_message(
            now,
            &path,
            Bytes::copy_from_slice(text.as_bytes()),
            Framing::Datagram,
        );
        self.drain()
    }

    /// Composes and sends.
    pub fn send(&mut self, method: &str, lines: &[&str], body: &str) -> Vec<Sent> {
        let text = self.compose(method, lines, body);
        self.receive(&text)
    }

    /// A command of the host.
    pub fn act<T>(&mut self, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> (T, Vec<Sent>) {
        let result = act(&mut self.endpoint, self.now);
        (result, self.drain())
    }

    pub fn drain(&mut self) -> Vec<Sent> {
        let mut new = Vec::new();
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(t) => new.push(Sent {
                    at: (self.now - self.start).as_millis() as u64,
                    to: t.to,
                    bytes: t.payload,
                    token: t.token,
                }),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(wake) => {
                    self.wake = wake;
                    self.sent.extend(new.iter().cloned());
                    return new;
                }
            }
        }
    }

    /// Lets time pass; gives what is sent meanwhile.
    pub fn wait(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut new = Vec::new();
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.endpoint.handle_timeout(self.now);
            new.extend(self.drain());
        }
        self.now = end;
        new
    }

    pub fn wait_ms(&mut self, ms: u64) -> Vec<Sent> {
        self.wait(Duration::from_millis(ms))
    }

    /// The leg of the first incoming call.
    pub fn incoming(&self) -> LegId {
        let leg = |event: &Event| match event {
            Event::Incoming { leg, .. } => Some(*leg),
            _ => None,
        };
        self.events.iter().find_map(leg).expect("an incoming call")
    }

    /// Takes the events of legs so far.
    pub fn leg_events(&mut self) -> Vec<LegEvent> {
        let events = std::mem::take(&mut self.events);
        let event = |event| match event {
            Event::Leg { event, .. } => Some(event),
            _ => None,
        };
        events.into_iter().filter_map(event).collect()
    }

    /// The end of the one leg that ended; panics when none or several did.
    pub fn ended(&mut self) -> Ended {
        let mut ends = self.leg_events().into_iter().filter_map(|event| match event {
            LegEvent::Ended(ended) => Some(ended),
            _ => None,
        });
        let end = ends.next().expect("an end");
        assert!(ends.next().is_none(), "exactly one end");
        end
    }

    /// An answered and confirmed inbound call; gives its leg and our To tag.
    pub fn talking(&mut self) -> (LegId, String) {
        self.send("INVITE", &[], SDP);
        let leg = self.incoming();
        let (_, sent) = self.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
        let tag = sent[0].to_tag();
        self.send("ACK", &[&to(&tag)], "");
        (leg, tag)
    }

    /// Places a call to the peer; gives the leg and the INVITE.
    pub fn call(&mut self, tune: impl FnOnce(&mut InviteRequest)) -> (LegId, Sent) {
        let mut request = InviteRequest {
            uri: "sip:alice@192.0.2.1:5060".into(),
            from: PartyAddress {
                user: Some("bob".into()),
                ..PartyAddress::default()
            },
            to: None,
            next_hop: None,
            headers: vec![],
            body: sdp(),
            credentials: vec![],
            contact_user: None,
            timeout: Duration::from_secs(60),
        };
        tune(&mut request);
        let (leg, sent) = self.act(|endpoint, now| endpoint.invite(now, request).unwrap());
        (leg, sent[0].clone())
    }

    /// The peer answers a request of the endpoint.
    pub fn reply(
        &mut self,
        request: &Sent,
        status: &str,
        to_tag: &str,
        lines: &[&str],
        body: &str,
    ) -> Vec<Sent> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let tag = if name == "To" && !to_tag.is_empty() && request.to_tag().is_empty() {
                format!(";tag={to_tag}")
            } else {
                String::new()
            };
            text.push_str(&format!("{name}: {}{tag}\r\n", request.header(name)));
        }
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.receive(&text)
    }

    pub fn assert_quiescent(&mut self) {
        self.wait(Duration::from_secs(40));
        assert_eq!(self.endpoint.counts(), Default::default());
        assert_eq!(self.endpoint.stats().invariant_breaks, 0);
    }
}

/// A To line with our tag.
pub fn to(tag: &str) -> String {
    format!("To: <sip:bob@192.0.2.9>;tag={tag}")
}
