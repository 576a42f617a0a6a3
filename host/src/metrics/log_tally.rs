//! What became of the lines of the host's own log.
//!
//! Entry type: [`LogTally`]. Written by every thread that logs and by the one that writes; a line is two relaxed additions.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts log lines.
#[derive(Debug, Default)]
pub struct LogTally {
    came: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl LogTally {
    /// A line is about to enter the queue.
    pub fn comes(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    /// It was handed to the terminal or the disk.
    pub fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// It found no room.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that were written, that were dropped, and that wait.
    #[must_use]
    pub fn read(&self) -> (u64, u64, u64) {
        let written = self.written.load(Ordering::Relaxed);
        let dropped = self.dropped.load(Ordering::Relaxed);
        let came = self.came.load(Ordering::Relaxed);
        (written, dropped, came.saturating_sub(written + dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_was_written_dropped_or_waits() {
        let tally = LogTally::default();
        for _ in 0..5 {
            tally.comes();
        }
        tally.written();
        tally.written();
        tally.dropped();
        assert_eq!(tally.read(), (2, 1, 2));
    }
}
