//! A new version is tried before it gets real calls: instantiated, and run until it waits.
//!
//! Entry points: [`until_it_waits`], for the runner's `try_call` and `try_job`. A flow that traps at once is found out; one that waits for its caller, for a time or for
//! anybody is through. The caller of these provides a session that leads nowhere.
//!
//! Invariant: a trial ends after `longest` at the latest, and its instance with it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::outcome::Outcome;
use super::runner::RunReport;

/// A run that has begun and was not woken for so long waits for something that is not there.
const QUIET: Duration = Duration::from_millis(20);

/// Counts the turns of a run, from inside: while it stands in the queue of its tenant it has none.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicU32);

impl Turns {
    /// The same run, counted.
    pub(super) async fn count<F: Future>(&self, run: F) -> F::Output {
        let mut run = pin!(run);
        poll_fn(|context| {
            self.0.fetch_add(1, Ordering::Relaxed);
            run.as_mut().poll(context)
        })
        .await
    }

    fn so_far(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs until the run ends, waits, or has had its time: how it ended, if it did.
pub(super) async fn until_it_waits(
    run: impl Future<Output = RunReport>,
    turns: &Turns,
    longest: Duration,
) -> Option<Outcome> {
    let mut run = pin!(run);
    let end = Instant::now() + longest;
    loop {
        let before = turns.so_far();
        let look = (Instant::now() + QUIET).min(end);
        if let Ok(report) = timeout_at(look, &mut run).await {
            return Some(report.outcome);
        }
        let now = turns.so_far();
        // Looking at it is a turn of its own, twice: when the wait begins and when it is over.
        let quiet = now > 0 && now.wrapping_sub(before) <= 2;
        if quiet || Instant::now() >= end {
            return None;
        }
        // A run that never has to wait for its own turn would keep this task for itself.
        yield_now().await;
    }
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
