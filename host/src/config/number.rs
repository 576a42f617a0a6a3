//! Numbers: what a route asks of the user part of the Request-URI, and what a tenant may claim of it.
//!
//! Entry types: [`NumberRule`] and, for the short form `"+4930*"`, [`Number`].

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::reader::{Located, Section, Source};

/// What a route asks of the user part of the Request-URI, escapes decoded.
#[derive(Debug, Clone, Default)]
pub enum NumberRule {
    /// Nothing; a Request-URI without a user part passes too.
    #[default]
    Any,
    /// `number`: equal to one of these.
    Exact(Vec<String>),
    /// `number_prefix`: begins with one of these.
    Prefix(Vec<String>),
    /// `number_pattern`: matches this regular expression as a whole.
    Pattern(Regex),
}

impl NumberRule {
    /// Whether the user part passes.
    pub fn matches(&self, user: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(numbers) => numbers.iter().any(|number| number == user),
            Self::Prefix(prefixes) => prefixes.iter().any(|prefix| user.starts_with(prefix.as_str())),
            Self::Pattern(pattern) => pattern.is_match(user),
        }
    }
}

impl fmt::Display for NumberRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any number"),
            Self::Exact(numbers) => f.write_str(&numbers.join(", ")),
            Self::Prefix(prefixes) => write!(f, "{}…", prefixes.join("…, ")),
            Self::Pattern(pattern) => write!(f, "/{pattern}/"),
        }
    }
}

/// Whether two rules take the same user part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    No,
    Yes,
    /// Two regular expressions, or one and a beginning: nobody has looked deeper than their first letters.
    Perhaps,
}

impl NumberRule {
    pub(super) fn overlap(&self, other: &Self) -> Overlap {
        let certain = |both: bool| if both { Overlap::Yes } else { Overlap::No };
        let nested = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Overlap::Yes,
            (Self::Exact(numbers), rule) | (rule, Self::Exact(numbers)) => {
                certain(numbers.iter().any(|number| rule.matches(number)))
            }
            (Self::Prefix(a), Self::Prefix(b)) => certain(a.iter().any(|a| b.iter().any(|b| nested(a, b)))),
            (Self::Pattern(a), Self::Pattern(b)) if a.as_str() == b.as_str() => Overlap::Yes,
            _ => {
                let (a, b) = (self.beginnings(), other.beginnings());
                match a.iter().any(|a| b.iter().any(|b| nested(a, b))) {
                    true => Overlap::Perhaps,
                    false => Overlap::No,
                }
            }
        }
    }

    /// Every user part that passes begins with one of these.
    fn beginnings(&self) -> Vec<String> {
        match self {
            Self::Any => vec![String::new()],
            Self::Exact(texts) | Self::Prefix(texts) => texts.clone(),
            Self::Pattern(pattern) => vec![literal_beginning(pattern.as_str())],
        }
    }

    /// Whether every user part that passes is one of these.
    pub(super) fn within(&self, numbers: &[Number]) -> bool {
        match self {
            Self::Exact(own) => own
                .iter()
                .all(|own| numbers.iter().any(|number| number.holds(own))),
            rule => rule.beginnings().iter().all(|own| {
                numbers
                    .iter()
                    .any(|number| matches!(number, Number::Beginning(text) if own.starts_with(text.as_str())))
            }),
        }
    }
}

/// The letters that a pattern of [`read`] asks for before anything can vary; empty where that is not plain to see.
fn literal_beginning(pattern: &str) -> String {
    let inside = pattern
        .strip_prefix("^(?:")
        .and_then(|rest| rest.strip_suffix(")$"))
        .unwrap_or_default();
    let mut literal = String::new();
    // An alternative may begin with anything, and flags may change what letters mean.
    if inside.contains('|') || inside.contains("(?") {
        return literal;
    }
    let mut letters = inside.chars().peekable();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            '\\' => match letters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => break,
            },
            '[' | '(' | '.' | '^' | '$' | ')' | ']' => break,
            plain => plain,
        };
        // What may be repeated may be absent.
        if matches!(letters.peek(), Some('*' | '?' | '{' | '+')) {
            break;
        }
        literal.push(letter);
    }
    literal
}

/// A number, or with a star at its end every number that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    Exact(String),
    Beginning(String),
}

impl Number {
    fn holds(&self, number: &str) -> bool {
        match self {
            Self::Exact(own) => own == number,
            Self::Beginning(own) => number.starts_with(own.as_str()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Beginning(text) => write!(f, "{text}*"),
        }
    }
}

impl FromStr for Number {
    type Err = String;

    /// The error reads on from the text itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, beginning) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '*' && c != '@';
        if (rest.is_empty() && !beginning) || !rest.chars().all(plain) {
            return Err(
                "is not a number; write a user part as in \"100\", or a beginning as in \"+4930*\""
                    .to_owned(),
            );
        }
        Ok(match beginning {
            true => Self::Beginning(rest.to_owned()),
            false => Self::Exact(rest.to_owned()),
        })
    }
}

pub(super) fn read(source: &Source<'_>, section: &mut Section<'_, '_>) -> NumberRule {
    let at = section.at();
    let path = section.path().to_owned();
    let exact = section.strings("number");
    let prefix = section.strings("number_prefix");
    let pattern = section.string("number_pattern");
    if [exact.is_some(), prefix.is_some(), pattern.is_some()]
        .into_iter()
        .filter(|given| *given)
        .count()
        > 1
    {
        let text = "has more than one of number, number_prefix and number_pattern; write a route for each";
        source.note(at, path, text.to_owned());
    }
    let values = |found: Vec<Located<String>>| found.into_iter().map(|number| number.value).collect();
    if let Some(pattern) = pattern {
        // Anchored, because a number that merely contains a shorter one is another number.
        match Regex::new(&format!("^(?:{})$", pattern.value)) {
            Ok(regex) => return NumberRule::Pattern(regex),
            Err(error) => {
                let error = error.to_string();
                let reason = error
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                let wrong = format!("is not a regular expression ({reason})");
                source.problem(&pattern, &wrong, "write one as in \"49[0-9]{6,}\"");
            }
        }
    }
    match (exact, prefix) {
        (Some(numbers), _) => NumberRule::Exact(values(numbers)),
        (None, Some(prefixes)) => NumberRule::Prefix(values(prefixes)),
        (None, None) => NumberRule::Any,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pattern(text: &str) -> NumberRule {
        NumberRule::Pattern(Regex::new(&format!("^(?:{text})$")).unwrap())
    }

    fn exact(text: &str) -> NumberRule {
        NumberRule::Exact(vec![text.to_owned()])
    }

    fn prefix(text: &str) -> NumberRule {
        NumberRule::Prefix(vec![text.to_owned()])
    }

    #[test]
    fn rules_overlap_when_a_number_passes_both() {
        use Overlap::{No, Perhaps, Yes};
        for (a, b, expected) in [
            (NumberRule::Any, exact("1"), Yes),
            (exact("1"), exact("1"), Yes),
            (exact("1"), exact("2"), No),
            (exact("12"), prefix("1"), Yes),
            (exact("21"), prefix("1"), No),
            (prefix("1"), prefix("12"), Yes),
            (prefix("13"), prefix("12"), No),
            (exact("49301"), pattern("4930[0-9]"), Yes),
            (exact("49401"), pattern("4930[0-9]"), No),
            (pattern("4930[0-9]"), pattern("4930[0-9]"), Yes),
            (pattern("4930[0-9]"), pattern("4940[0-9]"), No),
            (pattern(r"\+4930\d"), prefix("+4940"), No),
            (pattern("4930[0-9]"), prefix("49"), Perhaps),
            (pattern("(a|b)c"), prefix("x"), Perhaps),
        ] {
            assert_eq!(a.overlap(&b), expected, "{a} and {b}");
            assert_eq!(b.overlap(&a), expected, "{b} and {a}");
        }
    }

    #[test]
    fn what_a_pattern_begins_with_is_only_what_every_match_has() {
        for (text, beginning) in [
            ("4930[0-9]+", "4930"),
            (r"\+49\d", "+49"),
            ("49?", "4"),
            ("49{0,2}", "4"),
            ("4+", ""),
            ("a|b", ""),
            ("(?i)abc", ""),
            ("", ""),
        ] {
            assert_eq!(literal_beginning(&format!("^(?:{text})$")), beginning, "{text}");
        }
    }

    #[test]
    fn a_rule_is_within_what_holds_all_it_takes() {
        let claimed: Vec<Number> = ["+4930*", "100"].map(|text| text.parse().unwrap()).into();
        for (rule, inside) in [
            (exact("100"), true),
            (exact("+49301"), true),
            (exact("1001"), false),
            (prefix("+49301"), true),
            (prefix("+49"), false),
            (prefix("100"), false),
            (pattern(r"\+4930[0-9]+"), true),
            (pattern(r"\+49[0-9]+"), false),
            (pattern("100"), false),
            (NumberRule::Any, false),
        ] {
            assert_eq!(rule.within(&claimed), inside, "{rule}");
        }
        assert!(NumberRule::Any.within(&["*".parse().unwrap()]));
        for wrong in ["", "a b", "1*2", "a@b", "1\n"] {
            assert!(wrong.parse::<Number>().is_err(), "{wrong:?}");
        }
    }
}
