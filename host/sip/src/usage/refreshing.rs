//! Our refresh of a session (RFC 4028 §7.4): an UPDATE that changes nothing, or a re-INVITE with the session that holds.
//!
//! The host hears nothing of it unless the peer is gone. Entry: [`Endpoint::refresh_session`]. Invariants: one at a time, and
//! none while an offer is under way either way, which is a refresh itself; each 2xx to a re-INVITE gets its ACK.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::in_dialog::allow_line;
use super::offered::Heard;
use super::reoffer::glare_pause;
use super::{Awaiting, LegState, LegTimer};
use crate::endpoint::clients::ClientUser;
use crate::endpoint::{Endpoint, LegId, Party, TransportFailure};
use crate::message::{Message, Method};

/// When to look again while something else is under way.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// The least pause before another try after a refusal.
const RETRY_LEAST: Duration = Duration::from_secs(5);

/// A refresh without a final response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    sent: Awaiting,
    /// INVITE, else UPDATE.
    pub(super) invite: bool,
    /// How often it was sent with credentials.
    tries: u8,
}

impl Endpoint {
    /// Refreshes a session whose refresher we are. `ends`: when it is given up otherwise.
    pub(super) fn refresh_session(&mut self, now: Instant, id: LegId, ends: Instant) {
        let Some(leg) = self.leg(id) else { return };
        let ours = leg.session_timer.as_ref().is_some_and(|timer| timer.terms.ours);
        let under_way = leg
            .session_timer
            .as_ref()
            .is_some_and(|timer| timer.refresh.is_some());
        let busy = leg.state != LegState::Confirmed
            || leg.accepted.is_some()
            || leg.awaiting.is_some()
            || leg.peer_offer.is_some()
            || leg.reoffer.as_ref().is_some_and(|reoffer| reoffer.is_out());
        let left = ends.saturating_duration_since(now);
        if !ours || under_way {
            self.set_random_leg_timer(now, id, LegTimer::Session, left);
        } else if busy {
            self.set_random_leg_timer(now, id, LegTimer::Session, left.min(BUSY_PAUSE));
        } else {
            self.set_random_leg_timer(now, id, LegTimer::Session, left);
            self.send_refresh(now, id, 0);
        }
    }

    fn send_refresh(&mut self, now: Instant, id: LegId, tries: u8) {
        let Some(leg) = self.leg(id) else { return };
        let Some(timer) = leg.session_timer.as_ref() else {
            return;
        };
        let body = leg.local_sdp.clone().filter(|_| !timer.update);
        let mut lines = allow_line();
        timer.write_request_lines(&mut lines);
        let invite = body.is_some();
        let method = if invite { Method::Invite } else { Method::Update };
        let user = ClientUser::Refresh(id);
        let sent = self.send_in_dialog(now, id, &method, true, &lines, &[], body.as_ref(), user);
        if let Some(timer) = self.leg_mut(id).and_then(|leg| leg.session_timer.as_mut()) {
            // None: the sequence numbers are used up, and the session ends in its time.
            timer.refresh = sent.map(|sent| Refresh { sent, invite, tries });
        }
    }

    /// A response to our refresh.
    pub(crate) fn refresh_response(
        &mut self,
        now: Instant,
        client: u32,
        id: LegId,
        sent: &Bytes,
        response: Message,
    ) {
        let Some(refresh) = self.refresh_of(id, Some(client)) else {
            return self.orphaned_invite_response(now, client, &response);
        };
        match response.code().unwrap_or(0) {
            0..=199 => {}
            200..=299 => {
                self.refresh_over(id);
                if refresh.invite {
                    self.send_ack(id, refresh.sent, &[], None);
                }
                let key = self.leg(id).and_then(|leg| leg.dialog.as_ref()).map(|d| d.key);
                if let Some(key) = key {
                    self.refresh_target(id, key, &response, Heard::Response(client));
                }
                self.session_granted(now, id, &response);
                self.advance_reoffer(now, id);
            }
            code => self.refresh_refused(now, id, refresh, sent, code, &response),
        }
    }

    fn refresh_refused(
        &mut self,
        now: Instant,
        id: LegId,
        refresh: Refresh,
        sent: &Bytes,
        code: u16,
        response: &Message,
    ) {
        let tries_max = self.config.limits.auth_tries_max;
        let random = self.random.next_u64();
        self.refresh_over(id);
        let Some(leg) = self.leg_mut(id) else { return };
        let again = match code {
            401 | 407 if refresh.tries < tries_max => leg
                .credentials
                .as_mut()
                .is_some_and(|login| login.challenged(sent, response)),
            // It takes no UPDATE, whatever its Allow says.
            405 | 501 if !refresh.invite => {
                let known = leg.local_sdp.is_some();
                if let Some(timer) = leg.session_timer.as_mut() {
                    timer.update = false;
                }
                known
            }
            422 => self.raise_session(id, response),
            _ => false,
        };
        if again {
            return self.send_refresh(now, id, refresh.tries + u8::from(matches!(code, 401 | 407)));
        }
        if matches!(code, 408 | 481) {
            let phrase = response
                .status()
                .map(|line| String::from_utf8_lossy(line.reason).into_owned());
            return self.dialog_lost(now, id, Party::Remote, (code, phrase.unwrap_or_default()));
        }
        let Some(leg) = self.leg(id) else { return };
        let ends = leg.session_timer.as_ref().and_then(|timer| timer.ends);
        let left = ends.unwrap_or(now).saturating_duration_since(now);
        let pause = if code == 491 {
            glare_pause(leg.caller, random)
        } else {
            (left / 2).max(RETRY_LEAST)
        };
        self.set_random_leg_timer(now, id, LegTimer::Session, pause.min(left));
        self.advance_reoffer(now, id);
    }

    /// No response, or not sent.
    pub(crate) fn refresh_failed(&mut self, now: Instant, id: LegId, why: Option<TransportFailure>) {
        if self.refresh_of(id, None).is_none() {
            return;
        }
        self.refresh_over(id);
        if why.is_none() {
            return self.dialog_lost(now, id, Party::Local, Self::status_of(408));
        }
        // The way may be back before the session is over.
        let ends = self.leg(id).and_then(|leg| leg.session_timer.as_ref()?.ends);
        let left = ends.unwrap_or(now).saturating_duration_since(now);
        let pause = (left / 2).max(RETRY_LEAST).min(left);
        self.set_random_leg_timer(now, id, LegTimer::Session, pause);
        self.advance_reoffer(now, id);
    }

    /// The refresh under way, if it is that of this transaction.
    fn refresh_of(&self, id: LegId, client: Option<u32>) -> Option<Refresh> {
        let refresh = self.leg(id)?.session_timer.as_ref()?.refresh?;
        client
            .is_none_or(|client| refresh.sent.client == client)
            .then_some(refresh)
    }

    fn refresh_over(&mut self, id: LegId) {
        if let Some(timer) = self.leg_mut(id).and_then(|leg| leg.session_timer.as_mut()) {
            timer.refresh = None;
        }
    }
}
