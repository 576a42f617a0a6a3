//! Telephone numbers as rules compare them: without separators, in international form where they are recognisably so.
//!
//! Knows no rules. Entry type: [`Number`].

use std::borrow::Cow;

/// A number, canonical: digits, `*` and `#`, with `+` in front when it is in international form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number(String);

impl Number {
    /// Of a number as a flow dialled it, or of the user part of a SIP URI, whose escapes are taken away first. `prefixes`
    /// are what stands for `+`. None for what is no number.
    pub(super) fn of(text: &str, prefixes: &[String]) -> Option<Self> {
        let text = unescaped(text);
        // What follows are parameters (RFC 3966 §3).
        let text = text.split(';').next().unwrap_or_default();
        let digits: String = text
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '))
            .collect();
        let (plus, rest) = match digits.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, digits.as_str()),
        };
        let number = !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte));
        if !number {
            return None;
        }
        let international = prefixes.iter().filter(|_| !plus).find_map(|prefix| {
            let rest = digits.strip_prefix(prefix.as_str())?;
            rest.starts_with(|c: char| matches!(c, '1'..='9')).then_some(rest)
        });
        Some(Self(match international {
            Some(rest) => format!("+{rest}"),
            None => digits,
        }))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user part without its escapes (RFC 3261 §19.1.2). One that is no UTF-8 then is left as it is.
pub(super) fn unescaped(user: &str) -> Cow<'_, str> {
    if !user.contains('%') {
        return Cow::Borrowed(user);
    }
    let mut bytes = user.bytes();
    let mut out = Vec::with_capacity(user.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut hex = || char::from(ahead.next()?).to_digit(16);
        match (byte, hex(), hex()) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high << 4 | low).unwrap_or(b'%'));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(user), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let prefixes = ["00".to_owned(), "011".to_owned()];
        let of = |text: &str| Number::of(text, &prefixes).map(|number| number.as_str().to_owned());
        for text in [
            "+1900555",
            "+1-900-555",
            "+1(900)5.55",
            "%2B1900555",
            "%2b%31900555",
            "+1900555;phone-context=x",
            "+1900555%3Bext=1",
            "001900555",
            "00-1900555",
            "0111900555",
        ] {
            assert_eq!(of(text).as_deref(), Some("+1900555"), "{text}");
        }
        assert_eq!(of("0900123").as_deref(), Some("0900123"));
        assert_eq!(of("110").as_deref(), Some("110"));
        assert_eq!(of("*21#").as_deref(), Some("*21#"));
        assert_eq!(of("00").as_deref(), Some("00"));
        for none in ["", "+", "alice", "+49alice", ";ext=1", "%", "%4"] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
