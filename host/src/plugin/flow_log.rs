//! What a flow says: lines from `session.log`, stdout and stderr, into the host's log.
//!
//! A flow's text is hostile: control characters are escaped, a line is cut at its limit, and one call writes so many
//! bytes and no more. What is dropped is counted and told once, at the end. The last lines are kept for the report of
//! a trap. Entry type: [`FlowLog`]; a clone writes to the same log. The caller's tracing span names call, tenant, flow
//! and version. Knows nothing of WebAssembly but the output stream that WASI wants.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::call::TenantBounds;
use crate::config::limits::{self, PluginLimits};

/// Lines kept for the report of a trap.
const LINES_KEPT: usize = 8;
/// Bytes kept of each: a panic's text and place.
const KEPT_LINE_BYTES: usize = 1_200;
/// Charged for each line on top of its bytes, or a flood of empty lines would be free.
const LINE_COST: usize = 64;

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of one call.
#[derive(Clone)]
pub(super) struct FlowLog {
    shared: Arc<Mutex<Lines>>,
}

struct Lines {
    line_max: usize,
    bytes_left: usize,
    kept: VecDeque<String>,
    dropped_lines: u64,
    dropped_bytes: u64,
    /// The bound that dropped the first of them.
    dropped_by: &'static str,
    bounds: Arc<TenantBounds>,
}

impl FlowLog {
    pub(super) fn new(limits: &PluginLimits, bounds: Arc<TenantBounds>) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Lines {
                line_max: limits.log_line_max_bytes,
                bytes_left: limits.log_max_bytes,
                kept: VecDeque::new(),
                dropped_lines: 0,
                dropped_bytes: 0,
                dropped_by: "",
                bounds,
            })),
        }
    }

    /// Writes one line, if the call's budget has room for it.
    pub(super) fn line(&self, level: Level, text: &str) {
        if let Some(line) = self.lock().admit(text) {
            match level {
                Level::Trace => tracing::trace!(target: "flow", "{line}"),
                Level::Debug => tracing::debug!(target: "flow", "{line}"),
                Level::Info => tracing::info!(target: "flow", "{line}"),
                Level::Warn => tracing::warn!(target: "flow", "{line}"),
                Level::Error => tracing::error!(target: "flow", "{line}"),
            }
        }
    }

    /// The last lines, oldest first.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.lock().kept.iter().cloned().collect()
    }

    /// Tells how much was dropped, if anything was; for the end of the call. Returns the number of lines.
    pub(super) fn close(&self) -> u64 {
        let mut lines = self.lock();
        let (dropped, bytes) = (
            std::mem::take(&mut lines.dropped_lines),
            std::mem::take(&mut lines.dropped_bytes),
        );
        let by = lines.dropped_by;
        drop(lines);
        if dropped > 0 {
            limits::hit(by);
            tracing::warn!(target: "flow", dropped, bytes, "suppressed {dropped} lines of this flow's log ({by})");
        }
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A panic while holding it cannot leave the counters wrong in a way that matters.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn admit(&mut self, text: &str) -> Option<String> {
        let cost = text.len().min(self.line_max) + LINE_COST;
        let by = if cost > self.bytes_left {
            Some("limits.plugin.log_max_bytes")
        } else if !self.bounds.log.take_many(cost as u64) {
            Some("limits.tenant.log_rate")
        } else {
            None
        };
        if let Some(by) = by {
            if self.dropped_lines == 0 {
                self.dropped_by = by;
            }
            self.dropped_lines += 1;
            self.dropped_bytes += text.len() as u64;
            return None;
        }
        self.bytes_left -= cost;
        let line = escape(text, self.line_max);
        if self.kept.len() == LINES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(cut(&line, KEPT_LINE_BYTES).to_owned());
        Some(line)
    }
}

/// The text as one line without control characters, cut at `max` bytes of the original.
pub(super) fn escape(text: &str, max: usize) -> String {
    let whole = text.trim_end_matches(['\n', '\r']);
    let shown = cut(whole, max);
    let mut line = String::with_capacity(shown.len() + 4);
    for character in shown.chars() {
        // Bidirectional overrides can make a log say what it does not.
        if character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if shown.len() < whole.len() {
        let _ = write!(line, "… ({} bytes more)", whole.len() - shown.len());
    }
    line
}

fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Stdout or stderr of a flow: each line goes to its log.
#[derive(Clone)]
pub(super) struct Output {
    log: FlowLog,
    level: Level,
    /// The line that has not ended yet; at most one line's limit.
    pending: Arc<Mutex<Vec<u8>>>,
    /// Counts what is written.
    written: Arc<AtomicU64>,
}

/// Bytes that a guest may write in one call of `output-stream.write`.
const WRITE_PERMIT: usize = 16 << 10;

impl Output {
    /// A stream whose bytes are added to `written`.
    pub(super) fn new(log: FlowLog, level: Level, written: &Arc<AtomicU64>) -> Self {
        Self {
            log,
            level,
            pending: Arc::default(),
            written: Arc::clone(written),
        }
    }

    fn push(&self, bytes: &[u8]) {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let line_max = self.log.lock().line_max;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || pending.len() > line_max {
                self.log.line(self.level, &String::from_utf8_lossy(&pending));
                pending.clear();
            }
        }
    }

    /// Writes out a last line that has no end.
    pub(super) fn close(&self) {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if !pending.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&pending));
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only preview 1 and 3 hosts ask for this one; neither is linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::limits::TenantLimits;

    fn log(line: usize, all: usize) -> FlowLog {
        let limits = PluginLimits {
            log_line_max_bytes: line,
            log_max_bytes: all,
            ..Default::default()
        };
        FlowLog::new(&limits, Arc::default())
    }

    #[test]
    fn the_calls_of_a_tenant_share_what_they_may_write() {
        let bounds = TenantBounds::new(
            "acme",
            &TenantLimits {
                log_rate: 1,
                log_burst_bytes: 1_000,
                ..Default::default()
            },
        );
        let logs = [(); 2].map(|()| FlowLog::new(&PluginLimits::default(), Arc::clone(&bounds)));
        for _ in 0..10 {
            logs.iter().for_each(|log| log.line(Level::Info, ""));
        }
        // Each line costs 64, so 15 of the 20 are written.
        assert_eq!(logs.iter().map(FlowLog::close).sum::<u64>(), 5);
        assert_eq!(bounds.log.refused(), 5);
    }

    #[test]
    fn a_guests_text_is_one_harmless_line() {
        assert_eq!(
            escape("a\r\nINVITE\0\u{1b}[2J\u{202e}x\n", 100),
            r"a\r\nINVITE\u{0}\u{1b}[2J\u{202e}x"
        );
        assert_eq!(
            escape("grüße", 3),
            "gr… (5 bytes more)",
            "cut before a character, not in it"
        );
    }

    #[test]
    fn a_flood_ends_and_is_counted() {
        let log = log(1_000, 1_000);
        for _ in 0..1_000_000 {
            log.line(Level::Info, "");
        }
        assert_eq!(log.close(), 1_000_000 - 15);
        assert_eq!(log.close(), 0, "told once");
        assert_eq!(log.last_lines().len(), LINES_KEPT);
    }

    #[test]
    fn one_long_line_pays_for_what_is_shown() {
        let log = log(100, 1_000);
        log.line(Level::Info, &"x".repeat(1 << 20));
        log.line(Level::Info, "next");
        assert_eq!(log.close(), 0);
        assert!(
            log.last_lines()
                .first()
                .unwrap()
                .ends_with("(1048476 bytes more)")
        );
    }

    #[test]
    fn output_is_cut_into_lines_wherever_the_writes_fall() {
        let log = log(20, 10_000);
        let out = Output::new(log.clone(), Level::Info, &Arc::default());
        for bytes in [&b"one\ntw"[..], b"o\n", b"", b"\xff\n", &[b'y'; 50], b"end"] {
            out.push(bytes);
        }
        out.close();
        let lines = log.last_lines();
        assert_eq!(
            lines.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "one",
                "two",
                "\u{fffd}",
                &format!("{}… (30 bytes more)", "y".repeat(20)),
                "end"
            ]
        );
    }
}
