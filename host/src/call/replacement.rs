//! A call that shall take the place of one of a session's legs: an INVITE with Replaces (RFC 3891).
//!
//! It comes to the session that holds the leg, as one more call for it; the flow answers it or does not. Only when it is
//! answered the host hangs up the leg whose place it takes. Which tenant may have which call replaced is decided before
//! ([`IncomingCalls::may_replace`]); a refusal for that reason and one for a call that there is not are the same.
//!
//! The INVITE may come to another shard than the one that holds the leg, for their Call-IDs differ: then the shards ask
//! each other through their queues. Entry types: [`Neighbours`], [`Search`]. Invariant: an INVITE waits for one answer of
//! one shard at most, and its place is given back when it ends first.

use std::sync::{Arc, PoisonError, RwLock};

use callbox_sip::endpoint::{Endpoint, LegId};
use callbox_sip::message::Message;

use super::command::Scheduled;
use super::events::EventKind;
use super::exchange::ShardQueue;
use super::facts::{self, Facts};
use super::incoming::{IncomingCall, IncomingCalls};
use super::leg::{Direction, Leg, LegInner, LegShared, Phase};

/// There is no such call, or none that this caller may know of.
pub(super) const NO_SUCH_CALL: u16 = 481;
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
    pub(super) sip: LegId,
    pub(super) invite: Message,
    pub(super) asker: Arc<ShardQueue>,
}

impl Search {
    /// Asks the endpoint that the Call-ID belongs to.
    pub(super) fn ask(&self, endpoint: &Endpoint) -> Result<LegId, u16> {
        match self.invite.replaces() {
            Ok(Some(replaces)) => endpoint.replaced(&replaces),
            _ => Err(400),
        }
    }

    pub(super) fn answer(self, found: Result<Arc<LegShared>, u16>) {
        self.asker.schedule(Scheduled::Found(self.sip, found));
    }
}

impl IncomingCall {
    /// Makes the call a leg of the session that holds `replaced`, and tells the session. The error is the code of a
    /// refusal.
    pub(super) fn take_place_of(
        self,
        replaced: &Arc<LegShared>,
        decides: &dyn IncomingCalls,
    ) -> Result<Arc<LegShared>, u16> {
        let session = &replaced.session;
        if !decides.may_replace(&self, &session.context.tenant) {
            return Err(NO_SUCH_CALL);
        }
        if !replaced.is_live() {
            return Err(OVER);
        }
        let shared = session
            .enlist(|id| {
                let mut inner = LegInner::new(Phase::RingingIn, Direction::Inbound, Arc::clone(&self.shard));
                inner.sip = Some(self.sip);
                inner.remote_body = facts::body(&self.request);
                inner.facts = Facts::Received(self.request.clone());
                inner.replaces = Some(Arc::downgrade(replaced));
                LegShared::new(id, session, inner)
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
        self.end_by_host(&format!("replaced by call {successor}"));
    }
}
