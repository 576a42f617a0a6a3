//! `[metrics]`: a plain address for whoever scrapes, beside the admin API, which has the same page.
//!
//! Knows no HTTP. Entry type: [`Metrics`].

use std::net::{Ipv4Addr, SocketAddr};

use super::reader::{Section, Source};

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// `listen`: an address with a port, or a port alone, which is opened on the loopback address. None opens no port.
    pub listen: Option<SocketAddr>,
}

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Metrics {
    let Some(mut section) = section else {
        return Metrics::default();
    };
    let listen = section.string("listen").and_then(|text| {
        let address = address(&text.value);
        if address.is_none() {
            let fix = "write a port, as in \"9090\", which is on this machine only, or ADDRESS:PORT";
            source.problem(&text, "is not an address with a port", fix);
        }
        address
    });
    section.finish();
    Metrics { listen }
}

fn address(text: &str) -> Option<SocketAddr> {
    let port = text.parse::<u16>().ok();
    port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use crate::config::Config;

    fn read(listen: &str) -> Result<Option<String>, String> {
        let text = format!("listen = \"udp:127.0.0.1:0\"\n[metrics]\nlisten = {listen:?}\n");
        Config::parse(Path::new("callbox.toml"), &text)
            .map(|config| config.metrics.listen.map(|address| address.to_string()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_alone_is_on_this_machine_only() {
        assert_eq!(read("9090").unwrap().unwrap(), "127.0.0.1:9090");
        assert_eq!(read("192.0.2.1:9090").unwrap().unwrap(), "192.0.2.1:9090");
        assert_eq!(read("[::1]:9090").unwrap().unwrap(), "[::1]:9090");
        for wrong in ["", "localhost:9090", "127.0.0.1", "70000"] {
            let error = read(wrong).unwrap_err();
            assert!(
                error.contains("callbox.toml:3") && error.contains("ADDRESS:PORT"),
                "{error}"
            );
        }
    }

    #[test]
    fn without_a_word_no_port_is_opened() {
        let config = Config::parse(Path::new("callbox.toml"), "listen = \"udp:127.0.0.1:0\"\n").unwrap();
        assert_eq!(config.metrics.listen, None);
    }
}
