//! Digits that a peer types, as INFO bodies carry them.
//!
//! `application/dtmf-relay` (`Signal=5`, `Duration=160`) and `application/dtmf` (a bare digit) are conventions older
//! than RFC 6086 that every device speaks. Numbers above nine stand for the other keys: 10 is `*`, 11 is `#`, 12–15 are
//! A–D, 16 is the hook flash, which is no digit. What does not parse as a digit is an ordinary INFO.

use std::time::Duration;

/// How a digit came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtmfSource {
    /// INFO with `application/dtmf-relay`.
    InfoDtmfRelay,
    /// INFO with `application/dtmf`.
    InfoDtmf,
}

/// One digit: `0`–`9`, `*`, `#`, `A`–`D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtmf {
    /// The key.
    pub digit: char,
    /// How long it was pressed, where the peer says so.
    pub duration: Option<Duration>,
    /// How it came.
    pub source: DtmfSource,
}

/// Reads the body of an INFO as a digit.
pub(super) fn parse_info(content_type: &str, body: &[u8]) -> Option<Dtmf> {
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(body).ok()?;
    if mime.eq_ignore_ascii_case("application/dtmf-relay") {
        let digit = digit(field(text, "signal")?)?;
        let duration = field(text, "duration")
            .and_then(|value| value.parse::<u32>().ok())
            .map(|milliseconds| Duration::from_millis(milliseconds.into()));
        Some(Dtmf {
            digit,
            duration,
            source: DtmfSource::InfoDtmfRelay,
        })
    } else if mime.eq_ignore_ascii_case("application/dtmf") {
        // Some devices send `Signal=5` under this type, too.
        let digit = digit(field(text, "signal").unwrap_or_else(|| text.trim()))?;
        Some(Dtmf {
            digit,
            duration: None,
            source: DtmfSource::InfoDtmf,
        })
    } else {
        None
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(['=', ':'])?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn digit(signal: &str) -> Option<char> {
    Some(match signal {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        _ => {
            let mut chars = signal.chars();
            let only = chars.next()?.to_ascii_uppercase();
            if chars.next().is_some() || !is_digit(only) {
                return None;
            }
            only
        }
    })
}

/// True for the sixteen keys of RFC 4733 §3.2.
pub(super) fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn digits_as_devices_send_them() {
        let relay = |body: &str| parse_info("application/dtmf-relay", body.as_bytes()).map(|dtmf| dtmf.digit);
        assert_eq!(relay("Signal=5\r\nDuration=160\r\n"), Some('5'));
        assert_eq!(relay("Signal= *\nDuration= 250"), Some('*'));
        assert_eq!(relay("signal=10\r\n"), Some('*'));
        assert_eq!(relay("Signal=11\r\n"), Some('#'));
        assert_eq!(relay("Signal=15\r\n"), Some('D'));
        assert_eq!(relay("Signal=b\r\n"), Some('B'));
        assert_eq!(relay("Signal=16\r\n"), None, "hook flash");
        assert_eq!(relay("Signal=\r\n"), None);
        assert_eq!(relay("Signal=55\r\n"), None);
        assert_eq!(relay("Duration=160\r\n"), None);
        let bare = |body: &[u8]| parse_info("application/dtmf; charset=utf-8", body).map(|dtmf| dtmf.digit);
        assert_eq!(bare(b"7"), Some('7'));
        assert_eq!(bare(b" #\r\n"), Some('#'));
        assert_eq!(bare(b"Signal=3"), Some('3'));
        assert_eq!(bare(b"\xff"), None);
        assert_eq!(parse_info("text/plain", b"5"), None);
    }

    #[test]
    fn the_duration_is_optional_and_never_trusted() {
        let duration = |body: &str| {
            parse_info("Application/DTMF-Relay", body.as_bytes())
                .unwrap()
                .duration
        };
        assert_eq!(
            duration("Signal=1\r\nDuration=160\r\n"),
            Some(Duration::from_millis(160))
        );
        assert_eq!(duration("Signal=1\r\n"), None);
        assert_eq!(duration("Signal=1\r\nDuration=99999999999\r\n"), None);
    }
}
