//! Why an operation failed.

use std::fmt;

use crate::wit::callbox::flow::types::{Denial, Error as Raw, HangupInfo, Status};

/// Why an operation on a call failed. Returned from a flow's entry it ends the call, and its text is logged.
///
/// More cases may come: match with a `_` arm.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// Nothing came in time. An unanswered INVITE was cancelled.
    Timeout,
    /// The leg is over, and this flow did not end it. See [`Error::is_hang_up`].
    HangUp(HangupInfo),
    /// Not possible in the leg's present state, which did not change.
    WrongState(String),
    /// An argument does not parse; nothing was sent.
    Invalid(String),
    /// No such service, trunk, credential or registration.
    UnknownDestination(String),
    /// A final response from 300 to 699.
    Rejected(Status),
    /// This flow itself gave the attempt up.
    Cancelled,
    /// The host's policy refused; nothing was sent.
    Denied(Denial),
    /// This host or this peer cannot do that.
    Unsupported(String),
    /// The peer broke the protocol.
    Protocol(String),
    /// The network failed.
    Transport(String),
    /// Anything else, among it the flow's own errors: `"no such menu".into()`.
    Other(String),
}

/// The result of most operations.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    /// Is the call simply over? A flow that returns such an error has not failed: the caller went.
    #[must_use]
    pub fn is_hang_up(&self) -> bool {
        matches!(self, Self::HangUp(_))
    }

    /// Did the time run out?
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    /// The SIP status of a rejection, or with which the leg ended.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Rejected(status) => Some(status),
            Self::HangUp(info) => info.status.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, detail): (&str, &dyn fmt::Display) = match self {
            Self::Timeout => return f.write_str("no answer in time"),
            Self::Cancelled => return f.write_str("cancelled by this flow"),
            Self::HangUp(info) => return info.fmt(f),
            Self::WrongState(s) => ("not possible now", s),
            Self::Invalid(s) => ("not valid", s),
            Self::UnknownDestination(s) => ("unknown destination", s),
            Self::Rejected(status) => ("rejected", status),
            Self::Denied(denial) => ("denied", denial),
            Self::Unsupported(s) => ("not supported", s),
            Self::Protocol(s) => ("the peer broke the protocol", s),
            Self::Transport(s) => ("the network failed", s),
            Self::Other(s) => return f.write_str(s),
        };
        write!(f, "{what}: {detail}")
    }
}

impl std::error::Error for Error {}

impl From<Raw> for Error {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Timeout => Self::Timeout,
            Raw::Hangup(info) => Self::HangUp(info),
            Raw::WrongState(s) => Self::WrongState(s),
            Raw::Invalid(s) => Self::Invalid(s),
            Raw::UnknownDestination(s) => Self::UnknownDestination(s),
            Raw::Rejected(status) => Self::Rejected(status),
            Raw::Cancelled => Self::Cancelled,
            Raw::Denied(denial) => Self::Denied(denial),
            Raw::Unsupported(s) => Self::Unsupported(s),
            Raw::Protocol(s) => Self::Protocol(s),
            Raw::Transport(s) => Self::Transport(s),
            Raw::Other(s) => Self::Other(s),
        }
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::Other(text.into())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::callbox::flow::types::Party;

    #[test]
    fn the_status_of_a_failure_is_never_hidden() {
        let busy = Status {
            code: 486,
            reason: "Busy Here".into(),
        };
        let error = Error::from(Raw::Rejected(busy.clone()));
        assert_eq!(error.to_string(), "rejected: 486 Busy Here");
        assert_eq!(error.status(), Some(&busy));
        assert!(!error.is_hang_up());
    }

    #[test]
    fn a_hang_up_is_told_apart() {
        let error = Error::from(Raw::Hangup(HangupInfo {
            by: Party::Remote,
            status: None,
            q850: None,
            text: None,
        }));
        assert!(error.is_hang_up());
        assert_eq!(error.to_string(), "the peer ended the call");
    }

    #[test]
    fn text_becomes_an_error() {
        fn fails() -> Result {
            Err("no such menu")?;
            Ok(())
        }
        assert_eq!(fails(), Err(Error::Other("no such menu".into())));
        assert_eq!(
            Error::Denied(Denial::Limit("legs".into())).to_string(),
            "denied: over the limit legs"
        );
    }
}
