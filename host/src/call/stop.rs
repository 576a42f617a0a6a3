//! The end of a session from outside: the host stops, or an operator ends it.
//!
//! Whoever runs the flow awaits [`Session::stopping`] beside it and ends the legs for the reason that comes out of it. Entry points:
//! [`SessionAddress::stop`], [`SessionAddress::shut_down`]. Invariant: the first reason stays.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::events::EventKind;
use super::host_end::HostEnd;
use super::session::{Session, SessionShared};
use super::siblings::SessionAddress;

/// Whether a session shall end, and why.
#[derive(Default)]
pub(super) struct Stop {
    why: Mutex<Option<HostEnd>>,
    told: Notify,
}

impl Stop {
    fn tell(&self, why: HostEnd) {
        // One value, written whole.
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(why);
        // It is kept for one who begins to wait later.
        self.told.notify_one();
    }
}

/// Waits for the end of a session from outside.
pub struct Stopping(Arc<SessionShared>);

impl Stopping {
    /// Waits until the session shall end; the reason.
    pub async fn wait(&self) -> HostEnd {
        let stop = &self.0.stop;
        loop {
            if let Some(why) = *stop.why.lock().unwrap_or_else(PoisonError::into_inner) {
                return why;
            }
            stop.told.notified().await;
        }
    }
}

impl Session {
    /// Learns when the session shall end.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        Stopping(Arc::clone(&self.shared))
    }
}

impl SessionAddress {
    /// Ends the session at its flow's next turn: whoever runs it drops the flow and ends the legs for this reason.
    pub fn stop(&self, why: HostEnd) {
        if let Some(session) = self.upgrade() {
            session.stop.tell(why);
        }
    }

    /// Tells the flow to finish within this time: the event `shutdown`.
    pub fn shut_down(&self, within: Duration) {
        if let Some(session) = self.upgrade() {
            session.post(0, EventKind::Shutdown(within));
        }
    }
}
