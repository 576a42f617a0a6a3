//! A leg: one SIP dialog between this host and a peer, as a flow holds it.
//!
//! Two sides share a [`LegShared`]: the flow's side (the methods of [`Leg`], spread over the files of this folder by
//! subject) and the shard's side (`apply.rs`), each under a short lock. The flow's side never waits for the shard: it
//! leaves commands in a bounded outbox and waits for what events change.
//!
//! Invariants: a method called in the wrong state changes nothing; exactly one end; every wait ends with the leg;
//! dropping a [`Leg`] ends it on the wire. `wit/leg-semantics.md` is the table that this code follows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use callbox_sip::endpoint::{LegId, RequestId};
use callbox_sip::message::Message;
use tokio::time::Instant;

use super::accept::Accepting;
use super::bridge::Bridged;
use super::command::Command;
use super::dtmf::Dtmf;
use super::error::{CallError, HangupInfo, Party, Status};
use super::events::EventKind;
use super::exchange::ShardQueue;
use super::facts::Facts;
use super::host_end::HostEnd;
use super::incoming_offer::PeerOffer;
use super::info::InfoRequest;
use super::meter::Meter;
use super::redirect::Redirections;
use super::referral;
use super::reoffer::Offering;
use super::session::SessionShared;
use super::summary::Moments;
use super::tenant_bounds::Place;
use super::text::{Body, ReceivedHeader};
use super::transfer::Progress;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer called.
    Inbound,
    /// The flow dials, or may.
    Outbound,
}

/// The states of a leg as a flow sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// No call: it may dial.
    Idle,
    /// Our INVITE is on its way.
    RingingOut,
    /// The peer's INVITE waits for an answer.
    RingingIn,
    /// As the two before, with early media.
    Early,
    /// Our INVITE had no offer; the 2xx brought the peer's and waits for our answer.
    OfferedByRemote,
    /// Established.
    Connected,
    /// A new offer is not settled: one of ours on its way, or one of the peer's that the flow decides.
    Reoffering,
    /// Established, on hold by us.
    Held,
    /// Over.
    Terminated,
}

/// What the 2xx to a call of ours said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerInfo {
    /// The status.
    pub status: Status,
    /// The peer's session description: answer, or offer after an INVITE without one.
    pub body: Option<Body>,
    /// All headers.
    pub headers: Vec<ReceivedHeader>,
}

/// One leg, owned. Dropping it hangs up.
pub struct Leg {
    pub(super) shared: Arc<LegShared>,
}

pub(super) struct LegShared {
    pub(super) id: u32,
    pub(super) session: Arc<SessionShared>,
    inner: Mutex<LegInner>,
    /// Among the tenant's legs, for as long as anybody knows this one; none for a leg that can do nothing.
    _place: Option<Place>,
}

/// Finer than [`CallState`]: where commands and events cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// As idle to look at, and for good: the session has as many legs as it may.
    Surplus,
    RingingOut,
    EarlyOut,
    OfferedByRemote,
    RingingIn,
    EarlyIn,
    /// 200 sent, ACK awaited.
    Answering,
    Connected,
    /// An offer of ours is on its way, or one of the peer's waits for the flow.
    Reoffering,
    Terminated,
}

/// A request within the dialog whose answer a flow awaits.
pub(super) enum Pending {
    Waiting(Option<RequestId>),
    Answered(Box<Message>),
    Failed(CallError),
}

pub(super) struct LegInner {
    pub(super) phase: Phase,
    pub(super) direction: Direction,
    /// Where its commands go. An accepted call lives where it came in; no leg moves once it has a call.
    pub(super) shard: Arc<ShardQueue>,
    /// The leg's name in the SIP endpoint of its shard, once it has one.
    pub(super) sip: Option<LegId>,
    /// Counts outbound attempts: news of one that was given up is no news of the next.
    pub(super) attempt: u32,
    pub(super) outbox: VecDeque<Command>,
    /// True while the leg stands in its shard's ready list, so that it stands there once.
    pub(super) scheduled: bool,
    /// The caller has been told something (180, early media or a final response).
    pub(super) rang: bool,
    pub(super) facts: Facts,
    pub(super) moments: Moments,
    pub(super) local_body: Option<Body>,
    pub(super) remote_body: Option<Body>,
    pub(super) digits: VecDeque<(u64, Dtmf)>,
    /// Every digit since the start or the last clean. Seed `dtmfbuffer`.
    pub(super) typed: String,
    pub(super) infos: VecDeque<(u64, InfoRequest)>,
    pub(super) accepting: Option<Accepting>,
    /// Among the tenant's calls: a call that it has accepted.
    pub(super) accepted: Option<Place>,
    /// How the present attempt ended, for the `make_call` that waits for it.
    pub(super) outcome: Option<Result<AnswerInfo, CallError>>,
    /// A `make_call` waits: its outcome is no event.
    pub(super) awaited: bool,
    pub(super) requests: Vec<(u64, Pending)>,
    pub(super) next_request: u64,
    /// What the present attempt needs to follow a 3xx.
    pub(super) redirections: Option<Redirections>,
    /// Why the last attempt failed, for waits that ran at that moment.
    pub(super) failure: Option<CallError>,
    pub(super) ended: Option<HangupInfo>,
    /// The hung-up event in the mailbox, which `wait_for_hangup` takes back.
    pub(super) hangup_ticket: Option<u64>,
    pub(super) was_answered: bool,
    /// The ACK of our 200 came. It stays true after the end: an ACK and a BYE may come before `answer` wakes.
    pub(super) confirmed: bool,
    pub(super) offering: Option<Offering>,
    /// The flow decides about the peer's offers.
    pub(super) decides_offers: bool,
    pub(super) peer_offer: Option<PeerOffer>,
    /// The leg whose place this one takes when it is answered.
    pub(super) replaces: Option<Weak<LegShared>>,
    /// REFERs of the peer's that are not over; the endpoint bounds their number.
    pub(super) referrals: Vec<referral::Pending>,
    /// The REFER of ours, and how it goes.
    pub(super) transfer: Option<Progress>,
    /// We put the peer on hold.
    pub(super) held: bool,
    pub(super) held_by_peer: bool,
    /// The bridge that the leg stands in.
    pub(super) bridge: Option<Box<Bridged>>,
    /// Another session has taken the call over: this leg of its holds all that stood here.
    pub(super) heir: Option<Arc<LegShared>>,
    /// What bounds the call once it is answered.
    pub(super) meter: Option<Box<Meter>>,
}

impl Leg {
    pub(super) fn idle(session: &Arc<SessionShared>) -> Result<Self, CallError> {
        let shared = session.enlist(|id, place| {
            let shard = Arc::clone(&session.shard);
            let inner = LegInner::new(Phase::Idle, Direction::Outbound, shard);
            LegShared::new(id, session, inner, Some(place))
        })?;
        Ok(Self { shared })
    }

    /// A leg that can do nothing: the session has enough of them. It is not enlisted, so it costs what its handle does.
    pub(super) fn surplus(session: &Arc<SessionShared>) -> Self {
        let id = session.lock().take_id();
        let inner = LegInner::new(Phase::Surplus, Direction::Outbound, Arc::clone(&session.shard));
        Self {
            shared: LegShared::new(id, session, inner, None),
        }
    }

    /// Number of the leg within its session, the `source` of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// Present state.
    #[must_use]
    pub fn state(&self) -> CallState {
        self.shared.lock().state()
    }

    /// Who called whom.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.shared.lock().direction
    }

    /// The body that the peer sent last as offer or answer. Seed `remoteoffer`.
    #[must_use]
    pub fn remote_offer(&self) -> Option<Body> {
        self.shared.lock().remote_body.clone()
    }

    /// The body that we sent last as offer or answer. Seed `localoffer`.
    #[must_use]
    pub fn local_offer(&self) -> Option<Body> {
        self.shared.lock().local_body.clone()
    }

    /// User part of From. Seed `ani`.
    #[must_use]
    pub fn ani(&self) -> String {
        self.shared.lock().facts.ani()
    }

    /// User part of To. Seed `dnis`.
    #[must_use]
    pub fn dnis(&self) -> String {
        self.shared.lock().facts.dnis()
    }

    /// Request-URI of the INVITE.
    #[must_use]
    pub fn request_uri(&self) -> String {
        self.shared.lock().facts.request_uri()
    }

    /// URI of From.
    #[must_use]
    pub fn from_uri(&self) -> String {
        self.shared.lock().facts.caller_uri()
    }

    /// URI of To.
    #[must_use]
    pub fn to_uri(&self) -> String {
        self.shared.lock().facts.callee_uri()
    }

    /// Call-ID of the dialog; empty before there is one.
    #[must_use]
    pub fn sip_call_id(&self) -> String {
        self.shared.lock().facts.call_id()
    }

    /// All values of a header of the peer's first message: its INVITE, or its response to ours.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<String> {
        self.shared.lock().facts.header(name)
    }

    /// Ends the leg as its state needs: CANCEL, a final response (480), or BYE. Does nothing on an idle or dead leg.
    /// Seed `hangup`.
    ///
    /// # Errors
    /// `Invalid` for a reason that is not one line.
    pub fn hangup(&self, reason: Option<&str>) -> Result<(), CallError> {
        let reason = reason
            .map(super::text::reason_text)
            .transpose()?
            .map(super::facts::reason);
        self.shared.finish(480, reason);
        Ok(())
    }

    /// Waits until the leg is over. Seed `waitforhangup`.
    ///
    /// # Errors
    /// `Timeout`; `WrongState` on an idle leg.
    pub async fn wait_for_hangup(&self, timeout: Option<Duration>) -> Result<HangupInfo, CallError> {
        let deadline = timeout.map(|timeout| self.shared.session.deadline(timeout));
        let ticket = self
            .wait(deadline, |inner| match (inner.phase, &inner.ended) {
                (Phase::Idle | Phase::Surplus, _) => Some(Err(inner.wrong_state("wait-for-hangup"))),
                (_, Some(info)) => Some(Ok((info.clone(), inner.hangup_ticket.take()))),
                _ => None,
            })
            .await?;
        if let (_, Some(ticket)) = ticket {
            self.shared.session.lock().mailbox.take_back(ticket);
        }
        Ok(ticket.0)
    }

    /// Waits until `ready` says something, or for the deadline.
    pub(super) async fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut LegInner) -> Option<Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let longest = self.shared.session.deadline(Duration::MAX);
        let deadline = Some(deadline.map_or(longest, |deadline| deadline.min(longest)));
        let mut announced = false;
        let attempt = self.shared.lock().attempt;
        loop {
            let notified = self.shared.session.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut inner = self.shared.lock();
                let failed = inner.attempt != attempt && inner.outcome.is_none();
                if let Some(failure) = inner.failure.as_ref().filter(|_| failed) {
                    return Err(failure.clone());
                }
                if let Some(result) = ready(&mut inner) {
                    return result;
                }
            }
            if !announced {
                announced = true;
                self.shared.session.before_wait();
            }
            if !super::wait::until(notified, deadline).await {
                // What arrived in the same moment still counts.
                return ready(&mut self.shared.lock()).unwrap_or(Err(CallError::Timeout));
            }
        }
    }
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leg({})", self.shared.id)
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.shared.finish(480, None);
    }
}

impl Phase {
    fn state(self, held: bool) -> CallState {
        match self {
            Phase::Connected if held => CallState::Held,
            Phase::Reoffering => CallState::Reoffering,
            Phase::Idle | Phase::Surplus => CallState::Idle,
            Phase::RingingOut => CallState::RingingOut,
            Phase::RingingIn => CallState::RingingIn,
            Phase::EarlyOut | Phase::EarlyIn => CallState::Early,
            Phase::OfferedByRemote => CallState::OfferedByRemote,
            Phase::Answering | Phase::Connected => CallState::Connected,
            Phase::Terminated => CallState::Terminated,
        }
    }
}

impl LegShared {
    pub(super) fn new(
        id: u32,
        session: &Arc<SessionShared>,
        inner: LegInner,
        place: Option<Place>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            session: Arc::clone(session),
            inner: Mutex::new(inner),
            _place: place,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LegInner> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a command for the shard.
    pub(super) fn command(self: &Arc<Self>, inner: &mut LegInner, command: Command) -> Result<(), CallError> {
        if inner.outbox.len() >= self.session.context.limits.commands_max {
            return Err(CallError::limit("limits.call.commands_max"));
        }
        self.session.may_send()?;
        self.push(inner, command);
        Ok(())
    }

    /// As [`Self::command`] for what ends a leg, which a full outbox must not hold up: there is at most one a call.
    pub(super) fn push(self: &Arc<Self>, inner: &mut LegInner, command: Command) {
        inner.outbox.push_back(command);
        if !inner.scheduled {
            inner.scheduled = true;
            self.session.schedule_on(&inner.shard, Arc::clone(self));
        }
    }

    /// As [`Self::push`] for what does not come from the flow and waits for no turn of its.
    pub(super) fn push_at_once(self: &Arc<Self>, inner: &mut LegInner, command: Command) {
        inner.outbox.push_back(command);
        if !inner.scheduled {
            inner.scheduled = true;
            inner.shard.schedule(Arc::clone(self));
        }
    }

    pub(super) fn is_live(&self) -> bool {
        !matches!(
            self.lock().phase,
            Phase::Idle | Phase::Surplus | Phase::Terminated
        )
    }

    pub(super) fn was_answered(&self) -> bool {
        self.lock().was_answered
    }

    pub(super) fn auto_ring(self: &Arc<Self>) {
        let mut inner = self.lock();
        if inner.phase == Phase::RingingIn && !inner.rang {
            inner.rang = true;
            inner.moments.provisional(180);
            self.push(
                &mut inner,
                Command::Progress {
                    code: 180,
                    headers: Vec::new(),
                    body: None,
                },
            );
        }
    }

    /// Gives the outbound attempt up and forgets it: the leg is idle, and the shard ends it on the wire (CANCEL, or ACK
    /// and BYE where a 2xx crosses).
    pub(super) fn abandon(
        self: &Arc<Self>,
        inner: &mut LegInner,
        info: &HangupInfo,
        reason: Option<callbox_sip::endpoint::Reason>,
    ) {
        self.remember(inner, info);
        let sip = inner.sip.take();
        inner.attempt = inner.attempt.wrapping_add(1);
        inner.phase = Phase::Idle;
        self.push(inner, Command::Abandon { sip, reason });
    }

    pub(super) fn finish(self: &Arc<Self>, code: u16, reason: Option<callbox_sip::endpoint::Reason>) {
        self.finish_by(Party::Local, code, reason);
    }

    /// Ends the leg in the host's own name, for this reason: the flow hears of it.
    pub(super) fn end_by_host(self: &Arc<Self>, why: HostEnd) {
        self.finish_by(Party::Host, why.code, Some(why.reason()));
    }

    pub(super) fn finish_by(
        self: &Arc<Self>,
        by: Party,
        code: u16,
        reason: Option<callbox_sip::endpoint::Reason>,
    ) {
        let mut inner = self.lock();
        let bridged = inner.bridge.take().map(|bridged| (bridged, reason.clone()));
        let mut info = HangupInfo {
            by,
            status: None,
            q850: None,
            text: reason
                .as_ref()
                .and_then(|reason| reason.text.as_deref())
                .map(str::to_owned),
        };
        match inner.phase {
            Phase::Idle | Phase::Surplus | Phase::Terminated => return,
            Phase::RingingIn | Phase::EarlyIn => {
                info.status = Some(Status {
                    code,
                    reason: callbox_sip::message::reason_phrase(code).to_owned(),
                });
                self.push(
                    &mut inner,
                    Command::Reject {
                        code,
                        reason: None,
                        // Reason stands in what the host says in its own name (RFC 6432 for responses).
                        headers: reason
                            .filter(|_| by == Party::Host)
                            .map(|reason| super::facts::reason_header(&reason))
                            .into_iter()
                            .collect(),
                    },
                );
            }
            Phase::RingingOut | Phase::EarlyOut => {
                self.abandon(&mut inner, &info, reason);
                if inner.awaited {
                    inner.outcome = Some(Err(CallError::Cancelled));
                }
            }
            Phase::Answering | Phase::Connected | Phase::Reoffering | Phase::OfferedByRemote => {
                self.push(&mut inner, Command::Hangup { reason });
            }
        }
        if inner.phase != Phase::Idle {
            self.remember(&inner, &info);
        }
        inner.phase = Phase::Terminated;
        inner.ended = Some(info.clone());
        if by == Party::Host {
            inner.hangup_ticket = Some(self.session.post(self.id, EventKind::HungUp(info)));
        }
        drop(inner);
        self.session.changed.notify_waiters();
        if let Some((bridged, reason)) = bridged {
            bridged.left(reason);
        }
    }

    /// What was read from the mailbox is gone from the leg's own queues.
    pub(super) fn taken_from_mailbox(&self, ticket: u64) {
        let mut inner = self.lock();
        inner.digits.retain(|(of, _)| *of != ticket);
        inner.infos.retain(|(of, _)| *of != ticket);
    }
}

impl LegInner {
    pub(super) fn new(phase: Phase, direction: Direction, shard: Arc<ShardQueue>) -> Self {
        Self {
            phase,
            direction,
            shard,
            sip: None,
            attempt: 0,
            outbox: VecDeque::new(),
            scheduled: false,
            rang: false,
            facts: Facts::None,
            moments: Moments::begin(),
            local_body: None,
            remote_body: None,
            digits: VecDeque::new(),
            typed: String::new(),
            infos: VecDeque::new(),
            accepting: None,
            accepted: None,
            outcome: None,
            awaited: false,
            requests: Vec::new(),
            next_request: 1,
            redirections: None,
            failure: None,
            ended: None,
            hangup_ticket: None,
            was_answered: false,
            confirmed: false,
            offering: None,
            decides_offers: false,
            peer_offer: None,
            replaces: None,
            referrals: Vec::new(),
            transfer: None,
            held: false,
            held_by_peer: false,
            bridge: None,
            heir: None,
            meter: None,
        }
    }

    pub(super) fn state(&self) -> CallState {
        self.phase.state(self.held)
    }

    /// The error of a method that is not for this state; on a leg that the peer ended, its end; on one too many, the limit.
    pub(super) fn wrong_state(&self, method: &str) -> CallError {
        match &self.ended {
            _ if self.phase == Phase::Surplus => CallError::limit("limits.call.legs_max"),
            Some(info) if info.by != Party::Local => CallError::Hangup(info.clone()),
            _ => CallError::WrongState(format!("{method} on a leg in state {:?}", self.state())),
        }
    }

    /// The error of a wait that nothing can end any more, if that is so.
    pub(super) fn no_more(&self, method: &str) -> Option<CallError> {
        matches!(self.phase, Phase::Idle | Phase::Surplus | Phase::Terminated)
            .then(|| self.wrong_state(method))
    }

    pub(super) fn ended_by_flow(&self) -> bool {
        self.ended.as_ref().is_some_and(|info| info.by == Party::Local)
    }

    pub(super) fn require_established(&self, method: &str) -> Result<(), CallError> {
        match self.phase {
            Phase::Answering | Phase::Connected | Phase::Reoffering => Ok(()),
            _ => Err(self.wrong_state(method)),
        }
    }

    /// As [`Self::require_established`], and no offer is under way.
    pub(super) fn require_settled(&self, method: &str) -> Result<(), CallError> {
        match self.phase {
            Phase::Answering | Phase::Connected => Ok(()),
            _ => Err(self.wrong_state(method)),
        }
    }

    pub(super) fn open_request(&mut self, max: usize) -> Result<u64, CallError> {
        if self.requests.len() >= max {
            return Err(CallError::limit("limits.call.requests_max"));
        }
        let ticket = self.next_request;
        self.next_request += 1;
        self.requests.push((ticket, Pending::Waiting(None)));
        Ok(ticket)
    }

    /// The answer of a request, once; `Waiting` stays.
    pub(super) fn take_answer(&mut self, ticket: u64) -> Option<Pending> {
        let at = self
            .requests
            .iter()
            .position(|(of, state)| *of == ticket && !matches!(state, Pending::Waiting(_)))?;
        Some(self.requests.swap_remove(at).1)
    }

    pub(super) fn close_request(&mut self, ticket: u64) {
        self.requests.retain(|(of, _)| *of != ticket);
    }
}
