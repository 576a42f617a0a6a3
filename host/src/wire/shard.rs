//! A shard: one thread, one endpoint, and every call whose Call-ID hashes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
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
    /// [`WOKEN`] from `wake` until the shard looks, [`AT_WORK`] while it will look before it sleeps: either spares the
    /// notification, which is a system call, and one that the shard would make for itself most often.
    state: AtomicU8,
    notify: Arc<Notify>,
}

/// Somebody has called `wake`.
const WOKEN: u8 = 1;
/// The shard has begun a turn.
const AT_WORK: u8 = 2;

impl ShardWaker {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(WakeCell::default()),
        }
    }

    /// Has the shard call [`ShardCore::woken`] soon. What was queued before this call is seen in that turn.
    pub fn wake(&self) {
        if self.inner.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.inner.notify.notify_one();
        }
    }

    /// The shard begins a turn, in which it calls [`ShardWaker::take`] until that is false.
    pub(crate) fn begin(&self) {
        self.inner.state.fetch_or(AT_WORK, Ordering::AcqRel);
    }

    /// Whether anybody woke the shard. Cleared before the queues are read, so that who wakes it while it reads is heard too.
    pub(crate) fn take(&self) -> bool {
        self.inner.state.fetch_and(!WOKEN, Ordering::AcqRel) & WOKEN != 0
    }

    /// The turn is over, and the next `wake` notifies again. True when the shard was woken since it looked last: then it
    /// has to come back by itself.
    pub(crate) fn end(&self) -> bool {
        self.inner.state.fetch_and(!AT_WORK, Ordering::AcqRel) & WOKEN != 0
    }

    /// The next notification, for the shard to poll.
    pub(crate) fn woken(&self) -> OwnedNotified {
        Arc::clone(&self.inner.notify).notified_owned()
    }
}
