//! The queue of traces and the thread that sends them.
//!
//! Entry types: [`Tracer`], the handle of who has a trace, and [`Exporter`], which ends the thread. Invariants as
//! [`crate::trace`] says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::otlp;
use super::post::{Answer, Endpoint};
use super::sampler::Sampler;
use super::span::Trace;

/// Before the second try; each next wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What an exporter needs to start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the collector is.
    pub endpoint: Endpoint,
    /// `service.name`
    pub service: String,
    /// Which sessions are traced.
    pub sampler: Sampler,
    /// Whether spans may hold numbers and URIs of callers and called.
    pub include_numbers: bool,
    /// What waits, and how long for.
    pub bounds: Bounds,
}

/// What waits for the collector, and how long for. The numbers come from the table of limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Traces that wait.
    pub queue: usize,
    /// Traces in one request.
    pub batch: usize,
    /// How long a trace waits for company.
    pub batch_wait: Duration,
    /// For one request, from the look-up of the name to the answer's end.
    pub request_wait: Duration,
    /// Requests of one batch before it is lost.
    pub tries: u32,
    /// The longest that a collector can ask for.
    pub retry_after_max: Duration,
    /// Of an answer.
    pub answer_max_bytes: usize,
}

/// What became of traces so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the collector.
    pub sent: u64,
    /// Lost: no room in the queue, refused by the collector, or tried too often.
    pub dropped: u64,
    /// Spans that the collector did not take in requests that it took.
    pub rejected_spans: u64,
    /// Requests that failed and were worth another try.
    pub failures: u64,
}

/// Takes traces.
#[derive(Clone)]
pub struct Tracer {
    queue: mpsc::Sender<Box<Trace>>,
    settings: Arc<Settings>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    dropped: AtomicU64,
    rejected_spans: AtomicU64,
    failures: AtomicU64,
}

/// The thread that sends.
pub struct Exporter {
    stopping: watch::Sender<bool>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

/// Starts the thread. Whether the collector is there does not matter.
///
/// # Errors
/// The system gives no thread.
pub fn start(settings: Settings) -> std::io::Result<(Tracer, Exporter)> {
    let (queue, traces) = mpsc::channel(settings.bounds.queue);
    let (stopping, stop) = watch::channel(false);
    let (alive, ended) = sync_channel(1);
    let settings = Arc::new(settings);
    let tally = Arc::new(Tally::default());
    let work = Work {
        traces,
        stop,
        settings: Arc::clone(&settings),
        tally: Arc::clone(&tally),
        _alive: alive,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()?;
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            runtime.block_on(work.run());
            // A look-up may hang in the system's resolver.
            runtime.shutdown_background();
        })?;
    let tracer = Tracer {
        queue,
        settings,
        tally,
    };
    Ok((tracer, Exporter { stopping, ended }))
}

impl Tracer {
    /// Which sessions are traced.
    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.settings.sampler
    }

    /// Whether spans may hold numbers and URIs of callers and called.
    #[must_use]
    pub fn includes_numbers(&self) -> bool {
        self.settings.include_numbers
    }

    /// Hands a trace over. Never waits.
    pub fn keep(&self, trace: Box<Trace>) {
        if self.queue.try_send(trace).is_err() {
            self.tally.lose(1, "the queue is full");
        }
    }

    /// What became of traces so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            sent: read(&self.tally.sent),
            dropped: read(&self.tally.dropped),
            rejected_spans: read(&self.tally.rejected_spans),
            failures: read(&self.tally.failures),
        }
    }
}

impl Tally {
    fn lose(&self, traces: u64, why: &str) {
        let before = self.dropped.fetch_add(traces, Ordering::Relaxed);
        let after = before + traces;
        // At the first, and whenever their number has doubled.
        if traces > 0 && before.checked_ilog2() != after.checked_ilog2() {
            tracing::warn!(
                dropped = after,
                why,
                "traces did not get to the collector; calls go on"
            );
        }
    }
}

impl Exporter {
    /// Lets the thread send what waits, for so long at most. To be called when no more sessions end.
    pub fn stop(self, longest: Duration) {
        self.stopping.send_replace(true);
        // Whether it has ended or not: the process goes on to its own end.
        let _ = self.ended.recv_timeout(longest);
    }
}

struct Work {
    traces: mpsc::Receiver<Box<Trace>>,
    stop: watch::Receiver<bool>,
    settings: Arc<Settings>,
    tally: Arc<Tally>,
    _alive: SyncSender<()>,
}

impl Work {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.settings.bounds.batch);
        while let Some(first) = self.next().await {
            batch.push(*first);
            self.gather(&mut batch).await;
            self.deliver(&batch).await;
            batch.clear();
        }
    }

    /// The next trace; none when the host stops and nothing waits.
    async fn next(&mut self) -> Option<Box<Trace>> {
        tokio::select! {
            biased;
            trace = self.traces.recv() => trace,
            _ = self.stop.wait_for(|stop| *stop) => None,
        }
    }

    async fn gather(&mut self, batch: &mut Vec<Trace>) {
        let (most, wait) = (self.settings.bounds.batch, self.settings.bounds.batch_wait);
        let until = Instant::now() + wait;
        while batch.len() < most {
            match timeout_at(until, self.next()).await {
                Ok(Some(trace)) => batch.push(*trace),
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn deliver(&mut self, batch: &[Trace]) {
        let traces = batch.len() as u64;
        let document = otlp::document(&self.settings.service, &self.settings.sampler, batch);
        let document = Bytes::from(document.to_string());
        let mut wait = FIRST_WAIT;
        let mut last = String::new();
        let tries = self.settings.bounds.tries;
        for attempt in 1..=tries {
            match self
                .settings
                .endpoint
                .post(document.clone(), &self.settings.bounds)
                .await
            {
                Answer::Taken { rejected } => {
                    self.tally.sent.fetch_add(traces, Ordering::Relaxed);
                    self.tally.rejected_spans.fetch_add(rejected, Ordering::Relaxed);
                    if rejected > 0 {
                        tracing::warn!(rejected, "the collector of traces did not take all spans");
                    }
                    return;
                }
                Answer::Refused(why) => return self.tally.lose(traces, &why),
                Answer::Later(why, after) => {
                    self.tally.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(why, attempt, "the collector of traces does not take a batch now");
                    last = why;
                    // A host that stops asks once.
                    if attempt == tries || self.rest(after.unwrap_or_default().max(wait)).await {
                        break;
                    }
                    wait *= 2;
                }
            }
        }
        self.tally.lose(traces, &last);
    }

    /// True when the host stops meanwhile.
    async fn rest(&mut self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => true,
            () = sleep(wait) => false,
        }
    }
}
