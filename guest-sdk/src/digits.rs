//! DTMF: one digit, and the gathering of several.

use std::time::Duration;

use crate::wit::callbox::flow::sipcall as raw;
use crate::words::millis;
use crate::{DtmfSource, GatherOutcome};

/// One digit that the peer pressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Dtmf {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// How long it was pressed, when the peer said so.
    pub duration: Option<Duration>,
    /// How it came.
    pub source: DtmfSource,
}

impl From<raw::Dtmf> for Dtmf {
    fn from(raw: raw::Dtmf) -> Self {
        Self {
            digit: raw.digit,
            duration: raw.duration.map(|ms| Duration::from_millis(ms.into())),
            source: raw.source,
        }
    }
}

/// What a gathering brought. Partial digits come with every outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// How it ended.
    pub outcome: GatherOutcome,
    /// The digits, without the terminator.
    pub digits: String,
}

impl Gathered {
    /// The digits, if the pattern was met.
    #[must_use]
    pub fn matched(&self) -> Option<&str> {
        (self.outcome == GatherOutcome::Matched).then_some(self.digits.as_str())
    }
}

impl From<raw::Gathered> for Gathered {
    fn from(raw: raw::Gathered) -> Self {
        Self {
            outcome: raw.outcome,
            digits: raw.digits,
        }
    }
}

/// When a gathering is complete.
pub type Pattern = raw::DigitPattern;

/// What to gather and how long to wait for it. Times not set are the host's: 3 s between digits, and as long for the first.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Gather {
    pub(crate) pattern: Pattern,
    inter_digit: Option<Duration>,
    first_digit: Option<Duration>,
    total: Option<Duration>,
    max_digits: Option<u32>,
    clear_first: bool,
}

impl Gather {
    /// Until this pattern is met.
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            inter_digit: None,
            first_digit: None,
            total: None,
            max_digits: None,
            clear_first: false,
        }
    }

    /// Exactly so many digits.
    pub fn length(digits: u32) -> Self {
        Self::new(Pattern::Length(digits))
    }

    /// Until one of these keys, which is not part of the digits: `Gather::until("#")`.
    pub fn until(keys: &str) -> Self {
        Self::new(Pattern::Terminator(keys.into()))
    }

    /// Until this regular expression is found in the digits.
    pub fn regex(expression: &str) -> Self {
        Self::new(Pattern::Regex(expression.into()))
    }

    /// Until this Lua pattern is found in the digits, as the seed's `gatherdigits` does.
    pub fn lua(pattern: &str) -> Self {
        Self::new(Pattern::Lua(pattern.into()))
    }

    /// The longest wait between two digits. Default 3 s.
    pub fn inter_digit(mut self, time: Duration) -> Self {
        self.inter_digit = Some(time);
        self
    }

    /// The longest wait for the first digit. Default: as between digits.
    pub fn first_digit(mut self, time: Duration) -> Self {
        self.first_digit = Some(time);
        self
    }

    /// The longest time for all of it. Default: none.
    pub fn total(mut self, time: Duration) -> Self {
        self.total = Some(time);
        self
    }

    /// At most so many digits. Default 64.
    pub fn max_digits(mut self, digits: u32) -> Self {
        self.max_digits = Some(digits);
        self
    }

    /// Forget what was typed before. Default: type-ahead counts.
    pub fn clear_first(mut self) -> Self {
        self.clear_first = true;
        self
    }

    pub(crate) fn lower(&self) -> raw::GatherOptions {
        let options = raw::GatherOptions::new();
        if let Some(time) = self.inter_digit {
            options.inter_digit(millis(time));
        }
        if let Some(time) = self.first_digit {
            options.first_digit(millis(time));
        }
        if let Some(time) = self.total {
            options.total(millis(time));
        }
        if let Some(digits) = self.max_digits {
            options.max_digits(digits);
        }
        if self.clear_first {
            options.clear_first(true);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gathering_keeps_what_it_was_told() {
        let gather = Gather::until("#")
            .inter_digit(Duration::from_secs(4))
            .first_digit(Duration::from_secs(8))
            .max_digits(5)
            .clear_first();
        assert_eq!(gather.pattern, Pattern::Terminator("#".into()));
        assert_eq!(gather.inter_digit, Some(Duration::from_secs(4)));
        assert_eq!(gather.first_digit, Some(Duration::from_secs(8)));
        assert_eq!(gather.total, None);
        assert_eq!(gather.max_digits, Some(5));
        assert!(gather.clear_first);
    }

    #[test]
    fn partial_digits_are_kept_but_are_no_match() {
        let partial = Gathered {
            outcome: GatherOutcome::HungUp,
            digits: "12".into(),
        };
        assert_eq!(partial.matched(), None);
        assert_eq!(partial.digits, "12");
    }
}
