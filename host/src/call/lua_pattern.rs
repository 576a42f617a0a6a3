//! Lua 5.1 patterns, as `string.find` understands them (Lua 5.1 reference manual, §5.4.1), within a budget of steps.
//!
//! The seed's `gatherdigits` takes such a pattern, so a flow that was written for it must see the same digits match
//! here. The matcher backtracks as the original does and its cost may grow with a power of the input, hence the budget.
//! Entry type: [`LuaPattern`]. It works on bytes in the C locale and knows nothing of digits.

use std::ops::Range;

use thiserror::Error;

/// Captures a pattern may have, as in Lua.
const CAPTURES_MAX: usize = 32;
/// Depth of recursion: a bound on the stack of the thread that matches.
const DEPTH_MAX: u32 = 200;

/// A pattern that is not one, with Lua's own complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// `%` at the end.
    #[error("malformed pattern (ends with '%')")]
    EndsWithPercent,
    /// `[` without `]`.
    #[error("malformed pattern (missing ']')")]
    MissingBracket,
    /// `%b` without two characters.
    #[error("unbalanced pattern")]
    UnbalancedPattern,
    /// `%f` without a set.
    #[error("missing '[' after '%f' in pattern")]
    FrontierWithoutSet,
    /// `)` without `(`, or `(` without `)`.
    #[error("invalid pattern capture")]
    InvalidCapture,
    /// `%1` before its capture is closed.
    #[error("invalid capture index")]
    InvalidIndex,
    /// More than 32 captures.
    #[error("too many captures")]
    TooManyCaptures,
}

/// The budget of steps, or the depth, was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepsExhausted;

/// A checked pattern.
#[derive(Debug, Clone, Copy)]
pub struct LuaPattern<'p> {
    pattern: &'p [u8],
    anchored: bool,
}

impl<'p> LuaPattern<'p> {
    /// Checks a pattern. Lua complains when it meets the fault while matching; this complains at once, so a pattern is
    /// good or bad whatever is typed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'p str) -> Result<Self, PatternError> {
        let bytes = text.as_bytes();
        let (anchored, pattern) = match bytes.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, bytes),
        };
        check(pattern)?;
        Ok(Self { pattern, anchored })
    }

    /// Where the first match lies, as `string.find(subject, pattern)`.
    ///
    /// # Errors
    /// [`StepsExhausted`] when `steps` reaches 0.
    pub fn find(&self, subject: &[u8], steps: &mut u64) -> Result<Option<Range<usize>>, StepsExhausted> {
        let mut matcher = Matcher {
            subject,
            pattern: self.pattern,
            captures: Vec::new(),
            steps,
            depth: 0,
        };
        for start in 0..=subject.len() {
            matcher.captures.clear();
            if let Some(end) = matcher.run(start, 0)? {
                return Ok(Some(start..end));
            }
            if self.anchored {
                break;
            }
        }
        Ok(None)
    }
}

/// One pass over the items of a pattern, with the nesting of its captures.
fn check(pattern: &[u8]) -> Result<(), PatternError> {
    let mut at = 0;
    let mut open: Vec<usize> = Vec::new();
    let mut closed: Vec<bool> = Vec::new();
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'(' => {
                if closed.len() == CAPTURES_MAX {
                    return Err(PatternError::TooManyCaptures);
                }
                let position = pattern.get(at + 1) == Some(&b')');
                if !position {
                    open.push(closed.len());
                }
                closed.push(position);
                at += if position { 2 } else { 1 };
            }
            b')' => {
                let index = open.pop().ok_or(PatternError::InvalidCapture)?;
                if let Some(closed) = closed.get_mut(index) {
                    *closed = true;
                }
                at += 1;
            }
            b'%' => match pattern.get(at + 1) {
                None => return Err(PatternError::EndsWithPercent),
                Some(b'b') => {
                    if pattern.len() < at + 4 {
                        return Err(PatternError::UnbalancedPattern);
                    }
                    at += 4;
                }
                Some(b'f') => {
                    if pattern.get(at + 2) != Some(&b'[') {
                        return Err(PatternError::FrontierWithoutSet);
                    }
                    at = class_end(pattern, at + 2)?;
                }
                Some(digit @ b'0'..=b'9') => {
                    let index = usize::from(*digit).checked_sub(usize::from(b'1'));
                    if !index
                        .and_then(|index| closed.get(index))
                        .copied()
                        .unwrap_or(false)
                    {
                        return Err(PatternError::InvalidIndex);
                    }
                    at += 2;
                }
                Some(_) => at = after_quantifier(pattern, at + 2),
            },
            _ => at = after_quantifier(pattern, class_end(pattern, at)?),
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(PatternError::InvalidCapture)
    }
}

fn after_quantifier(pattern: &[u8], at: usize) -> usize {
    at + usize::from(matches!(pattern.get(at), Some(b'*' | b'+' | b'-' | b'?')))
}

/// Where the single-character class that begins at `at` ends.
fn class_end(pattern: &[u8], at: usize) -> Result<usize, PatternError> {
    match pattern.get(at) {
        Some(b'%') => match pattern.get(at + 1) {
            Some(_) => Ok(at + 2),
            None => Err(PatternError::EndsWithPercent),
        },
        Some(b'[') => {
            let mut at = at + 1;
            if pattern.get(at) == Some(&b'^') {
                at += 1;
            }
            // The first character of a set is a member even if it is `]`.
            loop {
                match pattern.get(at) {
                    None => return Err(PatternError::MissingBracket),
                    Some(b'%') => {
                        if pattern.get(at + 1).is_none() {
                            return Err(PatternError::MissingBracket);
                        }
                        at += 2;
                    }
                    Some(_) => at += 1,
                }
                match pattern.get(at) {
                    Some(b']') => return Ok(at + 1),
                    None => return Err(PatternError::MissingBracket),
                    Some(_) => {}
                }
            }
        }
        _ => Ok(at + 1),
    }
}

#[derive(Clone, Copy)]
enum Capture {
    Open(usize),
    Closed(usize, usize),
    Position,
}

struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Capture>,
    steps: &'a mut u64,
    depth: u32,
}

type Match = Result<Option<usize>, StepsExhausted>;

impl Matcher<'_> {
    fn step(&mut self) -> Result<(), StepsExhausted> {
        *self.steps = self.steps.checked_sub(1).ok_or(StepsExhausted)?;
        Ok(())
    }

    /// Matches the pattern from `p` at `s`; the end of the match if there is one.
    fn run(&mut self, s: usize, p: usize) -> Match {
        if self.depth >= DEPTH_MAX {
            return Err(StepsExhausted);
        }
        self.depth += 1;
        let result = self.items(s, p);
        self.depth -= 1;
        result
    }

    fn items(&mut self, mut s: usize, mut p: usize) -> Match {
        loop {
            self.step()?;
            let Some(&byte) = self.pattern.get(p) else {
                return Ok(Some(s));
            };
            match (byte, self.pattern.get(p + 1)) {
                (b'(', Some(b')')) => return self.capture(Capture::Position, s, p + 2),
                (b'(', _) => return self.capture(Capture::Open(s), s, p + 1),
                (b')', _) => return self.close(s, p + 1),
                (b'$', None) => return Ok((s == self.subject.len()).then_some(s)),
                (b'%', Some(b'b')) => match self.balanced(s, p + 2)? {
                    Some(next) => (s, p) = (next, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    let set = p + 2;
                    let end = self.end_of(set);
                    let before = s
                        .checked_sub(1)
                        .and_then(|at| self.subject.get(at))
                        .copied()
                        .unwrap_or(0);
                    let here = self.subject.get(s).copied().unwrap_or(0);
                    if self.in_set(before, set, end) || !self.in_set(here, set, end) {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.again(s, *digit) {
                    Some(next) => (s, p) = (next, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.end_of(p);
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.single(s, p, end)
                                && let Some(found) = self.run(s + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.most(s, p, end, 0),
                        Some(b'+') => return self.most(s, p, end, 1),
                        Some(b'-') => return self.fewest(s, p, end),
                        _ => {
                            if !self.single(s, p, end) {
                                return Ok(None);
                            }
                            (s, p) = (s + 1, end);
                        }
                    }
                }
            }
        }
    }

    fn end_of(&self, p: usize) -> usize {
        class_end(self.pattern, p).unwrap_or(self.pattern.len())
    }

    fn capture(&mut self, capture: Capture, s: usize, p: usize) -> Match {
        self.captures.push(capture);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.pop();
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Match {
        let open = self
            .captures
            .iter()
            .rposition(|capture| matches!(capture, Capture::Open(_)));
        let Some(at) = open else { return Ok(None) };
        let Some(Capture::Open(start)) = self.captures.get(at).copied() else {
            return Ok(None);
        };
        self.set(at, Capture::Closed(start, s));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.set(at, Capture::Open(start));
        }
        Ok(found)
    }

    fn set(&mut self, at: usize, capture: Capture) {
        if let Some(slot) = self.captures.get_mut(at) {
            *slot = capture;
        }
    }

    /// `%1`: what a capture held, once more.
    fn again(&self, s: usize, digit: u8) -> Option<usize> {
        match self
            .captures
            .get(usize::from(digit.checked_sub(b'1')?))
            .copied()?
        {
            Capture::Closed(start, end) => {
                let held = self.subject.get(start..end)?;
                self.subject.get(s..)?.starts_with(held).then_some(s + held.len())
            }
            // A position capture has no text; Lua compares against nothing it could equal.
            Capture::Open(_) | Capture::Position => None,
        }
    }

    /// `%bxy`.
    fn balanced(&mut self, s: usize, p: usize) -> Match {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Ok(None);
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (at, &byte) in self.subject.iter().enumerate().skip(s + 1) {
            self.step()?;
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn most(&mut self, s: usize, p: usize, end: usize, least: usize) -> Match {
        let mut count = 0;
        while self.single(s + count, p, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if count < least {
                return Ok(None);
            }
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    fn fewest(&mut self, mut s: usize, p: usize, end: usize) -> Match {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    /// Does the class `p..end` match the byte at `s`?
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else {
            return false;
        };
        match self.pattern.get(p) {
            Some(b'.') => true,
            Some(b'%') => self
                .pattern
                .get(p + 1)
                .is_some_and(|&class| in_class(byte, class)),
            Some(b'[') => self.in_set(byte, p, end),
            Some(&literal) => literal == byte,
            None => false,
        }
    }

    /// Is `byte` in the set whose `[` is at `p` and which ends before `end`?
    fn in_set(&self, byte: u8, p: usize, end: usize) -> bool {
        let Some(set) = self.pattern.get(p + 1..end.saturating_sub(1)) else {
            return false;
        };
        let (negated, mut rest) = match set.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, set),
        };
        loop {
            rest = match rest {
                [] => return negated,
                [b'%', class, rest @ ..] => {
                    if in_class(byte, *class) {
                        return !negated;
                    }
                    rest
                }
                [low, b'-', high, rest @ ..] => {
                    if (*low..=*high).contains(&byte) {
                        return !negated;
                    }
                    rest
                }
                [literal, rest @ ..] => {
                    if *literal == byte {
                        return !negated;
                    }
                    rest
                }
            };
        }
    }
}

/// `%d` and its like; an upper-case letter is the complement, anything else stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let member = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    member != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(subject: &str, pattern: &str) -> Option<Range<usize>> {
        LuaPattern::parse(pattern)
            .unwrap()
            .find(subject.as_bytes(), &mut 100_000)
            .unwrap()
    }

    #[test]
    fn every_item_of_the_manual() {
        for (subject, pattern, expected) in [
            ("12#", "%d#", Some(1..3)),
            ("", "", Some(0..0)),
            ("abc", "^b", None),
            ("abc", "^a", Some(0..1)),
            ("a^c", "a^c", Some(0..3)),
            ("abc", "c$", Some(2..3)),
            ("a$c", "a$c", Some(0..3)),
            ("aaab", "a-b", Some(0..4)),
            ("aaab", "a*", Some(0..3)),
            ("b", "a+", None),
            ("ac", "ab?c", Some(0..2)),
            ("x]y", "[]]", Some(1..2)),
            ("a-c", "[a%-]+", Some(0..2)),
            ("b9", "[^a-z]", Some(1..2)),
            ("THE (quick) fox", "%((%a+)%)", Some(4..11)),
            ("((1)2)3", "%b()", Some(0..6)),
            ("abab", "(ab)%1", Some(0..4)),
            ("abc", "()c", Some(2..3)),
            ("THE fox", "%f[%a]%a+", Some(0..3)),
            ("1*2", "%*", Some(1..2)),
            ("0A", "%x%u", Some(0..2)),
            ("12", "%D", None),
        ] {
            assert_eq!(find(subject, pattern), expected, "{pattern:?} in {subject:?}");
        }
    }

    #[test]
    fn bad_patterns_have_luas_complaints() {
        for (pattern, error) in [
            ("%", PatternError::EndsWithPercent),
            ("[a", PatternError::MissingBracket),
            ("[]", PatternError::MissingBracket),
            ("%b1", PatternError::UnbalancedPattern),
            ("%fa", PatternError::FrontierWithoutSet),
            ("(a", PatternError::InvalidCapture),
            ("a)", PatternError::InvalidCapture),
            ("%1", PatternError::InvalidIndex),
            ("(a%1)", PatternError::InvalidIndex),
        ] {
            assert_eq!(LuaPattern::parse(pattern).err(), Some(error), "{pattern:?}");
        }
        assert_eq!(
            LuaPattern::parse(&"()".repeat(33)).err(),
            Some(PatternError::TooManyCaptures)
        );
    }

    #[test]
    fn steps_and_depth_are_bounded() {
        let deep = "a?".repeat(100);
        let pattern = LuaPattern::parse(&deep).unwrap();
        assert!(pattern.find("a".repeat(100).as_bytes(), &mut 1_000_000).is_ok());
        let costly = ".*".repeat(12) + "x";
        let pattern = LuaPattern::parse(&costly).unwrap();
        assert_eq!(pattern.find(&[b'1'; 64], &mut 10_000), Err(StepsExhausted));
    }
}
