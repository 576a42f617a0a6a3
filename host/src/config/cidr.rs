//! An address range: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
    v4: bool,
}

impl Cidr {
    /// Whether the address is in the range. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address);
        v4 == self.v4 && bits & self.mask == self.network
    }

    /// Whether an address is in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mask = self.mask & other.mask;
        self.v4 == other.v4 && self.network & mask == other.network & mask
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv4 range keeps its 32 bits at the lower end.
        let address = match u32::try_from(self.network) {
            Ok(bits) if self.v4 => IpAddr::V4(bits.into()),
            _ => IpAddr::V6(self.network.into()),
        };
        write!(f, "{address}/{}", self.mask.count_ones())
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FIX: &str = "is not an address range; write one as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7";
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (network, v4) = bits(address.parse().map_err(|_| FIX.to_owned())?);
        let width: u32 = if v4 { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(length) => length.parse().ok().filter(|length| *length <= width).ok_or(FIX)?,
        };
        let all = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        // A shift by the whole width is not defined, and a range of length 0 has no fixed bit.
        let mask = if length == 0 {
            0
        } else {
            all << (width - length) & all
        };
        if network & !mask != 0 {
            return Err(format!(
                "has bits beyond its first {length}; write the first address of the range"
            ));
        }
        Ok(Self { network, mask, v4 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn inside(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        assert!(inside("10.0.0.0/8", "10.255.0.1"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("192.0.2.7", "192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.6"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!inside("2001:db8::/32", "2001:db9::1"));
        assert!(inside("::1", "::1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        let overlap = |a: &str, b: &str| a.parse::<Cidr>().unwrap().overlaps(&b.parse().unwrap());
        assert!(overlap("10.0.0.0/8", "10.1.0.0/16") && overlap("10.1.0.0/16", "10.0.0.0/8"));
        assert!(!overlap("10.0.0.0/16", "10.1.0.0/16") && !overlap("0.0.0.0/0", "::/0"));
    }

    #[test]
    fn a_range_is_shown_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::/0"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "10.0.0/8",
            "host",
            "10.0.0.1/8",
            "10.0.0.0/",
        ] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
