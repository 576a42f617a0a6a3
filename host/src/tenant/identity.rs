//! Headers that claim who calls, who pays or who was called before: which a tenant's flows may set, and to what.
//!
//! Entry type: [`Identities`]. Invariants: a header that was not granted is denied whatever it says; each address of one
//! that was is a caller id of the tenant's, at a host that means the tenant or with a number that means it everywhere.

use callbox_sip::message::{NameAddr, Uri};

use super::number::{Number, unescaped};
use crate::call::{CallError, Denial};
use crate::config::Tenant;

/// Signed by who vouches for it (RFC 8224): what it says is for the one who verifies it.
const SIGNED: &str = "Identity";

/// What a tenant may claim.
#[derive(Debug)]
pub(super) struct Identities {
    headers: Vec<&'static str>,
    users: Vec<String>,
    /// The domains of its trunks.
    hosts: Vec<String>,
}

impl Identities {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let of_trunks = tenant.trunks.iter().filter_map(|trunk| trunk.caller_id.clone());
        Self {
            headers: tenant.policy.headers.clone(),
            users: tenant.caller_ids.iter().cloned().chain(of_trunks).collect(),
            hosts: tenant
                .trunks
                .iter()
                .filter_map(|trunk| trunk.domain.clone())
                .collect(),
        }
    }

    /// Whether this header may have this value.
    pub(super) fn check(&self, header: &str, value: &str) -> Result<(), CallError> {
        let name = if header.eq_ignore_ascii_case("y") {
            SIGNED
        } else {
            header
        };
        if !self
            .headers
            .iter()
            .any(|granted| granted.eq_ignore_ascii_case(name))
        {
            return Err(CallError::Denied(Denial::Header(header.to_owned())));
        }
        let owned = || addresses(value).is_some_and(|all| all.iter().all(|address| self.owns(address)));
        match name.eq_ignore_ascii_case(SIGNED) || owned() {
            true => Ok(()),
            false => Err(CallError::Denied(Denial::Identity)),
        }
    }

    fn owns(&self, address: &str) -> bool {
        let own = |user: &str| {
            let plain = unescaped(user);
            let number = Number::of(user, &[]);
            let is =
                |own: &String| *own == plain || number.as_ref().is_some_and(|number| number.as_str() == own);
            self.users.iter().any(is)
        };
        let Ok(Ok(uri)) = NameAddr::parse(address.as_bytes()).map(|address| address.uri()) else {
            return false;
        };
        match uri {
            Uri::Tel(tel) => {
                let number: String = tel.dialled().map(char::from).collect();
                own(&number)
            }
            Uri::Sip(sip) => {
                let Some(Ok(user)) = sip.user.map(std::str::from_utf8) else {
                    return false;
                };
                let host = sip.host.to_string();
                // A number in international form is the same everywhere; a name is who the host says it is.
                let everywhere = Number::of(user, &[]).is_some_and(|number| number.as_str().starts_with('+'));
                own(user) && (everywhere || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(&host)))
            }
            Uri::Other { .. } => false,
        }
    }
}

/// The addresses of a list: commas that stand neither in quotes nor in angle brackets separate them. None for a list that
/// does not end as it should.
fn addresses(value: &str) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    let mut found = Vec::new();
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => {
                found.push(value.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(value.get(from..)?.trim());
    (!quoted && !bracketed).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(headers: &[&'static str]) -> Identities {
        Identities {
            headers: headers.to_vec(),
            users: vec!["+4930123".into(), "alice".into()],
            hosts: vec!["carrier.example".into()],
        }
    }

    #[test]
    fn what_is_not_granted_is_denied() {
        let none = claims(&[]);
        for header in ["P-Asserted-Identity", "Diversion", "Identity", "y"] {
            let denied = none.check(header, "<sip:+4930123@carrier.example>");
            assert!(
                matches!(denied, Err(CallError::Denied(Denial::Header(_)))),
                "{header}"
            );
        }
    }

    #[test]
    fn a_granted_header_may_name_the_tenants_own_and_nobody_else() {
        let own = claims(&["P-Asserted-Identity", "Identity"]);
        for fine in [
            "<sip:+4930123@carrier.example>",
            "\"Acme, Inc.\" <sip:+49-30-123@anywhere.example;user=phone>",
            "tel:+4930123",
            "<sip:alice@carrier.example>, <tel:+4930123>",
            "<sip:%61lice@carrier.example>",
        ] {
            assert_eq!(own.check("p-asserted-identity", fine), Ok(()), "{fine}");
        }
        for spoofed in [
            "",
            "<sip:+4930110@carrier.example>",
            "<sip:alice@bank.example>",
            "<tel:+4930110>",
            "<tel:+4930123>, <tel:+4930110>",
            "\"<tel:+4930123>\" <tel:+4930110>",
            "\"a\\\" <tel:+4930123>\" <tel:+4930110>",
            "<tel:+4930123>, ",
            "<tel:+4930123",
            "\"<tel:+4930123>",
            "<mailto:alice@carrier.example>",
            "<sip:carrier.example>",
        ] {
            let denied = own.check("P-Asserted-Identity", spoofed);
            assert_eq!(denied, Err(CallError::Denied(Denial::Identity)), "{spoofed}");
        }
        assert_eq!(own.check("Identity", "eyJhbGciOi;info=<https://x>"), Ok(()));
    }
}
