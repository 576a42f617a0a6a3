//! Where a tenant's flows may call, through which trunk, and as whom.
//!
//! Everything is denied that no rule allows. SIP URIs are judged by their host, wherever they are sent; numbers by the
//! rules of the trunk that they go through.

use std::net::{IpAddr, SocketAddr};

use callbox_sip::endpoint::{Destination, Protocol};
use callbox_sip::message::{SipUri, Uri};

use crate::call::{CallError, Denial, DialGrant, DialPolicy, DialRequest, Login};
use crate::config::{self, Credential, DialRule, Proxy, Tenant, Transport, TrunkNumber};

/// The dial rules of one tenant.
#[derive(Debug)]
pub(super) struct DialRules {
    allowed: Vec<DialRule>,
    caller_ids: Vec<String>,
    /// From without a caller id.
    default_user: String,
    credentials: Vec<(String, Login)>,
    trunks: Vec<Trunk>,
}

/// A trunk as the rules need it.
#[derive(Debug)]
struct Trunk {
    name: String,
    next_hop: Destination,
    /// The host part of the URIs that numbers become.
    domain: String,
    from_host: Option<String>,
    numbers: Vec<TrunkNumber>,
    login: Option<Login>,
    caller_id: Option<String>,
    default: bool,
}

impl DialRules {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let default_user = tenant.caller_ids.first().unwrap_or(&tenant.name).clone();
        let named = |credential: &Credential| (credential.name.clone(), login(credential));
        Self {
            allowed: tenant.dial.clone(),
            caller_ids: tenant.caller_ids.clone(),
            default_user,
            credentials: tenant.credentials.iter().map(named).collect(),
            trunks: tenant
                .trunks
                .iter()
                .map(|trunk| Trunk::of(trunk, &tenant.credentials))
                .collect(),
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

    fn may_reach(&self, uri: &str) -> bool {
        let Ok(Uri::Sip(uri)) = Uri::parse(uri.as_bytes()) else {
            return false;
        };
        let may = |host: &str| {
            let host = host.trim_matches(['[', ']']);
            self.allowed.iter().any(|rule| rule.allows(host))
        };
        // maddr is where the request is sent instead of the host (RFC 3261 §19.1.1): both must be allowed.
        may(&uri.host.to_string()) && maddr(&uri).is_none_or(|maddr| may(&maddr))
    }

    fn may_be(&self, user: &str, trunk: Option<&Trunk>) -> bool {
        let of_trunk = trunk.and_then(|trunk| trunk.caller_id.as_deref());
        self.caller_ids.iter().any(|own| own == user) || of_trunk == Some(user)
    }
}

impl Trunk {
    fn of(trunk: &config::Trunk, credentials: &[Credential]) -> Self {
        let credential = trunk.credential.and_then(|at| credentials.get(at));
        Self {
            name: trunk.name.clone(),
            next_hop: destination(&trunk.proxy),
            domain: trunk.domain.clone().unwrap_or_else(|| trunk.proxy.to_string()),
            from_host: trunk.domain.clone(),
            numbers: trunk.numbers.clone(),
            login: credential.map(login),
            caller_id: trunk.caller_id.clone(),
            default: trunk.default,
        }
    }

    /// RFC 3261 §19.1.6.
    fn uri(&self, number: &str) -> String {
        let number = number.replace('#', "%23");
        format!("sip:{number}@{};user=phone", self.domain)
    }
}

impl DialPolicy for DialRules {
    fn grant(&self, request: &DialRequest<'_>) -> Result<DialGrant, CallError> {
        let trunk = self.trunk(request)?;
        let credential = request.credential.map(|name| self.credential(name)).transpose()?;
        let uri = match (request.target.number(), trunk) {
            (Some(number), Some(trunk)) if trunk.numbers.iter().any(|rule| rule.allows(number)) => {
                Some(trunk.uri(number))
            }
            (None, _) if self.may_reach(request.target.as_str()) => None,
            _ => return Err(CallError::Denied(Denial::Destination)),
        };
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
            next_hop: trunk.map(|trunk| trunk.next_hop.clone()),
            logins: credential.into_iter().chain(of_trunk).cloned().collect(),
            ..DialGrant::direct(from_user, request.caller_name)
        })
    }
}

fn login(credential: &Credential) -> Login {
    Login {
        username: credential.username.clone(),
        password: credential.password.expose().to_owned(),
        realm: credential.realm.clone(),
    }
}

fn destination(proxy: &Proxy) -> Destination {
    let protocol = match proxy.transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    match proxy.host.parse::<IpAddr>() {
        Ok(address) => Destination::Addr {
            protocol,
            addr: SocketAddr::new(address, proxy.port.unwrap_or(protocol.default_port())),
            listener: None,
        },
        Err(_) => Destination::Name {
            protocol,
            host: proxy.host.as_str().into(),
            port: proxy.port,
            listener: None,
        },
    }
}

fn maddr(uri: &SipUri<'_>) -> Option<String> {
    let maddr = uri.params.get("maddr")?;
    Some(String::from_utf8_lossy(&maddr.text()).into_owned())
}

/// A guest's text for an error message: escaped and short.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::call::DialTarget;
    use crate::config::Config;

    /// The rules of a tenant with these lines.
    fn rules(lines: &str) -> DialRules {
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[[tenant]]\nname = \"acme\"\n{lines}\n[tenant.flow.f]\nfile = \"f.wasm\"\n"
        );
        let config = Config::parse(Path::new("callbox.toml"), &text).unwrap();
        DialRules::of(config.tenants.first().unwrap())
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
            DialTarget::parse("+1900").unwrap(),
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
        assert_eq!(spare.uri.as_deref(), Some("sip:+1900@spare.example;user=phone"));
        assert_eq!(spare.logins.len(), 1);
        assert_eq!((spare.from_user.as_str(), spare.from_host), ("+4930", None));
        assert!(matches!(
            grant(&self::rules(""), "+1"),
            Err(CallError::UnknownDestination(_))
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
