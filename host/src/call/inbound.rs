//! What a flow does to a call that came in: ring, progress, answer, reject, redirect.

use std::time::Duration;

use super::command::Command;
use super::error::{CallError, HangupInfo, Party, Status};
use super::facts;
use super::leg::{Leg, LegInner, Phase};
use super::policy::DialRequest;
use super::target::DialTarget;
use super::text::{self, Body, Header};
use crate::config::Capability;

/// Contacts of one redirection.
const CONTACTS_MAX: usize = 16;

impl Leg {
    /// 180 Ringing.
    ///
    /// # Errors
    /// `WrongState` unless an inbound call waits for its answer; `Hangup` when the caller has given up.
    pub fn ring(&self, headers: Vec<Header>) -> Result<(), CallError> {
        self.provisional(180, None, headers, "ring")
    }

    /// A provisional response (101..=199), with or without early media.
    ///
    /// # Errors
    /// As [`Leg::ring`]; `Invalid` for another code.
    pub fn progress(&self, code: u16, body: Option<Body>, headers: Vec<Header>) -> Result<(), CallError> {
        self.shared.lock().require_unanswered("progress")?;
        if !(101..=199).contains(&code) {
            return Err(CallError::invalid(format!(
                "progress takes 101 to 199, not {code}"
            )));
        }
        self.provisional(code, body, headers, "progress")
    }

    fn provisional(
        &self,
        code: u16,
        body: Option<Body>,
        headers: Vec<Header>,
        method: &str,
    ) -> Result<(), CallError> {
        text::check_headers(&headers, &self.shared.session.context.limits)?;
        let mut inner = self.shared.lock();
        inner.require_unanswered(method)?;
        let sip_body = body.as_ref().map(facts::to_sip_body);
        let headers = headers.iter().map(facts::to_sip_header).collect();
        self.shared.command(
            &mut inner,
            Command::Progress {
                code,
                headers,
                body: sip_body,
            },
        )?;
        inner.rang = true;
        inner.moments.provisional(code);
        if body.is_some() {
            inner.local_body = body;
            inner.phase = Phase::EarlyIn;
        }
        Ok(())
    }

    /// 200 with this answer, then waits for the ACK; or, after an INVITE of ours without an offer, the ACK with this
    /// answer. Seed `answer`.
    ///
    /// # Errors
    /// `WrongState`; `Timeout` without an ACK in time (the host repeats the 200 for 64·T1 and then hangs up; a
    /// time-out of 0 does not wait for the ACK);
    /// `Hangup` when the caller gave up first.
    pub async fn answer(&self, body: Body, headers: Vec<Header>, timeout: Duration) -> Result<(), CallError> {
        {
            let mut inner = self.shared.lock();
            let next = match inner.phase {
                Phase::RingingIn | Phase::EarlyIn => Phase::Answering,
                Phase::OfferedByRemote => Phase::Connected,
                _ => return Err(inner.wrong_state("answer")),
            };
            text::check_headers(&headers, &self.shared.session.context.limits)?;
            if body.data().is_empty() {
                return Err(CallError::invalid("answer takes a body"));
            }
            let headers = headers.iter().map(facts::to_sip_header).collect();
            let command = Command::Answer {
                headers,
                body: Some(facts::to_sip_body(&body)),
            };
            self.shared.command(&mut inner, command)?;
            inner.local_body = Some(body);
            inner.rang = true;
            inner.was_answered = true;
            inner.moments.answered();
            inner.phase = next;
            if next == Phase::Connected || timeout.is_zero() {
                return Ok(());
            }
        }
        self.wait(Some(self.shared.session.deadline(timeout)), |inner| {
            match inner.phase {
                _ if inner.confirmed => Some(Ok(())),
                Phase::RingingIn | Phase::OfferedByRemote => {
                    inner.outcome.take().map(|refused| refused.map(drop))
                }
                Phase::Terminated => inner.no_more("answer").map(Err),
                _ => None,
            }
        })
        .await
    }

    /// A final response (400..=699).
    ///
    /// # Errors
    /// As [`Leg::ring`]; `Invalid` for another code.
    pub fn reject(&self, code: u16, reason: Option<&str>, headers: Vec<Header>) -> Result<(), CallError> {
        self.shared.lock().require_unanswered("reject")?;
        if !(400..=699).contains(&code) {
            return Err(CallError::invalid(format!(
                "reject takes 400 to 699, not {code}; a redirection is redirect's"
            )));
        }
        text::check_headers(&headers, &self.shared.session.context.limits)?;
        let reason = reason.map(text::reason_text).transpose()?;
        self.refuse(
            "reject",
            code,
            reason,
            headers.iter().map(facts::to_sip_header).collect(),
        )
    }

    /// 302 to one contact, 300 to several.
    ///
    /// # Errors
    /// As [`Leg::ring`]; `Invalid` for no contact, too many, or one that is not a URI; `Denied` for one that the tenant
    /// may not dial.
    pub fn redirect(&self, contacts: &[String]) -> Result<(), CallError> {
        self.shared.session.require(Capability::Redirect)?;
        self.shared.lock().require_unanswered("redirect")?;
        if contacts.is_empty() || contacts.len() > CONTACTS_MAX {
            return Err(CallError::invalid(format!(
                "redirect takes 1 to {CONTACTS_MAX} contacts, not {}",
                contacts.len()
            )));
        }
        let targets = contacts
            .iter()
            .map(|contact| DialTarget::parse_as("contact", contact))
            .collect::<Result<Vec<_>, _>>()?;
        // Who may not call a number may not send others there.
        for target in &targets {
            self.shared
                .session
                .context
                .policy
                .grant(&DialRequest::to(target))?;
        }
        let code = if targets.len() == 1 { 302 } else { 300 };
        let contacts = targets
            .iter()
            .map(|target| facts::contact_header(target.as_str()));
        self.refuse("redirect", code, None, contacts.collect())
    }

    fn refuse(
        &self,
        method: &str,
        code: u16,
        reason: Option<&str>,
        headers: Vec<callbox_sip::endpoint::Header>,
    ) -> Result<(), CallError> {
        let mut inner = self.shared.lock();
        inner.require_unanswered(method)?;
        self.shared.command(
            &mut inner,
            Command::Reject {
                code,
                reason: reason.map(str::to_owned),
                headers,
            },
        )?;
        let phrase = reason
            .unwrap_or_else(|| callbox_sip::message::reason_phrase(code))
            .to_owned();
        let info = HangupInfo {
            by: Party::Local,
            status: Some(Status { code, reason: phrase }),
            q850: None,
            text: reason.map(str::to_owned),
        };
        self.shared.remember(&inner, &info);
        inner.phase = Phase::Terminated;
        inner.ended = Some(info);
        Ok(())
    }
}

impl LegInner {
    fn require_unanswered(&self, method: &str) -> Result<(), CallError> {
        match self.phase {
            Phase::RingingIn | Phase::EarlyIn => Ok(()),
            _ => Err(self.wrong_state(method)),
        }
    }
}
