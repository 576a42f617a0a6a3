//! Which hosts and addresses the flows of a tenant may reach: the host part of `dial` and `deny`.
//!
//! Knows neither trunks nor who calls. Entry type: [`Reach`]. Invariants: what `deny` names is denied whatever `dial` says,
//! also where a name leads there; a wildcard (`*`, `*.example.com`) leads to no address of [`special`] and to none of the
//! host's own, which only a rule that names the host or a range of addresses opens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use callbox_sip::endpoint::AddressFilter;
use callbox_sip::message::SipUri;

use super::number::{Number, unescaped};
use crate::config::{Cidr, DialRule, HostRule};

/// The host part of a tenant's rules.
pub(super) struct Reach {
    allow: Vec<DialRule>,
    deny: Vec<DialRule>,
    /// Where a name may lead that a rule names itself.
    named: Option<AddressFilter>,
    /// Where a name may lead that only a wildcard allows.
    wild: AddressFilter,
    addresses: Arc<Addresses>,
}

/// What is judged of an address, whatever name it came from.
struct Addresses {
    /// Ranges that are allowed by themselves.
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    own: Vec<IpAddr>,
}

/// A SIP URI that may be called.
pub(super) struct Way {
    /// What the addresses must pass that it leads to, or that its peer then has us send to.
    pub(super) filter: Option<AddressFilter>,
}

/// How a host is allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Allowed {
    ByWildcard,
    ByName,
}

impl Reach {
    /// `own` are the addresses of this host.
    pub(super) fn new(allow: &[DialRule], deny: &[DialRule], own: &[IpAddr]) -> Self {
        let addresses = Arc::new(Addresses {
            allow: ranges(allow).collect(),
            deny: ranges(deny).collect(),
            own: own.to_vec(),
        });
        let (named, wild) = (Arc::clone(&addresses), Arc::clone(&addresses));
        Self {
            allow: allow.to_vec(),
            deny: deny.to_vec(),
            named: (!addresses.deny.is_empty())
                .then(|| AddressFilter::new(move |address| !named.denies(address))),
            wild: AddressFilter::new(move |address| wild.admits(address)),
            addresses,
        }
    }

    /// Whether a rule of `deny` is against this URI, wherever it is sent.
    pub(super) fn denies(&self, uri: &SipUri<'_>, number: Option<&Number>) -> bool {
        let user = user_of(uri);
        hosts(uri).any(|host| {
            let address = host.parse();
            self.deny
                .iter()
                .any(|rule| means(rule, &host, user.as_deref(), number))
                || address.is_ok_and(|address| self.addresses.denies(address))
        })
    }

    /// Whether a request to this URI may be sent to the host that it names; none when not.
    pub(super) fn judge(&self, uri: &SipUri<'_>, number: Option<&Number>) -> Option<Way> {
        if self.denies(uri, number) {
            return None;
        }
        let user = user_of(uri);
        let mut least = Allowed::ByName;
        for host in hosts(uri) {
            let allowed = self
                .allow
                .iter()
                .filter(|rule| means(rule, &host, user.as_deref(), number))
                .filter_map(how)
                .max()?;
            if allowed == Allowed::ByWildcard
                && host.parse().is_ok_and(|address| !self.addresses.admits(address))
            {
                return None;
            }
            least = least.min(allowed);
        }
        let filter = match least {
            Allowed::ByName => self.named.clone(),
            Allowed::ByWildcard => Some(self.wild.clone()),
        };
        Some(Way { filter })
    }
}

impl Addresses {
    fn denies(&self, address: IpAddr) -> bool {
        self.deny.iter().any(|range| range.contains(address))
    }

    /// Whether a wildcard may lead there.
    fn admits(&self, address: IpAddr) -> bool {
        if self.denies(address) {
            return false;
        }
        let closed = special(address) || self.own.contains(&address.to_canonical());
        !closed || self.allow.iter().any(|range| range.contains(address))
    }
}

/// The hosts of a URI, without brackets: its own and, where it has one, maddr, which is where the request is sent instead
/// (RFC 3261 §19.1.1). Both must be allowed.
fn hosts(uri: &SipUri<'_>) -> impl Iterator<Item = String> {
    let maddr = uri
        .params
        .get("maddr")
        .map(|maddr| String::from_utf8_lossy(&maddr.text()).into_owned());
    let plain = |host: String| host.trim_matches(['[', ']']).to_owned();
    std::iter::once(uri.host.to_string()).chain(maddr).map(plain)
}

/// Whether a rule is about this host and this user part.
fn means(rule: &DialRule, host: &str, user: Option<&str>, number: Option<&Number>) -> bool {
    match rule {
        DialRule::Host(rule) => rule.matches(host),
        DialRule::Uri {
            user: users,
            host: hosts,
        } => {
            let by_number = number.is_some_and(|number| users.matches(number.as_str()));
            (by_number || users.matches(user.unwrap_or_default())) && hosts.matches(host)
        }
        DialRule::Number(_) | DialRule::Trunk(_) => false,
    }
}

/// How a rule that matches a host allows it.
fn how(rule: &DialRule) -> Option<Allowed> {
    let (DialRule::Host(host) | DialRule::Uri { host, .. }) = rule else {
        return None;
    };
    Some(match host {
        HostRule::Any | HostRule::Below(_) => Allowed::ByWildcard,
        HostRule::Host(_) | HostRule::Range(_) => Allowed::ByName,
    })
}

/// The ranges of rules that hold whatever the user part is.
fn ranges(rules: &[DialRule]) -> impl Iterator<Item = Cidr> + '_ {
    rules.iter().filter_map(|rule| match rule {
        DialRule::Host(HostRule::Range(range)) => Some(*range),
        _ => None,
    })
}

/// The user part without escapes.
fn user_of(uri: &SipUri<'_>) -> Option<String> {
    let user = String::from_utf8_lossy(uri.user?).into_owned();
    Some(unescaped(&user).into_owned())
}

/// Addresses that are this machine, its link, a group or nobody: no business of a flow's unless the operator names them.
pub(super) fn special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => {
            let [a, b, .., g, h] = address.segments();
            let [high, low] = [g.to_be_bytes(), h.to_be_bytes()];
            let embedded = Ipv4Addr::new(high[0], high[1], low[0], low[1]);
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || a & 0xffc0 == 0xfe80
                // NAT64 (RFC 6052) and IPv4-compatible addresses lead to the IPv4 address in their last 32 bits.
                || ((a, b) == (0x64, 0xff9b) || is_compatible(address)) && special_v4(embedded)
        }
    }
}

fn is_compatible(address: Ipv6Addr) -> bool {
    address.segments().iter().take(6).all(|segment| *segment == 0)
}

fn special_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0.0.0.0/8 is "this network", 240.0.0.0/4 reserved; the broadcast address lies in it.
    first == 0 || first >= 240 || address.is_loopback() || address.is_link_local() || address.is_multicast()
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach")
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use callbox_sip::message::Uri;

    use super::*;

    fn reach(allow: &[&str], deny: &[&str]) -> Reach {
        let rules =
            |texts: &[&str]| -> Vec<DialRule> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        Reach::new(&rules(allow), &rules(deny), &["203.0.113.1".parse().unwrap()])
    }

    fn judge(reach: &Reach, uri: &str) -> Option<Way> {
        let Ok(Uri::Sip(parsed)) = Uri::parse(uri.as_bytes()) else {
            return None;
        };
        let number = parsed
            .user
            .and_then(|user| Number::of(std::str::from_utf8(user).unwrap(), &["00".to_owned()]));
        reach.judge(&parsed, number.as_ref())
    }

    fn may(reach: &Reach, uri: &str) -> bool {
        judge(reach, uri).is_some()
    }

    /// Whether the name of `uri` may lead to `address`.
    fn leads(reach: &Reach, uri: &str, address: &str) -> bool {
        let filter = judge(reach, uri).unwrap().filter;
        filter.is_none_or(|filter| filter.admits(address.parse().unwrap()))
    }

    const CLOSED: [&str; 13] = [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.251",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
    ];

    #[test]
    fn a_wildcard_leads_to_no_special_address_and_not_to_the_host_itself() {
        for rules in [&["*"][..], &["*", "*.example.com"], &["sip:*@*"]] {
            let any = reach(rules, &[]);
            for closed in CLOSED.into_iter().chain(["203.0.113.1", "::ffff:203.0.113.1"]) {
                let host = if closed.contains(':') {
                    format!("[{closed}]")
                } else {
                    closed.to_owned()
                };
                assert!(!may(&any, &format!("sip:a@{host}")), "{rules:?} {closed}");
                assert!(
                    !may(&any, &format!("sip:a@b.example;maddr={host}")),
                    "{rules:?} {closed}"
                );
                assert!(
                    !leads(&any, "sip:a@evil.example.com", closed),
                    "{rules:?} {closed}"
                );
                assert!(!leads(&any, "sip:a@localhost", closed), "{rules:?} {closed}");
            }
            for open in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
                assert!(leads(&any, "sip:a@example.com", open), "{open}");
            }
            assert!(may(&any, "sip:a@192.0.2.1") && may(&any, "sip:a@[2001:db8::1]"));
        }
    }

    #[test]
    fn what_is_named_is_open() {
        let named = reach(&["*", "127.0.0.0/8", "pbx.example"], &[]);
        assert!(may(&named, "sip:a@127.0.0.1") && !may(&named, "sip:a@[::1]"));
        assert!(
            leads(&named, "sip:a@other.example", "127.0.0.1"),
            "a range names addresses"
        );
        assert!(
            leads(&named, "sip:a@pbx.example", "::1"),
            "the operator vouches for the name"
        );
        assert!(!leads(&named, "sip:a@other.example", "::1"));
        assert!(may(&reach(&["203.0.113.1"], &[]), "sip:a@203.0.113.1"));
    }

    #[test]
    fn deny_wins() {
        let rules = reach(
            &["*", "pbx.example", "10.1.0.0/16"],
            &[
                "10.0.0.0/8",
                "*.bad.example",
                "sip:+1900*@*",
                "sip:root@pbx.example",
            ],
        );
        assert!(!may(&rules, "sip:a@10.1.2.3"), "although a range allows it");
        assert!(!may(&rules, "sip:a@x.bad.example"));
        assert!(!leads(&rules, "sip:a@pbx.example", "10.1.2.3"));
        assert!(!leads(&rules, "sip:a@other.example", "10.1.2.3"));
        assert!(leads(&rules, "sip:a@pbx.example", "192.0.2.1"));
        for evasion in [
            "+1900555",
            "+1-900-555",
            "%2B1900555",
            "001900555",
            "+1900555;ext=3",
        ] {
            assert!(!may(&rules, &format!("sip:{evasion}@gw.example")), "{evasion}");
        }
        assert!(!may(&rules, "sip:root@pbx.example") && !may(&rules, "sip:r%6fot@pbx.example"));
        assert!(may(&rules, "sip:alice@pbx.example") && may(&rules, "sip:+1800@gw.example"));
    }

    #[test]
    fn a_rule_with_a_user_part_allows_just_that() {
        let rules = reach(&["sip:+49*@example.com", "sip:alice@10.0.0.0/8"], &[]);
        assert!(may(&rules, "sip:+4930@example.com") && may(&rules, "sips:+49-30@EXAMPLE.com:5061"));
        assert!(may(&rules, "sip:alice@10.1.2.3"));
        for denied in [
            "sip:+1@example.com",
            "sip:example.com",
            "sip:+4930@example.org",
            "sip:bob@10.1.2.3",
            "sip:alice@example.com",
            "sip:+4930@example.com;maddr=10.0.0.1",
        ] {
            assert!(!may(&rules, denied), "{denied}");
        }
    }
}
