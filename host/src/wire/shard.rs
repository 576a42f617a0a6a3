//! A shard: one thread, one endpoint, and every call whose Call-ID hashes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use callbox_sip::endpoint::{Endpoint, Event};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// What runs on a shard beside the endpoint: the layer above, which knows what calls are.
///
/// Both methods run on the shard's thread, between its reads: they must not block. The outputs of what they do to the
/// endpoint are drained when they return.
pub trait ShardCore: Send + 'static {
    /// Somebody called [`ShardWaker::wake`] since the last turn.
    fn woken(&mut self, now: Instant, endpoint: &mut Endpoint);
    /// The endpoint reports something.
    fn event(&mut self, now: Instant, endpoint: &mut Endpoint, event: Event);
}

/// Which shard; counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// Asks a shard to call [`ShardCore::woken`]. Cheap to clone and to call from any thread; many wakes before
/// the shard's next turn are one.
#[derive(Debug, Clone)]
pub struct ShardWaker {
    inner: Arc<WakeCell>,
}

#[derive(Debug, Default)]
struct WakeCell {
    /// Set from `wake` until the shard's turn begins. Spares the notification when one is already under way.
    pending: AtomicBool,
    notify: Arc<Notify>,
}

impl ShardWaker {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(WakeCell::default()),
        }
    }

    /// Has the shard call [`ShardCore::woken`] soon. What was queued before this call is seen in that turn.
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

    /// The next notification, for the shard to poll.
    pub(crate) fn woken(&self) -> OwnedNotified {
        Arc::clone(&self.inner.notify).notified_owned()
    }
}
