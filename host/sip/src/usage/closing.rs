//! The end of a leg: hang-up in every state, BYE both ways, the one terminal event (RFC 3261 §15).
//!
//! Entries: [`Endpoint::hangup`], [`Endpoint::cancel`]. Invariants: exactly one `Ended` a leg; a callee sends no BYE
//! before the ACK of its 2xx has come or is given up.

use std::time::Instant;

use super::{LegState, LegTimer};
use crate::endpoint::clients::ClientUser;
use crate::endpoint::{EndKind, Ended, Endpoint, EndpointError, LegEvent, LegId, Party, Reason};
use crate::message::{HeaderName, Message, Method, is_field_value, is_token};

/// Why we say BYE to a peer that no longer knows us: proxies between us may.
const BYE_AFTER_481: &[u8] = b"Reason: SIP;cause=481;text=\"dialog gone\"\r\n";

impl Endpoint {
    /// Ends a leg in any state: final response 480, CANCEL (or ACK and BYE when a 2xx crosses it), BYE. Does nothing on
    /// a dead leg. The `Ended` event comes at once; what the wire still needs is done behind it.
    ///
    /// # Errors
    /// [`EndpointError::Invalid`] when the reason cannot be sent.
    pub fn hangup(&mut self, now: Instant, leg: LegId, reason: Option<&Reason>) -> Result<(), EndpointError> {
        let line = reason_line(reason)?;
        let Some(state) = self.leg(leg).filter(|leg| !leg.ended).map(|leg| leg.state) else {
            return Ok(());
        };
        let mut ended = Ended {
            by: Party::Host,
            status: None,
            reason: None,
            why: EndKind::Bye,
            response: None,
        };
        match state {
            LegState::Incoming => {
                if let Some(server) = self.leg(leg).and_then(|leg| leg.invite_server) {
                    let mut lines = line;
                    lines.extend_from_slice(&self.server_lines());
                    self.respond_plain(now, server, 480, &lines);
                }
                ended.status = Some(Self::status_of(480));
                ended.why = EndKind::Rejected;
                self.end_leg(leg, ended);
                self.close_leg(leg);
            }
            LegState::Accepting => {
                // RFC 3261 §15: not before the ACK, or its time-out.
                if let Some(leg) = self.leg_mut(leg) {
                    leg.bye_due = Some(line.into());
                }
                self.end_leg(leg, ended);
            }
            LegState::Calling => {
                self.give_up(now, leg, &line);
                ended.why = EndKind::Cancelled;
                self.end_leg(leg, ended);
            }
            LegState::Cancelling => {
                ended.why = EndKind::Cancelled;
                self.end_leg(leg, ended);
            }
            LegState::AwaitingAnswer => {
                self.send_bare_ack(leg);
                self.end_leg(leg, ended);
                self.send_bye(now, leg, &line);
            }
            LegState::Confirmed | LegState::Closing | LegState::Lingering => {
                self.end_leg(leg, ended);
                self.send_bye(now, leg, &line);
            }
        }
        Ok(())
    }

    /// Gives up an outbound call that has no final response. `Ended` comes with that response, or when 64·T1 have passed
    /// without one.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the leg is not an unanswered outbound one.
    pub fn cancel(&mut self, now: Instant, leg: LegId, reason: Option<&Reason>) -> Result<(), EndpointError> {
        let line = reason_line(reason)?;
        match self.host_leg(leg)?.state {
            LegState::Calling => {
                self.give_up(now, leg, &line);
                Ok(())
            }
            LegState::Cancelling => Ok(()),
            _ => Err(EndpointError::WrongState(
                "the call is not an unanswered outbound one",
            )),
        }
    }

    /// Gives the terminal event, once.
    pub(crate) fn end_leg(&mut self, id: LegId, ended: Ended) {
        if self.leg(id).is_none_or(|leg| leg.ended) {
            return;
        }
        self.fail_requests(id);
        self.leg_event(id, LegEvent::Ended(ended));
        if let Some(leg) = self.leg_mut(id) {
            leg.ended = true;
            leg.local_sdp = None;
            leg.session_timer = None;
        }
        self.stop_leg_timer(id, LegTimer::Session);
        self.live_legs = self.live_legs.saturating_sub(1);
    }

    /// RFC 3261 §12.2.1.2: a peer that says 481 (to an INVITE also 408), or nothing at all, has lost the dialog, and so have
    /// we. BYE tells the proxies between us.
    pub(crate) fn dialog_lost(&mut self, now: Instant, id: LegId, by: Party, status: (u16, String)) {
        if self.leg(id).is_none_or(|leg| leg.ended) {
            return;
        }
        let ended = Ended {
            by,
            status: Some(status),
            reason: None,
            why: EndKind::DialogGone,
            response: None,
        };
        self.end_leg(id, ended);
        self.send_bye(now, id, BYE_AFTER_481);
    }

    /// Sends BYE; the leg stays until its response, for a peer may want credentials.
    pub(crate) fn send_bye(&mut self, now: Instant, id: LegId, lines: &[u8]) {
        self.stop_leg_timer(id, LegTimer::Repeat2xx);
        self.stop_leg_timer(id, LegTimer::AckDeadline);
        if self.leg(id).is_some_and(|leg| leg.awaiting.is_some()) {
            self.send_bare_ack(id);
        }
        self.refuse_pending(now, id);
        if let Some(leg) = self.leg_mut(id) {
            leg.accepted = None;
            leg.state = LegState::Closing;
        }
        let user = ClientUser::Bye(id);
        if self
            .send_in_dialog(now, id, &Method::Bye, false, lines, &[], None, user)
            .is_none()
        {
            self.leave(now, id);
        }
    }

    /// The final response to our BYE.
    pub(crate) fn bye_response(&mut self, now: Instant, id: LegId, sent: &bytes::Bytes, response: &Message) {
        let tries_max = self.config.limits.auth_tries_max;
        let challenged = matches!(response.code(), Some(401 | 407))
            && self.leg_mut(id).is_some_and(|leg| {
                leg.bye_tries += 1;
                leg.bye_tries <= tries_max
                    && leg
                        .credentials
                        .as_mut()
                        .is_some_and(|login| login.challenged(sent, response))
            });
        if challenged {
            self.send_bye(now, id, b"");
        } else {
            self.leave(now, id);
        }
    }

    /// Nobody answered our BYE: the dialog is over all the same (RFC 3261 §15.1.1).
    pub(crate) fn bye_failed(&mut self, now: Instant, id: LegId) {
        self.leave(now, id);
    }

    /// The dialog is over: forgets the leg, unless a re-INVITE of ours has no final response. A 2xx to it would need an
    /// ACK, which only the dialog can write.
    fn leave(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        if !leg
            .reoffer
            .as_ref()
            .is_some_and(|reoffer| reoffer.is_open_invite())
        {
            return self.close_leg(id);
        }
        if leg.state != LegState::Lingering {
            leg.state = LegState::Lingering;
            let patience = self.config.timing.sixty_four_t1();
            self.set_leg_timer(now, id, LegTimer::ReofferDeadline, patience);
        }
    }

    /// The peer says BYE.
    pub(crate) fn bye_from_peer(&mut self, now: Instant, id: LegId, server: u32, bye: &Message) {
        let Some((state, invite)) = self.leg(id).map(|leg| (leg.state, leg.invite_server)) else {
            return;
        };
        let lines = self.server_lines();
        if matches!(state, LegState::Calling | LegState::Cancelling) {
            // A callee may not (RFC 3261 §15); the INVITE still gets its final response.
            return self.respond_plain(now, server, 481, &lines);
        }
        self.respond_plain(now, server, 200, &lines);
        if let Some(invite) = invite {
            self.respond_plain(now, invite, 487, &lines);
        }
        if self.leg(id).is_some_and(|leg| leg.awaiting.is_some()) {
            self.send_bare_ack(id);
        }
        self.refuse_pending(now, id);
        let reason = reason_of(bye);
        self.end_leg(
            id,
            Ended {
                by: Party::Remote,
                status: None,
                reason,
                why: EndKind::Bye,
                response: None,
            },
        );
        // Our own BYE, if it crossed this one, goes on by itself.
        self.leave(now, id);
    }
}

/// An end that the endpoint itself makes, with the status and the words that the host shall hear.
pub(super) fn ended_here(why: EndKind, code: u16, text: &str) -> Ended {
    Ended {
        by: Party::Local,
        status: Some(Endpoint::status_of(code)),
        reason: Some(Reason {
            protocol: "SIP".into(),
            cause: Some(code),
            text: Some(text.into()),
        }),
        why,
        response: None,
    }
}

/// The Reason line of a request of ours.
fn reason_line(reason: Option<&Reason>) -> Result<Vec<u8>, EndpointError> {
    let Some(reason) = reason else {
        return Ok(Vec::new());
    };
    let text = reason.text.as_deref().unwrap_or_default();
    if !is_token(reason.protocol.as_bytes()) || !is_field_value(text.as_bytes()) {
        return Err(EndpointError::Invalid(
            "reason: protocol is not a token, or its text has control characters".into(),
        ));
    }
    let mut line = format!("Reason: {}", reason.protocol);
    if let Some(cause) = reason.cause {
        line.push_str(&format!(";cause={cause}"));
    }
    if reason.text.is_some() {
        line.push_str(&format!(
            ";text=\"{}\"",
            text.replace('\\', "\\\\").replace('"', "\\\"")
        ));
    }
    line.push_str("\r\n");
    Ok(line.into_bytes())
}

/// The first Reason of a message of the peer.
pub(crate) fn reason_of(message: &Message) -> Option<Reason> {
    let value = message.values(HeaderName::Reason).next()?;
    let reason = crate::message::Reason::parse(value).ok()?;
    Some(Reason {
        protocol: String::from_utf8_lossy(reason.protocol).into(),
        cause: reason.cause,
        text: reason.text.map(|text| String::from_utf8_lossy(&text).into()),
    })
}
