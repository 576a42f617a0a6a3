//! Calls that were refused before a flow had them, by what they were told and why.
//!
//! Counted on SIP threads, most of all when there is too much to do: so in a table of fixed size, without locks. Entry type:
//! [`Refusals`]. Invariant: a reason is a word of this program's, never one of a peer's, so that there are few; what finds no
//! place any more is counted as `other`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{HostEnd, Refusal};

/// Kinds of refusals that are told apart: a dozen reasons, of which one has the codes that flows have configured.
const KINDS: usize = 64;

/// Counts refusals.
pub(super) struct Refusals {
    kinds: [Kind; KINDS],
    other: AtomicU64,
}

#[derive(Default)]
struct Kind {
    /// Taken by the first refusal of its kind, in the order of the table.
    what: OnceLock<(u16, &'static str)>,
    count: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            kinds: std::array::from_fn(|_| Kind::default()),
            other: AtomicU64::new(0),
        }
    }
}

/// Refusals of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The final response; 0 for those of which there were too many kinds.
    pub code: u16,
    /// A limit by its name, or a word: `no-route`, `not-loaded`, `draining`, `broken-version`, `other`.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

impl Refusals {
    /// Counts one.
    pub(super) fn count(&self, refusal: &Refusal) {
        let what = (refusal.code, reason(refusal));
        let counter = self
            .kinds
            .iter()
            .find(|kind| *kind.what.get_or_init(|| what) == what)
            .map_or(&self.other, |kind| &kind.count);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub(super) fn read(&self) -> Vec<Refused> {
        let known = self.kinds.iter().filter_map(|kind| {
            let (code, reason) = *kind.what.get()?;
            let count = kind.count.load(Ordering::Relaxed);
            Some(Refused { code, reason, count })
        });
        let other = Refused {
            code: 0,
            reason: "other",
            count: self.other.load(Ordering::Relaxed),
        };
        known.chain((other.count > 0).then_some(other)).collect()
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match (refusal.why, refusal.code) {
        (Some(why), _) if [HostEnd::SHUTTING_DOWN.text, HostEnd::DRAINED.text].contains(&why) => "draining",
        (Some(limit), _) => limit,
        (None, 404) => "no-route",
        (None, 500) => "not-loaded",
        (None, _) => "broken-version",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_reason_and_there_are_only_so_many() {
        let refusals = Refusals::default();
        let busy = Refusal::busy(Duration::from_secs(5));
        for _ in 0..3 {
            refusals.count(&busy.clone().because("limits.calls_max"));
        }
        refusals.count(&busy.because(HostEnd::SHUTTING_DOWN.text));
        refusals.count(&Refusal::new(404));
        let read = refusals.read();
        let of = |code, reason| {
            let found = read
                .iter()
                .find(|kind| (kind.code, kind.reason) == (code, reason));
            found.map(|kind| kind.count)
        };
        assert_eq!(of(503, "limits.calls_max"), Some(3));
        assert_eq!(of(503, "draining"), Some(1));
        assert_eq!(of(404, "no-route"), Some(1));
        assert_eq!(read.len(), 3);
        for code in 400..700 {
            refusals.count(&Refusal::new(code));
        }
        let read = refusals.read();
        assert_eq!(read.len(), KINDS + 1);
        assert_eq!(read.iter().map(|kind| kind.count).sum::<u64>(), 5 + 300);
    }
}
