//! A call that shall take the place of one of a session's legs: an INVITE with Replaces (RFC 3891).
//!
//! It comes to the session that holds the leg, as one more call for it; the flow answers it or does not. Only when it is
//! answered the host hangs up the leg whose place it takes. Which tenant may have which call replaced is decided before
//! ([`IncomingCalls::may_replace`](super::IncomingCalls::may_replace)); a refusal for that reason and one for a call that there is not are the same.
//!
//! The INVITE may come to another shard than the one that holds the leg, for their Call-IDs differ: then the shards ask
//! each other through their queues. Entry types: [`Neighbours`], [`Search`]. Invariant: an INVITE waits for one answer of
//! one shard at most, and its place is given back when it ends first.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use callbox_sip::endpoint::{Endpoint, LegId, Replaced};
use callbox_sip::message::{Message, Uri};

use super::command::Scheduled;
use super::error::Party;
use super::events::EventKind;
use super::exchange::{Entry, Exchange, ShardQueue, late};
use super::facts::{self, Facts};
use super::incoming::IncomingCall;
use super::leg::{Direction, Leg, LegInner, LegShared, Phase};
use super::session::SessionShared;

/// There is no such call, or none that this caller may know of.
const NO_SUCH_CALL: u16 = 481;
/// The call is over (RFC 3891 §3).
const OVER: u16 = 603;
/// The session holds as many legs as it may.
const BUSY: u16 = 486;

/// The queues of all shards of a host, by which they ask each other.
#[derive(Default)]
pub struct Neighbours {
    queues: RwLock<Vec<(u16, Arc<ShardQueue>)>>,
}

impl Neighbours {
    /// No shard yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes a shard known under its number.
    pub fn add(&self, shard: u16, queue: &Arc<ShardQueue>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.push((shard, Arc::clone(queue)));
    }

    pub(super) fn get(&self, shard: u16) -> Option<Arc<ShardQueue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let found = queues.iter().find(|(number, _)| *number == shard);
        found.map(|(_, queue)| Arc::clone(queue))
    }
}

/// The question of one shard to another: which leg of yours does this INVITE mean?
pub(super) struct Search {
    /// The INVITE's own leg, on the shard that asks.
    sip: LegId,
    invite: Message,
    asker: Arc<ShardQueue>,
}

/// What an INVITE with Replaces means.
pub(super) enum Found {
    /// This leg.
    Leg(Arc<LegShared>),
    /// This leg, which may not be replaced: the code tells why.
    Kept(Arc<LegShared>, u16),
    /// Nothing that a session holds.
    Nothing,
}

impl Exchange {
    /// An INVITE came that shall take the place of another call.
    pub(super) fn replaces(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        call: IncomingCall,
        replaced: Replaced,
    ) {
        let neighbour = match replaced {
            Replaced::Elsewhere { shard } => self.neighbours.get(shard),
            _ => None,
        };
        let Some(neighbour) = neighbour else {
            let found = self.leg_of(replaced);
            return self.replace(now, endpoint, call, found);
        };
        let search = Search {
            sip: call.sip,
            invite: call.request.clone(),
            asker: Arc::clone(&self.queue),
        };
        self.replacing.insert(call.sip, call);
        neighbour.schedule(Scheduled::Search(Box::new(search)));
    }

    /// Another shard asks; this one's endpoint knows the Call-ID if any does.
    pub(super) fn search(&self, endpoint: &Endpoint, search: Search) {
        let found = match search.invite.replaces() {
            Ok(Some(replaces)) => self.leg_of(endpoint.replaced(&replaces)),
            _ => Found::Nothing,
        };
        search.asker.schedule(Scheduled::Found(search.sip, found));
    }

    /// The other shard has answered.
    pub(super) fn found(&mut self, now: Instant, endpoint: &mut Endpoint, sip: LegId, found: Found) {
        // Without it the INVITE has ended meanwhile.
        if let Some(call) = self.replacing.remove(&sip) {
            self.replace(now, endpoint, call, found);
        }
    }

    fn leg_of(&self, replaced: Replaced) -> Found {
        let held = |id| {
            let leg = self.legs.get(&id).map(|entry| entry.leg.latest());
            // Of an attempt that was given up nothing is left that could be replaced.
            leg.filter(|leg| leg.lock().sip == Some(id))
        };
        match replaced {
            Replaced::Leg(id) => held(id).map_or(Found::Nothing, Found::Leg),
            Replaced::Kept { leg, code } => held(leg).map_or(Found::Nothing, |leg| Found::Kept(leg, code)),
            Replaced::Elsewhere { .. } | Replaced::Unknown => Found::Nothing,
        }
    }

    /// Whether the call is for this session: sent to the contact of a registration that it holds, or to its tenant.
    fn is_for(&self, call: &IncomingCall, session: &SessionShared) -> bool {
        let line = match call.request.request().map(|line| Uri::parse(line.uri)) {
            Some(Ok(Uri::Sip(uri))) => uri.params.value("line").map(facts::lossy),
            _ => None,
        };
        line.is_some_and(|line| session.is_registered_as(&line))
            || self.incoming.may_replace(call, &session.context.tenant)
    }

    fn replace(&mut self, now: Instant, endpoint: &mut Endpoint, call: IncomingCall, found: Found) {
        let sip = call.sip;
        let taken = match found {
            Found::Nothing => Err(NO_SUCH_CALL),
            Found::Leg(leg) | Found::Kept(leg, _) if !self.is_for(&call, &leg.session) => Err(NO_SUCH_CALL),
            Found::Kept(_, code) => Err(code),
            Found::Leg(leg) => call.take_place_of(&leg),
        };
        match taken {
            Ok(leg) => drop(self.legs.insert(sip, Entry { leg, attempt: 0 })),
            Err(code) => late(endpoint.reject(now, sip, code, None, &[])),
        }
    }
}

impl IncomingCall {
    /// Makes the call a leg of the session that holds `replaced`, and tells the session. The error is the code of a
    /// refusal.
    fn take_place_of(self, replaced: &Arc<LegShared>) -> Result<Arc<LegShared>, u16> {
        let session = &replaced.session;
        if !replaced.is_live() {
            return Err(OVER);
        }
        let shared = session
            .enlist(|id, place| {
                let mut inner = LegInner::new(Phase::RingingIn, Direction::Inbound, Arc::clone(&self.shard));
                inner.sip = Some(self.sip);
                inner.remote_body = facts::body(&self.request);
                inner.facts = Facts::Received(self.request.clone());
                inner.replaces = Some(Arc::downgrade(replaced));
                LegShared::new(id, session, inner, Some(place))
            })
            .map_err(|_| BUSY)?;
        session.came_in(&shared);
        let leg = Leg {
            shared: Arc::clone(&shared),
        };
        // In a session that is over nobody reads it, and the leg refuses the call as it is dropped.
        session.post(replaced.id, EventKind::Incoming(leg));
        Ok(shared)
    }
}

impl LegShared {
    /// Another leg has been answered in its place.
    pub(super) fn give_way_to(self: &Arc<Self>, successor: u32) {
        let why = facts::reason_with(Some(200), &format!("replaced by call {successor}"));
        self.finish_by(Party::Host, 480, Some(why));
    }
}
