//! Feature codes among the digits of a bridged leg: a code is the flow's, everything else goes to the other peer.
//!
//! A digit that may still become part of a code is held back: until the code is complete, until a digit shows that it is none,
//! or until the pause after it is over. Invariants: digits leave in the order they came; no more are held back than the
//! longest code has; a leg has one timer task at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::Body;
use callbox_sip::message::{HeaderName, Message, Method};
use tokio::time::Instant;

use super::{Bridge, Side, State};
use crate::call::dtmf::{self, Dtmf};
use crate::call::error::CallError;
use crate::call::facts;
use crate::call::text::quoted;

/// Feature codes of one bridge.
const CODES_MAX: usize = 16;
/// Digits of one code.
const CODE_MAX: usize = 16;
/// How long a digit is held back for the next one of a code.
const PAUSE: Duration = Duration::from_millis(1_500);

/// A digit and the body of the INFO that brought it.
pub(super) struct Digit {
    dtmf: Dtmf,
    body: Option<Body>,
}

/// What becomes of a digit.
enum Verdict {
    /// The other peer gets it.
    Relay(Digit),
    /// It belongs to a code: the flow gets it.
    Report(Digit),
}

/// The digits of one leg that are held back.
#[derive(Default)]
pub(super) struct Watch {
    held: VecDeque<Digit>,
    due: Option<Instant>,
    /// A task waits for `due`.
    timed: bool,
}

impl Watch {
    fn typed(&self) -> String {
        self.held.iter().map(|digit| digit.dtmf.digit).collect()
    }

    /// Decides about as many of the oldest digits as can be decided; about all of them when no more come.
    fn decide(&mut self, codes: &[String], no_more: bool) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        loop {
            let typed = self.typed();
            if typed.is_empty() {
                return verdicts;
            }
            let may_grow = |code: &String| code.len() > typed.len() && code.starts_with(&typed);
            if !no_more && codes.iter().any(may_grow) {
                return verdicts;
            }
            let complete = codes.iter().filter(|code| typed.starts_with(code.as_str()));
            match complete.map(String::len).max() {
                Some(digits) => verdicts.extend(self.held.drain(..digits).map(Verdict::Report)),
                None => verdicts.extend(self.held.pop_front().map(Verdict::Relay)),
            }
        }
    }
}

/// Checks the feature codes of a flow.
pub(super) fn check(codes: &[String]) -> Result<(), CallError> {
    if codes.len() > CODES_MAX {
        return Err(CallError::invalid(format!(
            "a bridge watches {CODES_MAX} codes at most, not {}",
            codes.len()
        )));
    }
    let fits = |code: &&String| (1..=CODE_MAX).contains(&code.len()) && code.chars().all(dtmf::is_digit);
    match codes.iter().find(|code| !fits(code)) {
        None => Ok(()),
        Some(code) => Err(CallError::invalid(format!(
            "watch-digits {} must be 1 to {CODE_MAX} of 0-9, *, #, A-D",
            quoted(code)
        ))),
    }
}

impl State {
    fn watch(&mut self, side: Side) -> &mut Watch {
        match side {
            Side::A => &mut self.watch_a,
            Side::B => &mut self.watch_b,
        }
    }
}

impl Bridge {
    /// An INFO of a peer's, which has its 200.
    pub(super) fn info(self: &Arc<Self>, state: &mut State, side: Side, request: &Message) {
        let content_type = request.header(HeaderName::ContentType).unwrap_or_default();
        let codes = &self.options.watch_digits;
        let digit =
            dtmf::parse_info(&facts::lossy(content_type), request.body()).filter(|_| !codes.is_empty());
        let Some(dtmf) = digit else {
            return self.pass(side.other(), Method::Info, request);
        };
        let body = facts::body(request).as_ref().map(facts::to_sip_body);
        let watch = state.watch(side);
        watch.held.push_back(Digit { dtmf, body });
        // Without a clock nothing could be held back.
        let verdicts = watch.decide(codes, self.runtime.is_none());
        self.await_more(watch, side);
        self.carry_out(side, verdicts);
    }

    /// No more digits of this leg are waited for.
    pub(super) fn flush(self: &Arc<Self>, state: &mut State, side: Side) {
        let verdicts = state.watch(side).decide(&self.options.watch_digits, true);
        self.carry_out(side, verdicts);
    }

    fn carry_out(&self, side: Side, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            match verdict {
                Verdict::Relay(digit) => self.send(side.other(), Method::Info, digit.body),
                Verdict::Report(digit) => {
                    self.with(side, |leg, inner| {
                        leg.digit_came(inner, digit.dtmf);
                        leg.session.changed.notify_waiters();
                    });
                }
            }
        }
    }

    fn await_more(self: &Arc<Self>, watch: &mut Watch, side: Side) {
        watch.due = (!watch.held.is_empty()).then(|| Instant::now() + PAUSE);
        let (Some(due), Some(runtime), false) = (watch.due, &self.runtime, watch.timed) else {
            return;
        };
        watch.timed = true;
        let bridge = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut due = due;
            loop {
                tokio::time::sleep_until(due).await;
                let next = bridge.upgrade().and_then(|bridge| bridge.pause_over(side));
                match next {
                    Some(next) => due = next,
                    None => return,
                }
            }
        });
    }

    /// The time of the task is over; gives the next one, if digits came meanwhile.
    fn pause_over(self: &Arc<Self>, side: Side) -> Option<Instant> {
        let mut state = self.lock();
        let watch = state.watch(side);
        if let Some(due) = watch.due.filter(|due| *due > Instant::now()) {
            return Some(due);
        }
        (watch.due, watch.timed) = (None, false);
        self.flush(&mut state, side);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::dtmf::DtmfSource;

    /// Types digits; what was relayed is written as it is, what was reported in brackets, what is held back after `|`.
    fn typed(codes: &[&str], digits: &str, no_more: bool) -> String {
        let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
        let mut watch = Watch::default();
        let mut out = String::new();
        for digit in digits.chars() {
            let dtmf = Dtmf {
                digit,
                duration: None,
                source: DtmfSource::InfoDtmf,
            };
            watch.held.push_back(Digit { dtmf, body: None });
            write(&mut out, watch.decide(&codes, false));
        }
        if no_more {
            write(&mut out, watch.decide(&codes, true));
        }
        format!("{out}|{}", watch.typed())
    }

    fn write(out: &mut String, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            match verdict {
                Verdict::Relay(digit) => out.push(digit.dtmf.digit),
                Verdict::Report(digit) => out.push_str(&format!("[{}]", digit.dtmf.digit)),
            }
        }
    }

    #[test]
    fn a_code_is_reported_and_everything_else_is_relayed_in_order() {
        assert_eq!(typed(&["**"], "12", false), "12|");
        assert_eq!(typed(&["**"], "1*", false), "1|*");
        assert_eq!(typed(&["**"], "1*2", false), "1*2|");
        assert_eq!(typed(&["**"], "1**2", false), "1[*][*]2|");
        assert_eq!(typed(&["**"], "***", false), "[*][*]|*");
        assert_eq!(typed(&["**"], "***", true), "[*][*]*|");
        assert_eq!(typed(&["*1", "*2"], "*3*2", false), "*3[*][2]|");
    }

    #[test]
    fn of_two_codes_the_longer_one_is_waited_for() {
        assert_eq!(typed(&["*", "**"], "*", false), "|*");
        assert_eq!(typed(&["*", "**"], "*", true), "[*]|");
        assert_eq!(typed(&["*", "**"], "*1", false), "[*]1|");
        assert_eq!(typed(&["*", "**"], "**", false), "[*][*]|");
    }

    #[test]
    fn a_code_within_a_beginning_that_failed_is_found() {
        assert_eq!(typed(&["123", "2"], "124", false), "1[2]4|");
        assert_eq!(typed(&["11#"], "111#", false), "1[1][1][#]|");
    }

    #[test]
    fn no_more_is_held_back_than_the_longest_code_has() {
        assert_eq!(typed(&["1111"], "1111111", false), "[1][1][1][1]|111");
        assert_eq!(typed(&["1112"], "1111111", false), "1111|111");
    }

    #[test]
    fn codes_are_checked() {
        let codes = |codes: &[&str]| check(&codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>());
        assert!(codes(&[]).is_ok() && codes(&["**", "1234567890ABCD#*"]).is_ok());
        for bad in ["", "*x", "*a", "* *", "12345678901234567"] {
            assert!(codes(&[bad]).is_err(), "{bad:?}");
        }
        assert!(codes(&["1"; CODES_MAX]).is_ok() && codes(&["1"; CODES_MAX + 1]).is_err());
    }
}
