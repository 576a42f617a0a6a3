//! INFO and MESSAGE within a call (RFC 6086, 3428): what a flow sends, digits too, and what a peer sends that is no digit.

use std::time::Duration;

use callbox_sip::endpoint::InDialogRequest;
use callbox_sip::message::{Message, Method};
use tokio::time::Instant;

use super::command::Command;
use super::dtmf;
use super::error::{CallError, Status};
use super::facts;
use super::leg::{Leg, LegInner, Pending};
use super::text::{self, Body, Header, ReceivedHeader};
use crate::config::Capability;

/// Digits that one `send-dtmf` sends.
const SENT_DIGITS_MAX: usize = 64;
/// The longest wait for the answer to one digit.
const DIGIT_TIMEOUT: Duration = Duration::from_secs(5);

/// An INFO of the peer's; the host has answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoRequest {
    /// Its body.
    pub body: Option<Body>,
    /// Its headers, as sent.
    pub headers: Vec<ReceivedHeader>,
}

impl InfoRequest {
    pub(super) fn of(message: &Message) -> Self {
        Self {
            body: facts::body(message),
            headers: facts::headers(message),
        }
    }
}

/// What the peer answered to an INFO of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoResponse {
    /// Any final status: a 4xx to an INFO leaves the call up.
    pub status: Status,
    /// Its body.
    pub body: Option<Body>,
}

impl Leg {
    /// Sends INFO. With `wait` the final response is awaited for so long; without, the call returns at once.
    /// Seed `sendinfo`.
    ///
    /// # Errors
    /// `WrongState` outside an established call, `Timeout`, `Hangup`, `Denied(Limit)`.
    pub async fn send_info(
        &self,
        body: Body,
        headers: Vec<Header>,
        wait: Option<Duration>,
    ) -> Result<Option<InfoResponse>, CallError> {
        self.shared.session.require(Capability::Info)?;
        let response = self.request(Method::Info, Some(body), headers, wait).await?;
        Ok(response.map(|message| InfoResponse {
            status: facts::status(&message),
            body: facts::body(&message),
        }))
    }

    /// Sends digits as INFO with `application/dtmf-relay`, one after the other: each lasts `duration`, and `gap` lies
    /// between two.
    ///
    /// # Errors
    /// `WrongState`; `Invalid` for what is no digit; `Rejected` when the peer refuses one (415: it does not take DTMF this
    /// way), `Timeout`, `Hangup`. Digits before the failed one have been sent.
    pub async fn send_dtmf(&self, digits: &str, duration: Duration, gap: Duration) -> Result<(), CallError> {
        self.shared.session.require(Capability::Info)?;
        self.shared.lock().require_established("send-dtmf")?;
        if digits.is_empty() || digits.len() > SENT_DIGITS_MAX || !digits.chars().all(dtmf::is_digit) {
            return Err(CallError::invalid(format!(
                "digits {} must be 1 to {SENT_DIGITS_MAX} of 0-9, *, #, A-D",
                text::quoted(digits)
            )));
        }
        let (limits, session) = (&self.shared.session.context.limits, &self.shared.session);
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 {
                // A peer that hangs up in the pause must end it.
                let until = session.deadline(duration.saturating_add(gap));
                match self
                    .wait(Some(until), |inner| {
                        inner.require_established("send-dtmf").err().map(Err::<(), _>)
                    })
                    .await
                {
                    Err(CallError::Timeout) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
            let signal = format!("Signal={digit}\r\nDuration={}\r\n", duration.as_millis());
            let body = Body::parse("application/dtmf-relay", signal.into_bytes(), limits)?;
            let answer = self
                .request(Method::Info, Some(body), Vec::new(), Some(DIGIT_TIMEOUT))
                .await?;
            if let Some(status) = answer
                .as_ref()
                .map(facts::status)
                .filter(|status| status.code >= 300)
            {
                return Err(CallError::Rejected(status));
            }
        }
        Ok(())
    }

    /// MESSAGE within the call (RFC 3428); returns the final status, whatever it is.
    ///
    /// # Errors
    /// As [`Leg::send_info`].
    pub async fn send_message(&self, body: Body, timeout: Duration) -> Result<Status, CallError> {
        self.shared.session.require(Capability::Message)?;
        let answer = self
            .request(Method::Message, Some(body), Vec::new(), Some(timeout))
            .await?;
        answer.as_ref().map(facts::status).ok_or(CallError::Timeout)
    }

    /// The next INFO of the peer's that is no digit.
    ///
    /// # Errors
    /// `Timeout`, `Hangup`, `WrongState` on an idle leg.
    pub async fn wait_for_info(&self, timeout: Duration) -> Result<InfoRequest, CallError> {
        let (ticket, info) = self
            .wait(Some(self.shared.session.deadline(timeout)), |inner| {
                match inner.infos.pop_front() {
                    Some(info) => Some(Ok(info)),
                    None => inner.no_more("wait-for-info").map(Err),
                }
            })
            .await?;
        self.shared.session.lock().mailbox.take_back(ticket);
        Ok(info)
    }

    /// Forgets the INFO requests that were not read.
    pub fn clean_info_buffer(&self) {
        let infos = std::mem::take(&mut self.shared.lock().infos);
        let mut session = self.shared.session.lock();
        for (ticket, _) in infos {
            session.mailbox.take_back(ticket);
        }
    }

    /// Sends a request within the dialog and, with `wait`, returns its final response.
    pub(super) async fn request(
        &self,
        method: Method,
        body: Option<Body>,
        headers: Vec<Header>,
        wait: Option<Duration>,
    ) -> Result<Option<Message>, CallError> {
        let deadline = self.shared.session.deadline(wait.unwrap_or(Duration::MAX));
        self.established(method.as_str(), deadline).await?;
        text::check_headers(&headers, &self.shared.session.context.limits)?;
        let ticket = {
            let mut inner = self.shared.lock();
            inner.require_established(method.as_str())?;
            let request = Box::new(InDialogRequest {
                method,
                headers: headers.iter().map(facts::to_sip_header).collect(),
                body: body.as_ref().map(facts::to_sip_body),
            });
            if wait.is_some() {
                let asked = |ticket| Command::Request {
                    ticket: Some(ticket),
                    request,
                };
                Some(self.ask(&mut inner, asked)?)
            } else {
                self.shared.command(
                    &mut inner,
                    Command::Request {
                        ticket: None,
                        request,
                    },
                )?;
                None
            }
        };
        let Some(ticket) = ticket else {
            return Ok(None);
        };
        self.answer_to(ticket, deadline, "the request").await.map(Some)
    }

    /// Leaves a command whose final response is awaited; [`Leg::answer_to`] takes it. A command that finds no room leaves
    /// no place taken.
    pub(super) fn ask(
        &self,
        inner: &mut LegInner,
        command: impl FnOnce(u64) -> Command,
    ) -> Result<u64, CallError> {
        let ticket = inner.open_request(self.shared.session.context.limits.requests_max)?;
        let left = self.shared.command(inner, command(ticket));
        if left.is_err() {
            inner.close_request(ticket);
        }
        left.map(|()| ticket)
    }

    /// Waits for the final response to what was asked, and gives its place back.
    pub(super) async fn answer_to(
        &self,
        ticket: u64,
        deadline: Instant,
        method: &str,
    ) -> Result<Message, CallError> {
        let answer = self
            .wait(Some(deadline), |inner| match inner.take_answer(ticket) {
                Some(Pending::Answered(message)) => Some(Ok(*message)),
                Some(Pending::Failed(error)) => Some(Err(error)),
                Some(Pending::Waiting(_)) | None => inner.no_more(method).map(Err),
            })
            .await;
        self.shared.lock().close_request(ticket);
        answer
    }
}
