//! Reliable provisional responses to an INVITE of ours, and the PRACK of each (RFC 3262 §4).
//!
//! Entry: [`Endpoint::acknowledge`]. Invariants: each reliable response of each fork gets one PRACK in its early dialog, its
//! copies none; one that is out of order is ignored, for it comes again; only an INVITE with an offer says that we know
//! them, so none of them ever holds an offer that the host would have to answer before the call is.

use std::time::Instant;

use bytes::Bytes;

use crate::endpoint::clients::{ClientUser, NewClient};
use crate::endpoint::{Endpoint, LegId};
use crate::message::{Framing, HeaderName, Message, Method, RAck};

/// How far the reliable responses of one fork have come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// The early dialog.
    pub(super) dialog: u128,
    /// RSeq of the last one.
    rseq: u32,
}

impl Endpoint {
    /// Sends the PRACK that a provisional response in a known early dialog wants. Gives whether it was reliable; none when
    /// it is a copy or out of order, so that nobody shall hear of it.
    pub(super) fn acknowledge(&mut self, now: Instant, id: LegId, response: &Message) -> Option<bool> {
        let (Ok(Some(rseq)), true) = (response.rseq(), response.lists(HeaderName::Require, "100rel")) else {
            return Some(false);
        };
        let key = self.dialog_key_of(response);
        let outgoing = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut());
        let Some((key, outgoing)) = key.zip(outgoing) else {
            return Some(false);
        };
        if outgoing.body.is_none() || !outgoing.early.iter().any(|early| early.key == key) {
            return Some(false);
        }
        let early = &outgoing.early;
        outgoing
            .acknowledged
            .retain(|fork| early.iter().any(|early| early.key == fork.dialog));
        match outgoing.acknowledged.iter_mut().find(|fork| fork.dialog == key) {
            Some(fork) if fork.rseq.checked_add(1) == Some(rseq) => fork.rseq = rseq,
            Some(_) => return None,
            None => outgoing.acknowledged.push(Acknowledged { dialog: key, rseq }),
        }
        if response.body().is_empty() {
            // The first description that comes reliably is the answer to our offer.
        } else if let Some(offer) = outgoing.body.clone() {
            self.keep_sdp(id, Some(offer));
            if let Some(leg) = self.leg_mut(id) {
                leg.early_session = true;
            }
        }
        let seq = response.cseq().map(|cseq| cseq.seq).unwrap_or_default();
        self.send_prack(now, id, key, (rseq, seq));
        Some(true)
    }

    /// `rseq` and `seq` are the numbers of the response and of our INVITE.
    fn send_prack(&mut self, now: Instant, id: LegId, dialog: u128, (rseq, seq): (u32, u32)) {
        let branch = self.random.token();
        let cnonce = self.random.token();
        let method = Method::Prack;
        let mut lines = format!("RAck: {rseq} {seq} INVITE\r\n").into_bytes();
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(outgoing) = leg.outgoing.as_mut() else {
            return;
        };
        let Some(index) = outgoing.early.iter().position(|early| early.key == dialog) else {
            return;
        };
        // Taken out while the endpoint composes; put back below.
        let mut early = outgoing.early.remove(index);
        if let Some(login) = leg.credentials.as_mut() {
            let uri = early.routes.request_uri(&early.target);
            login.write_lines(&method, uri, b"", &cnonce, &mut lines);
        }
        let request = early
            .local_seq
            .next()
            .map(|seq| self.compose_in_dialog(&early, method.as_str(), seq, &branch, &lines, &[], None));
        let (to, alternate) = (early.destination.clone(), early.alternate.clone());
        if let Some(outgoing) = self.leg_mut(id).and_then(|leg| leg.outgoing.as_mut()) {
            let index = index.min(outgoing.early.len());
            outgoing.early.insert(index, early);
        }
        let Some(request) = request else { return };
        let new = NewClient {
            key: self.client_key(&branch, method.as_str()),
            branch,
            request,
            to,
            alternate,
            user: ClientUser::Prack(id),
            invite: false,
        };
        self.open_client(now, new);
    }

    /// The final response to a PRACK. A refusal changes nothing here: the INVITE has its own final response.
    pub(crate) fn prack_response(&mut self, now: Instant, id: LegId, sent: &Bytes, response: &Message) {
        let tries_max = self.config.limits.auth_tries_max;
        let key = self.dialog_key_of(response);
        let Some(leg) = self.leg_mut(id) else { return };
        let (Some(outgoing), Some(login)) = (leg.outgoing.as_mut(), leg.credentials.as_mut()) else {
            return;
        };
        if !matches!(response.code(), Some(401 | 407)) || outgoing.prack_tries >= tries_max {
            return;
        }
        let repeat = login.challenged(sent, response);
        outgoing.prack_tries += u8::from(repeat);
        let ours = Message::parse(sent.clone(), Framing::Stream, &self.config.limits.message);
        let rack = ours.ok().and_then(|ours| ours.rack().ok().flatten());
        if let (true, Some(key), Some(RAck { rseq, cseq })) = (repeat, key, rack) {
            self.send_prack(now, id, key, (rseq, cseq.seq));
        }
    }
}
