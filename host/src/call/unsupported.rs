//! Methods of the contract that this version of the host does not have yet.
//!
//! They check the state as `wit/leg-semantics.md` says for a method that the host cannot do at all: not. A flow gets
//! `unsupported` in every state, and nothing is sent.

use std::time::Duration;

use super::error::CallError;
use super::error::Status;
use super::leg::Leg;
use super::options::{BridgeOptions, TransferOptions};
use super::session::Session;

/// What the peer said to a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferResult {
    /// The answer to the REFER.
    pub accepted: Status,
    /// How the transfer ended, if that was waited for.
    pub outcome: Option<Status>,
}

impl Leg {
    /// Seed `accept`: waits for one more incoming call.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn accept(&self, _service: &str, _timeout: Duration) -> Result<(), CallError> {
        Err(CallError::unsupported("accept"))
    }

    /// Seed `blindxfer`.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn blind_transfer(
        &self,
        _dest: &str,
        _options: &TransferOptions,
    ) -> Result<TransferResult, CallError> {
        Err(CallError::unsupported("blind-transfer"))
    }

    /// REFER with Replaces.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn attended_transfer(
        &self,
        _other: &Leg,
        _options: &TransferOptions,
    ) -> Result<TransferResult, CallError> {
        Err(CallError::unsupported("attended-transfer"))
    }
}

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

    /// Lets a flow decide offers of the peer.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn decide_offers(&self, _leg: &Leg, _value: bool) -> Result<(), CallError> {
        Err(CallError::unsupported("decide-offers"))
    }
}
