//! A number, or a beginning of numbers, whose calls are kept on one version.
//!
//! Knows no calls. Entry type: [`Pin`]. Invariant: a pin is never empty, so none catches every call.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Letters of a pin: as many as a name may have.
const LENGTH_MAX: usize = 64;
/// What makes it a pin of the caller's number.
const CALLER: &str = "from:";

/// Which calls are pinned: `+4420*` (dialled numbers that begin so), `+442071234567` (this one), `from:+44*` (callers).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin {
    caller: bool,
    number: String,
    beginning: bool,
}

impl Pin {
    /// Whether a call is one of these. The caller is only asked for where a pin looks at it.
    pub(super) fn holds(&self, dialled: &str, caller: &mut impl FnMut() -> String) -> bool {
        let fits = |number: &str| match self.beginning {
            true => number.starts_with(&self.number),
            false => number == self.number,
        };
        if self.caller {
            fits(&caller())
        } else {
            fits(dialled)
        }
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (caller, number) = match text.strip_prefix(CALLER) {
            Some(number) => (true, number),
            None => (false, text),
        };
        let cut = number.strip_suffix(['*', '…']);
        let beginning = cut.is_some();
        let number = cut.unwrap_or(number);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.!~'()&=$;?/#".contains(&byte);
        if number.is_empty() || number.len() > LENGTH_MAX || !number.bytes().all(plain) {
            return Err(format!(
                "{:?} is not a number to pin; write +442071234567, a beginning as +4420*, or from:+44* for callers",
                text
            ));
        }
        Ok(Self {
            caller,
            number: number.to_owned(),
            beginning,
        })
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller = if self.caller { CALLER } else { "" };
        let star = if self.beginning { "*" } else { "" };
        write!(f, "{caller}{}{star}", self.number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pin_is_a_number_a_beginning_or_a_caller() {
        let holds = |pin: &str, dialled: &str, caller: &str| {
            pin.parse::<Pin>()
                .unwrap()
                .holds(dialled, &mut || caller.to_owned())
        };
        assert!(holds("+4420*", "+442071234567", ""));
        assert!(holds("+4420…", "+442071234567", ""));
        assert!(!holds("+4420*", "+4930", "+4420"));
        assert!(holds("ivr", "ivr", ""));
        assert!(!holds("ivr", "ivr2", ""));
        assert!(holds("from:+44*", "ivr", "+4420"));
        assert!(!holds("from:+44*", "+4420", "+49"));
        for text in [
            "",
            "*",
            "from:",
            "from:*",
            "a b",
            "ä",
            "a,b",
            "a\r\n",
            &"1".repeat(65),
        ] {
            assert!(text.parse::<Pin>().is_err(), "{text:?}");
        }
        for text in ["+4420*", "from:100", "ivr"] {
            assert_eq!(text.parse::<Pin>().unwrap().to_string(), text);
        }
        assert_eq!("1…".parse::<Pin>().unwrap().to_string(), "1*");
    }
}
