//! Where messages come from and go to, in terms the I/O layer can act on.
//!
//! Knows protocols, listeners, connections and socket addresses; deliberately does not know DNS: a host name leaves as
//! [`Destination::Name`] and is resolved outside. Entry types: [`Path`] (inward) and [`Destination`] (outward).

use std::net::SocketAddr;

use super::filter::AddressFilter;

/// The transport protocol of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams; requests and responses are retransmitted by the transactions.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket under TLS.
    Wss,
}

impl Protocol {
    /// True when the protocol itself repeats lost octets, so that transactions must not (RFC 3261 §17).
    #[must_use]
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// The protocol's name in a Via header.
    #[must_use]
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The `transport` parameter of a URI; none for UDP, which is the default.
    #[must_use]
    pub fn uri_param(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            // RFC 7118 §4: both are named ws in URIs.
            Self::Ws | Self::Wss => Some("ws"),
        }
    }

    /// The port that a missing one stands for (RFC 3261 §18.2.2, §19.1.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// A listening socket of the I/O layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// A stream connection of the I/O layer; never used again for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// Where a message came from, which is also the path that a reply takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The listener that received it (for a connection we opened: the listener it belongs to).
    pub listener: ListenerId,
    /// Our address of that socket.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The stream, when the protocol has one.
    pub connection: Option<ConnectionId>,
}

/// Where a message shall go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Through the same listener or connection to `remote`. When the connection is gone: connect to `remote`.
    Path(Path),
    /// A host name, to be resolved by the I/O layer.
    Name {
        /// Transport protocol.
        protocol: Protocol,
        /// Host name as written in the URI.
        host: Box<str>,
        /// Port, when the URI has one.
        port: Option<u16>,
        /// The listener to send from; none: any of the protocol.
        listener: Option<ListenerId>,
        /// What its addresses must pass.
        filter: Option<AddressFilter>,
    },
    /// A socket address.
    Addr {
        /// Transport protocol.
        protocol: Protocol,
        /// Address and port.
        addr: SocketAddr,
        /// The listener to send from; none: any of the protocol.
        listener: Option<ListenerId>,
        /// What the addresses must pass that the dialog may come to; this one has been judged.
        filter: Option<AddressFilter>,
    },
}

impl Destination {
    /// The protocol that will carry the message.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Path(path) => path.protocol,
            Self::Name { protocol, .. } | Self::Addr { protocol, .. } => *protocol,
        }
    }

    /// What the addresses must pass that a peer may have us send to instead.
    #[must_use]
    pub fn filter(&self) -> Option<&AddressFilter> {
        match self {
            Self::Path(_) => None,
            Self::Name { filter, .. } | Self::Addr { filter, .. } => filter.as_ref(),
        }
    }

    /// The same destination under a filter; none where its address does not pass.
    #[must_use]
    pub fn under(mut self, wanted: Option<&AddressFilter>) -> Option<Self> {
        match &mut self {
            Self::Path(_) => {}
            Self::Name { filter, .. } => *filter = wanted.cloned(),
            Self::Addr { addr, filter, .. } => {
                if wanted.is_some_and(|wanted| !wanted.admits(addr.ip())) {
                    return None;
                }
                *filter = wanted.cloned();
            }
        }
        Some(self)
    }

    /// The listener that it is bound to, when it is.
    #[must_use]
    pub fn listener(&self) -> Option<ListenerId> {
        match self {
            Self::Path(path) => Some(path.listener),
            Self::Name { listener, .. } | Self::Addr { listener, .. } => *listener,
        }
    }
}
