//! Reading the 2xx to a REGISTER: what is bound, and for how long (RFC 3261 §10.2.4, §10.3).
//!
//! Pure functions of a message. Entry functions: [`bindings`], [`granted`].

use crate::endpoint::Binding;
use crate::message::{Message, NameAddr, Uri, delta_seconds};

/// What a 2xx lists. A contact without a time of its own has that of our own.
pub(super) fn bindings(response: &Message, own_expires: u32, max: usize) -> Vec<Binding> {
    addresses(response)
        .take(max)
        .map(|addr| Binding {
            contact: String::from_utf8_lossy(addr.uri_raw).into(),
            expires: expires_of(&addr).unwrap_or(own_expires),
        })
        .collect()
}

fn addresses(response: &Message) -> impl Iterator<Item = NameAddr<'_>> {
    response
        .contacts()
        .flatten()
        .filter_map(|contact| contact.addr().copied())
}

fn expires_of(addr: &NameAddr<'_>) -> Option<u32> {
    delta_seconds(addr.param("expires")?).ok()
}

/// The seconds that a 2xx grants to our contacts: the least of them.
///
/// Contacts are compared by RFC 3261 §19.1.4, then by user, host and port alone, for registrars that drop parameters.
/// Where none is ours (a border controller rewrote it) or none is listed, what the response says at all counts.
pub(super) fn granted(ours: &[Box<[u8]>], asked: u32, response: &Message) -> u32 {
    let whole = response.expires().ok().flatten();
    let equal = |addr: &NameAddr<'_>| {
        let listed = addr.uri();
        ours.iter()
            .any(|own| matches!((&listed, Uri::parse(own)), (Ok(a), Ok(b)) if a.equivalent(&b)))
    };
    let alike = |addr: &NameAddr<'_>| {
        let listed = addr.uri();
        ours.iter().any(|own| match (&listed, Uri::parse(own)) {
            (Ok(Uri::Sip(a)), Ok(Uri::Sip(b))) => (a.user, a.host, a.port) == (b.user, b.host, b.port),
            _ => false,
        })
    };
    let least = |is_ours: &dyn Fn(&NameAddr<'_>) -> bool| {
        addresses(response)
            .filter(is_ours)
            .map(|addr| expires_of(&addr).or(whole).unwrap_or(asked))
            .min()
    };
    least(&equal)
        .or_else(|| least(&alike))
        .or(whole)
        .or_else(|| least(&|_| true))
        .unwrap_or(asked)
}
