//! What becomes of a REGISTER of ours: its answers, renewal, recovery (RFC 3261 §10.2.4, RFC 5626 §4.5).
//!
//! Entries: [`Endpoint::register_response`], [`Endpoint::registration_timer`]. Invariant: a binding that the host gave up on
//! is removed even when the 2xx that made it comes late.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::bindings::{bindings, granted};
use super::register::{RegistrationTimer, Standing};
use super::renewal::{is_passing, renew_after, retry_after};
use crate::endpoint::{
    Endpoint, Event, Registered, RegistrationEvent, RegistrationFailure, RegistrationId, TransportFailure,
};
use crate::message::Message;

impl Endpoint {
    /// The final response to a REGISTER.
    pub(crate) fn register_response(
        &mut self,
        now: Instant,
        id: RegistrationId,
        sent: &Bytes,
        response: Message,
    ) {
        let tries_max = self.config.limits.auth_tries_max;
        let code = response.code().unwrap_or(0);
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        registration.pending = false;
        if registration.unwanted && !registration.removing {
            // The host changed its mind while this was under way. Refused at first, there is nothing to remove.
            return if code >= 300 && matches!(registration.standing, Standing::First | Standing::Over) {
                self.registration_ends(id, RegistrationEvent::Unregistered(Ok(())))
            } else {
                self.remove_binding(now, id)
            };
        }
        let again = match code {
            401 | 407 if registration.tries < tries_max => {
                registration.tries += 1;
                registration
                    .login
                    .as_mut()
                    .is_some_and(|login| login.challenged(sent, &response))
            }
            423 if !registration.removing && !registration.raised => {
                registration.raised = true;
                let least = response.min_expires().ok().flatten().unwrap_or(0);
                let more = least > registration.expires;
                registration.expires = registration.expires.max(least);
                more
            }
            _ => false,
        };
        match code {
            200..=299 if registration.removing => {
                self.registration_ends(id, RegistrationEvent::Unregistered(Ok(())));
            }
            200..=299 => self.registered(now, id, response),
            _ if again => self.send_register(now, id),
            _ => self.register_failed(now, id, RegistrationFailure::Rejected(Box::new(response))),
        }
    }

    /// A REGISTER got no response.
    pub(crate) fn register_unanswered(
        &mut self,
        now: Instant,
        id: RegistrationId,
        why: Option<TransportFailure>,
    ) {
        let failure = why.map_or(RegistrationFailure::Timeout, RegistrationFailure::Transport);
        self.register_failed(now, id, failure);
    }

    fn registered(&mut self, now: Instant, id: RegistrationId, response: Message) {
        let bindings_max = self.config.limits.bindings_max;
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        let expires = granted(&registration.contacts, registration.expires, &response);
        if expires == 0 {
            return self.register_failed(now, id, RegistrationFailure::Rejected(Box::new(response)));
        }
        let was = std::mem::replace(&mut registration.standing, Standing::InForce);
        (registration.tries, registration.raised) = (0, false);
        (registration.failures, registration.failure) = (0, None);
        self.stop_registration_timers(id);
        self.set_registration_timer(now, id, RegistrationTimer::Renew, renew_after(expires));
        let end = Duration::from_secs(expires.into());
        self.set_registration_timer(now, id, RegistrationTimer::Expiry, end);
        let done = Registered {
            bindings: bindings(&response, expires, bindings_max),
            expires,
            response,
        };
        let event = match was {
            Standing::First | Standing::Over => RegistrationEvent::Registered(done),
            Standing::InForce => RegistrationEvent::Refreshed(done),
            Standing::Lost => RegistrationEvent::Recovered(done),
        };
        self.emit(Event::Registration {
            registration: id,
            event,
        });
    }

    pub(super) fn register_failed(&mut self, now: Instant, id: RegistrationId, failure: RegistrationFailure) {
        let dice = self.random.next_u64();
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        registration.pending = false;
        (registration.tries, registration.raised) = (0, false);
        if registration.unwanted {
            return self.registration_ends(id, RegistrationEvent::Unregistered(Err(failure)));
        }
        let (passing, asked) = match &failure {
            RegistrationFailure::Rejected(response) => (
                is_passing(response.code().unwrap_or(0)),
                response.retry_after().ok().flatten(),
            ),
            RegistrationFailure::Timeout | RegistrationFailure::Transport(_) => (true, None),
            RegistrationFailure::Exhausted => (false, None),
        };
        match registration.standing {
            Standing::First | Standing::Over => {
                self.registration_ends(id, RegistrationEvent::Failed(failure));
            }
            Standing::InForce | Standing::Lost if !passing => {
                let retrying = false;
                self.registration_ends(id, RegistrationEvent::Lost { failure, retrying });
            }
            Standing::InForce | Standing::Lost => {
                registration.failures = registration.failures.saturating_add(1);
                registration.failure = Some(failure);
                let pause = retry_after(registration.failures, asked, dice);
                self.set_registration_timer(now, id, RegistrationTimer::Renew, pause);
            }
        }
    }

    pub(crate) fn registration_timer(&mut self, now: Instant, id: RegistrationId, timer: RegistrationTimer) {
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        registration.timers.take(timer);
        match timer {
            RegistrationTimer::Deadline => {
                // The REGISTER is still under way: its answer decides whether there is a binding to remove.
                registration.unwanted = true;
                registration.standing = Standing::Over;
                let event = RegistrationEvent::Failed(RegistrationFailure::Timeout);
                self.emit(Event::Registration {
                    registration: id,
                    event,
                });
            }
            RegistrationTimer::Renew if !registration.pending => self.send_register(now, id),
            RegistrationTimer::Renew => {}
            RegistrationTimer::Expiry => {
                registration.standing = Standing::Lost;
                let failure = registration
                    .failure
                    .take()
                    .unwrap_or(RegistrationFailure::Timeout);
                let retrying = true;
                let event = RegistrationEvent::Lost { failure, retrying };
                self.emit(Event::Registration {
                    registration: id,
                    event,
                });
            }
        }
    }
}
