//! The host functions that one instance has called, for a trace. Entry type: [`HostCalls`]. Kept only for sessions that are
//! sampled; invariant: at most [`CALLS_MAX`], the first ones.

use std::time::{Duration, Instant};

/// Kept of one run: enough for a menu and a transfer, not for a loop.
const CALLS_MAX: usize = 100;

/// One call of a host function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCall {
    /// `call.answer`: the resource or interface, and the function.
    pub name: &'static str,
    /// Since the instance was begun.
    pub began: Duration,
    /// Until the guest went on, waits included.
    pub took: Duration,
}

/// The calls of one instance.
#[derive(Debug, Clone)]
pub struct HostCalls {
    /// In their order.
    pub calls: Vec<HostCall>,
    /// Those after them.
    pub forgotten: u64,
    since: Instant,
    open: Option<(&'static str, Instant)>,
}

impl HostCalls {
    pub(super) fn new() -> Self {
        Self {
            calls: Vec::new(),
            forgotten: 0,
            since: Instant::now(),
            open: None,
        }
    }

    pub(super) fn begin(&mut self, name: &'static str) {
        if self.calls.len() < CALLS_MAX {
            self.open = Some((name, Instant::now()));
        } else {
            self.forgotten += 1;
        }
    }

    /// The guest goes on, or never will.
    pub(super) fn end(&mut self) {
        // None after what is not ours: WASI, and what the engine does itself.
        let Some((name, began)) = self.open.take() else {
            return;
        };
        self.calls.push(HostCall {
            name,
            began: began.duration_since(self.since),
            took: began.elapsed(),
        });
    }
}
