//! The one way to wait in this layer: for a change or for a deadline, whichever is first.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

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
