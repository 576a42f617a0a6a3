//! The peer asks us to call somebody else.

use crate::wit::callbox::flow::events as raw;
use crate::{AnswerInfo, Call, Error, MakeCall, Result, Status};

/// A REFER of the peer's. Dropping it undecided declines it with 603; accepted, it is carried out with a call of the flow's own,
/// under the tenant's dial rules.
///
/// ```no_run
/// use callbox_sdk::{Call, Result, events::Referral, sdp};
///
/// fn refer(referral: &Referral) -> Result<Call> {
///     let other = Call::new();
///     referral.follow(&other, referral.make_call().offer(sdp::offer()))?;
///     Ok(other)
/// }
/// ```
#[derive(Debug)]
pub struct Referral {
    raw: raw::Referral,
}

impl From<raw::Referral> for Referral {
    fn from(raw: raw::Referral) -> Self {
        Self { raw }
    }
}

impl Referral {
    /// Whom the peer wants called: a URI.
    #[must_use]
    pub fn target(&self) -> String {
        self.raw.target()
    }

    /// The call whose place the new one shall take: an attended transfer.
    #[must_use]
    pub fn replaces(&self) -> Option<String> {
        self.raw.replaces()
    }

    /// In whose name the peer asks.
    #[must_use]
    pub fn referred_by(&self) -> Option<String> {
        self.raw.referred_by()
    }

    /// The call that the peer asks for: to its target, with the Replaces and the Referred-By that it gave.
    pub fn make_call(&self) -> MakeCall {
        let headers = [("Replaces", self.replaces()), ("Referred-By", self.referred_by())];
        let given = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        given.fold(MakeCall::to(self.target()), |call, (name, value)| {
            call.header(name, value)
        })
    }

    /// Accepts, places this call on this leg, and tells the peer how that went. A failure of the call is returned, and the peer
    /// knows it.
    pub fn follow(&self, leg: &Call, call: MakeCall) -> Result<AnswerInfo> {
        self.accept()?;
        let placed = leg.make_call(call);
        let outcome = match &placed {
            Ok(answer) => answer.status.clone(),
            Err(error) => outcome_of(error),
        };
        // A peer that hung up on the 202 wants no report.
        let _ = self.notify(outcome);
        placed
    }

    /// 202 Accepted. The peer hears that it is tried.
    pub fn accept(&self) -> Result {
        Ok(self.raw.accept()?)
    }

    /// Refuses with this code, 400–699.
    pub fn reject(&self, code: u16) -> Result {
        Ok(self.raw.reject(code)?)
    }

    /// Tells the peer how the call goes that it asked for: `referral.notify(180)`. A final status is the last report.
    pub fn notify(&self, status: impl Into<Status>) -> Result {
        Ok(self.raw.notify(&status.into())?)
    }
}

/// What the peer is told of a call that failed.
fn outcome_of(error: &Error) -> Status {
    match error {
        Error::Rejected(status) => status.clone(),
        Error::Timeout => 408.into(),
        Error::Denied(_) => 403.into(),
        Error::Cancelled => 487.into(),
        Error::Invalid(_) | Error::UnknownDestination(_) => 404.into(),
        _ => 503.into(),
    }
}
