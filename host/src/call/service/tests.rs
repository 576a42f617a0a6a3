//! Who gets a call when sessions, calls, times and ends cross each other: two shards without sockets, step by step.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use callbox_sip::endpoint::{Endpoint, EndpointConfig, Listener, ListenerId, Output, Path, Protocol};
use callbox_sip::message::Framing;

use super::super::exchange::{Exchange, ShardQueue};
use super::super::incoming::{IncomingCall, IncomingCalls, Refusal};
use super::super::leg::{CallState, Direction, Leg};
use super::super::policy::{DialGrant, DialPolicy, DialRequest};
use super::super::registration::RegisterOptions;
use super::super::session::{Session, SessionContext};
use super::super::{CallError, Denial};
use super::{Services, WaitingRoom};
use crate::config::limits::CallLimits;
use crate::wire::{ShardCore, ShardWaker};

const PEER: &str = "192.0.2.7:5060";

struct Anywhere;

impl DialPolicy for Anywhere {
    fn grant(&self, _: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        Ok(DialGrant::direct("us".to_owned(), None))
    }
}

/// A call is for the registration that it is sent to, or for the service that its user part names.
struct ByName(Arc<WaitingRoom>);

impl IncomingCalls for ByName {
    fn incoming(&self, call: &mut IncomingCall) -> Result<(), Refusal> {
        if let Some(given) = call.give_to_registration(&self.0) {
            return given;
        }
        match call.user().as_str() {
            "alice" => call
                .wait_for_registration(&self.0)
                .unwrap_or(Err(Refusal::new(404))),
            name => call.wait_for_service(&self.0, &"acme".into(), name, &Arc::default()),
        }
    }
}

struct Shard {
    queue: Arc<ShardQueue>,
    endpoint: Endpoint,
    exchange: Exchange,
    sent: Vec<String>,
}

impl Shard {
    fn new(room: &Arc<WaitingRoom>) -> Self {
        let config = EndpointConfig {
            listeners: vec![Listener {
                id: ListenerId(0),
                protocol: Protocol::Udp,
                advertised: "192.0.2.1:5060".parse().unwrap(),
            }],
            ..EndpointConfig::default()
        };
        let queue = ShardQueue::new(ShardWaker::new());
        Self {
            endpoint: Endpoint::new(config, [7; 32], Instant::now()),
            exchange: Exchange::new(Arc::clone(&queue), Arc::new(ByName(Arc::clone(room)))),
            queue,
            sent: Vec::new(),
        }
    }

    fn settle(&mut self) {
        let mut events = std::collections::VecDeque::new();
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    self.sent
                        .push(String::from_utf8(transmit.payload.to_vec()).unwrap());
                }
                Output::Event(event) => events.push_back(event),
                Output::Timeout(_) => match events.pop_front() {
                    Some(event) => self.exchange.event(Instant::now(), &mut self.endpoint, event),
                    None => return,
                },
            }
        }
    }

    fn receive(&mut self, method: &str, id: &str, service: &str) {
        self.receive_at(method, id, &format!("sip:{service}@192.0.2.1"), service);
    }

    fn receive_at(&mut self, method: &str, id: &str, uri: &str, to: &str) {
        let peer: SocketAddr = PEER.parse().unwrap();
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{id}\r\n\
             From: <sip:caller-{id}@192.0.2.7>;tag={id}\r\nTo: <sip:{to}@192.0.2.1>\r\nCall-ID: {id}\r\n\
             CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:caller@{peer}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.receive_text(text);
    }

    fn receive_text(&mut self, text: String) {
        let path = Path {
            protocol: Protocol::Udp,
            listener: ListenerId(0),
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: PEER.parse().unwrap(),
            connection: None,
        };
        self.endpoint
            .handle_message(Instant::now(), &path, text.into(), Framing::Datagram);
        self.settle();
    }

    /// Grants the newest REGISTER; the contact that it binds.
    fn register(&mut self) -> String {
        self.turn();
        let request = self.sent.last().unwrap();
        assert!(request.starts_with("REGISTER "), "{request}");
        let field = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap();
        let (via, from, to) = (field("Via"), field("From"), field("To"));
        let (id, cseq, contact) = (field("Call-ID"), field("CSeq"), field("Contact"));
        let reply = format!(
            "SIP/2.0 200 OK\r\n{via}\r\n{from}\r\n{to};tag=r\r\n{id}\r\n{cseq}\r\n{contact};expires=300\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let uri = contact.split(['<', '>']).nth(1).unwrap().to_owned();
        self.receive_text(reply);
        uri
    }

    /// The shard's turn: what flows have left for it.
    fn turn(&mut self) {
        self.exchange.woken(Instant::now(), &mut self.endpoint);
        self.settle();
    }

    fn sent(&mut self, status: &str) -> usize {
        self.turn();
        let line = |text: &&String| text.lines().next().is_some_and(|line| line.contains(status));
        self.sent.iter().filter(line).count()
    }
}

struct House {
    room: Arc<WaitingRoom>,
    shards: [Shard; 2],
}

impl House {
    fn new() -> Self {
        let limits = CallLimits {
            service_waiting_calls: 2,
            service_wait_ms: 100,
            ..CallLimits::default()
        };
        let room = WaitingRoom::new(tokio::runtime::Handle::current(), &limits, Duration::from_secs(5));
        let shards = [Shard::new(&room), Shard::new(&room)];
        Self { room, shards }
    }

    /// A session of this tenant on the first shard.
    fn session(&self, tenant: &str) -> Session {
        self.ringing(tenant, false)
    }

    fn ringing(&self, tenant: &str, auto_ring: bool) -> Session {
        let names = ["desk", "door"].into_iter().map(str::to_owned);
        let context = SessionContext {
            tenant: tenant.into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::new()),
            auto_ring,
            grants: crate::call::Grants::all(),
            policy: Arc::new(Anywhere),
            services: Services::new(Arc::clone(&self.room), names.collect::<BTreeSet<_>>()),
            limits: Arc::new(CallLimits::default()),
            bounds: Arc::default(),
        };
        Session::open("test".to_owned(), context, Arc::clone(&self.shards[0].queue))
    }

    fn leg(&self) -> Leg {
        self.session("acme").new_leg().unwrap()
    }
}

const LONG: Duration = Duration::from_secs(20);

/// Polls once: registers a method that must wait.
async fn begins<F: Future>(mut future: std::pin::Pin<&mut F>) {
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it should wait");
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn sessions_get_calls_in_the_order_in_which_they_began_to_wait() {
    let mut house = House::new();
    let (first, second) = (house.leg(), house.leg());
    let mut one = Box::pin(first.accept("desk", LONG));
    begins(one.as_mut()).await;
    let mut two = Box::pin(second.accept("desk", LONG));
    begins(two.as_mut()).await;
    house.shards[1].receive("INVITE", "a", "desk");
    house.shards[0].receive("INVITE", "b", "desk");
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(
        (first.sip_call_id(), second.sip_call_id()),
        ("a".into(), "b".into())
    );
    assert_eq!((first.id(), first.direction()), (1, Direction::Inbound));
    assert_eq!(first.state(), CallState::RingingIn);
    assert_eq!(first.ani(), "caller-a");
    assert_eq!(house.room.counts(), (0, 0));

    // It lives on the shard that it came to, and what the flow says is heard there.
    first.reject(486, None, Vec::new()).unwrap();
    assert_eq!(house.shards[0].sent("486"), 0);
    assert_eq!(house.shards[1].sent("486"), 1);
}

#[tokio::test]
async fn calls_are_taken_in_the_order_in_which_they_came_and_one_a_method() {
    let mut house = House::new();
    house.shards[0].receive("INVITE", "a", "desk");
    house.shards[1].receive("INVITE", "b", "desk");
    house.shards[1].receive("INVITE", "c", "desk");
    assert_eq!(house.shards[1].sent("480"), 1, "only two may wait");
    for id in ["a", "b"] {
        let leg = house.leg();
        leg.accept("desk", Duration::ZERO).await.unwrap();
        assert_eq!(leg.sip_call_id(), id);
        std::mem::forget(leg);
    }
    assert_eq!(
        house.leg().accept("desk", Duration::ZERO).await,
        Err(CallError::Timeout)
    );
    assert_eq!(house.room.counts(), (0, 0));
}

#[tokio::test]
async fn other_bounds_hold_for_the_calls_to_come() {
    let mut house = House::new();
    house.shards[0].receive("INVITE", "a", "desk");
    house.room.resize(&CallLimits {
        service_waiting_calls: 1,
        service_wait_ms: 60_000,
        ..CallLimits::default()
    });
    house.shards[0].receive("INVITE", "b", "desk");
    assert_eq!(house.shards[0].sent("480"), 1, "one waits, and no more may");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.room.counts(), (0, 0), "the first has its old time");
    house.shards[0].receive("INVITE", "c", "desk");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.room.counts().0, 1, "the third has the new one");
}

#[tokio::test]
async fn nobody_gets_a_call_of_another_service_or_tenant() {
    let mut house = House::new();
    house.shards[0].receive("INVITE", "a", "desk");
    assert_eq!(
        house.leg().accept("door", Duration::ZERO).await,
        Err(CallError::Timeout)
    );
    let stranger = house.session("other").new_leg().unwrap();
    assert_eq!(
        stranger.accept("desk", Duration::ZERO).await,
        Err(CallError::Timeout)
    );
    for unknown in ["window", "sip:desk@192.0.2.1"] {
        assert!(matches!(
            stranger.accept(unknown, LONG).await,
            Err(CallError::UnknownDestination(_))
        ));
    }
    assert!(matches!(
        stranger.accept("", LONG).await,
        Err(CallError::Invalid(_))
    ));
    assert_eq!(stranger.state(), CallState::Idle);
    assert_eq!(house.room.counts(), (1, 0));
}

#[tokio::test]
async fn a_call_that_nobody_takes_is_refused_and_one_that_gives_up_is_gone() {
    let mut house = House::new();
    house.shards[0].receive("INVITE", "a", "desk");
    house.shards[0].receive("INVITE", "b", "desk");
    house.shards[0].receive("CANCEL", "b", "desk");
    assert_eq!(house.shards[0].sent("487"), 1);
    assert_eq!(house.room.counts(), (1, 0));
    let deadline = Instant::now() + LONG;
    while house.shards[0].sent("480") == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(house.shards[0].sent("480"), 1);
    assert_eq!(house.room.counts(), (0, 0));
    assert_eq!(
        house.leg().accept("desk", Duration::ZERO).await,
        Err(CallError::Timeout)
    );
}

#[tokio::test]
async fn a_call_that_was_handed_over_as_the_time_ran_out_is_accepted() {
    let mut house = House::new();
    let leg = house.leg();
    let mut accept = Box::pin(leg.accept("desk", Duration::from_millis(10)));
    begins(accept.as_mut()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    house.shards[1].receive("INVITE", "a", "desk");
    accept.await.unwrap();
    assert_eq!(leg.sip_call_id(), "a");
}

#[tokio::test]
async fn a_call_whose_session_died_before_it_saw_it_goes_to_the_next() {
    let mut house = House::new();
    let (dying, next) = (house.leg(), house.leg());
    {
        let mut accept = Box::pin(dying.accept("desk", LONG));
        begins(accept.as_mut()).await;
        house.shards[1].receive("INVITE", "a", "desk");
        house.shards[1].receive("INVITE", "b", "desk");
        assert_eq!(house.room.counts(), (1, 0));
    }
    assert_eq!(house.room.counts(), (2, 0));
    assert_eq!(
        (dying.state(), dying.sip_call_id()),
        (CallState::Idle, String::new())
    );
    drop(dying);
    next.accept("desk", Duration::ZERO).await.unwrap();
    assert_eq!(next.sip_call_id(), "a", "it was before b");
    assert_eq!(house.shards[1].sent("SIP/2.0 4"), 0);

    // News of the call reach the one that has it.
    house.shards[1].receive("CANCEL", "a", "desk");
    assert!(matches!(
        next.answer(
            super::super::Body::parse("application/sdp", b"v=0".to_vec(), &CallLimits::default()).unwrap(),
            Vec::new(),
            LONG
        )
        .await,
        Err(CallError::Hangup(_))
    ));
}

#[tokio::test]
async fn a_session_that_stopped_waiting_is_passed_over() {
    let mut house = House::new();
    let (gone, stays) = (house.leg(), house.leg());
    let mut first = Box::pin(gone.accept("desk", LONG));
    begins(first.as_mut()).await;
    let mut second = Box::pin(stays.accept("desk", LONG));
    begins(second.as_mut()).await;
    drop(first);
    house.shards[0].receive("INVITE", "a", "desk");
    second.await.unwrap();
    assert!(matches!(
        stays.accept("desk", LONG).await,
        Err(CallError::WrongState(_))
    ));
    assert_eq!(gone.state(), CallState::Idle);
}

#[tokio::test]
async fn a_host_that_drains_lets_nobody_wait() {
    let mut house = House::new();
    house.shards[0].receive("INVITE", "a", "door");
    let leg = house.leg();
    let mut accept = Box::pin(leg.accept("desk", LONG));
    begins(accept.as_mut()).await;
    house.room.drain();
    let draining = Err(CallError::Denied(Denial::Draining));
    assert_eq!(accept.await, draining);
    assert_eq!(leg.accept("desk", LONG).await, draining);
    house.shards[1].receive("INVITE", "b", "desk");
    assert_eq!((house.shards[0].sent("503"), house.shards[1].sent("503")), (1, 1));
    assert_eq!(house.room.counts(), (0, 0));
    house.room.resume();
    house.shards[1].receive("INVITE", "c", "desk");
    leg.accept("desk", LONG).await.unwrap();
}

#[tokio::test]
async fn a_call_goes_to_the_registration_whose_contact_it_was_sent_to() {
    let mut house = House::new();
    let (acme, other) = (house.session("acme"), house.session("other"));
    let mut registrations = Vec::new();
    let mut contacts = Vec::new();
    for session in [&acme, &other] {
        let options = RegisterOptions::default();
        let mut registering = Box::pin(session.register("sip:alice@192.0.2.7", &options));
        begins(registering.as_mut()).await;
        contacts.push(house.shards[0].register());
        registrations.push(registering.await.unwrap());
    }
    assert_ne!(contacts[0], contacts[1]);
    let accepts = |session: &Session| {
        let leg = session.new_leg().unwrap();
        async move {
            let accepted = leg.accept("sip:alice@192.0.2.7", Duration::ZERO).await;
            accepted.map(|()| leg.sip_call_id())
        }
    };

    // Nobody has accepted yet: the registrations are not known here.
    house.shards[1].receive_at("INVITE", "a", &contacts[0], "alice");
    assert_eq!(house.shards[1].sent("404"), 1);
    assert_eq!(accepts(&acme).await, Err(CallError::Timeout));
    // Only acme's stands here, so a call that lost its line can be for no other.
    house.shards[1].receive_at("INVITE", "b", "sip:alice@192.0.2.1", "alice");
    assert_eq!(accepts(&other).await, Err(CallError::Timeout));
    assert_eq!(accepts(&acme).await, Ok("b".to_owned()));

    // Both accept calls of one address: the contact tells whose a call is, and the address alone nothing.
    house.shards[1].receive_at("INVITE", "c", &contacts[1], "alice");
    house.shards[1].receive_at("INVITE", "d", &contacts[0], "alice");
    house.shards[1].receive_at("INVITE", "e", "sip:alice@192.0.2.1", "alice");
    assert_eq!(house.shards[1].sent("404"), 2);
    assert_eq!(accepts(&acme).await, Ok("d".to_owned()));
    assert_eq!(accepts(&other).await, Ok("c".to_owned()));

    // A registration that is given up takes no calls, whatever its contact was.
    drop(registrations.remove(0));
    house.shards[1].receive_at("INVITE", "f", &contacts[0], "bob");
    assert_eq!(
        house.room.counts().0,
        1,
        "it waits for a service of its user's name"
    );
    assert!(matches!(
        accepts(&acme).await,
        Err(CallError::UnknownDestination(_))
    ));
}

#[tokio::test]
async fn the_host_rings_when_a_session_accepts_and_waits_without_a_word() {
    let mut house = House::new();
    let session = house.ringing("acme", true);
    let leg = session.new_leg().unwrap();
    house.shards[1].receive("INVITE", "a", "desk");
    leg.accept("desk", Duration::ZERO).await.unwrap();
    assert_eq!(
        house.shards[1].sent("SIP/2.0 180"),
        0,
        "the flow may still reject"
    );
    session.sleep(Duration::ZERO).await;
    session.sleep(Duration::ZERO).await;
    assert_eq!(house.shards[1].sent("SIP/2.0 180"), 1);
}
