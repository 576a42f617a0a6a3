//! One TCP connection as its senders see it: a bounded write queue in front of a socket.
//!
//! Any shard may send. What the socket takes at once is written by the sender itself; the connection's task writes the
//! rest. Invariant: bytes leave in the order of `send`, because both write under the same lock.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use callbox_sip::endpoint::{ConnectionId, TransmitToken, TransportFailure};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::hep::Tap;
use super::shard::ShardIndex;

/// Written messages whose senders hear when the connection ends. Older ones have most likely been answered; if not,
/// their transactions time out.
const SENT_MAX: usize = 256;

/// Something to write, and who wants to hear if it cannot be.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) payload: Bytes,
    pub(super) token: Option<(ShardIndex, TransmitToken)>,
}

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The peer; while connecting, the first address that is tried.
    pub(super) remote: SocketAddr,
    queue: Mutex<Queue>,
    /// Tells the task that there is something to write, or that the connection was closed.
    pub(super) changed: Notify,
}

struct Queue {
    /// None while connecting.
    stream: Option<Arc<TcpStream>>,
    /// Who wants a copy, and the peer that the stream has led to.
    tap: Option<(Tap, SocketAddr)>,
    items: VecDeque<Item>,
    /// Bytes of the first item that are written already.
    written: usize,
    bytes: usize,
    closed: Option<TransportFailure>,
    /// Who wants to hear when the connection ends before the answer: the latest that were written whole.
    sent: VecDeque<(ShardIndex, TransmitToken)>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, remote: SocketAddr) -> Arc<Self> {
        let queue = Queue {
            stream: None,
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
            queue: Mutex::new(queue),
            changed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each step below leaves the queue whole, so a panic elsewhere in a holder does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket is there: what was queued goes out. `tap` gets a copy of what is sent there.
    pub(super) fn established(&self, stream: &Arc<TcpStream>, tap: Option<(Tap, SocketAddr)>) {
        let mut queue = self.lock();
        queue.stream = Some(Arc::clone(stream));
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
            if !queue.items.is_empty() {
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
        let queue = self.lock();
        queue.stream.is_some() && !queue.items.is_empty()
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
    fn flush(&mut self) {
        let Some(stream) = &self.stream else { return };
        while let Some(item) = self.items.front() {
            let rest = item.payload.get(self.written..).unwrap_or_default();
            match stream.try_write(rest) {
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
