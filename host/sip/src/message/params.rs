//! `;name=value` parameters, of headers and of URIs alike. Lazy: nothing is split until it is asked for.

use std::borrow::Cow;

use super::scan::{self, cut, find_unquoted, is_token, rest, trim};

/// A list of parameters as it stands in the message, from its first `;` on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a [u8]);

/// One parameter. White space round name and value is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as written. Compare it without regard to case.
    pub name: &'a [u8],
    /// The value as written, quotes included; `None` without `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// The value without quotes and backslashes; empty when there is none.
    #[must_use]
    pub fn text(&self) -> Cow<'a, [u8]> {
        scan::unquote(self.value.unwrap_or_default())
    }
}

impl<'a> Params<'a> {
    /// `raw` begins with `;` or is empty.
    pub(crate) const fn new(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// The octets of the list, its first `;` included.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.0
    }

    /// All parameters in order. Empty ones (`;;`) are left out.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        Pieces(Some(self.0)).skip(1).filter(|p| !p.is_empty()).map(split)
    }

    /// The first parameter of that name, in any letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The raw value of a parameter; `None` also for a parameter without `=`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name)?.value
    }

    /// Whether the parameter stands in the list, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Strict reading for validation: no empty parameter (a single `;` at the end is tolerated, phones send it),
    /// names are tokens, quotes are closed, and unquoted values hold no white space (RFC 3261 §25.1, generic-param).
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let mut pieces = Pieces(Some(self.0));
        if pieces.next().is_some_and(|before| !before.is_empty()) {
            return Err("text before the parameters");
        }
        let mut empty = false;
        for piece in pieces {
            if empty {
                return Err("empty parameter");
            }
            if piece.is_empty() {
                empty = true;
                continue;
            }
            let Param { name, value } = split(piece);
            if !is_token(name) {
                return Err("parameter name is not a token");
            }
            match value {
                None => {}
                Some([]) => return Err("parameter without a value after `=`"),
                Some(v @ [b'"', ..]) if scan::quoted_len(v) == Some(v.len()) => {}
                Some([b'"', ..]) => return Err("parameter with an open quote"),
                Some(v) if v.iter().any(|&c| breaks_value(c)) => return Err("parameter value"),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Octets that no unquoted value holds.
const fn breaks_value(c: u8) -> bool {
    scan::is_lws(c) || matches!(c, b'"' | b',' | b'<' | b'>')
}

/// Pieces between `;`, trimmed. Quoted strings are respected.
struct Pieces<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let b = self.0?;
        match find_unquoted(b, |c| c == b';') {
            Some(i) => {
                self.0 = Some(rest(b, i + 1));
                Some(trim(cut(b, 0, i)))
            }
            None => {
                self.0 = None;
                Some(trim(b))
            }
        }
    }
}

fn split(piece: &[u8]) -> Param<'_> {
    match piece.iter().position(|&c| c == b'=') {
        Some(i) => Param {
            name: trim(cut(piece, 0, i)),
            value: Some(trim(rest(piece, i + 1))),
        },
        None => Param {
            name: piece,
            value: None,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quoted_semicolons_and_spaces() {
        let p = Params::new(b" ; a = \"x;y\" ;B;;c= 1 ;+sip.instance=\"<urn:uuid:1>\"");
        let all: Vec<_> = p.iter().map(|p| (p.name, p.value)).collect();
        assert_eq!(
            all,
            [
                (&b"a"[..], Some(&b"\"x;y\""[..])),
                (b"B", None),
                (b"c", Some(b"1")),
                (b"+sip.instance", Some(b"\"<urn:uuid:1>\"")),
            ]
        );
        assert_eq!(&*p.get("A").unwrap().text(), b"x;y");
        assert!(p.has("b") && p.value("b").is_none() && !p.has("d"));
    }

    #[test]
    fn strict_check() {
        for good in [
            &b""[..],
            b";a",
            b";a=b ; c = \"d;e\"",
            b";a=b;",
            b";received=[2001:db8::1]",
        ] {
            assert_eq!(Params::new(good).check(), Ok(()), "{good:?}");
        }
        for bad in [
            &b";;a"[..],
            b";a;;",
            b";a=\"b",
            b";a=b c",
            b";=b",
            b";a=",
            b"x;a",
            b";a=\"b\"c",
        ] {
            assert!(Params::new(bad).check().is_err(), "{bad:?}");
        }
    }
}
