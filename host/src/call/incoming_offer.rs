//! The peer's re-INVITE and UPDATE where the flow decides about them (`decide-offers`).
//!
//! It knows nothing of what a session description says but the direction of its media. An answer counts when the shard
//! has sent it: a CANCEL of the peer's that was faster takes back what the facts say meanwhile. Entry type:
//! [`IncomingOffer`]. Invariants: at most one undecided offer a leg, which is the endpoint's rule; while there is one the
//! leg is `reoffering`; an offer that nobody decides is refused with 488, whether its event was dropped unread, lost in a
//! full mailbox, or let go by the flow.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use callbox_sip::endpoint::{Endpoint, EndpointError, Header as SipHeader, LegId, PeerRequestId};
use callbox_sip::message::Message;

use super::command::{Command, Scheduled};
use super::error::CallError;
use super::events::EventKind;
use super::exchange::ShardQueue;
use super::facts;
use super::leg::{Leg, LegInner, LegShared, Phase};
use super::session_description::{self, Direction};
use super::text::Body;
use crate::pii::Pii;

/// What an offer gets that nobody decides.
const UNDECIDED: u16 = 488;
/// What the peer's offer gets that crossed one of ours (RFC 3261 §14.2).
const GLARE: u16 = 491;

/// A re-INVITE or UPDATE that waits for the flow's decision. Dropping it undecided refuses it with 488.
pub struct IncomingOffer {
    leg: Weak<LegShared>,
    shard: Arc<ShardQueue>,
    id: PeerRequestId,
    body: Option<Body>,
    /// Nothing is left to be refused.
    settled: AtomicBool,
}

impl fmt::Debug for IncomingOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, body, .. } = self;
        write!(f, "IncomingOffer({id:?}, {body:?})")
    }
}

/// An offer of the peer's that has no final response yet.
pub(super) struct PeerOffer {
    id: PeerRequestId,
    body: Option<Body>,
    /// Its event in the mailbox.
    ticket: u64,
    /// Accepted by the flow: both sides' descriptions as they were before, until the 200 has left.
    before: Option<(Option<Body>, Option<Body>)>,
}

impl PeerOffer {
    pub(super) fn is_undecided(&self) -> bool {
        self.before.is_none()
    }
}

impl IncomingOffer {
    /// The offer; none when the peer asks for ours.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        self.body.clone()
    }

    /// Accepts it with this answer; with this offer, where the peer asked for one.
    ///
    /// # Errors
    /// `WrongState` when it is decided or the peer has withdrawn it, `Invalid` for an empty body, `Hangup`.
    pub fn answer(&self, body: Body) -> Result<(), CallError> {
        let leg = self.leg()?;
        leg.accept_peer_offer(self.id, body)?;
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses it with 400..=699. The old session stays in force.
    ///
    /// # Errors
    /// As [`IncomingOffer::answer`]; `Invalid` for another code.
    pub fn reject(&self, code: u16) -> Result<(), CallError> {
        let leg = self.leg()?;
        leg.reject_peer_offer(self.id, code)?;
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The flow lets go of it: 488 if it is undecided. The leg is out of `reoffering` when this returns.
    pub fn decline(self) {
        // Decided, withdrawn, or the call is over: then nothing is left to be refused.
        if self.reject(UNDECIDED).is_err() {
            self.settled.store(true, Ordering::Relaxed);
        }
    }

    fn leg(&self) -> Result<Arc<LegShared>, CallError> {
        self.leg
            .upgrade()
            .ok_or_else(|| CallError::WrongState("an offer to a leg that this flow has dropped".to_owned()))
    }
}

impl Drop for IncomingOffer {
    /// Takes no lock but that of the shard's list: an event may be dropped where leg and session are locked.
    fn drop(&mut self) {
        if self.settled.load(Ordering::Relaxed) {
            return;
        }
        if let Some(leg) = self.leg.upgrade() {
            let command = Command::RejectOffer {
                offer: self.id,
                code: UNDECIDED,
            };
            self.shard.schedule(Scheduled::Undecided(leg, command));
        }
    }
}

impl Leg {
    /// Whether the flow decides about re-INVITE and UPDATE of this leg's peer; else the host answers with our present
    /// session. Holds from now on, for every call of this leg.
    pub fn decide_offers(&self, value: bool) {
        let mut inner = self.shared.lock();
        if inner.decides_offers != value {
            inner.decides_offers = value;
            self.shared.tell_who_decides(&mut inner);
        }
    }
}

impl LegShared {
    /// Has the endpoint ask about offers, or not, as the leg wants it now. Before there is a call nothing is sent: the
    /// shard asks when it has placed one.
    pub(super) fn tell_who_decides(self: &Arc<Self>, inner: &mut LegInner) {
        let value = inner.decides_offers || inner.bridge.as_ref().is_some_and(|bridge| bridge.takes_offers());
        let waiting = inner.outbox.iter_mut().find_map(|command| match command {
            Command::DecideOffers { value } => Some(value),
            _ => None,
        });
        match waiting {
            // At most one stands in the outbox, however often the flow changes its mind.
            Some(earlier) => *earlier = value,
            None if inner.sip.is_some() => self.push(inner, Command::DecideOffers { value }),
            None => {}
        }
    }

    /// The peer's offer waits for a decision.
    pub(super) fn peer_asked(self: &Arc<Self>, inner: &mut LegInner, request: &Message, id: PeerRequestId) {
        // The flow has hung up: the BYE on its way ends this too.
        if inner.phase == Phase::Terminated {
            return;
        }
        let body = facts::body(request);
        let offer = IncomingOffer {
            leg: Arc::downgrade(self),
            shard: Arc::clone(&inner.shard),
            id,
            body: body.clone(),
            settled: AtomicBool::new(false),
        };
        if inner.phase == Phase::Connected {
            inner.phase = Phase::Reoffering;
        }
        let ticket = self.session.post(self.id, EventKind::Offer(offer));
        inner.peer_offer = Some(PeerOffer {
            id,
            body,
            ticket,
            before: None,
        });
    }

    /// Accepts the peer's offer. The session counts from here on; [`LegShared::accept_on_wire`] sends the 200.
    pub(super) fn accept_peer_offer(
        self: &Arc<Self>,
        id: PeerRequestId,
        body: Body,
    ) -> Result<(), CallError> {
        let mut inner = self.lock();
        inner.require_undecided(id, "answer to an offer")?;
        if body.data().is_empty() {
            return Err(CallError::invalid("an answer takes a body"));
        }
        let before = (inner.local_body.take(), inner.remote_body.clone());
        let command = Command::AcceptOffer {
            offer: id,
            headers: Vec::new(),
            body: Some(facts::to_sip_body(&body)),
        };
        inner.local_body = Some(body);
        let offered = inner.peer_offer.as_mut().and_then(|offer| {
            offer.before = Some(before);
            offer.body.clone()
        });
        if offered.is_some() {
            inner.remote_body = offered;
        }
        inner.offers_settled();
        // One a decision, so the bound of the outbox need not hold it up.
        self.push(&mut inner, command);
        Ok(())
    }

    /// Refuses the peer's offer.
    pub(super) fn reject_peer_offer(self: &Arc<Self>, id: PeerRequestId, code: u16) -> Result<(), CallError> {
        let mut inner = self.lock();
        inner.require_undecided(id, "rejection of an offer")?;
        if !(400..=699).contains(&code) {
            return Err(CallError::invalid(format!(
                "an offer is rejected with 400 to 699, not {code}"
            )));
        }
        inner.peer_offer = None;
        inner.offers_settled();
        self.push(&mut inner, Command::RejectOffer { offer: id, code });
        Ok(())
    }

    /// The shard's part of an acceptance.
    pub(super) fn accept_on_wire(
        self: &Arc<Self>,
        inner: &mut LegInner,
        (now, endpoint): (Instant, &mut Endpoint),
        (leg, offer): (LegId, PeerRequestId),
        headers: &[SipHeader],
        body: Option<callbox_sip::endpoint::Body>,
    ) {
        let sent = endpoint.accept_offer(now, leg, offer, headers, body);
        if let Err(error) = &sent {
            tracing::debug!(error = %Pii::text(&error.to_string()), "answer to the peer's offer not sent");
        }
        if matches!(sent, Err(EndpointError::Invalid(_) | EndpointError::Limit(_))) {
            // It cannot be sent at all, and the peer must not wait for its time-out.
            let _ = endpoint.reject_offer(now, leg, offer, UNDECIDED, None, &[]);
        }
        let Some(accepted) = inner.peer_offer.take_if(|one| one.id == offer) else {
            return;
        };
        match (sent, accepted) {
            (Ok(()), accepted) => {
                if let Some(body) = &accepted.body {
                    self.direction_offered(inner, body);
                }
            }
            (Err(_), accepted) => inner.take_back_facts(accepted),
        }
        inner.offers_settled();
    }

    /// The shard's part of a refusal, and of letting go: an offer that was decided otherwise meanwhile stays decided.
    pub(super) fn reject_on_wire(
        &self,
        inner: &mut LegInner,
        (now, endpoint): (Instant, &mut Endpoint),
        (leg, offer): (LegId, PeerRequestId),
        code: u16,
    ) {
        // An error: withdrawn or over, and the peer has its response.
        if let Err(error) = endpoint.reject_offer(now, leg, offer, code, None, &[]) {
            tracing::debug!(error = %Pii::text(&error.to_string()), "refusal of the peer's offer not sent");
        }
        inner.peer_offer.take_if(|one| one.id == offer);
        inner.offers_settled();
        self.session.changed.notify_waiters();
    }

    /// An offer of ours is about to leave: a peer's that came while the flow was making it has met it.
    pub(super) fn glare(&self, inner: &mut LegInner, (now, endpoint): (Instant, &mut Endpoint), leg: LegId) {
        let Some(met) = inner.peer_offer.take_if(|one| one.is_undecided()) else {
            return;
        };
        if let Err(error) = endpoint.reject_offer(now, leg, met.id, GLARE, None, &[]) {
            tracing::debug!(error = %Pii::text(&error.to_string()), "the peer's offer was gone");
        }
        self.forget_event(met.ticket);
    }

    /// The peer gave up its offer, or the time for a decision is over; it has its response.
    pub(super) fn offer_withdrawn(&self, inner: &mut LegInner, id: PeerRequestId) {
        let Some(gone) = inner.peer_offer.take_if(|one| one.id == id) else {
            return;
        };
        // Unread, it would only mislead.
        self.forget_event(gone.ticket);
        inner.take_back_facts(gone);
        inner.offers_settled();
    }

    /// Takes back an event that was not read and is no longer true.
    pub(super) fn forget_event(&self, ticket: u64) {
        let event = self.session.lock().mailbox.take_back(ticket);
        drop(event);
    }

    /// What an accepted offer says about hold.
    pub(super) fn direction_offered(&self, inner: &mut LegInner, body: &Body) {
        let on_hold = matches!(
            session_description::direction(body),
            Some(Direction::SendOnly | Direction::Inactive)
        );
        if on_hold != inner.held_by_peer {
            inner.held_by_peer = on_hold;
            let kind = if on_hold {
                EventKind::Held
            } else {
                EventKind::Resumed
            };
            self.session.post(self.id, kind);
        }
    }
}

impl LegInner {
    fn require_undecided(&self, id: PeerRequestId, what: &str) -> Result<(), CallError> {
        if self.phase == Phase::Terminated {
            return Err(self.wrong_state(what));
        }
        match &self.peer_offer {
            Some(offer) if offer.id == id && offer.is_undecided() => Ok(()),
            _ => Err(CallError::WrongState(format!(
                "{what} that is decided or was withdrawn"
            ))),
        }
    }

    fn take_back_facts(&mut self, offer: PeerOffer) {
        if let Some((local, remote)) = offer.before {
            (self.local_body, self.remote_body) = (local, remote);
        }
    }

    /// The leg leaves `reoffering` when no offer of either side is open.
    pub(super) fn offers_settled(&mut self) {
        let ours = self.offering.as_ref().is_some_and(|offering| offering.is_open());
        let theirs = self.peer_offer.as_ref().is_some_and(PeerOffer::is_undecided);
        let relayed = self.bridge.as_ref().is_some_and(|bridge| bridge.is_busy());
        if self.phase == Phase::Reoffering && !ours && !theirs && !relayed {
            self.phase = Phase::Connected;
        }
    }
}
