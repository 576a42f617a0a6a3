//! The peer's re-INVITE and UPDATE: another session, or another target (RFC 3261 §14.2, RFC 3311 §5.2).
//!
//! Answered with the session description that we sent last, so that a peer which refreshes its session, moves its target or
//! holds the call keeps it; or decided by the host, after [`Endpoint::decide_offers`], within a bounded time. Entry:
//! [`Endpoint::offer_from_peer`]. Invariants: one at a time, 491 while ours is out; each gets a final response before the
//! leg is over.

use std::time::Instant;

use super::in_dialog::allow_line;
use super::session_timer::{LEAST_LINE, is_too_brief};
use super::{LegState, LegTimer};
use crate::endpoint::compose::{ResponseParts, check_body, check_headers, check_refusal};
use crate::endpoint::route::proved_way_first;
use crate::endpoint::{
    Body, Destination, Endpoint, EndpointError, Header, LegEvent, LegId, Path, PeerRequestId, checks,
};
use crate::message::{Message, Uri};

/// A re-INVITE or UPDATE of the peer without a final response.
#[derive(Debug)]
pub(crate) struct PeerOffer {
    pub(crate) id: PeerRequestId,
    pub(crate) server: u32,
    /// INVITE, else UPDATE.
    pub(crate) invite: bool,
    pub(crate) seq: u32,
    /// The dialog that it came in.
    pub(crate) dialog: u128,
    pub(crate) path: Path,
    pub(crate) request: Message,
}

impl PeerOffer {
    fn has_body(&self) -> bool {
        !self.request.body().is_empty()
    }
}

/// How a message came that may name another Contact.
#[derive(Clone, Copy)]
pub(crate) enum Heard<'a> {
    /// A request, this way.
    Request(&'a Path),
    /// A response to this client transaction.
    Response(u32),
}

impl Endpoint {
    /// Whether the host decides about re-INVITE and UPDATE of this leg's peer: then each is a [`LegEvent::Offer`] with an
    /// id to accept or reject. Without a decision a re-INVITE is refused with 488, an UPDATE with 504, after the times of
    /// [`EndpointLimits`](crate::endpoint::EndpointLimits).
    ///
    /// # Errors
    /// [`EndpointError::NoSuchLeg`].
    pub fn decide_offers(&mut self, leg: LegId, decide: bool) -> Result<(), EndpointError> {
        self.host_leg(leg)?.decide_offers = decide;
        Ok(())
    }

    /// Accepts an offer of the peer: 200 with `body`, or with the session description that we sent last when it is none.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the offer is gone, [`EndpointError::Invalid`] for what cannot be sent or when a
    /// body is needed and there is none.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        leg: LegId,
        offer: PeerRequestId,
        headers: &[Header],
        body: Option<Body>,
    ) -> Result<(), EndpointError> {
        check_headers(headers, false, self.config.limits.message.max_value)?;
        check_body(body.as_ref(), self.config.limits.body_max)?;
        let pending = self.pending_offer(leg, offer)?;
        let needs_body = pending.invite || pending.has_body();
        let known = self.leg(leg).and_then(|leg| leg.local_sdp.clone());
        let body = body.or(known.filter(|_| needs_body));
        if needs_body && body.is_none() {
            return Err(EndpointError::Invalid(
                "there is no session description to answer with".into(),
            ));
        }
        if let Some(pending) = self.take_offer(leg) {
            self.accept_peer_offer(now, leg, &pending, headers, body);
        }
        self.advance_reoffer(now, leg);
        Ok(())
    }

    /// Refuses an offer of the peer with 400..=699; the old session holds.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when the offer is gone, [`EndpointError::Invalid`] for another code or what cannot be
    /// sent.
    pub fn reject_offer(
        &mut self,
        now: Instant,
        leg: LegId,
        offer: PeerRequestId,
        code: u16,
        reason: Option<&str>,
        headers: &[Header],
    ) -> Result<(), EndpointError> {
        check_refusal(code, reason, headers, self.config.limits.message.max_value)?;
        self.pending_offer(leg, offer)?;
        if let Some(pending) = self.take_offer(leg) {
            self.respond_refusal(now, pending.server, (code, reason), headers);
        }
        self.advance_reoffer(now, leg);
        Ok(())
    }

    fn pending_offer(&mut self, leg: LegId, offer: PeerRequestId) -> Result<&PeerOffer, EndpointError> {
        let pending = self.host_leg(leg)?.peer_offer.as_deref();
        pending
            .filter(|pending| pending.id == offer)
            .ok_or(EndpointError::WrongState("the offer is gone"))
    }

    fn take_offer(&mut self, leg: LegId) -> Option<Box<PeerOffer>> {
        self.stop_leg_timer(leg, LegTimer::OfferDeadline);
        self.leg_mut(leg)?.peer_offer.take()
    }

    /// A re-INVITE or UPDATE came, in order.
    pub(crate) fn offer_from_peer(&mut self, now: Instant, id: LegId, mut offer: PeerOffer) {
        let retry = format!("Retry-After: {}\r\n", self.random.next_u64() % 10);
        let Some(leg) = self.leg(id) else { return };
        let renews = !offer.invite && !offer.has_body();
        let busy = leg.accepted.is_some() || leg.peer_offer.is_some();
        let refusal = match leg.state {
            // An UPDATE without an offer touches no session: fine at any time, in early dialogs too.
            _ if renews => None,
            // A session before the answer (RFC 3262 §5) may change before it too (RFC 3311 §5.1).
            LegState::Calling | LegState::Incoming if leg.early_session && !offer.invite => None,
            // Ours is not over: glare.
            LegState::AwaitingAnswer | LegState::Calling | LegState::Cancelling => Some((491, Vec::new())),
            LegState::Confirmed if busy => Some((500, retry.into_bytes())),
            LegState::Confirmed
                if leg.refreshes_by_invite() || leg.reoffer.as_ref().is_some_and(|ours| ours.is_out()) =>
            {
                Some((491, Vec::new()))
            }
            LegState::Confirmed => None,
            // The peer's first offer has no answer, or the ACK of ours is on its way.
            _ => Some((500, retry.into_bytes())),
        };
        let refusal = refusal
            .or_else(|| checks::body_refusal(&offer.request).map(|refusal| (refusal.code, refusal.lines)));
        let refusal = refusal.or_else(|| is_too_brief(&offer.request).then(|| (422, LEAST_LINE.to_vec())));
        if let Some((code, lines)) = refusal {
            return self.respond_plain(now, offer.server, code, &lines);
        }
        if renews {
            self.accept_peer_offer(now, id, &offer, &[], None);
            let request = offer.request;
            return self.leg_event(
                id,
                LegEvent::Offer {
                    request,
                    decide: None,
                },
            );
        }
        if leg.decide_offers && leg.state == LegState::Confirmed {
            let limits = &self.config.limits;
            let patience = if offer.invite {
                limits.reinvite_decision_max
            } else {
                limits.update_decision_max
            };
            offer.id = PeerRequestId(self.next_request_id().0);
            let (request, decide) = (offer.request.clone(), Some(offer.id));
            if let Some(leg) = self.leg_mut(id) {
                leg.peer_offer = Some(Box::new(offer));
            }
            self.set_leg_timer(now, id, LegTimer::OfferDeadline, patience);
            return self.leg_event(id, LegEvent::Offer { request, decide });
        }
        let Some(body) = leg.local_sdp.clone() else {
            return self.respond_plain(now, offer.server, 488, b"");
        };
        self.accept_peer_offer(now, id, &offer, &[], Some(body));
        let request = offer.request;
        self.leg_event(
            id,
            LegEvent::Offer {
                request,
                decide: None,
            },
        );
    }

    fn accept_peer_offer(
        &mut self,
        now: Instant,
        id: LegId,
        offer: &PeerOffer,
        headers: &[Header],
        body: Option<Body>,
    ) {
        self.refresh_target(id, offer.dialog, &offer.request, Heard::Request(&offer.path));
        let mut lines = Vec::with_capacity(160);
        if let Some(leg) = self.leg(id) {
            self.write_contact_line(leg, &mut lines);
        }
        lines.extend_from_slice(&allow_line());
        self.session_renewed(now, id, &offer.request, &mut lines);
        let Some(to) = self.servers.get(offer.server as usize).map(|t| *t.path()) else {
            return;
        };
        let parts = ResponseParts {
            code: 200,
            reason: None,
            head: &[],
            lines: &lines,
            headers,
            body: body.as_ref(),
        };
        let response = self.respond(now, offer.server, parts);
        if let Some(response) = response.filter(|_| offer.invite) {
            let sent = (response, !offer.has_body());
            self.await_ack(now, id, offer.seq, sent, Destination::Path(to));
        }
        self.keep_sdp(id, body);
    }

    /// The host did not decide in time.
    pub(crate) fn offer_undecided(&mut self, now: Instant, id: LegId) {
        let Some(pending) = self.take_offer(id) else {
            return;
        };
        let lines = self.server_lines();
        let code = if pending.invite { 488 } else { 504 };
        self.respond_plain(now, pending.server, code, &lines);
        self.leg_event(id, LegEvent::OfferWithdrawn { offer: pending.id });
        self.advance_reoffer(now, id);
    }

    /// The peer cancelled its re-INVITE, which has its 487 already.
    pub(crate) fn offer_cancelled(&mut self, now: Instant, id: LegId, server: u32) {
        let ours = |leg: &super::Leg| {
            leg.peer_offer
                .as_ref()
                .is_some_and(|offer| offer.server == server)
        };
        if !self.leg(id).is_some_and(ours) {
            return;
        }
        if let Some(pending) = self.take_offer(id) {
            self.leg_event(id, LegEvent::OfferWithdrawn { offer: pending.id });
        }
        self.advance_reoffer(now, id);
    }

    /// The call is over while the host still thinks (RFC 3261 §15.1.2: 487).
    pub(crate) fn refuse_pending(&mut self, now: Instant, id: LegId) {
        self.refuse_pending_refer(now, id);
        if let Some(pending) = self.take_offer(id) {
            let lines = self.server_lines();
            self.respond_plain(now, pending.server, 487, &lines);
        }
    }

    /// The peer's new Contact, if the message has one (RFC 3261 §12.2).
    pub(crate) fn refresh_target(&mut self, id: LegId, dialog: u128, message: &Message, heard: Heard<'_>) {
        let (path, heard_by) = match heard {
            Heard::Request(path) => (Some(path), Some(*path)),
            Heard::Response(client) => (None, self.heard_by(client).copied()),
        };
        let target: Box<[u8]> = match message.contact() {
            Ok(contact) if Uri::parse(contact.uri_raw).is_ok_and(|uri| uri.sip().is_some()) => {
                contact.uri_raw.into()
            }
            _ => return,
        };
        let Some(known) = self.dialog_of(id, dialog) else {
            return;
        };
        let hop: Box<[u8]> = known.routes.next_hop(&target).into();
        let (direct, current) = (known.routes.is_empty(), known.destination.clone());
        let filter = current
            .filter()
            .or_else(|| known.alternate.as_ref()?.filter())
            .cloned();
        let filter = filter.or_else(|| self.scopes.of_answered(&current, heard_by.as_ref()).cloned());
        let way = path.copied().or(match &current {
            Destination::Path(path) => Some(*path),
            _ => None,
        });
        let hint = match &way {
            Some(path) => (path.protocol, Some(path.listener)),
            None => (current.protocol(), current.listener()),
        };
        let named = self
            .destination_hinted(&hop, Some(hint))
            .zip(filter)
            .and_then(|(named, filter)| named.under(Some(&filter)))
            .unwrap_or(current);
        // A stream that is open is used again: see `inbound_destination`.
        let stream = way.filter(|path| direct && path.connection.is_some());
        if let Some(known) = self.dialog_of(id, dialog) {
            known.target = target;
            (known.destination, known.alternate) = match stream {
                Some(path) => (Destination::Path(path), Some(named)),
                None => proved_way_first(named, heard_by.as_ref()),
            };
        }
    }
}
