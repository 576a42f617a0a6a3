//! Datagrams: batched reads, immediate sends, and ICMP errors told apart by destination.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use callbox_sip::endpoint::TransportFailure;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::hep::Tap;
use super::stats::{Counters, count};

/// The largest payload of an IPv4 datagram; one byte more fails in the kernel.
const PAYLOAD_MAX: usize = 65_507;

/// Large enough for every datagram, so that none is cut.
pub(super) const BUFFER_BYTES: usize = 65_536;

/// Has the kernel queue ICMP errors with the destination that they are about (RFC 3261 §18.4). Without this an
/// unconnected socket never hears of them, and a call to a dead port takes 32 s to fail.
pub(super) fn report_unreachable(socket: &Socket, v4: bool) -> io::Result<()> {
    if v4 {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(())
}

/// Tells this thread's runtime about a socket.
#[allow(
    deprecated,
    reason = "its replacement is an unsafe function; a std socket keeps its descriptor, which is all it asks"
)]
fn register<S: AsRawFd>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}

/// The reading half of a listener, on the one shard that reads it.
///
/// Registered for reading and errors only: each sent datagram that the kernel frees would otherwise wake the shard.
pub(super) struct UdpReader {
    socket: Arc<AsyncFd<Arc<UdpSocket>>>,
}

impl UdpReader {
    /// Must be called on the runtime of the shard.
    pub(super) fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(register(socket, Interest::READABLE | Interest::ERROR)?),
        })
    }

    /// Reads up to `most` datagrams and gives each to `take`. False when the socket is quiet: then, and only then,
    /// `cx` is woken when something comes, so call it again after true.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        most: usize,
        mut take: impl FnMut(&[u8], SocketAddr),
    ) -> bool {
        let Poll::Ready(Ok(mut ready)) = self.socket.poll_read_ready(cx) else {
            return false;
        };
        for _ in 0..most {
            match self.socket.get_ref().recv_from(buffer) {
                Ok((length, from)) => take(buffer.get(..length).unwrap_or_default(), from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    return true;
                }
                // An interruption, or an ICMP error, which is told once to whichever call comes next and for good to
                // the error queue.
                Err(_) => {}
            }
        }
        true
    }

    /// Reports destinations that ICMP says are dead, for as long as the shard lives.
    pub(super) fn watch_errors<R>(&self, mut report: R) -> impl Future<Output = ()> + use<R>
    where
        R: FnMut(SocketAddr) + Send + 'static,
    {
        let socket = Arc::clone(&self.socket);
        async move {
            while let Ok(mut ready) = socket.ready(Interest::ERROR).await {
                ready.clear_ready();
                unreachable(socket.get_ref(), &mut report);
                // Taken off the socket, or the next call would fail with it.
                let _ = socket.get_ref().take_error();
            }
        }
    }
}

/// Destinations that ICMP reported since the last call.
fn unreachable(socket: &UdpSocket, mut report: impl FnMut(SocketAddr)) {
    let mut control = nix::cmsg_space!([u8; 64]);
    // The kernel's queue is bounded by the receive buffer.
    loop {
        // The first bytes of the datagram that failed come along; nobody needs them.
        let mut payload = [0u8; 1];
        let mut parts = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let Ok(message) =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
        else {
            return;
        };
        // In the error queue the address is the one that the datagram was sent to.
        let Some(destination) = message.address.as_ref().and_then(to_std) else {
            continue;
        };
        if message
            .cmsgs()
            .is_ok_and(|mut list| list.any(|control| is_final(&control)))
        {
            report(destination);
        }
    }
}

/// Whether the destination cannot be reached, as opposed to "not this way" or "not so large".
fn is_final(control: &ControlMessageOwned) -> bool {
    let errno = match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            error.ee_errno
        }
        _ => return false,
    };
    let Ok(errno) = i32::try_from(errno) else {
        return false;
    };
    use nix::errno::Errno;
    matches!(
        Errno::from_raw(errno),
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
    )
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    debug_assert!(address.family().is_some());
    Some(SocketAddr::new(v6.ip().into(), v6.port()))
}

/// The sending half of a listener; each shard has one.
pub(super) struct UdpSender {
    socket: Arc<UdpSocket>,
    queue: VecDeque<(Bytes, SocketAddr)>,
    most: usize,
    /// Who wants a copy.
    tap: Option<Tap>,
    /// A second descriptor of the socket, registered for writing while something waits.
    writable: Option<AsyncFd<UdpSocket>>,
}

impl UdpSender {
    pub(super) fn new(socket: Arc<UdpSocket>, most: usize, tap: Option<Tap>) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            most,
            tap,
            writable: None,
        }
    }

    /// Sends at once, or queues what the kernel cannot take now. An error means that this destination will never get
    /// it this way.
    pub(super) fn send(
        &mut self,
        payload: Bytes,
        to: SocketAddr,
        counters: &Counters,
    ) -> Result<(), TransportFailure> {
        if payload.len() > PAYLOAD_MAX {
            return Err(TransportFailure::TooLarge);
        }
        if self.queue.is_empty() {
            match send_now(&self.socket, &payload, to) {
                Ok(()) => {
                    count(&counters.datagrams_out);
                    if let Some(tap) = &self.tap {
                        tap.sent(to, &payload);
                    }
                    return Ok(());
                }
                Err(error) => match verdict(&error) {
                    Verdict::Later => {}
                    Verdict::Lost => {
                        count(&counters.datagrams_unsent);
                        return Ok(());
                    }
                    Verdict::Never(why) => return Err(why),
                },
            }
        }
        if self.queue.len() >= self.most {
            count(&counters.datagrams_unsent);
            return Ok(());
        }
        self.queue.push_back((payload, to));
        Ok(())
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        while !self.queue.is_empty() {
            if self.writable.is_none() {
                let second = self.socket.try_clone();
                match second.and_then(|socket| register(socket, Interest::WRITABLE)) {
                    Ok(socket) => self.writable = Some(socket),
                    Err(_) => {
                        // No descriptor left: what waits is lost like any datagram, and transactions retransmit.
                        self.queue.clear();
                        count(&counters.datagrams_unsent);
                        return;
                    }
                }
            }
            let Some(writable) = &self.writable else { return };
            let Poll::Ready(Ok(mut ready)) = writable.poll_write_ready(cx) else {
                return;
            };
            while let Some((payload, to)) = self.queue.front() {
                match send_now(&self.socket, payload, *to) {
                    Ok(()) => {
                        count(&counters.datagrams_out);
                        if let Some(tap) = &self.tap {
                            tap.sent(*to, payload);
                        }
                    }
                    Err(error) if matches!(verdict(&error), Verdict::Later) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(_) => count(&counters.datagrams_unsent),
                }
                self.queue.pop_front();
            }
        }
        self.writable = None;
    }
}

enum Verdict {
    /// The buffer is full.
    Later,
    /// As if the network had lost it.
    Lost,
    /// This destination does not work.
    Never(TransportFailure),
}

fn verdict(error: &io::Error) -> Verdict {
    match error.kind() {
        ErrorKind::WouldBlock => Verdict::Later,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::InvalidInput => {
            Verdict::Never(TransportFailure::Refused)
        }
        _ if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => {
            Verdict::Never(TransportFailure::TooLarge)
        }
        _ => Verdict::Lost,
    }
}

fn send_now(socket: &UdpSocket, payload: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.send_to(payload, to) {
        Ok(_) => Ok(()),
        // An ICMP error about an earlier datagram to anybody: it is told once, so the second try is about this one.
        Err(error) if error.kind() != ErrorKind::WouldBlock => socket.send_to(payload, to).map(|_| ()),
        Err(error) => Err(error),
    }
}
