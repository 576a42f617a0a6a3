//! What a flow may do beyond the call that came in: decided by whoever starts its session, asked for here by each method
//! that a [`Capability`] covers, before anything else.
//!
//! Deliberately knows no lines and no files: who decides also says, for each capability withheld, what to do about it.
//! Entry type: [`Grants`]. Invariant: a method that is covered asks in one place, and does nothing when it is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{CallError, Denial};
use super::session::{Session, SessionShared};
use crate::config::{Capabilities, Capability};

/// What the sessions of a flow are granted. Shared by all of them; the path of a call reads one word.
#[derive(Debug)]
pub struct Grants {
    set: Capabilities,
    withheld: Vec<Withheld>,
}

/// A capability that is not granted, and what to do about it.
#[derive(Debug)]
pub struct Withheld {
    /// Which.
    pub capability: Capability,
    /// For the flow: `add "spawn" to grants of tenant acme`. Names no file of the operator's.
    pub fix: String,
    /// For the operator: the same with the place.
    pub place: String,
    /// How often it was asked for.
    pub(super) denied: AtomicU64,
}

impl Withheld {
    /// One that nobody has asked for yet.
    #[must_use]
    pub fn new(capability: Capability, fix: String, place: String) -> Self {
        Self {
            capability,
            fix,
            place,
            denied: AtomicU64::new(0),
        }
    }
}

impl Grants {
    /// Everything but what is withheld.
    #[must_use]
    pub fn all_but(withheld: Vec<Withheld>) -> Self {
        let set = withheld
            .iter()
            .fold(Capabilities::ALL, |set, one| set.without(one.capability));
        Self { set, withheld }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Arc<Self> {
        Arc::new(Self::all_but(Vec::new()))
    }

    /// What is granted.
    #[must_use]
    pub fn set(&self) -> Capabilities {
        self.set
    }

    /// What is withheld, with what to do about it.
    #[must_use]
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }

    /// What to do about one that is not granted.
    #[must_use]
    pub fn withheld_of(&self, capability: Capability) -> Option<&Withheld> {
        self.withheld.iter().find(|one| one.capability == capability)
    }

    /// # Errors
    /// `Denied(Capability)`, with what to do about it.
    pub(super) fn require(&self, capability: Capability) -> Result<(), CallError> {
        match self.set.has(capability) {
            true => Ok(()),
            false => Err(self.refuse(capability)),
        }
    }

    #[cold]
    fn refuse(&self, capability: Capability) -> CallError {
        let Some(withheld) = self.withheld_of(capability) else {
            return CallError::Denied(Denial::Capability(format!("\"{capability}\" is not granted")));
        };
        // One line for each power of two: a flow may ask in a loop.
        let denied = withheld.denied.fetch_add(1, Ordering::Relaxed) + 1;
        if denied.is_power_of_two() {
            tracing::warn!(
                denied,
                "denied to the flow: \"{capability}\" is not granted; {} ({})",
                withheld.fix,
                withheld.place
            );
        }
        CallError::Denied(Denial::Capability(format!(
            "\"{capability}\" is not granted; {}",
            withheld.fix
        )))
    }
}

impl SessionShared {
    /// Asks for what a method needs.
    pub(super) fn require(&self, capability: Capability) -> Result<(), CallError> {
        self.context.grants.require(capability)
    }

    /// What a mistake among the arguments of a method comes to: the denial where the method is not granted anyway.
    pub(super) fn unless_denied(&self, function: &str, mistake: CallError) -> CallError {
        Capability::of(function)
            .and_then(|capability| self.require(capability).err())
            .unwrap_or(mistake)
    }
}

impl Session {
    /// What a mistake among the arguments comes to that was found before the method itself was called
    /// (`registration.registration.start`, `session.send`): grants are asked for first (`wit/leg-semantics.md`, rule 1).
    #[must_use]
    pub fn mistaken(&self, function: &str, mistake: CallError) -> CallError {
        self.shared.unless_denied(function, mistake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_denied_with_what_to_do_about_it() {
        let fix = "add \"spawn\" to grants of tenant acme".to_owned();
        let grants = Grants::all_but(vec![Withheld::new(
            Capability::Spawn,
            fix,
            "callbox.toml:7".to_owned(),
        )]);
        for capability in Capability::ALL {
            let asked = grants.require(capability);
            match capability {
                Capability::Spawn => {
                    let text = "\"spawn\" is not granted; add \"spawn\" to grants of tenant acme".to_owned();
                    assert_eq!(asked, Err(CallError::Denied(Denial::Capability(text))));
                }
                _ => assert_eq!(asked, Ok(())),
            }
        }
        assert_eq!(grants.set(), Capabilities::ALL.without(Capability::Spawn));
    }
}
