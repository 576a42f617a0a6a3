//! A SIP message as one line of the log.
//!
//! Works on raw octets, well-formed or not. Entry type: [`MessageLine`]. Invariants: logins never stand in it, whatever is
//! allowed; what callers type (the body of an INFO, or any of a type for keys) only where digits are shown; under redaction no
//! body, addresses with tags, and of headers that are not known to be harmless the name alone. A body is cut at 4 KiB and the
//! line at 16 KiB of the message.

use std::fmt;

use callbox_sip::message::HeaderName;

use super::{Pii, Redaction, Shown, on_one_line};

/// Octets of a body that are shown.
const BODY_SHOWN: usize = 4 << 10;
/// Octets of a head that are shown.
const HEAD_SHOWN: usize = 16 << 10;

/// A message, to be displayed as the log of this process may show it.
#[derive(Clone, Copy)]
pub struct MessageLine<'a>(pub &'a [u8]);

impl fmt::Debug for MessageLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MessageLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        on_one_line(&self.under(super::shown(), Redaction::of_process()), f)
    }
}

impl MessageLine<'_> {
    fn under(self, shown: Shown, redaction: &Redaction) -> String {
        let (head, body) = split(self.0);
        let head = String::from_utf8_lossy(head.get(..HEAD_SHOWN).unwrap_or(head));
        let mut lines = head.split('\n').map(|line| line.trim_end_matches('\r'));
        let first = lines.next().unwrap_or_default();
        let mut line = match shown.redact {
            true => redaction.start_line(first),
            false => first.to_owned(),
        };
        let (mut info, mut content_type) = (line.starts_with("INFO "), "");
        let mut folded = false;
        for text in lines {
            if text.starts_with([' ', '\t']) {
                // The rest of a header; of one that was not shown as it is, it is not shown either.
                if folded {
                    line.push_str(text);
                }
                continue;
            }
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            let (name, value) = (name.trim(), value.trim());
            let known = HeaderName::lookup(name.as_bytes());
            match known {
                HeaderName::CSeq => info |= value.to_ascii_uppercase().ends_with("INFO"),
                HeaderName::ContentType => content_type = value,
                _ => {}
            }
            line.push_str(" | ");
            let as_it_is = is_harmless(known) || (!shown.redact && !is_login(name));
            folded = as_it_is;
            if as_it_is {
                line.push_str(text);
                continue;
            }
            // A line without a colon is no name.
            line.push_str(if text.contains(':') { name } else { "?" });
            line.push_str(": ");
            match known {
                HeaderName::From | HeaderName::To | HeaderName::Contact if shown.redact => {
                    line.push_str(&address(value, redaction));
                }
                _ => line.push_str("[text]"),
            }
        }
        if !body.is_empty() {
            line.push_str(" || ");
            line.push_str(&of_body(body, content_type, info, shown, redaction));
        }
        line
    }
}

/// Head and body, without the empty line between them.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let lead = message.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count();
    let message = message.get(lead..).unwrap_or_default();
    let mut at = 0;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            let (head, rest) = message.split_at_checked(at).unwrap_or((message, &[]));
            return (head.trim_ascii_end(), rest.get(line.len()..).unwrap_or_default());
        }
        at += line.len();
    }
    (message.trim_ascii_end(), &[])
}

impl Redaction {
    /// The start line of a message with a tag for the user of its Request-URI; that of a response names nobody.
    #[must_use]
    pub fn start_line(&self, line: &str) -> String {
        if line.starts_with("SIP/2.0 ") {
            return line.to_owned();
        }
        let Some((method, rest)) = line.split_once(' ') else {
            return "[no start line]".to_owned();
        };
        // A line that was cut has no version at its end.
        let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        let method: String = method.chars().filter(char::is_ascii_uppercase).collect();
        let version = if version == "SIP/2.0" { " SIP/2.0" } else { "" };
        format!("{method} {}{version}", self.uri(uri.trim()))
    }
}

/// Headers that say nothing of persons, or only what finds a call again.
fn is_harmless(name: HeaderName) -> bool {
    matches!(
        name,
        HeaderName::Via
            | HeaderName::CSeq
            | HeaderName::RSeq
            | HeaderName::RAck
            | HeaderName::Allow
            | HeaderName::Event
            | HeaderName::Accept
            | HeaderName::Server
            | HeaderName::MinSe
            | HeaderName::CallId
            | HeaderName::Require
            | HeaderName::Expires
            | HeaderName::Supported
            | HeaderName::UserAgent
            | HeaderName::MaxForwards
            | HeaderName::ContentType
            | HeaderName::ContentLength
            | HeaderName::RetryAfter
            | HeaderName::MinExpires
            | HeaderName::SessionExpires
            | HeaderName::SubscriptionState
    )
}

/// The answers to a challenge: whoever has many of them can try passwords at home.
fn is_login(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("proxy-authorization")
}

/// The address with a tag, and the dialog's tag, which identifies a call and no person.
fn address(value: &str, redaction: &Redaction) -> String {
    // Without angle brackets, parameters are the header's (RFC 3261 §20.10).
    let (uri, parameters) = match value.split_once('>') {
        Some((_, parameters)) => (value, parameters),
        None => value.split_once(';').unwrap_or((value, "")),
    };
    let tag = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("tag="))
        .filter(|tag| tag.bytes().all(|byte| byte.is_ascii_graphic()));
    let uri = redaction.uri(uri);
    match tag {
        Some(tag) => format!("<{uri}>;tag={tag}"),
        None => format!("<{uri}>"),
    }
}

fn of_body(body: &[u8], content_type: &str, info: bool, shown: Shown, redaction: &Redaction) -> String {
    let mime = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let keys = info || mime.contains("dtmf") || mime.contains("kpml");
    if shown.redact || (keys && !shown.digits) {
        return format!("[body, {} bytes]", body.len());
    }
    let cut = body.get(..BODY_SHOWN).unwrap_or(body);
    let text = String::from_utf8_lossy(cut);
    let mut text = match mime.as_str() {
        "application/sdp" => Pii::sdp(&text).under(shown, redaction),
        // It may hold a session description.
        mime if mime.starts_with("multipart/") => Pii::sdp(&text).under(shown, redaction),
        _ => text.into_owned(),
    };
    if cut.len() < body.len() {
        text.push_str(&format!("… ({} bytes more)", body.len() - cut.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::KEY_BYTES;
    use super::*;

    fn line(message: &str, redact: bool, digits: bool) -> String {
        let redaction = Redaction::with_key([3; KEY_BYTES]);
        MessageLine(message.as_bytes()).under(Shown { redact, digits }, &redaction)
    }

    const INVITE: &str = "\r\nINVITE sip:+4930123456@b.example;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\
        f: \"Alice Secret\" <sip:alice@a.example>;tag=77;x=alice\r\nTo: sip:+4930123456@b.example\r\nm: <sip:alice@192.0.2.1>\r\n\
        Call-ID: c1@a\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:alice@a.example>,\r\n <tel:+4930123456>\r\nalice\r\n\
        Proxy-Authorization: Digest username=\"alice\", response=\"deadbeef\"\r\nContent-Type: application/sdp\r\n\r\n\
        v=0\r\no=alice 1 1 IN IP4 192.0.2.9\r\na=crypto:1 X inline:KEY\r\n";

    #[test]
    fn under_redaction_a_message_names_nobody() {
        let shown = line(INVITE, true, true);
        for secret in ["lice", "4930123", "deadbeef", "192.0.2.9", "KEY"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        for part in [
            "INVITE sip:~",
            "-56@b.example SIP/2.0",
            ";tag=77",
            "c1@a",
            "1 INVITE",
            "P-Asserted-Identity: [text]",
            "bytes]",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains('\n'), "{shown}");
    }

    #[test]
    fn without_redaction_it_is_all_but_the_login() {
        let shown = line(INVITE, false, false);
        for part in [
            "Alice Secret",
            "tel:+4930123456",
            "o=alice 1 1 IN IP4 192.0.2.9",
            "Proxy-Authorization: [text]",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("deadbeef") && !shown.contains("KEY"), "{shown}");
    }

    #[test]
    fn digits_are_shown_only_when_that_was_said() {
        let relay =
            "INFO sip:b SIP/2.0\r\nCSeq: 2 INFO\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\n";
        let odd = "INFO sip:b SIP/2.0\r\nCSeq: 2 INFO\r\n\r\nSignal=7\r\n";
        let kpml =
            "NOTIFY sip:b SIP/2.0\r\nc: application/kpml-response+xml\r\n\r\n<x digits=\"7\" Signal=7/>";
        let other = "MESSAGE sip:b SIP/2.0\r\nc: application/DTMF\r\n\r\nSignal=7";
        for message in [relay, odd, kpml, other] {
            assert!(!line(message, false, false).contains("Signal=7"), "{message}");
            assert!(!line(message, true, true).contains("Signal=7"), "{message}");
            assert!(line(message, false, true).contains("Signal=7"), "{message}");
        }
    }

    #[test]
    fn rubbish_tells_nothing() {
        for rubbish in [
            "",
            "\r\n\r\n",
            "secret",
            "secret secret",
            "a secret\u{1b} secret",
            ":secret",
            "X sip:secret@h SIP/9\n:\nsecret",
            "secret sip:secret@h",
        ] {
            assert!(
                !line(rubbish, true, true).contains("secret"),
                "{rubbish}: {}",
                line(rubbish, true, true)
            );
        }
        let long = format!(
            "MESSAGE sip:b SIP/2.0\r\nc: text/plain\r\n\r\n{}",
            "x".repeat(5_000)
        );
        assert!(line(&long, false, false).ends_with("… (904 bytes more)"));
    }
}
