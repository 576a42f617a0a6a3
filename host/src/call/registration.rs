//! A registration with a registrar (RFC 3261 §10), as a flow holds it. Seed `startregister`, `unregister`.
//!
//! The endpoint sends, renews and recovers; this is what the flow sees of it. Two sides share a [`RegistrationShared`] as
//! they do with legs. Entry type: [`Registration`]. Invariants: at most two commands ever wait for the shard, the start
//! and the end; nothing leaves before the tenant's policy has allowed registrar and contacts; dropping the object
//! removes the binding.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callbox_sip::endpoint::{
    Endpoint, EndpointError, RegisterRequest, RegistrationEvent, RegistrationFailure, RegistrationId,
};

use super::apply::refusal;
use super::error::CallError;
use super::events::EventKind;
use super::facts;
use super::options::{Credentials, Login};
use super::policy::DialRequest;
use super::service::{Address, Listing, Service, WaitingRoom};
use super::session::{Session, SessionShared};
use super::target::DialTarget;
use super::tenant_bounds::Place;
use super::text::{self, Header};
use crate::config::Capability;

/// How to register.
#[derive(Debug, Clone)]
pub struct RegisterOptions {
    /// Who to authenticate as.
    pub credentials: Credentials,
    /// The longest wait for the first 2xx. Default 15 s.
    pub timeout: Duration,
    /// Seconds to ask for. Default 300.
    pub expires: u32,
    /// Contact URIs beside the host's own.
    pub contacts: Vec<String>,
    /// Extra headers, on each REGISTER.
    pub headers: Vec<Header>,
    /// A trunk of the tenant's configuration.
    pub trunk: Option<String>,
}

impl Default for RegisterOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::None,
            timeout: Duration::from_secs(15),
            expires: 300,
            contacts: Vec::new(),
            headers: Vec::new(),
            trunk: None,
        }
    }
}

/// One contact that the registrar has on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The contact URI.
    pub contact: String,
    /// Seconds that were left when the registrar answered.
    pub expires: u32,
}

/// One registration, owned. Dropping it unregisters.
pub struct Registration {
    shared: Arc<RegistrationShared>,
}

pub(super) struct RegistrationShared {
    id: u32,
    session: Arc<SessionShared>,
    /// Who is registered, for calls in that name.
    pub(super) identity: Identity,
    inner: Mutex<Inner>,
    /// Among the tenant's registrations.
    _place: Place,
}

/// The parts of an address of record, and the logins that the registrar may know.
pub(super) struct Identity {
    pub(super) user: String,
    /// With the port, where the address has one.
    pub(super) host: String,
    pub(super) logins: Vec<Login>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No answer yet.
    Starting,
    InForce,
    /// The endpoint tries to get it back.
    Lost,
    /// The flow asked for the end and waits for the answer.
    Ending,
    Over,
}

impl Standing {
    /// The flow, the registrar or the shard has ended it.
    fn is_over(self) -> bool {
        matches!(self, Self::Ending | Self::Over)
    }
}

struct Inner {
    /// The command that begins it, until the shard has taken it.
    start: Option<Box<RegisterRequest>>,
    /// The command that ends it, likewise.
    end: bool,
    scheduled: bool,
    sip: Option<RegistrationId>,
    /// The `line` of our contact, once the endpoint has made it.
    line: Option<Box<str>>,
    standing: Standing,
    bindings: Vec<Binding>,
    /// Calls to it are accepted.
    listing: Option<Listing>,
    /// What a failed start or an end came to, for the method that waits for it.
    outcome: Option<Result<(), CallError>>,
}

impl Session {
    /// Registers, and waits for the first 2xx. `registrar` is the address of record. Seed `startregister`.
    ///
    /// # Errors
    /// `Timeout`, `Rejected` with the status, `Invalid`, `UnknownDestination`, `Denied`, `Transport`.
    pub async fn register(
        &self,
        registrar: &str,
        options: &RegisterOptions,
    ) -> Result<Registration, CallError> {
        self.shared.require(Capability::Registration)?;
        let limits = &self.shared.context.limits;
        let target = DialTarget::sip("registrar", registrar)?;
        let address = AddressOfRecord::of(&target)?;
        let contacts = options
            .contacts
            .iter()
            .map(|contact| DialTarget::sip("contact", contact))
            .collect::<Result<Vec<_>, _>>()?;
        text::check_headers(&options.headers, limits)?;
        options.credentials.check()?;
        let policy = &self.shared.context.policy;
        let grant = policy.grant(&DialRequest {
            trunk: options.trunk.as_deref(),
            credential: options.credentials.name(),
            ..DialRequest::to(&target)
        })?;
        // A contact elsewhere is where the registrar's calls will go: a redirection, and judged like one.
        for contact in &contacts {
            policy.grant(&DialRequest::to(contact))?;
        }
        let logins = options.credentials.with(grant.logins);
        let request = RegisterRequest {
            registrar: address.registrar,
            aor: address.aor,
            contact_user: Some(address.user.as_str().into()),
            contacts: contacts
                .iter()
                .map(|contact| contact.as_str().to_owned())
                .collect(),
            expires: options.expires,
            headers: options.headers.iter().map(facts::to_sip_header).collect(),
            credentials: logins.iter().map(facts::to_sip_credentials).collect(),
            next_hop: grant.next_hop,
            timeout: options.timeout,
        };
        let identity = Identity {
            user: address.user,
            host: address.host,
            logins,
        };
        self.shared.may_send()?;
        let registration = Registration {
            shared: self.shared.enlist_registration(|id, place| {
                RegistrationShared::new(id, &self.shared, identity, request, place)
            })?,
        };
        registration.shared.schedule();
        let started = super::wait::ready(&self.shared, options.timeout, || {
            let mut inner = registration.shared.lock();
            match inner.standing {
                Standing::Starting => None,
                Standing::InForce | Standing::Lost => Some(Ok(())),
                Standing::Ending | Standing::Over => {
                    Some(inner.outcome.take().unwrap_or(Err(CallError::Cancelled)))
                }
            }
        })
        .await;
        // On failure the object goes, and with it what the registrar may yet grant.
        started.map(|()| registration)
    }
}

impl Registration {
    /// Its number within the session, the `source` of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// Our binding is in force.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.shared.lock().standing == Standing::InForce
    }

    /// What the registrar listed in its last 2xx.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        self.shared.lock().bindings.clone()
    }

    /// Removes our own binding and waits for the answer; the registration is over whatever that is. Seed `unregister`.
    ///
    /// # Errors
    /// `Timeout`, `Rejected`, `Transport`; `WrongState` when it is over already.
    pub async fn unregister(&self, timeout: Duration) -> Result<(), CallError> {
        if !self.shared.finish(Standing::Ending) {
            return Err(CallError::WrongState("the registration is over".to_owned()));
        }
        let ended = super::wait::ready(&self.shared.session, timeout, || {
            self.shared.lock().outcome.take()
        })
        .await;
        self.shared.lock().standing = Standing::Over;
        ended
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.finish(Standing::Over);
    }
}

impl RegistrationShared {
    fn new(
        id: u32,
        session: &Arc<SessionShared>,
        identity: Identity,
        request: RegisterRequest,
        place: Place,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            session: Arc::clone(session),
            identity,
            inner: Mutex::new(Inner {
                start: Some(Box::new(request)),
                end: false,
                scheduled: false,
                sip: None,
                line: None,
                standing: Standing::Starting,
                bindings: Vec::new(),
                listing: None,
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
        self.lock().standing.is_over()
    }

    /// Lets calls for it wait while no session accepts, for as long as it stands; the service that they wait for. None
    /// when it does not stand.
    pub(super) fn list(&self, room: &Arc<WaitingRoom>, address: Address) -> Option<Service> {
        let mut inner = self.lock();
        if inner.standing.is_over() {
            return None;
        }
        let service = Service::Registered {
            line: inner.line.clone()?,
        };
        if inner.listing.is_none() {
            inner.listing = Some(room.list(address, service.clone(), &self.session.context.bounds));
        }
        Some(service)
    }

    /// Whether this is the `line` of its contact, while it stands.
    pub(super) fn has_line(&self, line: &str) -> bool {
        let inner = self.lock();
        inner.line.as_deref() == Some(line) && !matches!(inner.standing, Standing::Over)
    }

    fn schedule(self: &Arc<Self>) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.scheduled, true) {
            self.session.schedule(Arc::clone(self));
        }
    }

    /// Leaves the command that ends it, unless it is over.
    fn finish(self: &Arc<Self>, standing: Standing) -> bool {
        {
            let mut inner = self.lock();
            if inner.standing.is_over() {
                return false;
            }
            inner.standing = standing;
            inner.listing = None;
            inner.end = true;
        }
        self.schedule();
        true
    }

    /// The shard takes what waits; an id means a new registration of the endpoint's.
    pub(super) fn run(&self, now: Instant, endpoint: &mut Endpoint) -> Option<RegistrationId> {
        let mut inner = self.lock();
        inner.scheduled = false;
        let mut new = None;
        if let Some(request) = inner.start.take() {
            // Given up before it began.
            if inner.end {
                inner.end = false;
                inner.outcome = Some(Ok(()));
                self.session.changed.notify_waiters();
                return None;
            }
            match endpoint.register(now, *request) {
                Ok(id) => {
                    inner.sip = Some(id);
                    inner.line = endpoint.contact_line(id).map(Into::into);
                    new = Some(id);
                }
                Err(error) => self.refused(&mut inner, &error),
            }
        }
        if std::mem::take(&mut inner.end)
            && let Some(id) = inner.sip
            && let Err(error) = endpoint.unregister(now, id)
        {
            self.refused(&mut inner, &error);
        }
        new
    }

    fn refused(&self, inner: &mut Inner, error: &EndpointError) {
        inner.standing = Standing::Over;
        inner.listing = None;
        inner.outcome = Some(Err(refusal(error)));
        self.session.changed.notify_waiters();
    }

    /// Applies an event of the endpoint's.
    pub(super) fn apply(&self, event: RegistrationEvent) {
        let mut inner = self.lock();
        inner.sip = inner.sip.filter(|_| !event.is_last());
        let ending = inner.standing.is_over();
        match event {
            RegistrationEvent::Registered(done)
            | RegistrationEvent::Refreshed(done)
            | RegistrationEvent::Recovered(done) => {
                if !ending {
                    inner.standing = Standing::InForce;
                }
                inner.bindings = done
                    .bindings
                    .into_iter()
                    .map(|binding| Binding {
                        contact: binding.contact.into(),
                        expires: binding.expires,
                    })
                    .collect();
            }
            RegistrationEvent::Failed(why) => {
                inner.standing = Standing::Over;
                inner.outcome = Some(Err(failure(&why)));
            }
            RegistrationEvent::Lost {
                failure: why,
                retrying,
            } => {
                let why = failure(&why);
                if !ending {
                    inner.standing = if retrying { Standing::Lost } else { Standing::Over };
                    self.session.post(self.id, EventKind::RegistrationLost(why));
                } else if !retrying {
                    // Refused for good while the flow was giving it up: there is nothing left to remove.
                    inner.outcome = Some(Err(why));
                }
            }
            RegistrationEvent::Unregistered(result) => {
                inner.bindings.clear();
                inner.outcome = Some(result.map_err(|why| failure(&why)));
            }
        }
        if inner.standing == Standing::Over {
            inner.listing = None;
        }
        drop(inner);
        self.session.changed.notify_waiters();
    }
}

impl SessionShared {
    /// The registration of this session that has the address of record `uri`.
    pub(super) fn registration_of(&self, uri: &str) -> Result<Option<Arc<RegistrationShared>>, CallError> {
        let address = AddressOfRecord::of(&DialTarget::parse(uri)?)?;
        Ok(self.registration_with(|registration| {
            let identity = &registration.identity;
            identity.user == address.user && identity.host.eq_ignore_ascii_case(&address.host)
        }))
    }
}

/// An address of record taken apart.
struct AddressOfRecord {
    /// Where REGISTER goes: the address without its user part.
    registrar: String,
    /// The address without parameters and headers, for To and From.
    aor: String,
    user: String,
    host: String,
}

impl AddressOfRecord {
    fn of(target: &DialTarget) -> Result<Self, CallError> {
        let uri = target.as_str();
        let parts = uri
            .split_once(':')
            .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
        let Some((scheme, (user, place))) = parts else {
            return Err(CallError::invalid(format!(
                "registrar {} has no user part",
                text::quoted(uri)
            )));
        };
        // RFC 3261 §19.1.1: a password in a URI is never used.
        let user = user.split(':').next().unwrap_or_default();
        let host = place.split(';').next().unwrap_or_default();
        Ok(Self {
            registrar: format!("{scheme}:{place}"),
            aor: format!("{scheme}:{user}@{host}"),
            user: user.to_owned(),
            host: host.to_owned(),
        })
    }
}

fn failure(why: &RegistrationFailure) -> CallError {
    match why {
        RegistrationFailure::Rejected(response) if response.code().is_some_and(|code| code < 300) => {
            CallError::Protocol("the registrar accepted and granted no time".to_owned())
        }
        RegistrationFailure::Rejected(response) => CallError::Rejected(facts::status(response)),
        RegistrationFailure::Timeout => CallError::Timeout,
        RegistrationFailure::Transport(why) => CallError::Transport(why.to_string()),
        RegistrationFailure::Exhausted => CallError::Protocol(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_of_record_names_registrar_and_user() {
        let target = DialTarget::parse("sip:1000:pw@192.0.2.1:5060;transport=tcp").unwrap();
        let address = AddressOfRecord::of(&target).unwrap();
        assert_eq!(address.registrar, "sip:192.0.2.1:5060;transport=tcp");
        assert_eq!(address.aor, "sip:1000@192.0.2.1:5060");
        assert_eq!(address.user, "1000");
        assert_eq!(address.host, "192.0.2.1:5060");
    }

    #[test]
    fn an_address_without_a_user_is_no_address_of_record() {
        let target = DialTarget::parse("sip:example.com").unwrap();
        assert!(matches!(AddressOfRecord::of(&target), Err(CallError::Invalid(_))));
    }
}
