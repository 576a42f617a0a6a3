//! A trunk as the rules need it: where its requests go, and who we are there.
//!
//! Entry type: [`Trunk`].

use std::net::{IpAddr, SocketAddr};

use callbox_sip::endpoint::Destination;

use crate::call::Login;
use crate::config::{self, Credential, Proxy, TrunkNumber};
use crate::wire::protocol_of;

/// A trunk as the rules need it.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) name: String,
    pub(super) next_hop: Destination,
    /// The host part of the URIs that numbers become.
    domain: String,
    pub(super) from_host: Option<String>,
    pub(super) numbers: Vec<TrunkNumber>,
    pub(super) login: Option<Login>,
    pub(super) caller_id: Option<String>,
    pub(super) default: bool,
}

impl Trunk {
    pub(super) fn of(trunk: &config::Trunk, credentials: &[Credential]) -> Self {
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
    pub(super) fn uri(&self, number: &str) -> String {
        let number = number.replace('#', "%23");
        format!("sip:{number}@{};user=phone", self.domain)
    }
}

pub(super) fn login(credential: &Credential) -> Login {
    Login {
        username: credential.username.clone(),
        password: credential.password.expose().to_owned(),
        realm: credential.realm.clone(),
    }
}

fn destination(proxy: &Proxy) -> Destination {
    let protocol = protocol_of(proxy.transport);
    match proxy.host.parse::<IpAddr>() {
        Ok(address) => Destination::Addr {
            protocol,
            addr: SocketAddr::new(address, proxy.port.unwrap_or(protocol.default_port())),
            listener: None,
            filter: None,
        },
        Err(_) => Destination::Name {
            protocol,
            host: proxy.host.as_str().into(),
            port: proxy.port,
            listener: None,
            filter: None,
        },
    }
}
