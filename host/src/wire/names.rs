//! Host names to addresses: a bounded cache, and the messages that wait for a lookup.
//!
//! One a shard, so it needs no lock. The lookup itself is the system's resolver (A and AAAA records, hosts file), in
//! one function: NAPTR and SRV (RFC 3263) belong there. Invariant: within its time to live a name keeps its first
//! address, so that a CANCEL or an ACK goes where its INVITE went, unless that address was found dead.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a failed lookup is remembered: not long enough to matter to people, enough to spare the resolver a storm.
const FAILURE_TTL: Duration = Duration::from_secs(2);

pub(super) struct Names<W> {
    entries: HashMap<Box<str>, Entry<W>>,
    names_max: usize,
    waiting_max: usize,
    waiting: usize,
    ttl: Duration,
}

enum Entry<W> {
    /// A lookup is under way. `before` is what the name had when it expired.
    Asked {
        before: Vec<IpAddr>,
        waiting: Vec<W>,
    },
    Known {
        addresses: Vec<IpAddr>,
        until: Instant,
    },
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<W> {
    /// Best first; empty when the name has none. Gives back what wanted it.
    Known(Vec<IpAddr>, W),
    /// It waits; start a lookup.
    Ask,
    /// It waits for a lookup that was started before.
    Waits,
    /// Too many wait.
    Full(W),
}

impl<W> Names<W> {
    pub(super) fn new(names_max: usize, waiting_max: usize, ttl: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            names_max,
            waiting_max,
            waiting: 0,
            ttl,
        }
    }

    /// What is known of `host`; otherwise `wants` is kept until [`Names::resolved`].
    pub(super) fn find(&mut self, host: &str, now: Instant, wants: W) -> Answer<W> {
        if let Some(address) = literal(host) {
            return Answer::Known(vec![address], wants);
        }
        let host = host.to_ascii_lowercase().into_boxed_str();
        let before = match self.entries.get_mut(&host) {
            Some(Entry::Known { addresses, until }) if *until > now => {
                return Answer::Known(addresses.clone(), wants);
            }
            Some(Entry::Asked { waiting, .. }) => {
                if self.waiting >= self.waiting_max {
                    return Answer::Full(wants);
                }
                self.waiting += 1;
                waiting.push(wants);
                return Answer::Waits;
            }
            Some(Entry::Known { addresses, .. }) => std::mem::take(addresses),
            None => Vec::new(),
        };
        if self.waiting >= self.waiting_max || !self.make_room(now) {
            return Answer::Full(wants);
        }
        self.waiting += 1;
        self.entries.insert(
            host,
            Entry::Asked {
                before,
                waiting: vec![wants],
            },
        );
        Answer::Ask
    }

    /// A lookup ended; returns what waited for it.
    pub(super) fn resolved(
        &mut self,
        host: &str,
        mut addresses: Vec<IpAddr>,
        now: Instant,
    ) -> (Vec<IpAddr>, Vec<W>) {
        let Some(Entry::Asked { before, waiting }) = self.entries.remove(host) else {
            return (addresses, Vec::new());
        };
        self.waiting = self.waiting.saturating_sub(waiting.len());
        // The resolver shuffles; the address in use stays first.
        if let Some(place) = before
            .first()
            .and_then(|used| addresses.iter().position(|address| address == used))
        {
            addresses.swap(0, place);
        }
        let ttl = if addresses.is_empty() {
            self.ttl.min(FAILURE_TTL)
        } else {
            self.ttl
        };
        let entry = Entry::Known {
            addresses: addresses.clone(),
            until: now + ttl,
        };
        self.entries.insert(host.into(), entry);
        (addresses, waiting)
    }

    /// This address does not work: wherever it is first, the next one takes its place.
    pub(super) fn demote(&mut self, dead: IpAddr) {
        for entry in self.entries.values_mut() {
            if let Entry::Known { addresses, .. }
            | Entry::Asked {
                before: addresses, ..
            } = entry
                && addresses.first() == Some(&dead)
            {
                addresses.rotate_left(1);
            }
        }
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.entries.len() < self.names_max {
            return true;
        }
        self.entries
            .retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
        if self.entries.len() < self.names_max {
            return true;
        }
        let known = self.entries.iter().filter_map(|(host, entry)| match entry {
            Entry::Known { until, .. } => Some((*until, host)),
            Entry::Asked { .. } => None,
        });
        let Some(oldest) = known.min().map(|(_, host)| host.clone()) else {
            return false;
        };
        self.entries.remove(&oldest);
        true
    }
}

/// An address that is written as one, with or without the brackets of IPv6.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Asks the system's resolver.
pub(super) async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|socket: SocketAddr| socket.ip().to_canonical()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn literals_need_no_lookup() {
        let mut names = Names::new(1, 1, Duration::from_secs(30));
        let now = Instant::now();
        assert_eq!(
            names.find("192.0.2.1", now, 1),
            Answer::Known(vec![ip("192.0.2.1")], 1)
        );
        assert_eq!(
            names.find("[2001:db8::1]", now, 2),
            Answer::Known(vec![ip("2001:db8::1")], 2)
        );
        assert_eq!(names.find("[oops", now, 3), Answer::Ask);
    }

    #[test]
    fn one_lookup_serves_all_that_wait_and_expires() {
        let mut names = Names::new(8, 8, Duration::from_secs(30));
        let now = Instant::now();
        assert_eq!(names.find("Host.example", now, 1), Answer::Ask);
        assert_eq!(names.find("host.EXAMPLE", now, 2), Answer::Waits);
        let (addresses, waited) = names.resolved("host.example", vec![ip("192.0.2.1"), ip("192.0.2.2")], now);
        assert_eq!((addresses.len(), waited), (2, vec![1, 2]));
        assert!(matches!(
            names.find("host.example", now + Duration::from_secs(29), 3),
            Answer::Known(..)
        ));
        assert_eq!(
            names.find("host.example", now + Duration::from_secs(30), 4),
            Answer::Ask
        );
        // The order of the second answer differs, the address in use stays first.
        let (addresses, _) = names.resolved("host.example", vec![ip("192.0.2.2"), ip("192.0.2.1")], now);
        assert_eq!(addresses, [ip("192.0.2.1"), ip("192.0.2.2")]);
    }

    #[test]
    fn a_dead_address_goes_last() {
        let mut names = Names::new(8, 8, Duration::from_secs(30));
        let now = Instant::now();
        names.find("a", now, 1);
        names.resolved("a", vec![ip("192.0.2.1"), ip("192.0.2.2")], now);
        names.demote(ip("192.0.2.1"));
        assert_eq!(
            names.find("a", now, 2),
            Answer::Known(vec![ip("192.0.2.2"), ip("192.0.2.1")], 2)
        );
        names.demote(ip("192.0.2.1"));
        assert_eq!(
            names.find("a", now, 3),
            Answer::Known(vec![ip("192.0.2.2"), ip("192.0.2.1")], 3)
        );
    }

    #[test]
    fn names_and_what_waits_are_bounded() {
        let mut names = Names::new(2, 3, Duration::from_secs(30));
        let now = Instant::now();
        assert_eq!(names.find("a", now, 1), Answer::Ask);
        assert_eq!(names.find("b", now, 2), Answer::Ask);
        assert_eq!(
            names.find("c", now, 3),
            Answer::Full(3),
            "no name can be forgotten while it is asked for"
        );
        names.resolved("a", Vec::new(), now);
        assert_eq!(
            names.find("c", now, 4),
            Answer::Ask,
            "the known one was forgotten"
        );
        assert_eq!(names.find("c", now, 5), Answer::Waits);
        assert_eq!(names.find("c", now, 6), Answer::Full(6));
        let (_, waited) = names.resolved("c", vec![ip("192.0.2.1")], now);
        assert_eq!(waited, [4, 5]);
        assert_eq!(names.find("c", now, 7), Answer::Known(vec![ip("192.0.2.1")], 7));
    }
}
