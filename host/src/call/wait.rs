//! The one way to wait in this layer: for a change or for a deadline, whichever is first.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::error::CallError;
use super::session::SessionShared;

/// Waits until `ready` says something, or so long. Whatever changes in the session asks it again.
pub(super) async fn ready<T>(
    session: &SessionShared,
    timeout: Duration,
    mut ready: impl FnMut() -> Option<Result<T, CallError>>,
) -> Result<T, CallError> {
    let deadline = session.deadline(timeout);
    let mut announced = false;
    loop {
        let notified = session.changed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if let Some(result) = ready() {
            return result;
        }
        if !announced {
            announced = true;
            session.before_wait();
        }
        if !until(notified, Some(deadline)).await {
            // What arrived in the same moment still counts.
            return ready().unwrap_or(Err(CallError::Timeout));
        }
    }
}

/// Waits for the notification (true) or the deadline (false); without a deadline, for the notification.
pub(super) async fn until(notified: Pin<&mut Notified<'_>>, deadline: Option<Instant>) -> bool {
    match deadline {
        None => {
            notified.await;
            true
        }
        Some(deadline) => before(notified, deadline).await,
    }
}

async fn before(future: impl Future<Output = ()>, deadline: Instant) -> bool {
    tokio::time::timeout_at(deadline, future).await.is_ok()
}
