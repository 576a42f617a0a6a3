//! The threads that flows run on.
//!
//! Each thread has a runtime of its own, and a run stays where it began. One runtime for all of them wakes a second thread
//! whenever a first finds work, which then finds none: with four wakes a call that is two system calls and two changes of
//! context each. Turns are shared fairly on each thread by itself (`plugin/fair.rs`).
//!
//! Entry types: [`FlowThreads`], which ends them, and [`FlowRuntime`], which everybody has who starts a run. Knows neither
//! flows nor calls. Invariant: a flow thread knows its number, and no other thread has one.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    static COMPUTES: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// How many threads there are: one for each core.
pub(super) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The number of the calling thread, if flows run on it; below [`count`].
pub(super) fn number() -> Option<usize> {
    NUMBER.get()
}

/// Says whether a flow has the calling thread at this moment.
pub(super) fn computes(now: bool) {
    COMPUTES.with_borrow(|computes| {
        if let Some(computes) = computes {
            computes.store(now, Ordering::Relaxed);
        }
    });
}

/// The running threads.
#[derive(Debug)]
pub struct FlowThreads {
    runtime: FlowRuntime,
    stop: watch::Sender<bool>,
}

/// Where a run is started. A clone starts on the same threads.
#[derive(Debug, Clone)]
pub struct FlowRuntime {
    first: Thread,
    others: Arc<[Thread]>,
    next: Arc<AtomicUsize>,
}

#[derive(Debug, Clone)]
struct Thread {
    handle: Handle,
    computes: Arc<AtomicBool>,
}

impl FlowThreads {
    /// Starts one thread for each core; each calls `begin` first.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(begin: fn()) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let first = start_one(0, begin, stopped.clone())?;
        let others = (1..count())
            .map(|number| start_one(number, begin, stopped.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            runtime: FlowRuntime {
                first,
                others,
                next: Arc::default(),
            },
            stop,
        })
    }

    /// What runs are started on.
    #[must_use]
    pub fn runtime(&self) -> &FlowRuntime {
        &self.runtime
    }

    /// Drops what runs as soon as it gives way. Waits for nobody: a flow that computes goes on until its next turn.
    pub fn shutdown_background(self) {
        self.stop.send_replace(true);
    }
}

fn start_one(number: usize, begin: fn(), mut stopped: watch::Receiver<bool>) -> io::Result<Thread> {
    // Flows wait for times and for SIP, never for files: a runtime without the system's event queue wakes with less.
    let runtime = Builder::new_current_thread()
        .enable_time()
        // A turn of a flow that computes is 50 µs: times that fall due are looked at every few of them, not every 61; and
        // what other threads have started or woken before each.
        .event_interval(8)
        .global_queue_interval(1)
        .build()?;
    let thread = Thread::over(runtime.handle().clone());
    let computes = Arc::clone(&thread.computes);
    std::thread::Builder::new()
        .name("flow".to_owned())
        .spawn(move || {
            NUMBER.set(Some(number));
            COMPUTES.set(Some(computes));
            begin();
            runtime.block_on(async move {
                // An error is the end of whoever could say it.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
            runtime.shutdown_background();
        })?;
    Ok(thread)
}

impl Thread {
    fn over(handle: Handle) -> Self {
        Self {
            handle,
            computes: Arc::default(),
        }
    }

    /// How much it has to do: less is better.
    fn load(&self) -> (bool, usize) {
        (
            self.computes.load(Ordering::Relaxed),
            self.handle.metrics().num_alive_tasks(),
        )
    }
}

impl FlowRuntime {
    /// A thread for one more task: of two in turn one that is free, or that with fewer tasks, which keeps them level without
    /// a look at all.
    #[must_use]
    pub fn pick(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let (one, other) = (self.at(turn), self.at(turn.wrapping_add(1)));
        let picked = if other.load() < one.load() { other } else { one };
        &picked.handle
    }

    /// The thread of this number, or any where none is asked for.
    #[must_use]
    pub fn pick_or(&self, number: Option<usize>) -> &Handle {
        number.map_or_else(|| self.pick(), |number| &self.at(number).handle)
    }

    fn at(&self, turn: usize) -> &Thread {
        match turn % (self.others.len() + 1) {
            0 => &self.first,
            number => self.others.get(number - 1).unwrap_or(&self.first),
        }
    }
}

/// One runtime that is there already.
impl From<Handle> for FlowRuntime {
    fn from(handle: Handle) -> Self {
        Self {
            first: Thread::over(handle),
            others: Arc::default(),
            next: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn tasks_are_spread_and_stay_where_they_began() {
        let threads = FlowThreads::start(|| {}).unwrap();
        let tasks: Vec<_> = (0..4 * count())
            .map(|_| {
                threads.runtime().pick().spawn(async {
                    let began = number();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    (began, number())
                })
            })
            .collect();
        let mut met = vec![0; count()];
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async {
                for task in tasks {
                    let (began, ended) = task.await.unwrap();
                    assert_eq!(began, ended);
                    *met.get_mut(began.unwrap()).unwrap() += 1;
                }
            });
        assert!(met.iter().all(|tasks| *tasks == 4), "{met:?}");
        assert_eq!(number(), None);
        threads.shutdown_background();
    }

    #[test]
    fn the_end_drops_what_waits() {
        struct Told(std::sync::mpsc::SyncSender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let threads = FlowThreads::start(|| {}).unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let told_at_the_end = Told(tell);
        threads.runtime().pick().spawn(async move {
            let _it = told_at_the_end;
            std::future::pending::<()>().await;
        });
        threads.shutdown_background();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
