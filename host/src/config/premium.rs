//! The list of dear numbers: premium rate, satellite and the like, as beginnings of numbers in international form.
//!
//! Entry type: [`PremiumList`]. The shipped list is `premium.txt`.

use std::str::FromStr;

/// Beginnings of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PremiumList {
    /// In the order of the list: digits, `+` in front where the number is in international form, `x` for any digit.
    prefixes: Vec<String>,
}

impl PremiumList {
    /// The list that callbox comes with.
    #[must_use]
    pub fn shipped() -> Self {
        // A test says that it parses; were it not so, a host without the list would be the worse surprise.
        include_str!("premium.txt").parse().unwrap_or_default()
    }

    /// The entry that a number begins with, if there is one.
    #[must_use]
    pub fn entry_of(&self, number: &str) -> Option<&str> {
        let begins = |prefix: &&String| {
            let mut digits = number.bytes();
            prefix.bytes().all(|wanted| match (wanted, digits.next()) {
                (b'x', Some(digit)) => digit.is_ascii_digit(),
                (wanted, digit) => digit == Some(wanted),
            })
        };
        self.prefixes.iter().find(begins).map(String::as_str)
    }
}

impl FromStr for PremiumList {
    type Err = String;

    /// One entry a line; what follows white space, and lines that begin with `#`, are for people. The error names the line.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut prefixes = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(entry) = line
                .split_whitespace()
                .next()
                .filter(|word| !word.starts_with('#'))
            else {
                continue;
            };
            let digits = entry.strip_prefix('+').unwrap_or(entry);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x') {
                return Err(format!(
                    "line {number}: {entry:?} is no beginning of a number; write it as +1900"
                ));
            }
            prefixes.push(entry.to_owned());
        }
        Ok(Self { prefixes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_shipped_list_knows_satellites_and_premium_rate_and_no_everyday_number() {
        include_str!("premium.txt").parse::<PremiumList>().unwrap();
        let list = PremiumList::shipped();
        for dear in [
            "+881612345678",
            "+8821612345",
            "+883510012345",
            "+87012345678",
            "+87812345678",
            "+97912345678",
            "+19005551234",
            "+449098790000",
            "+4990012345",
            "+4913712345",
            "+33899123456",
            "+39899123456",
            "+43900123456",
            "+41900123456",
            "+34806123456",
            "+61190012345",
        ] {
            assert!(list.entry_of(dear).is_some(), "{dear}");
        }
        for plain in [
            "+4930123456",
            "+442079460000",
            "+12125551234",
            "+8002345678",
            "+33142345678",
            "+390612345678",
            "+41441234567",
            "+3292345678",
            "+46901234567",
            "110",
            "900",
            "+",
            "",
        ] {
            assert_eq!(list.entry_of(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_list_of_the_operators_own_may_have_national_numbers_and_any_digit() {
        let list: PremiumList = "# ours\n\n0900  Germany\n+1xxx976 pay-per-call\n"
            .parse()
            .unwrap();
        assert_eq!(list.entry_of("0900123"), Some("0900"));
        assert_eq!(list.entry_of("+12129761234"), Some("+1xxx976"));
        assert_eq!(list.entry_of("+1212"), None);
        for (text, line) in [("+1900\nnine", "line 2"), ("+", "line 1"), ("+1-900", "line 1")] {
            let error = text.parse::<PremiumList>().unwrap_err();
            assert!(error.contains(line), "{error}");
        }
    }
}
