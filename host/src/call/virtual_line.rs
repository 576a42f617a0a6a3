//! A shard that leads nowhere, with one caller on it: for a flow that is tried before it gets real calls.
//!
//! Two SIP endpoints, ours and the caller's, hand each other their messages in memory; what is for anybody else is dropped, so
//! nothing leaves the host whatever the flow does. Entry type: [`VirtualLine`]. Invariants: a session on it behaves as on
//! a real shard (the caller offers a session, acknowledges, answers requests); it hears and is heard only while
//! [`VirtualLine::run`] runs.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    Body, Destination, Endpoint, EndpointConfig, InviteRequest, Listener, ListenerId, Output, PartyAddress,
    Path, Protocol,
};
use callbox_sip::message::Framing;

use super::exchange::{Exchange, ShardQueue};
use super::incoming::{IncomingCall, IncomingCalls, Refusal};
use super::leg::Leg;
use super::session::{Session, SessionContext};
use crate::wire::{ShardCore, ShardWaker};

/// Addresses for documentation (RFC 5737): nobody's, should one ever be seen.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CALLER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PORT: u16 = 5060;
/// What the caller calls itself.
const CALLER_NAME: &str = "trial";
/// Messages that go to and fro without time passing: two endpoints that do not tire of each other are stopped.
const MESSAGES_AT_ONCE: usize = 1_000;
/// What the caller offers: one stream of sound to nobody.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
                     m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                     a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// A shard that leads nowhere.
pub struct VirtualLine {
    exchange: Exchange,
    queue: Arc<ShardQueue>,
    waker: ShardWaker,
    desk: Arc<Desk>,
    host: Side,
    caller: Side,
}

struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    due: Option<Instant>,
    arrived: VecDeque<Bytes>,
}

/// Gives the one call that comes in to whoever placed it.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Option<SessionContext>>,
    opened: Mutex<Option<(Session, Leg)>>,
}

impl IncomingCalls for Desk {
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        let context = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let opened = call.open(context.ok_or(Refusal::new(404))?);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }
}

impl VirtualLine {
    /// A line without a call.
    #[must_use]
    pub fn new() -> Self {
        let now = Instant::now();
        let waker = ShardWaker::new();
        let queue = ShardQueue::new(waker.clone());
        let desk = Arc::new(Desk::default());
        let incoming: Arc<dyn IncomingCalls> = Arc::clone(&desk) as _;
        Self {
            exchange: Exchange::new(Arc::clone(&queue), incoming),
            queue,
            waker,
            desk,
            host: Side::new(HOST, 1, now),
            caller: Side::new(CALLER, 2, now),
        }
    }

    /// A session that no call began.
    #[must_use]
    pub fn session(&self, context: SessionContext) -> Session {
        Session::begin(context, Arc::clone(&self.queue))
    }

    /// The session and the leg of a call to `dialled`. None when that is no user part of a URI.
    #[must_use]
    pub fn call(&mut self, context: SessionContext, dialled: &str) -> Option<(Session, Leg)> {
        *self.desk.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
        let now = Instant::now();
        let request = InviteRequest {
            uri: format!("sip:{dialled}@{HOST}:{PORT}"),
            from: PartyAddress {
                user: Some(CALLER_NAME.into()),
                ..PartyAddress::default()
            },
            to: None,
            next_hop: None,
            headers: Vec::new(),
            body: Some(Body {
                content_type: "application/sdp".into(),
                data: Bytes::from_static(OFFER.as_bytes()),
            }),
            credentials: Vec::new(),
            contact_user: None,
            timeout: Duration::from_secs(60),
        };
        self.caller.endpoint.invite(now, request).ok()?;
        self.settle(now);
        self.desk
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Carries messages to and fro until it is dropped.
    pub async fn run(mut self) {
        loop {
            let woken = self.waker.woken();
            let now = Instant::now();
            if self.waker.take() {
                self.exchange.woken(now, &mut self.host.endpoint);
                self.settle(now);
            }
            let due = [self.host.due, self.caller.due].into_iter().flatten().min();
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due.into(), woken).await;
                }
                None => woken.await,
            }
            let now = Instant::now();
            for host in [true, false] {
                let side = if host { &mut self.host } else { &mut self.caller };
                if side.due.is_some_and(|due| due <= now) {
                    side.endpoint.handle_timeout(now);
                    self.settle(now);
                }
            }
        }
    }

    /// Takes every output of both sides, and of what the outputs lead to.
    fn settle(&mut self, now: Instant) {
        for _ in 0..MESSAGES_AT_ONCE {
            self.drain_host(now);
            self.drain_caller();
            let (side, from) = match (self.host.arrived.pop_front(), self.caller.address) {
                (Some(bytes), from) => (&mut self.host, (bytes, from)),
                (None, _) => match self.caller.arrived.pop_front() {
                    Some(bytes) => (&mut self.caller, (bytes, self.host.address)),
                    None => return,
                },
            };
            let (bytes, remote) = from;
            let path = Path {
                protocol: Protocol::Udp,
                listener: ListenerId(0),
                local: side.address,
                remote,
                connection: None,
            };
            side.endpoint.handle_message(now, &path, bytes, Framing::Datagram);
        }
        // The drain law: nothing may be owed when the next input comes.
        self.drain_host(now);
        self.drain_caller();
        self.host.arrived.clear();
        self.caller.arrived.clear();
    }

    fn drain_host(&mut self, now: Instant) {
        let mut events = VecDeque::new();
        loop {
            match self.host.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    if leads_to(&transmit.to, self.caller.address) {
                        self.caller.arrived.push_back(transmit.payload);
                    }
                }
                Output::Event(event) => events.push_back(event),
                Output::Timeout(due) => {
                    self.host.due = due;
                    match events.pop_front() {
                        Some(event) => self.exchange.event(now, &mut self.host.endpoint, event),
                        None => return,
                    }
                }
            }
        }
    }

    /// The caller decides nothing: what its endpoint does not answer by itself stays without an answer.
    fn drain_caller(&mut self) {
        loop {
            match self.caller.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    if leads_to(&transmit.to, self.host.address) {
                        self.host.arrived.push_back(transmit.payload);
                    }
                }
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    self.caller.due = due;
                    return;
                }
            }
        }
    }
}

impl Default for VirtualLine {
    fn default() -> Self {
        Self::new()
    }
}

impl Side {
    fn new(address: Ipv4Addr, seed: u8, now: Instant) -> Self {
        let address = SocketAddr::from((address, PORT));
        let config = EndpointConfig {
            listeners: vec![Listener {
                id: ListenerId(0),
                protocol: Protocol::Udp,
                advertised: address,
            }],
            ..EndpointConfig::default()
        };
        Self {
            // Nobody is there to guess: what must be unguessable on the network may be the same each time here.
            endpoint: Endpoint::new(config, [seed; 32], now),
            address,
            due: None,
            arrived: VecDeque::new(),
        }
    }
}

fn leads_to(to: &Destination, address: SocketAddr) -> bool {
    match to {
        Destination::Path(path) => path.remote == address,
        Destination::Addr { addr, .. } => *addr == address,
        Destination::Name { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::call::{CallError, CallState, Denial, DialGrant, DialPolicy, DialRequest, Services};
    use crate::config::limits::CallLimits;

    struct Nowhere;

    impl DialPolicy for Nowhere {
        fn grant(&self, _: &DialRequest<'_>) -> Result<DialGrant, CallError> {
            Err(CallError::Denied(Denial::Destination))
        }
    }

    fn context() -> SessionContext {
        SessionContext {
            tenant: "acme".into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::default(),
            auto_ring: false,
            policy: Arc::new(Nowhere),
            services: Services::none(),
            grants: crate::call::Grants::all(),
            limits: Arc::new(CallLimits::default()),
            bounds: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_virtual_caller_offers_acknowledges_and_hears_the_end() {
        let mut line = VirtualLine::new();
        let (session, leg) = line.call(context(), "100").unwrap();
        let flow = async {
            assert_eq!((leg.dnis().as_str(), leg.ani().as_str()), ("100", CALLER_NAME));
            let offer = leg.remote_offer().unwrap();
            leg.ring(Vec::new()).unwrap();
            let answer = session.body("application/sdp", offer.data().to_vec()).unwrap();
            leg.answer(answer, Vec::new(), Duration::from_secs(5))
                .await
                .unwrap();
            assert_eq!(leg.state(), CallState::Connected);
            leg.hangup(None).unwrap();
            leg.wait_for_hangup(Some(Duration::from_secs(5))).await.unwrap();
        };
        let done = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                () = flow => {}
                () = line.run() => {}
            }
        });
        done.await.unwrap();
    }

    #[test]
    fn a_line_that_is_gone_holds_no_leg_of_its_tenant() {
        for line_first in [true, false] {
            let bounds = Arc::<crate::call::TenantBounds>::default();
            let mut line = VirtualLine::new();
            let told = SessionContext {
                bounds: Arc::clone(&bounds),
                ..context()
            };
            let (session, leg) = line.call(told, "100").unwrap();
            assert_eq!(bounds.legs.taken(), 1);
            // What they ask of the shard, and what their end asks of it, nobody hears any more.
            leg.ring(Vec::new()).unwrap();
            if line_first {
                drop(line);
                drop((leg, session));
            } else {
                drop((leg, session));
                drop(line);
            }
            assert_eq!(bounds.legs.taken(), 0, "line first: {line_first}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_called() {
        assert!(VirtualLine::new().call(context(), "a b\r\n").is_none());
        let line = VirtualLine::new();
        assert_eq!(&*line.session(context()).context().tenant, "acme");
    }
}
