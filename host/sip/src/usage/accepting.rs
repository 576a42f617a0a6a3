//! Our 2xx to an INVITE, until its ACK (RFC 3261 §13.3.1.4).
//!
//! Serves the INVITE that opened the leg and each re-INVITE of the peer. Entry: [`Endpoint::await_ack`]. Invariant: a 2xx is
//! repeated until its ACK or 64·T1, then BYE.

use std::time::Instant;

use bytes::Bytes;

use super::closing::ended_here;
use super::session::body_of;
use super::{Accepted, LegState, LegTimer};
use crate::endpoint::{Destination, EndKind, Endpoint, LegEvent, LegId};
use crate::message::Message;

impl Endpoint {
    /// A 2xx of ours was sent: repeat it until the ACK. `offered`: it holds our offer.
    pub(crate) fn await_ack(
        &mut self,
        now: Instant,
        id: LegId,
        seq: u32,
        (response, offered): (Bytes, bool),
        to: Destination,
    ) {
        let interval = self.config.timing.t1;
        let deadline = self.config.timing.sixty_four_t1();
        if let Some(leg) = self.leg_mut(id) {
            leg.accepted = Some(Box::new(Accepted {
                seq,
                response,
                to,
                interval,
                offered,
            }));
        }
        self.set_leg_timer(now, id, LegTimer::Repeat2xx, interval);
        self.set_leg_timer(now, id, LegTimer::AckDeadline, deadline);
    }

    pub(crate) fn repeat_2xx(&mut self, now: Instant, id: LegId) {
        let timing = self.config.timing;
        let Some(accepted) = self.leg_mut(id).and_then(|leg| leg.accepted.as_mut()) else {
            return;
        };
        accepted.interval = timing.doubled_to_t2(accepted.interval);
        let (to, payload, interval) = (accepted.to.clone(), accepted.response.clone(), accepted.interval);
        self.stats.retransmitted += 1;
        self.transmit(crate::endpoint::Transmit {
            to,
            payload,
            token: None,
        });
        self.set_leg_timer(now, id, LegTimer::Repeat2xx, interval);
    }

    /// An ACK for a 2xx, by its dialog.
    pub(crate) fn ack_for_leg(&mut self, now: Instant, id: LegId, ack: &Message) {
        let seq = ack.cseq().map(|cseq| cseq.seq).unwrap_or(0);
        let Some(leg) = self.leg_mut(id) else { return };
        if leg.accepted.as_ref().is_none_or(|accepted| accepted.seq != seq) {
            self.stats.strays += 1;
            return;
        }
        let offered = leg.accepted.take().is_some_and(|accepted| accepted.offered);
        let first = leg.state == LegState::Accepting;
        let bye_due = leg.bye_due.take();
        if first {
            leg.state = LegState::Confirmed;
            leg.reliable = None;
        }
        self.stop_leg_timer(id, LegTimer::Repeat2xx);
        self.stop_leg_timer(id, LegTimer::AckDeadline);
        let body = body_of(ack);
        if first || offered || body.is_some() {
            self.leg_event(id, LegEvent::Confirmed { body });
        }
        match bye_due {
            Some(reason) => self.send_bye(now, id, &reason),
            None => self.advance_reoffer(now, id),
        }
    }

    pub(crate) fn ack_missing(&mut self, now: Instant, id: LegId) {
        self.stop_leg_timer(id, LegTimer::Repeat2xx);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.accepted = None;
        let reason = leg
            .bye_due
            .take()
            .unwrap_or_else(|| b"Reason: SIP;cause=408;text=\"ACK missing\"\r\n"[..].into());
        self.end_leg(id, ended_here(EndKind::AckMissing, 408, "ACK missing"));
        self.send_bye(now, id, &reason);
    }
}
