//! Opens the listening sockets, and finds out the address that peers are told.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use callbox_sip::endpoint::Protocol as SipProtocol;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::start::WireError;
use crate::config::{Listen, Transport};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1_024;
/// Datagrams that came too early: as many as a buffer of the kernel's holds of the shortest.
const EARLY_MAX: usize = 65_536;

/// A listening socket as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Its transport.
    pub transport: Transport,
    /// Where it is bound, with the port that the system chose if none was asked for.
    pub local: SocketAddr,
    /// What Via and Contact say.
    pub advertised: SocketAddr,
}

impl Bound {
    /// The address that messages come to and go from. Of a listener on every address which of ours it is is not known;
    /// the advertised one is what peers use.
    pub(super) fn seen(&self) -> SocketAddr {
        if self.local.ip().is_unspecified() {
            self.advertised
        } else {
            self.local
        }
    }
}

/// The protocol of a transport, as the SIP side calls it.
#[must_use]
pub fn protocol_of(transport: Transport) -> SipProtocol {
    match transport {
        Transport::Udp => SipProtocol::Udp,
        Transport::Tcp => SipProtocol::Tcp,
        Transport::Tls => SipProtocol::Tls,
    }
}

/// A socket by the way that it is read; [`Bound::transport`] says what a stream carries.
pub(super) enum Socketed {
    Udp(Arc<UdpSocket>),
    Stream(TcpListener),
}

pub(super) struct Listener {
    pub(super) bound: Bound,
    pub(super) socket: Socketed,
}

/// Sockets that are bound, and take nothing yet: ports may be such that only root can bind them.
pub struct Sockets(Vec<(Listen, Listener)>);

impl Sockets {
    /// Binds every listener. Connections are refused, and datagrams lost, until a wire is started on them.
    ///
    /// # Errors
    /// [`WireError`]; nothing is left bound.
    pub fn bind(listen: &[Listen], buffer_bytes: usize) -> Result<Self, WireError> {
        if listen.is_empty() {
            return Err(WireError::NoListener);
        }
        listen
            .iter()
            .map(|listen| Ok((*listen, Listener::open(listen, buffer_bytes)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Takes what comes from now on.
    pub(super) fn open(self) -> Result<Vec<Listener>, WireError> {
        let opened = self.0.into_iter().map(|(listen, listener)| {
            let open = match &listener.socket {
                Socketed::Udp(socket) => forget(socket),
                Socketed::Stream(socket) => SockRef::from(socket).listen(BACKLOG),
            };
            match open {
                Ok(()) => Ok(listener),
                Err(error) => Err(WireError::bind(listen, error)),
            }
        });
        opened.collect()
    }
}

/// Reads what came before its time: flows may have been compiled meanwhile, and a call of minutes ago has no caller any more.
fn forget(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 1];
    for _ in 0..EARLY_MAX {
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // Errors of earlier datagrams, of which there are none of ours.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

impl Listener {
    pub(super) fn open(listen: &Listen, buffer_bytes: usize) -> Result<Self, WireError> {
        let failed = |error| WireError::bind(*listen, error);
        let socket = open(listen, buffer_bytes).map_err(failed)?;
        let local = match &socket {
            Socketed::Udp(socket) => socket.local_addr(),
            Socketed::Stream(listener) => listener.local_addr(),
        }
        .map_err(failed)?;
        let (address, port) = match listen.advertised {
            Some((address, port)) => (address, port.unwrap_or(local.port())),
            None if local.ip().is_unspecified() => (
                own_address(local.is_ipv4()).ok_or(WireError::NoAddress(*listen))?,
                local.port(),
            ),
            None => (local.ip(), local.port()),
        };
        let bound = Bound {
            transport: listen.transport,
            local,
            advertised: SocketAddr::new(address, port),
        };
        Ok(Self { bound, socket })
    }
}

fn open(listen: &Listen, buffer_bytes: usize) -> io::Result<Socketed> {
    let domain = Domain::for_address(listen.bind);
    let socket = match listen.transport {
        Transport::Udp => Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?,
        Transport::Tcp | Transport::Tls => Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?,
    };
    socket.set_nonblocking(true)?;
    if listen.bind.is_ipv6() {
        // One family a socket: an IPv4 peer must not appear as ::ffff:… in Via, routes and logs.
        socket.set_only_v6(true)?;
    }
    match listen.transport {
        Transport::Udp => {
            // The kernel cuts what it does not allow, silently: that is all we can ask.
            socket.set_recv_buffer_size(buffer_bytes)?;
            socket.set_send_buffer_size(buffer_bytes)?;
            socket.bind(&listen.bind.into())?;
            super::udp::report_unreachable(&socket, listen.bind.is_ipv4())?;
            Ok(Socketed::Udp(Arc::new(socket.into())))
        }
        Transport::Tcp | Transport::Tls => {
            // Connections of the last run in TIME_WAIT must not keep a restarted host from listening.
            socket.set_reuse_address(true)?;
            socket.bind(&listen.bind.into())?;
            Ok(Socketed::Stream(socket.into()))
        }
    }
}

/// The address that this machine uses to reach the rest of the world. Sends nothing: connecting a UDP socket only asks
/// the routing table.
fn own_address(v4: bool) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): nobody's, and so behind the default route.
    let (any, far): (IpAddr, IpAddr) = if v4 {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    } else {
        (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        )
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}
