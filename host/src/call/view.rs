//! What an operator sees of a session that is alive: whose it is, what runs it, who talks to whom, what it has used.
//!
//! Entry point: [`SessionAddress::view`]. Each lock is held for as long as it takes to copy one leg, and no two at once.

use super::siblings::SessionAddress;
use super::summary::LegsSummary;
use super::usage::Usage;

/// A session at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which flow runs it.
    pub flow: String,
    /// In which version.
    pub version: String,
    /// When it began: milliseconds since 1970.
    pub began_ms: u64,
    /// What it has used so far.
    pub usage: Usage,
    /// The legs that it has and had. Their texts are the peers', unescaped.
    pub legs: LegsSummary,
}

impl SessionAddress {
    /// The session at this moment; none when it is over.
    #[must_use]
    pub fn view(&self) -> Option<SessionView> {
        let session = self.upgrade()?;
        let context = &session.context;
        Some(SessionView {
            id: session.id.clone(),
            tenant: context.tenant.to_string(),
            flow: context.flow.to_string(),
            version: context.version.to_string(),
            began_ms: session.beginning.wall_ms(),
            usage: session.usage.read(),
            legs: session.legs_summary(),
        })
    }
}
