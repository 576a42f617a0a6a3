//! URIs: `sip:` and `sips:` (RFC 3261 §19.1), `tel:` (RFC 3966), and any other scheme kept as it is.
//!
//! Parsing is borrowed and does not decode; [`unescape`] does, where text is wanted. Equality ([`Uri::equivalent`])
//! follows RFC 3261 §19.1.4 and is no equivalence relation, therefore no `PartialEq` here.

mod compare;
mod host;
mod tel;

use std::borrow::Cow;

pub use host::Host;
pub use tel::TelUri;

use super::{
    params::Params,
    scan::{cut, rest},
};

/// Why a URI does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` at its start.
    #[error("no scheme")]
    Scheme,
    /// White space, control characters, quotes or angle brackets within.
    #[error("an octet that no URI has")]
    Octet,
    /// The host is missing or malformed; an IPv6 address needs brackets.
    #[error("host")]
    Host,
    /// The port is no number below 65536.
    #[error("port")]
    Port,
    /// `@` with nothing before it.
    #[error("empty user")]
    User,
    /// A telephone number without digits.
    #[error("telephone number")]
    Number,
    /// Headers (`?`) where the context forbids them.
    #[error("headers not allowed here")]
    Headers,
}

/// A URI, borrowed from the message.
#[derive(Debug, Clone, Copy)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// `tel:`.
    Tel(TelUri<'a>),
    /// Any other scheme.
    Other {
        /// The scheme as written, without colon.
        scheme: &'a [u8],
        /// What follows the colon.
        rest: &'a [u8],
    },
}

/// A `sip:` or `sips:` URI (RFC 3261 §19.1.1).
#[derive(Debug, Clone, Copy)]
pub struct SipUri<'a> {
    /// `sips:`.
    pub secure: bool,
    /// The user part as written, escapes intact. It may hold `;`, `?`, `/` (telephone-subscriber).
    pub user: Option<&'a [u8]>,
    /// The password as written.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params<'a>,
    /// The part after `?`, as written; `None` without `?`.
    pub headers: Option<&'a [u8]>,
}

/// Octets that stand nowhere in a URI. Without a branch, so that many are compared at once: each URI is read several times.
fn has_foreign_octet(b: &[u8]) -> bool {
    b.iter().fold(false, |found, &c| {
        found | (c <= 0x20) | (c == 0x7f) | (c == b'"') | (c == b'<') | (c == b'>')
    })
}

impl<'a> Uri<'a> {
    /// Reads a URI without angle brackets round it.
    ///
    /// # Errors
    /// [`UriError`] says which part is wrong. Unknown schemes are no error.
    pub fn parse(b: &'a [u8]) -> Result<Self, UriError> {
        let colon = b.iter().position(|&c| c == b':').ok_or(UriError::Scheme)?;
        let (scheme, rest) = (cut(b, 0, colon), rest(b, colon + 1));
        let scheme_ok = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'));
        if !scheme_ok {
            return Err(UriError::Scheme);
        }
        if has_foreign_octet(rest) {
            return Err(UriError::Octet);
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            SipUri::parse(false, rest).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            SipUri::parse(true, rest).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            TelUri::parse(rest).map(Self::Tel)
        } else {
            Ok(Self::Other { scheme, rest })
        }
    }

    /// The `sip:`/`sips:` URI, when it is one.
    #[must_use]
    pub const fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    /// Who is meant: the user part of a SIP URI, the number of a `tel:` URI, what follows any other scheme.
    #[must_use]
    pub const fn user(&self) -> Option<&'a [u8]> {
        match self {
            Self::Sip(sip) => sip.user,
            Self::Tel(tel) => Some(tel.number),
            Self::Other { rest, .. } => Some(rest),
        }
    }
}

impl<'a> SipUri<'a> {
    /// `b` is what follows `sip:`.
    fn parse(secure: bool, b: &'a [u8]) -> Result<Self, UriError> {
        // `;` and `?` are legal in the user part, `@` is legal nowhere else: so `@` decides first.
        let (user, password, b) = match memchr::memchr(b'@', b) {
            None => (None, None, b),
            Some(at) => {
                let info = cut(b, 0, at);
                let colon = info.iter().position(|&c| c == b':');
                let user = cut(info, 0, colon.unwrap_or(info.len()));
                if user.is_empty() {
                    return Err(UriError::User);
                }
                (Some(user), colon.map(|i| rest(info, i + 1)), rest(b, at + 1))
            }
        };
        let (b, headers) = match memchr::memchr(b'?', b) {
            Some(i) => (cut(b, 0, i), Some(rest(b, i + 1))),
            None => (b, None),
        };
        let end = memchr::memchr(b';', b).unwrap_or(b.len());
        let (host, port) = Host::parse_with_port(cut(b, 0, end))?;
        Ok(Self {
            secure,
            user,
            password,
            host,
            port,
            params: Params::new(rest(b, end)),
            headers,
        })
    }

    /// Whether the element is a loose router (`;lr`, also written `;lr=on`; RFC 3261 §19.1.1).
    #[must_use]
    pub fn lr(&self) -> bool {
        self.params.has("lr")
    }

    /// The `transport` parameter as written.
    #[must_use]
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.params.value("transport")
    }

    /// The port to use: the one written, else 5061 for `sips:` and 5060.
    #[must_use]
    pub const fn port_or_default(&self) -> u16 {
        match (self.port, self.secure) {
            (Some(port), _) => port,
            (None, true) => 5061,
            (None, false) => 5060,
        }
    }

    /// The headers part, names and values as written (escapes intact).
    pub fn header_pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers
            .unwrap_or_default()
            .split(|&c| c == b'&')
            .filter(|h| !h.is_empty())
            .map(|h| {
                let eq = h.iter().position(|&c| c == b'=').unwrap_or(h.len());
                (cut(h, 0, eq), rest(h, eq + 1))
            })
    }

    /// The decoded value of a header in the headers part, e.g. `Replaces` in a Refer-To.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.header_pairs()
            .find(|(n, _)| unescape(n).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| unescape(value))
    }
}

/// Replaces `%hh` by the octet it stands for. A `%` without two hex digits stays.
#[must_use]
pub fn unescape(b: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', b).is_none() {
        return Cow::Borrowed(b);
    }
    let mut out = Vec::with_capacity(b.len());
    let mut tail = b;
    while let Some((octet, _, next)) = next_octet(tail) {
        out.push(octet);
        tail = next;
    }
    Cow::Owned(out)
}

/// The next octet, whether it was escaped, and what follows.
fn next_octet(b: &[u8]) -> Option<(u8, bool, &[u8])> {
    match b {
        [] => None,
        [b'%', h, l, tail @ ..] => match (hex(*h), hex(*l)) {
            (Some(h), Some(l)) => Some((h << 4 | l, true, tail)),
            _ => Some((b'%', false, rest(b, 1))),
        },
        [c, tail @ ..] => Some((*c, false, tail)),
    }
}

const fn hex(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_parts() {
        let Uri::Sip(u) =
            Uri::parse(b"SIPS:al%69ce;x=1?y:secret:2@Example.com:5071;transport=tcp;lr=on?Subject=a%20b&X=")
                .unwrap()
        else {
            panic!()
        };
        assert!(u.secure && u.lr());
        assert_eq!(u.user, Some(&b"al%69ce;x=1?y"[..]));
        assert_eq!(u.password, Some(&b"secret:2"[..]));
        assert_eq!((u.host.name(), u.port), (Some("Example.com"), Some(5071)));
        assert_eq!(u.transport(), Some(&b"tcp"[..]));
        assert_eq!(&*u.header("subject").unwrap(), b"a b");
        assert_eq!(&*u.header("x").unwrap(), b"");
        assert!(u.header("y").is_none());
    }

    #[test]
    fn without_user() {
        let u = Uri::parse(b"sip:[::1]").unwrap();
        assert_eq!((u.user(), u.sip().unwrap().port_or_default()), (None, 5060));
        assert_eq!(
            Uri::parse(b"sips:h").unwrap().sip().unwrap().port_or_default(),
            5061
        );
    }

    #[test]
    fn other_schemes_stay_whole() {
        let Uri::Other { scheme, rest } = Uri::parse(b"urn:service:sos").unwrap() else {
            panic!()
        };
        assert_eq!((scheme, rest), (&b"urn"[..], &b"service:sos"[..]));
    }

    #[test]
    fn malformed() {
        for (uri, why) in [
            (&b"alice"[..], UriError::Scheme),
            (b":a", UriError::Scheme),
            (b"<sip:a@b>", UriError::Scheme),
            (b"sip:a b@c", UriError::Octet),
            (b"sip:a@b;x=\"y\"", UriError::Octet),
            (b"sip:", UriError::Host),
            (b"sip:a@", UriError::Host),
            (b"sip:@b", UriError::User),
            (b"sip:a@b@c", UriError::Host),
            (b"sip:a@2001:db8::1", UriError::Port),
            (b"sip:a@b:99999", UriError::Port),
            (b"tel:", UriError::Number),
        ] {
            let got = Uri::parse(uri).map(|_| ());
            assert!(got.is_err(), "{}", String::from_utf8_lossy(uri));
            if uri != b"sip:a@2001:db8::1" {
                assert_eq!(got, Err(why), "{}", String::from_utf8_lossy(uri));
            }
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(&*unescape(b"a%00%3b%zz%4"), b"a\0;%zz%4");
    }
}
