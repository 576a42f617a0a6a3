//! INFO within a call (RFC 6086): what a flow sends, and what a peer sends that is no digit.

use std::time::Duration;

use callbox_sip::endpoint::InDialogRequest;
use callbox_sip::message::{Message, Method};

use super::command::Command;
use super::error::{CallError, Status};
use super::facts;
use super::leg::{Leg, Pending};
use super::text::{self, Body, Header, ReceivedHeader};

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
        let response = self.request(Method::Info, Some(body), headers, wait).await?;
        Ok(response.map(|message| InfoResponse {
            status: facts::status(&message),
            body: facts::body(&message),
        }))
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
        text::check_headers(&headers, &self.shared.session.context.limits)?;
        let ticket = {
            let mut inner = self.shared.lock();
            inner.require_established(method.as_str())?;
            let ticket = match wait {
                Some(_) => Some(inner.open_request(self.shared.session.context.limits.requests_max)?),
                None => None,
            };
            let request = InDialogRequest {
                method,
                headers: headers.iter().map(facts::to_sip_header).collect(),
                body: body.as_ref().map(facts::to_sip_body),
            };
            self.shared.command(
                &mut inner,
                Command::Request {
                    ticket,
                    request: Box::new(request),
                },
            )?;
            ticket
        };
        let (Some(wait), Some(ticket)) = (wait, ticket) else {
            return Ok(None);
        };
        let answer = self
            .wait(Some(self.shared.session.deadline(wait)), |inner| {
                match inner.take_answer(ticket) {
                    Some(Pending::Answered(message)) => Some(Ok(*message)),
                    Some(Pending::Failed(error)) => Some(Err(error)),
                    Some(Pending::Waiting(_)) | None => inner.no_more("the request").map(Err),
                }
            })
            .await;
        self.shared.lock().close_request(ticket);
        answer.map(Some)
    }
}
