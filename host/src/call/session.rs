//! A session: one run of a flow, its legs and its mailbox.
//!
//! It deliberately knows nothing of what runs the flow. Entry type: [`Session`]. Invariants: at most
//! `legs_max` legs (and as many registrations and subscriptions as their limits say) at a time; the mailbox holds at most `mailbox_events` events and loses the
//! oldest that may be lost; what it holds of its tenant's bounds is given back when it is dropped; a wait ends at its time-out,
//! at its event, or with the leg it is about.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::limits::CallLimits;

use super::allowance::Allowance;
use super::command::Scheduled;
use super::error::{CallError, Denial};
use super::events::{Event, EventKind, Mailbox};
use super::exchange::ShardQueue;
use super::grants::Grants;
use super::host_end::HostEnd;
use super::leg::{Leg, LegShared};
use super::media_addresses;
use super::policy::DialPolicy;
use super::registration::RegistrationShared;
use super::roster::Roster;
use super::service::Services;
use super::session_id;
use super::stop::Stop;
use super::subscription::SubscriptionShared;
use super::summary::{Beginning, Past};
use super::tenant_bounds::{Place, TenantBounds};
use super::text::{Body, Header};
use super::timers::Timers;
use super::usage::Counters;

/// What a session is told about itself and granted, fixed at its start.
pub struct SessionContext {
    /// Tenant that owns the flow.
    pub tenant: Arc<str>,
    /// Name of the flow within the tenant.
    pub flow: Arc<str>,
    /// Version of the flow that answers this call, for people.
    pub version: Arc<str>,
    /// Configuration of the flow (seed `iw.CONF`).
    pub config: Arc<BTreeMap<String, String>>,
    /// Send 180 by itself when the flow waits before it has answered, rejected or rung.
    pub auto_ring: bool,
    /// Which methods it may call.
    pub grants: Arc<Grants>,
    /// Who may dial what.
    pub policy: Arc<dyn DialPolicy>,
    /// Which calls it may accept, and how it reaches other sessions.
    pub services: Services,
    /// Bounds of one session.
    pub limits: Arc<CallLimits>,
    /// Bounds of all sessions of the tenant.
    pub bounds: Arc<TenantBounds>,
}

/// One run of a flow.
pub struct Session {
    pub(super) shared: Arc<SessionShared>,
}

/// Runs a flow so that the commands of one turn (from one wait or yield to the next) reach the shard together: a flow
/// that rings and answers wakes the SIP thread once. Without it each command wakes the shard by itself.
pub struct Turns {
    shared: Arc<SessionShared>,
}

impl Turns {
    /// Runs `flow` to its end.
    pub async fn run<F: Future>(self, flow: F) -> F::Output {
        let mut flow = std::pin::pin!(flow);
        std::future::poll_fn(|context| {
            self.shared.lock().turn = true;
            let poll = flow.as_mut().poll(context);
            self.shared.end_turn();
            poll
        })
        .await
    }
}

impl Drop for Turns {
    /// A flow that panics, or is dropped in the middle of a turn, leaves its last commands behind.
    fn drop(&mut self) {
        self.shared.end_turn();
    }
}

pub(super) struct SessionShared {
    pub(super) id: String,
    pub(super) context: SessionContext,
    pub(super) shard: Arc<ShardQueue>,
    pub(super) beginning: Beginning,
    /// Wakes every wait of the session. A flow has one wait at a time, so this is one waiter in practice.
    pub(super) changed: Notify,
    sends: Allowance,
    pub(super) stop: Stop,
    pub(super) usage: Counters,
    inner: Mutex<SessionInner>,
}

pub(super) struct SessionInner {
    pub(super) mailbox: Mailbox,
    timers: Timers,
    legs: Roster<LegShared>,
    registrations: Roster<RegistrationShared>,
    subscriptions: Roster<SubscriptionShared>,
    next_id: u32,
    /// What the flow has written into the record of its call.
    pub(super) record: Vec<(String, String)>,
    /// Legs that are over.
    pub(super) past: Past,
    /// Legs that came in and whose caller was not told anything yet, as far as is known.
    silent: Vec<Weak<LegShared>>,
    /// A turn of [`Session::in_turns`] runs: legs with commands wait here for its end.
    turn: bool,
    held: Vec<(Arc<ShardQueue>, Scheduled)>,
}

impl Session {
    /// Opens a session on a shard: what it begins lives there. A call that it accepts stays on the shard that it came in on.
    pub(super) fn open(id: String, context: SessionContext, shard: Arc<ShardQueue>) -> Self {
        let sends = Allowance::new(context.limits.sends_burst, context.limits.sends_rate);
        let inner = SessionInner {
            mailbox: Mailbox::new(context.limits.mailbox_events, &context.bounds),
            timers: Timers::new(context.limits.timers_max, &context.bounds),
            legs: Roster::new(),
            registrations: Roster::new(),
            subscriptions: Roster::new(),
            next_id: 1,
            record: Vec::new(),
            past: Past::default(),
            silent: Vec::new(),
            turn: false,
            held: Vec::new(),
        };
        Self {
            shared: Arc::new(SessionShared {
                id,
                context,
                shard,
                beginning: Beginning::now(),
                changed: Notify::new(),
                sends,
                stop: Stop::default(),
                usage: Counters::default(),
                inner: Mutex::new(inner),
            }),
        }
    }

    /// A session that no call began.
    #[must_use]
    pub fn begin(context: SessionContext, shard: Arc<ShardQueue>) -> Self {
        Self::open(session_id::next(), context, shard)
    }

    /// A session that no call began, on a queue that no shard serves: what its legs send goes nowhere. For tests and
    /// benchmarks of what runs on a session.
    #[must_use]
    pub fn detached(id: String, context: SessionContext) -> Self {
        Self::open(id, context, ShardQueue::new(crate::wire::ShardWaker::new()))
    }

    /// Unique among the sessions of this host: at most 64 letters, digits and hyphens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What the session was told and granted.
    #[must_use]
    pub fn context(&self) -> &SessionContext {
        &self.shared.context
    }

    /// Checks a header that the flow wants to set; see [`Header::parse`].
    ///
    /// # Errors
    /// `Invalid` or `Denied`.
    pub fn header(&self, name: &str, value: &str) -> Result<Header, CallError> {
        let context = &self.shared.context;
        Header::granted(name, value, &context.limits, |name, value| {
            context.policy.may_claim(name, value)
        })
    }

    /// Checks a body of the flow's; see [`Body::parse`].
    ///
    /// # Errors
    /// `Invalid`, or `Denied(Destination)` for a session description that names addresses which the tenant may not.
    pub fn body(&self, content_type: &str, data: Vec<u8>) -> Result<Body, CallError> {
        let body = Body::parse(content_type, data, &self.shared.context.limits)?;
        match media_addresses::may_send(&*self.shared.context.policy, body.content_type(), body.data()) {
            true => Ok(body),
            false => Err(CallError::Denied(Denial::Destination)),
        }
    }

    /// An idle leg. Seed `sipcall:new()`.
    ///
    /// # Errors
    /// `Denied(Limit)` when the session holds `legs_max` legs.
    pub fn new_leg(&self) -> Result<Leg, CallError> {
        Leg::idle(&self.shared)
    }

    /// The same where nobody can be told: over the limit, a leg that answers `Denied(Limit)` to all it is asked to do.
    #[must_use]
    pub fn leg(&self) -> Leg {
        self.new_leg().unwrap_or_else(|_| Leg::surplus(&self.shared))
    }

    /// Waits. Seed `iw.sleep`.
    pub async fn sleep(&self, time: Duration) {
        self.before_wait();
        tokio::time::sleep_until(self.shared.deadline(time)).await;
    }

    /// What runs the flow of this session in turns.
    #[must_use]
    pub fn turns(&self) -> Turns {
        Turns {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The next event of these sources (none: of any), in order of arrival.
    ///
    /// # Errors
    /// `Timeout`; `Invalid` for a source that this session never had; `WrongState` when without a time-out nothing could
    /// ever end the wait.
    pub async fn next_event(
        &self,
        sources: Option<&[u32]>,
        timeout: Option<Duration>,
    ) -> Result<Event, CallError> {
        let sources = sources.filter(|sources| !sources.is_empty());
        let next_id = self.shared.lock().next_id;
        if let Some(id) = sources.unwrap_or_default().iter().find(|id| **id >= next_id) {
            return Err(CallError::invalid(format!(
                "source {id} was never in this session"
            )));
        }
        self.before_wait();
        let deadline = timeout.map(|timeout| self.shared.deadline(timeout));
        loop {
            let notified = self.shared.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // Asked before the mailbox is: what ends in between has left its last event there.
            let hopeless = deadline.is_none() && !self.shared.may_hear_from(sources);
            let wake = {
                let mut inner = self.shared.lock();
                inner.expire_timers(Instant::now());
                if let Some(taken) = inner.mailbox.take(sources) {
                    drop(inner);
                    return Ok(self.shared.hand_out(taken));
                }
                if hopeless {
                    return Err(CallError::WrongState(
                        "next without a time-out, and no live leg, timer, registration or subscription"
                            .to_owned(),
                    ));
                }
                inner.timers.next().into_iter().chain(deadline).min()
            };
            if !super::wait::until(notified, wake).await
                && deadline.is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Err(CallError::Timeout);
            }
        }
    }

    /// The next event, if one is there.
    #[must_use]
    pub fn poll_event(&self) -> Option<Event> {
        let taken = {
            let mut inner = self.shared.lock();
            inner.expire_timers(Instant::now());
            inner.mailbox.take(None)
        };
        taken.map(|taken| self.shared.hand_out(taken))
    }

    /// Sets timer `id`, which becomes an event; a timer of the same id is set anew. Beyond `timers_max`, the session's
    /// or the tenant's, it is not set, and the next overflow event counts it.
    pub fn set_timer(&self, id: u32, after: Duration) {
        let at = self.shared.deadline(after);
        {
            let mut inner = self.shared.lock();
            if !inner.timers.set(id, at) {
                inner.mailbox.lose_one();
            }
        }
        self.shared.changed.notify_waiters();
    }

    /// Forgets timer `id`, also where it has expired and was not read yet.
    pub fn cancel_timer(&self, id: u32) {
        let mut inner = self.shared.lock();
        inner.timers.cancel(id);
        inner.mailbox.forget(|event| {
            event.source == 0 && matches!(event.kind, EventKind::Timer(timer) if timer == id)
        });
    }

    /// Puts an event of the session itself (source 0) into the mailbox.
    pub fn post(&self, kind: EventKind) {
        self.shared.post(0, kind);
    }

    /// Legs that are alive on the wire.
    #[must_use]
    pub fn live_legs(&self) -> usize {
        self.shared.legs().iter().filter(|leg| leg.is_live()).count()
    }

    /// Ends every leg that is still up as its flow has left it: an unanswered inbound one with `code`, others as
    /// [`Leg::hangup`] does.
    pub fn end_legs(&self, code: u16) {
        for leg in self.shared.legs() {
            leg.finish(code, None);
        }
    }

    /// Ends every leg that is still up in the host's own name: an unanswered inbound one with the code of `why`, others with
    /// CANCEL or BYE, and all with its Reason.
    pub fn end_legs_by_host(&self, why: HostEnd) {
        for leg in self.shared.legs() {
            leg.end_by_host(why);
        }
    }

    /// True if an inbound call of this session was answered at some time.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        self.shared.legs().iter().any(|leg| leg.was_answered())
    }

    pub(super) fn before_wait(&self) {
        self.shared.before_wait();
    }
}

impl Drop for Session {
    /// Nobody reads the mailbox any more: what the peers ask in it is answered with no, and calls in it are refused. Legs
    /// that still say their BYE keep the rest of the session for a while; what the tenant counts is given back now.
    fn drop(&mut self) {
        let unread = {
            let mut inner = self.shared.lock();
            inner.timers.clear();
            inner.mailbox.close()
        };
        drop(unread);
    }
}

impl SessionShared {
    pub(super) fn lock(&self) -> MutexGuard<'_, SessionInner> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes leave to put one message on the wire.
    pub(super) fn may_send(&self) -> Result<(), CallError> {
        if !self.sends.take() {
            return Err(CallError::limit("limits.call.sends_rate"));
        }
        self.context
            .bounds
            .take(|bounds| &bounds.sends, "limits.tenant.sends_rate")
    }

    /// Tells the session's shard that an object has commands, at once or when the turn is over.
    pub(super) fn schedule(&self, object: impl Into<Scheduled>) {
        self.schedule_on(&self.shard, object);
    }

    /// The same for an object that lives on `shard`.
    pub(super) fn schedule_on(&self, shard: &Arc<ShardQueue>, object: impl Into<Scheduled>) {
        {
            let mut inner = self.lock();
            if inner.turn {
                inner.held.push((Arc::clone(shard), object.into()));
                return;
            }
        }
        shard.schedule(object);
    }

    fn end_turn(&self) {
        let held = {
            let mut inner = self.lock();
            inner.turn = false;
            std::mem::take(&mut inner.held)
        };
        for (shard, object) in held {
            shard.schedule(object);
        }
    }

    /// Takes an id for a new leg and remembers the leg.
    pub(super) fn enlist(
        &self,
        make: impl FnOnce(u32, Place) -> Arc<LegShared>,
    ) -> Result<Arc<LegShared>, CallError> {
        let bound = (self.context.limits.legs_max, "limits.call.legs_max");
        let place = || {
            Place::take(
                &self.context.bounds,
                |bounds| &bounds.legs,
                "limits.tenant.legs_max",
            )
        };
        self.admit(|inner| &mut inner.legs, bound, place, make)
    }

    /// As [`Self::enlist`], for a registration. One that is being removed still counts.
    pub(super) fn enlist_registration(
        &self,
        make: impl FnOnce(u32, Place) -> Arc<RegistrationShared>,
    ) -> Result<Arc<RegistrationShared>, CallError> {
        let most = self.context.limits.registrations_max;
        let bound = (most, "limits.call.registrations_max");
        let place = || {
            Place::take(
                &self.context.bounds,
                |bounds| &bounds.registrations,
                "limits.tenant.registrations_max",
            )
        };
        self.admit(|inner| &mut inner.registrations, bound, place, make)
    }

    /// As [`Self::enlist`], for a subscription. One that is being ended still counts.
    pub(super) fn enlist_subscription(
        &self,
        make: impl FnOnce(u32, Place) -> Arc<SubscriptionShared>,
    ) -> Result<Arc<SubscriptionShared>, CallError> {
        let most = self.context.limits.subscriptions_max;
        let bound = (most, "limits.call.subscriptions_max");
        let place = || {
            Place::take(
                &self.context.bounds,
                |bounds| &bounds.subscriptions,
                "limits.tenant.subscriptions_max",
            )
        };
        self.admit(|inner| &mut inner.subscriptions, bound, place, make)
    }

    fn admit<T>(
        &self,
        roster: impl Fn(&mut SessionInner) -> &mut Roster<T>,
        (most, limit): (usize, &'static str),
        place: impl FnOnce() -> Result<Place, CallError>,
        make: impl FnOnce(u32, Place) -> Arc<T>,
    ) -> Result<Arc<T>, CallError> {
        let mut inner = self.lock();
        if roster(&mut inner).count() >= most {
            return Err(CallError::limit(limit));
        }
        let place = place()?;
        let id = inner.take_id();
        let one = make(id, place);
        roster(&mut inner).put(id, &one);
        Ok(one)
    }

    /// The registration of this address of record that is not over.
    pub(super) fn registration_with(
        &self,
        is_it: impl Fn(&RegistrationShared) -> bool,
    ) -> Option<Arc<RegistrationShared>> {
        let all = self.lock().registrations.all();
        all.into_iter()
            .find(|registration| !registration.is_over() && is_it(registration))
    }

    /// A registration that is not over.
    pub(super) fn registration(&self, id: u32) -> Option<Arc<RegistrationShared>> {
        let found = self.lock().registrations.get(id);
        found.filter(|registration| !registration.is_over())
    }

    /// Whether a registration of this session has a contact with this `line`.
    pub(super) fn is_registered_as(&self, line: &str) -> bool {
        let registrations = self.lock().registrations.all();
        registrations
            .iter()
            .any(|registration| registration.has_line(line))
    }

    /// The leg that a session begins with, for which there is always room.
    pub(super) fn enlist_first(&self, make: impl FnOnce(u32, Place) -> Arc<LegShared>) -> Arc<LegShared> {
        let place = Place::take_anyway(&self.context.bounds, |bounds| &bounds.legs);
        let mut inner = self.lock();
        let id = inner.take_id();
        let leg = make(id, place);
        inner.legs.put(id, &leg);
        leg
    }

    /// When a wait of this length ends: no wait is longer than the table of limits says.
    pub(super) fn deadline(&self, timeout: Duration) -> Instant {
        Instant::now() + timeout.min(Duration::from_millis(self.context.limits.wait_max_ms))
    }

    /// Whether an event of these sources may come yet. What other sessions send is no reason to wait for ever, unless the
    /// flow names the session itself as a source: then it waits for just that.
    fn may_hear_from(&self, sources: Option<&[u32]>) -> bool {
        let wanted = |id: u32| sources.is_none_or(|sources| sources.contains(&id));
        if sources.is_some_and(|sources| sources.contains(&0)) {
            return true;
        }
        let (timers, legs, registrations, subscriptions) = {
            let inner = self.lock();
            (
                inner.timers.next().is_some() && wanted(0),
                inner.legs.those(wanted),
                inner.registrations.those(wanted),
                inner.subscriptions.those(wanted),
            )
        };
        timers
            || legs.iter().any(|leg| leg.is_live())
            || registrations.iter().any(|registration| !registration.is_over())
            || subscriptions.iter().any(|subscription| !subscription.is_over())
    }

    pub(super) fn legs(&self) -> Vec<Arc<LegShared>> {
        self.lock().legs.all()
    }

    pub(super) fn post(&self, source: u32, kind: EventKind) -> u64 {
        let (ticket, lost) = self.lock().mailbox.put(source, kind);
        drop(lost);
        self.changed.notify_waiters();
        ticket
    }

    /// What is read from the mailbox must not be read again from the leg it is about.
    fn hand_out(&self, taken: (u64, Event)) -> Event {
        let (ticket, event) = taken;
        if matches!(event.kind, EventKind::Dtmf(_) | EventKind::Info(_)) {
            let leg = self.lock().legs.get(event.source);
            if let Some(leg) = leg {
                leg.taken_from_mailbox(ticket);
            }
        }
        if matches!(event.kind, EventKind::Notify(_)) {
            let subscription = self.lock().subscriptions.get(event.source);
            if let Some(subscription) = subscription {
                subscription.taken_from_mailbox(ticket);
            }
        }
        event
    }

    /// A flow that begins to wait without having told the caller anything lets it ring.
    pub(super) fn before_wait(&self) {
        if !self.context.auto_ring {
            return;
        }
        let silent = std::mem::take(&mut self.lock().silent);
        for leg in silent.iter().filter_map(Weak::upgrade) {
            leg.auto_ring();
        }
    }

    /// A leg has got a call from outside.
    pub(super) fn came_in(&self, leg: &Arc<LegShared>) {
        if self.context.auto_ring {
            self.lock().silent.push(Arc::downgrade(leg));
        }
    }
}

impl SessionInner {
    /// One series of numbers for all that a session owns.
    pub(super) fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        id
    }

    fn expire_timers(&mut self, now: Instant) {
        for id in self.timers.take_due(now) {
            // An event that is lost for it needs no lock to end: see `Mailbox::put`.
            drop(self.mailbox.put(0, EventKind::Timer(id)));
        }
    }
}
