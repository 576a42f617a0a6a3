//! The host part of a URI or of a Via (RFC 3261 §25.1, `host`; RFC 5118 §4).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::message::scan::{cut, rest, trim_end, trim_start};

use super::UriError;

/// A host. Names keep their letter case but compare without regard to it.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A domain name, or a label with the underscores that some peers use.
    Name(&'a [u8]),
    /// Dotted decimal.
    V4(Ipv4Addr),
    /// An IPv6 reference, in brackets on the wire.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a host without port. IPv6 needs its brackets.
    ///
    /// # Errors
    /// [`UriError::Host`] when it is empty or has octets that no host has.
    pub fn parse(b: &'a [u8]) -> Result<Self, UriError> {
        if let [b'[', inner @ .., b']'] = b {
            let text = std::str::from_utf8(inner).map_err(|_| UriError::Host)?;
            return text.parse().map(Self::V6).map_err(|_| UriError::Host);
        }
        // Before the name's octets are looked at: most hosts are addresses, and every message has a dozen of them.
        if let Some(v4) = dotted_decimal(b) {
            return Ok(Self::V4(v4));
        }
        let starts_right = b.first().is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
        if !starts_right
            || !b
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
        {
            return Err(UriError::Host);
        }
        Ok(Self::Name(b))
    }

    /// Reads `host [":" port]` with white space allowed round the colon, as Via has it. `b` is trimmed.
    pub(crate) fn parse_with_port(b: &'a [u8]) -> Result<(Self, Option<u16>), UriError> {
        let end_of_host = match b {
            [b'[', ..] => memchr::memchr(b']', b).ok_or(UriError::Host)? + 1,
            _ => memchr::memchr(b':', b).unwrap_or(b.len()),
        };
        let host = Self::parse(trim_end(cut(b, 0, end_of_host)))?;
        match trim_start(rest(b, end_of_host)) {
            [] => Ok((host, None)),
            [b':', port @ ..] => Ok((host, Some(parse_port(trim_start(port))?))),
            _ => Err(UriError::Host),
        }
    }

    /// The address, when the host is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(a) => Some(IpAddr::V4(*a)),
            Self::V6(a) => Some(IpAddr::V6(*a)),
        }
    }

    /// The name, when the host is one.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        match self {
            Self::Name(n) => std::str::from_utf8(n).ok(),
            _ => None,
        }
    }
}

/// Four numbers up to 255 without needless zeros, as the standard library reads them, at a third of its instructions.
fn dotted_decimal(b: &[u8]) -> Option<Ipv4Addr> {
    let mut address = [0; 4];
    let mut parts = b.split(|&c| c == b'.');
    for octet in &mut address {
        *octet = match *parts.next()? {
            [a] => digit(a)?,
            [a, b] if a != b'0' => digit(a)? * 10 + digit(b)?,
            [a, b, c] if a != b'0' => {
                let tens = digit(a)? * 10 + digit(b)?;
                tens.checked_mul(10)?.checked_add(digit(c)?)?
            }
            _ => return None,
        };
    }
    parts.next().is_none().then(|| address.into())
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        _ => None,
    }
}

/// One to five digits, at most 65535.
fn parse_port(b: &[u8]) -> Result<u16, UriError> {
    if b.len() > 5 {
        return Err(UriError::Port);
    }
    crate::message::scan::digits(b)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or(UriError::Port)
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A parsed name is ASCII; one that was put together by hand may not be.
            Self::Name(n) => f.write_str(std::str::from_utf8(n).unwrap_or("invalid")),
            Self::V4(a) => a.fmt(f),
            Self::V6(a) => write!(f, "[{a}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let (host, port) = Host::parse_with_port(b"[2001:db8::1]:5060").unwrap();
        assert_eq!((host.to_string().as_str(), port), ("[2001:db8::1]", Some(5060)));
        // RFC 5118 §4.3: all of it is the address.
        let (host, port) = Host::parse_with_port(b"[2001:db8::10:5070]").unwrap();
        assert_eq!(
            (host.ip(), port),
            (Some("2001:db8::10:5070".parse().unwrap()), None)
        );
        let (host, port) = Host::parse_with_port(b"first.example.com : 4000").unwrap();
        assert_eq!((host.name(), port), (Some("first.example.com"), Some(4000)));
        assert_eq!(
            Host::parse(b"under_score.example").unwrap().name(),
            Some("under_score.example")
        );
        assert_eq!(
            Host::parse(b"192.0.2.1").unwrap(),
            Host::V4(Ipv4Addr::new(192, 0, 2, 1))
        );
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        let parts = [
            "0", "00", "1", "01", "9", "10", "99", "100", "255", "256", "260", "999", "1000", "", "a", "-1",
        ];
        for first in parts {
            for second in parts {
                for text in [
                    format!("{first}.{second}.0.1"),
                    format!("10.0.{first}.{second}"),
                    format!("{first}.{second}.1"),
                    format!("1.2.3.{first}.{second}"),
                ] {
                    assert_eq!(dotted_decimal(text.as_bytes()), text.parse().ok(), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_host() {
        for bad in [
            &b""[..],
            b"2001:db8::1",
            b"2001:db8::1:5060",
            b"[::1",
            b"[zz]",
            b"a b",
            b"a:",
            b"a:65536",
            b"a:-1",
            b"a:5060x",
            b"[::1]5060",
            b"-a",
            b"a\xff",
            b"[2001:db8:::1]",
            b"a:000080",
        ] {
            assert!(
                Host::parse_with_port(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
