//! The thread that writes records, and the queue before it.
//!
//! Entry types: [`Recorder`], the handle of everybody who has a record; [`Writer`], which ends the thread. Invariants: a
//! record that was handed over is written, or counted as lost; a batch is at most `batch` records and waits for company no
//! longer than `batch_wait`; while the store fails the same batch is tried again, less and less often, and the queue fills.
#![allow(
    clippy::disallowed_methods,
    reason = "it sleeps on a thread of its own, and in the main thread at the end of the host"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::entry::Record;
use super::retry::Retry;
use super::sink::{Sink, StoreError};
use crate::unix_time::now_ms;

/// How often old records are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// Between two steps of that work, so that it disturbs nobody.
const TIDY_PAUSE: Duration = Duration::from_millis(200);
/// How long a stopping host sleeps between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What happens when records come faster than they can be written, or not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Calls go on, and records that find no place are lost and counted.
    #[default]
    Drop,
    /// New calls are refused until there is room, so that every call that is taken has its record.
    RefuseCalls,
}

/// The sizes of a queue.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Records that wait.
    pub queue: usize,
    /// Records in one transaction.
    pub batch: usize,
    /// How long a record waits for company.
    pub batch_wait: Duration,
    /// Sessions at a time, each of which keeps a place in the queue where calls are refused for the lack of one.
    pub sessions: usize,
}

/// What became of records so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acknowledged by the store.
    pub written: u64,
    /// Never written: the queue was full, or the host ended before the store took them.
    pub lost: u64,
    /// Waiting now, those in the writer's hands included.
    pub waiting: usize,
    /// Times that the store refused a batch.
    pub failures: u64,
    /// The store does not work at this moment.
    pub failing: bool,
}

/// Takes records. Cheap to clone; one without a store takes none.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Line>>);

struct Line {
    queue: SyncSender<Box<Record>>,
    tally: Arc<Tally>,
    when_full: WhenFull,
    /// From so many that wait on, calls are refused.
    most: usize,
}

#[derive(Default)]
struct Tally {
    written: AtomicU64,
    lost: AtomicU64,
    waiting: AtomicUsize,
    failures: AtomicU64,
    failing: AtomicBool,
    stopping: AtomicBool,
}

/// The thread that writes.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Recorder {
    /// One that keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        sink: Box<dyn Sink>,
        bounds: &Bounds,
        when_full: WhenFull,
    ) -> std::io::Result<(Self, Writer)> {
        let room = match when_full {
            WhenFull::Drop => bounds.queue,
            // Calls that are up when the queue is full end later, and have their places too.
            WhenFull::RefuseCalls => bounds.queue.saturating_add(bounds.sessions),
        };
        let (queue, records) = sync_channel(room);
        let tally = Arc::new(Tally::default());
        let work = Work {
            sink,
            records,
            tally: Arc::clone(&tally),
            batch: Vec::with_capacity(bounds.batch),
            most: bounds.batch,
            wait: bounds.batch_wait,
            retry: Retry::default(),
        };
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || work.run())?;
        let line = Line {
            queue,
            tally: Arc::clone(&tally),
            when_full,
            most: bounds.queue,
        };
        let writer = Writer {
            thread: Some(thread),
            tally,
        };
        Ok((Self(Some(Arc::new(line))), writer))
    }

    /// Whether records are kept at all: without it nobody need fill one in.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a record over. Never waits.
    pub fn keep(&self, record: Box<Record>) {
        let Some(line) = &self.0 else { return };
        line.tally.waiting.fetch_add(1, Ordering::Relaxed);
        if line.queue.try_send(record).is_err() {
            line.tally.waiting.fetch_sub(1, Ordering::Relaxed);
            line.tally.lose(1, "limits.record.queue reached");
        }
    }

    /// Whether a new call has to be refused, because nobody could say that its record will be kept.
    #[must_use]
    pub fn refuses_calls(&self) -> bool {
        self.0.as_ref().is_some_and(|line| {
            line.when_full == WhenFull::RefuseCalls && line.tally.waiting.load(Ordering::Relaxed) >= line.most
        })
    }

    /// What became of records so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0
            .as_ref()
            .map(|line| line.tally.counts())
            .unwrap_or_default()
    }
}

impl Tally {
    fn counts(&self) -> Counts {
        Counts {
            written: self.written.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
        }
    }

    fn lose(&self, records: u64, why: &str) {
        let before = self.lost.fetch_add(records, Ordering::Relaxed);
        let after = before + records;
        // At the first, and whenever their number has doubled.
        if records > 0 && before.checked_ilog2() != after.checked_ilog2() {
            tracing::warn!(lost = after, "{why}: call records are lost");
        }
    }
}

impl Writer {
    /// Lets the thread write what waits, for so long at most, and ends it. To be called when no more sessions end.
    pub fn stop(mut self, longest: Duration) {
        self.tally.stopping.store(true, Ordering::Release);
        let until = Instant::now() + longest;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            if Instant::now() >= until {
                let waiting = self.tally.waiting.load(Ordering::Relaxed);
                self.tally.lose(
                    waiting as u64,
                    "limits.record.flush_ms was over and the store had not taken all",
                );
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

struct Work {
    sink: Box<dyn Sink>,
    records: Receiver<Box<Record>>,
    tally: Arc<Tally>,
    batch: Vec<Record>,
    most: usize,
    wait: Duration,
    retry: Retry,
}

impl Work {
    fn run(mut self) {
        if let Err(error) = self.sink.open() {
            self.tally.failing.store(true, Ordering::Relaxed);
            tracing::warn!("call records cannot be written yet, calls go on: {error}");
        }
        let mut tidy_at = Instant::now();
        loop {
            let stopping = self.tally.stopping.load(Ordering::Acquire);
            // A host that stops is noticed within this time, or at once when it has records.
            let look = if stopping { Duration::ZERO } else { TIDY_PAUSE };
            match self.records.recv_timeout(look) {
                Ok(record) => {
                    self.batch.push(*record);
                    self.gather();
                    self.write();
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if stopping => return,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= tidy_at => {
                    let more = self.tidy();
                    tidy_at = Instant::now() + if more { TIDY_PAUSE } else { TIDY_EVERY };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits for company, so that a busy host's records share a transaction and its flows wake nobody.
    fn gather(&mut self) {
        let until = Instant::now() + self.wait;
        loop {
            while self.batch.len() < self.most {
                match self.records.try_recv() {
                    Ok(record) => self.batch.push(*record),
                    Err(_) => break,
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let full = self.batch.len() >= self.most;
            if full || left.is_zero() || self.tally.stopping.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
    }

    /// Writes the batch, however long that takes; the end of the host waits for it only so long.
    fn write(&mut self) {
        loop {
            match self.sink.write(&self.batch) {
                Ok(()) => break,
                Err(error) => self.failed(&error),
            }
        }
        let failed = self.retry.worked();
        if self.tally.failing.swap(false, Ordering::Relaxed) {
            let lost = self.tally.lost.load(Ordering::Relaxed);
            tracing::info!(
                place = self.sink.place(),
                failed,
                lost,
                "call records are written again"
            );
        }
        let written = self.batch.len();
        self.tally.written.fetch_add(written as u64, Ordering::Relaxed);
        self.tally.waiting.fetch_sub(written, Ordering::Relaxed);
        self.batch.clear();
    }

    fn failed(&mut self, error: &StoreError) {
        self.tally.failing.store(true, Ordering::Relaxed);
        self.tally.failures.fetch_add(1, Ordering::Relaxed);
        let (wait, worth_a_line) = self.retry.failed();
        if worth_a_line {
            tracing::warn!(
                waiting = self.tally.waiting.load(Ordering::Relaxed),
                again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "call records wait, calls go on: {error}"
            );
        }
        std::thread::sleep(wait);
    }

    fn tidy(&mut self) -> bool {
        self.sink.tidy(now_ms()).unwrap_or_else(|error| {
            tracing::warn!("old call records are not deleted: {error}");
            false
        })
    }
}
