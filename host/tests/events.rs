//! The mailbox of a session: what a wait for the next event takes, and when there is nothing to wait for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{CallError, EventKind, Session};
use tokio::time::timeout;

use support::{Pair, SOON, context};

/// The next event without a time-out of its own.
async fn next(session: &Session, sources: Option<&[u32]>) -> Result<EventKind, CallError> {
    let next = timeout(SOON, session.next_event(sources, None)).await;
    next.expect("it waits for ever").map(|event| event.kind)
}

fn is_hopeless(next: &Result<EventKind, CallError>) -> bool {
    matches!(next, Err(CallError::WrongState(_)))
}

#[tokio::test]
async fn a_wait_that_nothing_can_end_is_refused() {
    let session = Session::detached("test".to_owned(), context());
    assert!(is_hopeless(&next(&session, None).await));
    assert!(
        is_hopeless(&next(&session, Some(&[])).await),
        "no source is every source"
    );
    let leg = session.new_leg().unwrap();
    assert!(
        is_hopeless(&next(&session, None).await),
        "an idle leg has no news"
    );
    assert!(is_hopeless(&next(&session, Some(&[leg.id()])).await));

    session.set_timer(1, Duration::from_millis(5));
    assert!(
        is_hopeless(&next(&session, Some(&[leg.id()])).await),
        "a timer is none of the leg's"
    );
    assert!(matches!(next(&session, Some(&[])).await, Ok(EventKind::Timer(1))));
    assert!(is_hopeless(&next(&session, None).await));

    // With a time-out it is waited, and the session itself may be written to at any time.
    let short = Some(Duration::from_millis(5));
    assert!(matches!(
        session.next_event(None, short).await,
        Err(CallError::Timeout)
    ));
    let waits = timeout(Duration::from_millis(50), session.next_event(Some(&[0]), None));
    assert!(waits.await.is_err());
}

#[tokio::test]
async fn the_last_event_of_the_last_leg_ends_the_wait_and_another_wait_is_refused() {
    let mut pair = Pair::start().await;
    for _ in 0..20 {
        let (ours, theirs_session, theirs) = pair.connected().await;
        // The end comes in the middle of the wait, or before it.
        let (came, ()) = tokio::join!(next(&theirs_session, None), async {
            ours.hangup(None).unwrap();
        });
        assert!(matches!(came, Ok(EventKind::HungUp(_))), "{came:?}");
        assert!(is_hopeless(&next(&theirs_session, None).await));
        drop(theirs);
    }
}
