//! A shard: one thread, one endpoint, and every call whose Call-ID hashes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Which shard; counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// Asks a shard to call `ShardCore::woken`. Cheap to clone and to call from any thread; many wakes before
/// the shard's next turn are one.
#[derive(Debug, Clone)]
pub struct ShardWaker {
    inner: Arc<WakeCell>,
}

#[derive(Debug, Default)]
struct WakeCell {
    /// Set from `wake` until the shard's turn begins. Spares the notification when one is already under way.
    pending: AtomicBool,
    notify: Notify,
}

impl ShardWaker {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(WakeCell::default()),
        }
    }

    /// Has the shard call `ShardCore::woken` soon. What was queued before this call is seen in that turn.
    pub fn wake(&self) {
        if !self.inner.pending.swap(true, Ordering::AcqRel) {
            self.inner.notify.notify_one();
        }
    }

    /// Begins the shard's turn: whether anybody woke it. Cleared before the queues are read, so that a wake
    /// during the turn causes another one.
    pub(crate) fn take(&self) -> bool {
        self.inner.pending.swap(false, Ordering::AcqRel)
    }

    /// Waits for a wake. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.inner.notify.notified().await;
    }
}
