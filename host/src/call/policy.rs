//! Who may dial what: decided by a tenant's policy, asked here before a packet leaves.
//!
//! This layer only asks. Entry type: [`DialPolicy`].

use std::net::IpAddr;
use std::time::Duration;

use callbox_sip::endpoint::Destination;

use super::error::{CallError, Denial};
use super::options::Login;
use super::target::DialTarget;

/// What a flow wants to dial.
#[derive(Debug)]
pub struct DialRequest<'a> {
    /// Where to.
    pub target: &'a DialTarget,
    /// User part of the From that the flow asks for; none leaves it to the tenant.
    pub caller_user: Option<&'a str>,
    /// Display name that the flow asks for.
    pub caller_name: Option<&'a str>,
    /// Trunk by name.
    pub trunk: Option<&'a str>,
    /// Operator's login by name.
    pub credential: Option<&'a str>,
}

impl<'a> DialRequest<'a> {
    /// To this target; the flow asks for nothing else.
    #[must_use]
    pub fn to(target: &'a DialTarget) -> Self {
        Self {
            target,
            caller_user: None,
            caller_name: None,
            trunk: None,
            credential: None,
        }
    }
}

/// What the policy grants.
#[derive(Debug)]
pub struct DialGrant {
    /// User part of From.
    pub from_user: String,
    /// Display name of From.
    pub from_name: Option<String>,
    /// Host part of From; none is our own address.
    pub from_host: Option<String>,
    /// The Request-URI where it is not the target's own: a number that goes over a trunk.
    pub uri: Option<String>,
    /// Where to send it where that is not simply the target's own host: a trunk, or that host under a filter.
    pub next_hop: Option<Destination>,
    /// It goes through a trunk, whose logins are for nobody else.
    pub through_trunk: bool,
    /// The operator's logins: the one asked for by name, then that of the trunk.
    pub logins: Vec<Login>,
}

impl DialGrant {
    /// Straight to the target, as this user.
    #[must_use]
    pub fn direct(from_user: String, from_name: Option<&str>) -> Self {
        Self {
            from_user,
            from_name: from_name.map(str::to_owned),
            from_host: None,
            uri: None,
            next_hop: None,
            through_trunk: false,
            logins: Vec::new(),
        }
    }
}

/// A tenant's rules for outbound requests.
pub trait DialPolicy: Send + Sync + 'static {
    /// Grants or refuses one destination.
    ///
    /// # Errors
    /// `UnknownDestination` for a trunk or a credential that does not exist, then `Denied` with the rule that refused.
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError>;

    /// Whether a flow may set a header that claims who calls ([`is_claim`](super::is_claim)) to this value. Nobody may
    /// unless the tenant's rules say so.
    ///
    /// # Errors
    /// `Denied(Header)` when the header was not granted, `Denied(Identity)` when the value is somebody else's.
    fn may_claim(&self, header: &str, _value: &str) -> Result<(), CallError> {
        Err(CallError::Denied(Denial::Header(header.to_owned())))
    }

    /// Whether [`Self::may_name`] decides anything, so that nobody reads session descriptions for nothing.
    fn judges_media(&self) -> bool {
        false
    }

    /// Whether a session description may name this address for media; none is a name, or what is no address.
    fn may_name(&self, _media: Option<IpAddr>) -> bool {
        true
    }

    /// Counts one call out, before its INVITE leaves; each redirection that is followed is one.
    ///
    /// # Errors
    /// `Denied(Limit)` when the tenant has no more for today.
    fn dial(&self) -> Result<(), CallError> {
        Ok(())
    }

    /// The longest that an answered call out may last, and the limit's name.
    fn call_max(&self) -> Option<(Duration, &'static str)> {
        None
    }

    /// How long each step of an answered call out is that [`Self::charge`] is asked for; none where nothing is charged.
    fn step(&self) -> Option<Duration> {
        None
    }

    /// Charges the next step of an answered call out.
    ///
    /// # Errors
    /// `Denied(Limit)` when the tenant has no more for today: the call ends.
    fn charge(&self) -> Result<(), CallError> {
        Ok(())
    }
}
