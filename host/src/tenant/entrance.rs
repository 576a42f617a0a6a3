//! Whether the host takes calls: open; closed by an operator, who may open it again; closed for good, because the host ends.
//!
//! Knows no session. Entry type: [`Entrance`]. Invariants: what is closed for good never opens; a call reads one flag, and more
//! only where it is turned away; the operator's last word holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::DrainTarget;
use crate::unix_time::now_ms;

/// Why and since when new calls are turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draining {
    /// The host ends: it never takes a call again.
    pub for_good: bool,
    /// Milliseconds since 1970.
    pub since_ms: u64,
    /// Where new calls are sent instead of `[drain] redirect`.
    pub redirect: Option<DrainTarget>,
    /// When the calls that are up are ended, in milliseconds since 1970; none: when their flows end.
    pub ends_ms: Option<u64>,
}

/// The host is about to end: nobody can change that any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is shutting down; start it again to have it take calls")]
pub struct Ends;

#[derive(Default)]
pub(super) struct Entrance {
    closed: AtomicBool,
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    draining: Option<Draining>,
    /// Words of operators so far.
    words: u64,
}

impl Entrance {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Why it is closed, if it is.
    pub(super) fn draining(&self) -> Option<Draining> {
        self.state().draining.clone()
    }

    /// The host ends.
    pub(super) fn close_for_good(&self) {
        let mut state = self.state();
        match &mut state.draining {
            Some(draining) => draining.for_good = true,
            None => {
                state.draining = Some(Draining {
                    for_good: true,
                    since_ms: now_ms(),
                    redirect: None,
                    ends_ms: None,
                });
            }
        }
        self.closed.store(true, Ordering::Release);
    }

    /// An operator wants no more calls, and what is up to end within `grace`, if there is one; the number of this word.
    ///
    /// # Errors
    /// [`Ends`].
    pub(super) fn close(&self, redirect: Option<DrainTarget>, grace: Option<Duration>) -> Result<u64, Ends> {
        let mut state = self.state();
        let before = state.draining.as_ref();
        if before.is_some_and(|draining| draining.for_good) {
            return Err(Ends);
        }
        let now = now_ms();
        let ms = |grace: Duration| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        state.draining = Some(Draining {
            for_good: false,
            since_ms: before.map_or(now, |draining| draining.since_ms),
            redirect,
            ends_ms: grace.map(|grace| now.saturating_add(ms(grace))),
        });
        state.words += 1;
        self.closed.store(true, Ordering::Release);
        Ok(state.words)
    }

    /// An operator wants calls again; false when they were taken all the time.
    ///
    /// # Errors
    /// [`Ends`].
    pub(super) fn open(&self) -> Result<bool, Ends> {
        let mut state = self.state();
        match &state.draining {
            Some(draining) if draining.for_good => return Err(Ends),
            Some(_) => {}
            None => return Ok(false),
        }
        state.draining = None;
        state.words += 1;
        self.closed.store(false, Ordering::Release);
        drop(state);
        self.opened.notify_waiters();
        Ok(true)
    }

    /// Whether nothing was said since this word.
    pub(super) fn is_last(&self, word: u64) -> bool {
        self.state().words == word
    }

    /// Waits until calls are taken. Where the host ends it waits for ever.
    pub(super) async fn until_open(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, each step of which is valid on its own.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_an_operator_closed_opens_again_and_a_host_that_ends_does_not() {
        let entrance = Entrance::default();
        assert!(!entrance.is_closed() && entrance.open() == Ok(false));
        let peer: DrainTarget = "sip:two.example".parse().unwrap();
        let first = entrance.close(Some(peer.clone()), None).unwrap();
        assert!(entrance.is_closed() && entrance.is_last(first));
        let second = entrance.close(None, Some(Duration::from_secs(1))).unwrap();
        assert!(!entrance.is_last(first) && entrance.is_last(second));
        let draining = entrance.draining().unwrap();
        assert_eq!(draining.redirect, None, "the last word holds");
        assert!(draining.ends_ms.unwrap() >= draining.since_ms + 1_000);

        let waits = entrance.until_open();
        tokio::pin!(waits);
        assert!(
            tokio::time::timeout(Duration::from_millis(10), waits.as_mut())
                .await
                .is_err()
        );
        assert_eq!(entrance.open(), Ok(true));
        waits.await;
        assert!(!entrance.is_last(second) && entrance.draining().is_none());

        entrance.close(Some(peer.clone()), None).unwrap();
        entrance.close_for_good();
        assert_eq!(
            (entrance.open(), entrance.close(None, None)),
            (Err(Ends), Err(Ends))
        );
        assert_eq!(entrance.draining().unwrap().redirect, Some(peer));
    }
}
