//! Octet scanning shared by the typed fields: linear white space, tokens, quoted strings and lists.
//!
//! It knows no header. Every function takes a value whose line breaks are already known to be folds
//! (the index guarantees it), so CR and LF count as white space here. All functions are linear in their
//! input and none of them can fail: what is not there reads as an empty slice.

use std::borrow::Cow;

/// SP, HT, or the CR and LF of a fold (RFC 3261 §25.1, LWS).
pub(crate) const fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Octets of a `token` (RFC 3261 §25.1).
const TOKEN: [bool; 256] = {
    let mut t = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        // The index of a constant table stays below its length by the loop's own condition.
        #[allow(clippy::indexing_slicing)]
        {
            t[i] = b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
                );
        }
        i += 1;
    }
    t
};

#[inline]
pub(crate) fn is_token_byte(b: u8) -> bool {
    TOKEN.get(usize::from(b)).copied().unwrap_or(false)
}

/// Whether `b` is a `token`: not empty, and made of token characters only (RFC 3261 §25.1).
#[must_use]
pub fn is_token(b: &[u8]) -> bool {
    !b.is_empty() && b.iter().all(|&c| is_token_byte(c))
}

/// Whether `b` can stand as the value of a header on one line: no CR, LF or NUL.
#[must_use]
pub fn is_field_value(b: &[u8]) -> bool {
    !b.iter().any(|&c| matches!(c, b'\r' | b'\n' | 0))
}

/// `b[from..to]`, or nothing when that range does not exist.
#[inline]
pub(crate) fn cut(b: &[u8], from: usize, to: usize) -> &[u8] {
    b.get(from..to).unwrap_or_default()
}

/// `b[from..]`, or nothing.
#[inline]
pub(crate) fn rest(b: &[u8], from: usize) -> &[u8] {
    b.get(from..).unwrap_or_default()
}

#[inline]
pub(crate) fn trim_start(mut b: &[u8]) -> &[u8] {
    while let [first, tail @ ..] = b {
        if !is_lws(*first) {
            break;
        }
        b = tail;
    }
    b
}

#[inline]
pub(crate) fn trim_end(mut b: &[u8]) -> &[u8] {
    while let [head @ .., last] = b {
        if !is_lws(*last) {
            break;
        }
        b = head;
    }
    b
}

#[inline]
pub(crate) fn trim(b: &[u8]) -> &[u8] {
    trim_end(trim_start(b))
}

/// Splits off the longest run of octets that satisfy `keep`.
#[inline]
pub(crate) fn take_while(b: &[u8], keep: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let n = b.iter().position(|&c| !keep(c)).unwrap_or(b.len());
    b.split_at_checked(n).unwrap_or((b, &[]))
}

/// The length of the quoted string at the start of `b`, both quotes included. `None`: it is not closed.
pub(crate) fn quoted_len(b: &[u8]) -> Option<usize> {
    let mut i = 1;
    while let Some(&c) = b.get(i) {
        match c {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    None
}

/// The position of the first octet outside quoted strings for which `stop` holds. A quote that is never
/// closed runs to the end.
pub(crate) fn find_unquoted(b: &[u8], stop: impl Fn(u8) -> bool) -> Option<usize> {
    let mut i = 0;
    while let Some(&c) = b.get(i) {
        if stop(c) {
            return Some(i);
        }
        if c == b'"' {
            i += quoted_len(rest(b, i))?;
        } else {
            i += 1;
        }
    }
    None
}

/// Whether each quoted string in `b` is closed: only then can something be written behind it.
pub(crate) fn quotes_are_closed(mut b: &[u8]) -> bool {
    while let Some(i) = memchr::memchr(b'"', b) {
        match quoted_len(rest(b, i)) {
            Some(n) => b = rest(b, i + n),
            None => return false,
        }
    }
    true
}

/// The text of a value that may be a quoted string: quotes removed, `\x` replaced by `x`.
pub(crate) fn unquote(b: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = b else {
        return Cow::Borrowed(b);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&c) = octets.next() {
        match c {
            b'\\' => out.extend(octets.next()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A decimal number without sign that fits a `u64`; `None` for anything else.
pub(crate) fn digits(b: &[u8]) -> Option<u64> {
    if b.is_empty() {
        return None;
    }
    b.iter().try_fold(0u64, |n, &c| {
        if !c.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(c - b'0'))
    })
}

/// Splits a comma list. Commas in quoted strings and between `<` and `>` do not count. Elements come
/// trimmed; empty ones are handed out too, the caller decides whether they are an error.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: Some(value) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let b = self.rest?;
        // Most values hold no comma at all: one fast search decides.
        if memchr::memchr(b',', b).is_none() {
            self.rest = None;
            return Some(trim(b));
        }
        let mut i = 0;
        while let Some(&c) = b.get(i) {
            match c {
                b',' => {
                    self.rest = Some(rest(b, i + 1));
                    return Some(trim(cut(b, 0, i)));
                }
                b'"' => match quoted_len(rest(b, i)) {
                    Some(n) => i += n,
                    None => break,
                },
                b'<' => match memchr::memchr(b'>', rest(b, i)) {
                    Some(n) => i += n + 1,
                    None => break,
                },
                _ => i += 1,
            }
        }
        self.rest = None;
        Some(trim(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let list: Vec<_> = Elements::new(b"\"a,\\\",b\" <sip:x,y@h> , <sip:z@h>;q=\"1,2\",").collect();
        assert_eq!(
            list,
            [&b"\"a,\\\",b\" <sip:x,y@h>"[..], b"<sip:z@h>;q=\"1,2\"", b""]
        );
    }

    #[test]
    fn an_open_quote_or_bracket_runs_to_the_end() {
        assert_eq!(Elements::new(b"\"a, b, c").count(), 1);
        assert_eq!(Elements::new(b"<a, b, c").count(), 1);
    }

    #[test]
    fn unquoting_drops_escapes() {
        assert_eq!(&*unquote(br#""a \"b\" \\ c""#), br#"a "b" \ c"#);
        assert_eq!(&*unquote(b"plain"), b"plain");
        assert_eq!(&*unquote(b"\""), b"\"");
        assert_eq!(&*unquote(br#""\""#), b"");
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(digits(b"0068"), Some(68));
        assert_eq!(digits(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+1", b"18446744073709551616", b"1 2", b"0x1"] {
            assert_eq!(digits(bad), None);
        }
    }
}
