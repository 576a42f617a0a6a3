//! What identifies a person: numbers, addresses, what callers type and say. The one way in which it gets into a line of the
//! log, and the forms that stand for it where it is not to be read.
//!
//! A string of a peer's is logged as `user = Pii::number(&user).shown()`. A field of an event that nobody wants is never
//! evaluated, so it costs nothing where the line is not written. What is shown is decided once, at the start
//! ([`show`]), by `[log] redact` and `[log] digits`. Entry types: [`Pii`]; [`Redaction`] for what is shown or stored elsewhere;
//! [`MessageLine`] for whole messages. Deliberately knows no configuration and no store.
//!
//! Invariants: what callers type is in no line unless `[log] digits` says so, and a session description is in none but the
//! message log's, without redaction; a test of the sources (`tests/tests/privacy.rs`) refuses macros of `tracing` with
//! fields that are not wrapped so.

mod message;
mod redaction;

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};

pub use message::MessageLine;
pub use redaction::{KEY_BYTES, Redaction};

/// What of persons the log may show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// Numbers, addresses and texts stand as tags.
    pub redact: bool,
    /// What callers type may be read.
    pub digits: bool,
}

/// The process's [`Shown`]: bit 0 redacts, bit 1 shows digits.
static SHOWN: AtomicU8 = AtomicU8::new(0);

/// Says what the log of this process may show from now on. Before it is called nothing is redacted and no digits are shown.
pub fn show(shown: Shown) {
    SHOWN.store(
        u8::from(shown.redact) | u8::from(shown.digits) << 1,
        Ordering::Relaxed,
    );
}

/// What the log of this process may show.
#[must_use]
pub fn shown() -> Shown {
    let bits = SHOWN.load(Ordering::Relaxed);
    Shown {
        redact: bits & 1 != 0,
        digits: bits & 2 != 0,
    }
}

/// What a text says of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Uri,
    Digits,
    Sdp,
    Text,
    Field,
}

/// A text of a call that identifies a person, on its way into the log.
#[derive(Clone, Copy)]
pub struct Pii<'a> {
    kind: Kind,
    text: &'a str,
}

impl<'a> Pii<'a> {
    /// A number or the user part of an address.
    #[must_use]
    pub const fn number(text: &'a str) -> Self {
        Self {
            kind: Kind::Number,
            text,
        }
    }

    /// A URI, also with a name before it; its host and port are no secret.
    #[must_use]
    pub const fn uri(text: &'a str) -> Self {
        Self {
            kind: Kind::Uri,
            text,
        }
    }

    /// What a caller typed.
    #[must_use]
    pub const fn digits(text: &'a str) -> Self {
        Self {
            kind: Kind::Digits,
            text,
        }
    }

    /// A session description.
    #[must_use]
    pub const fn sdp(text: &'a str) -> Self {
        Self {
            kind: Kind::Sdp,
            text,
        }
    }

    /// A sentence that may quote a number or an address, such as the text of an error.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self {
            kind: Kind::Text,
            text,
        }
    }

    /// What a flow put into a field of the call's record. One of nothing but keys of a telephone is taken for typed.
    #[must_use]
    pub const fn field(text: &'a str) -> Self {
        Self {
            kind: Kind::Field,
            text,
        }
    }

    /// As the log of this process may show it.
    #[must_use]
    pub fn shown(&self) -> String {
        self.under(shown(), Redaction::of_process())
    }

    fn under(&self, shown: Shown, redaction: &Redaction) -> String {
        let typed = || !self.text.is_empty() && self.text.bytes().all(is_key);
        match self.kind {
            Kind::Digits if !shown.digits => "[digits]".to_owned(),
            Kind::Field if !shown.digits && typed() => "[digits]".to_owned(),
            Kind::Digits => self.text.to_owned(),
            Kind::Field if shown.redact => "[text]".to_owned(),
            Kind::Sdp if shown.redact => format!("[SDP, {} bytes]", self.text.len()),
            Kind::Sdp => without_keys(self.text),
            Kind::Number if shown.redact => redaction.number(self.text),
            Kind::Uri if shown.redact => redaction.uri(self.text),
            Kind::Text if shown.redact => redaction.text(self.text),
            Kind::Number | Kind::Uri | Kind::Text | Kind::Field => self.text.to_owned(),
        }
    }
}

/// A key of a telephone (RFC 4733 §3.2).
fn is_key(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'*' | b'#' | b'A'..=b'D')
}

/// A session description as it is, but for the keys that would open its media (RFC 4568).
fn without_keys(sdp: &str) -> String {
    let lines = sdp.split_inclusive('\n').map(|line| match line {
        _ if line.starts_with("a=crypto:") => "a=crypto:[key]\r\n",
        _ if line.starts_with("a=ice-pwd:") => "a=ice-pwd:[key]\r\n",
        _ if line.starts_with("k=") => "k=[key]\r\n",
        _ => line,
    });
    lines.collect()
}

impl fmt::Display for Pii<'_> {
    /// As [`Pii::shown`], on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        on_one_line(&self.shown(), f)
    }
}

impl fmt::Debug for Pii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

/// Writes a text with what would break a line, or a terminal, escaped.
fn on_one_line(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '"' | '\'' | '\\' => f.write_char(letter)?,
            letter => write!(f, "{}", letter.escape_debug())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDACT: Shown = Shown {
        redact: true,
        digits: false,
    };
    const PLAIN: Shown = Shown {
        redact: false,
        digits: false,
    };
    const ALL: Shown = Shown {
        redact: false,
        digits: true,
    };

    fn under(pii: Pii<'_>, shown: Shown) -> String {
        pii.under(shown, &Redaction::with_key([7; KEY_BYTES]))
    }

    #[test]
    fn digits_are_shown_only_when_that_was_said() {
        for redact in [false, true] {
            let shown = |digits| Shown { redact, digits };
            for pii in [Pii::digits("4711#"), Pii::field("4711#")] {
                assert_eq!(under(pii, shown(false)), "[digits]");
            }
            assert_eq!(under(Pii::digits("4711#"), shown(true)), "4711#");
        }
        assert_eq!(under(Pii::field("4711#"), ALL), "4711#");
        assert_eq!(under(Pii::field("sold"), PLAIN), "sold");
        assert_eq!(under(Pii::field(""), PLAIN), "");
        assert_eq!(under(Pii::field("sold"), REDACT), "[text]");
    }

    #[test]
    fn everything_else_is_shown_unless_redacted() {
        let sdp = "v=0\r\nc=IN IP4 192.0.2.7\r\na=crypto:1 AES inline:SECRET\r\nk=clear:SECRET\r\na=ice-pwd:SECRET\r\n";
        for (pii, secret) in [
            (Pii::number("+442071838750"), "2071838"),
            (Pii::number("alice"), "alice"),
            (Pii::uri("\"Alice\" <sip:alice@b.example>;tag=1"), "lice"),
            (Pii::text("sip:alice@b.example leads nowhere"), "alice"),
            (Pii::sdp(sdp), "192.0.2.7"),
        ] {
            assert!(under(pii, PLAIN).contains(secret), "{}", under(pii, PLAIN));
            assert!(!under(pii, REDACT).contains(secret), "{}", under(pii, REDACT));
            assert!(
                !under(
                    pii,
                    Shown {
                        digits: true,
                        ..REDACT
                    }
                )
                .contains(secret),
                "digits are another matter"
            );
        }
        assert!(!under(Pii::sdp(sdp), ALL).contains("SECRET"));
    }

    #[test]
    fn a_line_stays_one_line() {
        // The process's setting, which no unit changes: nothing is redacted.
        let hostile = Pii::number("a\r\nINFO \u{1b}[2J\"b");
        assert_eq!(hostile.to_string(), "a\\r\\nINFO \\u{1b}[2J\"b");
        assert_eq!(format!("{hostile:?}"), "\"a\\r\\nINFO \\u{1b}[2J\\\"b\"");
    }
}
