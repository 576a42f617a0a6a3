//! A new offer within a call: re-INVITE or UPDATE of ours, hold and resume, and what the peer's do.
//!
//! A rejection leaves the call as it was. While an offer is on its way the leg is `reoffering`, also after the flow's
//! time-out, until the transaction is over: a 2xx may cross the CANCEL, and then the new session holds.

use std::sync::Arc;

use callbox_sip::endpoint::{ReofferRequest, Reoffered, RequestFailure, RequestId};
use callbox_sip::message::Message;

use super::command::Command;
use super::error::CallError;
use super::facts;
use super::leg::{AnswerInfo, Leg, LegInner, LegShared, Phase};
use super::options::ReofferOptions;
use super::session_description;
use super::text::{self, Body};
use crate::config::Capability;

/// The one offer of ours that may be under way.
pub(super) struct Offering {
    sip: Option<RequestId>,
    /// What we offered, which is the session once it is accepted.
    body: Option<Body>,
    /// Its transaction is not over.
    open: bool,
    result: Option<Result<AnswerInfo, CallError>>,
}

impl Offering {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }
}

impl Leg {
    /// Offers a new session and waits for the answer. Seed `reoffer`.
    ///
    /// # Errors
    /// `Rejected` (the old session holds), `Timeout` (a re-INVITE is cancelled), `WrongState`, `Hangup`.
    pub async fn reoffer(&self, options: &ReofferOptions) -> Result<AnswerInfo, CallError> {
        self.shared.session.require(Capability::Reoffer)?;
        self.offer_anew(options).await
    }

    /// The same for the host itself, which needs no grant.
    pub(super) async fn offer_anew(&self, options: &ReofferOptions) -> Result<AnswerInfo, CallError> {
        let deadline = self.shared.session.deadline(options.timeout);
        self.established("reoffer", deadline).await?;
        {
            let mut inner = self.shared.lock();
            if inner.phase != Phase::Connected {
                return Err(inner.wrong_state("reoffer"));
            }
            text::check_headers(&options.headers, &self.shared.session.context.limits)?;
            let request = ReofferRequest {
                headers: options.headers.iter().map(facts::to_sip_header).collect(),
                body: options.offer.as_ref().map(facts::to_sip_body),
                update: options.use_update,
                timeout: options.timeout,
            };
            self.shared.command(
                &mut inner,
                Command::Reoffer {
                    request: Box::new(request),
                },
            )?;
            inner.phase = Phase::Reoffering;
            inner.offering = Some(Offering {
                sip: None,
                body: options.offer.clone(),
                open: true,
                result: None,
            });
        }
        self.wait(Some(deadline), |inner| {
            match inner
                .offering
                .as_mut()
                .and_then(|offering| offering.result.take())
            {
                Some(Ok(answer)) => Some(Ok(answer)),
                // Whatever else was said, the leg is over.
                _ if inner.phase == Phase::Terminated => inner.no_more("reoffer").map(Err),
                other => other,
            }
        })
        .await
    }

    /// Puts the peer on hold: offers our session as one that sends at most (RFC 3264 §8.4). On hold already: nothing.
    ///
    /// # Errors
    /// As [`Leg::reoffer`]; `Unsupported` when our session is not an SDP.
    pub async fn hold(&self) -> Result<(), CallError> {
        self.turn(true, "hold").await
    }

    /// Takes the peer off hold.
    ///
    /// # Errors
    /// As [`Leg::hold`].
    pub async fn resume(&self) -> Result<(), CallError> {
        self.turn(false, "resume").await
    }

    async fn turn(&self, hold: bool, method: &str) -> Result<(), CallError> {
        self.shared.session.require(Capability::Reoffer)?;
        let options = ReofferOptions::default();
        self.established(method, self.shared.session.deadline(options.timeout))
            .await?;
        let offer = {
            let inner = self.shared.lock();
            if inner.phase != Phase::Connected {
                return Err(inner.wrong_state(method));
            }
            if inner.held == hold {
                return Ok(());
            }
            inner
                .local_body
                .as_ref()
                .and_then(|body| session_description::turned(body, hold))
        };
        let Some(offer) = offer else {
            return Err(CallError::Unsupported(format!(
                "{method}: our session is not an application/sdp body"
            )));
        };
        self.reoffer(&ReofferOptions {
            offer: Some(offer),
            ..options
        })
        .await?;
        self.shared.lock().held = hold;
        Ok(())
    }

    /// Our 200 makes a leg connected, its ACK makes requests within the call possible (RFC 3261 §14.1): waits for it.
    pub(super) async fn established(
        &self,
        method: &str,
        deadline: tokio::time::Instant,
    ) -> Result<(), CallError> {
        self.wait(Some(deadline), |inner| match inner.phase {
            Phase::Answering => None,
            Phase::Connected | Phase::Reoffering => Some(Ok(())),
            _ => Some(Err(inner.wrong_state(method))),
        })
        .await
    }
}

impl LegInner {
    /// The endpoint has taken the offer, or not.
    pub(super) fn offer_sent(&mut self, result: Result<RequestId, CallError>) {
        let Some(offering) = &mut self.offering else {
            return;
        };
        match result {
            Ok(id) => offering.sip = Some(id),
            Err(error) => {
                offering.result = Some(Err(error));
                offering.open = false;
                self.offers_settled();
            }
        }
    }
}

impl LegShared {
    /// An offer of ours is decided.
    pub(super) fn reoffered(&self, inner: &mut LegInner, request: RequestId, outcome: Reoffered) {
        let Some(offering) = inner
            .offering
            .as_mut()
            .filter(|offering| offering.sip == Some(request))
        else {
            return;
        };
        let (needs_answer, result) = match outcome {
            Reoffered::Accepted {
                response,
                needs_answer,
            } => {
                let body = facts::body(&response);
                if body.is_some() {
                    inner.remote_body.clone_from(&body);
                }
                if let Some(ours) = offering.body.take() {
                    inner.local_body = Some(ours);
                }
                let info = AnswerInfo {
                    status: facts::status(&response),
                    body,
                    headers: facts::headers(&response),
                };
                (needs_answer, Ok(info))
            }
            // The peer has lost the call; the end follows, and is what the wait returns.
            Reoffered::Rejected(response) if matches!(response.code(), Some(408 | 481)) => return,
            Reoffered::Rejected(response) => (false, Err(CallError::Rejected(facts::status(&response)))),
            // The end follows, and is what the wait returns. After a pause that outlasts the time-out there is no end, but
            // that time-out is the wait's own.
            Reoffered::Failed(RequestFailure::Timeout | RequestFailure::LegEnded) => {
                offering.open = false;
                return inner.offers_settled();
            }
            Reoffered::Failed(RequestFailure::Withdrawn) => (false, Err(CallError::Timeout)),
            Reoffered::Failed(RequestFailure::Transport(why)) => {
                (false, Err(CallError::Transport(why.to_string())))
            }
        };
        // After the flow's time-out nobody waits for it; then it is overwritten by the next offer.
        offering.result = Some(result);
        offering.open = false;
        if needs_answer && inner.phase == Phase::Reoffering {
            inner.phase = Phase::OfferedByRemote;
        }
        inner.offers_settled();
    }

    /// The peer offered a session, or asked for ours, and the endpoint answered with the one that we have.
    pub(super) fn peer_offered(self: &Arc<Self>, inner: &mut LegInner, request: &Message) {
        let Some(body) = facts::body(request) else { return };
        self.direction_offered(inner, &body);
        inner.remote_body = Some(body);
    }
}
