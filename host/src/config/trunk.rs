//! `[tenant.trunk.NAME]`: an outbound proxy, the numbers that may be dialled through it, and who we are there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::credential::Credential;
use super::error::Problem;
use super::listen::{Listen, Transport};
use super::origin::Origin;
use super::reader::{Section, Source};
use super::tenant::{CallerId, check_name};

/// A way out of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// The name that flows use.
    pub name: String,
    /// `proxy`: where requests are sent, whatever their URI says.
    pub proxy: Proxy,
    /// `domain`: the host of the URIs that numbers become, and of From; without it the proxy stands in those URIs, and
    /// our own address in From.
    pub domain: Option<String>,
    /// `numbers`: what may be dialled as a number. Empty, the default, is nothing: calls cost money.
    pub numbers: Vec<TrunkNumber>,
    /// `credential`: which login it asks for, by position in [`Tenant::credentials`](super::Tenant::credentials).
    pub credential: Option<usize>,
    /// `caller_id`: the user part of From where the flow names none.
    pub caller_id: Option<String>,
    /// `default`: takes numbers for which the flow names no trunk; the only trunk of a tenant does so anyway.
    pub default: bool,
}

impl Trunk {
    /// What is wrong with it where no listener has its transport; `origin` is its tenant's.
    pub(super) fn unreachable(&self, listen: &[Listen], origin: &Origin) -> Option<Problem> {
        let transport = self.proxy.transport;
        if listen.iter().any(|listener| listener.transport == transport) {
            return None;
        }
        Some(Problem {
            file: Arc::clone(&origin.file),
            line: origin.line,
            key: format!("trunk.{}.proxy", self.name),
            text: format!(
                "goes by {transport} and no listener does, so calls over it fail; add one to listen, as \"{transport}:ADDRESS:PORT\""
            ),
        })
    }
}

/// Where a trunk's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The transport.
    pub transport: Transport,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port; none is the transport's own.
    pub port: Option<u16>,
}

impl fmt::Display for Proxy {
    /// As the host part of a URI.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Proxy {
    type Err = String;

    /// The error reads on from the text itself.
    fn from_str(text: &str) -> Result<Self, String> {
        const FIX: &str = "is not a proxy; write udp:HOST:PORT, tcp:HOST:PORT, tls:HOST:PORT or a URI as in sip:sbc.example.net;transport=tcp";
        let (scheme, rest) = text.split_once(':').ok_or(FIX)?;
        let (place, transport) = match rest.split_once(';') {
            None => (rest, None),
            Some((place, parameter)) => (place, Some(parameter.strip_prefix("transport=").ok_or(FIX)?)),
        };
        let transport = match (scheme.to_ascii_lowercase().as_str(), transport) {
            ("udp" | "sip", None) | ("sip", Some("udp")) => Transport::Udp,
            ("tcp", None) | ("sip", Some("tcp")) => Transport::Tcp,
            ("tls" | "sips", None) | ("sips", Some("tcp" | "tls")) | ("sip", Some("tls")) => Transport::Tls,
            ("ws" | "wss", _) | ("sip" | "sips", Some("ws")) => {
                return Err(
                    "names a transport that this version does not have; use udp, tcp or tls".to_owned(),
                );
            }
            _ => return Err(FIX.to_owned()),
        };
        let (host, port) = host_port(place).ok_or(FIX)?;
        Ok(Self {
            transport,
            host,
            port,
        })
    }
}

/// `sbc.example.net:5060`, `10.0.0.1`, `[2001:db8::1]:5060`.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            match after {
                "" => (address, None),
                _ => (address, Some(after.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let named = !host.trim_matches('.').is_empty() && host.bytes().all(plain);
    if !named && host.parse::<IpAddr>().is_err() {
        return None;
    }
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
    };
    Some((host.to_ascii_lowercase(), port))
}

/// The host part of a URI, as the operator writes it.
struct Domain(String);

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match host_port(text) {
            Some(_) => Ok(Self(text.to_ascii_lowercase())),
            None => {
                Err("is not a domain; write the host part of a URI, as in \"carrier.example\"".to_owned())
            }
        }
    }
}

/// Numbers that may be dialled through a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrunkNumber {
    /// `110`: this number.
    Exact(String),
    /// `+4930*`: every number that begins so; `*` alone is every number. Only a star at the end means that.
    Prefix(String),
}

impl TrunkNumber {
    /// Whether a number (without visual separators) is meant.
    #[must_use]
    pub fn allows(&self, number: &str) -> bool {
        match self {
            Self::Exact(own) => own == number,
            Self::Prefix(prefix) => number.starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for TrunkNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, prefix) = match text.strip_suffix('*') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let fits = match digits.strip_prefix('+') {
            Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
            None => (digits.bytes()).all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte)),
        };
        if (digits.is_empty() && !prefix) || !fits {
            return Err(
                "is not a number; write digits as in \"110\", or a beginning as in \"+4930*\"".to_owned(),
            );
        }
        Ok(match prefix {
            true => Self::Prefix(digits.to_owned()),
            false => Self::Exact(digits.to_owned()),
        })
    }
}

pub(super) fn read(
    source: &Source<'_>,
    sections: Vec<(String, Section<'_, '_>)>,
    credentials: &[Credential],
) -> Vec<Trunk> {
    let mut trunks: Vec<Trunk> = Vec::new();
    for (name, section) in sections {
        let (at, path) = (section.at(), section.path().to_owned());
        let Some(trunk) = read_one(source, name, section, credentials) else {
            continue;
        };
        if trunk.default && trunks.iter().any(|other| other.default) {
            let text = "is the second default; keep default = true for one trunk of a tenant".to_owned();
            source.note(at, format!("{path}.default"), text);
        }
        trunks.push(trunk);
    }
    trunks
}

fn read_one(
    source: &Source<'_>,
    name: String,
    mut section: Section<'_, '_>,
    credentials: &[Credential],
) -> Option<Trunk> {
    check_name(source, section.at(), section.path(), &name);
    let proxy = section.required_string("proxy", "write proxy = \"sip:sbc.example.net\"");
    let proxy = proxy.and_then(|text| source.parsed(text));
    let domain = section
        .string("domain")
        .and_then(|text| source.parsed::<Domain>(text));
    let numbers = section.strings("numbers").unwrap_or_default();
    let numbers = numbers
        .into_iter()
        .filter_map(|text| source.parsed(text))
        .collect();
    let credential = section.string("credential").and_then(|wanted| {
        let found = credentials.iter().position(|own| own.name == wanted.value);
        if found.is_none() {
            let fix = format!("write [tenant.credential.{}] below the tenant", wanted.value);
            source.problem(&wanted, "is not a credential of this tenant", &fix);
        }
        found
    });
    let caller_id = section
        .string("caller_id")
        .and_then(|text| source.parsed::<CallerId>(text));
    let default = section.boolean("default").unwrap_or(false);
    section.finish();
    Some(Trunk {
        name,
        proxy: proxy?,
        domain: domain.map(|domain| domain.0),
        numbers,
        credential,
        caller_id: caller_id.map(|id| id.0),
        default,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    const FILE: &str = r#"listen = "udp:127.0.0.1:0"
[[tenant]]
name = "acme"
flow.f.file = "f.wasm"
[tenant.credential.carrier]
username = "acme"
password = "hunter2"
[tenant.trunk.main]
proxy = "sip:sbc.example.net;transport=tcp"
domain = "Carrier.example"
numbers = ["+49*", "110"]
credential = "carrier"
caller_id = "+4930"
default = true
[tenant.trunk.spare]
proxy = "udp:10.0.0.1:5060"
"#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("callbox.toml"), text)
    }

    #[test]
    fn trunks_are_read_with_their_defaults() {
        let config = parse(FILE).unwrap();
        let [main, spare] = &config.tenants[0].trunks[..] else {
            unreachable!("two trunks")
        };
        assert_eq!(
            (main.name.as_str(), main.domain.as_deref()),
            ("main", Some("carrier.example"))
        );
        assert_eq!(
            (main.numbers.len(), main.credential, main.default),
            (2, Some(0), true)
        );
        assert_eq!(main.caller_id.as_deref(), Some("+4930"));
        assert!(spare.numbers.is_empty() && spare.credential.is_none() && !spare.default);
    }

    #[test]
    fn mistakes_name_line_key_and_fix() {
        for (replace, by, expected) in [
            (
                "proxy = \"udp:10.0.0.1:5060\"",
                "",
                "callbox.toml:15: tenant[0].trunk.spare.proxy: is missing; write proxy = \"sip:sbc.example.net\"",
            ),
            (
                "credential = \"carrier\"",
                "credential = \"other\"",
                "callbox.toml:12: tenant[0].trunk.main.credential: \"other\" is not a credential of this tenant; \
                 write [tenant.credential.other] below the tenant",
            ),
            (
                "\"110\"",
                "\"one\"",
                "callbox.toml:11: tenant[0].trunk.main.numbers[1]: \"one\" is not a number; write digits as in \
                 \"110\", or a beginning as in \"+4930*\"",
            ),
            (
                "proxy = \"udp:10.0.0.1:5060\"",
                "proxy = \"udp:10.0.0.1:5060\"\ndefault = true",
                "callbox.toml:15: tenant[0].trunk.spare.default: is the second default; keep default = true for one \
                 trunk of a tenant",
            ),
            (
                "domain = \"Carrier.example\"",
                "domain = \"a@b\"",
                "callbox.toml:10: tenant[0].trunk.main.domain: \"a@b\" is not a domain; write the host part of a \
                 URI, as in \"carrier.example\"",
            ),
        ] {
            assert!(FILE.contains(replace), "{replace}");
            assert_eq!(
                parse(&FILE.replace(replace, by)).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn a_trunk_without_a_listener_of_its_transport_is_warned_of() {
        let warnings = |listen: &str| {
            let text = format!(
                "listen = {listen}\n[[tenant]]\nname = \"a\"\nflow.f.file = \"f\"\n[tenant.trunk.far]\nproxy = \"tcp:h\"\n"
            );
            let config = Config::parse(Path::new("callbox.toml"), &text).unwrap();
            let warnings = config.warnings.iter().map(ToString::to_string);
            warnings.collect::<Vec<_>>()
        };
        assert!(warnings("[\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]").is_empty());
        let warned = warnings("\"udp:127.0.0.1:0\"");
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(
            warned[0].starts_with("callbox.toml:2: trunk.far.proxy: goes by tcp and no listener does"),
            "{warned:?}"
        );
    }

    #[test]
    fn proxies_are_read_in_both_spellings() {
        let read = |text: &str| {
            let proxy: Proxy = text.parse().unwrap();
            (proxy.transport, proxy.to_string())
        };
        assert_eq!(
            read("udp:10.0.0.1:5070"),
            (Transport::Udp, "10.0.0.1:5070".to_owned())
        );
        assert_eq!(
            read("sip:SBC.example.net"),
            (Transport::Udp, "sbc.example.net".to_owned())
        );
        assert_eq!(
            read("sip:sbc.example.net:5061;transport=tcp"),
            (Transport::Tcp, "sbc.example.net:5061".to_owned())
        );
        assert_eq!(
            read("tcp:[2001:db8::1]:5060"),
            (Transport::Tcp, "[2001:db8::1]:5060".to_owned())
        );
        assert_eq!(read("tcp:[2001:db8::1]").1, "[2001:db8::1]");
        for secure in [
            "tls:sbc.example.net",
            "sips:sbc.example.net",
            "sip:sbc.example.net;transport=tls",
            "sips:sbc.example.net;transport=tcp",
        ] {
            assert_eq!(
                read(secure),
                (Transport::Tls, "sbc.example.net".to_owned()),
                "{secure}"
            );
        }
    }

    #[test]
    fn wrong_proxies_say_what_to_write() {
        for (text, part) in [
            ("", "is not a proxy"),
            ("sbc.example.net", "is not a proxy"),
            ("sip:", "is not a proxy"),
            ("sip:alice@example.net", "is not a proxy"),
            ("sip:h;lr", "is not a proxy"),
            ("udp:h;transport=tcp", "is not a proxy"),
            ("udp:h:0", "is not a proxy"),
            ("udp:h:65536", "is not a proxy"),
            ("udp:[::1", "is not a proxy"),
            ("udp:[::1]x", "is not a proxy"),
            ("udp:a b", "is not a proxy"),
            ("wss:h", "use udp, tcp or tls"),
            ("sips:h;transport=ws", "use udp, tcp or tls"),
            ("sip:h;transport=wss", "is not a proxy"),
            ("tls:h;transport=tls", "is not a proxy"),
        ] {
            let error = text.parse::<Proxy>().unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn numbers_are_exact_or_prefixes() {
        let rule = |text: &str| text.parse::<TrunkNumber>().unwrap();
        assert!(rule("+4930*").allows("+493012") && !rule("+4930*").allows("+493112"));
        assert!(rule("110").allows("110") && !rule("110").allows("1101"));
        assert!(rule("*").allows("0") && rule("*").allows("+1"));
        assert!(rule("*21#").allows("*21#") && rule("*21**").allows("*21*1"));
        for wrong in ["", "+49 30", "alice", "+4*9", "49-30"] {
            assert!(wrong.parse::<TrunkNumber>().is_err(), "{wrong:?}");
        }
    }
}
