//! Where legs meet the SIP endpoint: one [`Exchange`] a shard, on the shard's own thread.
//!
//! It turns commands of legs into calls of the endpoint and events of the endpoint into changes of legs, and decides
//! nothing. Invariants: a leg stands in the ready list at most once, and once for each question of its peer's that was left
//! undecided and each INVITE that another shard asks about, so the list is bounded by the number of legs; a
//! leg is in the map from its INVITE until the endpoint's `Ended`. Registrations and subscriptions stand in both likewise,
//! until their last event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callbox_sip::endpoint::{
    Endpoint, EndpointError, Event, LegEvent, LegId, RegistrationId, SubscriptionId,
};

use super::answers::Answers;
use super::command::{Command, Scheduled};
use super::incoming::{IncomingCall, IncomingCalls, Opened};
use super::leg::LegShared;
use super::registration::RegistrationShared;
use super::replacement::Neighbours;
use super::service::{HandedOver, ServiceCall};
use super::subscription::SubscriptionShared;
use crate::pii::Pii;
use crate::wire::{ShardCore, ShardWaker};

/// The way from flows to one shard.
pub struct ShardQueue {
    /// None when the shard is gone: what waited for it would hold the queue, and the queue what waits, for ever.
    ready: Mutex<Option<Vec<Scheduled>>>,
    waker: ShardWaker,
    pub(super) answers: Answers,
}

impl ShardQueue {
    /// A queue whose shard `waker` wakes.
    #[must_use]
    pub fn new(waker: ShardWaker) -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(Some(Vec::new())),
            waker,
            answers: Answers::default(),
        })
    }

    /// How long calls of this shard that came in waited for their final responses.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Legs, registrations and subscriptions that wait for the shard.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().as_ref().map_or(0, Vec::len)
    }

    pub(super) fn schedule(&self, object: impl Into<Scheduled>) {
        let object = object.into();
        let first = match &mut *self.lock() {
            Some(ready) => {
                ready.push(object);
                ready.len() == 1
            }
            None => false,
        };
        if first {
            self.waker.wake();
        }
    }

    fn take_into(&self, batch: &mut Vec<Scheduled>) {
        if let Some(ready) = &mut *self.lock() {
            std::mem::swap(batch, ready);
        }
    }

    fn close(&self) {
        // Let go of without the lock: the end of a leg may want to schedule something.
        let waited = self.lock().take();
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Scheduled>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A leg in the map, with the attempt that the endpoint's leg stands for.
pub(super) struct Entry {
    pub(super) leg: Arc<LegShared>,
    pub(super) attempt: u32,
}

/// The call layer's half of a shard.
pub struct Exchange {
    pub(super) queue: Arc<ShardQueue>,
    pub(super) incoming: Arc<dyn IncomingCalls>,
    pub(super) legs: HashMap<LegId, Entry>,
    /// Calls for services, until there is news of them.
    services: HashMap<LegId, Arc<ServiceCall>>,
    registrations: HashMap<RegistrationId, Arc<RegistrationShared>>,
    subscriptions: HashMap<SubscriptionId, Arc<SubscriptionShared>>,
    pub(super) neighbours: Arc<Neighbours>,
    /// Calls that shall replace one of another shard, which was asked for it.
    pub(super) replacing: HashMap<LegId, IncomingCall>,
    batch: Vec<Scheduled>,
}

impl Exchange {
    /// Calls that come in on this shard are shown to `incoming`.
    #[must_use]
    pub fn new(queue: Arc<ShardQueue>, incoming: Arc<dyn IncomingCalls>) -> Self {
        Self {
            queue,
            incoming,
            legs: HashMap::new(),
            services: HashMap::new(),
            registrations: HashMap::new(),
            subscriptions: HashMap::new(),
            neighbours: Arc::default(),
            replacing: HashMap::new(),
            batch: Vec::new(),
        }
    }

    /// Lets this shard ask the others of its host. Without it a call cannot replace one of another shard.
    #[must_use]
    pub fn among(mut self, neighbours: &Arc<Neighbours>) -> Self {
        self.neighbours = Arc::clone(neighbours);
        self
    }

    fn run_commands(&mut self, now: Instant, endpoint: &mut Endpoint, leg: &Arc<LegShared>) {
        let mut inner = leg.lock();
        // It has moved since it was put into the queue, and stands in that of its new shard.
        if !Arc::ptr_eq(&inner.shard, &self.queue) {
            return;
        }
        inner.scheduled = false;
        if let Some(heir) = inner.heir.clone() {
            drop(inner);
            return self.run_commands_of_heir(now, endpoint, &heir);
        }
        let mut places = Vec::new();
        let mut replaced = None;
        let mut notes = Vec::new();
        while let Some(command) = inner.outbox.pop_front() {
            match command {
                // Given up before it was sent.
                Command::Invite { attempt, .. } if inner.attempt != attempt => {}
                Command::Invite { attempt, request } => match endpoint.invite(now, *request) {
                    Ok(id) => {
                        let leg = Arc::clone(leg);
                        self.legs.insert(id, Entry { leg, attempt });
                        inner.sip = Some(id);
                        inner.facts.sent(endpoint.invited_as(id).unwrap_or_default());
                        if inner.decides_offers {
                            late(endpoint.decide_offers(id, true));
                        }
                    }
                    Err(error) => leg.attempt_refused(&mut inner, &error),
                },
                Command::Abandon { sip, reason } => {
                    // Without a name the INVITE of this attempt stood before us in the outbox and was not sent.
                    if let Some(id) = sip {
                        late(endpoint.hangup(now, id, reason.as_ref()));
                    }
                }
                Command::Progress { code, headers, body } => {
                    if let Some(id) = inner.sip {
                        late(endpoint.progress(now, id, code, None, &headers, body));
                    }
                }
                Command::Answer { headers, body } => {
                    let Some(id) = inner.sip else { continue };
                    match endpoint.answer(now, id, &headers, body) {
                        Err(error @ (EndpointError::Invalid(_) | EndpointError::Limit(_))) => {
                            leg.answer_refused(&mut inner, &error);
                        }
                        Ok(()) => {
                            self.queue.answers.answered(now, &inner);
                            replaced = inner.replaces.take().and_then(|leg| leg.upgrade());
                        }
                        other => late(other),
                    }
                }
                Command::Reject {
                    code,
                    reason,
                    headers,
                } => {
                    if let Some(id) = inner.sip {
                        let sent = endpoint.reject(now, id, code, reason.as_deref(), &headers);
                        if sent.is_ok() {
                            self.queue.answers.refused(now, &inner);
                        }
                        late(sent);
                    }
                }
                Command::Hangup { reason } => {
                    if let Some(id) = inner.sip {
                        late(endpoint.hangup(now, id, reason.as_ref()));
                    }
                }
                Command::Reoffer { request } => {
                    let Some(id) = inner.sip else { continue };
                    leg.glare(&mut inner, (now, endpoint), id);
                    let sent = endpoint.reoffer(now, id, *request);
                    inner.offer_sent(sent.map_err(|error| super::apply::refusal(&error)));
                    leg.session.changed.notify_waiters();
                }
                Command::Refer { ticket, request } => {
                    let Some(id) = inner.sip else { continue };
                    let sent = endpoint.refer(now, id, *request);
                    inner.request_sent(ticket, sent);
                    leg.session.changed.notify_waiters();
                }
                Command::GivePlace {
                    asker,
                    ticket,
                    request,
                } => {
                    let id = inner.sip.ok_or(EndpointError::NoSuchLeg);
                    let place = id.and_then(|id| endpoint.refer_to_replacing(id));
                    places.push((asker, ticket, request, place));
                }
                Command::Request { ticket, request } => {
                    let Some(id) = inner.sip else { continue };
                    let sent = endpoint.request(now, id, *request);
                    let Some(ticket) = ticket else {
                        late(sent.map(drop));
                        continue;
                    };
                    inner.request_sent(ticket, sent);
                    leg.session.changed.notify_waiters();
                }
                Command::DecideOffers { value } => {
                    if let Some(id) = inner.sip {
                        late(endpoint.decide_offers(id, value));
                    }
                }
                Command::AcceptOffer { offer, headers, body } => {
                    if let Some(id) = inner.sip {
                        leg.accept_on_wire(&mut inner, (now, endpoint), (id, offer), &headers, body);
                    }
                }
                Command::RejectOffer { offer, code } => {
                    if let Some(id) = inner.sip {
                        leg.reject_on_wire(&mut inner, (now, endpoint), (id, offer), code);
                    }
                }
                Command::Referral(command) => {
                    if let Some(id) = inner.sip {
                        leg.referral_on_wire(&mut inner, (now, endpoint), id, command);
                    }
                }
                Command::Bridge(order) => {
                    let Some(id) = inner.sip else { continue };
                    notes.extend(order.carry_out(leg, &mut inner, (now, endpoint), id));
                }
            }
        }
        // Two legs are never locked at once, and no leg with a bridge's lock to follow.
        drop(inner);
        if let Some(replaced) = replaced {
            replaced.give_way_to(leg.id);
        }
        for note in notes {
            note.deliver();
        }
        for (asker, ticket, request, place) in places {
            asker.place_given(ticket, request, place);
        }
    }
}

impl Exchange {
    /// Another session has taken the leg over: the map is told, and then its commands are run.
    fn run_commands_of_heir(&mut self, now: Instant, endpoint: &mut Endpoint, heir: &Arc<LegShared>) {
        let sip = heir.lock().sip;
        if let Some(entry) = sip.and_then(|sip| self.legs.get_mut(&sip)) {
            entry.leg = Arc::clone(heir);
        }
        self.run_commands(now, endpoint, heir);
    }

    /// A call for a service becomes the leg of the session that has taken it, at the first news of it.
    fn claim(&mut self, id: LegId, event: &LegEvent) {
        let Some(call) = self.services.get(&id) else {
            return;
        };
        match call.news(event) {
            HandedOver::No => return,
            HandedOver::To(leg, attempt) => drop(self.legs.insert(id, Entry { leg, attempt })),
            HandedOver::Over => {}
        }
        self.services.remove(&id);
    }
}

/// A command that the endpoint refuses has crossed an event that the flow is about to see: a CANCEL, a BYE.
pub(super) fn late(result: Result<(), EndpointError>) {
    if let Err(error) = result {
        tracing::debug!(error = %Pii::text(&error.to_string()), "command came too late");
    }
}

impl ShardCore for Exchange {
    fn woken(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let mut batch = std::mem::take(&mut self.batch);
        self.queue.take_into(&mut batch);
        for object in batch.drain(..) {
            match object {
                Scheduled::Leg(leg) => self.run_commands(now, endpoint, &leg),
                Scheduled::Undecided(leg, command) => {
                    let leg = leg.leave(command);
                    self.run_commands(now, endpoint, &leg);
                }
                Scheduled::Search(search) => self.search(endpoint, *search),
                Scheduled::Found(id, found) => self.found(now, endpoint, id, found),
                Scheduled::Registration(registration) => {
                    if let Some(id) = registration.run(now, endpoint) {
                        self.registrations.insert(id, registration);
                    }
                }
                Scheduled::Subscription(subscription) => {
                    if let Some(id) = subscription.run(now, endpoint) {
                        self.subscriptions.insert(id, subscription);
                    }
                }
                Scheduled::Refusal(leg, refusal) => {
                    late(endpoint.reject(now, leg, refusal.code, None, &refusal.headers()));
                }
                Scheduled::End(leg, reason) => late(endpoint.hangup(now, leg, reason.as_ref())),
            }
        }
        self.batch = batch;
    }

    fn event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event) {
        if let Event::Leg { leg, event } = &event {
            self.claim(*leg, event);
        }
        match event {
            Event::Incoming {
                leg,
                request,
                path,
                replaces: Some(replaced),
            } => {
                let call = IncomingCall::new(leg, request, path, Arc::clone(&self.queue));
                self.replaces(now, endpoint, call, replaced);
            }
            Event::Incoming {
                leg,
                request,
                path,
                replaces: None,
            } => {
                let call = IncomingCall::new(leg, request, path, Arc::clone(&self.queue));
                match call.offer(&*self.incoming) {
                    Ok(Opened::Session(shared)) => drop(self.legs.insert(
                        leg,
                        Entry {
                            leg: shared,
                            attempt: 0,
                        },
                    )),
                    Ok(Opened::Service(call)) => drop(self.services.insert(leg, call)),
                    Ok(Opened::Nobody) => late(endpoint.reject(now, leg, 500, None, &[])),
                    Err(refusal) => late(endpoint.reject(now, leg, refusal.code, None, &refusal.headers())),
                }
            }
            Event::Leg { leg: id, event } => {
                let over = matches!(event, LegEvent::Ended(_));
                if let Some(entry) = self.legs.get(&id) {
                    entry.leg.apply(entry.attempt, event);
                }
                if over {
                    self.legs.remove(&id);
                    self.replacing.remove(&id);
                }
            }
            Event::Registration {
                registration: id,
                event,
            } => {
                let over = event.is_last();
                if let Some(registration) = self.registrations.get(&id) {
                    registration.apply(event);
                }
                if over {
                    self.registrations.remove(&id);
                }
            }
            Event::Subscription {
                subscription: id,
                event,
            } => {
                let over = self.subscriptions.get(&id).is_some_and(|one| one.apply(event));
                if over {
                    self.subscriptions.remove(&id);
                }
            }
        }
    }
}
