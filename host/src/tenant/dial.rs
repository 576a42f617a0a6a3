//! Where a tenant's flows may call, through which trunk, and as whom.
//!
//! Everything is denied that no rule allows, and all that a rule of `deny` or the list of dear numbers names. SIP URIs are
//! judged by host and user part ([`super::reach`]); numbers by the rules of the trunk that they go through and by `dial`.
//! Entry type: [`DialRules`].

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callbox_sip::endpoint::Destination;
use callbox_sip::message::{SipUri, Uri};

use super::budget::Budget;
use super::identity::Identities;
use super::ledger::Ledger;
use super::number::Number;
use super::reach::{Reach, Way};
use super::trunk::{Trunk, login};
use crate::call::{CallError, Denial, DialGrant, DialPolicy, DialRequest, Login};
use crate::config::{Cidr, Config, Credential, DialRule, Dialling, Tenant, TrunkNumber};

/// The dial rules of one tenant.
#[derive(Debug)]
pub(super) struct DialRules {
    tenant: String,
    allow: Vec<DialRule>,
    deny: Vec<DialRule>,
    reach: Reach,
    dialling: Dialling,
    allow_premium: Vec<TrunkNumber>,
    caller_ids: Vec<String>,
    claims: Identities,
    media: Option<Vec<Cidr>>,
    /// From without a caller id.
    default_user: String,
    credentials: Vec<(String, Login)>,
    trunks: Vec<Trunk>,
    budget: Budget,
    denied: AtomicU64,
}

/// Where a request goes that is allowed.
struct Granted<'a> {
    /// The Request-URI where it is not the target's own.
    uri: Option<String>,
    next_hop: Option<Destination>,
    trunk: Option<&'a Trunk>,
}

impl DialRules {
    /// The rules of this tenant of `config`, on a host with these addresses.
    pub(super) fn of(tenant: &Tenant, config: &Config, own: &[IpAddr], ledger: &Ledger) -> Self {
        let default_user = tenant.caller_ids.first().unwrap_or(&tenant.name).clone();
        let named = |credential: &Credential| (credential.name.clone(), login(credential));
        Self {
            tenant: tenant.name.clone(),
            allow: tenant.dial.clone(),
            deny: tenant.policy.deny.clone(),
            reach: Reach::new(&tenant.dial, &tenant.policy.deny, own),
            dialling: config.dialling.clone(),
            allow_premium: tenant.policy.allow_premium.clone(),
            caller_ids: tenant.caller_ids.clone(),
            claims: Identities::of(tenant),
            media: tenant.policy.media.clone(),
            default_user,
            credentials: tenant.credentials.iter().map(named).collect(),
            trunks: tenant
                .trunks
                .iter()
                .map(|trunk| Trunk::of(trunk, &tenant.credentials))
                .collect(),
            budget: Budget::new(&tenant.name, tenant.policy.budget, ledger),
            denied: AtomicU64::new(0),
        }
    }

    /// The trunk that a request names, or that a number takes by itself.
    fn trunk(&self, request: &DialRequest<'_>) -> Result<Option<&Trunk>, CallError> {
        let unknown = |text: String| CallError::UnknownDestination(text);
        if let Some(name) = request.trunk {
            let found = self.trunks.iter().find(|trunk| trunk.name == name);
            return found
                .map(Some)
                .ok_or_else(|| unknown(format!("no trunk named {}", quoted(name))));
        }
        if request.target.number().is_none() {
            return Ok(None);
        }
        let default = self.trunks.iter().find(|trunk| trunk.default);
        match (default, self.trunks.as_slice()) {
            (Some(trunk), _) | (None, [trunk]) => Ok(Some(trunk)),
            (None, []) => Err(unknown(
                "a number needs a trunk, and this tenant has none".to_owned(),
            )),
            (None, _) => Err(unknown(
                "a number needs a trunk: name one of the tenant's".to_owned(),
            )),
        }
    }

    fn credential(&self, name: &str) -> Result<&Login, CallError> {
        let found = self.credentials.iter().find(|(own, _)| own == name);
        found
            .map(|(_, login)| login)
            .ok_or_else(|| CallError::UnknownDestination(format!("no credential named {}", quoted(name))))
    }

    /// Where the request goes, if no rule is against it.
    fn destination<'a>(
        &self,
        request: &DialRequest<'_>,
        trunk: Option<&'a Trunk>,
    ) -> Result<Granted<'a>, CallError> {
        let target = request.target.as_str();
        let dialled = request.target.number();
        let parsed = Uri::parse(target.as_bytes()).ok();
        let sip = parsed.as_ref().and_then(Uri::sip);
        let user = || std::str::from_utf8(sip?.user?).ok();
        let number = dialled
            .or_else(user)
            .and_then(|text| Number::of(text, &self.dialling.international_prefixes));
        self.check_number(dialled, number.as_ref())?;
        if let Some(trunk) = trunk
            && self.deny.iter().any(|rule| names_trunk(rule, trunk))
        {
            return Err(self.denial("deny"));
        }
        match (dialled, sip, trunk) {
            (Some(dialled), _, Some(trunk)) => match self.may_dial(trunk, dialled, number.as_ref()) {
                true => Ok(Granted {
                    uri: Some(trunk.uri(dialled)),
                    next_hop: Some(trunk.next_hop.clone()),
                    trunk: Some(trunk),
                }),
                false => Err(self.denial("dial")),
            },
            (None, Some(sip), _) => Ok(Granted {
                uri: None,
                next_hop: self.way((target, sip), number.as_ref(), trunk)?,
                trunk,
            }),
            _ => Err(self.denial("dial")),
        }
    }

    /// Numbers that are denied whichever way they go.
    fn check_number(&self, dialled: Option<&str>, number: Option<&Number>) -> Result<(), CallError> {
        let Some(number) = number else { return Ok(()) };
        let is = |rule: &TrunkNumber| {
            rule.allows(number.as_str()) || dialled.is_some_and(|dialled| rule.allows(dialled))
        };
        let denies = |rule: &DialRule| matches!(rule, DialRule::Number(rule) if is(rule));
        if self.deny.iter().any(denies) {
            return Err(self.denial("deny"));
        }
        let premium = self.dialling.premium.as_ref();
        let entry = premium.and_then(|list| list.entry_of(number.as_str()));
        match entry {
            Some(entry) if !self.allow_premium.iter().any(is) => {
                Err(self.denial(&format!("dialling.premium {entry}")))
            }
            _ => Ok(()),
        }
    }

    fn may_dial(&self, trunk: &Trunk, dialled: &str, number: Option<&Number>) -> bool {
        let canonical = number.map_or(dialled, Number::as_str);
        trunk.numbers.iter().any(|rule| rule.allows(dialled))
            || self.allow.iter().any(|rule| match rule {
                DialRule::Number(rule) => rule.allows(canonical),
                rule => names_trunk(rule, trunk),
            })
    }

    /// The next hop of a request to a SIP URI; none is what the URI itself says.
    fn way(
        &self,
        (target, uri): (&str, &SipUri<'_>),
        number: Option<&Number>,
        trunk: Option<&Trunk>,
    ) -> Result<Option<Destination>, CallError> {
        if self.reach.denies(uri, number) {
            return Err(self.denial("deny"));
        }
        // Through a trunk the URI's host is only a word: nothing is sent there.
        if let Some(trunk) = trunk
            && self.allow.iter().any(|rule| names_trunk(rule, trunk))
        {
            return Ok(Some(trunk.next_hop.clone()));
        }
        let way = self.reach.judge(uri, number).ok_or_else(|| self.denial("dial"))?;
        match (trunk, way) {
            (Some(trunk), _) => Ok(Some(trunk.next_hop.clone())),
            (None, Way { filter: None }) => Ok(None),
            (None, Way { filter }) => {
                let hop = Destination::of_uri(target.as_bytes()).and_then(|hop| hop.under(filter.as_ref()));
                hop.map(Some).ok_or_else(|| self.denial("dial"))
            }
        }
    }

    /// Says that a rule was against it: one line for each power of two, because a flow may try all day.
    fn denial(&self, rule: &str) -> CallError {
        let denied = self.denied.fetch_add(1, Ordering::Relaxed) + 1;
        if denied.is_power_of_two() {
            tracing::info!(tenant = self.tenant, denied, "a destination was denied by {rule}");
        }
        CallError::Denied(Denial::Destination)
    }

    fn may_be(&self, user: &str, trunk: Option<&Trunk>) -> bool {
        let of_trunk = trunk.and_then(|trunk| trunk.caller_id.as_deref());
        self.caller_ids.iter().any(|own| own == user) || of_trunk == Some(user)
    }
}

impl DialPolicy for DialRules {
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        let trunk = self.trunk(request)?;
        let credential = request.credential.map(|name| self.credential(name)).transpose()?;
        let Granted { uri, next_hop, trunk } = self.destination(request, trunk)?;
        let own = trunk.and_then(|trunk| trunk.caller_id.as_ref());
        let from_user = match request.caller_user {
            None => own.unwrap_or(&self.default_user).clone(),
            Some(user) if self.may_be(user, trunk) => user.to_owned(),
            Some(_) => return Err(CallError::Denied(Denial::Identity)),
        };
        let of_trunk = trunk.and_then(|trunk| trunk.login.as_ref());
        Ok(DialGrant {
            from_host: trunk.and_then(|trunk| trunk.from_host.clone()),
            uri,
            next_hop,
            through_trunk: trunk.is_some(),
            logins: credential.into_iter().chain(of_trunk).cloned().collect(),
            ..DialGrant::direct(from_user, request.caller_name)
        })
    }

    fn may_claim(&self, header: &str, value: &str) -> Result<(), CallError> {
        self.claims.check(header, value)
    }

    fn judges_media(&self) -> bool {
        self.media.is_some()
    }

    fn may_name(&self, media: Option<IpAddr>) -> bool {
        let Some(ranges) = &self.media else { return true };
        let named = media.is_some_and(|address| ranges.iter().any(|range| range.contains(address)));
        if !named {
            self.denial("sdp_egress");
        }
        named
    }

    fn dial(&self) -> Result<(), CallError> {
        self.budget.dial()
    }

    fn call_max(&self) -> Option<(Duration, &'static str)> {
        self.budget.call_max()
    }

    fn step(&self) -> Option<Duration> {
        self.budget.step()
    }

    fn charge(&self) -> Result<(), CallError> {
        self.budget.charge()
    }
}

fn names_trunk(rule: &DialRule, trunk: &Trunk) -> bool {
    matches!(rule, DialRule::Trunk(name) if *name == trunk.name)
}

/// A guest's text for an error message: escaped and short.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use callbox_sip::endpoint::Protocol;

    use super::*;
    use crate::call::DialTarget;
    use crate::config::Config;

    /// The rules of a tenant with these lines.
    fn rules(lines: &str) -> DialRules {
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[[tenant]]\nname = \"acme\"\n{lines}\n[tenant.flow.f]\nfile = \"f.wasm\"\n"
        );
        let config = Config::parse(Path::new("callbox.toml"), &text).unwrap();
        DialRules::of(config.tenants.first().unwrap(), &config, &[], &Ledger::default())
    }

    fn grant(rules: &DialRules, dest: &str) -> Result<DialGrant, CallError> {
        rules.grant(&DialRequest::to(&DialTarget::parse(dest).unwrap()))
    }

    fn is_denied(result: &Result<DialGrant, CallError>) -> bool {
        matches!(result, Err(CallError::Denied(Denial::Destination)))
    }

    const TRUNKS: &str = r#"
caller_ids = "+4930"
[tenant.credential.office]
username = "office"
password = "secret"
[tenant.credential.carrier]
username = "acme"
password = "hunter2"
realm = "carrier.example"
[tenant.trunk.carrier]
proxy = "tcp:10.0.0.1:5070"
domain = "carrier.example"
numbers = ["+49*", "110", "*21#"]
credential = "carrier"
caller_id = "+4931"
[tenant.trunk.spare]
proxy = "sip:spare.example"
numbers = "*"
"#;

    #[test]
    fn nowhere_by_default() {
        assert!(is_denied(&grant(&rules(""), "sip:a@example.com")));
    }

    #[test]
    fn only_where_a_rule_allows() {
        let rules = rules(r#"dial = ["example.com", "2001:db8::/32"]"#);
        for dest in [
            "sip:a@Example.com:5070;transport=tcp",
            "sip:a@[2001:db8::1]:5060",
            "sip:a@example.com;maddr=[2001:db8::2]",
        ] {
            assert_eq!(grant(&rules, dest).unwrap().from_user, "acme", "{dest}");
        }
        for dest in [
            "sip:a@example.org",
            "sip:example.com@evil.example",
            "sip:a@[2001:db9::1]",
            "sip:a@example.com;maddr=10.0.0.1",
            "sip:a@example.com;maddr=evil.example",
            "sip:a@example.com;MADDR=%31%30.0.0.1",
        ] {
            assert!(is_denied(&grant(&rules, dest)), "{dest}");
        }
    }

    #[test]
    fn only_as_a_number_of_the_tenants_own() {
        let rules = rules("dial = \"*\"\ncaller_ids = [\"+4930\", \"+4931\"]");
        let target = DialTarget::parse("sip:a@b").unwrap();
        let as_user = |user| {
            rules.grant(&DialRequest {
                caller_user: user,
                ..DialRequest::to(&target)
            })
        };
        assert_eq!(as_user(None).unwrap().from_user, "+4930");
        assert_eq!(as_user(Some("+4931")).unwrap().from_user, "+4931");
        assert!(matches!(
            as_user(Some("+1")),
            Err(CallError::Denied(Denial::Identity))
        ));
    }

    #[test]
    fn a_number_goes_over_a_trunk_within_its_rules() {
        let rules = rules(&TRUNKS.replace("[tenant.trunk.spare]", "default = true\n[tenant.trunk.spare]"));
        let granted = grant(&rules, "tel:+49-30-123").unwrap();
        assert_eq!(
            granted.uri.as_deref(),
            Some("sip:+4930123@carrier.example;user=phone")
        );
        assert_eq!(
            (granted.from_user.as_str(), granted.from_host.as_deref()),
            ("+4931", Some("carrier.example"))
        );
        assert!(matches!(
            granted.next_hop,
            Some(Destination::Addr { protocol: Protocol::Tcp, addr, .. }) if addr == "10.0.0.1:5070".parse().unwrap()
        ));
        assert_eq!(granted.logins.first().unwrap().username, "acme");
        assert_eq!(
            grant(&rules, "*21#").unwrap().uri.as_deref(),
            Some("sip:*21%23@carrier.example;user=phone")
        );
        assert!(is_denied(&grant(&rules, "+1900")));
        assert!(
            is_denied(&grant(&rules, "sip:+4930@carrier.example")),
            "a URI is no number"
        );
    }

    #[test]
    fn names_are_looked_up_before_anything_is_judged() {
        let rules = rules(TRUNKS);
        let (number, uri) = (
            DialTarget::parse("+1800").unwrap(),
            DialTarget::parse("sip:a@b").unwrap(),
        );
        let unknown =
            |request: DialRequest<'_>| matches!(rules.grant(&request), Err(CallError::UnknownDestination(_)));
        let (nothing, named) = (DialRequest::to(&uri), DialRequest::to(&number));
        assert!(unknown(DialRequest {
            trunk: Some("other"),
            ..nothing
        }));
        let nothing = DialRequest::to(&uri);
        assert!(unknown(DialRequest {
            credential: Some("other"),
            ..nothing
        }));
        assert!(unknown(named), "two trunks, and none is the default");
        let spare = rules
            .grant(&DialRequest {
                trunk: Some("spare"),
                credential: Some("office"),
                ..DialRequest::to(&number)
            })
            .unwrap();
        assert_eq!(spare.uri.as_deref(), Some("sip:+1800@spare.example;user=phone"));
        assert_eq!(spare.logins.len(), 1);
        assert_eq!((spare.from_user.as_str(), spare.from_host), ("+4930", None));
        assert!(matches!(
            grant(&self::rules(""), "+1"),
            Err(CallError::UnknownDestination(_))
        ));
    }

    #[test]
    fn a_dear_number_is_denied_however_it_is_written_and_whichever_way_it_goes() {
        let lines = "dial = [\"*\", \"trunk:spare\"]\n".to_owned() + TRUNKS;
        let rules = rules(&lines.replace("proxy = \"sip:spare", "default = true\nproxy = \"sip:spare"));
        for dear in [
            "+1900555",
            "tel:+1-900-555",
            "001900555",
            "sip:+1900555@example.com",
            "sip:%2B1900555@example.com;user=phone",
            "sip:001900555@example.com",
            "+88212345",
            "+448712345",
        ] {
            assert!(is_denied(&grant(&rules, dear)), "{dear}");
        }
        for plain in [
            "+1800555",
            "sip:+1800555@example.com",
            "sip:1900@example.com",
            "sip:alice@example.com",
        ] {
            assert!(grant(&rules, plain).is_ok(), "{plain}");
        }
        let target = DialTarget::parse("sip:+1900555@example.com").unwrap();
        let through = rules.grant(&DialRequest {
            trunk: Some("spare"),
            ..DialRequest::to(&target)
        });
        assert!(is_denied(&through));
    }

    #[test]
    fn a_tenant_may_be_allowed_dear_numbers() {
        let rules = rules("dial = \"*\"\nallow_premium = [\"+49900*\"]");
        assert!(grant(&rules, "sip:+49900123@example.com").is_ok());
        assert!(is_denied(&grant(&rules, "sip:+1900123@example.com")));
    }

    #[test]
    fn numbers_and_trunks_are_rules_too_and_deny_wins() {
        let lines = "dial = [\"+44*\", \"trunk:spare\"]\ndeny = [\"+4470*\", \"sip:*@evil.example\"]\n"
            .to_owned()
            + TRUNKS;
        let open = rules(&lines);
        let through = |rules: &DialRules, trunk: &str, dest: &str| {
            rules.grant(&DialRequest {
                trunk: Some(trunk),
                ..DialRequest::to(&DialTarget::parse(dest).unwrap())
            })
        };
        assert!(through(&open, "carrier", "+4420").is_ok(), "by the number");
        assert!(
            through(&open, "carrier", "004420").is_ok(),
            "however it is written"
        );
        assert!(is_denied(&through(&open, "carrier", "+3310")));
        assert!(
            through(&open, "spare", "sip:a@anywhere.example").is_ok(),
            "by the trunk"
        );
        assert!(is_denied(&through(&open, "carrier", "sip:a@anywhere.example")));
        assert!(is_denied(&through(&open, "spare", "sip:a@evil.example")));
        for denied in ["+4470123", "00-4470123", "sip:+4470123@anywhere.example"] {
            assert!(is_denied(&through(&open, "spare", denied)), "{denied}");
        }
        let closed = rules(&("dial = \"*\"\ndeny = \"trunk:spare\"\n".to_owned() + TRUNKS));
        assert!(is_denied(&through(&closed, "spare", "+4420")));
        assert!(is_denied(&through(&closed, "spare", "sip:a@example.com")));
        assert!(grant(&closed, "sip:a@example.com").is_ok());
    }

    #[test]
    fn what_a_wildcard_allows_is_sent_under_a_filter() {
        let rules = rules("dial = [\"*\", \"pbx.example\"]");
        let filter = |dest: &str| {
            grant(&rules, dest)
                .unwrap()
                .next_hop
                .and_then(|hop| hop.filter().cloned())
        };
        for wild in ["sip:a@other.example:5070;transport=tcp", "sip:a@192.0.2.1"] {
            assert!(
                !filter(wild).unwrap().admits("127.0.0.1".parse().unwrap()),
                "{wild}"
            );
        }
        assert_eq!(filter("sip:a@pbx.example"), None);
        assert!(is_denied(&grant(&rules, "sip:a@127.0.0.1")));
        assert!(matches!(
            grant(&rules, "sip:a@other.example:5070;transport=tcp")
                .unwrap()
                .next_hop,
            Some(Destination::Name {
                protocol: Protocol::Tcp,
                port: Some(5070),
                ..
            })
        ));
    }

    #[test]
    fn a_secret_is_in_no_debug_text() {
        let rules = rules(TRUNKS);
        let granted = rules
            .grant(&DialRequest {
                trunk: Some("carrier"),
                ..DialRequest::to(&DialTarget::parse("110").unwrap())
            })
            .unwrap();
        let shown = format!("{rules:?} {granted:?}");
        assert!(
            shown.contains("acme") && !shown.contains("hunter2") && !shown.contains("secret\""),
            "{shown}"
        );
    }
}
