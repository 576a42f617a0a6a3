//! How we appear to peers: the Via and Contact texts of each listener, made once.
//!
//! Knows nothing of messages in flight. Entry type: [`Faces`].

use std::net::SocketAddr;

use super::address::{Destination, ListenerId, Protocol};
use super::config::Listener;

/// One listener as peers see it.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) id: ListenerId,
    pub(crate) protocol: Protocol,
    /// `host:port` as URIs and Via write it.
    pub(crate) host_port: Box<str>,
}

/// All listeners.
#[derive(Debug)]
pub(crate) struct Faces(Vec<Face>);

impl Faces {
    pub(crate) fn new(listeners: &[Listener]) -> Self {
        let face = |l: &Listener| Face {
            id: l.id,
            protocol: l.protocol,
            host_port: l.advertised.to_string().into(),
        };
        Self(listeners.iter().map(face).collect())
    }

    /// The face to show on the way to `to`: the listener it names, else the first of its protocol, else the first.
    pub(crate) fn toward(&self, to: &Destination) -> Option<usize> {
        let same = |face: &&Face| Some(face.id) == to.listener() && face.protocol == to.protocol();
        let listener = self.0.iter().position(|face| same(&face));
        listener
            .or_else(|| self.0.iter().position(|face| face.protocol == to.protocol()))
            .or(if self.0.is_empty() { None } else { Some(0) })
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Face> {
        self.0.get(index)
    }
}

/// Writes our sent-by: of the face, or of the path's own address when no listener is configured.
pub(crate) fn write_host_port(out: &mut Vec<u8>, face: Option<&Face>, local: Option<SocketAddr>) {
    match (face, local) {
        (Some(face), _) => out.extend_from_slice(face.host_port.as_bytes()),
        (None, Some(local)) => out.extend_from_slice(local.to_string().as_bytes()),
        (None, None) => out.extend_from_slice(b"callbox.invalid"),
    }
}

/// What a Contact says of the way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactWay {
    protocol: Protocol,
    /// Whether the peer asked for TLS on the whole way.
    secure: bool,
}

impl ContactWay {
    /// For a peer that is called by this URI, over this protocol.
    pub(crate) fn toward(uri: &[u8], protocol: Protocol) -> Self {
        let scheme = uri.get(..5).unwrap_or_default();
        Self {
            protocol,
            secure: scheme.eq_ignore_ascii_case(b"sips:"),
        }
    }
}

/// Writes `<sip:user@host:port;transport=…>`, or with `sips:`, which needs no transport.
pub(crate) fn write_contact(
    out: &mut Vec<u8>,
    user: Option<&str>,
    face: Option<&Face>,
    local: Option<SocketAddr>,
    way: ContactWay,
) {
    out.extend_from_slice(if way.secure { &b"<sips:"[..] } else { b"<sip:" });
    if let Some(user) = user {
        write_user(out, user);
        out.push(b'@');
    }
    write_host_port(out, face, local);
    if let (false, Some(transport)) = (way.secure, way.protocol.uri_param()) {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(transport.as_bytes());
    }
    out.push(b'>');
}

/// Writes a user part with what a URI does not allow there escaped (RFC 3261 §25.1, `user`).
pub(crate) fn write_user(out: &mut Vec<u8>, user: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn listener(id: u16, protocol: Protocol, ip: IpAddr) -> Listener {
        Listener {
            id: ListenerId(id),
            protocol,
            advertised: SocketAddr::new(ip, 5060 + id),
        }
    }

    #[test]
    fn the_listener_named_comes_before_the_protocol_and_that_before_the_first() {
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let faces = Faces::new(&[
            listener(0, Protocol::Udp, v4),
            listener(1, Protocol::Udp, v6),
            listener(2, Protocol::Tcp, v4),
        ]);
        let to = |protocol, listener| Destination::Addr {
            protocol,
            addr: SocketAddr::new(v4, 1),
            listener,
            filter: None,
        };
        assert_eq!(faces.toward(&to(Protocol::Udp, Some(ListenerId(1)))), Some(1));
        assert_eq!(faces.toward(&to(Protocol::Tcp, None)), Some(2));
        assert_eq!(faces.toward(&to(Protocol::Tls, None)), Some(0));
        let mut out = Vec::new();
        let way = ContactWay::toward(b"sip:x@h", Protocol::Tcp);
        write_contact(&mut out, Some("a b@c"), faces.get(1), None, way);
        assert_eq!(out, b"<sip:a%20b%40c@[::1]:5061;transport=tcp>");
        out.clear();
        let way = ContactWay::toward(b"SIPS:x@h", Protocol::Tls);
        write_contact(&mut out, Some("a"), faces.get(1), None, way);
        assert_eq!(out, b"<sips:a@[::1]:5061>");
    }
}
