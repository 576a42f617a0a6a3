//! Other sessions of the same tenant: starting one, and sending one a word.
//!
//! Which sessions and flows there are is not known here. Entry points: [`Session::spawn`], [`Session::send`]; whoever keeps the
//! sessions implements [`Siblings`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::error::CallError;
use super::events::EventKind;
use super::session::{Session, SessionShared};
use super::text::{self, Body};
use crate::config::Capability;

/// Keeps the sessions of a host.
pub trait Siblings: Send + Sync + 'static {
    /// Starts a flow of the tenant in a session of its own, so much later; the session's id.
    ///
    /// # Errors
    /// `UnknownDestination`, `Unsupported` for a flow that takes calls, `Denied`.
    fn spawn(&self, tenant: &str, flow: &str, args: Body, after: Duration) -> Result<String, CallError>;

    /// Puts a payload into the mailbox of a session of the tenant.
    ///
    /// # Errors
    /// `UnknownDestination`, `Denied` when the mailbox is full.
    fn send(&self, tenant: &str, session: &str, payload: Body) -> Result<(), CallError>;
}

/// How a session is reached without keeping it alive.
#[derive(Clone)]
pub struct SessionAddress(Weak<SessionShared>);

impl SessionAddress {
    /// The session, while it lives.
    pub(super) fn upgrade(&self) -> Option<Arc<SessionShared>> {
        self.0.upgrade()
    }

    /// Puts a payload into the mailbox.
    ///
    /// # Errors
    /// `UnknownDestination` when the session is over, `Denied` when the mailbox is full, for what others send takes nobody's
    /// place, or when the tenant has no memory or no room for unread events left.
    pub fn post(&self, payload: Body) -> Result<(), CallError> {
        let over = || CallError::UnknownDestination("the session is over".to_owned());
        let session = self.upgrade().ok_or_else(over)?;
        let counted = || payload.counted(&session).map(EventKind::External);
        let taken = session.lock().mailbox.offer(0, counted);
        taken.ok_or_else(over)??;
        session.changed.notify_waiters();
        Ok(())
    }
}

impl Session {
    /// How others reach this session.
    #[must_use]
    pub fn address(&self) -> SessionAddress {
        SessionAddress(Arc::downgrade(&self.shared))
    }

    /// Starts another flow of the tenant in a session of its own, so much later, and returns its id. It outlives this one.
    ///
    /// # Errors
    /// `UnknownDestination` for no such flow, `Unsupported` for one that takes calls, `Denied`.
    pub fn spawn(&self, flow: &str, args: Body, after: Duration) -> Result<String, CallError> {
        self.shared.require(Capability::Spawn)?;
        let context = &self.shared.context;
        let unknown = || CallError::UnknownDestination(format!("no flow {}", text::quoted(flow)));
        let siblings = context.services.siblings().ok_or_else(unknown)?;
        let longest = Duration::from_millis(context.limits.wait_max_ms);
        context
            .bounds
            .take(|bounds| &bounds.spawns, "limits.tenant.spawns_rate")?;
        siblings.spawn(&context.tenant, flow, args, after.min(longest))
    }

    /// Puts an external event into the mailbox of another session of the tenant, or of this one.
    ///
    /// # Errors
    /// `UnknownDestination` for no such session, `Denied` when its mailbox is full or the tenant has sent as much as it may.
    pub fn send(&self, session: &str, payload: Body) -> Result<(), CallError> {
        self.shared.require(Capability::Send)?;
        let context = &self.shared.context;
        let unknown = || CallError::UnknownDestination(format!("no session {}", text::quoted(session)));
        let siblings = context.services.siblings().ok_or_else(unknown)?;
        context
            .bounds
            .take(|bounds| &bounds.posts, "limits.tenant.posts_rate")?;
        siblings.send(&context.tenant, session, payload)
    }
}
