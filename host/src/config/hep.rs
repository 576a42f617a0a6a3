//! `[hep]`: the collector that gets a copy of every SIP message.
//!
//! Knows nothing of the protocol. Entry type: [`Hep`].

use std::net::SocketAddr;

use super::credential::{Place, Secret};
use super::reader::{Located, Section, Source};

/// `[hep]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hep {
    /// `to`: where the collector listens, by UDP.
    pub to: SocketAddr,
    /// `capture_id`: what this host is called at the collector; 1 when nothing is said.
    pub capture_id: u32,
    /// `password`, or what `password_file` or `password_env` lead to: shown to the collector in clear.
    pub password: Option<Secret>,
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Option<Hep> {
    let mut section = section?;
    let to = section.required_string("to", "write to = \"udp:ADDRESS:PORT\"");
    let capture_id = section.number_within("capture_id", 0..=u32::MAX.into());
    let given = [
        section.string("password").map(Place::Here),
        section.string("password_file").map(Place::File),
        section.string("password_env").map(Place::Environment),
    ];
    let (at, path) = (section.at(), section.path().to_owned());
    section.finish();
    let to = to.and_then(|text| address(source, &text));
    let mut given = given.into_iter().flatten();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        let text = "names its secret twice; keep one of password, password_file, password_env".to_owned();
        source.note(at, path, text);
    }
    let password = first.and_then(|place| place.secret(source));
    Some(Hep {
        to: to?,
        capture_id: capture_id.map_or(1, |id| u32::try_from(id).unwrap_or(u32::MAX)),
        password,
    })
}

fn address(source: &Source<'_>, text: &Located<String>) -> Option<SocketAddr> {
    let address = text
        .value
        .strip_prefix("udp:")
        .and_then(|address| address.parse::<SocketAddr>().ok())
        .filter(|address| address.port() != 0 && !address.ip().is_unspecified());
    if address.is_none() {
        let fix = "write udp:ADDRESS:PORT, as in \"udp:192.0.2.9:9060\"";
        source.problem(text, "is not where a collector listens", fix);
    }
    address
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Option<Hep>, String> {
        let text = format!("listen = \"udp:127.0.0.1:0\"\n{lines}\n");
        Config::parse(Path::new("/etc/callbox.toml"), &text)
            .map(|config| config.hep)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_collector_is_an_address_and_there_is_none_unless_it_is_named() {
        assert_eq!(parse("").unwrap(), None);
        let plain = parse("[hep]\nto = \"udp:192.0.2.9:9060\"").unwrap().unwrap();
        assert_eq!((plain.capture_id, plain.password), (1, None));
        assert_eq!(plain.to, "192.0.2.9:9060".parse().unwrap());
        let full = parse(
            "[hep]\nto = \"udp:[2001:db8::9]:9060\"\ncapture_id = 4294967295\npassword_env = \"CARGO_PKG_NAME\"",
        );
        let full = full.unwrap().unwrap();
        assert_eq!(full.to, "[2001:db8::9]:9060".parse().unwrap());
        assert_eq!(full.capture_id, u32::MAX);
        assert_eq!(full.password.as_ref().map(Secret::expose), Some("callbox"));
        assert!(!format!("{full:?}").contains("\"callbox\""), "it is not shown");
    }

    #[test]
    fn a_wrong_collector_is_a_mistake_with_its_fix() {
        for (lines, expected) in [
            ("", "hep.to: is missing; write to = \"udp:ADDRESS:PORT\""),
            ("to = \"192.0.2.9:9060\"", "is not where a collector listens"),
            ("to = \"tcp:192.0.2.9:9060\"", "udp:ADDRESS:PORT"),
            ("to = \"udp:collector:9060\"", "udp:ADDRESS:PORT"),
            ("to = \"udp:192.0.2.9:0\"", "udp:ADDRESS:PORT"),
            (
                "to = \"udp:192.0.2.9:1\"\ncapture_id = 4294967296",
                "out of range",
            ),
            ("to = \"udp:192.0.2.9:1\"\nid = 3", "is not a key"),
            ("to = \"udp:192.0.2.9:1\"\npassword = \"\"", "the secret is empty"),
            (
                "to = \"udp:192.0.2.9:1\"\npassword = \"a\"\npassword_env = \"PATH\"",
                "names its secret twice",
            ),
        ] {
            let error = parse(&format!("[hep]\n{lines}")).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }
}
