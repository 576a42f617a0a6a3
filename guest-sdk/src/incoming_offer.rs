//! A new offer of the peer's that the flow decides.

use crate::wit::callbox::flow::events as raw;
use crate::{Body, Result};

/// A re-INVITE or UPDATE of a call under [`Call::decide_offers`](crate::Call::decide_offers). Dropping it undecided refuses it
/// with 488.
///
/// The peer may take it back meanwhile: deciding is then [`Error::WrongState`](crate::Error::WrongState).
#[derive(Debug)]
pub struct IncomingOffer {
    raw: raw::IncomingOffer,
}

impl From<raw::IncomingOffer> for IncomingOffer {
    fn from(raw: raw::IncomingOffer) -> Self {
        Self { raw }
    }
}

impl IncomingOffer {
    /// What the peer offers; none when it asks for our offer.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        self.raw.body()
    }

    /// Accepts it with this answer; with this offer, where the peer asked for one.
    pub fn answer(&self, body: impl Into<Body>) -> Result {
        Ok(self.raw.answer(&body.into())?)
    }

    /// Refuses it with this code, 400–699. The old session stays in force.
    pub fn reject(&self, code: u16) -> Result {
        Ok(self.raw.reject(code)?)
    }
}
