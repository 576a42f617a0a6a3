//! Holds what a method said against what it should say.

use std::fmt;

use callbox_sdk::{Denial, Error, error, info};

/// Which error a row must give.
#[derive(Debug, Clone, Copy)]
pub enum Must {
    /// `invalid`
    Invalid,
    /// `denied(header)`
    DeniedHeader,
    /// `denied(destination)`
    DeniedDestination,
    /// `denied(identity)`
    DeniedIdentity,
    /// `unknown-destination`
    Unknown,
    /// `unsupported`
    Unsupported,
    /// `wrong-state`, which comes before any argument is looked at
    WrongState,
}

/// Counts rows.
#[derive(Debug, Default)]
pub struct Judge {
    rows: u32,
    otherwise: u32,
}

impl Judge {
    /// One row: what was done, how it must fail, a part of the text that says why, and what came of it.
    pub fn row<T: fmt::Debug>(&mut self, what: &str, must: Must, part: &str, got: Result<T, Error>) {
        self.rows += 1;
        let text = match (&got, must) {
            (Err(Error::Invalid(text)), Must::Invalid)
            | (Err(Error::Denied(Denial::Header(text))), Must::DeniedHeader)
            | (Err(Error::UnknownDestination(text)), Must::Unknown)
            | (Err(Error::Unsupported(text)), Must::Unsupported)
            | (Err(Error::WrongState(text)), Must::WrongState) => Some(text.as_str()),
            (Err(Error::Denied(Denial::Destination)), Must::DeniedDestination)
            | (Err(Error::Denied(Denial::Identity)), Must::DeniedIdentity) => Some(""),
            _ => None,
        };
        match text {
            Some(text) if text.contains(part) => info!("{what}: {text}"),
            _ => {
                self.otherwise += 1;
                error!("OTHERWISE {what}: {must:?} with {part:?} was due, not {got:?}");
            }
        }
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} otherwise", self.rows, self.otherwise)
    }
}
