//! What tests of the call layer share: hosts on real sockets, without WebAssembly between, and what a test asks of them.
//!
//! Entry types: [`Host`]; [`Pair`], two of them in a call; [`peer::Peer`], a peer that does only what its test says.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callbox::call::{
    Body, CallError, Denial, DialGrant, DialPolicy, DialRequest, Event, Exchange, IncomingCall,
    IncomingCalls, Leg, MakeCallOptions, Neighbours, Refusal, Services, Session, SessionContext, ShardQueue,
    WaitingRoom,
};
use callbox::config::limits::{CallLimits, WireLimits};
use callbox::wire::{self, Wire, WireConfig};
use callbox_sip::endpoint::EndpointConfig;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub const SOON: Duration = Duration::from_secs(5);
pub const SDP: &str =
    "v=0\no=test 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n";

/// Allows every destination but those that have `forbidden` in them.
pub struct AllButForbidden;

impl DialPolicy for AllButForbidden {
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        if request.target.as_str().contains("forbidden") {
            return Err(CallError::Denied(Denial::Destination));
        }
        let from_user = request.caller_user.unwrap_or("tester").to_owned();
        Ok(DialGrant::direct(from_user, request.caller_name))
    }
}

/// The service that calls to the user part of this name wait for.
pub const SERVICE: &str = "desk";

pub fn context() -> SessionContext {
    context_with(Services::none())
}

fn context_with(services: Services) -> SessionContext {
    SessionContext {
        tenant: "test".into(),
        flow: "test".into(),
        version: "1".into(),
        config: Arc::new(BTreeMap::new()),
        auto_ring: false,
        grants: callbox::call::Grants::all(),
        policy: Arc::new(AllButForbidden),
        services,
        limits: Arc::new(CallLimits::default()),
        bounds: Arc::default(),
    }
}

/// Opens a session for every call and hands it to the test, but for calls of [`SERVICE`].
pub struct Desk {
    opened: mpsc::Sender<(Session, Leg)>,
    room: Arc<WaitingRoom>,
}

impl IncomingCalls for Desk {
    /// Calls to `foreign` are another tenant's.
    fn may_replace(&self, call: &IncomingCall, tenant: &str) -> bool {
        tenant == "test" && call.user() != "foreign"
    }

    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        if call.user() == "nobody" {
            return Err(Refusal::new(404));
        }
        if call.user() == SERVICE {
            return call.wait_for_service(&self.room, &"test".into(), SERVICE, &Arc::default());
        }
        let names = BTreeSet::from([SERVICE.to_owned()]);
        let opened = call.open(context_with(Services::new(Arc::clone(&self.room), names)));
        self.opened
            .try_send(opened)
            .map_err(|_| Refusal::busy(Duration::from_secs(1)))
    }
}

/// A host: sockets, shards, and the calls that come in.
pub struct Host {
    pub wire: Wire,
    calls: mpsc::Receiver<(Session, Leg)>,
}

impl Host {
    pub fn start() -> Self {
        Self::with(EndpointConfig::default())
    }

    /// With timers or limits of the test's own.
    pub fn with(endpoint: EndpointConfig) -> Self {
        let (opened, calls) = mpsc::channel(16);
        let (runtime, limits) = (tokio::runtime::Handle::current(), CallLimits::default());
        let room = WaitingRoom::new(runtime, &limits, Duration::from_secs(1));
        let desk: Arc<dyn IncomingCalls> = Arc::new(Desk { opened, room });
        let config = WireConfig {
            tls: None,
            listen: vec!["udp:127.0.0.1:0".parse().unwrap()],
            limits: WireLimits::default(),
            hep: None,
            endpoint,
        };
        let neighbours = Neighbours::new();
        let wire = wire::start(config, |shard, waker| {
            let queue = ShardQueue::new(waker);
            neighbours.add(shard.0, &queue);
            Exchange::new(queue, Arc::clone(&desk)).among(&neighbours)
        })
        .unwrap();
        Self { wire, calls }
    }

    pub fn addr(&self) -> SocketAddr {
        self.wire.listeners().next().unwrap().local
    }

    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.addr())
    }

    pub async fn next_call(&mut self) -> (Session, Leg) {
        timeout(SOON, self.calls.recv())
            .await
            .expect("no call came")
            .expect("the host is gone")
    }
}

pub fn sdp(session: &Session) -> Body {
    session.body("application/sdp", SDP.into()).unwrap()
}

/// A number that no other call of this process has.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A socket on an address of its own: a port alone is soon given again, and what the host still sends to the one who had it
/// would come to the next one.
pub fn socket() -> std::net::UdpSocket {
    let [.., high, low] = unique().to_be_bytes();
    std::net::UdpSocket::bind((std::net::Ipv4Addr::new(127, 64, high, low), 0)).unwrap()
}

/// A session on a host, for legs that dial. It was opened by a call from outside, which stays up, ringing.
pub struct Opened {
    pub session: Session,
    pub first: Leg,
    /// Keeps the peer of `first` alive.
    pub caller: std::net::UdpSocket,
}

impl Opened {
    pub async fn on(host: &mut Host) -> Self {
        let caller = socket();
        let me = caller.local_addr().unwrap();
        let number = unique();
        let uri = host.uri("open");
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKopen{number};rport\r\nFrom: <sip:o@{me}>;tag=o\r\nTo: <{uri}>\r\n\
             Call-ID: open{number}@{me}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:o@{me}>\r\nContent-Length: 0\r\n\r\n",
        );
        caller.send_to(invite.as_bytes(), host.addr()).unwrap();
        let (session, first) = host.next_call().await;
        Self {
            session,
            first,
            caller,
        }
    }
}

/// Two hosts, `a` in a call of its own from outside so that it has a session on a shard, and a second leg of that session
/// that dials.
pub struct Pair {
    pub a: Host,
    pub b: Host,
    pub opened: Opened,
}

impl Pair {
    pub async fn start() -> Self {
        let mut a = Host::start();
        let b = Host::start();
        let opened = Opened::on(&mut a).await;
        Self { a, b, opened }
    }

    /// The session of `a`.
    pub fn session(&self) -> &Session {
        &self.opened.session
    }

    /// A call from a leg of `a` to `b`, answered.
    pub async fn connected(&mut self) -> (Leg, Session, Leg) {
        let ours = self.session().new_leg().unwrap();
        let options = MakeCallOptions {
            offer: Some(sdp(self.session())),
            ..MakeCallOptions::default()
        };
        let dest = self.b.uri("bob");
        let (call, answered) = tokio::join!(ours.make_call(&dest, &options), async {
            let (session, leg) = self.b.next_call().await;
            leg.answer(sdp(&session), Vec::new(), SOON).await.unwrap();
            (session, leg)
        });
        call.unwrap();
        (ours, answered.0, answered.1)
    }
}

pub async fn eventually(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, waiting).await.expect("it never came to hold");
}

pub async fn event_of(session: &Session, leg: &Leg) -> Event {
    session
        .next_event(Some(&[leg.id()]), Some(SOON))
        .await
        .expect("no event")
}
