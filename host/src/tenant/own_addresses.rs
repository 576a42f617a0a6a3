//! The addresses of this host: those it listens on, those it tells peers and, where it listens on all, those of the machine.
//!
//! Read once for a plan. Entry point: [`own_addresses`]. A system that does not say what its addresses are adds none.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use crate::config::Listen;

/// Every address by which a peer could mean this host.
pub(super) fn own_addresses(listen: &[Listen]) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = Vec::new();
    for listen in listen {
        own.extend(listen.advertised.map(|(address, _)| address));
        match listen.bind.ip() {
            bound if !bound.is_unspecified() => own.push(bound),
            _ => {
                let read = |path| fs::read_to_string(path).unwrap_or_default();
                own.extend(v4(&read("/proc/net/fib_trie")));
                own.extend(v6(&read("/proc/net/if_inet6")));
            }
        }
    }
    for address in &mut own {
        *address = address.to_canonical();
    }
    own.sort_unstable();
    own.dedup();
    own
}

/// The kernel's routing trie: an address stands in the line before the one that calls it local.
fn v4(trie: &str) -> Vec<IpAddr> {
    let mut last: Option<IpAddr> = None;
    let mut found = Vec::new();
    for line in trie.lines() {
        match line.trim_start().strip_prefix("|-- ") {
            Some(address) => last = address.parse().ok(),
            None if line.contains("/32 host LOCAL") => found.extend(last),
            None => {}
        }
    }
    found
}

/// One interface's address a line, in 32 hexadecimal digits.
fn v6(table: &str) -> Vec<IpAddr> {
    let digits = table.lines().filter_map(|line| line.get(..32));
    let bits = digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok());
    bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_kernel_s_tables_are_read() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(v4(trie), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        let table = "20010db8000000000000000000000007 02 40 00 80     eth0\nshort\n";
        assert_eq!(v6(table), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn what_is_listened_on_and_advertised_is_own() {
        let listen: Vec<Listen> = [
            "udp:192.0.2.1:5060",
            "tcp:192.0.2.1:5060",
            "udp:198.51.100.1:5060 as 203.0.113.5",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let texts: Vec<String> = own_addresses(&listen).iter().map(IpAddr::to_string).collect();
        assert_eq!(texts, ["192.0.2.1", "198.51.100.1", "203.0.113.5"]);
        let all = own_addresses(&["udp:0.0.0.0:5060".parse().unwrap()]);
        assert!(all.contains(&"127.0.0.1".parse().unwrap()), "{all:?}");
    }
}
