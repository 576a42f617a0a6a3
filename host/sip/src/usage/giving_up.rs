//! Giving up a call that has no final response: its time-out, and CANCEL (RFC 3261 §9.1).
//!
//! Entry: [`Endpoint::give_up`]. Invariants: no CANCEL before the first provisional response, and one at most; a leg that
//! was given up never becomes a call.

use std::time::{Duration, Instant};

use super::{LegState, LegTimer};
use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::compose;
use crate::endpoint::{EndKind, Ended, Endpoint, LegId, Party};

impl Endpoint {
    /// The host's time is up, or the peer is silent after our CANCEL.
    pub(crate) fn invite_deadline(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        match leg.state {
            LegState::Calling => {
                self.give_up(now, id, b"Reason: SIP;cause=408;text=\"no answer in time\"\r\n");
                let ended = Ended {
                    by: Party::Local,
                    status: None,
                    reason: None,
                    why: EndKind::Timeout,
                    response: None,
                };
                self.end_leg(id, ended);
            }
            LegState::Cancelling => {
                if let Some(client) = leg.outgoing.as_ref().map(|outgoing| outgoing.client) {
                    self.close_client(client);
                }
                let ended = Ended {
                    by: Party::Host,
                    status: None,
                    reason: None,
                    why: EndKind::Cancelled,
                    response: None,
                };
                self.end_leg(id, ended);
                self.close_leg(id);
            }
            _ => {}
        }
    }

    /// Wants out of an unanswered outbound call: CANCEL now, or with the first provisional response (RFC 3261 §9.1).
    pub(crate) fn give_up(&mut self, now: Instant, id: LegId, lines: &[u8]) {
        self.stop_leg_timer(id, LegTimer::InviteDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Cancelling;
        let Some(outgoing) = leg.outgoing.as_mut() else {
            return;
        };
        outgoing.cancel_lines = lines.into();
        let client = outgoing.client;
        if self
            .clients
            .get(client as usize)
            .is_some_and(|transaction| transaction.is_proceeding_invite())
        {
            self.send_cancel(now, id);
        }
    }

    pub(super) fn send_cancel(&mut self, now: Instant, id: LegId) {
        let Some(outgoing) = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut()) else {
            return;
        };
        if std::mem::replace(&mut outgoing.cancel_sent, true) {
            return;
        }
        let (client, lines) = (outgoing.client, std::mem::take(&mut outgoing.cancel_lines));
        if !self.cancel_client(now, client, &lines) {
            return;
        }
        let patience: Duration = self.config.timing.sixty_four_t1();
        self.set_leg_timer(now, id, LegTimer::InviteDeadline, patience);
    }

    /// Sends CANCEL for an INVITE. False when its transaction is gone.
    pub(crate) fn cancel_client(&mut self, now: Instant, client: u32, lines: &[u8]) -> bool {
        let Some(transaction) = self.clients.get(client as usize) else {
            return false;
        };
        let request = compose::derived(&mut self.scratch, &transaction.request, "CANCEL", None, lines);
        let (to, branch) = (transaction.to.clone(), transaction.branch);
        let key = self.client_key(&branch, "CANCEL");
        let user = ClientUser::Nobody;
        self.open_client(
            now,
            NewClient {
                key,
                branch,
                request,
                to,
                alternate: None,
                user,
                invite: false,
            },
        );
        true
    }
}
