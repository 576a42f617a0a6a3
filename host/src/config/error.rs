//! What is wrong with a configuration file, in words that lead to the fix.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The key as one would write it: `limits.wire.connections_max`. Empty for a mistake of syntax.
    pub key: String,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {error}; name an existing file with --config", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There are mistakes: all of them, file by file in the order of their lines.
    #[error("{}", Lines(problems))]
    Wrong {
        /// Never empty.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for Problem {
    /// `FILE:LINE: KEY: TEXT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// The known name nearest to a misspelt one, if one is near enough to be meant.
pub(super) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name longer than this is not a misspelling; it also bounds the work below.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        // A name cut short, or without its unit, is near however long the rest is.
        .map(|name| {
            (
                if wrong.len() > 1 && name.starts_with(wrong) {
                    1
                } else {
                    distance(wrong, name)
                },
                name,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// How many letters have to be inserted, deleted or replaced (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (b, above) in to.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != *b);
            left = replaced.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(
            did_you_mean("calls_mx", ["calls_max", "flows_max"]),
            Some("calls_max")
        );
        assert_eq!(did_you_mean("t1", ["t1_ms", "t2_ms"]), Some("t1_ms"));
        assert_eq!(did_you_mean("zebra", ["calls_max", "flows_max"]), None);
    }
}
