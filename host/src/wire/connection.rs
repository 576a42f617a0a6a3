//! One TCP connection, under TLS or not, as its senders see it: a bounded write queue in front of a socket.
//!
//! Any shard may send. What the socket takes at once is written by the sender itself; the connection's task writes the
//! rest. Invariant: bytes leave in the order of `send`, because both write under the same lock.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use callbox_sip::endpoint::{ConnectionId, Protocol, TransmitToken, TransportFailure};
use callbox_sip::message::StreamFramer;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::hep::Tap;
use super::shard::ShardIndex;
use super::tls::{Progress, Session};

/// Written messages whose senders hear when the connection ends. Older ones have most likely been answered; if not,
/// their transactions time out.
const SENT_MAX: usize = 256;

/// Something to write, and who wants to hear if it cannot be.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) payload: Bytes,
    pub(super) token: Option<(ShardIndex, TransmitToken)>,
}

/// Whom a connection leads to, and so what it may be found for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// Whoever is at the address.
    Plain,
    /// Under TLS: who proves this name, or address (RFC 5923 §7: whoever proves another one at the same address is somebody
    /// else).
    Proves(Box<str>),
    /// Under TLS: who has connected to us, and may have proved nothing. Only its own messages lead back to it.
    Anybody,
}

impl Peer {
    /// What it has to prove.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Proves(name) => Some(name),
            Self::Plain | Self::Anybody => None,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Plain => Protocol::Tcp,
            Self::Proves(_) | Self::Anybody => Protocol::Tls,
        }
    }
}

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The peer; while connecting, the first address that is tried.
    pub(super) remote: SocketAddr,
    pub(super) peer: Peer,
    queue: Mutex<Queue>,
    /// Tells the task that there is something to write, or that the connection was closed.
    pub(super) changed: Notify,
}

struct Queue {
    /// None while connecting.
    stream: Option<Arc<TcpStream>>,
    /// None of a plain connection, and while connecting.
    tls: Option<Session>,
    /// Who wants a copy, and the peer that the stream has led to.
    tap: Option<(Tap, SocketAddr)>,
    items: VecDeque<Item>,
    /// Bytes of the first item that are written already, under TLS: that are in a record.
    written: usize,
    bytes: usize,
    closed: Option<TransportFailure>,
    /// Who wants to hear when the connection ends before the answer: the latest that were written whole.
    sent: VecDeque<(ShardIndex, TransmitToken)>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, remote: SocketAddr, peer: Peer) -> Arc<Self> {
        let queue = Queue {
            stream: None,
            tls: None,
            tap: None,
            items: VecDeque::new(),
            written: 0,
            bytes: 0,
            closed: None,
            sent: VecDeque::new(),
        };
        Arc::new(Self {
            id,
            remote,
            peer,
            queue: Mutex::new(queue),
            changed: Notify::new(),
        })
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.peer.protocol()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each step below leaves the queue whole, so a panic elsewhere in a holder does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket is there: what was queued goes out, under TLS once the peer is known. `tap` gets a copy of what is sent
    /// there.
    pub(super) fn established(
        &self,
        stream: &Arc<TcpStream>,
        tls: Option<Session>,
        tap: Option<(Tap, SocketAddr)>,
    ) {
        let mut queue = self.lock();
        queue.stream = Some(Arc::clone(stream));
        queue.tls = tls;
        queue.tap = tap;
        queue.flush();
    }

    /// Writes or queues. With more than `most` bytes waiting the peer is not reading: the connection is closed.
    pub(super) fn send(&self, item: Item, most: usize) -> Result<(), TransportFailure> {
        let mut queue = self.lock();
        if let Some(why) = queue.closed {
            return Err(why);
        }
        if queue.bytes.saturating_add(item.payload.len()) > most && !queue.items.is_empty() {
            queue.closed = Some(TransportFailure::QueueFull);
            drop(queue);
            self.changed.notify_one();
            return Err(TransportFailure::QueueFull);
        }
        queue.bytes += item.payload.len();
        queue.items.push_back(item);
        // With older items before it, the task is already waiting for the socket.
        if queue.items.len() == 1 {
            queue.flush();
            if queue.has_pending() || !queue.items.is_empty() {
                drop(queue);
                self.changed.notify_one();
            }
        }
        Ok(())
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&self) {
        self.lock().flush();
    }

    pub(super) fn has_pending(&self) -> bool {
        self.lock().has_pending()
    }

    /// Whether it is not known yet who the peer is.
    pub(super) fn is_handshaking(&self) -> bool {
        self.lock().tls.as_ref().is_some_and(Session::is_handshaking)
    }

    /// Reads records of TLS, gives what is in them to `framer`, and writes what that calls for.
    pub(super) fn read_tls(&self, stream: &TcpStream, framer: &mut StreamFramer) -> io::Result<Progress> {
        let mut queue = self.lock();
        let Some(tls) = &mut queue.tls else {
            return Ok(Progress::End);
        };
        let progress = tls.read(stream, |bytes| framer.push(bytes))?;
        queue.flush();
        Ok(progress)
    }

    /// Why it was closed, once it was.
    pub(super) fn closed(&self) -> Option<TransportFailure> {
        self.lock().closed
    }

    /// Refuses further sends and tells who must hear of it: those whose message was not written, and those who may
    /// still wait for its answer (RFC 3261 §18.4).
    pub(super) fn close(
        &self,
        why: TransportFailure,
    ) -> (
        TransportFailure,
        impl Iterator<Item = (ShardIndex, TransmitToken)> + use<>,
    ) {
        let mut queue = self.lock();
        let why = *queue.closed.get_or_insert(why);
        if let (Some(mut tls), Some(stream)) = (queue.tls.take(), queue.stream.take()) {
            tls.close(&stream);
        }
        queue.stream = None;
        queue.bytes = 0;
        let sent = std::mem::take(&mut queue.sent);
        let unsent = std::mem::take(&mut queue.items);
        (
            why,
            sent.into_iter()
                .chain(unsent.into_iter().filter_map(|item| item.token)),
        )
    }
}

impl Queue {
    /// Whether there is something that only waits for the socket.
    fn has_pending(&self) -> bool {
        let waiting = !self.items.is_empty();
        match &self.tls {
            Some(tls) => tls.wants_write() || (waiting && !tls.is_handshaking()),
            None => waiting && self.stream.is_some(),
        }
    }

    fn flush(&mut self) {
        let Some(stream) = &self.stream else { return };
        loop {
            // What is in records leaves first, or there would be no bound to them.
            if let Some(tls) = &mut self.tls {
                match tls.flush(stream) {
                    Ok(()) if tls.is_handshaking() => return,
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => {
                        self.closed = Some(TransportFailure::Closed);
                        return;
                    }
                }
            }
            let Some(item) = self.items.front() else { return };
            let rest = item.payload.get(self.written..).unwrap_or_default();
            let written = match &mut self.tls {
                Some(tls) => tls.write(rest),
                None => stream.try_write(rest),
            };
            match written {
                Ok(length) if length >= rest.len() => {
                    self.bytes = self.bytes.saturating_sub(item.payload.len());
                    self.written = 0;
                    if let Some((tap, remote)) = &self.tap {
                        tap.sent(*remote, &item.payload);
                    }
                    if let Some(token) = item.token {
                        if self.sent.len() >= SENT_MAX {
                            self.sent.pop_front();
                        }
                        self.sent.push_back(token);
                    }
                    self.items.pop_front();
                }
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.closed = Some(TransportFailure::Closed);
                    return;
                }
            }
        }
    }
}
