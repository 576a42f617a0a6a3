//! `[drain]`: what becomes of new calls while the host waits for its end.

use std::fmt;
use std::str::FromStr;

use super::reader::{Section, Source};

/// `[drain]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drain {
    /// `redirect`: new calls get 302 to there. None, the default: 503 with Retry-After.
    pub redirect: Option<DrainTarget>,
}

/// A SIP URI without a user part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainTarget {
    scheme: &'static str,
    /// Host, port and parameters.
    rest: String,
}

impl DrainTarget {
    /// The same with the user part of a call's Request-URI, if that is plain enough to stand there.
    #[must_use]
    pub fn uri_for(&self, user: &str) -> String {
        let Self { scheme, rest } = self;
        // RFC 3261 §25.1, `user`: unreserved, escaped and user-unreserved.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()%&=+$,;?/".contains(&byte);
        if user.is_empty() || !user.bytes().all(plain) {
            return format!("{scheme}:{rest}");
        }
        format!("{scheme}:{user}@{rest}")
    }
}

impl fmt::Display for DrainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.rest)
    }
}

impl FromStr for DrainTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "is not where calls can be sent; write \"sip:HOST:PORT\", without a user part".to_owned();
        let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "sip" => "sip",
            "sips" => "sips",
            _ => return Err(wrong()),
        };
        let host = rest.split([';', '?']).next().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
        let parameter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'();=+:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) || !rest.bytes().all(parameter) {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            rest: rest.to_owned(),
        })
    }
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Drain {
    let mut drain = Drain::default();
    let Some(mut section) = section else { return drain };
    drain.redirect = section.string("redirect").and_then(|text| source.parsed(text));
    section.finish();
    drain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn calls_keep_the_number_that_was_dialled() {
        let peer: DrainTarget = "sip:two.example:5070;transport=tcp".parse().unwrap();
        assert_eq!(peer.uri_for("+4930"), "sip:+4930@two.example:5070;transport=tcp");
        assert_eq!(peer.uri_for("a%20b"), "sip:a%20b@two.example:5070;transport=tcp");
        for odd in ["", "a>b", "a b", "a\r\nb", "ä", "a@b"] {
            assert_eq!(peer.uri_for(odd), "sip:two.example:5070;transport=tcp", "{odd:?}");
        }
        let peer: DrainTarget = "SIPS:[2001:db8::1]".parse().unwrap();
        assert_eq!(peer.uri_for("7"), "sips:7@[2001:db8::1]");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for wrong in [
            "",
            "two.example",
            "tel:+49",
            "sip:",
            "sip:a@b",
            "sip:a b",
            "sip:a>",
            "sip:;lr",
            "sip:a\r\nb",
        ] {
            assert!(wrong.parse::<DrainTarget>().is_err(), "{wrong:?}");
        }
    }
}
