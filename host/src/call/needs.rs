//! Which state a method needs, for whoever reads its arguments before the method itself does.
//!
//! The state is looked at before the arguments (`wit/leg-semantics.md`, rule 1), and a guest's bodies and headers are parsed
//! where they come in. Entry: [`Leg::mistaken`].

use super::error::{CallError, Denial};
use super::leg::{Leg, Phase};

/// The states in which a method does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// No call yet: make-call, dial.
    Idle,
    /// A call that came in and has no final answer: ring, progress, reject.
    Unanswered,
    /// The same, or the peer's offer to our empty INVITE: answer.
    Answerable,
    /// A call that is up: send-info, send-message.
    Established,
    /// A call that is up, without an offer under way: reoffer, the transfers.
    Settled,
}

impl Leg {
    /// What an argument that does not parse comes to: the denial, where the method is not granted; the error of the state,
    /// where that does not allow the method anyway; else `mistake`.
    #[must_use]
    pub fn mistaken(&self, method: &str, needs: Needs, mistake: CallError) -> CallError {
        let mistake = match self
            .shared
            .session
            .unless_denied(&format!("sipcall.call.{method}"), mistake)
        {
            denied @ CallError::Denied(Denial::Capability(_)) => return denied,
            mistake => mistake,
        };
        let inner = self.shared.lock();
        let allowed = match needs {
            Needs::Idle => inner.phase == Phase::Idle,
            Needs::Unanswered => matches!(inner.phase, Phase::RingingIn | Phase::EarlyIn),
            Needs::Answerable => matches!(
                inner.phase,
                Phase::RingingIn | Phase::EarlyIn | Phase::OfferedByRemote
            ),
            Needs::Established => inner.require_established(method).is_ok(),
            Needs::Settled => inner.require_settled(method).is_ok(),
        };
        match allowed {
            true => mistake,
            false => inner.wrong_state(method),
        }
    }
}
