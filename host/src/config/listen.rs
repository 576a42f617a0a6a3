//! A listener: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `tls:0.0.0.0:5061 as 203.0.113.5`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The transports that a listener can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams under TLS, with the certificate of `[tls]`.
    Tls,
}

/// A socket to open, and the address that peers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The transport.
    pub transport: Transport,
    /// Where to bind. Port 0 takes a free port.
    pub bind: SocketAddr,
    /// What Via and Contact say when it is not the bound address: the host's public address.
    pub advertised: Option<(IpAddr, Option<u16>)>,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.bind)
    }
}

impl FromStr for Listen {
    type Err = String;

    /// The error reads on from the text itself: `"udp:5060" is not …`.
    fn from_str(text: &str) -> Result<Self, String> {
        const FIX: &str = "is not a listener; write udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT, \
                           as in udp:127.0.0.1:5060 or tls:[::1]:5061";
        let (socket, advertised) = match text.split_once(" as ") {
            Some((socket, advertised)) => (socket.trim(), Some(advertised.trim())),
            None => (text.trim(), None),
        };
        let (transport, address) = socket.split_once(':').ok_or(FIX)?;
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            "ws" | "wss" => {
                return Err(format!(
                    "names a transport that this version does not have; use udp, tcp or tls instead of {transport}"
                ));
            }
            _ => return Err(FIX.to_owned()),
        };
        let bind: SocketAddr = address.parse().map_err(|_| FIX.to_owned())?;
        let advertised = advertised.map(|text| parse_advertised(text, bind)).transpose()?;
        Ok(Self {
            transport,
            bind,
            advertised,
        })
    }
}

fn parse_advertised(text: &str, bind: SocketAddr) -> Result<(IpAddr, Option<u16>), String> {
    const FIX: &str = "advertises no address; write ADDRESS or ADDRESS:PORT after \" as \"";
    let (address, port) = match text.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip(), Some(socket.port())),
        Err(_) => (
            text.trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .map_err(|_| FIX.to_owned())?,
            None,
        ),
    };
    if address.is_unspecified() || port == Some(0) {
        return Err("advertises an address that nobody can call; name the one that peers reach".to_owned());
    }
    if address.is_ipv4() != bind.is_ipv4() {
        return Err("binds one IP version and advertises the other; write two listeners".to_owned());
    }
    Ok((address, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn listeners_are_read() {
        let listen: Listen = "udp:127.0.0.1:5060".parse().unwrap();
        assert_eq!(listen.transport, Transport::Udp);
        assert_eq!(listen.bind, "127.0.0.1:5060".parse().unwrap());
        assert_eq!(listen.advertised, None);
        let listen: Listen = "TCP:[::1]:0".parse().unwrap();
        assert_eq!(listen.to_string(), "tcp:[::1]:0");
        let listen: Listen = "udp:0.0.0.0:5060 as 203.0.113.5".parse().unwrap();
        assert_eq!(listen.advertised, Some(("203.0.113.5".parse().unwrap(), None)));
        let listen: Listen = "tls:127.0.0.1:5061".parse().unwrap();
        assert_eq!(
            (listen.transport, listen.to_string().as_str()),
            (Transport::Tls, "tls:127.0.0.1:5061")
        );
        let listen: Listen = "udp:[::]:5060 as [2001:db8::1]:5070".parse().unwrap();
        assert_eq!(
            listen.advertised,
            Some(("2001:db8::1".parse().unwrap(), Some(5070)))
        );
    }

    #[test]
    fn wrong_listeners_say_what_to_write() {
        for (text, part) in [
            ("", "write udp:ADDRESS:PORT"),
            ("5060", "write udp:ADDRESS:PORT"),
            ("udp:5060", "write udp:ADDRESS:PORT"),
            ("udp:localhost:5060", "write udp:ADDRESS:PORT"),
            ("udp:127.0.0.1:65536", "write udp:ADDRESS:PORT"),
            ("sctp:127.0.0.1:5060", "write udp:ADDRESS:PORT"),
            ("wss:127.0.0.1:443", "use udp, tcp or tls instead of wss"),
            ("udp:0.0.0.0:5060 as host", "after \" as \""),
            ("udp:0.0.0.0:5060 as 0.0.0.0", "that peers reach"),
            ("udp:0.0.0.0:5060 as 2001:db8::1", "write two listeners"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
