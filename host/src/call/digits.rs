//! Digits as a flow waits for them: one at a time, or gathered until a pattern is complete.
//!
//! Type-ahead is kept: a digit waits in the leg's queue until somebody reads it. Gathering never loses digits: they come
//! back with every outcome.

use std::time::Duration;

use tokio::time::Instant;

use super::dtmf::{Dtmf, is_digit};
use super::error::CallError;
use super::leg::{Leg, LegInner, Phase};
use super::lua_pattern::{LuaPattern, StepsExhausted};
use super::options::{DigitPattern, GatherOptions};
use super::text::quoted;

/// Steps of the pattern matcher for one gathering: a pattern of a flow may backtrack exponentially.
const PATTERN_STEPS_MAX: u64 = 200_000;
/// Bytes of a pattern.
const PATTERN_MAX: usize = 256;
/// Bytes that a compiled regular expression may take.
const REGEX_SIZE_MAX: usize = 256 * 1024;
/// Digits that one gathering may collect.
pub const GATHER_DIGITS_MAX: u32 = 256;

/// Why a gathering ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatherOutcome {
    /// The pattern is complete.
    Matched,
    /// A time-out came first.
    TimedOut,
    /// The peer hung up first.
    HungUp,
    /// `max_digits` came without a match.
    TooManyDigits,
}

/// What was gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// Why it ended.
    pub outcome: GatherOutcome,
    /// All digits of this gathering.
    pub digits: String,
}

impl Leg {
    /// The next digit, typed before or now. Seed `waitfordtmf`.
    ///
    /// # Errors
    /// `Timeout`, `Hangup`, `WrongState` on an idle leg.
    pub async fn wait_for_dtmf(&self, timeout: Duration) -> Result<Dtmf, CallError> {
        self.next_digit(self.shared.session.deadline(timeout), "wait-for-dtmf")
            .await
    }

    /// Gathers digits until the pattern is complete. Seed `gatherdigits`.
    ///
    /// # Errors
    /// `Invalid` for a pattern that does not compile or needs too many steps; `WrongState` on an idle leg. Time-out,
    /// hang-up and too many digits are outcomes.
    pub async fn gather_digits(
        &self,
        pattern: &DigitPattern,
        options: &GatherOptions,
    ) -> Result<Gathered, CallError> {
        {
            let inner = self.shared.lock();
            if matches!(inner.phase, Phase::Idle | Phase::Surplus) || inner.ended_by_flow() {
                return Err(inner.wrong_state("gather-digits"));
            }
        }
        if options.max_digits == 0 || options.max_digits > GATHER_DIGITS_MAX {
            return Err(CallError::invalid(format!(
                "max-digits takes 1 to {GATHER_DIGITS_MAX}, not {}",
                options.max_digits
            )));
        }
        let mut complete = Completion::compile(pattern, options.max_digits)?;
        if options.clear_first {
            self.drop_queued_digits();
        }
        let end = options.total.map(|total| Instant::now() + total);
        let mut digits = String::new();
        loop {
            let pause = match digits.is_empty() {
                true => options.first_digit.unwrap_or(options.inter_digit),
                false => options.inter_digit,
            };
            let deadline = Instant::now() + pause;
            let deadline = end.map_or(deadline, |end| end.min(deadline));
            let digit = match self.next_digit(deadline, "gather-digits").await {
                Ok(dtmf) => dtmf.digit,
                Err(CallError::Timeout) => {
                    return Ok(Gathered {
                        outcome: GatherOutcome::TimedOut,
                        digits,
                    });
                }
                Err(CallError::Hangup(_)) => {
                    return Ok(Gathered {
                        outcome: GatherOutcome::HungUp,
                        digits,
                    });
                }
                Err(error) => return Err(error),
            };
            if complete.add(&mut digits, digit)? {
                return Ok(Gathered {
                    outcome: GatherOutcome::Matched,
                    digits,
                });
            }
            if digits.len() >= options.max_digits as usize {
                return Ok(Gathered {
                    outcome: GatherOutcome::TooManyDigits,
                    digits,
                });
            }
        }
    }

    /// Every digit since the start or the last clean, read or not. Seed `dtmfbuffer`.
    #[must_use]
    pub fn dtmf_buffer(&self) -> String {
        self.shared.lock().typed.clone()
    }

    /// Empties the buffer and the queue. Seed `cleandtmfbuffer`.
    pub fn clean_dtmf_buffer(&self) {
        self.shared.lock().typed.clear();
        self.drop_queued_digits();
    }

    fn drop_queued_digits(&self) {
        let digits = std::mem::take(&mut self.shared.lock().digits);
        let mut session = self.shared.session.lock();
        for (ticket, _) in digits {
            session.mailbox.take_back(ticket);
        }
    }

    async fn next_digit(&self, deadline: Instant, method: &str) -> Result<Dtmf, CallError> {
        let (ticket, dtmf) = self
            .wait(Some(deadline), |inner: &mut LegInner| {
                match inner.digits.pop_front() {
                    Some(digit) => Some(Ok(digit)),
                    None => inner.no_more(method).map(Err),
                }
            })
            .await?;
        self.shared.session.lock().mailbox.take_back(ticket);
        Ok(dtmf)
    }
}

/// A compiled pattern, and what it may still cost.
struct Completion<'a> {
    rule: Rule<'a>,
    steps: u64,
}

enum Rule<'a> {
    Lua(LuaPattern<'a>),
    Regex(regex::bytes::Regex),
    Length(usize),
    Terminator(&'a str),
}

impl<'a> Completion<'a> {
    fn compile(pattern: &'a DigitPattern, max_digits: u32) -> Result<Self, CallError> {
        let rule = match pattern {
            DigitPattern::Lua(text) | DigitPattern::Regex(text) if text.len() > PATTERN_MAX => {
                return Err(CallError::invalid(format!(
                    "pattern has {} bytes, {PATTERN_MAX} at most",
                    text.len()
                )));
            }
            DigitPattern::Lua(text) => Rule::Lua(
                LuaPattern::parse(text)
                    .map_err(|error| CallError::invalid(format!("pattern {}: {error}", quoted(text))))?,
            ),
            DigitPattern::Regex(text) => Rule::Regex(
                // Digits are ASCII; the tables of Unicode are what makes a short expression costly to compile.
                regex::bytes::RegexBuilder::new(text)
                    .unicode(false)
                    .size_limit(REGEX_SIZE_MAX)
                    .build()
                    .map_err(|error| {
                        CallError::invalid(format!("regular expression {}: {error}", quoted(text)))
                    })?,
            ),
            DigitPattern::Length(length) if *length == 0 || *length > max_digits => {
                return Err(CallError::invalid(format!(
                    "length takes 1 to max-digits ({max_digits}), not {length}"
                )));
            }
            DigitPattern::Length(length) => Rule::Length(*length as usize),
            DigitPattern::Terminator(keys) if keys.is_empty() || !keys.chars().all(is_digit) => {
                return Err(CallError::invalid(format!(
                    "terminator {} takes keys of 0-9, *, #, A-D",
                    quoted(keys)
                )));
            }
            DigitPattern::Terminator(keys) => Rule::Terminator(keys),
        };
        Ok(Self {
            rule,
            steps: PATTERN_STEPS_MAX,
        })
    }

    /// Adds a digit; true when that completes the input.
    fn add(&mut self, digits: &mut String, digit: char) -> Result<bool, CallError> {
        if let Rule::Terminator(keys) = &self.rule {
            if keys.contains(digit) {
                return Ok(true);
            }
            digits.push(digit);
            return Ok(false);
        }
        digits.push(digit);
        Ok(match &self.rule {
            Rule::Lua(pattern) => pattern
                .find(digits.as_bytes(), &mut self.steps)
                .map_err(|StepsExhausted| CallError::invalid("the Lua pattern needs too many steps"))?
                .is_some(),
            Rule::Regex(regex) => regex.is_match(digits.as_bytes()),
            Rule::Length(length) => digits.len() >= *length,
            Rule::Terminator(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn typed(pattern: DigitPattern, input: &str) -> (bool, String) {
        let mut complete = Completion::compile(&pattern, 64).unwrap();
        let mut digits = String::new();
        for digit in input.chars() {
            if complete.add(&mut digits, digit).unwrap() {
                return (true, digits);
            }
        }
        (false, digits)
    }

    #[test]
    fn each_kind_of_pattern_completes_at_its_digit() {
        assert_eq!(
            typed(DigitPattern::Lua("%d#".into()), "12#4"),
            (true, "12#".into())
        );
        assert_eq!(
            typed(DigitPattern::Lua("^9%d%d".into()), "8999"),
            (false, "8999".into())
        );
        assert_eq!(
            typed(DigitPattern::Regex("^[1-3]$".into()), "2"),
            (true, "2".into())
        );
        assert_eq!(typed(DigitPattern::Length(3), "45678"), (true, "456".into()));
        assert_eq!(
            typed(DigitPattern::Terminator("#*".into()), "77*1"),
            (true, "77".into())
        );
        assert_eq!(
            typed(DigitPattern::Terminator("#".into()), "77"),
            (false, "77".into())
        );
    }

    #[test]
    fn what_does_not_compile_is_refused_with_the_reason() {
        let refused = |pattern| matches!(Completion::compile(&pattern, 64), Err(CallError::Invalid(_)));
        assert!(refused(DigitPattern::Lua("[1".into())));
        assert!(refused(DigitPattern::Lua("%".into())));
        assert!(refused(DigitPattern::Regex("(".into())));
        assert!(refused(DigitPattern::Regex("(\\d{500}){500}".into())));
        assert!(refused(DigitPattern::Length(0)));
        assert!(refused(DigitPattern::Length(65)));
        assert!(refused(DigitPattern::Terminator(String::new())));
        assert!(refused(DigitPattern::Terminator("x".into())));
        assert!(refused(DigitPattern::Lua("1".repeat(300))));
    }

    #[test]
    fn a_pattern_that_backtracks_without_end_is_stopped() {
        let pattern = DigitPattern::Lua(".-".repeat(20) + "A");
        let mut complete = Completion::compile(&pattern, 64).unwrap();
        let mut digits = String::new();
        let stopped = (0..64).any(|_| complete.add(&mut digits, '1').is_err());
        assert!(stopped);
    }
}
