//! Registering: a registration and its REGISTER, to make, renew or remove the binding (RFC 3261 §10.2).
//!
//! Does not know what the binding is for; the answers are read in [`registered`](super::registered). Entry:
//! [`Endpoint::register`]. Invariants: one REGISTER at a time (§10.2), all of a registration under one Call-ID with rising
//! CSeq; only contacts that we bound are removed, never `*`.

use std::time::{Duration, Instant};

use super::Token;
use super::login::Login;
use super::outgoing::{check_uri, check_uri_text};
use crate::dialog::LocalSequence;
use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::compose::{self, RequestParts, check_headers, check_not_named};
use crate::endpoint::{
    Destination, Endpoint, EndpointError, Event, Header, RegisterRequest, RegistrationEvent,
    RegistrationFailure, RegistrationId, TimerKey, face,
};
use crate::message::{HeaderName, Method, NameAddr};
use crate::timer::Running;

/// The timers of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistrationTimer {
    /// The host's time-out for the first 2xx.
    Deadline,
    /// Send the next REGISTER, to renew or to try again.
    Renew,
    /// What was granted is over.
    Expiry,
}

/// What the host knows of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No answer yet.
    First,
    /// The binding is in force.
    InForce,
    /// It was, and the endpoint tries to get it back.
    Lost,
    /// The host was told the end: what is left to do is done in silence.
    Over,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Registration {
    registrar: Box<[u8]>,
    /// From, To and Call-ID lines.
    head: Box<[u8]>,
    /// The `line` parameter of our own contact.
    line: Token,
    /// The URIs that we bind, our own first.
    pub(super) contacts: Vec<Box<[u8]>>,
    pub(super) expires: u32,
    headers: Vec<Header>,
    to: Destination,
    pub(super) login: Option<Login>,
    seq: LocalSequence,
    pub(super) standing: Standing,
    /// A REGISTER has no final response yet.
    pub(super) pending: bool,
    /// The host wants it gone.
    pub(super) unwanted: bool,
    /// The REGISTER that removes the binding was sent.
    pub(super) removing: bool,
    /// How often this REGISTER was repeated with credentials.
    pub(super) tries: u8,
    /// A 423 was followed for this REGISTER.
    pub(super) raised: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// What went wrong last since the binding was in force.
    pub(super) failure: Option<RegistrationFailure>,
    pub(super) timers: Running<RegistrationTimer>,
}

impl Endpoint {
    /// Registers, and keeps the binding alive until [`unregister`](Self::unregister). It is renewed at 90 % of the time
    /// granted and at least 5 s before its end; after a failure with the pauses of RFC 5626 §4.5, or those of
    /// Retry-After where longer.
    ///
    /// # Errors
    /// [`EndpointError::Invalid`] when something in it cannot be sent, [`EndpointError::Limit`] when too much is alive.
    pub fn register(
        &mut self,
        now: Instant,
        request: RegisterRequest,
    ) -> Result<RegistrationId, EndpointError> {
        let limits = &self.config.limits;
        check_headers(&request.headers, false, limits.message.max_value)?;
        check_not_named(&request.headers, &[HeaderName::Expires])?;
        check_uri(&request.registrar)?;
        check_uri_text(&request.aor)?;
        for contact in &request.contacts {
            check_uri_text(contact)?;
        }
        if request.expires == 0 {
            return Err(EndpointError::Invalid("a registration of 0 s".into()));
        }
        if request.contacts.len() > limits.contacts_max {
            return Err(EndpointError::Limit("contacts_max"));
        }
        if self.registrations.len() >= limits.registrations_max {
            return Err(EndpointError::Limit("registrations_max"));
        }
        if self.transactions() >= limits.transactions_max {
            return Err(EndpointError::Limit("transactions_max"));
        }
        let to = match request.next_hop {
            Some(to) => to,
            None => self
                .destination_of(request.registrar.as_bytes(), None)
                .ok_or_else(|| EndpointError::Invalid(format!("{} leads nowhere", request.registrar)))?,
        };
        let tag = self.random.token();
        let call_id = self.fresh_call_id();
        let aor = request.aor.as_bytes();
        let parts: [&[u8]; 9] = [
            b"From: <",
            aor,
            b">;tag=",
            &tag,
            b"\r\nTo: <",
            aor,
            b">\r\nCall-ID: ",
            &call_id,
            b"\r\n",
        ];
        let head = parts.concat().into();
        let mut own = Vec::with_capacity(64);
        let face = self.faces.toward(&to).and_then(|index| self.faces.get(index));
        face::write_contact(
            &mut own,
            request.contact_user.as_deref(),
            face,
            None,
            face::ContactWay::toward(request.registrar.as_bytes(), to.protocol()),
        );
        // Two registrations of one name are two bindings, or the end of one would take the other's away (RFC 3261 §10.3: the
        // registrar tells bindings by their URIs).
        let line = self.random.token();
        let own: Box<[u8]> = NameAddr::parse(&own)
            .map_or_else(|_| Vec::new(), |addr| [addr.uri_raw, b";line=", &line].concat())
            .into();
        let more = request.contacts.into_iter().map(|uri| uri.into_bytes().into());

        self.standing_serial += 1;
        let id = RegistrationId(self.standing_serial);
        let registration = Registration {
            registrar: request.registrar.into_bytes().into(),
            head,
            line,
            contacts: std::iter::once(own).chain(more).collect(),
            expires: request.expires,
            headers: request.headers,
            to,
            login: Login::new(request.credentials),
            seq: LocalSequence::after(0),
            standing: Standing::First,
            pending: false,
            unwanted: false,
            removing: false,
            tries: 0,
            raised: false,
            failures: 0,
            failure: None,
            timers: Running::new(),
        };
        self.registrations.insert(id, registration);
        self.set_registration_timer(now, id, RegistrationTimer::Deadline, request.timeout);
        self.send_register(now, id);
        Ok(id)
    }

    /// What tells our own contact from every other of this host: its `line` parameter, which a request that the registrar
    /// sends there has in its Request-URI (RFC 3261 §16.5).
    #[must_use]
    pub fn contact_line(&self, id: RegistrationId) -> Option<&str> {
        let registration = self.registrations.get(&id)?;
        std::str::from_utf8(&registration.line).ok()
    }

    /// Removes our own binding, and no other. [`RegistrationEvent::Unregistered`] follows, within 64·T1 (twice that when a
    /// REGISTER is under way and unanswered). Again: no effect.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the host was told its end.
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) -> Result<(), EndpointError> {
        let over = EndpointError::WrongState("the registration is over");
        let registration = self.registrations.get_mut(&id).ok_or(over.clone())?;
        if registration.standing == Standing::Over {
            return Err(over);
        }
        if registration.unwanted {
            return Ok(());
        }
        registration.unwanted = true;
        let pending = registration.pending;
        self.stop_registration_timers(id);
        if !pending {
            self.remove_binding(now, id);
        }
        Ok(())
    }

    pub(super) fn send_register(&mut self, now: Instant, id: RegistrationId) {
        let branch = self.random.token();
        let cnonce = self.random.token();
        let mut lines = Vec::with_capacity(512);
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        let Some(seq) = registration.seq.next() else {
            return self.register_failed(now, id, RegistrationFailure::Exhausted);
        };
        registration.pending = true;
        let to = registration.to.clone();
        self.write_via(&mut lines, &to, &branch);
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        lines.extend_from_slice(&registration.head);
        let expires = if registration.removing {
            0
        } else {
            registration.expires
        };
        for contact in &registration.contacts {
            lines.extend_from_slice(b"Contact: <");
            lines.extend_from_slice(contact);
            lines.extend_from_slice(b">;expires=");
            compose::number(&mut lines, expires);
            lines.extend_from_slice(b"\r\n");
        }
        // Some registrars read only one of the two forms.
        lines.extend_from_slice(b"Expires: ");
        compose::number(&mut lines, expires);
        // RFC 3327 §5.1: proxies on the way may add Path only when we say so.
        lines.extend_from_slice(b"\r\nSupported: path\r\n");
        lines.extend_from_slice(&self.agent_line);
        if let Some(login) = registration.login.as_mut() {
            login.write_lines(
                &Method::Register,
                &registration.registrar,
                b"",
                &cnonce,
                &mut lines,
            );
        }
        let parts = RequestParts {
            method: "REGISTER",
            uri: &registration.registrar,
            lines: &lines,
            seq,
            headers: &registration.headers,
            body: None,
        };
        let request = compose::request(&mut self.scratch, &parts);
        let key = self.client_key(&branch, "REGISTER");
        self.open_client(
            now,
            NewClient {
                key,
                branch,
                request,
                to,
                alternate: None,
                user: ClientUser::Register(id),
                invite: false,
            },
        );
    }

    /// Sends the REGISTER that removes what we bound.
    pub(super) fn remove_binding(&mut self, now: Instant, id: RegistrationId) {
        if let Some(registration) = self.registrations.get_mut(&id) {
            registration.removing = true;
            registration.tries = 0;
            self.send_register(now, id);
        }
    }

    /// Forgets a registration; `event` is told unless the host has heard the end before.
    pub(super) fn registration_ends(&mut self, id: RegistrationId, event: RegistrationEvent) {
        self.stop_registration_timers(id);
        let Some(registration) = self.registrations.remove(&id) else {
            return;
        };
        if registration.standing != Standing::Over {
            self.emit(Event::Registration {
                registration: id,
                event,
            });
        }
    }

    pub(super) fn set_registration_timer(
        &mut self,
        now: Instant,
        id: RegistrationId,
        kind: RegistrationTimer,
        after: Duration,
    ) {
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        let timer = self
            .timers
            .set_random(now, after, TimerKey::Registration(id, kind));
        if let Some(old) = registration.timers.put(kind, timer) {
            self.timers.stop(old);
        }
    }

    pub(super) fn stop_registration_timers(&mut self, id: RegistrationId) {
        if let Some(registration) = self.registrations.get_mut(&id) {
            for timer in registration.timers.drain() {
                self.timers.stop(timer);
            }
        }
    }
}
