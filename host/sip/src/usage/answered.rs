//! The 2xx to an INVITE of ours, and its ACK (RFC 3261 §13.2.2.4).
//!
//! Entries: [`Endpoint::invite_accepted`] for the call itself, [`Endpoint::send_ack`] for a re-INVITE too. Invariants: each
//! copy of each 2xx gets an ACK, and each 2xx after the first from another peer an ACK and a BYE.

use std::time::Instant;

use super::closing::ended_here;
use super::session::is_sdp;
use super::{Awaiting, LegState, LegTimer};
use crate::dialog::Dialog;
use crate::endpoint::clients::{AckSent, ClientUser, NewClient};
use crate::endpoint::compose::{check_body, check_headers};
use crate::endpoint::{
    Body, EndKind, Ended, Endpoint, EndpointError, Header, LegEvent, LegId, Party, Transmit,
};
use crate::message::{Message, reason_phrase};

impl Endpoint {
    pub(super) fn invite_accepted(&mut self, now: Instant, client: u32, id: LegId, response: Message) {
        let Some(leg) = self.leg(id) else { return };
        // Before the first 2xx the leg still has its `outgoing`; afterwards only copies and forks come.
        if leg.outgoing.is_none() {
            let key = self.dialog_key_of(&response);
            let awaiting = self.leg(id).is_some_and(|leg| {
                leg.state == LegState::AwaitingAnswer
                    && leg.dialog.as_ref().is_some_and(|d| Some(d.key) == key)
            });
            if !awaiting {
                self.orphaned_invite_response(now, client, &response);
            }
            return;
        }
        let Some(mut dialog) = self.dialog_of_response(id, client, &response) else {
            // No tag, or more proxies than we follow: there is no dialog to speak in.
            self.stats.strays += 1;
            let why = EndKind::Internal;
            self.end_leg(
                id,
                Ended {
                    by: Party::Local,
                    status: None,
                    reason: None,
                    why,
                    response: Some(response),
                },
            );
            return self.close_leg(id);
        };
        let key = dialog.key;
        let seq = dialog.local_seq.last();
        let ack = Awaiting { client, seq };
        self.stop_leg_timer(id, LegTimer::InviteDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        let given_up = leg.state == LegState::Cancelling;
        let Some(outgoing) = leg.outgoing.take() else {
            return;
        };
        let needs_answer = outgoing.body.is_none() && !response.body().is_empty();
        leg.local_sdp = outgoing.body.filter(|body| is_sdp(&body.content_type));
        // Requests in the early dialog were counted: PRACK, UPDATE.
        if let Some(early) = outgoing.early.iter().find(|early| early.key == key) {
            (dialog.local_seq, dialog.remote_seq) = (early.local_seq, early.remote_seq);
        }
        leg.dialog = Some(Box::new(dialog));
        leg.state = if needs_answer && !given_up {
            LegState::AwaitingAnswer
        } else {
            LegState::Confirmed
        };
        for early in outgoing.early {
            self.dialog_index.remove(&early.key);
        }
        self.dialog_index.insert(key, id);
        if !given_up {
            self.session_granted(now, id, &response);
        }
        if given_up {
            self.send_ack(id, ack, &[], None);
            let status = response.code().map(|code| (code, reason_phrase(code).to_owned()));
            let ended = Ended {
                by: Party::Host,
                status,
                reason: None,
                why: EndKind::Cancelled,
                response: None,
            };
            self.end_leg(id, ended);
            self.send_bye(now, id, b"");
        } else if needs_answer {
            if let Some(leg) = self.leg_mut(id) {
                leg.awaiting = Some(ack);
            }
            // Before the peer's own 64·T1 are over, with four T1 for the way.
            let patience = self.config.timing.t1.saturating_mul(60);
            self.set_leg_timer(now, id, LegTimer::AnswerDeadline, patience);
            self.leg_event(
                id,
                LegEvent::Answered {
                    response,
                    needs_answer: true,
                },
            );
        } else {
            self.send_ack(id, ack, &[], None);
            self.leg_event(
                id,
                LegEvent::Answered {
                    response,
                    needs_answer: false,
                },
            );
        }
    }

    /// The host answers the offer of a 2xx: the ACK carries it.
    pub(crate) fn answer_in_ack(
        &mut self,
        id: LegId,
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        check_headers(headers, false, self.config.limits.message.max_value)?;
        check_body(body.as_ref(), self.config.limits.body_max)?;
        if body.is_none() {
            return Err(EndpointError::Invalid(
                "the 2xx holds an offer: the answer needs a body".into(),
            ));
        }
        let leg = self.host_leg(id)?;
        let ack = leg
            .awaiting
            .take()
            .ok_or(EndpointError::WrongState("no offer waits for an answer"))?;
        leg.state = LegState::Confirmed;
        leg.reoffer = None;
        self.stop_leg_timer(id, LegTimer::AnswerDeadline);
        self.send_ack(id, ack, headers, body.as_ref());
        self.keep_sdp(id, body);
        Ok(())
    }

    /// The host never answered the offer of a 2xx.
    pub(crate) fn answer_missing(&mut self, now: Instant, id: LegId) {
        if self.answer_reoffer_by_default(id) {
            return;
        }
        self.send_bare_ack(id);
        self.end_leg(
            id,
            ended_here(EndKind::AnswerMissing, 408, "no answer to the offer"),
        );
        self.send_bye(
            now,
            id,
            b"Reason: SIP;cause=408;text=\"no answer to the offer\"\r\n",
        );
    }

    /// The ACK that a 2xx still lacks when the leg ends without an answer to its offer.
    pub(crate) fn send_bare_ack(&mut self, id: LegId) {
        self.stop_leg_timer(id, LegTimer::AnswerDeadline);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.state = LegState::Confirmed;
        if let Some(ack) = leg.awaiting.take() {
            self.send_ack(id, ack, &[], None);
        }
    }

    /// Sends the ACK for a 2xx to an INVITE of ours.
    pub(crate) fn send_ack(&mut self, id: LegId, ack: Awaiting, headers: &[Header], body: Option<&Body>) {
        let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.take()) else {
            return;
        };
        self.send_dialog_ack(ack, &dialog, headers, body);
        if let Some(leg) = self.leg_mut(id) {
            leg.dialog = Some(dialog);
        }
    }

    /// Sends the ACK for a 2xx and keeps it for copies of that 2xx, as long as the INVITE's transaction lives.
    fn send_dialog_ack(&mut self, ack: Awaiting, dialog: &Dialog, headers: &[Header], body: Option<&Body>) {
        let branch = self.random.token();
        let bytes = self.compose_in_dialog(dialog, "ACK", ack.seq, &branch, b"", headers, body);
        let to = dialog.destination.clone();
        self.transmit(Transmit {
            to: to.clone(),
            payload: bytes.clone(),
            token: None,
        });
        let forks_max = self.config.limits.forks_max;
        if let Some(transaction) = self.clients.get_mut(ack.client as usize)
            && transaction.acks.len() <= forks_max
        {
            transaction.acks.push(AckSent {
                dialog: dialog.key,
                bytes,
                to,
            });
        }
    }

    /// A 2xx that no leg waits for: a copy (the ACK goes out again) or another fork (ACK and BYE).
    pub(crate) fn orphaned_invite_response(&mut self, now: Instant, client: u32, response: &Message) {
        if !response.code().is_some_and(|code| (200..=299).contains(&code)) {
            return;
        }
        let Some(key) = self.dialog_key_of(response) else {
            self.stats.strays += 1;
            return;
        };
        let Some(transaction) = self.clients.get(client as usize) else {
            return;
        };
        if let Some(ack) = transaction.acks.iter().find(|ack| ack.dialog == key) {
            let transmit = Transmit {
                to: ack.to.clone(),
                payload: ack.bytes.clone(),
                token: None,
            };
            self.stats.retransmitted += 1;
            return self.transmit(transmit);
        }
        let to = transaction.to.clone();
        let uri: Box<[u8]> = transaction
            .request
            .split(|byte| *byte == b' ')
            .nth(1)
            .unwrap_or_default()
            .into();
        let Some(mut dialog) = self.dialog_as_caller(client, response, &uri, &to) else {
            return;
        };
        let seq = dialog.local_seq.last();
        self.send_dialog_ack(Awaiting { client, seq }, &dialog, &[], None);
        let branch = self.random.token();
        let Some(seq) = dialog.local_seq.next() else {
            return;
        };
        let request = self.compose_in_dialog(&dialog, "BYE", seq, &branch, b"", &[], None);
        let key = self.client_key(&branch, "BYE");
        let (to, user) = (dialog.destination, ClientUser::Nobody);
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
    }
}
