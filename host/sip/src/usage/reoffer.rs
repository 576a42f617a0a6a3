//! Our re-INVITE and UPDATE: a change of the session that we propose (RFC 3261 §14.1, RFC 3311).
//!
//! Does not know what a session description says. Entry: [`Endpoint::reoffer`]. Invariants: one at a time, and none while
//! the peer's own is not over; each gets exactly one `Reoffered`; each 2xx to a re-INVITE an ACK, whatever became of the
//! leg; a refusal leaves the session as it was.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::in_dialog::allow_line;
use super::offered::Heard;
use super::{Awaiting, LegState, LegTimer};
use crate::endpoint::clients::ClientUser;
use crate::endpoint::compose::{check_body, check_headers};
use crate::endpoint::{
    Endpoint, EndpointError, LegEvent, LegId, Party, ReofferRequest, Reoffered, RequestFailure, RequestId,
    TimerKey, TransportFailure,
};
use crate::message::{Message, Method};

/// The reason of a CANCEL after the time-out; the host needs none to withdraw.
const TIMED_OUT: &[u8] = b"Reason: SIP;cause=408;text=\"no answer in time\"\r\n";

/// A reoffer that is not over.
#[derive(Debug)]
pub(crate) struct Reoffer {
    id: RequestId,
    request: ReofferRequest,
    phase: Phase,
    /// How often it was sent with credentials.
    tries: u8,
    /// The CANCEL was sent.
    cancel_sent: bool,
    /// Why, in lines of that CANCEL.
    cancel_lines: &'static [u8],
    deadline: Instant,
}

/// Where a reoffer is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Not sent: something else is under way, or (`due` is false) the pause after a 491.
    Waiting { due: bool },
    /// Sent, no final response.
    Sent(Awaiting),
    /// Its time-out is over or the host has withdrawn it; the CANCEL is sent, or will be with the first provisional response.
    Cancelling(Awaiting),
    /// The 2xx holds an offer: the host owes the answer.
    AwaitingAnswer,
}

impl Reoffer {
    /// Whether a 2xx may still come that needs an ACK.
    pub(crate) fn is_open_invite(&self) -> bool {
        !self.request.update && matches!(self.phase, Phase::Sent(_) | Phase::Cancelling(_))
    }

    /// Whether an offer of the peer would meet ours.
    pub(crate) fn is_out(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. })
    }

    fn sent(&self) -> Option<Awaiting> {
        match self.phase {
            Phase::Sent(sent) | Phase::Cancelling(sent) => Some(sent),
            Phase::Waiting { .. } | Phase::AwaitingAnswer => None,
        }
    }

    fn method(&self) -> Method {
        if self.request.update {
            Method::Update
        } else {
            Method::Invite
        }
    }
}

impl Endpoint {
    /// Proposes another session to the peer of a connected leg. It is sent as soon as nothing of the peer is under way
    /// (RFC 3261 §14.1) and repeated after a 491 within its time-out. The outcome comes as [`LegEvent::Reoffered`].
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the call is not connected or another reoffer is not over,
    /// [`EndpointError::Invalid`] for what cannot be sent, [`EndpointError::Limit`] when too much is alive.
    pub fn reoffer(
        &mut self,
        now: Instant,
        leg: LegId,
        request: ReofferRequest,
    ) -> Result<RequestId, EndpointError> {
        let limits = &self.config.limits;
        check_headers(&request.headers, false, limits.message.max_value)?;
        check_body(request.body.as_ref(), limits.body_max)?;
        if self.transactions() >= limits.transactions_max {
            return Err(EndpointError::Limit("transactions_max"));
        }
        let state = self.host_leg(leg)?;
        if !state.is_answered() {
            return Err(EndpointError::WrongState("the call is not connected"));
        }
        if state.reoffer.is_some() {
            return Err(EndpointError::WrongState("another reoffer is not over"));
        }
        let id = self.next_request_id();
        let timeout = request.timeout;
        let reoffer = Reoffer {
            id,
            request,
            phase: Phase::Waiting { due: true },
            tries: 0,
            cancel_sent: false,
            cancel_lines: TIMED_OUT,
            deadline: now.checked_add(timeout).unwrap_or(now),
        };
        self.host_leg(leg)?.reoffer = Some(Box::new(reoffer));
        self.set_leg_timer(now, leg, LegTimer::ReofferDeadline, timeout);
        self.advance_reoffer(now, leg);
        Ok(id)
    }

    /// Gives a reoffer up. One that waits to be sent, or to be sent again after a 491, ends at once as
    /// [`RequestFailure::Withdrawn`]; a re-INVITE that is out is cancelled, and its outcome follows: a 2xx that crosses the
    /// CANCEL means that the new session holds. An UPDATE that is out cannot be cancelled and takes its course.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when it is over, or when its 2xx waits for the host's answer.
    pub fn withdraw_reoffer(
        &mut self,
        now: Instant,
        leg: LegId,
        request: RequestId,
    ) -> Result<(), EndpointError> {
        let reoffer = self.host_leg(leg)?.reoffer.as_mut();
        let Some(reoffer) = reoffer.filter(|reoffer| reoffer.id == request) else {
            return Err(EndpointError::WrongState("the reoffer is over"));
        };
        match reoffer.phase {
            Phase::Waiting { .. } => self.reoffer_over(leg, Reoffered::Failed(RequestFailure::Withdrawn)),
            Phase::Sent(sent) if !reoffer.request.update => {
                reoffer.phase = Phase::Cancelling(sent);
                reoffer.cancel_lines = b"";
                self.send_cancel_of_reoffer(now, leg);
            }
            Phase::Sent(_) | Phase::Cancelling(_) => {}
            Phase::AwaitingAnswer => {
                return Err(EndpointError::WrongState("the answer to its 2xx is due"));
            }
        }
        Ok(())
    }

    /// Sends a waiting reoffer if nothing is in its way.
    pub(crate) fn advance_reoffer(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        let free = leg.state == LegState::Confirmed
            && !leg.ended
            && leg.accepted.is_none()
            && leg.peer_offer.is_none()
            && leg
                .session_timer
                .as_ref()
                .is_none_or(|timer| timer.refresh.is_none());
        let due = |reoffer: &Reoffer| matches!(reoffer.phase, Phase::Waiting { due: true });
        if free && leg.reoffer.as_deref().is_some_and(due) {
            self.send_reoffer(now, id);
        }
    }

    /// The pause after a 491 is over.
    pub(crate) fn reoffer_due(&mut self, now: Instant, id: LegId) {
        if let Some(reoffer) = self.leg_mut(id).and_then(|leg| leg.reoffer.as_mut())
            && matches!(reoffer.phase, Phase::Waiting { .. })
        {
            reoffer.phase = Phase::Waiting { due: true };
            self.advance_reoffer(now, id);
        }
    }

    fn send_reoffer(&mut self, now: Instant, id: LegId) {
        let Some(reoffer) = self.leg_mut(id).and_then(|leg| leg.reoffer.as_mut()) else {
            return;
        };
        let headers = std::mem::take(&mut reoffer.request.headers);
        let (body, method, request) = (reoffer.request.body.clone(), reoffer.method(), reoffer.id);
        let user = ClientUser::Reoffer(id, request);
        let mut lines = allow_line();
        if let Some(timer) = self.leg(id).and_then(|leg| leg.session_timer.as_ref()) {
            timer.write_request_lines(&mut lines);
        }
        let sent = self.send_in_dialog(now, id, &method, true, &lines, &headers, body.as_ref(), user);
        let Some(sent) = sent else {
            // The dialog's sequence numbers are used up.
            return self.reoffer_over(id, Reoffered::Failed(RequestFailure::LegEnded));
        };
        if let Some(reoffer) = self.leg_mut(id).and_then(|leg| leg.reoffer.as_mut()) {
            reoffer.request.headers = headers;
            reoffer.phase = Phase::Sent(sent);
        }
    }

    /// A response to our re-INVITE or UPDATE.
    pub(crate) fn reoffer_response(
        &mut self,
        now: Instant,
        client: u32,
        (id, request): (LegId, RequestId),
        sent: &Bytes,
        response: Message,
    ) {
        let reoffer = self.leg(id).and_then(|leg| leg.reoffer.as_ref());
        let current = reoffer.filter(|reoffer| reoffer.id == request);
        let awaiting_answer = current.is_some_and(|reoffer| matches!(reoffer.phase, Phase::AwaitingAnswer));
        let live = current
            .and_then(|reoffer| reoffer.sent())
            .filter(|sent| sent.client == client);
        let Some(ack) = live else {
            // A copy: of a 2xx that the host still thinks about, or of one that was ACKed.
            if !awaiting_answer {
                self.orphaned_invite_response(now, client, &response);
            }
            return;
        };
        match response.code().unwrap_or(0) {
            0..=199 => self.send_cancel_of_reoffer(now, id),
            200..=299 => self.reoffer_accepted(now, id, ack, response),
            code => self.reoffer_refused(now, id, sent, code, response),
        }
    }

    /// Sends the CANCEL of a re-INVITE that is given up, once a provisional response allows it.
    fn send_cancel_of_reoffer(&mut self, now: Instant, id: LegId) {
        let reoffer = self.leg(id).and_then(|leg| leg.reoffer.as_deref());
        let wanted = reoffer.filter(|reoffer| !reoffer.cancel_sent);
        let wanted = wanted.map(|reoffer| (reoffer.phase, reoffer.cancel_lines));
        let Some((Phase::Cancelling(sent), lines)) = wanted else {
            return;
        };
        let transaction = self.clients.get(sent.client as usize);
        if transaction.is_some_and(|t| t.is_proceeding_invite())
            && self.cancel_client(now, sent.client, lines)
        {
            if let Some(reoffer) = self.leg_mut(id).and_then(|leg| leg.reoffer.as_mut()) {
                reoffer.cancel_sent = true;
            }
            let patience = self.config.timing.sixty_four_t1();
            self.set_leg_timer(now, id, LegTimer::ReofferDeadline, patience);
        }
    }

    fn reoffer_accepted(&mut self, now: Instant, id: LegId, ack: Awaiting, response: Message) {
        self.stop_leg_timer(id, LegTimer::ReofferDeadline);
        let key = self.leg(id).and_then(|leg| leg.dialog.as_ref()).map(|d| d.key);
        if let Some(key) = key {
            self.refresh_target(id, key, &response, Heard::Response(ack.client));
        }
        self.session_granted(now, id, &response);
        let Some(leg) = self.leg_mut(id) else { return };
        let (ended, lingering) = (leg.ended, leg.state == LegState::Lingering);
        let Some(reoffer) = leg.reoffer.as_mut() else {
            return;
        };
        let request = reoffer.id;
        let update = reoffer.request.update;
        let needs_answer = !update && reoffer.request.body.is_none() && !response.body().is_empty() && !ended;
        if needs_answer {
            reoffer.phase = Phase::AwaitingAnswer;
            leg.awaiting = Some(ack);
            let patience = self.config.timing.t1.saturating_mul(60);
            self.set_leg_timer(now, id, LegTimer::AnswerDeadline, patience);
        } else {
            let body = reoffer.request.body.take();
            leg.reoffer = None;
            if !update {
                self.send_ack(id, ack, &[], None);
            }
            if !ended {
                self.keep_sdp(id, body);
            }
        }
        let outcome = Reoffered::Accepted {
            response,
            needs_answer,
        };
        self.leg_event(id, LegEvent::Reoffered { request, outcome });
        if lingering {
            self.close_leg(id);
        }
    }

    fn reoffer_refused(&mut self, now: Instant, id: LegId, sent: &Bytes, code: u16, response: Message) {
        let tries_max = self.config.limits.auth_tries_max;
        let random = self.random.next_u64();
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(reoffer) = leg.reoffer.as_mut() else {
            return;
        };
        let wanted = !leg.ended && matches!(reoffer.phase, Phase::Sent(_));
        if wanted
            && matches!(code, 401 | 407)
            && reoffer.tries < tries_max
            && leg
                .credentials
                .as_mut()
                .is_some_and(|login| login.challenged(sent, &response))
        {
            reoffer.tries += 1;
            return self.send_reoffer(now, id);
        }
        if wanted && code == 491 {
            let pause = glare_pause(leg.caller, random);
            // A pause that outlasts the time-out would only hide the answer.
            if now + pause < reoffer.deadline {
                reoffer.phase = Phase::Waiting { due: false };
                return self.set_random_leg_timer(now, id, LegTimer::ReofferRetry, pause);
            }
        }
        if wanted && code == 422 && self.raise_session(id, &response) {
            return self.send_reoffer(now, id);
        }
        let phrase = response
            .status()
            .map(|line| String::from_utf8_lossy(line.reason).into_owned())
            .unwrap_or_default();
        self.reoffer_over(id, Reoffered::Rejected(response));
        if matches!(code, 408 | 481) {
            self.dialog_lost(now, id, Party::Remote, (code, phrase));
        }
    }

    /// No response, or not sent.
    pub(crate) fn reoffer_failed(
        &mut self,
        now: Instant,
        (id, request): (LegId, RequestId),
        why: Option<TransportFailure>,
    ) {
        let reoffer = self.leg(id).and_then(|leg| leg.reoffer.as_ref());
        if reoffer.is_none_or(|reoffer| reoffer.id != request) {
            return;
        }
        let failure = why.map_or(RequestFailure::Timeout, RequestFailure::Transport);
        self.reoffer_over(id, Reoffered::Failed(failure));
        if why.is_none() {
            self.dialog_lost(now, id, Party::Local, Self::status_of(408));
        }
    }

    /// The time-out is over; or the peer is silent after our CANCEL or BYE.
    pub(crate) fn reoffer_deadline(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let lingering = leg.state == LegState::Lingering;
        let Some(reoffer) = leg.reoffer.as_mut() else {
            return;
        };
        let request = reoffer.id;
        match reoffer.phase {
            Phase::Waiting { .. } => self.reoffer_over(id, Reoffered::Failed(RequestFailure::Timeout)),
            Phase::Sent(sent) if !lingering => {
                // An UPDATE cannot be cancelled: timer F bounds it.
                if !reoffer.request.update {
                    reoffer.phase = Phase::Cancelling(sent);
                    self.send_cancel_of_reoffer(now, id);
                }
                self.leg_event(id, LegEvent::ReofferTimedOut { request });
            }
            Phase::Sent(sent) | Phase::Cancelling(sent) => {
                self.close_client(sent.client);
                self.reoffer_over(id, Reoffered::Failed(RequestFailure::Timeout));
            }
            Phase::AwaitingAnswer => {}
        }
    }

    /// The host owes the answer to the offer of a 2xx to its re-INVITE: our current session is an answer that keeps the
    /// call. False when it is not about a re-INVITE or there is no such session.
    pub(crate) fn answer_reoffer_by_default(&mut self, id: LegId) -> bool {
        let Some(leg) = self.leg(id) else { return false };
        let Some(body) = leg.local_sdp.clone().filter(|_| leg.reoffer.is_some()) else {
            return false;
        };
        self.answer_in_ack(id, &[], Some(body)).is_ok()
    }

    /// Tells the host the outcome and forgets the reoffer; the leg too, if it stayed for that only.
    fn reoffer_over(&mut self, id: LegId, outcome: Reoffered) {
        self.stop_leg_timer(id, LegTimer::ReofferDeadline);
        self.stop_leg_timer(id, LegTimer::ReofferRetry);
        let Some(leg) = self.leg_mut(id) else { return };
        let lingering = leg.state == LegState::Lingering;
        if let Some(reoffer) = leg.reoffer.take() {
            let request = reoffer.id;
            self.leg_event(id, LegEvent::Reoffered { request, outcome });
        }
        if lingering {
            self.close_leg(id);
        }
    }

    /// The leg ends: the host hears that its reoffer came to nothing. One that is out stays for the ACK of its 2xx.
    pub(crate) fn fail_reoffer(&mut self, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(reoffer) = leg.reoffer.as_ref() else {
            return;
        };
        let request = reoffer.id;
        let told = matches!(reoffer.phase, Phase::AwaitingAnswer);
        if !reoffer.is_open_invite() {
            leg.reoffer = None;
        }
        self.stop_leg_timer(id, LegTimer::ReofferDeadline);
        self.stop_leg_timer(id, LegTimer::ReofferRetry);
        if !told {
            let outcome = Reoffered::Failed(RequestFailure::LegEnded);
            self.leg_event(id, LegEvent::Reoffered { request, outcome });
        }
    }

    pub(super) fn set_random_leg_timer(&mut self, now: Instant, id: LegId, timer: LegTimer, after: Duration) {
        let timer_id = self.timers.set_random(now, after, TimerKey::Leg(id, timer));
        match self.leg_mut(id) {
            Some(leg) => {
                if let Some(old) = leg.timers.put(timer, timer_id) {
                    self.timers.stop(old);
                }
            }
            None => self.timers.stop(timer_id),
        }
    }
}

/// How long to wait after a 491 (RFC 3261 §14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in
/// units of 10 ms.
pub(super) fn glare_pause(owner: bool, random: u64) -> Duration {
    let units = if owner { 210 + random % 191 } else { random % 201 };
    Duration::from_millis(units * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_491_is_that_of_the_rfc() {
        let ms = |owner, random| glare_pause(owner, random).as_millis();
        assert_eq!((ms(true, 0), ms(true, 190), ms(true, 191)), (2_100, 4_000, 2_100));
        assert_eq!((ms(false, 0), ms(false, 200), ms(false, 201)), (0, 2_000, 0));
    }
}
