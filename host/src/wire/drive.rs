//! The loop of a shard: one future that reads, runs the endpoint and the core, sends, and sleeps.
//!
//! The drain law of the endpoint is kept in one place, [`Shard::settle`]: after each input all outputs are taken before
//! the next input, events and failures of sending included.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use callbox_sip::endpoint::{Endpoint, Event, ListenerId, Output, Path, Protocol};
use callbox_sip::message::Framing;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Sleep, sleep_until};

use super::inbox::{Inbound, Inbox};
use super::ladder::Peer;
use super::outlet::Outlet;
use super::shard::{ShardCore, ShardIndex, ShardWaker};
use super::shared::Shared;
use super::stats::count;
use super::udp::{BUFFER_BYTES, UdpReader};

/// Turns before the connections' tasks and the kernel's readiness are looked at again.
const TURNS: usize = 4;

/// Messages of the inbox in one turn.
const INBOX_BATCH: usize = 64;

/// The longest keep-alive: CRLF CRLF.
const KEEP_ALIVE_BYTES: usize = 4;

pub(super) struct UdpSource {
    pub(super) id: ListenerId,
    pub(super) reader: UdpReader,
}

pub(super) struct Shard<C> {
    shared: Arc<Shared>,
    index: ShardIndex,
    endpoint: Endpoint,
    core: C,
    waker: ShardWaker,
    notified: Pin<Box<OwnedNotified>>,
    inbox: Inbox,
    arrived: Vec<Inbound>,
    sources: Vec<UdpSource>,
    buffer: Vec<u8>,
    datagrams: Vec<(Path, Bytes)>,
    outlet: Outlet,
    events: VecDeque<Event>,
    /// When the endpoint wants to be woken.
    due: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<C: ShardCore> Shard<C> {
    /// Must be called on the shard's runtime.
    pub(super) fn new(
        shared: Arc<Shared>,
        index: ShardIndex,
        endpoint: Endpoint,
        core: C,
        waker: ShardWaker,
        inbox: Inbox,
        sources: Vec<UdpSource>,
    ) -> Self {
        Self {
            outlet: Outlet::new(Arc::clone(&shared), index),
            notified: Box::pin(waker.woken()),
            arrived: Vec::with_capacity(INBOX_BATCH),
            buffer: vec![0; BUFFER_BYTES],
            datagrams: Vec::with_capacity(shared.limits.udp_batch),
            events: VecDeque::new(),
            due: None,
            timer: Box::pin(sleep_until(Instant::now().into())),
            shared,
            index,
            endpoint,
            core,
            waker,
            inbox,
            sources,
        }
    }

    /// Runs until the wire stops.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.begin();
        let mut more = true;
        for _ in 0..TURNS {
            more = self.poll_sources(cx);
            more |= self.poll_inbox(cx);
            more |= self.poll_woken(cx);
            more |= self.poll_timer(cx);
            self.outlet.poll_flush(cx);
            if self.shared.stop.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            if !more {
                break;
            }
        }
        self.publish();
        // Who woke it since it looked has not notified it: it comes back by itself.
        if self.waker.end() || more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn publish(&self) {
        let (counts, stats) = (self.endpoint.counts(), self.endpoint.stats());
        self.shared.tallies.publish(self.index, &counts, &stats);
    }

    fn poll_sources(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        for source in &self.sources {
            let Some(listener) = self.shared.listeners.get(usize::from(source.id.0)) else {
                continue;
            };
            let local = listener.bound.seen();
            let datagrams = &mut self.datagrams;
            let (shared, index) = (&self.shared, self.index);
            busy |= source.reader.poll(
                cx,
                &mut self.buffer,
                shared.limits.udp_batch,
                |datagram, remote| {
                    count(&shared.counters.datagrams_in);
                    // What cannot be a message is not worth an allocation: keep-alives of one to four bytes.
                    if datagram.len() <= KEEP_ALIVE_BYTES {
                        return;
                    }
                    let path = Path {
                        protocol: Protocol::Udp,
                        listener: source.id,
                        local,
                        remote,
                        connection: None,
                    };
                    let bytes = Bytes::copy_from_slice(datagram);
                    let shard = shared.shard_of(datagram, index);
                    if shard == index {
                        datagrams.push((path, bytes));
                    } else {
                        shared.hand_over(shard, path, bytes);
                    }
                },
            );
        }
        let mut datagrams = std::mem::take(&mut self.datagrams);
        for (path, bytes) in datagrams.drain(..) {
            self.message(&path, bytes, Framing::Datagram);
        }
        self.datagrams = datagrams;
        busy
    }

    fn poll_inbox(&mut self, cx: &mut Context<'_>) -> bool {
        let mut arrived = std::mem::take(&mut self.arrived);
        let busy = matches!(
            self.inbox.poll_recv_many(cx, &mut arrived, INBOX_BATCH),
            Poll::Ready(1..)
        );
        for inbound in arrived.drain(..) {
            self.take(inbound);
        }
        self.arrived = arrived;
        busy
    }

    fn take(&mut self, inbound: Inbound) {
        let now = Instant::now();
        match inbound {
            Inbound::Datagram { path, bytes } => return self.message(&path, bytes, Framing::Datagram),
            Inbound::Stream {
                path,
                bytes,
                connection,
            } => {
                self.outlet.met(connection);
                return self.message(&path, bytes, Framing::Stream);
            }
            Inbound::Closed(connection) => {
                self.outlet.closed(connection);
                self.endpoint.handle_connection_closed(now, connection);
            }
            Inbound::Failed { token, why } => self.endpoint.handle_transmit_failed(now, token, why),
            Inbound::Resolved { host, addresses } => self.outlet.resolved(now, &host, addresses),
            Inbound::Unreachable(address) => self.outlet.unreachable(address),
        }
        self.settle(now);
    }

    fn message(&mut self, path: &Path, bytes: Bytes, framing: Framing) {
        let now = Instant::now();
        let from = (path.protocol, Peer::Addr(path.remote));
        self.shared.note(self.index, now, false, from, &bytes);
        if let Some(mirror) = &self.shared.mirror {
            mirror.copy(path.protocol, path.remote, path.local, &bytes);
        }
        self.endpoint.handle_message(now, path, bytes, framing);
        self.settle(now);
    }

    fn poll_woken(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if self.notified.as_mut().poll(cx).is_ready() {
            self.notified.set(self.waker.woken());
            busy = true;
        }
        if self.waker.take() {
            let now = Instant::now();
            self.core.woken(now, &mut self.endpoint);
            self.settle(now);
            busy = true;
        }
        busy
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.due else { return false };
        let now = Instant::now();
        if due <= now {
            self.endpoint.handle_timeout(now);
            self.settle(now);
            return true;
        }
        // Most messages move the next deadline; setting the timer each time costs more than one early wake-up.
        if self.timer.deadline().into_std() > due || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due.into());
        }
        // An early wake-up finds nothing due and sets the timer anew.
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Takes every output of the endpoint, and of what the outputs lead to.
    fn settle(&mut self, now: Instant) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => self.outlet.transmit(now, transmit),
                Output::Event(event) => self.events.push_back(event),
                Output::Timeout(due) => {
                    self.due = due;
                    if let Some((token, why)) = self.outlet.failed.pop_front() {
                        self.endpoint.handle_transmit_failed(now, token, why);
                    } else if let Some(event) = self.events.pop_front() {
                        self.core.event(now, &mut self.endpoint, event);
                    } else {
                        return;
                    }
                }
            }
        }
    }
}
