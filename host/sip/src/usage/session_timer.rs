//! Session timers (RFC 4028): who says how often that the call is alive, and the end of one where nobody does.
//!
//! Our own refreshing is in [`refreshing`](super::refreshing). Entries: [`Terms::of`], [`Endpoint::session_granted`]. Invariants:
//! the peer's interval is never raised; every re-INVITE, UPDATE and 2xx of ours names the timer that runs, for one without it
//! switches it off; without a refresh BYE leaves shortly before the interval is over.

use std::time::{Duration, Instant};

use super::closing::ended_here;
use super::refreshing::Refresh;
use super::{LegState, LegTimer};
use crate::endpoint::{EndKind, Endpoint, LegId};
use crate::message::{HeaderName, Message, Refresher};

/// The least interval that we take, s: the least that the RFC knows (§4).
pub(crate) const LEAST_S: u32 = 90;

/// The lines of a 422.
pub(crate) const LEAST_LINE: &[u8] = b"Min-SE: 90\r\n";

/// How often a 422 is followed on one leg.
const RAISES_MAX: u8 = 3;

const EXPIRED: &str = "session timer expired";
const BYE_AFTER_EXPIRY: &[u8] = b"Reason: SIP;cause=408;text=\"session timer expired\"\r\n";

/// What both sides agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The session interval, s.
    pub(super) interval: u32,
    /// We refresh, else the peer.
    pub(super) ours: bool,
    /// The peer knows session timers.
    known: bool,
}

/// The timer of a leg.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    pub(super) terms: Terms,
    /// The least interval that anybody on the way has asked for, s.
    least: u32,
    /// The peer takes UPDATE.
    pub(super) update: bool,
    /// How often a 422 was followed.
    raises: u8,
    /// When BYE is due. None before the 2xx.
    pub(super) ends: Option<Instant>,
    /// Ours, under way.
    pub(super) refresh: Option<Refresh>,
}

impl Terms {
    /// What our 2xx to `request` says: none is no timer. `wanted` is the interval that we would ask for, 0 for none.
    pub(super) fn of(request: &Message, wanted: u32, running: Option<Self>) -> Option<Self> {
        let known = knows_timers(request);
        let asked = request.session_expires().ok().flatten();
        match (asked, running) {
            // A number of some proxy's; the peer would not understand the 422.
            (Some(asked), _) if asked.seconds < LEAST_S => None,
            (Some(asked), _) => Some(Self {
                interval: asked.seconds,
                // §9, table 2: one who does not know timers cannot refresh.
                ours: match asked.refresher {
                    _ if !known => true,
                    Some(refresher) => refresher == Refresher::Uas,
                    None => running.is_some_and(|terms| terms.ours),
                },
                known,
            }),
            (None, Some(running)) => Some(Self {
                ours: running.ours || !known,
                known,
                ..running
            }),
            (None, None) if known && wanted > 0 => Some(Self {
                interval: wanted.max(least_of(request)),
                ours: false,
                known,
            }),
            (None, None) => None,
        }
    }

    /// Into a 2xx of ours.
    fn write_response_lines(self, lines: &mut Vec<u8>) {
        if self.known {
            lines.extend_from_slice(b"Require: timer\r\n");
        }
        self.write_expires(if self.ours { "uas" } else { "uac" }, lines);
    }

    fn write_expires(self, refresher: &str, lines: &mut Vec<u8>) {
        let line = format!("Session-Expires: {};refresher={refresher}\r\n", self.interval);
        lines.extend_from_slice(line.as_bytes());
    }

    /// How long before the end of the interval a session without a refresh is given up (§10).
    fn margin(self) -> Duration {
        Duration::from_secs((self.interval / 3).min(32).into())
    }
}

impl SessionTimer {
    fn new(terms: Terms, least: u32, update: bool) -> Box<Self> {
        Box::new(Self {
            terms,
            least,
            update,
            raises: 0,
            ends: None,
            refresh: None,
        })
    }

    /// Into a re-INVITE or UPDATE of ours.
    pub(super) fn write_request_lines(&self, lines: &mut Vec<u8>) {
        lines.extend_from_slice(b"Supported: timer\r\n");
        self.terms
            .write_expires(if self.terms.ours { "uac" } else { "uas" }, lines);
        self.write_least(lines);
    }

    fn write_least(&self, lines: &mut Vec<u8>) {
        if self.least > LEAST_S {
            lines.extend_from_slice(format!("Min-SE: {}\r\n", self.least).as_bytes());
        }
    }
}

fn knows_timers(message: &Message) -> bool {
    message.lists(HeaderName::Supported, "timer") || message.lists(HeaderName::Require, "timer")
}

fn takes_update(message: &Message) -> bool {
    message.lists(HeaderName::Allow, "UPDATE")
}

fn least_of(message: &Message) -> u32 {
    message.min_se().ok().flatten().unwrap_or(0).max(LEAST_S)
}

/// Whether a request of the peer must be refused with 422 (§9).
pub(crate) fn is_too_brief(request: &Message) -> bool {
    let asked = request.session_expires().ok().flatten();
    knows_timers(request) && asked.is_some_and(|asked| asked.seconds < LEAST_S)
}

impl Endpoint {
    /// The interval that we ask for, s; 0 for none.
    fn session_wanted(&self) -> u32 {
        match self.config.limits.session_expires_s {
            0 => 0,
            wanted => wanted.max(LEAST_S),
        }
    }

    // ---- our INVITE

    /// What an INVITE of ours asks for.
    pub(super) fn session_proposed(&self) -> Option<Box<SessionTimer>> {
        let terms = Terms {
            interval: self.session_wanted(),
            ours: true,
            known: false,
        };
        (terms.interval > 0).then(|| SessionTimer::new(terms, LEAST_S, false))
    }

    /// Its lines. Who refreshes is the peer's choice.
    pub(super) fn write_session_proposal(timer: Option<&SessionTimer>, lines: &mut Vec<u8>) {
        if let Some(timer) = timer {
            let line = format!("Session-Expires: {}\r\n", timer.terms.interval);
            lines.extend_from_slice(line.as_bytes());
            timer.write_least(lines);
        }
    }

    /// A 422 to a request of ours: whether it may be sent again with what the peer wants.
    pub(super) fn raise_session(&mut self, id: LegId, response: &Message) -> bool {
        let least = least_of(response);
        let wanted = self.session_wanted();
        let Some(leg) = self.leg_mut(id) else { return false };
        // It must ask for more than it got, and not for ever.
        let fruitless = |timer: &SessionTimer| least <= timer.least || timer.raises >= RAISES_MAX;
        if leg.session_timer.as_deref().is_some_and(fruitless) {
            return false;
        }
        // A proxy may have asked where we did not.
        let terms = Terms {
            interval: wanted,
            ours: true,
            known: false,
        };
        let timer = leg
            .session_timer
            .get_or_insert_with(|| SessionTimer::new(terms, LEAST_S, false));
        timer.raises += 1;
        timer.least = timer.least.max(least);
        timer.terms.interval = timer.terms.interval.max(least);
        true
    }

    /// A 2xx to our INVITE, re-INVITE or UPDATE says whether there is a timer, and begins it anew.
    pub(super) fn session_granted(&mut self, now: Instant, id: LegId, response: &Message) {
        let granted = response.session_expires().ok().flatten();
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.ended) else {
            return;
        };
        let Some(granted) = granted else {
            // §7.2: none in the 2xx, none at all.
            leg.session_timer = None;
            return self.stop_leg_timer(id, LegTimer::Session);
        };
        let terms = Terms {
            interval: granted.seconds.max(LEAST_S),
            ours: granted.refresher != Some(Refresher::Uas),
            known: true,
        };
        let timer = leg
            .session_timer
            .get_or_insert_with(|| SessionTimer::new(terms, LEAST_S, false));
        timer.terms = terms;
        if response.header(HeaderName::Allow).is_some() {
            timer.update = takes_update(response);
        }
        self.begin_session(now, id);
    }

    // ---- the peer's

    /// What the 2xx to an INVITE that opens a leg will say.
    pub(super) fn session_asked(&self, invite: &Message) -> Option<Box<SessionTimer>> {
        let terms = Terms::of(invite, self.session_wanted(), None)?;
        Some(SessionTimer::new(terms, least_of(invite), takes_update(invite)))
    }

    /// The lines of that 2xx, with which the timer begins.
    pub(super) fn begin_session_of_call(&mut self, now: Instant, id: LegId, lines: &mut Vec<u8>) {
        let timer = self.leg(id).and_then(|leg| leg.session_timer.as_ref());
        if let Some(terms) = timer.map(|timer| timer.terms) {
            terms.write_response_lines(lines);
            self.begin_session(now, id);
        }
    }

    /// The peer's re-INVITE or UPDATE, which we accept, begins the timer anew. Writes the lines of the 2xx.
    pub(super) fn session_renewed(
        &mut self,
        now: Instant,
        id: LegId,
        request: &Message,
        lines: &mut Vec<u8>,
    ) {
        let Some(leg) = self.leg_mut(id) else { return };
        // Before the answer there is nothing to renew.
        if !matches!(leg.state, LegState::Confirmed) {
            return;
        }
        let running = leg.session_timer.as_ref().map(|timer| timer.terms);
        let Some(terms) = Terms::of(request, 0, running) else {
            leg.session_timer = None;
            return self.stop_leg_timer(id, LegTimer::Session);
        };
        let timer = leg
            .session_timer
            .get_or_insert_with(|| SessionTimer::new(terms, LEAST_S, false));
        timer.terms = terms;
        timer.least = timer.least.max(least_of(request));
        if request.header(HeaderName::Allow).is_some() {
            timer.update = takes_update(request);
        }
        lines.extend_from_slice(b"Supported: timer\r\n");
        terms.write_response_lines(lines);
        self.begin_session(now, id);
    }

    // ---- both

    fn begin_session(&mut self, now: Instant, id: LegId) {
        let Some(timer) = self.leg_mut(id).and_then(|leg| leg.session_timer.as_mut()) else {
            return;
        };
        let terms = timer.terms;
        let whole = Duration::from_secs(terms.interval.into());
        let patience = whole - terms.margin();
        timer.ends = now.checked_add(patience);
        let next = if terms.ours { whole / 2 } else { patience };
        self.set_random_leg_timer(now, id, LegTimer::Session, next);
    }

    /// The time of our refresh has come, or that of the BYE.
    pub(super) fn session_due(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg(id).filter(|leg| !leg.ended) else {
            return;
        };
        let Some(timer) = leg.session_timer.as_ref() else {
            return;
        };
        match timer.ends {
            Some(ends) if now < ends => self.refresh_session(now, id, ends),
            Some(_) => self.session_expired(now, id),
            None => {}
        }
    }

    fn session_expired(&mut self, now: Instant, id: LegId) {
        if self.leg(id).is_some_and(|leg| leg.state == LegState::Accepting) {
            return self.ack_missing(now, id);
        }
        self.end_leg(id, ended_here(EndKind::SessionExpired, 408, EXPIRED));
        self.send_bye(now, id, BYE_AFTER_EXPIRY);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::{Framing, MessageLimits};
    use bytes::Bytes;

    fn request(lines: &str) -> Message {
        let text = format!("INVITE sip:a@h SIP/2.0\r\n{lines}\r\n");
        let bytes = Bytes::from(text.into_bytes());
        Message::parse(bytes, Framing::Datagram, &MessageLimits::default()).unwrap()
    }

    #[test]
    fn what_our_2xx_says_is_table_2_of_the_rfc() {
        let knows = "Supported: timer\r\n";
        // (lines, wanted, running, what is agreed: interval and whether we refresh)
        let running = Some((300, true));
        let theirs = Some((300, false));
        for (lines, wanted, running, agreed) in [
            (String::new(), 1_800, None, None),
            (knows.into(), 0, None, None),
            (knows.into(), 1_800, None, Some((1_800, false))),
            (
                format!("{knows}Min-SE: 3600\r\n"),
                1_800,
                None,
                Some((3_600, false)),
            ),
            (
                format!("{knows}Session-Expires: 600\r\n"),
                1_800,
                None,
                Some((600, false)),
            ),
            (
                format!("{knows}Session-Expires: 7200\r\n"),
                1_800,
                None,
                Some((7_200, false)),
            ),
            (
                format!("{knows}x: 600;refresher=uac\r\n"),
                0,
                None,
                Some((600, false)),
            ),
            (
                format!("{knows}x: 600;refresher=uas\r\n"),
                0,
                None,
                Some((600, true)),
            ),
            ("Session-Expires: 600\r\n".into(), 0, None, Some((600, true))),
            ("Session-Expires: 60\r\n".into(), 1_800, None, None),
            (
                format!("{knows}Session-Expires: 600\r\n"),
                0,
                running,
                Some((600, true)),
            ),
            (
                format!("{knows}Session-Expires: 600\r\n"),
                0,
                theirs,
                Some((600, false)),
            ),
            (knows.into(), 0, running, Some((300, true))),
            (knows.into(), 0, theirs, Some((300, false))),
            (String::new(), 0, theirs, Some((300, true))),
        ] {
            let terms = |(interval, ours)| Terms {
                interval,
                ours,
                known: true,
            };
            let got = Terms::of(&request(&lines), wanted, running.map(terms));
            assert_eq!(
                got.map(|terms| (terms.interval, terms.ours)),
                agreed,
                "{lines:?} {wanted}"
            );
        }
    }

    #[test]
    fn the_margin_is_a_third_or_32_s() {
        for (interval, margin) in [(90, 30), (93, 31), (96, 32), (1_800, 32)] {
            let terms = Terms {
                interval,
                ours: true,
                known: true,
            };
            assert_eq!(terms.margin(), Duration::from_secs(margin));
        }
    }
}
