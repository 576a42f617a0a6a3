//! The peer's REFER: we shall call somebody else, and tell how that goes (RFC 3515, RFC 4488).
//!
//! Does not place that call; the host does, or does not. Entry: [`Endpoint::refer_from_peer`]. Invariants: each REFER gets
//! a final response before the leg is over; the last NOTIFY of a REFER says `terminated`, and none follows it.

use std::time::Instant;

use bytes::Bytes;

use super::{LegState, LegTimer};
use crate::endpoint::clients::ClientUser;
use crate::endpoint::compose::{check_phrase, check_refusal};
use crate::endpoint::{Body, Endpoint, EndpointError, Header, LegEvent, LegId, PeerRequestId};
use crate::message::{HeaderName, Message, Method, reason_phrase};

/// How long the peer may expect reports, as Subscription-State says: longer than any call takes to be answered.
const EXPIRES: &str = "180";

/// The REFERs of a leg's peer.
#[derive(Debug, Default)]
pub(crate) struct Referred {
    undecided: Option<Undecided>,
    accepted: Vec<Accepted>,
    /// One was accepted before: later ones are told apart by an id.
    several: bool,
}

#[derive(Clone, Copy, Debug)]
struct Undecided {
    id: PeerRequestId,
    server: u32,
    seq: u32,
    /// The peer wants no reports.
    silent: bool,
}

/// A REFER that the host accepted and whose outcome it has not told.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    id: PeerRequestId,
    /// Its CSeq number for `Event: refer;id=…`; none for the first one.
    seq: Option<u32>,
    /// No reports: the peer wants none, or knows nothing of them any more.
    silent: bool,
    /// What was reported last.
    told: u16,
}

impl Endpoint {
    /// A REFER came, in order.
    pub(crate) fn refer_from_peer(
        &mut self,
        now: Instant,
        id: LegId,
        server: u32,
        request: Message,
        seq: u32,
    ) {
        let refers_max = self.config.limits.refers_per_leg_max;
        let patience = self.config.limits.update_decision_max;
        let readable = matches!(request.refer_to(), Ok(Some(to)) if to.uri().is_ok())
            && request.count(HeaderName::ReferTo) == 1;
        if !readable {
            return self.respond_plain(now, server, 400, b"");
        }
        let refer = PeerRequestId(self.next_request_id().0);
        let Some(leg) = self.leg_mut(id) else { return };
        let connected = matches!(leg.state, LegState::Confirmed | LegState::Accepting);
        let referred = leg.referred.get_or_insert_default();
        if !connected || referred.undecided.is_some() || referred.accepted.len() >= refers_max {
            return self.respond_plain(now, server, 500, b"Retry-After: 5\r\n");
        }
        let silent = request
            .header(HeaderName::ReferSub)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"false"));
        referred.undecided = Some(Undecided {
            id: refer,
            server,
            seq,
            silent,
        });
        self.set_leg_timer(now, id, LegTimer::ReferDeadline, patience);
        self.leg_event(id, LegEvent::Refer { request, refer });
    }

    /// Accepts a REFER with 202 and tells the peer that it is tried, unless the peer wants no reports.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when that REFER does not wait for a decision.
    pub fn accept_refer(
        &mut self,
        now: Instant,
        leg: LegId,
        refer: PeerRequestId,
    ) -> Result<(), EndpointError> {
        let pending = self.take_refer(leg, Some(refer))?;
        let mut lines = Vec::with_capacity(128);
        let Some(state) = self.leg_mut(leg) else {
            return Err(EndpointError::NoSuchLeg);
        };
        let referred = state.referred.get_or_insert_default();
        referred.accepted.push(Accepted {
            id: refer,
            seq: referred.several.then_some(pending.seq),
            silent: pending.silent,
            told: 100,
        });
        referred.several = true;
        if let Some(state) = self.leg(leg) {
            self.write_contact_line(state, &mut lines);
        }
        if pending.silent {
            lines.extend_from_slice(b"Refer-Sub: false\r\n");
        }
        lines.extend_from_slice(&self.server_line);
        self.respond_plain(now, pending.server, 202, &lines);
        self.notify_refer(now, leg, refer, 100, None)
    }

    /// Refuses a REFER with 400..=699.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when that REFER does not wait for a decision, [`EndpointError::Invalid`] for another
    /// code or what cannot be sent.
    pub fn reject_refer(
        &mut self,
        now: Instant,
        leg: LegId,
        refer: PeerRequestId,
        code: u16,
        reason: Option<&str>,
        headers: &[Header],
    ) -> Result<(), EndpointError> {
        check_refusal(code, reason, headers, self.config.limits.message.max_value)?;
        let pending = self.take_refer(leg, Some(refer))?;
        self.respond_refusal(now, pending.server, (code, reason), headers);
        Ok(())
    }

    /// Tells the peer how the call that it asked for goes: 100..=199 on the way, 200..=699 the outcome, after which nothing
    /// more can be told. Sends nothing to a peer that wants no reports.
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when that REFER was not accepted or its outcome was told,
    /// [`EndpointError::Invalid`] for another code or a reason that cannot be sent.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        leg: LegId,
        refer: PeerRequestId,
        code: u16,
        reason: Option<&str>,
    ) -> Result<(), EndpointError> {
        if !(100..=699).contains(&code) {
            return Err(EndpointError::Invalid(format!("{code} is not a status code")));
        }
        check_phrase(reason)?;
        let state = self.host_leg(leg)?;
        let accepted = state.referred.as_mut().map(|referred| &mut referred.accepted);
        let known = accepted.and_then(|list| {
            let index = list.iter().position(|accepted| accepted.id == refer)?;
            if code >= 200 {
                return Some(list.remove(index));
            }
            let known = list.get_mut(index)?;
            known.told = code;
            Some(*known)
        });
        let known = known.ok_or(EndpointError::WrongState("that REFER is over"))?;
        self.report(now, leg, known, (code, reason), code >= 200);
        Ok(())
    }

    /// Ends the reports on a REFER whose outcome the host will never tell: the last one repeats what was told before, so the
    /// peer knows that it will not hear more (RFC 6665 §4.4.1).
    ///
    /// # Errors
    /// [`EndpointError::WrongState`] when that REFER was not accepted or its outcome was told.
    pub fn end_refer(&mut self, now: Instant, leg: LegId, refer: PeerRequestId) -> Result<(), EndpointError> {
        let accepted = self
            .host_leg(leg)?
            .referred
            .as_mut()
            .map(|referred| &mut referred.accepted);
        let known = accepted.and_then(|list| {
            let index = list.iter().position(|accepted| accepted.id == refer)?;
            Some(list.remove(index))
        });
        let known = known.ok_or(EndpointError::WrongState("that REFER is over"))?;
        self.report(now, leg, known, (known.told, None), true);
        Ok(())
    }

    fn report(
        &mut self,
        now: Instant,
        leg: LegId,
        known: Accepted,
        (code, reason): (u16, Option<&str>),
        last: bool,
    ) {
        if known.silent {
            return;
        }
        let id = known.seq.map(|seq| format!(";id={seq}")).unwrap_or_default();
        let state = if last {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={EXPIRES}")
        };
        let lines = format!("Event: refer{id}\r\nSubscription-State: {state}\r\n");
        let reason = reason.unwrap_or(reason_phrase(code));
        let body = Body {
            content_type: "message/sipfrag;version=2.0".into(),
            data: Bytes::from(format!("SIP/2.0 {code} {reason}\r\n")),
        };
        let user = ClientUser::Notify(leg, known.id);
        self.send_in_dialog(
            now,
            leg,
            &Method::Notify,
            true,
            lines.as_bytes(),
            &[],
            Some(&body),
            user,
        );
    }

    /// The final response to a NOTIFY, none for silence: a peer that refuses it wants no more of them.
    pub(crate) fn notify_response(&mut self, id: LegId, refer: PeerRequestId, code: Option<u16>) {
        if code.is_some_and(|code| code < 300) {
            return;
        }
        let referred = self.leg_mut(id).and_then(|leg| leg.referred.as_mut());
        let accepted = referred.and_then(|referred| referred.accepted.iter_mut().find(|one| one.id == refer));
        if let Some(accepted) = accepted {
            accepted.silent = true;
        }
    }

    /// The host did not decide in time.
    pub(crate) fn refer_undecided(&mut self, now: Instant, id: LegId) {
        if let Ok(pending) = self.take_refer(id, None) {
            let lines = self.server_lines();
            self.respond_plain(now, pending.server, 603, &lines);
            self.leg_event(id, LegEvent::ReferWithdrawn { refer: pending.id });
        }
    }

    /// The call is over while the host still thinks.
    pub(crate) fn refuse_pending_refer(&mut self, now: Instant, id: LegId) {
        if let Ok(pending) = self.take_refer(id, None) {
            let lines = self.server_lines();
            self.respond_plain(now, pending.server, 487, &lines);
        }
    }

    /// Takes the undecided REFER; `refer`: only if it is that one, and the leg still the host's.
    fn take_refer(&mut self, id: LegId, refer: Option<PeerRequestId>) -> Result<Undecided, EndpointError> {
        let leg = match refer {
            Some(_) => self.host_leg(id)?,
            None => self.leg_mut(id).ok_or(EndpointError::NoSuchLeg)?,
        };
        let pending = leg.referred.as_mut().and_then(|referred| {
            referred
                .undecided
                .take_if(|pending| refer.is_none_or(|refer| refer == pending.id))
        });
        let pending = pending.ok_or(EndpointError::WrongState("that REFER is over"))?;
        self.stop_leg_timer(id, LegTimer::ReferDeadline);
        Ok(pending)
    }
}
