//! `tel:` URIs (RFC 3966).

use crate::message::{
    params::Params,
    scan::{cut, rest},
};

use super::UriError;

/// A telephone number as a URI.
#[derive(Debug, Clone, Copy)]
pub struct TelUri<'a> {
    /// The number as written, visual separators and a leading `+` included.
    pub number: &'a [u8],
    /// `ext`, `isub`, `phone-context` and others.
    pub params: Params<'a>,
}

impl<'a> TelUri<'a> {
    /// `b` is what follows `tel:`.
    pub(super) fn parse(b: &'a [u8]) -> Result<Self, UriError> {
        let end = memchr::memchr(b';', b).unwrap_or(b.len());
        let number = cut(b, 0, end);
        let digits = number.strip_prefix(b"+").unwrap_or(number);
        let global = digits.len() != number.len();
        let fits = |c: &u8| {
            c.is_ascii_digit()
                || is_separator(*c)
                || (!global && matches!(c, b'*' | b'#' | b'A'..=b'F' | b'a'..=b'f'))
        };
        if !digits.iter().all(fits) || !digits.iter().any(|c| !is_separator(*c)) {
            return Err(UriError::Number);
        }
        Ok(Self {
            number,
            params: Params::new(rest(b, end)),
        })
    }

    /// Whether the number is international (`+`).
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.number.first() == Some(&b'+')
    }

    /// The number without visual separators.
    pub fn dialled(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.number.iter().copied().filter(|c| !is_separator(*c))
    }
}

/// RFC 3966 §3, visual-separator.
const fn is_separator(c: u8) -> bool {
    matches!(c, b'-' | b'.' | b'(' | b')')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::Uri;

    #[test]
    fn numbers() {
        let Uri::Tel(t) = Uri::parse(b"tel:+1-(201)-555.0123;ext=4").unwrap() else {
            panic!()
        };
        assert_eq!(t.number, b"+1-(201)-555.0123");
        assert_eq!(t.dialled().collect::<Vec<_>>(), b"+12015550123");
        assert_eq!(t.params.value("ext"), Some(&b"4"[..]));
        assert!(t.is_global());
        let Uri::Tel(t) = Uri::parse(b"tel:*86#;phone-context=example.com").unwrap() else {
            panic!()
        };
        assert!(!t.is_global());
        assert!(
            Uri::parse(b"tel:+").is_err()
                && Uri::parse(b"tel:+1*2").is_err()
                && Uri::parse(b"tel:alice").is_err()
        );
    }
}
