//! Our provisional responses to a caller that acknowledges them (RFC 3262 §3).
//!
//! Does not know when the host speaks, only how it is said: with RSeq, again and again until the PRACK. Entries:
//! [`Endpoint::say_progress`], [`Endpoint::prack_from_peer`]. Invariants: one reliable response without PRACK at a time, the
//! others wait in a bounded queue; no 2xx leaves while one with a session description has no PRACK (§3); to a caller
//! that made no offer the first reliable response holds ours (§5).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::closing::ended_here;
use super::in_dialog::allow_line;
use super::session::body_of;
use super::{LegState, LegTimer};
use crate::endpoint::compose::ResponseParts;
use crate::endpoint::{
    Body, Destination, EndKind, Endpoint, EndpointError, Header, LegEvent, LegId, Transmit, checks,
};
use crate::message::{HeaderName, Message, Method};

/// Provisional responses of the host that wait for the PRACK of the one before. Beyond: refused.
const WAITING_MAX: usize = 8;

/// The reliable responses to an INVITE whose caller knows them.
#[derive(Debug)]
pub(crate) struct Reliable {
    /// The caller insists: every provisional response but 100 must be reliable.
    required: bool,
    /// The INVITE held an offer.
    offered: bool,
    /// RSeq of the last one.
    rseq: Option<u32>,
    /// Our offer was sent in one.
    offer_sent: bool,
    /// The one without a PRACK.
    pending: Option<Unacknowledged>,
    waiting: VecDeque<Progress>,
    /// The host's answer, which waits for that PRACK.
    held: Option<(Vec<Header>, Option<Body>)>,
}

/// A provisional response of the host.
#[derive(Debug)]
struct Progress {
    code: u16,
    reason: Option<Box<str>>,
    headers: Vec<Header>,
    body: Option<Body>,
}

/// A reliable response that waits for its PRACK.
#[derive(Debug)]
struct Unacknowledged {
    rseq: u32,
    response: Bytes,
    has_body: bool,
    /// It holds our offer, so the PRACK must hold the answer.
    offer: bool,
    /// The current interval between copies.
    interval: Duration,
    /// The caller is given up then.
    deadline: Instant,
}

/// How a provisional response can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Plain,
    Reliable,
    /// The caller insists on reliable ones and made no offer, and this holds none: RFC 3262 forbids either way.
    Unsayable,
}

impl Reliable {
    /// None when the caller of this INVITE does not know reliable responses.
    pub(super) fn asked(invite: &Message) -> Option<Box<Self>> {
        let required = invite.lists(HeaderName::Require, "100rel");
        if !required && !invite.lists(HeaderName::Supported, "100rel") {
            return None;
        }
        Some(Box::new(Self {
            required,
            offered: !invite.body().is_empty(),
            rseq: None,
            offer_sent: false,
            pending: None,
            waiting: VecDeque::new(),
            held: None,
        }))
    }

    /// A mere 180 is repeated by the next response anyway: it costs no PRACK unless the caller insists.
    fn manner(&self, code: u16, has_body: bool) -> Manner {
        let wanted = self.required || has_body || code != 180;
        let possible = self.offered || self.offer_sent || has_body;
        match (wanted, possible) {
            (true, true) => Manner::Reliable,
            (true, false) if self.required => Manner::Unsayable,
            _ => Manner::Plain,
        }
    }

    /// The host has answered; the 2xx waits for a PRACK.
    pub(super) fn holds_answer(&self) -> bool {
        self.held.is_some()
    }
}

impl Endpoint {
    /// Sends a checked provisional response of the host, reliably where the caller knows that.
    pub(super) fn say_progress(
        &mut self,
        now: Instant,
        id: LegId,
        (code, reason): (u16, Option<&str>),
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        let reliable = self.leg_mut(id).and_then(|leg| leg.reliable.as_mut());
        let Some(reliable) = reliable else {
            self.send_plain_progress(now, id, (code, reason), headers, body);
            return Ok(());
        };
        match reliable.manner(code, body.is_some()) {
            Manner::Plain => self.send_plain_progress(now, id, (code, reason), headers, body),
            Manner::Unsayable => {}
            Manner::Reliable => {
                if reliable.waiting.len() >= WAITING_MAX {
                    return Err(EndpointError::Limit("provisional responses without PRACK"));
                }
                reliable.waiting.push_back(Progress {
                    code,
                    reason: reason.map(Into::into),
                    headers: headers.to_vec(),
                    body,
                });
                self.advance_progress(now, id);
            }
        }
        Ok(())
    }

    fn send_plain_progress(
        &mut self,
        now: Instant,
        id: LegId,
        (code, reason): (u16, Option<&str>),
        headers: &[Header],
        body: Option<Body>,
    ) {
        let Some(server) = self.leg(id).and_then(|leg| leg.invite_server) else {
            return;
        };
        let lines = self.dialog_lines(id, false);
        let parts = ResponseParts {
            code,
            reason,
            head: &[],
            lines: &lines,
            headers,
            body: body.as_ref(),
        };
        self.respond(now, server, parts);
        self.keep_sdp(id, body);
        self.repeat_progress_later(now, id);
    }

    /// Sends the next waiting response if the one before has its PRACK.
    fn advance_progress(&mut self, now: Instant, id: LegId) {
        // §3: 1 to 2³¹ - 1.
        let first = 1 + (self.random.next_u64() % ((1 << 31) - 1)) as u32;
        let interval = self.config.timing.t1;
        let deadline = now.checked_add(self.config.timing.sixty_four_t1()).unwrap_or(now);
        let Some(leg) = self.leg_mut(id) else { return };
        let (Some(server), Some(reliable)) = (leg.invite_server, leg.reliable.as_mut()) else {
            return;
        };
        if reliable.pending.is_some() {
            return;
        }
        let Some(progress) = reliable.waiting.pop_front() else {
            return;
        };
        let rseq = reliable.rseq.map_or(first, |last| {
            last.checked_add(1).filter(|n| *n < 1 << 31).unwrap_or(1)
        });
        reliable.rseq = Some(rseq);
        let offer = !reliable.offered && !reliable.offer_sent && progress.body.is_some();
        reliable.offer_sent |= offer;
        let mut lines = self.dialog_lines(id, false);
        lines.extend_from_slice(&allow_line());
        lines.extend_from_slice(format!("Require: 100rel\r\nRSeq: {rseq}\r\n").as_bytes());
        let parts = ResponseParts {
            code: progress.code,
            reason: progress.reason.as_deref(),
            head: &[],
            lines: &lines,
            headers: &progress.headers,
            body: progress.body.as_ref(),
        };
        let Some(response) = self.respond(now, server, parts) else {
            return;
        };
        if let Some(reliable) = self.leg_mut(id).and_then(|leg| leg.reliable.as_mut()) {
            reliable.pending = Some(Unacknowledged {
                rseq,
                response,
                has_body: progress.body.is_some(),
                offer,
                interval,
                deadline,
            });
        }
        self.keep_sdp(id, progress.body);
        self.set_leg_timer(now, id, LegTimer::Prack, interval);
        self.repeat_progress_later(now, id);
    }

    /// No PRACK so far: the response goes out again, or the caller is given up.
    pub(super) fn prack_overdue(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let server = leg.invite_server;
        let pending = leg
            .reliable
            .as_mut()
            .and_then(|reliable| reliable.pending.as_mut());
        let (Some(server), Some(pending)) = (server, pending) else {
            return;
        };
        let left = pending.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return self.prack_missing(now, id, server);
        }
        pending.interval = pending.interval.saturating_mul(2);
        let (payload, next) = (pending.response.clone(), pending.interval.min(left));
        if let Some(to) = self.servers.get(server as usize).map(|t| *t.path()) {
            self.stats.retransmitted += 1;
            self.transmit(Transmit {
                to: Destination::Path(to),
                payload,
                token: None,
            });
        }
        self.set_leg_timer(now, id, LegTimer::Prack, next);
    }

    /// §3: a caller that never acknowledges gets a 5xx.
    fn prack_missing(&mut self, now: Instant, id: LegId, server: u32) {
        let lines = self.server_lines();
        self.respond_plain(now, server, 504, &lines);
        self.end_leg(id, ended_here(EndKind::PrackMissing, 504, "PRACK missing"));
        self.close_leg(id);
    }

    /// Whether the host's answer must wait for a PRACK; then it is kept, and what it makes stale is dropped.
    pub(super) fn hold_answer(&mut self, id: LegId, headers: &[Header], body: Option<&Body>) -> bool {
        let Some(reliable) = self.leg_mut(id).and_then(|leg| leg.reliable.as_mut()) else {
            return false;
        };
        reliable.waiting.clear();
        let held = reliable.pending.as_ref().is_some_and(|pending| pending.has_body);
        if held {
            reliable.held = Some((headers.to_vec(), body.cloned()));
        }
        held
    }

    /// What the 2xx shall carry. After an offer of ours and its answer in PRACK the same description once more would look
    /// like another offer.
    pub(super) fn body_of_answer(&self, id: LegId, body: Option<Body>) -> Option<Body> {
        let Some(leg) = self.leg(id) else { return body };
        let settled = leg.early_session && leg.reliable.as_ref().is_some_and(|reliable| !reliable.offered);
        body.filter(|body| !settled || leg.local_sdp.as_ref() != Some(body))
    }

    /// A PRACK of the caller.
    pub(super) fn prack_from_peer(&mut self, now: Instant, id: LegId, server: u32, prack: Message) {
        let lines = self.server_lines();
        let Ok(Some(rack)) = prack.rack() else {
            return self.respond_plain(now, server, 400, &lines);
        };
        if let Some(refusal) = checks::body_refusal(&prack) {
            return self.respond_plain(now, server, refusal.code, &refusal.lines);
        }
        let Some(leg) = self.leg_mut(id) else { return };
        let this_invite = rack.cseq.seq == leg.invite_seq && rack.cseq.method == Method::Invite;
        let pending = leg.reliable.as_mut().and_then(|reliable| {
            let meant = |pending: &mut Unacknowledged| this_invite && pending.rseq == rack.rseq;
            reliable.pending.take_if(meant)
        });
        let Some(pending) = pending else {
            return self.respond_plain(now, server, 481, &lines);
        };
        let (local, body) = (leg.local_sdp.clone(), body_of(&prack));
        if pending.offer {
            leg.early_session = body.is_some();
        } else if pending.has_body {
            leg.early_session = true;
        }
        let settled = leg.early_session;
        self.stop_leg_timer(id, LegTimer::Prack);
        match (&body, local) {
            (Some(_), _) if pending.offer => self.respond_plain(now, server, 200, &lines),
            // Another offer (RFC 3262 §5): the session that holds is its answer.
            (Some(_), Some(local)) if settled => {
                let parts = ResponseParts {
                    code: 200,
                    reason: None,
                    head: &[],
                    lines: &lines,
                    headers: &[],
                    body: Some(&local),
                };
                self.respond(now, server, parts);
                let (request, decide) = (prack, None);
                self.leg_event(id, LegEvent::Offer { request, decide });
            }
            // The caller's own first offer has no answer yet.
            (Some(_), _) => self.respond_plain(now, server, 488, &lines),
            (None, _) => self.respond_plain(now, server, 200, &lines),
        }
        let body = body.filter(|_| pending.offer);
        self.leg_event(id, LegEvent::ProgressAcknowledged { body });
        let leg = self.leg_mut(id).filter(|leg| leg.state == LegState::Incoming);
        match leg.and_then(|leg| leg.reliable.as_mut()).map(|r| r.held.take()) {
            Some(Some((headers, body))) => self.accept_call(now, id, &headers, body),
            Some(None) => self.advance_progress(now, id),
            None => {}
        }
    }

    /// Proxies give up on a call that is silent for three minutes: says once more how far it is.
    pub(super) fn repeat_progress(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(server) = leg.invite_server else { return };
        match leg.reliable.as_mut().filter(|reliable| reliable.rseq.is_some()) {
            // A copy of what was acknowledged would be taken for a lost PRACK: the next number, without a body.
            Some(reliable) => {
                if reliable.pending.is_none() {
                    let (code, reason, headers) = (183, None, Vec::new());
                    let (body, waiting) = (None, &mut reliable.waiting);
                    waiting.push_back(Progress {
                        code,
                        reason,
                        headers,
                        body,
                    });
                    self.advance_progress(now, id);
                }
            }
            None => self.server_resend(server),
        }
        self.repeat_progress_later(now, id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reliable(required: bool, offered: bool) -> Reliable {
        Reliable {
            required,
            offered,
            rseq: None,
            offer_sent: false,
            pending: None,
            waiting: VecDeque::new(),
            held: None,
        }
    }

    #[test]
    fn what_is_sent_reliably() {
        use Manner::{Plain, Reliable as Sure, Unsayable};
        for (required, offered, code, has_body, manner) in [
            (false, true, 180, false, Plain),
            (false, true, 180, true, Sure),
            (false, true, 183, false, Sure),
            (false, true, 181, false, Sure),
            (true, true, 180, false, Sure),
            (false, false, 183, false, Plain),
            (false, false, 183, true, Sure),
            (true, false, 180, false, Unsayable),
            (true, false, 180, true, Sure),
        ] {
            let got = reliable(required, offered).manner(code, has_body);
            assert_eq!(got, manner, "{required} {offered} {code} {has_body}");
        }
    }
}
