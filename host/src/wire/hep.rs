//! Copies of SIP messages for a capture server: HEP, version 3.
//!
//! Deliberately does not read SIP beyond the Call-ID, which is the correlation id: what has none is no message and is not
//! copied. Entry types: [`Mirror`], one a wire, and [`Tap`], a mirror with our side of a socket.
//!
//! Invariants: nobody ever waits for the collector. A copy goes from where it is to the kernel, in one call that does not
//! block, nothing is queued or allocated here; what the kernel does not take is dropped and counted. A collector that
//! nobody listens at is known by what ICMP says, and tried again with every message.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use callbox_sip::endpoint::Protocol;
use callbox_sip::message::peek_call_id;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Hep;

/// The largest payload of an IPv4 datagram.
const DATAGRAM_MAX: usize = 65_507;
/// All chunks but those that the message itself fills: 121 bytes, and a password of at most 256.
const HEAD_MAX: usize = 400;
/// Vendor, type and length of a chunk.
const CHUNK_HEAD: usize = 6;
/// `HEP3` and the total length.
const PREFIX: usize = 6;

/// Types of chunks of the generic vendor.
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const SOURCE_V4: u16 = 3;
    pub(super) const DESTINATION_V4: u16 = 4;
    pub(super) const SOURCE_V6: u16 = 5;
    pub(super) const DESTINATION_V6: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const DESTINATION_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const TYPE: u16 = 11;
    pub(super) const CAPTURE_ID: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION_ID: u16 = 17;
}

/// The collector of a wire.
pub(super) struct Mirror {
    socket: Socket,
    to: SockAddr,
    capture_id: u32,
    password: Option<Box<str>>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// A mirror with our side of a socket.
#[derive(Clone)]
pub(super) struct Tap {
    pub(super) mirror: Arc<Mirror>,
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
}

impl Tap {
    /// A message that was given to the kernel.
    pub(super) fn sent(&self, to: SocketAddr, message: &[u8]) {
        self.mirror.copy(self.protocol, self.local, to, message);
    }
}

impl Mirror {
    /// Opens the socket. Whether anybody listens does not matter.
    pub(super) fn open(hep: &Hep) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(hep.to), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        let to = SockAddr::from(hep.to);
        // A connected socket hears of ICMP errors. Without a route there is nothing to hear of yet.
        if let Err(error) = socket.connect(&to) {
            tracing::warn!(to = %hep.to, %error, "the HEP collector cannot be reached yet; calls go on");
        }
        Ok(Self {
            socket,
            to,
            capture_id: hep.capture_id,
            password: hep.password.as_ref().map(|password| password.expose().into()),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Copies taken by the kernel, and those that were not.
    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }

    /// Copies a message; never waits.
    pub(super) fn copy(&self, protocol: Protocol, from: SocketAddr, to: SocketAddr, message: &[u8]) {
        let Some(call_id) = peek_call_id(message) else {
            return;
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hop = Hop {
            protocol,
            from,
            to,
            seconds: u32::try_from(at.as_secs()).unwrap_or(u32::MAX),
            microseconds: at.subsec_micros(),
        };
        match self.send(&hop, call_id, message) {
            Ok(()) => {
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.lose(&error),
        }
    }

    fn send(&self, hop: &Hop, call_id: &[u8], message: &[u8]) -> io::Result<()> {
        let mut head = [0; HEAD_MAX];
        let head = self.head(&mut head, hop, call_id.len(), message.len())?;
        let payload = chunk_head(chunk::PAYLOAD, message.len())?;
        let parts = [head, call_id, &payload, message].map(IoSlice::new);
        let send = || self.socket.send_to_vectored(&parts, &self.to).map(drop);
        match send() {
            // ICMP's word on an earlier copy: that one is lost, and this one not yet.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.lose(&error);
                send()
            }
            sent => sent,
        }
    }

    /// Everything up to the Call-ID.
    fn head<'b>(
        &self,
        buffer: &'b mut [u8],
        hop: &Hop,
        call_id: usize,
        message: usize,
    ) -> io::Result<&'b [u8]> {
        let mut chunks = Chunks {
            rest: buffer.get_mut(PREFIX..).unwrap_or_default(),
            length: PREFIX,
        };
        hop.write(&mut chunks)?;
        chunks.put(chunk::CAPTURE_ID, &self.capture_id.to_be_bytes())?;
        if let Some(password) = &self.password {
            chunks.put(chunk::PASSWORD, password.as_bytes())?;
        }
        chunks.write(&chunk_head(chunk::CORRELATION_ID, call_id)?)?;
        let length = chunks.length;
        let total = length + call_id + CHUNK_HEAD + message;
        let total = Some(total).filter(|total| *total <= DATAGRAM_MAX);
        let total = total
            .and_then(|total| u16::try_from(total).ok())
            .ok_or_else(too_long)?;
        let mut prefix = &mut *buffer;
        prefix.write_all(b"HEP3")?;
        prefix.write_all(&total.to_be_bytes())?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    fn lose(&self, error: &io::Error) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, %error, "copies of messages did not get to the HEP collector; calls go on");
        }
    }
}

/// Where a message came from, where it went, and when.
struct Hop {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
    seconds: u32,
    microseconds: u32,
}

impl Hop {
    fn write(&self, chunks: &mut Chunks<'_>) -> io::Result<()> {
        // Numbers of IANA and of the socket API, which HEP uses.
        const UDP: u8 = 17;
        const TCP: u8 = 6;
        const INET: u8 = 2;
        const INET6: u8 = 10;
        const SIP: u8 = 1;
        let protocol = match self.protocol {
            Protocol::Udp => UDP,
            Protocol::Tcp | Protocol::Tls | Protocol::Ws | Protocol::Wss => TCP,
        };
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                chunks.put(chunk::FAMILY, &[INET])?;
                chunks.put(chunk::PROTOCOL, &[protocol])?;
                chunks.put(chunk::SOURCE_V4, &from.octets())?;
                chunks.put(chunk::DESTINATION_V4, &to.octets())?;
            }
            // A listener may be known by an address of the other family than its peers.
            (from, to) => {
                chunks.put(chunk::FAMILY, &[INET6])?;
                chunks.put(chunk::PROTOCOL, &[protocol])?;
                chunks.put(chunk::SOURCE_V6, &v6(from))?;
                chunks.put(chunk::DESTINATION_V6, &v6(to))?;
            }
        }
        chunks.put(chunk::SOURCE_PORT, &self.from.port().to_be_bytes())?;
        chunks.put(chunk::DESTINATION_PORT, &self.to.port().to_be_bytes())?;
        chunks.put(chunk::SECONDS, &self.seconds.to_be_bytes())?;
        chunks.put(chunk::MICROSECONDS, &self.microseconds.to_be_bytes())?;
        chunks.put(chunk::TYPE, &[SIP])
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Writes chunks into what is left of a buffer; one that is too small is an error.
struct Chunks<'b> {
    rest: &'b mut [u8],
    length: usize,
}

impl Chunks<'_> {
    fn put(&mut self, kind: u16, value: &[u8]) -> io::Result<()> {
        self.write(&chunk_head(kind, value.len())?)?;
        self.write(value)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.write_all(bytes)?;
        self.length += bytes.len();
        Ok(())
    }
}

fn too_long() -> io::Error {
    io::Error::from(nix::errno::Errno::EMSGSIZE)
}

/// The head of a chunk of the generic vendor, 0.
fn chunk_head(kind: u16, length: usize) -> io::Result<[u8; CHUNK_HEAD]> {
    let length = u16::try_from(length + CHUNK_HEAD).map_err(|_| too_long())?;
    let ([kind_high, kind_low], [high, low]) = (kind.to_be_bytes(), length.to_be_bytes());
    Ok([0, 0, kind_high, kind_low, high, low])
}

#[cfg(test)]
mod tests;
