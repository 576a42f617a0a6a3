//! The one front door of the SIP stack.
//!
//! An [`Endpoint`] owns transactions, dialogs, legs, registrations and subscriptions. It has no clock, no socket and no thread: the caller passes in
//! octets and the time, and takes out what to send, what happened and when to come back.
//!
//! The methods of [`Endpoint`] fall into four classes:
//! - **inputs** (`handle_*`): something happened outside. Each takes `now`.
//! - **commands** (`invite`, `answer`, `hangup`, …): the host wants something. A refused command changes nothing.
//! - **outputs** ([`Endpoint::poll_output`]): to be drained in order.
//! - **getters** ([`Endpoint::counts`], [`Endpoint::stats`]).
//!
//! **The drain law.** After each input or command, call [`Endpoint::poll_output`] until it returns
//! [`Output::Timeout`] before the next *input*. Commands may be given while draining (a command is the natural answer to
//! an event). An input before the drain is over is a fault of the caller: a debug build panics, a release build counts it
//! in [`Stats::undrained_inputs`] and goes on.
//!
//! Same seed, same inputs, same times: same outputs, bit for bit.
//!
//! Invariants: nothing is ever sent in answer to an ACK or a response; each leg ends with exactly one
//! [`LegEvent::Ended`], each registration and subscription with exactly one last event too; every table is bounded by [`EndpointLimits`].

mod address;
pub(crate) mod checks;
pub(crate) mod clients;
mod command;
pub(crate) mod compose;
mod config;
mod event;
pub(crate) mod face;
mod filter;
mod output;
mod receive;
mod registration;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod scope;
pub(crate) mod servers;
mod subscription;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

pub use address::{ConnectionId, Destination, ListenerId, Path, Protocol};
pub use command::{
    Body, EndpointError, Header, InDialogRequest, InviteRequest, PartyAddress, ReferRequest, ReofferRequest,
};
pub use config::{EndpointConfig, EndpointLimits, Listener};
pub use event::{
    EndKind, Ended, Event, LegEvent, LegId, Party, PeerRequestId, Reason, Reoffered, Replaced,
    RequestFailure, RequestId,
};
pub use filter::AddressFilter;
pub use output::{Counts, Output, Stats, Transmit, TransmitToken, TransportFailure};
pub use registration::{
    Binding, RegisterRequest, Registered, RegistrationEvent, RegistrationFailure, RegistrationId,
};
pub use route::shard_of;
pub use subscription::{
    SubscribeRequest, SubscriptionEnd, SubscriptionEvent, SubscriptionFailure, SubscriptionId,
    SubscriptionState,
};

use crate::message::{Framing, Message};
use crate::rng::Random;
use crate::timer::Timers;
use crate::transaction::key::{KeyMap, Keys};
use crate::transaction::{Population, Timer};
use crate::usage::register::{Registration, RegistrationTimer};
use crate::usage::subscribe::{Subscription, SubscriptionTimer};
use crate::usage::{Leg, LegTimer};
use clients::ClientTransaction;
use face::Faces;
use scope::Scopes;
use servers::ServerTransaction;

/// Whose timer fired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimerKey {
    Server(u32, Timer),
    Client(u32, Timer),
    Leg(LegId, LegTimer),
    Registration(RegistrationId, RegistrationTimer),
    Subscription(SubscriptionId, SubscriptionTimer),
}

/// A SIP endpoint: see the module.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) config: EndpointConfig,
    pub(crate) faces: Faces,
    pub(crate) scopes: Scopes,
    /// The Server line of responses.
    pub(crate) server_line: Box<[u8]>,
    /// The User-Agent line of requests.
    pub(crate) agent_line: Box<[u8]>,
    pub(crate) random: Random,
    pub(crate) keys: Keys,
    pub(crate) timers: Timers<TimerKey>,
    outputs: VecDeque<Output>,
    /// Outputs of the last input were not drained yet.
    owed: bool,
    pub(crate) servers: Slab<ServerTransaction>,
    pub(crate) server_index: KeyMap<u32>,
    /// INVITEs by what does not change on the way, to recognise copies that came another way.
    pub(crate) merged_index: KeyMap<u32>,
    pub(crate) clients: Slab<ClientTransaction>,
    pub(crate) client_index: KeyMap<u32>,
    pub(crate) client_serial: u32,
    pub(crate) legs: Slab<Leg>,
    pub(crate) leg_serial: u64,
    /// Legs whose end the host has not heard of.
    pub(crate) live_legs: usize,
    pub(crate) dialog_index: KeyMap<LegId>,
    pub(crate) request_serial: u64,
    pub(crate) registrations: BTreeMap<RegistrationId, Registration>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Subscriptions by Call-ID and our tag: the NOTIFY that makes the dialog brings the other tag.
    pub(crate) subscription_index: KeyMap<SubscriptionId>,
    /// The number of the last registration or subscription.
    pub(crate) standing_serial: u64,
    pub(crate) stats: Stats,
    /// Transactions by state.
    pub(crate) population: Population,
    /// Where messages are written; used again for each.
    pub(crate) scratch: Vec<u8>,
    /// Where the lines of a request are gathered; used again for each.
    pub(crate) lines: Vec<u8>,
}

impl Endpoint {
    /// An endpoint without calls. All its randomness comes from `seed`; `now` only sets the beginning of time.
    #[must_use]
    pub fn new(config: EndpointConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut random = Random::new(seed);
        let keys = Keys::new((random.next_u64(), random.next_u64()));
        let line = |name: &str| match &*config.user_agent {
            "" => Box::default(),
            agent => format!("{name}: {agent}\r\n").into_bytes().into_boxed_slice(),
        };
        Self {
            faces: Faces::new(&config.listeners),
            scopes: Scopes::new(),
            server_line: line("Server"),
            agent_line: line("User-Agent"),
            config,
            random,
            keys,
            timers: Timers::new(now),
            outputs: VecDeque::new(),
            owed: false,
            servers: Slab::new(),
            server_index: KeyMap::default(),
            merged_index: KeyMap::default(),
            clients: Slab::new(),
            client_index: KeyMap::default(),
            client_serial: 0,
            legs: Slab::new(),
            leg_serial: 0,
            live_legs: 0,
            dialog_index: KeyMap::default(),
            request_serial: 0,
            registrations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            subscription_index: KeyMap::default(),
            standing_serial: 0,
            stats: Stats::default(),
            population: Population::default(),
            scratch: Vec::with_capacity(2_048),
            lines: Vec::with_capacity(1_024),
        }
    }

    /// Input: a message came. `bytes` is kept as long as parts of it are needed: pass an exact copy, not a slice of a
    /// large receive buffer.
    pub fn handle_message(&mut self, now: Instant, path: &Path, bytes: Bytes, framing: Framing) {
        self.input();
        match Message::parse(bytes, framing, &self.config.limits.message) {
            Ok(message) if message.status().is_some() => self.receive_response(now, path, message),
            Ok(message) => self.receive_request(now, path, message),
            Err(malformed) => self.receive_malformed(path, malformed),
        }
    }

    /// Input: the time of [`Output::Timeout`] has come. Earlier or later does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.input();
        for _ in 0..self.config.limits.timers_per_wake_max {
            let Some(key) = self.timers.pop_due(now) else {
                break;
            };
            match key {
                TimerKey::Server(slot, timer) => self.server_timer(now, slot, timer),
                TimerKey::Client(slot, timer) => self.client_timer(now, slot, timer),
                TimerKey::Leg(leg, timer) => self.leg_timer(now, leg, timer),
                TimerKey::Registration(id, timer) => self.registration_timer(now, id, timer),
                TimerKey::Subscription(id, timer) => self.subscription_timer(now, id, timer),
            }
        }
    }

    /// Input: the transmission with this token could not be sent.
    pub fn handle_transmit_failed(&mut self, now: Instant, token: TransmitToken, why: TransportFailure) {
        self.input();
        self.client_transport_failed(now, token, why);
    }

    /// Input: a connection is gone. Requests that wait for a response on it fail, or are sent another way.
    pub fn handle_connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        self.input();
        for token in self.clients_on_connection(connection) {
            self.client_transport_failed(now, token, TransportFailure::Closed);
        }
    }

    /// Output: the next thing to do. [`Output::Timeout`] means drained.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => {
                self.owed = false;
                Output::Timeout(self.timers.next())
            }
        }
    }

    /// How much is alive.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            legs: self.legs.len(),
            registrations: self.registrations.len(),
            subscriptions: self.subscriptions.len(),
            transactions: self.transactions(),
            population: self.population,
            dialogs: self.dialog_index.len(),
            timers: self.timers.live(),
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The configuration that it runs with.
    #[must_use]
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// The drain law: see the module.
    fn input(&mut self) {
        if self.owed && !self.outputs.is_empty() {
            self.stats.undrained_inputs += 1;
            debug_assert!(
                false,
                "drain poll_output until Output::Timeout before the next input"
            );
        }
        self.owed = true;
    }

    pub(crate) fn transactions(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.outputs.push_back(Output::Transmit(transmit));
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
