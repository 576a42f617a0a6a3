//! An event subscription (RFC 6665), as a flow holds it. Seed `subscribe`, `waitfornotify`.
//!
//! The endpoint sends, renews and orders; this keeps the NOTIFYs until the flow takes them. Entry type: [`Subscription`].
//! Invariants: at most `notifications_max` NOTIFYs wait, the oldest goes first; one that a wait took is taken out of the
//! mailbox and the other way round; dropping the object unsubscribes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callbox_sip::endpoint::{
    Endpoint, EndpointError, PartyAddress, SubscribeRequest, SubscriptionEnd, SubscriptionEvent,
    SubscriptionFailure, SubscriptionId,
};

pub use callbox_sip::endpoint::SubscriptionState;

use super::apply::refusal;
use super::error::CallError;
use super::events::EventKind;
use super::facts;
use super::options::{Credentials, Login};
use super::policy::DialRequest;
use super::session::{Session, SessionShared};
use super::target::DialTarget;
use super::tenant_bounds::Place;
use super::text::{self, Body, Header, ReceivedHeader};
use crate::config::{Capability, limits};

/// How to subscribe.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// Seconds to ask for. Default 160; 0 fetches the state once.
    pub interval: u32,
    /// Seconds until the host subscribes again; none: at 90 % of what was granted.
    pub refresh: Option<u32>,
    /// The longest wait for the first NOTIFY. Default 15 s.
    pub timeout: Duration,
    /// Who to authenticate as.
    pub credentials: Credentials,
    /// MIME types for Accept.
    pub accept: Vec<String>,
    /// A body, such as a filter.
    pub body: Option<Body>,
    /// Extra headers, on each SUBSCRIBE.
    pub headers: Vec<Header>,
    /// A trunk of the tenant's configuration.
    pub trunk: Option<String>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            interval: 160,
            refresh: None,
            timeout: Duration::from_secs(15),
            credentials: Credentials::None,
            accept: Vec::new(),
            body: None,
            headers: Vec::new(),
            trunk: None,
        }
    }
}

/// One NOTIFY.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The state it announces.
    pub state: SubscriptionState,
    /// Why it is terminated.
    pub reason: Option<String>,
    /// Seconds left, as the notifier says.
    pub expires: Option<u32>,
    /// What there is to know.
    pub body: Option<Body>,
    /// All headers, in order.
    pub headers: Vec<ReceivedHeader>,
}

impl Notification {
    /// In place of the NOTIFY that a notifier owes which is gone.
    fn lost(why: &str) -> Self {
        Self {
            state: SubscriptionState::Terminated,
            reason: Some(why.to_owned()),
            expires: None,
            body: None,
            headers: Vec::new(),
        }
    }
}

/// One subscription, owned. Dropping it unsubscribes.
pub struct Subscription {
    shared: Arc<SubscriptionShared>,
}

pub(super) struct SubscriptionShared {
    id: u32,
    session: Arc<SessionShared>,
    inner: Mutex<Inner>,
    /// Among the tenant's subscriptions.
    _place: Place,
}

struct Inner {
    /// The command that begins it, until the shard has taken it.
    start: Option<Box<SubscribeRequest>>,
    /// The command that ends it, likewise.
    end: bool,
    scheduled: bool,
    sip: Option<SubscriptionId>,
    state: SubscriptionState,
    /// The first NOTIFY came.
    made: bool,
    queue: VecDeque<(u64, Notification)>,
    /// The flow let go of it: what still comes is for nobody.
    dropped: bool,
    /// Over, and why.
    over: Option<String>,
    /// What a failed start or an end came to, for the method that waits for it.
    outcome: Option<Result<(), CallError>>,
}

impl Session {
    /// Subscribes, and waits for the first NOTIFY. Seed `subscribe`.
    ///
    /// # Errors
    /// `Timeout`, `Rejected` with the status, `Invalid`, `UnknownDestination`, `Denied`, `Transport`.
    pub async fn subscribe(
        &self,
        server: &str,
        event_package: &str,
        options: &SubscribeOptions,
    ) -> Result<Subscription, CallError> {
        self.shared.require(Capability::Subscription)?;
        let context = &self.shared.context;
        let target = DialTarget::sip("server", server)?;
        text::token(event_package, "event package")?;
        for kind in &options.accept {
            text::content_type(kind)?;
        }
        text::check_headers(&options.headers, &context.limits)?;
        options.credentials.check()?;
        let grant = context.policy.grant(&DialRequest {
            trunk: options.trunk.as_deref(),
            credential: options.credentials.name(),
            ..DialRequest::to(&target)
        })?;
        let logins = options.credentials.with(grant.logins);
        let from = match logins.first() {
            Some(login) => subscriber(login, grant.from_host, &target),
            None => facts::from_of(&grant.from_user, grant.from_name, grant.from_host),
        };
        let request = SubscribeRequest {
            uri: target.as_str().to_owned(),
            from,
            event: event_package.to_owned(),
            expires: options.interval,
            refresh: options.refresh,
            accept: options.accept.clone(),
            body: options.body.as_ref().map(facts::to_sip_body),
            headers: options.headers.iter().map(facts::to_sip_header).collect(),
            credentials: logins.iter().map(facts::to_sip_credentials).collect(),
            contact_user: None,
            next_hop: grant.next_hop,
            timeout: options.timeout,
        };
        self.shared.may_send()?;
        let subscription = Subscription {
            shared: self
                .shared
                .enlist_subscription(|id, place| SubscriptionShared::new(id, &self.shared, request, place))?,
        };
        subscription.shared.schedule();
        let started = super::wait::ready(&self.shared, options.timeout, || {
            let mut inner = subscription.shared.lock();
            if inner.made {
                return Some(Ok(()));
            }
            inner.outcome.take()
        })
        .await;
        // On failure the object goes, and with it what the notifier may yet grant.
        started.map(|()| subscription)
    }
}

impl Subscription {
    /// Its number within the session, the `source` of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// What the last NOTIFY announced; terminated when it is over.
    #[must_use]
    pub fn state(&self) -> SubscriptionState {
        self.shared.lock().state
    }

    /// The oldest NOTIFY not taken yet, or the next one. Seed `waitfornotify`.
    ///
    /// # Errors
    /// `Timeout`; `WrongState` when it is over and every NOTIFY was taken.
    pub async fn wait_for_notify(&self, timeout: Duration) -> Result<Notification, CallError> {
        let session = &self.shared.session;
        let (ticket, notification) = super::wait::ready(session, timeout, || {
            let mut inner = self.shared.lock();
            match (inner.queue.pop_front(), &inner.over) {
                (Some(oldest), _) => Some(Ok(oldest)),
                (None, Some(why)) => Some(Err(over(why))),
                (None, None) => None,
            }
        })
        .await?;
        session.lock().mailbox.take_back(ticket);
        Ok(notification)
    }

    /// Forgets the NOTIFYs not taken yet.
    pub fn clean_notify_buffer(&self) {
        let forgotten = std::mem::take(&mut self.shared.lock().queue);
        let mut session = self.shared.session.lock();
        for (ticket, _) in forgotten {
            session.mailbox.take_back(ticket);
        }
    }

    /// Ends it and waits until the notifier has answered; it is over whatever comes.
    ///
    /// # Errors
    /// `Timeout`, `Rejected`, `Transport`; `WrongState` when it is over already.
    pub async fn unsubscribe(&self, timeout: Duration) -> Result<(), CallError> {
        if let Some(why) = self.shared.finish(false) {
            return Err(over(&why));
        }
        super::wait::ready(&self.shared.session, timeout, || {
            self.shared.lock().outcome.take()
        })
        .await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.finish(true);
        self.clean_notify_buffer();
    }
}

/// Who logs in is who subscribes, in the domain of the resource unless a trunk or the login itself names another: a
/// notifier knows its users by From, and many compare it with the login.
fn subscriber(login: &Login, host: Option<String>, target: &DialTarget) -> PartyAddress {
    let (user, domain) = match login.username.rsplit_once('@') {
        Some((user, domain)) => (user, Some(domain.to_owned())),
        None => (login.username.as_str(), None),
    };
    let uri = target.as_str();
    let place = uri.rsplit_once('@').map_or(uri, |(_, place)| place);
    let place = place.trim_start_matches("sips:").trim_start_matches("sip:");
    let own = place.split([';', '?']).next().unwrap_or_default().to_owned();
    facts::from_of(user, None, domain.or(host).or(Some(own)))
}

fn over(why: &str) -> CallError {
    CallError::WrongState(format!("the subscription is over: {why}"))
}

impl SubscriptionShared {
    fn new(id: u32, session: &Arc<SessionShared>, request: SubscribeRequest, place: Place) -> Arc<Self> {
        Arc::new(Self {
            id,
            session: Arc::clone(session),
            inner: Mutex::new(Inner {
                start: Some(Box::new(request)),
                end: false,
                scheduled: false,
                sip: None,
                state: SubscriptionState::Pending,
                made: false,
                queue: VecDeque::new(),
                dropped: false,
                over: None,
                outcome: None,
            }),
            _place: place,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }

    fn schedule(self: &Arc<Self>) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.scheduled, true) {
            self.session.schedule(Arc::clone(self));
        }
    }

    /// Leaves the command that ends it; returns why it is over where it is.
    fn finish(self: &Arc<Self>, dropped: bool) -> Option<String> {
        {
            let mut inner = self.lock();
            inner.dropped |= dropped;
            if let Some(why) = &inner.over {
                return Some(why.clone());
            }
            inner.over = Some("this flow ended it".to_owned());
            inner.state = SubscriptionState::Terminated;
            inner.end = true;
        }
        self.schedule();
        None
    }

    /// The shard takes what waits; an id means a new subscription of the endpoint's.
    pub(super) fn run(&self, now: Instant, endpoint: &mut Endpoint) -> Option<SubscriptionId> {
        let mut inner = self.lock();
        inner.scheduled = false;
        let mut new = None;
        if let Some(request) = inner.start.take() {
            // Given up before it began.
            if inner.end {
                inner.end = false;
                return None;
            }
            match endpoint.subscribe(now, *request) {
                Ok(id) => {
                    inner.sip = Some(id);
                    new = Some(id);
                }
                Err(error) => self.refused(&mut inner, &error),
            }
        }
        if std::mem::take(&mut inner.end)
            && let Some(id) = inner.sip
            && let Err(error) = endpoint.unsubscribe(now, id)
        {
            self.refused(&mut inner, &error);
        }
        new
    }

    fn refused(&self, inner: &mut Inner, error: &EndpointError) {
        inner.over.get_or_insert_with(|| error.to_string());
        inner.state = SubscriptionState::Terminated;
        inner.outcome = Some(Err(refusal(error)));
        self.session.changed.notify_waiters();
    }

    /// Applies an event of the endpoint's. True when that was the last one.
    pub(super) fn apply(&self, event: SubscriptionEvent) -> bool {
        let mut inner = self.lock();
        let last = match event {
            SubscriptionEvent::Notify {
                state,
                reason,
                expires,
                request,
            } => {
                inner.made = true;
                if inner.over.is_none() {
                    inner.state = state;
                }
                let notification = Notification {
                    state,
                    reason: reason.map(Into::into),
                    expires,
                    body: facts::body(&request),
                    headers: facts::headers(&request),
                };
                if !inner.dropped {
                    self.keep(&mut inner, notification);
                }
                false
            }
            SubscriptionEvent::Released => {
                inner.outcome = Some(Ok(()));
                false
            }
            SubscriptionEvent::Ended(end) => {
                inner.sip = None;
                inner.state = SubscriptionState::Terminated;
                let unheard = matches!(end, SubscriptionEnd::Failed(_)) && inner.made && inner.over.is_none();
                let (why, outcome) = ended(end);
                if unheard {
                    self.keep(&mut inner, Notification::lost(&why));
                }
                inner.over.get_or_insert(why);
                inner.outcome.get_or_insert(outcome);
                true
            }
        };
        drop(inner);
        self.session.changed.notify_waiters();
        last
    }

    fn keep(&self, inner: &mut Inner, notification: Notification) {
        let most = self.session.context.limits.notifications_max;
        let ticket = self
            .session
            .post(self.id, EventKind::Notify(Box::new(notification.clone())));
        if inner.queue.len() >= most {
            limits::hit("limits.call.notifications_max");
            inner.queue.pop_front();
        }
        inner.queue.push_back((ticket, notification));
    }

    /// What was read from the mailbox is gone from the queue.
    pub(super) fn taken_from_mailbox(&self, ticket: u64) {
        self.lock().queue.retain(|(of, _)| *of != ticket);
    }
}

/// Why it is over, and what that means to a method that waits for it.
fn ended(end: SubscriptionEnd) -> (String, Result<(), CallError>) {
    match end {
        SubscriptionEnd::Terminated { reason, .. } => {
            let reason = reason.as_deref().unwrap_or("no reason given");
            (format!("the notifier ended it, {reason}"), Ok(()))
        }
        SubscriptionEnd::Failed(why) => (why.to_string(), Err(failure(&why))),
        SubscriptionEnd::Unsubscribed(result) => (
            "this flow ended it".to_owned(),
            result.map_err(|why| failure(&why)),
        ),
    }
}

fn failure(why: &SubscriptionFailure) -> CallError {
    match why {
        SubscriptionFailure::Rejected(response) => CallError::Rejected(facts::status(response)),
        SubscriptionFailure::Timeout | SubscriptionFailure::NoNotify | SubscriptionFailure::Expired => {
            CallError::Timeout
        }
        SubscriptionFailure::Transport(why) => CallError::Transport(why.to_string()),
        SubscriptionFailure::Exhausted => CallError::Protocol(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use callbox_sip::message::{Framing, Message, MessageLimits};

    use super::*;
    use crate::call::error::Denial;
    use crate::call::{DialGrant, DialPolicy, RegisterOptions, SessionContext};
    use crate::config::limits::CallLimits;

    struct OnlyExample;

    impl DialPolicy for OnlyExample {
        fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
            if !request.target.as_str().contains("example.com") {
                return Err(CallError::Denied(Denial::Destination));
            }
            if let Some(name) = request.credential {
                return Err(CallError::UnknownDestination(format!("no credential {name}")));
            }
            Ok(DialGrant::direct("acme".to_owned(), None))
        }
    }

    fn session() -> Session {
        let limits = CallLimits {
            registrations_max: 1,
            subscriptions_max: 1,
            notifications_max: 2,
            ..CallLimits::default()
        };
        let context = SessionContext {
            tenant: "acme".into(),
            flow: "flow".into(),
            version: "1".into(),
            config: Arc::new(BTreeMap::new()),
            auto_ring: false,
            grants: crate::call::Grants::all(),
            policy: Arc::new(OnlyExample),
            services: crate::call::Services::none(),
            limits: Arc::new(limits),
            bounds: Arc::default(),
        };
        Session::detached("test".to_owned(), context)
    }

    fn subscription(session: &Session) -> Subscription {
        let request = SubscribeRequest {
            uri: "sip:alice@example.com".to_owned(),
            from: PartyAddress::default(),
            event: "presence".to_owned(),
            expires: 60,
            refresh: None,
            accept: Vec::new(),
            body: None,
            headers: Vec::new(),
            credentials: Vec::new(),
            contact_user: None,
            next_hop: None,
            timeout: Duration::ZERO,
        };
        let make = |id, place| SubscriptionShared::new(id, &session.shared, request, place);
        Subscription {
            shared: session.shared.enlist_subscription(make).unwrap(),
        }
    }

    fn notify(subscription: &Subscription, number: u32, state: SubscriptionState) {
        let text = format!(
            "NOTIFY sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nFrom: <sip:b@c>;tag=1\r\n\
             To: <sip:a@c>;tag=2\r\nCall-ID: x\r\nCSeq: {number} NOTIFY\r\nContent-Length: 0\r\n\r\n"
        );
        let request = Message::parse(text.into(), Framing::Datagram, &MessageLimits::default()).unwrap();
        subscription.shared.apply(SubscriptionEvent::Notify {
            state,
            reason: None,
            expires: Some(number),
            request,
        });
    }

    async fn next(subscription: &Subscription) -> Result<Option<u32>, CallError> {
        let notification = subscription.wait_for_notify(Duration::ZERO).await?;
        Ok(notification.expires)
    }

    fn polled(session: &Session) -> Option<u32> {
        match session.poll_event()?.kind {
            EventKind::Notify(notification) => notification.expires,
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_notify_is_delivered_once_by_wait_or_by_event() {
        let session = session();
        let subscription = subscription(&session);
        notify(&subscription, 1, SubscriptionState::Active);
        notify(&subscription, 2, SubscriptionState::Active);
        assert_eq!(next(&subscription).await, Ok(Some(1)));
        assert_eq!(polled(&session), Some(2));
        assert_eq!(polled(&session), None);
        assert_eq!(next(&subscription).await, Err(CallError::Timeout));
        notify(&subscription, 3, SubscriptionState::Active);
        subscription.clean_notify_buffer();
        assert_eq!(polled(&session), None);
        assert_eq!(next(&subscription).await, Err(CallError::Timeout));
    }

    #[tokio::test]
    async fn the_oldest_notify_goes_first_and_the_end_comes_last() {
        let session = session();
        let subscription = subscription(&session);
        for number in 1..=3 {
            notify(&subscription, number, SubscriptionState::Active);
        }
        let end = SubscriptionEnd::Terminated {
            reason: Some("noresource".into()),
            retry_in: None,
        };
        assert!(subscription.shared.apply(SubscriptionEvent::Ended(end)));
        assert_eq!(subscription.state(), SubscriptionState::Terminated);
        assert_eq!(next(&subscription).await, Ok(Some(2)));
        assert_eq!(next(&subscription).await, Ok(Some(3)));
        assert!(
            matches!(next(&subscription).await, Err(CallError::WrongState(why)) if why.contains("noresource"))
        );
        let unsubscribed = subscription.unsubscribe(Duration::ZERO).await;
        assert!(matches!(unsubscribed, Err(CallError::WrongState(_))));
    }

    #[tokio::test]
    async fn one_that_is_lost_without_a_notify_says_so_once() {
        let session = session();
        let subscription = subscription(&session);
        let lost = || SubscriptionEvent::Ended(SubscriptionEnd::Failed(SubscriptionFailure::Expired));
        notify(&subscription, 1, SubscriptionState::Active);
        assert_eq!(polled(&session), Some(1));
        assert!(subscription.shared.apply(lost()));
        let last = subscription.wait_for_notify(Duration::ZERO).await.unwrap();
        assert_eq!(last.state, SubscriptionState::Terminated);
        assert!(last.reason.unwrap().contains("ran out") && last.headers.is_empty());
        assert!(session.poll_event().is_none(), "delivered once");
        assert!(matches!(next(&subscription).await, Err(CallError::WrongState(_))));
        // Before the first NOTIFY it is the error of the start alone.
        drop(subscription);
        let subscription = self::subscription(&session);
        assert!(subscription.shared.apply(lost()));
        assert!(session.poll_event().is_none());
    }

    #[tokio::test]
    async fn unsubscribe_waits_for_the_answer_and_not_for_the_last_notify() {
        let session = session();
        let subscription = subscription(&session);
        notify(&subscription, 1, SubscriptionState::Active);
        let shared = Arc::clone(&subscription.shared);
        let (ended, ()) = tokio::join!(subscription.unsubscribe(Duration::from_secs(5)), async {
            assert!(!shared.apply(SubscriptionEvent::Released), "more follows");
        });
        assert_eq!(ended, Ok(()));
        assert!(shared.apply(SubscriptionEvent::Ended(SubscriptionEnd::Unsubscribed(Ok(())))));
    }

    #[test]
    fn who_logs_in_is_who_subscribes() {
        for (username, host, target, from) in [
            (
                "alice",
                None,
                "sip:bob@example.com:5070;transport=tcp",
                ("alice", "example.com:5070"),
            ),
            (
                "alice",
                Some("carrier.example"),
                "sip:bob@10.0.0.1",
                ("alice", "carrier.example"),
            ),
            (
                "alice@home.example",
                Some("carrier.example"),
                "sip:bob@10.0.0.1",
                ("alice", "home.example"),
            ),
            (
                "alice",
                None,
                "sips:[2001:db8::1]:5061",
                ("alice", "[2001:db8::1]:5061"),
            ),
        ] {
            let login = Login {
                username: username.to_owned(),
                password: String::new(),
                realm: None,
            };
            let target = DialTarget::parse(target).unwrap();
            let address = subscriber(&login, host.map(str::to_owned), &target);
            assert_eq!(
                (address.user.as_deref(), address.host.as_deref()),
                (Some(from.0), Some(from.1))
            );
        }
    }

    #[tokio::test]
    async fn a_dropped_subscription_leaves_nothing_to_read() {
        let session = session();
        let subscription = subscription(&session);
        notify(&subscription, 1, SubscriptionState::Active);
        let shared = Arc::clone(&subscription.shared);
        drop(subscription);
        assert_eq!(polled(&session), None);
        // The NOTIFY that ends it is still to come.
        notify(&Subscription { shared }, 2, SubscriptionState::Terminated);
        assert_eq!(polled(&session), None);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_told_before_anything_is_sent() {
        let session = session();
        let (register, subscribe) = (RegisterOptions::default(), SubscribeOptions::default());
        for bad in ["", "alice", "sip:a@example.com\r\nX: y", "sip:a@exa mple.com"] {
            assert!(
                matches!(session.register(bad, &register).await, Err(CallError::Invalid(_))),
                "{bad:?}"
            );
            let result = session.subscribe(bad, "presence", &subscribe).await;
            assert!(matches!(result, Err(CallError::Invalid(_))), "{bad:?}");
        }
        let result = session
            .subscribe("sip:a@example.com", "pre\nsence", &subscribe)
            .await;
        assert!(matches!(result, Err(CallError::Invalid(_))));
        let elsewhere = session.register("sip:a@example.net", &register).await;
        assert!(matches!(elsewhere, Err(CallError::Denied(Denial::Destination))));
        let contact = RegisterOptions {
            contacts: vec!["sip:a@example.net".to_owned()],
            ..RegisterOptions::default()
        };
        let elsewhere = session.register("sip:a@example.com", &contact).await;
        assert!(
            matches!(elsewhere, Err(CallError::Denied(Denial::Destination))),
            "a contact is judged too"
        );
        let named = RegisterOptions {
            credentials: Credentials::Named("office".to_owned()),
            ..RegisterOptions::default()
        };
        let unknown = session.register("sip:a@example.com", &named).await;
        assert!(matches!(unknown, Err(CallError::UnknownDestination(_))));
        assert_eq!(session.shared.registration(1).map(|_| ()), None, "none was made");
    }

    #[tokio::test]
    async fn a_session_has_no_more_than_its_limits_say() {
        let session = session();
        let options = RegisterOptions {
            timeout: Duration::from_millis(20),
            ..RegisterOptions::default()
        };
        let aor = "sip:a@example.com";
        let (first, second) = tokio::join!(session.register(aor, &options), session.register(aor, &options));
        assert_eq!(first.map(|_| ()), Err(CallError::Timeout));
        let limit = CallError::limit("limits.call.registrations_max");
        assert_eq!(second.map(|_| ()), Err(limit));

        let _held = subscription(&session);
        let subscribed = session
            .subscribe(aor, "presence", &SubscribeOptions::default())
            .await;
        let limit = CallError::limit("limits.call.subscriptions_max");
        assert_eq!(subscribed.map(|_| ()), Err(limit));
    }
}
