//! Why a call operation failed, in the words of the contract (`wit/types.wit`, `error`).
//!
//! Every failure keeps what the peer said: a SIP status is never hidden behind a general code.

use std::fmt;

use thiserror::Error;

use crate::config::limits;

/// A SIP status: 486 "Busy Here".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// 100..=699.
    pub code: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// Who ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// This flow.
    Local,
    /// The peer, by BYE, CANCEL or a final response.
    Remote,
    /// The host: a time-out, a limit, a dead transport or the flow's own end.
    Host,
}

/// How a leg ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HangupInfo {
    /// Who ended it.
    pub by: Party,
    /// The final SIP status of its INVITE, if that was not a 2xx.
    pub status: Option<Status>,
    /// The Q.850 cause of a Reason header (RFC 3326).
    pub q850: Option<u8>,
    /// The text of a Reason header, or the host's own words.
    pub text: Option<String>,
}

impl fmt::Display for HangupInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            Party::Local => "this side",
            Party::Remote => "the peer",
            Party::Host => "the host",
        };
        write!(f, "ended by {by}")?;
        if let Some(status) = &self.status {
            write!(f, ", {status}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ", {text}")?;
        }
        Ok(())
    }
}

/// Why the host refused. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denial {
    /// The tenant's dial rules do not allow this destination.
    #[error("the tenant's dial rules do not allow this destination")]
    Destination,
    /// The flow was not granted this method; the text says what would grant it.
    #[error("{0}")]
    Capability(String),
    /// A bound of the table of limits; the text names it.
    #[error("limit {0} reached")]
    Limit(&'static str),
    /// The flow may not set this header.
    #[error("header {0} belongs to the host")]
    Header(String),
    /// The tenant does not own this caller id.
    #[error("the tenant does not own this caller id")]
    Identity,
    /// The host takes no new work.
    #[error("the host is shutting down")]
    Draining,
}

/// What can go wrong with a call operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// No answer in time; an unanswered INVITE was cancelled.
    #[error("timed out")]
    Timeout,
    /// The leg ended while the flow waited, or before.
    #[error("hung up: {0}")]
    Hangup(HangupInfo),
    /// Not possible in the leg's present state, which did not change.
    #[error("wrong state: {0}")]
    WrongState(String),
    /// An argument does not parse.
    #[error("invalid argument: {0}")]
    Invalid(String),
    /// No such service, trunk, credential or registration.
    #[error("unknown destination: {0}")]
    UnknownDestination(String),
    /// A final 3xx–6xx came.
    #[error("rejected: {0}")]
    Rejected(Status),
    /// This flow cancelled the operation.
    #[error("cancelled")]
    Cancelled,
    /// Policy refused; nothing was sent.
    #[error("denied: {0}")]
    Denied(Denial),
    /// This host or this peer cannot do that.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The peer broke the protocol.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The network failed.
    #[error("transport: {0}")]
    Transport(String),
}

impl CallError {
    /// A bound of the table is hit: refuses, and counts it.
    pub(crate) fn limit(name: &'static str) -> Self {
        limits::hit(name);
        CallError::Denied(Denial::Limit(name))
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        CallError::Invalid(what.into())
    }
}
