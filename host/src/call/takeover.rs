//! A call that outlives its session: another session takes its leg over as it stands.
//!
//! What the leg is moves into a leg of the new session, and the old one, which looks terminated to its flow, keeps a note of where
//! it has gone: a shard that still knows the old leg follows the note ([`LegShared::apply`], [`LegShared::latest`]). Entry type:
//! [`Estate`]. Invariants: the leg is moved under its own lock, so that no command and no event is lost or heard twice; two
//! legs are never locked at once; only a leg of which no other one depends (none of a bridge) is moved.

use std::sync::Arc;

use super::command::Command;
use super::error::{HangupInfo, Party};
use super::leg::{Leg, LegInner, LegShared, Phase};
use super::session::{Session, SessionContext};
use super::session_id;

/// A call that may be handed over when its flow has ended. It keeps the call's leg from being forgotten, not from being ended.
pub struct Estate(Arc<LegShared>);

impl Leg {
    /// What whoever runs the flow keeps of the flow's call.
    #[must_use]
    pub fn estate(&self) -> Estate {
        Estate(Arc::clone(&self.shared))
    }
}

impl Session {
    /// A session on the same shard, for a flow that takes a call of this one over.
    #[must_use]
    pub fn successor(&self, context: SessionContext) -> Self {
        Self::open(session_id::next(), context, Arc::clone(&self.shared.shard))
    }
}

impl Estate {
    /// Whether the call was answered; none when it is over.
    #[must_use]
    pub fn answered(&self) -> Option<bool> {
        match self.0.lock().phase {
            Phase::RingingIn | Phase::EarlyIn => Some(false),
            Phase::Answering | Phase::Connected | Phase::Reoffering => Some(true),
            // A call that this side placed is nobody's to take over.
            _ => None,
        }
    }

    /// Moves the call into a session that has no leg yet. What was joined to it by a bridge is parted from it. Digits and
    /// requests that the old flow has not read are forgotten. None when the call is over, or an offer of a bridge is
    /// under way on it; then the old session has it still.
    #[must_use]
    pub fn pass_to(self, session: &Session) -> Option<Leg> {
        self.0.leave_bridge();
        let old = &self.0;
        let mut inner = old.lock();
        let movable = matches!(
            inner.phase,
            Phase::RingingIn | Phase::EarlyIn | Phase::Answering | Phase::Connected | Phase::Reoffering
        );
        if !movable || inner.bridge.is_some() || inner.heir.is_some() {
            return None;
        }
        // For the old session this is its end.
        old.remember(
            &inner,
            &HangupInfo {
                by: Party::Host,
                status: None,
                q850: None,
                text: Some("taken over by another flow".to_owned()),
            },
        );
        let left = LegInner::new(Phase::Terminated, inner.direction, Arc::clone(&inner.shard));
        let mut moved = std::mem::replace(&mut *inner, left);
        let decided = moved.forget_flow();
        if decided {
            moved.outbox.push_back(Command::DecideOffers { value: false });
        }
        // The old leg goes into the queue of its shard, if it does not stand there: the shard learns of the new one by that.
        let queued = std::mem::replace(&mut moved.scheduled, true);
        let silent = matches!(moved.phase, Phase::RingingIn) && !moved.rang;
        let new = session
            .shared
            .enlist_first(|id, place| LegShared::new(id, &session.shared, moved, Some(place)));
        inner.heir = Some(Arc::clone(&new));
        inner.scheduled = true;
        if !queued {
            inner.shard.schedule(Arc::clone(old));
        }
        drop(inner);
        if silent {
            session.shared.came_in(&new);
        }
        Some(Leg { shared: new })
    }
}

impl LegShared {
    /// The leg that holds the call now.
    pub(super) fn latest(self: &Arc<Self>) -> Arc<Self> {
        let mut latest = Arc::clone(self);
        loop {
            let heir = latest.lock().heir.clone();
            match heir {
                Some(heir) => latest = heir,
                None => return latest,
            }
        }
    }

    /// Leaves a command that comes from outside of the leg's outbox, wherever the leg is now; where that is.
    pub(super) fn leave(self: &Arc<Self>, command: Command) -> Arc<Self> {
        let mut leg = Arc::clone(self);
        loop {
            let heir = {
                let mut inner = leg.lock();
                match &inner.heir {
                    Some(heir) => Arc::clone(heir),
                    None => {
                        inner.outbox.push_back(command);
                        break;
                    }
                }
            };
            leg = heir;
        }
        leg
    }
}

impl LegInner {
    /// What a flow has left behind is not the next one's; true if the flow decided about the peer's offers.
    fn forget_flow(&mut self) -> bool {
        self.digits.clear();
        self.typed.clear();
        self.infos.clear();
        self.accepting = None;
        self.outcome = None;
        self.awaited = false;
        self.requests.clear();
        self.failure = None;
        self.hangup_ticket = None;
        self.transfer = None;
        std::mem::take(&mut self.decides_offers)
    }
}
