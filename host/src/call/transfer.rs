//! Transfer: asks the peer to call somebody else (RFC 3515), blindly or in place of another leg of the session (RFC 3891).
//!
//! The destination is asked for by the tenant's rules as if this host dialled it: who may not call a number may not make
//! others call it on his word.

use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::{EndpointError, ReferRequest, RequestId};
use tokio::time::Instant;

use super::apply::refusal;
use super::command::Command;
use super::error::{CallError, Status};
use super::events::EventKind;
use super::facts;
use super::leg::{Leg, LegInner, LegShared, Pending, Phase};
use super::options::TransferOptions;
use super::policy::DialRequest;
use super::target::DialTarget;
use super::text;
use crate::config::Capability;

/// The longest wait for the answer to a REFER, whatever the flow asks for: the transaction is over by then.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(60);

/// What the peer said to a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferResult {
    /// The answer to the REFER.
    pub accepted: Status,
    /// How the transfer ended, if that was waited for and the peer told.
    pub outcome: Option<Status>,
}

/// Whom the peer shall call.
enum ReferTarget<'a> {
    /// This URI.
    Uri(&'a str),
    /// The peer of this leg, in the host's place.
    PlaceOf(&'a Arc<LegShared>),
}

/// How a REFER of ours goes, by the peer's reports.
#[derive(Default)]
pub(super) struct Progress {
    latest: Option<Status>,
    last: bool,
}

impl Leg {
    /// Asks the peer to call `dest`, and hangs up once it agrees. Seed `blindxfer`.
    ///
    /// # Errors
    /// `Rejected` when the peer refuses, `Timeout`, `Denied`, `Invalid`, `WrongState`, `Hangup`. The leg stays up.
    pub async fn blind_transfer(
        &self,
        dest: &str,
        options: &TransferOptions,
    ) -> Result<TransferResult, CallError> {
        self.shared.session.require(Capability::Transfer)?;
        self.shared.lock().require_settled("blind-transfer")?;
        let target = DialTarget::parse(dest)?;
        self.shared
            .session
            .context
            .policy
            .grant(&DialRequest::to(&target))?;
        self.transfer(ReferTarget::Uri(target.as_str()), options, "blind-transfer")
            .await
    }

    /// Asks the peer to take the place of `other`: the two peers talk, this host is out.
    ///
    /// # Errors
    /// As [`Leg::blind_transfer`]; `WrongState` too when `other` is not established.
    pub async fn attended_transfer(
        &self,
        other: &Leg,
        options: &TransferOptions,
    ) -> Result<TransferResult, CallError> {
        self.shared.session.require(Capability::Transfer)?;
        self.shared.lock().require_settled("attended-transfer")?;
        if Arc::ptr_eq(&self.shared, &other.shared) {
            return Err(CallError::invalid("a leg cannot be transferred to itself"));
        }
        other.shared.lock().require_settled("attended-transfer")?;
        self.transfer(ReferTarget::PlaceOf(&other.shared), options, "attended-transfer")
            .await
    }

    async fn transfer(
        &self,
        target: ReferTarget<'_>,
        options: &TransferOptions,
        method: &str,
    ) -> Result<TransferResult, CallError> {
        let session = &self.shared.session;
        text::check_headers(&options.headers, &session.context.limits)?;
        let deadline = session.deadline(options.timeout);
        self.established(method, deadline).await?;
        let mut request = Box::new(ReferRequest {
            refer_to: String::new(),
            referred_by: None,
            // With the leg kept, the reports come as events.
            progress: options.wait_for_outcome || options.keep_leg,
            headers: options.headers.iter().map(facts::to_sip_header).collect(),
        });
        let ticket = {
            let mut inner = self.shared.lock();
            inner.require_settled(method)?;
            inner.transfer = options.wait_for_outcome.then(Progress::default);
            match target {
                ReferTarget::Uri(uri) => {
                    uri.clone_into(&mut request.refer_to);
                    self.ask(&mut inner, |ticket| Command::Refer { ticket, request })?
                }
                ReferTarget::PlaceOf(other) => {
                    let ticket = inner.open_request(session.context.limits.requests_max)?;
                    drop(inner);
                    let asker = Arc::clone(&self.shared);
                    let asked = other.command(
                        &mut other.lock(),
                        Command::GivePlace {
                            asker,
                            ticket,
                            request,
                        },
                    );
                    if let Err(full) = asked {
                        self.shared.lock().close_request(ticket);
                        return Err(full);
                    }
                    ticket
                }
            }
        };
        let told = self
            .told(ticket, deadline, options.wait_for_outcome, method)
            .await;
        // What is reported from here on is an event.
        self.shared.lock().transfer = None;
        let (accepted, outcome) = told?;
        // A transfer that is known to have failed leaves the peer with us, as every failure does.
        if let Some(status) = outcome.as_ref().filter(|status| status.code >= 300) {
            return Err(CallError::Rejected(status.clone()));
        }
        if !options.keep_leg {
            self.shared.finish(480, None);
        }
        Ok(TransferResult { accepted, outcome })
    }

    /// The answer to the REFER, and the outcome if it is waited for.
    async fn told(
        &self,
        ticket: u64,
        deadline: Instant,
        wait_for_outcome: bool,
        method: &str,
    ) -> Result<(Status, Option<Status>), CallError> {
        let answer_within = deadline.min(Instant::now() + ACCEPTED_WITHIN);
        let accepted = facts::status(&self.answer_to(ticket, answer_within, method).await?);
        if accepted.code >= 300 {
            return Err(CallError::Rejected(accepted));
        }
        if !wait_for_outcome {
            return Ok((accepted, None));
        }
        let outcome = self
            .wait(Some(deadline), |inner| inner.outcome_of_transfer(method))
            .await?;
        Ok((accepted, outcome))
    }
}

impl LegShared {
    /// The peer reports on a transfer of ours: to the wait for its outcome while there is one, else as an event.
    pub(super) fn transfer_reported(
        &self,
        inner: &mut LegInner,
        _request: RequestId,
        status: Option<(u16, String)>,
        last: bool,
    ) {
        let status = status.map(|(code, reason)| Status { code, reason });
        match &mut inner.transfer {
            Some(progress) => {
                progress.latest = status.or(progress.latest.take());
                progress.last |= last;
            }
            None => {
                if let Some(status) = status {
                    self.session.post(self.id, EventKind::TransferProgress(status));
                }
            }
        }
    }

    /// Another leg's endpoint has said how its place can be taken: now the REFER can go.
    pub(super) fn place_given(
        self: &Arc<Self>,
        ticket: u64,
        mut request: Box<ReferRequest>,
        place: Result<String, EndpointError>,
    ) {
        let mut inner = self.lock();
        let left = match place {
            Ok(refer_to) => {
                request.refer_to = refer_to;
                self.command(&mut inner, Command::Refer { ticket, request })
            }
            Err(error) => Err(refusal(&error)),
        };
        if let Err(error) = left {
            inner.request_failed(ticket, error);
            drop(inner);
            self.session.changed.notify_waiters();
        }
    }
}

impl LegInner {
    fn request_failed(&mut self, ticket: u64, error: CallError) {
        if let Some((_, pending)) = self.requests.iter_mut().find(|(of, _)| *of == ticket) {
            *pending = Pending::Failed(error);
        }
    }

    fn outcome_of_transfer(&mut self, method: &str) -> Option<Result<Option<Status>, CallError>> {
        match &mut self.transfer {
            Some(progress) if progress.last => Some(Ok(progress.latest.take())),
            // A peer that hangs up because the transfer went through has told all it had to tell.
            Some(progress) if self.phase == Phase::Terminated && progress.latest.is_some() => {
                Some(Ok(progress.latest.take()))
            }
            _ => self.no_more(method).map(Err),
        }
    }
}
