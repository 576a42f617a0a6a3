//! What runs at this moment: permits, the shards that sessions of jobs live on, and the end of all.
//!
//! Knows neither flows nor routes. Entry type: [`Runs`]. Invariants: there are never more instances than permits; a run
//! that has ended has given its permit back; once the host drains nothing begins.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::call::ShardQueue;

pub(super) struct Runs {
    permits: Arc<Semaphore>,
    permits_in_all: usize,
    runtime: Handle,
    draining: AtomicBool,
    ending: watch::Sender<bool>,
    shards: Mutex<Vec<Arc<ShardQueue>>>,
    next_shard: AtomicUsize,
}

impl Runs {
    /// `most` runs at a time, on `runtime`.
    pub(super) fn new(most: usize, runtime: Handle) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most)),
            permits_in_all: most,
            runtime,
            draining: AtomicBool::new(false),
            ending: watch::Sender::new(false),
            shards: Mutex::default(),
            next_shard: AtomicUsize::new(0),
        }
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.permits_in_all
            .saturating_sub(self.permits.available_permits())
    }

    /// The right to run one more.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Has every run of [`Runs::until_the_end`] dropped.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Runs to its end (its output) or to that of the host (none): dropping a run hangs its legs up.
    pub(super) async fn until_the_end<F: Future>(&self, run: F) -> Option<F::Output> {
        let mut ending = self.ending.subscribe();
        tokio::select! {
            output = run => Some(output),
            _ = ending.wait_for(|ending| *ending) => None,
        }
    }

    pub(super) fn add_shard(&self, queue: Arc<ShardQueue>) {
        self.shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue);
    }

    /// A shard for a session that no call began: each in its turn.
    pub(super) fn shard(&self) -> Option<Arc<ShardQueue>> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next_shard.fetch_add(1, Ordering::Relaxed);
        shards.get(turn.checked_rem(shards.len())?).map(Arc::clone)
    }
}
