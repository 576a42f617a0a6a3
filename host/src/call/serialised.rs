//! What a flow's strings become on the wire: parse(serialise(x)) has exactly the headers of x, whatever stands in x.
//!
//! Each operation that puts a guest's string into a message is done twice on a shard without sockets: with a plain word and
//! with the string. The second is refused, or its messages have the same headers as the first's, one by one, and no line
//! more. The parser is that of callbox-sip; the lines of the head are counted without it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Endpoint, EndpointConfig, Listener, ListenerId, Output, Path, Protocol, Transmit,
};
use callbox_sip::message::{Framing, Message, MessageLimits};
use proptest::prelude::*;

use super::exchange::{Exchange, ShardQueue};
use super::incoming::{IncomingCall, IncomingCalls, Refusal};
use super::leg::Leg;
use super::options::{Credentials, Login, MakeCallOptions, TransferOptions};
use super::policy::{DialGrant, DialPolicy, DialRequest};
use super::registration::RegisterOptions;
use super::service::{Services, WaitingRoom};
use super::session::{Session, SessionContext};
use super::subscription::SubscribeOptions;
use super::{CallError, Header};
use crate::config::limits::CallLimits;
use crate::wire::{ShardCore, ShardWaker};

const PEER: &str = "192.0.2.7:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\n";
/// Stands where the flow's string may.
const PLAIN: &str = "plain";

struct Anything;

impl DialPolicy for Anything {
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        let user = request.caller_user.unwrap_or("us").to_owned();
        Ok(DialGrant::direct(user, request.caller_name))
    }

    fn may_claim(&self, _: &str, _: &str) -> Result<(), CallError> {
        Ok(())
    }
}

/// Opens a session for each call that comes in.
struct Opens {
    context: Box<dyn Fn() -> SessionContext + Send + Sync>,
    opened: Mutex<Option<(Session, Leg)>>,
}

impl IncomingCalls for Opens {
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        *self.opened.lock().unwrap() = Some(call.open((self.context)()));
        Ok(())
    }
}

struct Shard {
    queue: Arc<ShardQueue>,
    endpoint: Endpoint,
    exchange: Exchange,
    incoming: Arc<Opens>,
    sent: Vec<Bytes>,
}

impl Shard {
    fn new() -> Self {
        let limits = CallLimits::default();
        let room = WaitingRoom::new(tokio::runtime::Handle::current(), &limits, Duration::from_secs(5));
        let context = move || SessionContext {
            tenant: "acme".into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::new()),
            auto_ring: false,
            grants: crate::call::Grants::all(),
            policy: Arc::new(Anything),
            services: Services::new(Arc::clone(&room), BTreeSet::new()),
            limits: Arc::new(CallLimits::default()),
            bounds: Arc::default(),
        };
        let config = EndpointConfig {
            listeners: vec![Listener {
                id: ListenerId(0),
                protocol: Protocol::Udp,
                advertised: "192.0.2.1:5060".parse().unwrap(),
            }],
            ..EndpointConfig::default()
        };
        let incoming = Arc::new(Opens {
            context: Box::new(context),
            opened: Mutex::default(),
        });
        let queue = ShardQueue::new(ShardWaker::new());
        Self {
            endpoint: Endpoint::new(config, [7; 32], Instant::now()),
            exchange: Exchange::new(Arc::clone(&queue), Arc::clone(&incoming) as _),
            queue,
            incoming,
            sent: Vec::new(),
        }
    }

    /// What flows have left for the shard, and what follows from it.
    fn turn(&mut self) {
        self.exchange.woken(Instant::now(), &mut self.endpoint);
        let mut events = VecDeque::new();
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(Transmit { payload, .. }) => self.sent.push(payload),
                Output::Event(event) => events.push_back(event),
                Output::Timeout(_) => match events.pop_front() {
                    Some(event) => self.exchange.event(Instant::now(), &mut self.endpoint, event),
                    None => return,
                },
            }
        }
    }

    fn receive(&mut self, text: String) {
        let path = Path {
            protocol: Protocol::Udp,
            listener: ListenerId(0),
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: PEER.parse().unwrap(),
            connection: None,
        };
        self.endpoint
            .handle_message(Instant::now(), &path, text.into(), Framing::Datagram);
        self.turn();
    }

    /// Answers the last request.
    fn reply(&mut self, status: &str, more: &str) {
        let request = String::from_utf8_lossy(self.sent.last().unwrap()).into_owned();
        let head = request.split("\r\n\r\n").next().unwrap();
        let field = |name: &str| head.split("\r\n").find(|line| line.starts_with(name)).unwrap();
        let text = format!(
            "SIP/2.0 {status}\r\n{}\r\n{}\r\n{};tag=r\r\n{}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n",
            field("Via: "),
            field("From: "),
            field("To: "),
            field("Call-ID: "),
            field("CSeq: "),
        );
        self.receive(text);
    }

    fn session(&self) -> Session {
        Session::open(
            "test".to_owned(),
            (self.incoming.context)(),
            Arc::clone(&self.queue),
        )
    }

    /// A call that came in, and rings.
    fn called(&mut self) -> (Session, Leg) {
        self.receive(format!(
            "INVITE sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@192.0.2.7>;tag=a\r\nTo: <sip:us@192.0.2.1>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:peer@{PEER}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        ));
        self.incoming.opened.lock().unwrap().take().unwrap()
    }

    /// The same, answered and acknowledged.
    fn talking(&mut self) -> (Session, Leg) {
        let (session, leg) = self.called();
        let body = session.body("application/sdp", SDP.into()).unwrap();
        begin(self, leg.answer(body, Vec::new(), Duration::from_secs(9))).unwrap();
        let tag = String::from_utf8_lossy(self.sent.last().unwrap()).into_owned();
        let tag = tag
            .split("\r\n")
            .find_map(|line| line.strip_prefix("To: "))
            .unwrap()
            .to_owned();
        self.receive(format!(
            "ACK sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bKb\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@192.0.2.7>;tag=a\r\nTo: {tag}\r\nCall-ID: a\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
        ));
        (session, leg)
    }
}

/// What a method does before it waits, and what the shard makes of that while it does.
fn begin<T>(shard: &mut Shard, future: impl Future<Output = Result<T, CallError>>) -> Result<(), CallError> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let early = future.as_mut().poll(&mut context);
    shard.turn();
    match early {
        std::task::Poll::Ready(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The places that a string of a flow's may take.
const PLACES: usize = 26;

/// Puts `text` into the message of this place. What was sent for it; none when it was refused.
fn say(place: usize, text: &str) -> Option<Vec<Bytes>> {
    let mut shard = Shard::new();
    let done = match place {
        0..=14 => dial(&mut shard, place, text),
        15..=20 => stand(&mut shard, place, text),
        _ => answer(&mut shard, place, text),
    };
    // The endpoint refuses what the call layer lets pass by sending nothing.
    done.ok().map(|()| shard.sent).filter(|sent| !sent.is_empty())
}

fn dial(shard: &mut Shard, place: usize, text: &str) -> Result<(), CallError> {
    let session = shard.session();
    let leg = session.new_leg()?;
    let mut dest = "sip:bob@192.0.2.7".to_owned();
    let mut options = MakeCallOptions::default();
    let login = |username: &str, password: &str, realm: Option<&str>| {
        Credentials::Given(Login {
            username: username.to_owned(),
            password: password.to_owned(),
            realm: realm.map(str::to_owned),
        })
    };
    match place {
        0 => dest = format!("sip:{text}@192.0.2.7"),
        1 => dest = format!("sip:bob@192.0.2.7;{text}"),
        2 => dest = format!("sip:bob@{text}.example"),
        3 => options.headers = vec![session.header("X-Test", text)?],
        4 => options.headers = vec![session.header(text, "1")?],
        5 => options.headers = vec![session.header("P-Asserted-Identity", text)?],
        6 => options.offer = Some(session.body(&format!("text/{text}"), b"x".to_vec())?),
        7 => options.offer = Some(session.body(&format!("text/plain;{text}"), b"x".to_vec())?),
        8 => options.offer = Some(session.body("application/sdp", format!("v=0\r\ns={text}\r\n").into())?),
        9 => options.caller_id = Some((text.to_owned(), None)),
        10 => options.caller_id = Some(("us".to_owned(), Some(text.to_owned()))),
        11 => options.credentials = login(text, "p", None),
        12 => options.credentials = login("u", text, None),
        13 => options.credentials = login("u", "p", Some(text)),
        _ => {}
    }
    leg.dial(&dest, &options)?;
    shard.turn();
    if shard.sent.is_empty() {
        return Ok(());
    }
    match place {
        11..=13 => {
            let realm = if place == 13 { "r" } else { "carrier.example" };
            shard.reply(
                "407 Proxy Authentication Required",
                &format!("Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n\"\r\n"),
            );
        }
        14 => {
            shard.reply("180 Ringing", "");
            leg.cancel(Some(text))?;
            shard.turn();
        }
        _ => {}
    }
    Ok(())
}

fn stand(shard: &mut Shard, place: usize, text: &str) -> Result<(), CallError> {
    let session = shard.session();
    match place {
        15 => begin(
            shard,
            session.register(&format!("sip:{text}@192.0.2.7"), &RegisterOptions::default()),
        ),
        16 | 17 => {
            let mut options = RegisterOptions::default();
            match place {
                16 => options.contacts = vec![format!("sip:us@192.0.2.8;{text}")],
                _ => options.headers = vec![session.header("X-Test", text)?],
            }
            begin(shard, session.register("sip:us@192.0.2.7", &options))
        }
        _ => {
            let mut options = SubscribeOptions::default();
            let mut package = "presence".to_owned();
            match place {
                18 => package = text.to_owned(),
                19 => options.accept = vec![format!("text/{text}")],
                _ => options.headers = vec![session.header("X-Test", text)?],
            }
            begin(shard, session.subscribe("sip:bob@192.0.2.7", &package, &options))
        }
    }
}

fn answer(shard: &mut Shard, place: usize, text: &str) -> Result<(), CallError> {
    if place >= 24 {
        let (session, leg) = shard.talking();
        return match place {
            24 => begin(
                shard,
                leg.send_info(
                    session.body(&format!("text/{text}"), b"x".to_vec())?,
                    Vec::new(),
                    None,
                ),
            ),
            _ => begin(
                shard,
                leg.blind_transfer(&format!("sip:bob@192.0.2.7;{text}"), &TransferOptions::default()),
            ),
        };
    }
    let (session, leg) = shard.called();
    let header =
        |value: &str| -> Result<Vec<Header>, CallError> { Ok(vec![session.header("X-Test", value)?]) };
    match place {
        21 => leg.ring(header(text)?)?,
        22 => leg.reject(486, Some(text), Vec::new())?,
        _ => leg.redirect(&[format!("sip:bob@192.0.2.7;{text}")])?,
    }
    shard.turn();
    Ok(())
}

/// The names of the headers of a message, after its method or status; `own` is the name that the flow chose.
fn shape(payload: &Bytes, own: &str) -> Vec<String> {
    let end = payload.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&payload[..end]).unwrap();
    let lines: Vec<&str> = head.split("\r\n").collect();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    let message = Message::parse(payload.clone(), Framing::Datagram, &MessageLimits::default()).unwrap();
    let names = message
        .all_headers()
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    let names: Vec<String> = names
        .map(|name| if name == own { PLAIN.to_owned() } else { name })
        .collect();
    assert_eq!(names.len(), lines.len() - 1, "{head:?}");
    assert_eq!(message.body(), &payload[end + 4..], "{head:?}");
    let first = lines[0];
    let what = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => &status[..3],
        None => {
            assert_eq!(first.split(' ').count(), 3, "{head:?}");
            first.split(' ').next().unwrap()
        }
    };
    std::iter::once(what.to_owned()).chain(names).collect()
}

fn check(place: usize, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let plain = say(place, PLAIN).unwrap_or_else(|| panic!("place {place} takes no plain word"));
    assert!(
        plain.len() > usize::from(place >= 24),
        "place {place} sends nothing"
    );
    let Some(sent) = say(place, text) else { return };
    let shapes =
        |sent: &[Bytes], own: &str| -> Vec<Vec<String>> { sent.iter().map(|it| shape(it, own)).collect() };
    let own = if place == 4 { text } else { PLAIN };
    assert_eq!(
        shapes(&sent, own),
        shapes(&plain, PLAIN),
        "place {place}, {text:?}"
    );
    if matches!(place, 3 | 17 | 20 | 21) {
        let values: Vec<Vec<u8>> = sent
            .iter()
            .map(|it| Message::parse(it.clone(), Framing::Datagram, &MessageLimits::default()).unwrap())
            .flat_map(|message| {
                message
                    .headers_named("X-Test")
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(!values.is_empty(), "place {place}, {text:?}");
        let same = |value: &Vec<u8>| value == text.trim().as_bytes();
        assert!(values.iter().all(same), "place {place}, {text:?}: {values:?}");
    }
}

/// Poison and ordinary text, mixed.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z0-9]{0,6}".prop_map(String::from),
        2 => any::<char>().prop_map(String::from),
        4 => prop::sample::select(vec![
            "\r\n", "\n", "\r", "\0", "\r\n ", "\t", " ", "\r\nX-Evil: 1\r\n", "\r\n\r\nBYE sip:x SIP/2.0\r\n", "<", ">",
            "\"", "\\", ";", ",", ":", "@", "?", "=", "%0d%0a", "%", "&", "/", "\u{2028}", "\u{85}", "\u{7f}", "tag=1",
            "branch=z9hG4bK", "#", "*", "+", "[", "]", "Via", "é",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_string_of_a_flow_writes_a_header_but_its_own(place in 0..PLACES, text in text()) {
        check(place, &text);
    }
}

#[test]
fn every_place_takes_a_plain_word_and_no_line_end() {
    for place in 0..PLACES {
        check(place, PLAIN);
        for poison in [
            "a\r\nX-Evil: 1",
            "a\nX-Evil: 1",
            "a\rX-Evil: 1",
            "a\0b",
            "\r\n\r\nBYE sip:x SIP/2.0",
        ] {
            check(place, poison);
        }
    }
}
