//! Where a tenant's flows may call, and as whom.

use callbox_sip::message::Uri;

use crate::call::{CallError, Denial, DialGrant, DialPolicy, DialRequest};
use crate::config::{DialRule, Tenant};

/// The dial rules of one tenant.
#[derive(Debug)]
pub(super) struct DialRules {
    allowed: Vec<DialRule>,
    caller_ids: Vec<String>,
    /// From without a caller id.
    default_user: String,
}

impl DialRules {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let default_user = tenant.caller_ids.first().unwrap_or(&tenant.name).clone();
        Self {
            allowed: tenant.dial.clone(),
            caller_ids: tenant.caller_ids.clone(),
            default_user,
        }
    }

    fn decide(
        &self,
        dest: &str,
        caller_user: Option<&str>,
        trunk: Option<&str>,
    ) -> Result<String, CallError> {
        if let Some(trunk) = trunk {
            return Err(CallError::UnknownDestination(format!("no trunk {trunk:?}")));
        }
        let host = match Uri::parse(dest.as_bytes()) {
            Ok(Uri::Sip(uri)) => uri.host.to_string(),
            _ => return Err(CallError::Denied(Denial::Destination)),
        };
        let host = host.trim_matches(['[', ']']);
        if !self.allowed.iter().any(|rule| rule.allows(host)) {
            return Err(CallError::Denied(Denial::Destination));
        }
        match caller_user {
            None => Ok(self.default_user.clone()),
            Some(user) if self.caller_ids.iter().any(|own| own == user) => Ok(user.to_owned()),
            Some(_) => Err(CallError::Denied(Denial::Identity)),
        }
    }
}

impl DialPolicy for DialRules {
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        let from_user = self.decide(request.target.as_str(), request.caller_user, request.trunk)?;
        Ok(DialGrant {
            from_user,
            from_name: request.caller_name.map(str::to_owned),
            next_hop: None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(dial: &[&str], caller_ids: &[&str]) -> DialRules {
        DialRules::of(&Tenant {
            name: "acme".to_owned(),
            flows: Vec::new(),
            dial: dial.iter().map(|rule| rule.parse().unwrap()).collect(),
            caller_ids: caller_ids.iter().map(|id| (*id).to_owned()).collect(),
        })
    }

    #[test]
    fn nowhere_by_default() {
        let denied = rules(&[], &[]).decide("sip:a@example.com", None, None);
        assert!(matches!(denied, Err(CallError::Denied(Denial::Destination))));
    }

    #[test]
    fn only_where_a_rule_allows() {
        let rules = rules(&["example.com", "2001:db8::/32"], &[]);
        assert_eq!(
            rules
                .decide("sip:a@Example.com:5070;transport=tcp", None, None)
                .unwrap(),
            "acme"
        );
        assert_eq!(
            rules.decide("sip:a@[2001:db8::1]:5060", None, None).unwrap(),
            "acme"
        );
        for dest in [
            "sip:a@example.org",
            "sip:example.com@evil.example",
            "sip:a@[2001:db9::1]",
            "tel:+1234",
        ] {
            let denied = rules.decide(dest, None, None);
            assert!(
                matches!(denied, Err(CallError::Denied(Denial::Destination))),
                "{dest}"
            );
        }
    }

    #[test]
    fn only_as_a_number_of_the_tenants_own() {
        let rules = rules(&["*"], &["+4930", "+4931"]);
        assert_eq!(rules.decide("sip:a@b", None, None).unwrap(), "+4930");
        assert_eq!(rules.decide("sip:a@b", Some("+4931"), None).unwrap(), "+4931");
        assert!(matches!(
            rules.decide("sip:a@b", Some("+1"), None),
            Err(CallError::Denied(Denial::Identity))
        ));
        assert!(matches!(
            rules.decide("sip:a@b", None, Some("t")),
            Err(CallError::UnknownDestination(_))
        ));
    }
}
