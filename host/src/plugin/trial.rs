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

/// How often a run is looked at: a version takes effect no sooner than its trial is over.
const LOOK: Duration = Duration::from_millis(5);
/// A run that has begun and was not woken during so many looks one after the other, 20 ms, waits for something that is not there.
const QUIET_LOOKS: u32 = 4;

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
    watch(run, turns, longest).await.map(|report| report.outcome)
}

async fn watch<T>(run: impl Future<Output = T>, turns: &Turns, longest: Duration) -> Option<T> {
    let mut run = pin!(run);
    let end = Instant::now() + longest;
    let mut quiet = 0;
    loop {
        let before = turns.so_far();
        let look = (Instant::now() + LOOK).min(end);
        if let Ok(done) = timeout_at(look, &mut run).await {
            return Some(done);
        }
        // Looking at it is a turn of its own, twice: when the wait begins and when it is over. The look within which it
        // began says nothing: its first turn may have been longer than any look.
        let own = turns.so_far().wrapping_sub(before);
        quiet = if before > 0 && own <= 2 { quiet + 1 } else { 0 };
        if quiet == QUIET_LOOKS || Instant::now() >= end {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn one_that_waits_is_through_long_before_its_time_is_over() {
        let turns = Turns::default();
        let began = Instant::now();
        assert!(
            watch(turns.count(pending::<()>()), &turns, LONGEST)
                .await
                .is_none()
        );
        let took = began.elapsed();
        assert!(took >= LOOK * QUIET_LOOKS && took < LONGEST / 2, "{took:?}");
    }

    #[tokio::test]
    async fn one_that_goes_on_after_short_waits_is_seen_to_its_end() {
        let turns = Turns::default();
        let run = async {
            // Longer than a look, and woken again before it counts as one that waits.
            let began = Instant::now();
            while began.elapsed() < LOOK * 2 {
                std::hint::spin_loop();
            }
            for _ in 0..200 {
                yield_now().await;
            }
            "trapped"
        };
        assert_eq!(watch(turns.count(run), &turns, LONGEST).await, Some("trapped"));
    }

    #[tokio::test]
    async fn one_that_has_had_no_turn_yet_is_waited_for() {
        let turns = Turns::default();
        // Stands in a queue first, which counts no turn.
        let run = async {
            sleep(LOOK * (QUIET_LOOKS + 8)).await;
            turns.count(async { 7 }).await
        };
        assert_eq!(watch(run, &turns, LONGEST).await, Some(7));
    }

    #[tokio::test]
    async fn one_that_never_rests_ends_with_its_time() {
        let turns = Turns::default();
        let run = async {
            loop {
                yield_now().await;
            }
        };
        let began = Instant::now();
        let longest = Duration::from_millis(100);
        let seen: Option<()> = watch(turns.count(run), &turns, longest).await;
        assert!(seen.is_none() && began.elapsed() >= longest);
    }
}
