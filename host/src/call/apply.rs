//! What the endpoint's events do to a leg. The shard's side of `leg.rs`.

use std::sync::Arc;

use callbox_sip::endpoint::{Ended, EndpointError, LegEvent, RequestFailure, RequestId};
use callbox_sip::message::Message;

use super::bridge;
use super::dtmf::{self, Dtmf};
use super::ending::{self, failure, failure_info, hangup_info};
use super::error::{CallError, HangupInfo};
use super::events::EventKind;
use super::facts;
use super::info::InfoRequest;
use super::leg::{AnswerInfo, Direction, LegInner, LegShared, Pending, Phase};
use crate::config::limits;

/// Digits remembered by `dtmf-buffer`; the oldest go first.
const TYPED_MAX: usize = 256;

impl LegShared {
    /// Applies an event of the endpoint's leg that stands for `attempt`.
    pub(super) fn apply(self: &Arc<Self>, attempt: u32, event: LegEvent) {
        let mut inner = self.lock();
        if let Some(heir) = inner.heir.clone() {
            drop(inner);
            return heir.apply(attempt, event);
        }
        if inner.attempt != attempt {
            return;
        }
        let (event, note) = bridge::tap(self, &mut inner, event);
        let Some(event) = event else {
            drop(inner);
            // What the bridge makes of it wakes the flow, if there is anything in it for the flow.
            return note.into_iter().for_each(bridge::Note::deliver);
        };
        match event {
            LegEvent::Progress { response, reliable } => self.progressed(&mut inner, &response, reliable),
            LegEvent::ProgressAcknowledged { body } => {
                if let Some(body) = body {
                    inner.remote_body = Some(facts::received_body(&body));
                }
            }
            LegEvent::Answered {
                response,
                needs_answer,
            } => self.answered(&mut inner, &response, needs_answer),
            LegEvent::Confirmed { body } => {
                if inner.phase == Phase::Answering {
                    inner.phase = Phase::Connected;
                }
                inner.confirmed = true;
                if let Some(body) = body {
                    inner.remote_body = Some(facts::received_body(&body));
                }
            }
            LegEvent::Info { request } => self.info_came(&mut inner, &request),
            LegEvent::Response { request, result } => {
                let waiting = inner
                    .requests
                    .iter_mut()
                    .find(|(_, state)| matches!(state, Pending::Waiting(Some(of)) if *of == request));
                if let Some((_, state)) = waiting {
                    *state = match result {
                        // RFC 5057: the peer has lost the call. The end follows, and is what the wait returns.
                        Ok(message) if message.code() == Some(481) => Pending::Waiting(None),
                        Ok(message) => Pending::Answered(Box::new(message)),
                        Err(RequestFailure::Transport(why)) => {
                            Pending::Failed(CallError::Transport(why.to_string()))
                        }
                        // The end itself follows and wakes the wait with its reason.
                        Err(
                            RequestFailure::Timeout | RequestFailure::LegEnded | RequestFailure::Withdrawn,
                        ) => Pending::Waiting(None),
                    };
                }
            }
            LegEvent::Message { request } => {
                if let Some(body) = facts::body(&request) {
                    self.session.post(self.id, EventKind::Message(body));
                }
            }
            LegEvent::Reoffered { request, outcome } => self.reoffered(&mut inner, request, outcome),
            LegEvent::Offer {
                request,
                decide: None,
            } => self.peer_offered(&mut inner, &request),
            LegEvent::Offer {
                request,
                decide: Some(id),
            } => self.peer_asked(&mut inner, &request, id),
            LegEvent::OfferWithdrawn { offer } => self.offer_withdrawn(&mut inner, offer),
            // The flow's own time-out has told it.
            LegEvent::ReofferTimedOut { .. } => {}
            LegEvent::TransferProgress {
                request,
                status,
                last,
            } => {
                self.transfer_reported(&mut inner, request, status, last);
            }
            LegEvent::Refer { request, refer } => self.referred(&mut inner, &request, refer),
            LegEvent::ReferWithdrawn { refer } => self.referral_withdrawn(&mut inner, refer),
            LegEvent::Ended(ended) => self.over(&mut inner, &ended),
        }
        drop(inner);
        self.session.changed.notify_waiters();
        note.into_iter().for_each(bridge::Note::deliver);
    }

    fn progressed(&self, inner: &mut LegInner, response: &Message, reliable: bool) {
        inner.facts.heard(response);
        inner.moments.provisional(response.code().unwrap_or_default());
        let body = facts::body(response);
        if body.is_some() {
            inner.remote_body.clone_from(&body);
            if inner.phase == Phase::RingingOut {
                inner.phase = Phase::EarlyOut;
            }
        }
        self.session.post(
            self.id,
            EventKind::Progress {
                status: facts::status(response),
                body,
                reliable,
            },
        );
    }

    fn answered(self: &Arc<Self>, inner: &mut LegInner, response: &Message, needs_answer: bool) {
        inner.facts.heard(response);
        let body = facts::body(response);
        if body.is_some() {
            inner.remote_body.clone_from(&body);
        }
        inner.phase = if needs_answer {
            Phase::OfferedByRemote
        } else {
            Phase::Connected
        };
        inner.was_answered = true;
        inner.moments.answered();
        let info = AnswerInfo {
            status: facts::status(response),
            body,
            headers: facts::headers(response),
        };
        if inner.awaited {
            inner.outcome = Some(Ok(info));
        } else {
            self.session.post(self.id, EventKind::Answered(info));
        }
        if let Some(meter) = inner.meter.take() {
            meter.start(Arc::downgrade(self));
        }
    }

    fn info_came(&self, inner: &mut LegInner, request: &Message) {
        let infos_max = self.session.context.limits.infos_max;
        let content_type = request
            .header(callbox_sip::message::HeaderName::ContentType)
            .unwrap_or_default();
        match dtmf::parse_info(&facts::lossy(content_type), request.body()) {
            Some(dtmf) => self.digit_came(inner, dtmf),
            None => {
                let info = InfoRequest::of(request);
                let ticket = self.session.post(self.id, EventKind::Info(info.clone()));
                if inner.infos.len() >= infos_max {
                    limits::hit("limits.call.infos_max");
                    inner.infos.pop_front();
                }
                inner.infos.push_back((ticket, info));
            }
        }
    }

    /// A digit of the peer's for the flow.
    pub(super) fn digit_came(&self, inner: &mut LegInner, dtmf: Dtmf) {
        let ticket = self.session.post(self.id, EventKind::Dtmf(dtmf));
        if inner.digits.len() >= self.session.context.limits.digits_max {
            limits::hit("limits.call.digits_max");
            inner.digits.pop_front();
        }
        inner.digits.push_back((ticket, dtmf));
        if inner.typed.len() >= TYPED_MAX {
            inner.typed.remove(0);
        }
        inner.typed.push(dtmf.digit);
    }

    fn over(self: &Arc<Self>, inner: &mut LegInner, ended: &Ended) {
        inner.sip = None;
        inner.accepted = None;
        inner.peer_offer = None;
        inner.referrals.clear();
        match inner.phase {
            Phase::RingingOut | Phase::EarlyOut => {
                if let Some(response) = &ended.response {
                    inner.facts.heard(response);
                }
                if self.redirected(inner, ended) {
                    return;
                }
                self.attempt_failed(inner, failure(ended), &failure_info(ended));
            }
            Phase::Idle | Phase::Surplus => {}
            // This side ended it before; its own words stay.
            Phase::Terminated => {}
            Phase::OfferedByRemote
            | Phase::RingingIn
            | Phase::EarlyIn
            | Phase::Answering
            | Phase::Connected
            | Phase::Reoffering => {
                let info = hangup_info(ended);
                self.remember(inner, &info);
                inner.phase = Phase::Terminated;
                inner.ended = Some(info.clone());
                inner.hangup_ticket = Some(self.session.post(self.id, EventKind::HungUp(info)));
            }
        }
        for (_, state) in &mut inner.requests {
            if matches!(state, Pending::Waiting(_)) {
                *state = Pending::Failed(CallError::Hangup(hangup_info(ended)));
            }
        }
    }

    /// The endpoint would not send the INVITE.
    pub(super) fn attempt_refused(&self, inner: &mut LegInner, error: &EndpointError) {
        let error = refusal(error);
        let info = ending::not_sent(&error);
        self.attempt_failed(inner, error, &info);
        self.session.changed.notify_waiters();
    }

    /// The endpoint would not send the answer.
    pub(super) fn answer_refused(&self, inner: &mut LegInner, error: &EndpointError) {
        inner.phase = if inner.direction == Direction::Inbound {
            Phase::RingingIn
        } else {
            Phase::OfferedByRemote
        };
        inner.moments.not_answered();
        inner.outcome = Some(Err(refusal(error)));
        self.session.changed.notify_waiters();
    }

    fn attempt_failed(&self, inner: &mut LegInner, error: CallError, info: &HangupInfo) {
        self.remember(inner, info);
        inner.phase = Phase::Idle;
        inner.attempt = inner.attempt.wrapping_add(1);
        inner.failure = Some(error.clone());
        if inner.awaited {
            inner.outcome = Some(Err(error));
        } else {
            self.session.post(self.id, EventKind::Failed(error));
        }
    }
}

impl LegInner {
    /// The endpoint has taken a request of the flow's, or not.
    pub(super) fn request_sent(&mut self, ticket: u64, sent: Result<RequestId, EndpointError>) {
        if let Some((_, pending)) = self.requests.iter_mut().find(|(of, _)| *of == ticket) {
            *pending = match sent {
                Ok(request) => Pending::Waiting(Some(request)),
                Err(error) => Pending::Failed(refusal(&error)),
            };
        }
    }
}

/// The row of the table of limits that an endpoint means, which has no names but its own.
fn full_name(name: &'static str) -> &'static str {
    match name {
        "legs_max" => "limits.sip.legs_max",
        "transactions_max" => "limits.sip.transactions_max",
        "registrations_max" => "limits.sip.registrations_max",
        "subscriptions_max" => "limits.sip.subscriptions_max",
        "requests_per_leg_max" => "limits.sip.requests_per_leg_max",
        "refers_per_leg_max" => "limits.sip.refers_per_leg_max",
        "contacts_max" => "limits.sip.contacts_max",
        "accepts_max" => "limits.sip.accepts_max",
        other => other,
    }
}

/// Why the endpoint refused a command, in the contract's words.
pub(super) fn refusal(error: &EndpointError) -> CallError {
    match error {
        EndpointError::Limit(name) => CallError::limit(full_name(name)),
        EndpointError::Invalid(text) => CallError::Invalid(text.to_string()),
        EndpointError::WrongState(text) => CallError::WrongState((*text).to_owned()),
        EndpointError::NoSuchLeg => CallError::WrongState("the leg is over".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::limits::SipLimits;

    #[test]
    fn an_endpoints_limit_is_told_by_the_name_of_its_row() {
        let literal = regex::Regex::new(r#"EndpointError::Limit\("([a-z_]+)"\)"#).unwrap();
        let mut found = 0;
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sip/src/usage")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for name in literal.captures_iter(&text) {
                let name: &'static str = name[1].to_owned().leak();
                assert!(SipLimits::default().get(name).is_some(), "{name} is no row");
                assert_eq!(full_name(name), format!("limits.sip.{name}"));
                found += 1;
            }
        }
        assert!(found > 8, "only {found} were found");
    }
}
