//! One peer's offer becomes ours to the other, whose answer becomes ours to the first (RFC 3264 through a B2BUA).
//!
//! An offer travels as it came: re-INVITE as re-INVITE, UPDATE as UPDATE (as re-INVITE, where the other peer has no UPDATE),
//! a re-INVITE without offer as a request for one. Invariants: one at a time in both directions; while it is under way both
//! legs are `reoffering`; the peer that offered gets exactly one final response; a session that is not accepted
//! leaves both legs as they were.

use std::sync::Arc;

use callbox_sip::endpoint::{Header, PeerRequestId, Reoffered, RequestFailure};
use callbox_sip::message::Message;

use super::{Bridge, Order, Side, Stage, State};
use crate::call::facts;
use crate::call::text::Body;

/// An offer meets another, or something else is under way (RFC 3261 §14.2).
const GLARE: u16 = 491;
/// What was asked for cannot be had.
const NOT_ACCEPTABLE: u16 = 488;
/// The other peer does not answer. Not 408, which would end the call of whoever gets it (RFC 5057).
const NO_ANSWER: u16 = 504;
const FAILED: u16 = 500;

/// Headers of a refusal that say when or why to try again.
const PASSED: [&str; 2] = ["Retry-After", "Warning"];

/// Why an offer was not sent to the other peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::call) enum Unsent {
    /// An offer of its own is under way.
    Busy,
    /// It names addresses that the tenant may not.
    Unfit,
    Failed,
}

/// A peer's offer, undecided.
pub(in crate::call) struct PeerOffered {
    pub(super) id: PeerRequestId,
    /// None asks for an offer of the other peer's.
    pub(super) body: Option<Body>,
    pub(super) update: bool,
}

/// The offer that is being relayed.
pub(super) struct Relayed {
    from: Side,
    id: PeerRequestId,
    body: Option<Body>,
    /// It went to the other peer as UPDATE.
    update: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The other peer is asked.
    Asked,
    /// The peer that offered has its final response already: only the end of our own request is awaited.
    TakenBack,
    /// The offer that was asked for has gone back in a 200: its ACK owes the answer.
    AnswerDue,
    /// The other peer accepted what had been taken back, and is offered its old session again.
    Restoring,
}

impl Relayed {
    fn to(&self) -> Side {
        self.from.other()
    }
}

impl Bridge {
    /// A peer offers a session, or asks for one.
    pub(super) fn offered(self: &Arc<Self>, state: &mut State, side: Side, offer: PeerOffered) {
        match state.stage {
            Stage::Joined => {}
            Stage::Joining | Stage::Parting => return self.refuse(side, offer.id, GLARE, None),
            Stage::Parted => {
                let (offer, body) = (offer.id, None);
                return self.order(side, Order::Accept { offer, body });
            }
        }
        // Ours to this peer is not out, or the endpoint would have said 491 by itself: it waits after a 491 of the
        // peer's, or in the queue. The pause after a 491 is there to let the other offer pass.
        let waits = |ours: &mut Relayed| ours.to() == side && ours.phase == Phase::Asked;
        if let Some(met) = state.offer.take_if(waits) {
            self.order(side, Order::Withdraw);
            self.refuse(met.from, met.id, GLARE, None);
            self.release(side);
            self.release(met.from);
        }
        if state.offer.is_some() || !self.claim(side.other()) {
            return self.refuse(side, offer.id, GLARE, None);
        }
        self.claim(side);
        let PeerOffered { id, body, update } = offer;
        let sent = body.as_ref().map(facts::to_sip_body);
        self.order(side.other(), Order::Offer { body: sent, update });
        state.offer = Some(Relayed {
            from: side,
            id,
            body,
            update,
            phase: Phase::Asked,
        });
    }

    /// The peer takes its offer back, or the time for it is over; it has its response.
    pub(super) fn withdrawn(self: &Arc<Self>, state: &mut State, side: Side, id: PeerRequestId) {
        let Some(offer) = state
            .offer
            .as_mut()
            .filter(|offer| offer.from == side && offer.id == id)
        else {
            return;
        };
        match offer.phase {
            Phase::Asked => {
                offer.phase = Phase::TakenBack;
                let to = offer.to();
                self.order(to, Order::Withdraw);
                self.release(side);
            }
            // Our 200 has crossed it and will never be sent.
            Phase::AnswerDue => {
                let to = offer.to();
                self.order(to, Order::Answer { body: None });
                self.over(state);
            }
            Phase::TakenBack | Phase::Restoring => {}
        }
    }

    /// The other peer has answered.
    pub(super) fn settled(self: &Arc<Self>, state: &mut State, side: Side, outcome: Reoffered) {
        let Some(offer) = state.offer.as_mut().filter(|offer| offer.to() == side) else {
            return;
        };
        let (from, id) = (offer.from, offer.id);
        match (offer.phase, outcome) {
            (
                Phase::Asked,
                Reoffered::Accepted {
                    response,
                    needs_answer,
                },
            ) => {
                let answer = facts::body(&response);
                match (offer.body.take(), answer) {
                    // A 2xx without an answer: the first peer gets the session that it knows.
                    (Some(offered), answer) => {
                        self.session(side, Some(&offered), answer.as_ref());
                        self.session(from, answer.as_ref(), Some(&offered));
                        self.direction(from, &offered);
                        let body = answer.as_ref().map(facts::to_sip_body);
                        self.order(from, Order::Accept { offer: id, body });
                        self.over(state);
                    }
                    (None, Some(wanted)) if needs_answer => {
                        offer.phase = Phase::AnswerDue;
                        let body = Some(facts::to_sip_body(&wanted));
                        self.session(side, None, Some(&wanted));
                        self.session(from, Some(&wanted), None);
                        self.order(from, Order::Accept { offer: id, body });
                    }
                    (None, _) => {
                        self.refuse(from, id, NOT_ACCEPTABLE, None);
                        self.over(state);
                    }
                }
            }
            (Phase::Asked, Reoffered::Rejected(response)) => {
                let code = response.code().unwrap_or(FAILED);
                if offer.update && matches!(code, 405 | 501) {
                    offer.update = false;
                    let body = offer.body.as_ref().map(facts::to_sip_body);
                    return self.order(side, Order::Offer { body, update: false });
                }
                self.refuse(from, id, refusal(code), Some(&response));
                self.over(state);
            }
            (Phase::Asked, Reoffered::Failed(why)) => {
                let code = if why == RequestFailure::Timeout {
                    NO_ANSWER
                } else {
                    FAILED
                };
                self.refuse(from, id, code, None);
                self.over(state);
            }
            (
                Phase::TakenBack,
                Reoffered::Accepted {
                    response,
                    needs_answer,
                },
            ) => self.restore(state, side, &response, needs_answer),
            (Phase::Restoring, Reoffered::Accepted { response, .. }) => {
                self.session(side, None, facts::body(&response).as_ref());
                self.over(state);
            }
            (Phase::TakenBack | Phase::Restoring | Phase::AnswerDue, _) => self.over(state),
        }
    }

    /// A 2xx has crossed our CANCEL, so the other peer has a session that the first no longer wants: it gets the old one
    /// back.
    fn restore(self: &Arc<Self>, state: &mut State, side: Side, response: &Message, needs_answer: bool) {
        self.session(side, None, facts::body(response).as_ref());
        let old = self.with(side, |_, inner| inner.local_body.clone()).flatten();
        match (old, state.offer.as_mut()) {
            (_, Some(_)) if needs_answer => {
                self.order(side, Order::Answer { body: None });
                self.over(state);
            }
            (Some(old), Some(offer)) if offer.body.is_some() => {
                offer.phase = Phase::Restoring;
                let body = Some(facts::to_sip_body(&old));
                self.order(side, Order::Offer { body, update: false });
            }
            _ => self.over(state),
        }
    }

    /// The other peer does not answer in time; the CANCEL is out.
    pub(super) fn timed_out(self: &Arc<Self>, state: &mut State, side: Side) {
        let asked = |offer: &&mut Relayed| offer.to() == side && offer.phase == Phase::Asked;
        if let Some(offer) = state.offer.as_mut().filter(asked) {
            offer.phase = Phase::TakenBack;
            let (from, id) = (offer.from, offer.id);
            self.refuse(from, id, NO_ANSWER, None);
            self.release(from);
        }
    }

    /// The other peer's endpoint would not send it.
    pub(super) fn not_sent(self: &Arc<Self>, state: &mut State, side: Side, why: Unsent) {
        let Some(offer) = state.offer.as_ref().filter(|offer| offer.to() == side) else {
            return;
        };
        if offer.phase == Phase::Asked {
            let code = match why {
                Unsent::Busy => GLARE,
                Unsent::Unfit => NOT_ACCEPTABLE,
                Unsent::Failed => FAILED,
            };
            self.refuse(offer.from, offer.id, code, None);
        }
        self.over(state);
    }

    /// The ACK to the offer that a peer had asked for.
    pub(super) fn confirmed(self: &Arc<Self>, state: &mut State, side: Side, answer: Option<Body>) {
        let due = |offer: &&Relayed| offer.from == side && offer.phase == Phase::AnswerDue;
        let Some(offer) = state.offer.as_ref().filter(due) else {
            return;
        };
        let to = offer.to();
        // The first leg has heard the ACK itself.
        self.session(to, answer.as_ref(), None);
        let body = answer.as_ref().map(facts::to_sip_body);
        self.order(to, Order::Answer { body });
        self.over(state);
    }

    /// A leg has ended with an offer under way, and the other stays up.
    pub(super) fn offers_lost(self: &Arc<Self>, state: &mut State, side: Side) {
        let Some(offer) = state.offer.as_mut() else { return };
        if offer.to() == side {
            if offer.phase == Phase::Asked {
                self.refuse(offer.from, offer.id, FAILED, None);
            }
            return self.over(state);
        }
        match offer.phase {
            Phase::Asked => {
                offer.phase = Phase::TakenBack;
                let to = offer.to();
                self.order(to, Order::Withdraw);
            }
            Phase::AnswerDue => {
                let to = offer.to();
                self.order(to, Order::Answer { body: None });
                self.over(state);
            }
            Phase::TakenBack | Phase::Restoring => {}
        }
    }

    /// Nothing of the offer is under way any more.
    fn over(self: &Arc<Self>, state: &mut State) {
        state.offer = None;
        self.release(Side::A);
        self.release(Side::B);
        if state.stage == Stage::Parting {
            self.part(state);
        }
    }

    fn refuse(&self, side: Side, offer: PeerRequestId, code: u16, because: Option<&Message>) {
        let said = |name: &'static str| {
            let value = because?.headers_named(name).next()?;
            Some(Header {
                name: name.into(),
                value: facts::lossy(value).into(),
            })
        };
        let headers = PASSED.into_iter().filter_map(said).collect();
        self.order(side, Order::Refuse { offer, code, headers });
    }

    /// A session of a leg holds: what we have sent there, what its peer has sent.
    fn session(&self, side: Side, ours: Option<&Body>, theirs: Option<&Body>) {
        self.with(side, |_, inner| {
            if let Some(ours) = ours {
                inner.local_body = Some(ours.clone());
                // A hold of the flow's was part of the session that this one replaces.
                inner.held = false;
            }
            if let Some(theirs) = theirs {
                inner.remote_body = Some(theirs.clone());
            }
        });
    }

    fn direction(&self, side: Side, offered: &Body) {
        self.with(side, |leg, inner| leg.direction_offered(inner, offered));
    }
}

/// What a peer is told when the other refuses its offer: the same, unless that would say something about the peer itself.
fn refusal(code: u16) -> u16 {
    match code {
        // Credentials and dialogs are between this host and the other peer; 408 and 481 would end the call (RFC 5057).
        401 | 407 => 403,
        408 | 481 => FAILED,
        // This host is not out of service (RFC 3261 §16.7).
        503 => FAILED,
        400..=699 => code,
        _ => NOT_ACCEPTABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_is_passed_on_unless_it_would_end_the_wrong_call() {
        for code in [400, 415, 486, 488, 491, 500, 504, 600, 606, 699] {
            assert_eq!(refusal(code), code);
        }
        assert_eq!((refusal(401), refusal(407)), (403, 403));
        assert_eq!((refusal(408), refusal(481), refusal(503)), (500, 500, 500));
        assert_eq!((refusal(302), refusal(0)), (488, 488));
    }
}
