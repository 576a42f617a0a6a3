//! Log lines: tracing events written by a thread of their own, so that no SIP thread ever waits for a disk.
//!
//! Invariant: logging never blocks. With the queue full a line is dropped and counted, and the count is written once
//! there is room.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::admin::LogLines;
use crate::config::LogFormat;
use crate::metrics::LogTally;
use crate::pii::{self, Shown};

/// How long the first line of a batch waits for more.
const GATHER: Duration = Duration::from_millis(10);

enum Entry {
    Line(Vec<u8>),
    End,
}

/// Gives lines to the log's thread.
#[derive(Clone)]
pub(super) struct LogWriter {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
    tally: Arc<LogTally>,
}

/// Writes what is left when it is dropped.
pub(super) struct Log {
    lines: SyncSender<Entry>,
    thread: Option<JoinHandle<()>>,
    tally: Arc<LogTally>,
}

impl Log {
    /// What became of lines so far.
    pub(super) fn tally(&self) -> Arc<LogTally> {
        Arc::clone(&self.tally)
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tally.comes();
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Entry::Line(line.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.tally.dropped();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Waits for room: this is the end of the process, not a SIP thread.
        if self.lines.send(Entry::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// Starts the thread that writes to `out` and gives the lines to `followers`, with a queue of `lines` lines.
pub(super) fn writer(
    lines: usize,
    out: impl Write + Send + 'static,
    followers: Option<LogLines>,
) -> io::Result<(LogWriter, Log)> {
    let (sender, receiver) = sync_channel(lines);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    let tally = Arc::new(LogTally::default());
    let told = Arc::clone(&tally);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write(&receiver, (&counter, &told), out, followers.as_ref()))?;
    Ok((
        LogWriter {
            lines: sender.clone(),
            dropped,
            tally: Arc::clone(&tally),
        },
        Log {
            lines: sender,
            thread: Some(thread),
            tally,
        },
    ))
}

#[allow(
    clippy::disallowed_methods,
    reason = "the log's own thread, which nobody waits for"
)]
fn write(
    lines: &Receiver<Entry>,
    (dropped, tally): (&AtomicU64, &LogTally),
    out: impl Write,
    followers: Option<&LogLines>,
) {
    let mut out = io::BufWriter::with_capacity(64 * 1024, out);
    loop {
        let entry = match lines.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Empty) => {
                // Nobody waits for more, so what is there must be seen now.
                let _ = out.flush();
                let entry = match lines.recv() {
                    Ok(entry) => entry,
                    Err(_) => return,
                };
                // A busy host logs a line every few hundred microseconds. To wake for each of them costs as much as a
                // call; so many at a time are written a moment later.
                std::thread::sleep(GATHER);
                entry
            }
            Err(TryRecvError::Disconnected) => return,
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "{{\"level\":\"WARN\",\"message\":\"{lost} log lines dropped: the log is too slow\"}}"
            );
        }
        match entry {
            // A log that cannot be written has nobody to tell.
            Entry::Line(line) => {
                let _ = out.write_all(&line);
                tally.written();
                if let Some(followers) = followers {
                    followers.put(&line);
                }
            }
            Entry::End => {
                let _ = out.flush();
                return;
            }
        }
    }
}

/// Of what other libraries write, that which nobody wrote with persons in mind is left out under redaction.
fn ours_or_important(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target().split("::").next().unwrap_or_default();
    matches!(target, "callbox" | "callbox_sip" | "flow" | "sip") || *metadata.level() <= Level::INFO
}

/// Sends all tracing events to standard error from now on, and to who follows the log.
pub(super) fn start(
    format: LogFormat,
    level: Option<&str>,
    shown: Shown,
    lines: usize,
    followers: Option<LogLines>,
) -> anyhow::Result<Log> {
    pii::show(shown);
    let level = level.unwrap_or("info");
    let filter = EnvFilter::try_new(level).with_context(|| {
        format!("{level:?} is not a log level; write one of error, warn, info, debug, trace")
    })?;
    let (writer, log) =
        writer(lines, io::stderr(), followers).context("cannot start the thread of the log")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(true);
    let others = filter_fn(move |metadata| !shown.redact || ours_or_important(metadata));
    let installed = match format {
        LogFormat::Text => builder.with_ansi(false).finish().with(others).try_init(),
        LogFormat::Json => builder
            .json()
            .with_current_span(true)
            .with_span_list(false)
            .flatten_event(true)
            .finish()
            .with(others)
            .try_init(),
    };
    installed.map_err(|error| anyhow!("logging was set up twice: {error}"))?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Condvar, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Sink>, Condvar)>);

    /// Whether writing goes on, and what was written.
    type Sink = (bool, Vec<u8>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (lock, open) = &*self.0;
            let mut state = open.wait_while(lock.lock().unwrap(), |state| !state.0).unwrap();
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_log_blocks_nobody_and_what_it_lost_is_counted() {
        let gate = Gate::default();
        let (mut writer, log) = writer(4, gate.clone(), None).unwrap();
        for line in 0..1_000 {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        // The thread may have taken some lines into its buffer before it stuck; the rest beyond the queue is lost.
        gate.0.0.lock().unwrap().0 = true;
        gate.0.1.notify_all();
        drop(log);
        let written = String::from_utf8(gate.0.0.lock().unwrap().1.clone()).unwrap();
        assert!(
            written.starts_with("0\n") || written.starts_with('{'),
            "{written}"
        );
        let lines = written.lines().filter(|line| !line.starts_with('{')).count() as u64;
        let lost: u64 = written
            .lines()
            .filter_map(|line| {
                line.strip_prefix("{\"level\":\"WARN\",\"message\":\"")?
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .sum();
        assert!(lines >= 4);
        assert_eq!(lines + lost, 1_000, "{written}");
    }
}
