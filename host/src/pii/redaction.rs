//! Tags that stand for numbers and addresses: the same for the same person under one key, and nothing to anybody without it.
//!
//! `~5c0f1e22a9b4-67`: twelve hexadecimal digits of SipHash-2-4 under the key, and the last two digits of what is long enough
//! to be a subscriber's number. The sign `~` may stand in the user part of a URI (RFC 3261 §25.1), so `sip:~5c0f1e22a9b4-67@host`
//! is one still. Entry type: [`Redaction`]. Invariants: a tag has none of its text in it but those two digits; names, parameters
//! and headers of an address are left out; what does not parse becomes a tag as a whole.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::OnceLock;

use callbox_sip::message::{Uri, unescape};
use siphasher::sip::SipHasher24;

/// Octets of a key.
pub const KEY_BYTES: usize = 16;
/// From so many digits on a number tells its last two: shorter ones are extensions, where two would tell too much.
const LONG_NUMBER: usize = 7;
/// Who withholds a name is called so (RFC 3323 §4.1), and that identifies nobody.
const ANONYMOUS: &str = "anonymous";

/// Makes tags, under one key.
#[derive(Clone)]
pub struct Redaction {
    keys: (u64, u64),
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction(a key)")
    }
}

impl Redaction {
    /// The one of this process: its key is gone when it ends, and nobody ever sees it.
    #[must_use]
    pub fn of_process() -> &'static Self {
        static PROCESS: OnceLock<Redaction> = OnceLock::new();
        PROCESS.get_or_init(|| {
            let random = RandomState::new();
            Self {
                keys: (random.hash_one(0_u8), random.hash_one(1_u8)),
            }
        })
    }

    /// Under this key.
    #[must_use]
    pub fn with_key(key: [u8; KEY_BYTES]) -> Self {
        let both = u128::from_le_bytes(key);
        // Both halves are wanted.
        #[allow(clippy::cast_possible_truncation)]
        let keys = ((both >> 64) as u64, both as u64);
        Self { keys }
    }

    /// A new key, from the system's generator.
    ///
    /// # Errors
    /// What the system says when it has no random numbers.
    pub fn new_key() -> io::Result<[u8; KEY_BYTES]> {
        let mut key = [0; KEY_BYTES];
        rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
        Ok(key)
    }

    /// The tag of a number or of the user part of an address. Spellings of one number have one tag: visual separators (RFC 3966
    /// §5.1.1), escapes and parameters make no difference. Nothing stays nothing, and `anonymous` stays. What is a tag already
    /// stays too.
    #[must_use]
    pub fn number(&self, text: &str) -> String {
        let user = text.split(';').next().unwrap_or_default().trim();
        if user.is_empty() || user.eq_ignore_ascii_case(ANONYMOUS) || is_tag(user) {
            return user.to_owned();
        }
        let user = unescape(user.as_bytes());
        let separator = |byte: &u8| matches!(byte, b'-' | b'.' | b'(' | b')' | b' ');
        let telephone = user
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'*' | b'#') || separator(byte));
        if !telephone {
            return self.tag(&user);
        }
        let plain: Vec<u8> = user.iter().copied().filter(|byte| !separator(byte)).collect();
        let digits: Vec<u8> = plain.iter().copied().filter(u8::is_ascii_digit).collect();
        let mut tag = self.tag(&plain);
        if digits.len() >= LONG_NUMBER
            && let [.., one, two] = digits.as_slice()
        {
            tag.extend(['-', char::from(*one), char::from(*two)]);
        }
        tag
    }

    /// A URI with a tag for its user: `sip:~5c0f1e22a9b4@example.com:5070`. Takes `"Name" <URI>;parameters` too, and what a flow
    /// may dial: a number or `user@host` without a scheme.
    #[must_use]
    pub fn uri(&self, text: &str) -> String {
        let within = text
            .split_once('<')
            .and_then(|(_, after)| after.split_once('>'))
            .map_or(text, |(uri, _)| uri)
            .trim();
        match Uri::parse(within.as_bytes()) {
            Ok(Uri::Sip(uri)) => {
                let scheme = if uri.secure { "sips" } else { "sip" };
                let user = uri.user.map(|user| self.number(&String::from_utf8_lossy(user)));
                let user = user.map(|user| user + "@").unwrap_or_default();
                let port = uri.port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{scheme}:{user}{}{port}", uri.host)
            }
            Ok(Uri::Tel(uri)) => format!("tel:{}", self.number(&String::from_utf8_lossy(uri.number))),
            // A service is no person (RFC 5031).
            Ok(Uri::Other { .. }) if within.to_ascii_lowercase().starts_with("urn:service:") => {
                within.to_owned()
            }
            Ok(Uri::Other { scheme, rest }) => {
                format!("{}:{}", String::from_utf8_lossy(scheme), self.tag(rest))
            }
            Err(_) => match within.rsplit_once('@') {
                Some((user, host)) if is_host(host) => format!("{}@{host}", self.number(user)),
                Some(_) => self.tag(within.as_bytes()),
                None => self.number(within),
            },
        }
    }

    /// A sentence, with tags for what looks like a number or an address in it: a guess, for texts that only may quote one.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let ends = |letter: char| {
            letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>' | '(' | ')' | ',')
        };
        let mut redacted = String::with_capacity(text.len());
        for piece in text.split_inclusive(ends) {
            let word = piece.trim_end_matches(ends);
            let rest = piece.strip_prefix(word).unwrap_or_default();
            let bare = word.trim_end_matches(['.', ':', ';', '!', '?']);
            redacted.push_str(&self.word(bare));
            redacted.push_str(word.strip_prefix(bare).unwrap_or_default());
            redacted.push_str(rest);
        }
        redacted
    }

    fn word(&self, word: &str) -> String {
        let scheme = word
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        if matches!(scheme.as_deref(), Some("sip" | "sips" | "tel")) || word.contains('@') {
            return self.uri(word);
        }
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let others = word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'*' | b'#'));
        match others && digits >= LONG_NUMBER {
            true => self.number(word),
            false => word.to_owned(),
        }
    }

    fn tag(&self, text: &[u8]) -> String {
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(text);
        format!("~{:012x}", hasher.finish() >> 16)
    }
}

/// What [`Redaction::number`] gives: so that a tag can be asked for, and is not made into another.
fn is_tag(text: &str) -> bool {
    let Some((tag, rest)) = text.strip_prefix('~').and_then(|text| text.split_at_checked(12)) else {
        return false;
    };
    let last = rest.strip_prefix('-').unwrap_or_default();
    let two = last.len() == 2 && last.bytes().all(|byte| byte.is_ascii_digit());
    tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && (rest.is_empty() || two)
}

/// A name or an address with or without a port, and nothing that could be more than that.
fn is_host(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one() -> Redaction {
        Redaction::with_key([1; KEY_BYTES])
    }

    #[test]
    fn a_person_has_one_tag_under_one_key() {
        let tag = one().number("+442071838750");
        assert_eq!((tag.len(), &tag[..1], &tag[13..]), (16, "~", "-50"));
        for same in [
            "+44 20 7183-8750",
            "+44.20.71838750",
            "%2B442071838750",
            "+442071838750;phone-context=x",
            &tag,
        ] {
            assert_eq!(one().number(same), tag, "{same}");
        }
        assert_ne!(one().number("+442071838751"), tag);
        assert_ne!(Redaction::with_key([2; KEY_BYTES]).number("+442071838750"), tag);
        assert_eq!(
            one().uri("sip:+442071838750@b.example;user=phone"),
            format!("sip:{tag}@b.example")
        );
        assert_eq!(one().uri("tel:+44-20-7183-8750;ext=3"), format!("tel:{tag}"));
        let process = Redaction::of_process();
        assert_eq!(process.number("bob"), process.number("bob"));
        assert!(!format!("{process:?}").contains(&process.keys.0.to_string()));
        assert_ne!(Redaction::new_key().unwrap(), Redaction::new_key().unwrap());
    }

    #[test]
    fn short_numbers_and_names_tell_nothing() {
        for text in ["100", "123456", "bob", "~bob", "~0123456789ab-bob"] {
            let tag = one().number(text);
            assert_eq!(tag.len(), 13, "{text}: {tag}");
            assert!(is_tag(&tag) && !tag.contains(text));
        }
        assert_eq!(one().number(""), "");
        assert_eq!(one().number("Anonymous"), "Anonymous");
    }

    #[test]
    fn of_an_address_the_host_stays() {
        let bob = one().number("bob");
        for (text, redacted) in [
            ("sip:bob@b.example", format!("sip:{bob}@b.example")),
            (
                "sips:bob:secret@[2001:db8::1]:5061;x=bob?Subject=bob",
                format!("sips:{bob}@[2001:db8::1]:5061"),
            ),
            (
                "\"bob\" <sip:bob@b.example>;tag=bob",
                format!("sip:{bob}@b.example"),
            ),
            ("bob@b.example", format!("{bob}@b.example")),
            ("bob", bob.clone()),
            ("sip:b.example:5070;lr", "sip:b.example:5070".to_owned()),
            ("urn:service:sos", "urn:service:sos".to_owned()),
        ] {
            assert_eq!(one().uri(text), redacted, "{text}");
        }
        for text in [
            "mailto:bob@b.example",
            "sip:bob@",
            "bob@b/\r\nbob",
            "<sip:bob",
            "sip:bo b@b",
        ] {
            let redacted = one().uri(text);
            assert!(
                !redacted.contains("bo") && redacted.contains('~'),
                "{text}: {redacted}"
            );
            assert!(!redacted.contains(char::is_control));
        }
    }

    #[test]
    fn in_a_sentence_what_looks_like_a_person_is_found() {
        let bob = one().number("bob");
        assert_eq!(
            one().text("invalid: \"sip:bob@b.example\" is no URI, bob@b.example: neither; 65536 bytes."),
            format!("invalid: \"sip:{bob}@b.example\" is no URI, {bob}@b.example: neither; 65536 bytes.")
        );
        assert!(!one().text("no way to +442071838750.").contains("207"));
        assert_eq!(one().text(""), "");
    }
}
