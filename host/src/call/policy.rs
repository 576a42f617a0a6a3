//! Who may dial what: decided by a tenant's policy, asked here before a packet leaves.
//!
//! This layer only asks. Entry type: [`DialPolicy`].

use callbox_sip::endpoint::Destination;

use super::error::CallError;
use super::text::DialTarget;

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
}

/// What the policy grants.
#[derive(Debug)]
pub struct DialGrant {
    /// User part of From.
    pub from_user: String,
    /// Display name of From.
    pub from_name: Option<String>,
    /// Where to send it instead of the target's own host (a trunk).
    pub next_hop: Option<Destination>,
}

/// A tenant's rules for outbound requests.
pub trait DialPolicy: Send + Sync + 'static {
    /// Grants or refuses one destination.
    ///
    /// # Errors
    /// `Denied` with the rule that refused, or `UnknownDestination` for a trunk that does not exist.
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError>;
}
