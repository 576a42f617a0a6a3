//! Subscribing: a subscription and its SUBSCRIBE, to make, renew or end it (RFC 6665 §4.1.2).
//!
//! Does not know what an event package means; the answers are read in [`subscribed`](super::subscribed), NOTIFY in
//! [`notified`](super::notified). Entry:
//! [`Endpoint::subscribe`]. Invariants: the first NOTIFY makes the dialog, and there is one dialog a subscription; one
//! SUBSCRIBE at a time; each SUBSCRIBE must be followed by a NOTIFY within timer N.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::login::Login;
use super::outgoing::check_uri;
use super::renewal::renew_after;
use crate::dialog::{Dialog, LocalSequence};
use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::compose::{self, RequestParts, check_body, check_headers, check_not_named};
use crate::endpoint::{
    Body, Destination, Endpoint, EndpointError, Event, Header, PartyAddress, SubscribeRequest,
    SubscriptionEnd, SubscriptionEvent, SubscriptionFailure, SubscriptionId, TimerKey, face,
};
use crate::message::{HeaderName, Method, Value, is_field_value, is_token};
use crate::rng::Token;
use crate::timer::Running;

/// The timers of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionTimer {
    /// The host's time-out for the first NOTIFY.
    Deadline,
    /// Timer N: the NOTIFY that follows a SUBSCRIBE.
    Notify,
    /// Send the next SUBSCRIBE, to renew or to try again.
    Renew,
    /// What was granted is over.
    Expiry,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    uri: Box<[u8]>,
    from: PartyAddress,
    /// The Event header.
    pub(super) event: Box<str>,
    /// Accept lines.
    accept: Box<[u8]>,
    pub(super) expires: u32,
    refresh: Option<u32>,
    headers: Vec<Header>,
    body: Option<Body>,
    contact_user: Option<Box<str>>,
    pub(super) to: Destination,
    pub(super) login: Option<Login>,
    pub(super) local_tag: Token,
    /// Its place in the index.
    pub(super) key: u128,
    /// From, To and Call-ID lines before there is a dialog.
    head: Box<[u8]>,
    /// Sequence numbers before there is a dialog.
    pub(super) seq: LocalSequence,
    pub(super) dialog: Option<Box<Dialog>>,
    /// The client transaction of the SUBSCRIBE without a final response.
    pub(super) pending: Option<u32>,
    /// When the Renew timer fires.
    pub(super) renew_at: Option<Instant>,
    /// When what was granted runs out: the Expiry timer fires.
    pub(super) ends_at: Option<Instant>,
    /// The host wants it gone.
    pub(super) unwanted: bool,
    /// The SUBSCRIBE with Expires 0 was sent.
    pub(super) leaving: bool,
    /// It was made anew after a 481, and not renewed since.
    pub(super) remade: bool,
    /// How often this SUBSCRIBE was repeated with credentials.
    pub(super) tries: u8,
    /// A 423 was followed for this SUBSCRIBE.
    pub(super) raised: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) timers: Running<SubscriptionTimer>,
}

impl Subscription {
    /// When to renew what is granted for so many seconds: as the host wants, where that is before the end.
    pub(super) fn renew_after(&self, granted: u32) -> Duration {
        let wanted = self.refresh.filter(|refresh| (1..granted).contains(refresh));
        wanted.map_or(renew_after(granted), |s| Duration::from_secs(s.into()))
    }

    /// Whether a timer of that kind runs.
    pub(super) fn is_timed(&self, kind: SubscriptionTimer) -> bool {
        self.timers.runs(kind)
    }
}

impl Endpoint {
    /// Subscribes, and keeps the subscription alive until the notifier ends it or [`unsubscribe`](Self::unsubscribe). The
    /// first [`SubscriptionEvent::Notify`] means that it is made.
    ///
    /// # Errors
    /// [`EndpointError::Invalid`] when something in it cannot be sent, [`EndpointError::Limit`] when too much is alive.
    pub fn subscribe(
        &mut self,
        now: Instant,
        request: SubscribeRequest,
    ) -> Result<SubscriptionId, EndpointError> {
        let limits = &self.config.limits;
        check_headers(&request.headers, false, limits.message.max_value)?;
        check_not_named(
            &request.headers,
            &[HeaderName::Expires, HeaderName::Event, HeaderName::Accept],
        )?;
        check_body(request.body.as_ref(), limits.body_max)?;
        check_uri(&request.uri)?;
        let package = Value::parse(request.event.as_bytes()).value;
        if !is_token(package) || !is_field_value(request.event.as_bytes()) {
            return Err(EndpointError::Invalid(format!(
                "{:?} is not an event package",
                request.event
            )));
        }
        if request.accept.len() > limits.accepts_max {
            return Err(EndpointError::Limit("accepts_max"));
        }
        let mut accept = Vec::new();
        for kind in &request.accept {
            if Value::parse(kind.as_bytes()).media().is_none() || !is_field_value(kind.as_bytes()) {
                return Err(EndpointError::Invalid(format!("{kind:?} is not type/subtype")));
            }
            accept.extend_from_slice(format!("Accept: {kind}\r\n").as_bytes());
        }
        if self.subscriptions.len() >= limits.subscriptions_max {
            return Err(EndpointError::Limit("subscriptions_max"));
        }
        if self.transactions() >= limits.transactions_max {
            return Err(EndpointError::Limit("transactions_max"));
        }
        let to = match request.next_hop {
            Some(to) => to,
            None => self
                .destination_of(request.uri.as_bytes(), None)
                .ok_or_else(|| EndpointError::Invalid(format!("{} leads nowhere", request.uri)))?,
        };
        let mut subscription = Subscription {
            uri: request.uri.into_bytes().into(),
            from: request.from,
            event: request.event.into(),
            accept: accept.into(),
            expires: request.expires,
            refresh: request.refresh,
            headers: request.headers,
            body: request.body,
            contact_user: request.contact_user,
            to,
            login: Login::new(request.credentials),
            local_tag: Token::default(),
            key: 0,
            head: Box::default(),
            seq: LocalSequence::after(0),
            dialog: None,
            pending: None,
            renew_at: None,
            ends_at: None,
            unwanted: false,
            leaving: false,
            remade: false,
            tries: 0,
            raised: false,
            failures: 0,
            timers: Running::new(),
        };
        self.identify(&mut subscription)?;
        self.standing_serial += 1;
        let id = SubscriptionId(self.standing_serial);
        self.subscription_index.insert(subscription.key, id);
        self.subscriptions.insert(id, subscription);
        self.set_subscription_timer(now, id, SubscriptionTimer::Deadline, request.timeout);
        self.send_subscribe(now, id);
        Ok(id)
    }

    /// Ends a subscription: SUBSCRIBE with Expires 0, then the wait for the last NOTIFY, 64·T1 at most (twice that when a
    /// SUBSCRIBE is under way and unanswered). [`SubscriptionEvent::Released`] tells of its 2xx. One without a NOTIFY so far is just forgotten: the NOTIFY to come is
    /// refused, which ends it there. [`SubscriptionEnd::Unsubscribed`] follows. Again: no effect.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when it is over.
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) -> Result<(), EndpointError> {
        let over = EndpointError::WrongState("the subscription is over");
        let subscription = self.subscriptions.get_mut(&id).ok_or(over)?;
        if subscription.unwanted {
            return Ok(());
        }
        subscription.unwanted = true;
        let (made, pending) = (subscription.dialog.is_some(), subscription.pending.is_some());
        self.stop_subscription_timer(id, SubscriptionTimer::Renew);
        self.stop_subscription_timer(id, SubscriptionTimer::Expiry);
        if !made {
            self.subscription_ends(id, SubscriptionEnd::Unsubscribed(Ok(())));
        } else if !pending {
            self.leave_subscription(now, id);
        }
        Ok(())
    }

    /// A Call-ID and tag of its own.
    pub(super) fn identify(&mut self, subscription: &mut Subscription) -> Result<(), EndpointError> {
        let tag = self.random.token();
        let call_id = self.fresh_call_id();
        let mut head = Vec::with_capacity(256);
        self.write_from(&mut head, &subscription.from, &subscription.to, &tag)?;
        let parts: [&[u8]; 5] = [b"To: <", &subscription.uri, b">\r\nCall-ID: ", &call_id, b"\r\n"];
        head.extend(parts.concat());
        subscription.head = head.into();
        subscription.local_tag = tag;
        subscription.key = self.keys.dialog(&call_id, &tag, b"");
        subscription.seq = LocalSequence::after(0);
        Ok(())
    }

    pub(super) fn send_subscribe(&mut self, now: Instant, id: SubscriptionId) {
        let branch = self.random.token();
        let cnonce = self.random.token();
        // Taken out while the endpoint composes; put back below on each way.
        let Some(mut subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        let composed = self.compose_subscribe(&mut subscription, &branch, &cnonce);
        let to = subscription
            .dialog
            .as_ref()
            .map_or((subscription.to.clone(), None), |dialog| {
                (dialog.destination.clone(), dialog.alternate.clone())
            });
        self.subscriptions.insert(id, subscription);
        let Some(request) = composed else {
            return self.subscribe_failed(now, id, SubscriptionFailure::Exhausted);
        };
        let new = NewClient {
            key: self.client_key(&branch, "SUBSCRIBE"),
            branch,
            request,
            to: to.0,
            alternate: to.1,
            user: ClientUser::Subscribe(id),
            invite: false,
        };
        let client = self.open_client(now, new);
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.pending = Some(client);
        }
        let n = self.config.timing.sixty_four_t1();
        self.set_subscription_timer(now, id, SubscriptionTimer::Notify, n);
    }

    /// None when the sequence numbers are used up.
    fn compose_subscribe(
        &mut self,
        subscription: &mut Subscription,
        branch: &Token,
        cnonce: &Token,
    ) -> Option<Bytes> {
        let body = subscription.body.as_ref().filter(|_| !subscription.leaving);
        let face = self
            .faces
            .toward(&subscription.to)
            .and_then(|index| self.faces.get(index));
        let mut lines = Vec::with_capacity(512);
        lines.extend_from_slice(b"Contact: ");
        let protocol = subscription.to.protocol();
        face::write_contact(
            &mut lines,
            subscription.contact_user.as_deref(),
            face,
            None,
            face::ContactWay::toward(&subscription.uri, protocol),
        );
        lines.extend_from_slice(b"\r\nEvent: ");
        lines.extend_from_slice(subscription.event.as_bytes());
        lines.extend_from_slice(b"\r\nExpires: ");
        compose::number(
            &mut lines,
            if subscription.leaving {
                0
            } else {
                subscription.expires
            },
        );
        lines.extend_from_slice(b"\r\n");
        lines.extend_from_slice(&subscription.accept);
        let octets = body.map(|body| &body.data[..]).unwrap_or_default();
        let method = Method::Subscribe;
        let mut log_in = |uri: &[u8], lines: &mut Vec<u8>| {
            if let Some(login) = subscription.login.as_mut() {
                login.write_lines(&method, uri, octets, cnonce, lines);
            }
        };
        let headers = &subscription.headers;
        if let Some(dialog) = subscription.dialog.as_mut() {
            log_in(dialog.routes.request_uri(&dialog.target), &mut lines);
            let seq = dialog.local_seq.next()?;
            return Some(self.compose_in_dialog(dialog, method.as_str(), seq, branch, &lines, headers, body));
        }
        log_in(&subscription.uri, &mut lines);
        let seq = subscription.seq.next()?;
        let mut all = Vec::with_capacity(1_024);
        self.write_via(&mut all, &subscription.to, branch);
        all.extend_from_slice(&subscription.head);
        all.extend_from_slice(&lines);
        all.extend_from_slice(&self.agent_line);
        let parts = RequestParts {
            method: method.as_str(),
            uri: &subscription.uri,
            lines: &all,
            seq,
            headers,
            body,
        };
        Some(compose::request(&mut self.scratch, &parts))
    }

    /// Sends the SUBSCRIBE that ends it.
    pub(super) fn leave_subscription(&mut self, now: Instant, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.leaving = true;
            subscription.tries = 0;
            self.send_subscribe(now, id);
        }
    }

    /// Forgets a subscription and tells the host.
    pub(super) fn subscription_ends(&mut self, id: SubscriptionId, end: SubscriptionEnd) {
        let Some(mut subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        self.subscription_index.remove(&subscription.key);
        for timer in subscription.timers.drain() {
            self.timers.stop(timer);
        }
        let client = subscription
            .pending
            .and_then(|slot| self.clients.get_mut(slot as usize));
        if let Some(client) = client.filter(|client| client.user == ClientUser::Subscribe(id)) {
            client.user = ClientUser::Nobody;
        }
        let event = SubscriptionEvent::Ended(end);
        self.emit(Event::Subscription {
            subscription: id,
            event,
        });
    }

    pub(super) fn set_subscription_timer(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        kind: SubscriptionTimer,
        after: Duration,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let timer = self
            .timers
            .set_random(now, after, TimerKey::Subscription(id, kind));
        if let Some(old) = subscription.timers.put(kind, timer) {
            self.timers.stop(old);
        }
    }

    pub(super) fn stop_subscription_timer(&mut self, id: SubscriptionId, kind: SubscriptionTimer) {
        let timer = self.subscriptions.get_mut(&id).and_then(|s| s.timers.take(kind));
        if let Some(timer) = timer {
            self.timers.stop(timer);
        }
    }
}
