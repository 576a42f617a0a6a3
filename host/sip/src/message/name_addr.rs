//! Addresses in headers: From, To, Contact, Route, Record-Route, Refer-To and others (RFC 3261 §20.10).

use std::borrow::Cow;

use super::{
    params::Params,
    scan::{self, cut, find_unquoted, quoted_len, rest, trim},
    uri::{Uri, UriError},
};

/// `"display" <uri>;params`, or a bare `uri;params`. In the bare form everything after the first `;` belongs to the
/// header, not to the URI (RFC 3261 §20).
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none.
    pub display_raw: &'a [u8],
    /// The URI as written, without angle brackets.
    pub uri_raw: &'a [u8],
    /// Header parameters.
    pub params: Params<'a>,
    /// Whether the URI stands in angle brackets.
    pub bracketed: bool,
}

/// A Contact element.
#[derive(Debug, Clone, Copy)]
pub enum Contact<'a> {
    /// `*` (RFC 3261 §10.2.2).
    Star,
    /// An address.
    Addr(NameAddr<'a>),
}

impl<'a> NameAddr<'a> {
    /// Reads one address. Lenient where the meaning is clear: an unquoted display name may hold any octets up to `<`.
    ///
    /// # Errors
    /// A short reason when a quote or bracket is not closed, or there is no URI.
    pub fn parse(value: &'a [u8]) -> Result<Self, &'static str> {
        let value = trim(value);
        if let [b'"', ..] = value {
            let n = quoted_len(value).ok_or("a quote is not closed")?;
            let after = scan::trim_start(rest(value, n));
            let [b'<', ..] = after else {
                return Err("no `<` after the display name");
            };
            return Self::bracketed(cut(value, 0, n), after);
        }
        // A quote after the first `;` belongs to a parameter: it does not hide a `<`, there is none to come.
        match find_unquoted(value, |c| matches!(c, b'<' | b';')) {
            Some(i) if value.get(i) == Some(&b'<') => Self::bracketed(trim(cut(value, 0, i)), rest(value, i)),
            found => {
                let end = found.unwrap_or(value.len());
                let uri_raw = trim(cut(value, 0, end));
                if uri_raw.is_empty() {
                    return Err("no URI");
                }
                Ok(Self {
                    display_raw: &[],
                    uri_raw,
                    params: Params::new(rest(value, end)),
                    bracketed: false,
                })
            }
        }
    }

    /// `b` begins with `<`.
    fn bracketed(display_raw: &'a [u8], b: &'a [u8]) -> Result<Self, &'static str> {
        let end = memchr::memchr(b'>', b).ok_or("`<` is not closed")?;
        let uri_raw = trim(cut(b, 1, end));
        if uri_raw.is_empty() {
            return Err("no URI");
        }
        let after = scan::trim_start(rest(b, end + 1));
        if !matches!(after, [] | [b';', ..]) {
            return Err("text after `>`");
        }
        Ok(Self {
            display_raw,
            uri_raw,
            params: Params::new(after),
            bracketed: true,
        })
    }

    /// The display name without quotes and backslashes.
    #[must_use]
    pub fn display(&self) -> Option<Cow<'a, [u8]>> {
        (!self.display_raw.is_empty()).then(|| scan::unquote(self.display_raw))
    }

    /// The URI, parsed.
    ///
    /// # Errors
    /// As [`Uri::parse`].
    pub fn uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri_raw)
    }

    /// The `tag`; `None` when it is missing or empty.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag").filter(|t| !t.is_empty())
    }

    /// The raw value of a header parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        self.params.value(name)
    }

    /// Strict reading for validation: the URI parses and the parameters follow the grammar.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self.uri() {
            Ok(_) => {}
            Err(UriError::Host) => return Err("host of the URI"),
            Err(UriError::Octet) => return Err("an octet that no URI has"),
            Err(_) => return Err("URI"),
        }
        self.params.check()
    }
}

impl<'a> Contact<'a> {
    /// Reads one element of a Contact list.
    ///
    /// # Errors
    /// As [`NameAddr::parse`].
    pub fn parse(value: &'a [u8]) -> Result<Self, &'static str> {
        if trim(value) == b"*" {
            return Ok(Self::Star);
        }
        NameAddr::parse(value).map(Self::Addr)
    }

    /// The address, unless it is `*`.
    #[must_use]
    pub const fn addr(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::Star => None,
            Self::Addr(addr) => Some(addr),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn display_names() {
        for (value, display, uri) in [
            (
                &b"\"A. \\\"Q\\\" <x>, B\" <sip:a@b>;tag=1"[..],
                Some(&b"A. \"Q\" <x>, B"[..]),
                &b"sip:a@b"[..],
            ),
            (b"Alice Smith <sip:a@b> ;tag=1", Some(b"Alice Smith"), b"sip:a@b"),
            (b"caller<sip:a@b>;tag=1", Some(b"caller"), b"sip:a@b"),
            (
                b"Bell, Alexander <sip:a@b>;tag=1",
                Some(b"Bell, Alexander"),
                b"sip:a@b",
            ),
            (b"\"J\xfcrg\" <sip:a@b>;tag=1", Some(b"J\xfcrg"), b"sip:a@b"),
            (b"\"\"<sip:a@b>;tag=1", Some(b""), b"sip:a@b"),
            (b"< sip:a@b;x=y >;tag=1", None, b"sip:a@b;x=y"),
            (b"sip:a@b;tag=1", None, b"sip:a@b"),
            (b"sip:a@b ; tag = 1", None, b"sip:a@b"),
        ] {
            let a = NameAddr::parse(value).unwrap();
            assert_eq!(a.display().as_deref(), display, "{value:?}");
            assert_eq!(a.uri_raw, uri);
            assert_eq!(a.tag(), Some(&b"1"[..]));
            assert!(a.check().is_ok());
        }
    }

    #[test]
    fn bare_addresses_give_their_parameters_to_the_header() {
        let a = NameAddr::parse(b"sip:+1@h;user=phone").unwrap();
        assert_eq!(a.param("user"), Some(&b"phone"[..]));
        assert!(!a.uri().unwrap().sip().unwrap().params.has("user"));
    }

    #[test]
    fn parameters_with_quotes() {
        let a = NameAddr::parse(b"sip:a@b;x=\"<;>\";tag=7").unwrap();
        assert_eq!((a.param("x"), a.tag()), (Some(&b"\"<;>\""[..]), Some(&b"7"[..])));
    }

    #[test]
    fn malformed() {
        for bad in [
            &b""[..],
            b"\"open <sip:a@b>",
            b"<sip:a@b",
            b"\"x\" sip:a@b",
            b"<>",
            b";tag=1",
            b"<sip:a@b>x",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(NameAddr::parse(b"<sip:a@b>;;x").unwrap().check().is_err());
        assert!(NameAddr::parse(b"<sip:a@2001:db8::1>").unwrap().check().is_err());
    }

    #[test]
    fn star() {
        assert!(matches!(Contact::parse(b" * "), Ok(Contact::Star)));
    }
}
