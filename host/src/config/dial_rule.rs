//! One dial rule: a host, an address range, a SIP URI by its user part, a number, or a trunk.
//!
//! Knows what is written, not what it means for a call: tenant/ judges. Entry type: [`DialRule`].

use std::net::IpAddr;
use std::str::FromStr;

use super::Cidr;
use super::trunk::TrunkNumber;

/// What a tenant's flows may call (`dial`), or may not (`deny`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialRule {
    /// `example.com`: every SIP URI with this host.
    Host(HostRule),
    /// `sip:+49*@example.com`: SIP URIs with this host and this user part.
    Uri {
        /// The user part.
        user: UserRule,
        /// The host.
        host: HostRule,
    },
    /// `+49*` or `+4930123`: numbers in international form.
    Number(TrunkNumber),
    /// `trunk:NAME`: all that goes through this trunk of the tenant's.
    Trunk(String),
}

/// Hosts of SIP URIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// `*`: every host. What addresses that leaves out is the judge's matter.
    Any,
    /// `example.com`: this host, in lower case.
    Host(String),
    /// `*.example.com`: every host below it; the field holds `.example.com`.
    Below(String),
    /// `10.0.0.0/8`: hosts that are written as addresses of this range.
    Range(Cidr),
}

impl HostRule {
    /// Whether `host` (a name, or an address without brackets) is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>();
        match self {
            Self::Any => true,
            Self::Host(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
            Self::Below(suffix) => {
                address.is_err()
                    && host
                        .trim_end_matches('.')
                        .to_ascii_lowercase()
                        .ends_with(suffix.as_str())
            }
            Self::Range(range) => address.is_ok_and(|address| range.contains(address)),
        }
    }
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(range) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Range(range));
        }
        let (below, name) = match text.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => (true, rest),
            _ => (false, text),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.trim_matches('.').is_empty() || !name.bytes().all(plain) {
            return Err("is not a host rule".to_owned());
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        Ok(if below {
            Self::Below(name)
        } else {
            Self::Host(name)
        })
    }
}

/// User parts of SIP URIs, without escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRule {
    /// `alice`: this one.
    Exact(String),
    /// `+49*`: every user part that begins so; `*` is every user part, and none.
    Prefix(String),
}

impl UserRule {
    /// Whether this user part, its escapes taken away, is meant.
    #[must_use]
    pub fn matches(&self, user: &str) -> bool {
        match self {
            Self::Exact(own) => own == user,
            Self::Prefix(prefix) => user.starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for DialRule {
    type Err = String;

    /// The error reads on from the text itself.
    fn from_str(text: &str) -> Result<Self, String> {
        const FIX: &str = "is not a dial rule; write a host, *.example.com, an address range as 10.0.0.0/8, *, \
                           sip:+49*@example.com, a number as +49* or trunk:NAME";
        if let Some(name) = text.strip_prefix("trunk:") {
            return match name.is_empty() {
                true => Err(FIX.to_owned()),
                false => Ok(Self::Trunk(name.to_owned())),
            };
        }
        if text.starts_with('+') {
            return text.parse().map(Self::Number).map_err(|_| FIX.to_owned());
        }
        let Some(uri) = text.strip_prefix("sip:") else {
            return text.parse().map(Self::Host).map_err(|_| FIX.to_owned());
        };
        let (user, host) = uri.rsplit_once('@').ok_or(FIX)?;
        let (user, open) = match user.strip_suffix('*') {
            Some(user) => (user, true),
            None => (user, false),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~'()&=+$,/#".contains(&byte);
        if (user.is_empty() && !open) || !user.bytes().all(plain) {
            return Err(FIX.to_owned());
        }
        let user = user.to_owned();
        Ok(Self::Uri {
            user: match open {
                true => UserRule::Prefix(user),
                false => UserRule::Exact(user),
            },
            host: host.parse().map_err(|_| FIX.to_owned())?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_form_is_told_from_the_others() {
        let rule = |text: &str| text.parse::<DialRule>().unwrap();
        assert_eq!(rule("*"), DialRule::Host(HostRule::Any));
        assert_eq!(
            rule("Example.com."),
            DialRule::Host(HostRule::Host("example.com".into()))
        );
        assert_eq!(
            rule("*.example.com"),
            DialRule::Host(HostRule::Below(".example.com".into()))
        );
        assert!(matches!(
            rule("[2001:db8::1]"),
            DialRule::Host(HostRule::Range(_))
        ));
        assert_eq!(rule("+49*"), DialRule::Number(TrunkNumber::Prefix("+49".into())));
        assert_eq!(
            rule("+4930"),
            DialRule::Number(TrunkNumber::Exact("+4930".into()))
        );
        assert_eq!(rule("trunk:main"), DialRule::Trunk("main".into()));
        assert_eq!(
            rule("sip:+49*@*.example.com"),
            DialRule::Uri {
                user: UserRule::Prefix("+49".into()),
                host: HostRule::Below(".example.com".into()),
            }
        );
        assert!(matches!(
            rule("sip:bob@10.0.0.0/8"),
            DialRule::Uri {
                host: HostRule::Range(_),
                ..
            }
        ));
        for wrong in [
            "",
            "a b",
            "+49x",
            "+4*9",
            "trunk:",
            "sip:",
            "sip:h",
            "sip:@h",
            "sip:a@",
            "sip:a*b@h",
            "sip:a b@h",
            "tel:+49",
        ] {
            let error = wrong.parse::<DialRule>().unwrap_err();
            assert!(error.contains("sip:+49*@example.com"), "{wrong:?}: {error}");
        }
    }
}
