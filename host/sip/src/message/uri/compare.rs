//! Equality of URIs: RFC 3261 §19.1.4, RFC 3966 §4, and octet by octet for other schemes.
//!
//! Linear up to sorting the parameters: nothing here compares every parameter with every other.

use crate::message::params::{Param, Params};

use super::{SipUri, TelUri, Uri, next_octet};

impl Uri<'_> {
    /// Whether both name the same resource. Not transitive, as RFC 3261 §19.1.4 itself remarks.
    #[must_use]
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self, other) {
            (Self::Sip(a), Uri::Sip(b)) => a.equivalent(b),
            (Self::Tel(a), Uri::Tel(b)) => a.equivalent(b),
            (Self::Other { scheme: a, rest: x }, Uri::Other { scheme: b, rest: y }) => {
                a.eq_ignore_ascii_case(b) && x == y
            }
            _ => false,
        }
    }
}

impl SipUri<'_> {
    /// RFC 3261 §19.1.4.
    #[must_use]
    pub fn equivalent(&self, other: &SipUri<'_>) -> bool {
        let same_part = |a: Option<&[u8]>, b: Option<&[u8]>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => normal(a, false).eq(normal(b, false)),
            _ => false,
        };
        self.secure == other.secure
            && self.host == other.host
            // A default port that is written differs from one that is not.
            && self.port == other.port
            && same_part(self.user, other.user)
            && same_part(self.password, other.password)
            && same_params(self.params, other.params, |name| {
                [&b"user"[..], b"ttl", b"method", b"maddr", b"transport"].contains(&name)
            })
            && same_headers(self, other)
    }
}

impl TelUri<'_> {
    /// RFC 3966 §4: without separators; every parameter counts.
    #[must_use]
    pub fn equivalent(&self, other: &TelUri<'_>) -> bool {
        self.dialled()
            .map(|c| c.to_ascii_lowercase())
            .eq(other.dialled().map(|c| c.to_ascii_lowercase()))
            && same_params(self.params, other.params, |_| true)
    }
}

/// Octets in the form that is compared: an escape equals the octet it stands for unless that is reserved.
fn normal(mut b: &[u8], lower: bool) -> impl Iterator<Item = (u8, bool)> {
    std::iter::from_fn(move || {
        let (octet, escaped, tail) = next_octet(b)?;
        b = tail;
        let octet = if lower { octet.to_ascii_lowercase() } else { octet };
        Some((octet, escaped && is_reserved(octet)))
    })
}

/// RFC 3261 §25.1, `reserved`.
const fn is_reserved(c: u8) -> bool {
    matches!(
        c,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

type Normal = Vec<(u8, bool)>;

fn sorted(params: Params<'_>) -> Vec<(Normal, Normal)> {
    let pair = |p: Param<'_>| {
        (
            normal(p.name, true).collect(),
            normal(p.value.unwrap_or_default(), true).collect(),
        )
    };
    let mut all: Vec<_> = params.iter().map(pair).collect();
    all.sort_unstable();
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

/// Parameters in both must agree; one that stands alone matters only where `weighty` says so.
fn same_params(a: Params<'_>, b: Params<'_>, weighty: impl Fn(&[u8]) -> bool) -> bool {
    if a.raw() == b.raw() {
        return true;
    }
    let (a, b) = (sorted(a), sorted(b));
    let alone = |name: &Normal| weighty(&name.iter().map(|(c, _)| *c).collect::<Vec<_>>());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return true,
            (Some((x, v)), Some((y, w))) if x == y => {
                if v != w {
                    return false;
                }
                left.next();
                right.next();
            }
            (Some((x, _)), y) if y.is_none_or(|(y, _)| x < y) => {
                if alone(x) {
                    return false;
                }
                left.next();
            }
            (_, Some((y, _))) => {
                if alone(y) {
                    return false;
                }
                right.next();
            }
            // Not reached: a left one that is greater meets the arm above.
            (Some(_), None) => return false,
        }
    }
}

/// Headers are never ignored: both must have the same ones (in any order).
fn same_headers(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    if a.headers == b.headers {
        return true;
    }
    let list = |u: &SipUri<'_>| {
        let mut all: Vec<(Normal, Normal)> = u
            .header_pairs()
            .map(|(n, v)| (normal(n, true).collect(), normal(v, false).collect()))
            .collect();
        all.sort_unstable();
        all
    };
    list(a) == list(b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (x, y) = (
            Uri::parse(a.as_bytes()).unwrap(),
            Uri::parse(b.as_bytes()).unwrap(),
        );
        assert_eq!(x.equivalent(&y), y.equivalent(&x), "{a} {b}");
        x.equivalent(&y)
    }

    #[test]
    fn equal() {
        for (a, b) in [
            (
                "sip:%61lice@atlanta.example;transport=TCP",
                "sip:alice@AtLanTa.Example;Transport=tcp",
            ),
            (
                "sip:carol@chicago.example",
                "sip:carol@chicago.example;newparam=5",
            ),
            (
                "sip:carol@chicago.example;security=on",
                "sip:carol@chicago.example;newparam=5",
            ),
            (
                "sip:h;transport=tcp?to=sip:b%40c&subject=x",
                "sip:h;transport=tcp?subject=x&to=sip:b%40c",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"),
            ("sip:a@b;lr;x=1", "sip:a@b;X=1;lr"),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
            ("urn:service:sos", "URN:service:sos"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn different() {
        for (a, b) in [
            ("SIP:ALICE@a.example", "sip:alice@a.example"),
            ("sip:bob@b.example", "sip:bob@b.example:5060"),
            ("sip:bob@b.example", "sip:bob@b.example;transport=udp"),
            ("sip:bob@b.example:6000;transport=tcp", "sip:bob@b.example"),
            (
                "sip:carol@c.example",
                "sip:carol@c.example?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.b.example", "sip:bob@192.0.2.4"),
            ("sip:a%3Bb@h", "sip:a;b@h"),
            ("sip:a@b;x=1", "sip:a@b;x=2"),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b", "sip:b"),
            ("sip:a:p@b", "sip:a@b"),
            ("tel:+1;ext=4", "tel:+1"),
            ("tel:+1", "sip:+1@h;user=phone"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn an_example_of_the_missing_transitivity() {
        assert!(same("sip:c@h;security=on", "sip:c@h"));
        assert!(same("sip:c@h", "sip:c@h;security=off"));
        assert!(!same("sip:c@h;security=on", "sip:c@h;security=off"));
    }

    #[test]
    fn thousands_of_parameters_are_no_quadratic_work() {
        let many = |tag: &str| {
            format!(
                "sip:a@b{}",
                (0..1000).map(|i| format!(";p{i}{tag}=1")).collect::<String>()
            )
        };
        assert!(same(&many("x"), &many("y")));
    }
}
