//! What happens on a leg: the usages of SIP, one a file.
//!
//! - [`incoming`]: the INVITE that calls us, to our final response; [`accepting`]: a 2xx of ours, to its ACK.
//! - [`outgoing`]: the INVITE that we send, to its final response; [`forks`]: its dialogs; [`answered`]: its 2xx and the
//!   ACK; [`giving_up`]: its time-out and CANCEL.
//! - [`reliable`] and [`acknowledging`]: provisional responses with PRACK, ours and the peer's.
//! - [`session_timer`] and [`refreshing`]: whether the peer is still there.
//! - [`session`]: the session description that we sent last.
//! - [`in_dialog`]: requests within a dialog, both ways (INFO, MESSAGE, OPTIONS).
//! - [`reoffer`]: our re-INVITE and UPDATE.
//! - [`offered`]: the peer's re-INVITE and UPDATE.
//! - [`refer`]: our REFER and what the peer tells of it.
//! - [`referred`]: the peer's REFER and what we tell of it.
//! - [`replaces`]: which call an INVITE with Replaces means.
//! - [`closing`]: hang-up in every state, BYE both ways, the end of a leg.
//! - [`register`] and [`registered`], [`subscribe`], [`subscribed`] and [`notified`]: what needs no leg, kept alive by the
//!   rules of [`renewal`].
//!
//! The usages drive transactions and dialogs through the endpoint's tables; they know no sockets and no wire syntax
//! beyond what [`compose`](crate::endpoint) offers. Entry type: [`Leg`].

pub(crate) mod accepting;
pub(crate) mod acknowledging;
pub(crate) mod answered;
mod bindings;
pub(crate) mod closing;
pub(crate) mod forks;
pub(crate) mod giving_up;
pub(crate) mod in_dialog;
pub(crate) mod incoming;
mod login;
mod notified;
pub(crate) mod offered;
pub(crate) mod outgoing;
pub(crate) mod refer;
pub(crate) mod referred;
mod refreshing;
pub(crate) mod register;
pub(crate) mod registered;
pub(crate) mod reliable;
mod renewal;
pub(crate) mod reoffer;
mod replaces;
pub(crate) mod session;
pub(crate) mod session_timer;
pub(crate) mod subscribe;
pub(crate) mod subscribed;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::endpoint::{Body, Destination, Endpoint, Event, LegEvent, LegId, Path, RequestId, TimerKey};
use crate::rng::Token;
use crate::timer::Running;
use in_dialog::PendingRequest;
use login::Login;
use offered::PeerOffer;
use outgoing::Outgoing;
use refer::SentRefer;
use referred::Referred;
use reliable::Reliable;
use reoffer::Reoffer;
use session_timer::SessionTimer;

/// The timers of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegTimer {
    /// Send the 2xx again.
    Repeat2xx,
    /// The ACK of our 2xx is overdue.
    AckDeadline,
    /// Send the last provisional response again, so that proxies keep the call (RFC 3261 §13.3.1.1).
    RepeatProgress,
    /// The PRACK of our reliable provisional response has not come: send it again, or give up.
    Prack,
    /// The host's time-out for an outbound call; later, the wait for a final response after CANCEL.
    InviteDeadline,
    /// The host owes the answer to the offer of a 2xx.
    AnswerDeadline,
    /// The host's time-out for a reoffer; later, the wait for a final response after CANCEL or BYE.
    ReofferDeadline,
    /// Time to repeat a reoffer that met one of the peer.
    ReofferRetry,
    /// The host owes a decision about the peer's offer.
    OfferDeadline,
    /// The same about the peer's REFER.
    ReferDeadline,
    /// Time for our refresh of the session, or for the BYE when there was none.
    Session,
}

/// Where a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegState {
    /// Inbound, no final response yet.
    Incoming,
    /// Inbound, 2xx sent, ACK awaited.
    Accepting,
    /// Outbound, no final response yet.
    Calling,
    /// Outbound, the host wants out: CANCEL is sent or will be with the first provisional response.
    Cancelling,
    /// Outbound, a 2xx with an offer came and the host owes the answer.
    AwaitingAnswer,
    /// In the call.
    Confirmed,
    /// Over for the host; our BYE is not.
    Closing,
    /// Over, but a re-INVITE of ours has no final response yet; its 2xx would need an ACK.
    Lingering,
}

/// A 2xx of ours that waits for its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Accepted {
    /// CSeq number of the INVITE, which is that of the ACK.
    pub(crate) seq: u32,
    pub(crate) response: Bytes,
    pub(crate) to: Destination,
    /// The current interval between copies.
    pub(crate) interval: Duration,
    /// It holds our offer, so its ACK owes an answer.
    pub(crate) offered: bool,
}

/// An INVITE of ours whose ACK is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaiting {
    /// Its client transaction.
    pub(crate) client: u32,
    /// Its CSeq number, which is that of the ACK.
    pub(crate) seq: u32,
}

/// One leg. A held call costs this, its [`Dialog`] and the last session description.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    pub(crate) state: LegState,
    /// The terminal event was given: the host hears nothing more.
    pub(crate) ended: bool,
    pub(crate) local_tag: Token,
    /// The confirmed dialog; of an inbound leg also the early one.
    pub(crate) dialog: Option<Box<Dialog>>,
    /// Inbound: the INVITE's server transaction while it has no final response.
    pub(crate) invite_server: Option<u32>,
    /// Inbound: the INVITE's CSeq number, which is that of its ACK; requests in the early dialog count on from it.
    pub(crate) invite_seq: u32,
    /// Inbound: Record-Route lines for responses that make a dialog. Gone with the 2xx.
    pub(crate) record_route: Bytes,
    /// Inbound: our reliable provisional responses, when the caller knows them.
    pub(crate) reliable: Option<Box<Reliable>>,
    /// An offer and its answer went through reliable provisional responses: there is a session before the call is answered.
    pub(crate) early_session: bool,
    /// Outbound: everything about the INVITE. Gone with the final response.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// An INVITE of ours whose 2xx waits for the ACK with the host's answer.
    pub(crate) awaiting: Option<Awaiting>,
    /// We began the dialog, so its Call-ID is ours (RFC 3261 §14.1 wants to know).
    pub(crate) caller: bool,
    /// The host decides about offers of the peer.
    pub(crate) decide_offers: bool,
    /// Our re-INVITE or UPDATE.
    pub(crate) reoffer: Option<Box<Reoffer>>,
    /// The peer's, while the host thinks.
    pub(crate) peer_offer: Option<Box<PeerOffer>>,
    /// Our REFERs of which the peer may tell.
    pub(crate) sent_refers: Vec<SentRefer>,
    /// The peer's REFERs.
    pub(crate) referred: Option<Box<Referred>>,
    /// The session timer that was agreed on, or will be with the 2xx.
    pub(crate) session_timer: Option<Box<SessionTimer>>,
    /// Answers to requests for credentials; kept for requests in the dialog.
    pub(crate) credentials: Option<Box<Login>>,
    /// A 2xx of ours without ACK.
    pub(crate) accepted: Option<Box<Accepted>>,
    /// BYE is due when the ACK of our 2xx has come; the Reason line it carries.
    pub(crate) bye_due: Option<Box<[u8]>>,
    /// How often BYE was sent with credentials.
    pub(crate) bye_tries: u8,
    /// The session description that we sent last.
    pub(crate) local_sdp: Option<Body>,
    /// Requests of the host without a final response.
    pub(crate) requests: Vec<PendingRequest>,
    /// The path that the first message took; outbound legs get it with the first response.
    pub(crate) path: Option<Path>,
    /// User part of our Contact.
    pub(crate) contact_user: Option<Box<str>>,
    pub(crate) timers: Running<LegTimer, TIMERS_MAX>,
}

/// Timers of one leg that may run at once: two for a 2xx without ACK, two for our reoffer, two for decisions, one for the
/// session.
const TIMERS_MAX: usize = 7;

impl Leg {
    fn new(id: LegId, state: LegState, local_tag: Token) -> Self {
        Self {
            id,
            state,
            ended: false,
            local_tag,
            dialog: None,
            invite_server: None,
            invite_seq: 0,
            record_route: Bytes::new(),
            reliable: None,
            early_session: false,
            outgoing: None,
            awaiting: None,
            caller: state == LegState::Calling,
            decide_offers: false,
            reoffer: None,
            peer_offer: None,
            sent_refers: Vec::new(),
            referred: None,
            session_timer: None,
            credentials: None,
            bye_tries: 0,
            accepted: None,
            bye_due: None,
            local_sdp: None,
            requests: Vec::new(),
            path: None,
            contact_user: None,
            timers: Running::new(),
        }
    }

    /// A re-INVITE of ours that refreshes the session is under way.
    fn refreshes_by_invite(&self) -> bool {
        let refresh = self.session_timer.as_ref().and_then(|timer| timer.refresh);
        refresh.is_some_and(|refresh| refresh.invite)
    }

    /// The host is in the call, or has done its part for it: its 2xx waits for a PRACK or for the ACK.
    fn is_answered(&self) -> bool {
        match self.state {
            LegState::Confirmed | LegState::Accepting => true,
            LegState::Incoming => self
                .reliable
                .as_ref()
                .is_some_and(|reliable| reliable.holds_answer()),
            _ => false,
        }
    }
}

/// How many bits of a [`LegId`] name the slot; the others are a serial number that never repeats.
const SLOT_BITS: u32 = 24;

impl Endpoint {
    /// A new leg in the table. The limit was checked before.
    pub(crate) fn open_leg(&mut self, state: LegState, local_tag: Token) -> LegId {
        self.leg_serial += 1;
        let entry = self.legs.vacant_entry();
        let id = LegId((self.leg_serial << SLOT_BITS) | entry.key() as u64);
        entry.insert(Leg::new(id, state, local_tag));
        self.live_legs += 1;
        id
    }

    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(slot_of(id)).filter(|leg| leg.id == id)
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(slot_of(id)).filter(|leg| leg.id == id)
    }

    /// A leg that the host may still command.
    pub(crate) fn host_leg(&mut self, id: LegId) -> Result<&mut Leg, crate::endpoint::EndpointError> {
        self.leg_mut(id)
            .filter(|leg| !leg.ended)
            .ok_or(crate::endpoint::EndpointError::NoSuchLeg)
    }

    /// Forgets a leg. Its transactions go on by themselves.
    pub(crate) fn close_leg(&mut self, id: LegId) {
        if self.leg(id).is_none() {
            return;
        }
        let Some(mut leg) = self.legs.try_remove(slot_of(id)) else {
            return;
        };
        for timer in leg.timers.drain() {
            self.timers.stop(timer);
        }
        if !leg.ended {
            // Cannot happen: every way out of a leg ends it first. Were it to happen, the host must still hear of it.
            self.stats.invariant_breaks += 1;
            self.live_legs = self.live_legs.saturating_sub(1);
        }
        let outgoing = leg.outgoing.take();
        let early = outgoing.iter().flat_map(|outgoing| outgoing.early.iter());
        for dialog in leg.dialog.iter().map(|d| d.key).chain(early.map(|d| d.key)) {
            self.dialog_index.remove(&dialog);
        }
    }

    /// Tells the host something about a leg, unless it has heard the end already.
    pub(crate) fn leg_event(&mut self, id: LegId, event: LegEvent) {
        if self.leg(id).is_some_and(|leg| !leg.ended) {
            self.emit(Event::Leg { leg: id, event });
        }
    }

    pub(crate) fn set_leg_timer(&mut self, now: Instant, id: LegId, timer: LegTimer, after: Duration) {
        let Some(leg) = self.legs.get_mut(slot_of(id)).filter(|leg| leg.id == id) else {
            return;
        };
        let timer_id = self.timers.set(now, after, TimerKey::Leg(id, timer));
        if let Some(old) = leg.timers.put(timer, timer_id) {
            self.timers.stop(old);
        }
    }

    pub(crate) fn stop_leg_timer(&mut self, id: LegId, timer: LegTimer) {
        if let Some(timer_id) = self.leg_mut(id).and_then(|leg| leg.timers.take(timer)) {
            self.timers.stop(timer_id);
        }
    }

    pub(crate) fn leg_timer(&mut self, now: Instant, id: LegId, timer: LegTimer) {
        let Some(leg) = self.leg_mut(id) else { return };
        leg.timers.take(timer);
        match timer {
            LegTimer::Repeat2xx => self.repeat_2xx(now, id),
            LegTimer::Prack => self.prack_overdue(now, id),
            LegTimer::AckDeadline => self.ack_missing(now, id),
            LegTimer::RepeatProgress => self.repeat_progress(now, id),
            LegTimer::InviteDeadline => self.invite_deadline(now, id),
            LegTimer::AnswerDeadline => self.answer_missing(now, id),
            LegTimer::ReofferDeadline => self.reoffer_deadline(now, id),
            LegTimer::ReofferRetry => self.reoffer_due(now, id),
            LegTimer::OfferDeadline => self.offer_undecided(now, id),
            LegTimer::ReferDeadline => self.refer_undecided(now, id),
            LegTimer::Session => self.session_due(now, id),
        }
    }

    /// A number for a request of the host.
    pub(crate) fn next_request_id(&mut self) -> RequestId {
        self.request_serial += 1;
        RequestId(self.request_serial)
    }
}

fn slot_of(id: LegId) -> usize {
    (id.as_u64() & ((1 << SLOT_BITS) - 1)) as usize
}
