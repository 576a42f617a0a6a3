//! Who may dial what: decided by a tenant's policy, asked here before a packet leaves.
//!
//! This layer only asks. Entry type: [`DialPolicy`].

use callbox_sip::endpoint::Destination;

use super::error::CallError;
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
    /// Where to send it instead of the target's own host (a trunk).
    pub next_hop: Option<Destination>,
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
}
