//! The versions of a flow: which of them a call gets, which are kept, and how one takes another's place.
//!
//! [`Versions`] is what a flow has of them in memory, `line` what is known of them, `shelf` what is kept on disk, `deploy`
//! how one is taken in (`admit` and `smoke` are what it has to pass), `breaker` how one falls, `watch` what the flow's own file has to do with it,
//! `tend` what is done in the background. Knows no SIP.
//!
//! Invariants: a call reads once which version it gets and keeps that; the code of a version is in memory while a call
//! may get it, a call has it, or the current one may have to fall back to it, and not longer; what is in memory changes in one step.

mod admit;
mod breaker;
mod choice;
mod circuit;
mod deploy;
mod deploys;
mod line;
mod pin;
mod report;
mod shelf;
mod smoke;
mod standing;
mod tend;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::flow::Version;
pub(super) use admit::check;
pub use choice::{Choice, Share};
pub(super) use circuit::Circuit;
pub(super) use deploy::Keeper;
pub use deploy::{DeployError, Deployed};
pub(super) use deploys::Deploys;
use line::Line;
pub use line::{NoChange, Rollout};
pub use pin::Pin;
pub use report::{Failure, FlowVersions, VersionInfo};
pub use standing::{CanaryServing, Fallen, PinServing, Serving as ServingVersion, Standing};
pub(super) use tend::Tending;

/// The versions of one flow. Outlives the plan that the flow stands in.
pub(super) struct Versions {
    serving: ArcSwap<Serving>,
    book: Mutex<Book>,
    /// Who changes what is kept: one at a time.
    turn: tokio::sync::Mutex<()>,
    /// Who writes the index: one at a time, so that the last one written is the newest.
    writing: Mutex<()>,
}

/// What a call reads.
#[derive(Default)]
struct Serving {
    current: Option<Arc<Version>>,
    canary: Option<(u8, Arc<Version>)>,
    pins: Vec<(Pin, Arc<Version>)>,
}

#[derive(Default)]
struct Book {
    line: Line,
    /// The code that is needed.
    loaded: BTreeMap<u32, Arc<Version>>,
    /// Versions that calls may still have.
    alive: BTreeMap<u32, Weak<Version>>,
    /// Changes of the line so far, and how many of them are on disk.
    changes: u64,
    written: u64,
    /// A version that is to give way as soon as the code of the one before it is there, and why.
    falling: Option<(u32, String)>,
    /// What was kept has been read.
    restored: bool,
    /// The digest of the flow's own file when it was last tried.
    tried: Option<String>,
    /// Why the last version was not taken; none once one was.
    failure: Option<Failure>,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            serving: ArcSwap::from_pointee(Serving::default()),
            book: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            writing: Mutex::new(()),
        }
    }
}

impl Serving {
    /// The version that the calls of these numbers are pinned to: that of the first pin that holds.
    fn pinned(&self, dialled: &str, caller: &mut impl FnMut() -> String) -> Option<&Arc<Version>> {
        let holds = |(pin, _): &&(Pin, Arc<Version>)| pin.holds(dialled, caller);
        self.pins.iter().find(holds).map(|(_, version)| version)
    }
}

impl Versions {
    /// What a call gets: by its numbers, by its share, or what is current. None while there is none.
    pub(super) fn pick(
        &self,
        dialled: &str,
        mut caller: impl FnMut() -> String,
        call_id: impl FnOnce() -> String,
    ) -> Option<Arc<Version>> {
        let serving = self.serving.load();
        if let Some(version) = serving.pinned(dialled, &mut caller) {
            return Some(Arc::clone(version));
        }
        if let Some((percent, version)) = &serving.canary
            && share_of(call_id().as_bytes(), version.number) < *percent
        {
            return Some(Arc::clone(version));
        }
        serving.current.clone()
    }

    /// What everybody gets who is no call.
    pub(super) fn current(&self) -> Option<Arc<Version>> {
        self.serving.load().current.clone()
    }

    /// Every version that is in memory or may be.
    pub(super) fn alive(&self) -> Vec<Weak<Version>> {
        self.book().alive.values().map(Weak::clone).collect()
    }

    /// The share of the calls that a canary gets, 0 without one.
    pub(super) fn canary_percent(&self) -> u8 {
        self.serving
            .load()
            .canary
            .as_ref()
            .map_or(0, |(percent, _)| *percent)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic while the lock was held leaves plain data behind, each step of which is valid on its own.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the line, with code that has just been loaded; or refuses and changes nothing.
    fn change<T>(
        &self,
        fresh: Option<Arc<Version>>,
        kept_max: usize,
        change: impl FnOnce(&mut Line) -> Result<T, NoChange>,
    ) -> Result<T, NoChange> {
        let mut book = self.book();
        let mut line = book.line.clone();
        let done = change(&mut line)?;
        line.prune(kept_max);
        book.line = line;
        book.changes += 1;
        if let Some(fresh) = fresh {
            book.loaded.insert(fresh.number, fresh);
        }
        self.serve(&mut book);
        Ok(done)
    }

    /// Puts to work what the line says, as far as its code is there.
    fn serve(&self, book: &mut Book) {
        let needed = book.line.needed();
        let Book {
            loaded, alive, line, ..
        } = book;
        for (number, version) in loaded.iter() {
            alive.insert(*number, Arc::downgrade(version));
        }
        loaded.retain(|number, _| needed.contains(number));
        alive.retain(|_, version| version.strong_count() > 0);
        let code = |number: u32| loaded.get(&number).map(Arc::clone);
        let serving = Serving {
            current: line.current.and_then(code),
            canary: line
                .canary
                .and_then(|canary| Some((canary.percent, code(canary.number)?))),
            pins: line
                .pins
                .iter()
                .filter_map(|pinned| Some((pinned.pin.clone(), code(pinned.number)?)))
                .collect(),
        };
        self.serving.store(Arc::new(serving));
    }
}

/// Where a call stands among a hundred: the same for the same call and version at each time and on each host, and another
/// order of calls for each version (FNV-1a, whose low bits are mixed).
fn share_of(call_id: &[u8], number: u32) -> u8 {
    let seed = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = call_id.iter().fold(seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Below 100, so it fits.
    u8::try_from((mixed >> 40) % 100).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_calls_is_a_share_and_sticks() {
        for number in [1, 2, 77] {
            for percent in [1_u8, 10, 50, 90] {
                let inside = (0..20_000)
                    .filter(|call| share_of(format!("{call}@192.0.2.1").as_bytes(), number) < percent)
                    .count();
                let expected = 200 * usize::from(percent);
                assert!(
                    inside.abs_diff(expected) < 60 + expected / 8,
                    "version {number}: {inside} of 20000 for {percent} %"
                );
            }
        }
        let call = b"a84b4c76e66710@pc33.example.com";
        assert_eq!(share_of(call, 5), share_of(call, 5));
        let differs = (0..100_u32).any(|number| share_of(call, number) != share_of(call, 0));
        assert!(differs, "another version tries other calls");
    }
}
