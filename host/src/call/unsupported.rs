//! Methods of the contract that this version of the host does not have yet.
//!
//! They check the state as `wit/leg-semantics.md` says for a method that the host cannot do at all: not. A flow gets
//! `unsupported` in every state, and nothing is sent.

use super::error::CallError;
use super::leg::Leg;
use super::options::BridgeOptions;
use super::session::Session;

impl Session {
    /// Joins two legs.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn bridge(&self, _a: &Leg, _b: &Leg, _options: &BridgeOptions) -> Result<(), CallError> {
        Err(CallError::unsupported("bridge"))
    }

    /// Parts two legs.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn unbridge(&self, _a: &Leg) -> Result<(), CallError> {
        Err(CallError::unsupported("unbridge"))
    }
}
