//! The route set of a dialog (RFC 3261 §12.1, §12.2.1.1): loose routing, and strict routing tolerated.
//!
//! Does not know where an URI leads: [`RouteSet::next_hop`] names the URI, the endpoint turns it into a destination.
//! Entry type: [`RouteSet`].

use crate::message::{NameAddr, Uri};

/// The URIs to visit, in our direction. Usually empty, then it costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct RouteSet {
    /// Route values as they came, parameters included, nearest first.
    values: Vec<Box<[u8]>>,
    /// The first one has no `lr`.
    strict: bool,
}

/// More Record-Route values than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyRoutes;

impl RouteSet {
    /// From the Record-Route values of a request (we were called: in order) or of a response (`reversed`).
    pub(crate) fn from_record_route<'a>(
        values: impl Iterator<Item = &'a [u8]>,
        reversed: bool,
        max: usize,
    ) -> Result<Self, TooManyRoutes> {
        let mut list: Vec<Box<[u8]>> = Vec::new();
        for value in values {
            if list.len() == max {
                return Err(TooManyRoutes);
            }
            list.push(Box::from(value));
        }
        if reversed {
            list.reverse();
        }
        let strict = list.first().is_some_and(|first| !is_loose(first));
        Ok(Self { values: list, strict })
    }

    /// No proxy wants to stay on the way.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The Request-URI of a request to `target`. For a strict router it is that router's own URI.
    pub(crate) fn request_uri<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        if self.strict {
            self.values
                .first()
                .and_then(|first| uri_of(first))
                .unwrap_or(target)
        } else {
            target
        }
    }

    /// The URI that decides where a request to `target` is sent.
    pub(crate) fn next_hop<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        self.values
            .first()
            .and_then(|first| uri_of(first))
            .unwrap_or(target)
    }

    /// Writes the Route lines of a request to `target`.
    pub(crate) fn write_lines(&self, target: &[u8], out: &mut Vec<u8>) {
        for value in self.values.iter().skip(usize::from(self.strict)) {
            out.extend_from_slice(b"Route: ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if self.strict {
            out.extend_from_slice(b"Route: <");
            out.extend_from_slice(target);
            out.extend_from_slice(b">\r\n");
        }
    }
}

fn uri_of(value: &[u8]) -> Option<&[u8]> {
    NameAddr::parse(value).ok().map(|addr| addr.uri_raw)
}

fn is_loose(value: &[u8]) -> bool {
    let Some(uri) = uri_of(value) else { return true };
    match Uri::parse(uri) {
        Ok(Uri::Sip(sip)) => sip.lr(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(values: &[&str], reversed: bool) -> RouteSet {
        RouteSet::from_record_route(values.iter().map(|v| v.as_bytes()), reversed, 8).unwrap()
    }

    fn lines(set: &RouteSet, target: &str) -> String {
        let mut out = Vec::new();
        set.write_lines(target.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_proxies_the_target_is_everything() {
        let set = set(&[], false);
        assert_eq!(set.request_uri(b"sip:a@h"), b"sip:a@h");
        assert_eq!(set.next_hop(b"sip:a@h"), b"sip:a@h");
        assert_eq!(lines(&set, "sip:a@h"), "");
    }

    #[test]
    fn loose_routers_are_visited_in_order_and_the_target_stays_the_request_uri() {
        for lr in ["lr", "lr=on", "LR"] {
            let set = set(&[&format!("<sip:p1;{lr}>"), "<sip:p2;lr>;x=y"], false);
            assert_eq!(set.request_uri(b"sip:a@h"), b"sip:a@h");
            assert!(set.next_hop(b"sip:a@h").starts_with(b"sip:p1;"));
            assert_eq!(
                lines(&set, "sip:a@h"),
                format!("Route: <sip:p1;{lr}>\r\nRoute: <sip:p2;lr>;x=y\r\n")
            );
        }
    }

    #[test]
    fn a_caller_visits_them_in_reverse() {
        let set = set(&["<sip:p1;lr>", "<sip:p2;lr>"], true);
        assert_eq!(
            lines(&set, "sip:a@h"),
            "Route: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\n"
        );
    }

    #[test]
    fn a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() {
        let set = set(&["<sip:p1>", "<sip:p2;lr>"], false);
        assert_eq!(set.request_uri(b"sip:a@h"), b"sip:p1");
        assert_eq!(set.next_hop(b"sip:a@h"), b"sip:p1");
        assert_eq!(
            lines(&set, "sip:a@h"),
            "Route: <sip:p2;lr>\r\nRoute: <sip:a@h>\r\n"
        );
    }

    #[test]
    fn the_number_of_routes_is_bounded() {
        let values = vec![&b"<sip:p;lr>"[..]; 9];
        assert_eq!(
            RouteSet::from_record_route(values.into_iter(), false, 8).unwrap_err(),
            TooManyRoutes
        );
    }
}
