//! The end of what runs, wanted by the operator: of one session, of a flow's sessions, of all.
//!
//! Each end has two steps: the flow is told to finish within a time of grace (the event `shutdown`), and then it is dropped
//! and its legs are ended, for a reason that their peers read (RFC 3326). Entry points: [`Directory::drain`], [`Directory::shut_down`],
//! [`Directory::end_calls`], [`Directory::end_session`]; [`Directory::drain_for_now`] is the operator's, who may take it back. Invariant: a
//! session that begins after the end of all has begun ends at once.

use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::entrance::Ends;
use super::runs::Runs;
use crate::call::{HostEnd, IncomingCall, Refusal, SessionAddress};
use crate::config::DrainTarget;

impl Directory {
    /// Takes no more calls, which get 503 or are sent elsewhere (`[drain] redirect`), and starts no more jobs. What is up
    /// goes on.
    pub fn drain(&self) {
        self.runs.entrance.close_for_good();
        self.room.drain();
    }

    /// As [`Directory::drain`], and tells every session to finish within this time. Nothing ends by itself when it is over:
    /// [`Directory::end_calls`] is the second step.
    pub fn shut_down(&self, within: Duration) {
        self.drain();
        self.runs.tell_all(within);
    }

    /// Takes no more calls until [`Directory::resume`]: they are sent to `redirect`, or as [`Directory::drain`] says, and no job
    /// starts. What is up goes on; with a time of grace it is told to finish within it, and ended then unless an operator has
    /// said something else in the meantime.
    ///
    /// # Errors
    /// [`Ends`].
    pub fn drain_for_now(&self, redirect: Option<DrainTarget>, grace: Option<Duration>) -> Result<(), Ends> {
        let word = self.runs.entrance.close(redirect, grace)?;
        self.room.drain();
        let Some(grace) = grace else { return Ok(()) };
        if grace.is_zero() {
            self.runs
                .end_those(self.runs.addresses(None), HostEnd::DRAINED, grace);
            return Ok(());
        }
        self.runs.tell_all(grace);
        let runs = Arc::clone(&self.runs);
        self.runs.runtime().spawn(async move {
            tokio::time::sleep(grace).await;
            if runs.entrance.is_last(word) {
                let left = runs.addresses(None);
                left.iter().for_each(|session| session.stop(HostEnd::DRAINED));
            }
        });
        Ok(())
    }

    /// Takes calls again; false when they were taken all the time. A job that ended meanwhile begins again if it was to be
    /// begun again at its end.
    ///
    /// # Errors
    /// [`Ends`].
    pub fn resume(&self) -> Result<bool, Ends> {
        let resumed = self.runs.entrance.open()?;
        if resumed {
            self.room.resume();
            // The host may have begun to end in between, and its word goes.
            if self.runs.is_draining() {
                self.room.drain();
            }
        }
        Ok(resumed)
    }

    /// Whether new calls are turned away.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.runs.is_draining()
    }

    /// Ends every call and job: flows are dropped where they wait or at their next turn, and their legs are ended.
    pub fn end_calls(&self) {
        self.drain();
        self.runs.end();
    }

    /// Ends one session: it is told to finish within `grace`, and ended for this reason if it has not. False when there is
    /// no such session.
    pub fn end_session(&self, session: &str, why: HostEnd, grace: Duration) -> bool {
        self.runs.end_one(session, why, grace)
    }

    /// Ends the sessions of one flow of a tenant likewise; how many there are.
    pub fn end_flow(&self, tenant: &str, flow: &str, why: HostEnd, grace: Duration) -> usize {
        self.runs.end_flow(tenant, flow, why, grace)
    }

    /// What a caller gets while the host drains.
    pub(super) fn turned_away(&self, call: &IncomingCall) -> Refusal {
        let refused = self.count_refused();
        if refused.is_power_of_two() {
            tracing::info!(
                call = call.call_id(),
                refused,
                "a call was turned away: the host drains"
            );
        }
        let draining = self.runs.entrance.draining();
        let ends = draining.as_ref().is_none_or(|draining| draining.for_good);
        let own = draining.as_ref().and_then(|draining| draining.redirect.as_ref());
        let refusal = match own.or(self.redirect.as_ref()) {
            Some(peer) => Refusal::redirect(peer.uri_for(&call.user())),
            None => Refusal::busy(self.retry_after),
        };
        refusal.because(
            if ends {
                HostEnd::SHUTTING_DOWN
            } else {
                HostEnd::DRAINED
            }
            .text,
        )
    }
}

impl Runs {
    /// Tells every session to finish within this time.
    pub(super) fn tell_all(&self, within: Duration) {
        for session in self.addresses(None) {
            session.shut_down(within);
        }
    }

    /// As [`Directory::end_session`].
    pub(super) fn end_one(&self, session: &str, why: HostEnd, grace: Duration) -> bool {
        let found = self.address(session);
        let is_there = found.is_some();
        self.end_those(found.into_iter().collect(), why, grace);
        is_there
    }

    /// As [`Directory::end_flow`].
    pub(super) fn end_flow(&self, tenant: &str, flow: &str, why: HostEnd, grace: Duration) -> usize {
        let found = self.addresses_of(tenant, flow);
        let count = found.len();
        self.end_those(found, why, grace);
        count
    }

    fn end_those(&self, sessions: Vec<SessionAddress>, why: HostEnd, grace: Duration) {
        if grace.is_zero() || sessions.is_empty() {
            return sessions.iter().for_each(|session| session.stop(why));
        }
        for session in &sessions {
            session.shut_down(grace);
        }
        self.runtime().spawn(async move {
            tokio::time::sleep(grace).await;
            sessions.iter().for_each(|session| session.stop(why));
        });
    }
}
