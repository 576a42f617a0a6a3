//! The session: this instance of the flow, and what the host tells and grants it.

use std::time::Duration;

use crate::wit::callbox::flow::session as raw;
use crate::words::millis;
use crate::{Body, Result};

/// The id of this session, unique for the life of the host.
#[must_use]
pub fn id() -> String {
    raw::id()
}

/// The tenant that this flow belongs to.
#[must_use]
pub fn tenant() -> String {
    raw::tenant()
}

/// The version of this flow, as the host names it.
#[must_use]
pub fn flow_version() -> String {
    raw::flow_version()
}

/// A value of the flow's `config` table in the host's configuration. Seed: `iw.CONF`.
#[must_use]
pub fn config(key: &str) -> Option<String> {
    raw::config(key)
}

/// Sleeps. A BYE that comes meanwhile is answered by the host, and the next method on the leg says so.
pub fn sleep(time: Duration) {
    raw::sleep(millis(time));
}

/// What is left of this session's budgets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Instructions, roughly.
    pub fuel: u64,
    /// Time until the host ends the session.
    pub time: Duration,
    /// Bytes of memory that may still be taken.
    pub memory: u64,
}

/// What is left of this session's budgets.
#[must_use]
pub fn remaining() -> Budget {
    let left = raw::remaining();
    Budget {
        fuel: left.fuel,
        time: Duration::from_millis(left.time.into()),
        memory: left.memory_bytes,
    }
}

/// Sets a field of this session's call record.
pub fn set_cdr_field(key: &str, value: &str) -> Result {
    Ok(raw::set_cdr_field(key, value)?)
}

/// Starts another flow of the tenant, after a delay, in a session of its own; returns that session's id.
pub fn spawn(flow: &str, args: &Body, after: Duration) -> Result<String> {
    Ok(raw::spawn(flow, args, millis(after))?)
}

/// Posts an [`External`](crate::events::EventKind::External) event to another session of the tenant.
pub fn send(session: &str, payload: &Body) -> Result {
    Ok(raw::send(session, payload)?)
}
