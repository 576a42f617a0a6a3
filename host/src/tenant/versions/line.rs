//! The accepted versions of one flow, as numbers and states: what is current, what is tried, what is broken.
//!
//! Plain data that is written to disk as it stands, and its transitions. Knows no code, no calls and no files. Entry
//! type: [`Line`]. Invariants: what is current, tried or pinned is kept, and is not broken but for a current version that
//! has nothing before it; numbers are never given twice.

use serde::{Deserialize, Serialize};

use super::pin::Pin;

/// All that is known of the versions of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// The last number that was given.
    last: u32,
    /// What new calls get.
    pub(super) current: Option<u32>,
    /// What was current before, the latest last.
    former: Vec<u32>,
    /// What a share of the new calls gets.
    pub(super) canary: Option<Canary>,
    /// What calls of certain numbers get; the first that fits decides.
    pub(super) pins: Vec<Pinned>,
    /// The flow's own file, as it was when it was last taken or refused for good: SHA-256.
    pub(super) file_seen: Option<String>,
    /// In the order of their numbers.
    pub(super) kept: Vec<Record>,
}

/// A share of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Canary {
    pub(super) number: u32,
    /// 1 to 100.
    pub(super) percent: u8,
}

/// The calls of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pinned {
    pub(super) pin: Pin,
    pub(super) number: u32,
}

/// One version that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) number: u32,
    /// SHA-256 of its file, hexadecimal.
    pub(super) digest: String,
    /// Bytes of its file.
    pub(super) bytes: usize,
    /// Milliseconds since 1970 began.
    pub(super) accepted_ms: u64,
    pub(super) by: String,
    /// How long it took to compile, or to find compiled.
    pub(super) compile_ms: u64,
    pub(super) world: String,
    pub(super) imports: Vec<String>,
    /// It came well through its first calls.
    pub(super) proven: bool,
    /// Why it is not used again by itself.
    pub(super) broken: Option<String>,
}

/// What becomes of a version that is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Only for this share of the new calls, in percent, 1 to 100; a call's share hangs on its Call-ID.
    pub canary: Option<u8>,
    /// Only for the calls of these numbers.
    pub pins: Vec<Pin>,
}

impl Rollout {
    fn is_for_all(&self) -> bool {
        self.canary.is_none() && self.pins.is_empty()
    }
}

/// Why a version cannot be put in another's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChange {
    /// Nothing is kept that could be gone back to.
    #[error("there is no version before the current one that is kept and was not broken: deploy one")]
    NothingBefore,
    /// Nothing is tried.
    #[error("no version is tried on a share of the calls or on pinned numbers; name the version to promote")]
    NothingTried,
    /// More than one is tried.
    #[error("more than one version is tried ({0}); name the one to promote")]
    Ambiguous(String),
    /// It is not kept.
    #[error("there is no version {0}; `callbox versions` lists those that are kept")]
    Unknown(u32),
    /// It is that already.
    #[error("version {0} is the current one already")]
    Already(u32),
    /// No such pin.
    #[error("{0} is not pinned")]
    NotPinned(Pin),
    /// Too many pins.
    #[error(
        "the flow would have more than {0} pins (limits.versions.pins_max): take some away with rollback --pin"
    )]
    TooManyPins(usize),
}

/// What becomes of the calls of a version that is taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallen {
    /// It was only tried: its calls go to the current one.
    Tried,
    /// This one is current instead.
    BackTo(u32),
    /// There is nothing else.
    Alone,
    /// It had no calls any more.
    Unused,
}

impl Line {
    /// The record of a version.
    pub(super) fn record(&self, number: u32) -> Option<&Record> {
        self.kept.iter().find(|record| record.number == number)
    }

    fn record_mut(&mut self, number: u32) -> Option<&mut Record> {
        self.kept.iter_mut().find(|record| record.number == number)
    }

    /// The number that the next version gets.
    pub(super) fn next_number(&self) -> u32 {
        self.last.saturating_add(1)
    }

    /// Takes a version in. `record.number` must be [`Line::next_number`].
    pub(super) fn accept(
        &mut self,
        record: Record,
        rollout: &Rollout,
        pins_max: usize,
    ) -> Result<(), NoChange> {
        let number = record.number;
        let mut pins: Vec<Pinned> = self.pins.clone();
        for pin in &rollout.pins {
            pins.retain(|pinned| pinned.pin != *pin);
            let pin = pin.clone();
            pins.push(Pinned { pin, number });
        }
        if pins.len() > pins_max {
            return Err(NoChange::TooManyPins(pins_max));
        }
        self.pins = pins;
        self.last = number;
        self.kept.push(record);
        if let Some(percent) = rollout.canary {
            self.canary = Some(Canary { number, percent });
        }
        if rollout.is_for_all() {
            self.put_current(number);
        }
        Ok(())
    }

    fn put_current(&mut self, number: u32) {
        if let Some(before) = self.current.replace(number) {
            self.former
                .retain(|former| *former != before && *former != number);
            self.former.push(before);
        }
        // What was tried beside the old one is over: it would be compared with another version than it was meant to be.
        self.canary = None;
        self.pins.retain(|pinned| pinned.number != number);
    }

    /// Makes a version current: the named one, or the one that is tried.
    pub(super) fn promote(&mut self, number: Option<u32>) -> Result<u32, NoChange> {
        let number = match (number, self.canary) {
            (Some(number), _) => number,
            (None, Some(canary)) => canary.number,
            (None, None) => {
                let mut tried: Vec<u32> = self.pins.iter().map(|pinned| pinned.number).collect();
                tried.sort_unstable();
                tried.dedup();
                match tried.as_slice() {
                    [] => return Err(NoChange::NothingTried),
                    [one] => *one,
                    more => {
                        let names: Vec<String> = more.iter().map(u32::to_string).collect();
                        return Err(NoChange::Ambiguous(names.join(", ")));
                    }
                }
            }
        };
        if self.current == Some(number) {
            return Err(NoChange::Already(number));
        }
        let record = self.record_mut(number).ok_or(NoChange::Unknown(number))?;
        // Who promotes a version by its number has looked at it.
        record.broken = None;
        self.put_current(number);
        Ok(number)
    }

    /// The version that a rollback of the current one leads to.
    pub(super) fn before_current(&self) -> Option<u32> {
        let good = |number: &&u32| {
            self.record(**number)
                .is_some_and(|record| record.broken.is_none())
        };
        self.former.iter().rev().find(good).copied()
    }

    /// Takes the latest step back: the canary is given up, or the version before the current one is current again.
    pub(super) fn roll_back(&mut self) -> Result<Fallen, NoChange> {
        if let Some(canary) = self.canary.take() {
            self.pins.retain(|pinned| pinned.number != canary.number);
            return Ok(Fallen::Tried);
        }
        let before = self.before_current().ok_or(NoChange::NothingBefore)?;
        self.step_back_to(before);
        Ok(Fallen::BackTo(before))
    }

    fn step_back_to(&mut self, number: u32) {
        while self.former.pop().is_some_and(|former| former != number) {}
        self.current = Some(number);
        self.canary = None;
    }

    /// Takes pins away.
    pub(super) fn unpin(&mut self, pins: &[Pin]) -> Result<(), NoChange> {
        for pin in pins {
            if !self.pins.iter().any(|pinned| pinned.pin == *pin) {
                return Err(NoChange::NotPinned(pin.clone()));
            }
        }
        self.pins.retain(|pinned| !pins.contains(&pinned.pin));
        Ok(())
    }

    /// A version is not to be used again by itself.
    pub(super) fn break_version(&mut self, number: u32, why: String) -> Fallen {
        if let Some(record) = self.record_mut(number) {
            record.broken = Some(why);
        }
        let tried = self.canary.is_some_and(|canary| canary.number == number)
            || self.pins.iter().any(|pinned| pinned.number == number);
        self.canary = self.canary.filter(|canary| canary.number != number);
        self.pins.retain(|pinned| pinned.number != number);
        if self.current != Some(number) {
            return if tried { Fallen::Tried } else { Fallen::Unused };
        }
        match self.before_current() {
            Some(before) => {
                self.step_back_to(before);
                Fallen::BackTo(before)
            }
            None => {
                // Nothing else answers these calls: it stays, and its circuit says when it is tried again.
                if let Some(record) = self.record_mut(number) {
                    record.broken = None;
                }
                Fallen::Alone
            }
        }
    }

    /// A version is gone: nothing leads to it any more. Its own file, if it came from there, is new again.
    pub(super) fn lose(&mut self, number: u32) {
        let digest = self.record(number).map(|record| record.digest.clone());
        self.kept.retain(|record| record.number != number);
        self.former.retain(|former| *former != number);
        self.canary = self.canary.filter(|canary| canary.number != number);
        self.pins.retain(|pinned| pinned.number != number);
        if digest == self.file_seen {
            self.file_seen = None;
        }
        if self.current == Some(number) {
            match self.before_current() {
                Some(before) => self.step_back_to(before),
                None => self.current = None,
            }
        }
    }

    /// A version came well through its first calls. False if that was known.
    pub(super) fn prove(&mut self, number: u32) -> bool {
        match self.record_mut(number) {
            Some(record) if !record.proven => {
                record.proven = true;
                true
            }
            _ => false,
        }
    }

    /// Whether bytes with this digest broke before and were not promoted since.
    pub(super) fn why_broken(&self, digest: &str) -> Option<&str> {
        let of_digest = self.kept.iter().rev().find(|record| record.digest == digest)?;
        of_digest.broken.as_deref()
    }

    /// The versions whose code is needed now: what calls may get, and what the current one falls back to.
    pub(super) fn needed(&self) -> Vec<u32> {
        let mut needed: Vec<u32> = self.current.into_iter().collect();
        needed.extend(self.canary.map(|canary| canary.number));
        needed.extend(self.pins.iter().map(|pinned| pinned.number));
        needed.extend(self.fallback());
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// What a current version that is not proven yet falls back to.
    pub(super) fn fallback(&self) -> Option<u32> {
        let proven = self.record(self.current?)?.proven;
        if proven { None } else { self.before_current() }
    }

    /// Forgets the oldest versions that nothing needs until at most `most` are kept.
    pub(super) fn prune(&mut self, most: usize) {
        let mut needed = self.needed();
        needed.extend(self.before_current());
        while self.kept.len() > most {
            let Some(oldest) = self
                .kept
                .iter()
                .position(|record| !needed.contains(&record.number))
            else {
                break;
            };
            self.kept.remove(oldest);
        }
        let kept = &self.kept;
        self.former
            .retain(|number| kept.iter().any(|record| record.number == *number));
    }

    /// Whether the numbers refer to what is kept; a file that was edited by hand may not.
    pub(super) fn is_sound(&self) -> bool {
        let known = |number: u32| number <= self.last && self.record(number).is_some();
        self.needed().into_iter().all(known)
            && self.former.iter().all(|number| known(*number))
            && self
                .canary
                .is_none_or(|canary| (1..=100).contains(&canary.percent))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(number: u32) -> Record {
        Record {
            number,
            digest: format!("digest-{number}"),
            bytes: 1,
            accepted_ms: 1,
            by: "folder".to_owned(),
            compile_ms: 1,
            world: "call-flow".to_owned(),
            imports: Vec::new(),
            proven: false,
            broken: None,
        }
    }

    fn accept(line: &mut Line, rollout: &Rollout) -> u32 {
        let number = line.next_number();
        line.accept(record(number), rollout, 4).unwrap();
        assert!(line.is_sound());
        number
    }

    fn canary(percent: u8) -> Rollout {
        Rollout {
            canary: Some(percent),
            ..Rollout::default()
        }
    }

    fn pin(text: &str) -> Rollout {
        Rollout {
            pins: vec![text.parse().unwrap()],
            ..Rollout::default()
        }
    }

    #[test]
    fn a_rollback_goes_one_step_further_back_each_time() {
        let mut line = Line::default();
        for _ in 0..3 {
            accept(&mut line, &Rollout::default());
        }
        assert_eq!(line.roll_back(), Ok(Fallen::BackTo(2)));
        assert_eq!(line.roll_back(), Ok(Fallen::BackTo(1)));
        assert_eq!(line.roll_back(), Err(NoChange::NothingBefore));
        assert_eq!(line.current, Some(1));
        assert_eq!(line.promote(Some(3)), Ok(3));
        assert_eq!(line.roll_back(), Ok(Fallen::BackTo(1)));
    }

    #[test]
    fn a_canary_is_promoted_or_given_up_and_the_current_one_stays() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        accept(&mut line, &canary(10));
        assert_eq!((line.current, line.needed()), (Some(1), vec![1, 2]));
        assert_eq!(line.roll_back(), Ok(Fallen::Tried));
        assert_eq!((line.current, line.canary), (Some(1), None));
        assert_eq!(line.promote(None), Err(NoChange::NothingTried));
        let third = accept(&mut line, &canary(50));
        assert_eq!(line.promote(None), Ok(third));
        assert_eq!((line.current, line.canary), (Some(third), None));
        accept(&mut line, &canary(50));
        accept(&mut line, &Rollout::default());
        assert_eq!(line.canary, None, "a version for all ends the trial");
    }

    #[test]
    fn pins_stay_until_they_are_taken_away_or_promoted() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        accept(&mut line, &pin("+44*"));
        accept(&mut line, &pin("+49*"));
        assert!(matches!(line.promote(None), Err(NoChange::Ambiguous(_))));
        accept(&mut line, &Rollout::default());
        assert_eq!(line.needed(), [1, 2, 3, 4], "1 is what 4 falls back to");
        line.unpin(&["+44*".parse().unwrap()]).unwrap();
        assert!(line.unpin(&["+44*".parse().unwrap()]).is_err());
        assert_eq!(line.promote(None), Ok(3));
        assert!(line.pins.is_empty());
        for text in ["1", "2", "3", "4"] {
            accept(&mut line, &pin(text));
        }
        let number = line.next_number();
        let fifth = line.accept(record(number), &pin("5"), 4);
        assert_eq!(fifth, Err(NoChange::TooManyPins(4)));
        assert_eq!(line.next_number(), number, "nothing has changed");
    }

    #[test]
    fn a_broken_version_gives_way_and_is_not_gone_back_to() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        assert_eq!(line.break_version(1, "trapped".to_owned()), Fallen::Alone);
        accept(&mut line, &Rollout::default());
        accept(&mut line, &canary(5));
        assert_eq!(line.break_version(3, "trapped".to_owned()), Fallen::Tried);
        assert_eq!(line.why_broken("digest-3"), Some("trapped"));
        assert_eq!(line.why_broken("digest-2"), None);
        accept(&mut line, &Rollout::default());
        assert_eq!(line.break_version(2, "late".to_owned()), Fallen::Unused);
        assert_eq!(line.break_version(4, "trapped".to_owned()), Fallen::BackTo(1));
        assert_eq!(line.current, Some(1));
        assert_eq!(line.promote(Some(4)), Ok(4));
        assert_eq!(line.why_broken("digest-4"), None);
    }

    #[test]
    fn what_is_lost_is_as_if_it_had_never_been() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        accept(&mut line, &Rollout::default());
        accept(&mut line, &canary(5));
        accept(&mut line, &pin("+44*"));
        line.file_seen = Some("digest-2".to_owned());
        for number in [3, 4, 2] {
            line.lose(number);
            assert!(line.is_sound());
        }
        assert_eq!((line.current, line.needed()), (Some(1), vec![1]));
        assert_eq!(line.file_seen, None, "its file is taken again");
        line.lose(1);
        assert_eq!((line.current, line.next_number()), (None, 5));
    }

    #[test]
    fn the_oldest_that_nothing_needs_are_forgotten() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        accept(&mut line, &pin("+44*"));
        for _ in 0..20 {
            accept(&mut line, &Rollout::default());
            line.prune(4);
            assert!(line.is_sound());
        }
        let kept: Vec<u32> = line.kept.iter().map(|record| record.number).collect();
        assert_eq!(kept, [2, 20, 21, 22], "the pinned one stays");
        assert_eq!(line.roll_back(), Ok(Fallen::BackTo(21)));
        assert_eq!(line.next_number(), 23);
    }

    #[test]
    fn the_version_before_is_at_hand_until_the_current_one_is_proven() {
        let mut line = Line::default();
        accept(&mut line, &Rollout::default());
        accept(&mut line, &Rollout::default());
        assert_eq!(line.needed(), [1, 2]);
        assert!(line.prove(2));
        assert!(!line.prove(2));
        assert_eq!(line.needed(), [2]);
        line.prune(1);
        assert_eq!(line.roll_back(), Ok(Fallen::BackTo(1)), "kept all the same");
    }
}
