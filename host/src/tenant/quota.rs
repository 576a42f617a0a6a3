//! What one tenant may have of the host: sized here by the configuration, enforced where each thing is made.
//!
//! Entry type: [`Quota`]. It belongs to a tenant, not to a plan: a host that is told a new configuration keeps the quota and
//! sizes it anew, so that what runs goes on being counted.

use std::sync::Arc;

use crate::call::TenantBounds;
use crate::config::limits::TenantLimits;

/// A tenant's counters and their bounds.
pub(super) struct Quota {
    /// What its sessions ask.
    pub(super) bounds: Arc<TenantBounds>,
}

impl Quota {
    pub(super) fn new(limits: &TenantLimits) -> Self {
        Self {
            bounds: TenantBounds::new(limits),
        }
    }
}
