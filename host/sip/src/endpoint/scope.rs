//! How far a peer's Contact, Record-Route or `maddr` may have us send: no nearer to this machine than the peer itself is.
//!
//! Whoever calls from the Internet names where our requests in his dialog go, and so could have them sent to a service that
//! trusts this machine or its network. Knows no names and no tenants; what a tenant may *call* is judged elsewhere. Entry
//! type: [`Scopes`]. Invariants: what a packet's source may be told is told by its address alone; the source itself is
//! always admitted, unless no request can be sent to it at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Destination, Path};
use super::filter::AddressFilter;

/// Who can have an address, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// This machine: RFC 1122 §3.2.1.3, RFC 4291 §2.5.3.
    Machine,
    /// Its link: RFC 3927, RFC 4291 §2.5.6.
    Link,
    /// Its site or its operator's network: RFC 1918, RFC 6598, RFC 4193.
    Site,
    /// Anybody.
    Global,
}

/// The judges of addresses, one a scope. Made once an endpoint: copies of one are equal, and those of another endpoint's are
/// not counted by the same threads.
#[derive(Debug)]
pub(crate) struct Scopes([AddressFilter; 4]);

impl Scopes {
    pub(crate) fn new() -> Self {
        let from = |least| AddressFilter::new(move |address| scope(address).is_some_and(|it| it >= least));
        Self([Scope::Machine, Scope::Link, Scope::Site, Scope::Global].map(from))
    }

    /// What the addresses must pass that a peer at `source` names.
    pub(crate) fn from(&self, source: IpAddr) -> &AddressFilter {
        let [machine, link, site, global] = &self.0;
        match scope(source) {
            Some(Scope::Machine) => machine,
            Some(Scope::Link) => link,
            Some(Scope::Site) => site,
            Some(Scope::Global) | None => global,
        }
    }

    /// What the addresses must pass that the peer at this destination names: the destination's own filter, or what its address
    /// says. None for a name without a filter, which nobody has resolved yet.
    pub(crate) fn of<'a>(&'a self, peer: &'a Destination) -> Option<&'a AddressFilter> {
        peer.filter().or_else(|| match peer {
            Destination::Path(path) => Some(self.from(path.remote.ip())),
            Destination::Addr { addr, .. } => Some(self.from(addr.ip())),
            Destination::Name { .. } => None,
        })
    }

    /// As [`Self::of`], for a peer that has been heard this `way`: a name without a filter was resolved to its address.
    pub(crate) fn of_answered<'a>(
        &'a self,
        peer: &'a Destination,
        way: Option<&Path>,
    ) -> Option<&'a AddressFilter> {
        self.of(peer)
            .or_else(|| way.map(|way| self.from(way.remote.ip())))
    }

    /// The destination that the peer behind `path` names, where it may; the way that its request came where not.
    pub(crate) fn judge(&self, named: Option<Destination>, path: &Path) -> Destination {
        named
            .and_then(|named| named.under(Some(self.from(path.remote.ip()))))
            .unwrap_or(Destination::Path(*path))
    }
}

/// Whether a peer at `source` may name `address` where nothing but an address can stand.
pub(crate) fn may_name(source: IpAddr, address: IpAddr) -> bool {
    let least = scope(source).unwrap_or(Scope::Global);
    scope(address).is_some_and(|it| it >= least)
}

/// None: a group, nobody, or reserved. No peer has such an address.
fn scope(address: IpAddr) -> Option<Scope> {
    match address.to_canonical() {
        IpAddr::V4(address) => scope_v4(address),
        IpAddr::V6(address) => scope_v6(address),
    }
}

fn scope_v4(address: Ipv4Addr) -> Option<Scope> {
    let [first, second, ..] = address.octets();
    match first {
        // "This network", groups, and what is reserved, the broadcast address with it.
        0 | 224.. => None,
        127 => Some(Scope::Machine),
        _ if address.is_link_local() => Some(Scope::Link),
        100 if second & 0xc0 == 64 => Some(Scope::Site),
        _ if address.is_private() => Some(Scope::Site),
        _ => Some(Scope::Global),
    }
}

fn scope_v6(address: Ipv6Addr) -> Option<Scope> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    if address.is_loopback() {
        return Some(Scope::Machine);
    }
    if address.is_unspecified() || address.is_multicast() {
        return None;
    }
    // NAT64 (RFC 6052) and IPv4-compatible addresses lead to the IPv4 address in their last 32 bits.
    if (a, b) == (0x64, 0xff9b) || [a, b, c, d, e, f] == [0; 6] {
        let ([g, h], [i, j]) = (g.to_be_bytes(), h.to_be_bytes());
        return scope_v4(Ipv4Addr::new(g, h, i, j));
    }
    match a {
        _ if a & 0xffc0 == 0xfe80 => Some(Scope::Link),
        _ if a & 0xfe00 == 0xfc00 => Some(Scope::Site),
        _ => Some(Scope::Global),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: [&str; 4] = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
    const LINK: [&str; 2] = ["169.254.1.1", "fe80::1"];
    const SITE: [&str; 6] = [
        "10.0.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "fd00::1",
        "64:ff9b::10.0.0.1",
    ];
    const GLOBAL: [&str; 5] = [
        "192.0.2.1",
        "172.32.0.1",
        "100.128.0.1",
        "2001:db8::1",
        "64:ff9b::192.0.2.1",
    ];
    const NOBODY: [&str; 8] = [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.1.75",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "::ffff:224.0.0.1",
    ];

    #[test]
    fn a_peer_names_what_is_as_far_away_as_itself_or_farther() {
        let scopes = Scopes::new();
        let groups: [&[&str]; 4] = [&MACHINE, &LINK, &SITE, &GLOBAL];
        for (near, sources) in groups.iter().enumerate() {
            for source in sources.iter().filter_map(|it| it.parse::<IpAddr>().ok()) {
                for (far, named) in groups.iter().enumerate() {
                    for address in named.iter().filter_map(|it| it.parse::<IpAddr>().ok()) {
                        assert_eq!(may_name(source, address), far >= near, "{source} names {address}");
                        assert_eq!(
                            scopes.from(source).admits(address),
                            far >= near,
                            "{source} {address}"
                        );
                    }
                }
                for address in NOBODY.iter().filter_map(|it| it.parse().ok()) {
                    assert!(!may_name(source, address), "{source} names {address}");
                    assert!(!scopes.from(source).admits(address), "{source} names {address}");
                }
            }
        }
        let all = groups.iter().map(|it| it.len()).sum::<usize>() + NOBODY.len();
        let parsed = groups.iter().copied().flatten().chain(&NOBODY);
        assert_eq!(parsed.filter(|it| it.parse::<IpAddr>().is_ok()).count(), all);
    }
}
