//! `accept`: a leg of a session takes a call that came in for a service.
//!
//! The waiting is the room's (`service`); here is what it means for the leg. Invariants: only an idle leg takes a call, once
//! a method, and from then on it lives on the shard on which the call came in.

use std::sync::Arc;
use std::time::Duration;

use super::command::{Command, Scheduled};
use super::error::CallError;
use super::facts::{self, Facts};
use super::leg::{Direction, Leg, LegInner, LegShared, Phase};
use super::service::{Address, Service, ServiceCall};
use super::summary::Moments;
use super::text;
use crate::config::Capability;

/// The longest name of a service: the length of a name in the configuration.
const NAME_MAX: usize = 64;

/// An accepting method of a leg.
pub(super) enum Accepting {
    /// It waits, under this ticket of the room's.
    Waiting(u64),
    /// It has a call that the flow has not seen yet.
    Taken(Arc<ServiceCall>),
    /// It ends without one.
    Refused(CallError),
}

impl Leg {
    /// Takes one incoming call for a service: the one that has waited longest, or the next one. The leg is then ringing in.
    /// A service is a name that the operator gave to calls of the tenant, or the address of record of a registration of
    /// this session, as it was given to [`super::Session::register`]. Seed `accept`.
    ///
    /// # Errors
    /// `Timeout`, and the leg is idle still; `UnknownDestination` for a service that there is not; `WrongState` unless the
    /// leg is idle; `Denied(Draining)`.
    pub async fn accept(&self, service: &str, timeout: Duration) -> Result<(), CallError> {
        self.shared.session.require(Capability::Accept)?;
        {
            let inner = self.shared.lock();
            if inner.phase != Phase::Idle {
                return Err(inner.wrong_state("accept"));
            }
        }
        let session = &self.shared.session;
        let unknown = || CallError::UnknownDestination(format!("no service {}", text::quoted(service)));
        let room = session.context.services.room.as_ref().ok_or_else(unknown)?;
        let wanted = if is_uri(service) {
            let registration = session.registration_of(service)?.ok_or_else(unknown)?;
            let identity = &registration.identity;
            let address = Address::new(&identity.user, &identity.host);
            registration.list(room, address).ok_or_else(unknown)?
        } else {
            if service.is_empty() || service.len() > NAME_MAX {
                return Err(CallError::invalid(format!(
                    "service {} must have 1 to {NAME_MAX} bytes",
                    text::quoted(service)
                )));
            }
            if !session.context.services.knows(service) {
                return Err(unknown());
            }
            Service::Named {
                tenant: Arc::clone(&session.context.tenant),
                name: service.into(),
            }
        };
        let deadline = session.deadline(timeout);
        let visit = room.enter(wanted, &self.shared)?;
        let waited = self
            .wait(Some(deadline), |inner| match &inner.accepting {
                Some(Accepting::Waiting(_)) => None,
                Some(Accepting::Refused(why)) => Some(Err(why.clone())),
                Some(Accepting::Taken(_)) | None => Some(Ok(())),
            })
            .await;
        // What was given to it up to this moment is its own, also when the time is up.
        if visit.end() { Ok(()) } else { waited }
    }
}

fn is_uri(service: &str) -> bool {
    let scheme = service.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

impl LegShared {
    pub(super) fn begin_to_accept(&self, ticket: u64) -> Result<(), CallError> {
        let mut inner = self.lock();
        if inner.phase != Phase::Idle || inner.accepting.is_some() {
            return Err(inner.wrong_state("accept"));
        }
        inner.accepting = Some(Accepting::Waiting(ticket));
        Ok(())
    }

    /// The method is over; the call that it got, if it got one.
    pub(super) fn end_to_accept(&self) -> Option<Arc<ServiceCall>> {
        match self.lock().accepting.take() {
            Some(Accepting::Taken(call)) => Some(call),
            _ => None,
        }
    }

    /// The method shall end with this error.
    pub(super) fn not_accepted(&self, ticket: u64, why: CallError) {
        {
            let mut inner = self.lock();
            if !inner.accepts(ticket) {
                return;
            }
            inner.accepting = Some(Accepting::Refused(why));
        }
        self.session.changed.notify_waiters();
    }

    /// Makes the call its own, if it still waits under this ticket; the number of the attempt that the call is.
    pub(super) fn take_in(self: &Arc<Self>, call: &Arc<ServiceCall>, ticket: u64) -> Option<u32> {
        let attempt = {
            let mut inner = self.lock();
            if inner.phase != Phase::Idle || !inner.accepts(ticket) {
                return None;
            }
            inner.move_to(call);
            inner.accepting = Some(Accepting::Taken(Arc::clone(call)));
            inner.accepted = call.take_place();
            inner.attempt = inner.attempt.wrapping_add(1);
            inner.direction = Direction::Inbound;
            inner.phase = Phase::RingingIn;
            inner.sip = Some(call.sip);
            inner.facts = Facts::Received(call.request.clone());
            inner.moments = Moments::since(call.came);
            inner.remote_body = facts::body(&call.request);
            inner.local_body = None;
            inner.rang = false;
            inner.failure = None;
            inner.outcome = None;
            inner.attempt
        };
        self.session.came_in(self);
        self.session.changed.notify_waiters();
        Some(attempt)
    }

    /// Lets go of a call that the flow has not seen; false when it is too late.
    pub(super) fn give_back(&self, call: &ServiceCall, attempt: u32) -> bool {
        let mut inner = self.lock();
        let has_it = inner.phase == Phase::RingingIn && inner.sip == Some(call.sip);
        if !has_it || inner.attempt != attempt || inner.rang {
            return false;
        }
        call.keep_place(inner.accepted.take());
        inner.phase = Phase::Idle;
        inner.direction = Direction::Outbound;
        inner.sip = None;
        inner.attempt = inner.attempt.wrapping_add(1);
        inner.facts = Facts::None;
        inner.remote_body = None;
        true
    }
}

impl LegInner {
    fn accepts(&self, ticket: u64) -> bool {
        matches!(self.accepting, Some(Accepting::Waiting(of)) if of == ticket)
    }

    /// From now on its commands go to the shard of the call. What an earlier attempt left behind stays with the old one:
    /// an idle leg has nothing in its outbox but ends of attempts.
    fn move_to(&mut self, call: &ServiceCall) {
        if Arc::ptr_eq(&self.shard, &call.shard) {
            return;
        }
        for command in self.outbox.drain(..) {
            if let Command::Abandon {
                sip: Some(sip),
                reason,
            } = command
            {
                self.shard.schedule(Scheduled::End(sip, reason));
            }
        }
        self.scheduled = false;
        self.shard = Arc::clone(&call.shard);
    }
}
