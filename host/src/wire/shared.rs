//! What all shards of a wire share. Read-only but for the counters and the table of connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use callbox_sip::endpoint::{ListenerId, Path, Protocol, shard_of};
use callbox_sip::message::{MessageLimits, peek_call_id};
use tokio::sync::{Semaphore, watch};

use super::bind::{Listener, protocol_of};
use super::hep::{Mirror, Tap};
use super::inbox::{Inbound, InboxSender};
use super::ladder::{Ladder, Peer};
use super::message_log;
use super::shard::ShardIndex;
use super::stats::{Counters, count};
use super::table::Table;
use super::tally::Tallies;
use crate::config::Tls;
use crate::config::limits::WireLimits;

pub(super) struct Shared {
    pub(super) limits: WireLimits,
    /// For framing; the endpoints have the same.
    pub(super) message_limits: MessageLimits,
    /// By [`ListenerId`].
    pub(super) listeners: Vec<Listener>,
    /// By [`ShardIndex`].
    pub(super) inboxes: Vec<InboxSender>,
    pub(super) connections: Table,
    /// For the connections to come; none where there is no listener of TLS.
    pub(super) tls: ArcSwapOption<Tls>,
    pub(super) counters: Counters,
    pub(super) lookups: Semaphore,
    /// The latest messages, by [`ShardIndex`].
    pub(super) ladders: Vec<Ladder>,
    /// Who gets a copy of every message.
    pub(super) mirror: Option<Arc<Mirror>>,
    /// What is alive.
    pub(super) tallies: Tallies,
    /// Shards end when it is set and they are woken.
    pub(super) stop: AtomicBool,
    /// No new connections once it says true.
    pub(super) closing: watch::Sender<bool>,
    /// A shard's thread has panicked.
    pub(super) broken: watch::Sender<bool>,
}

impl Shared {
    /// The shard that a message belongs to; `own` for one that says nothing about its call.
    pub(super) fn shard_of(&self, bytes: &[u8], own: ShardIndex) -> ShardIndex {
        // The number of shards is at most 256: it is bounded in the table of limits.
        let shards = u16::try_from(self.inboxes.len()).unwrap_or(u16::MAX);
        if shards <= 1 {
            return own;
        }
        peek_call_id(bytes).map_or(own, |call_id| ShardIndex(shard_of(call_id, shards)))
    }

    pub(super) fn inbox(&self, shard: ShardIndex) -> Option<&InboxSender> {
        self.inboxes.get(usize::from(shard.0))
    }

    /// Keeps the outline of a message for who asks for it later.
    pub(super) fn note(
        &self,
        shard: ShardIndex,
        at: Instant,
        sent: bool,
        to: (Protocol, Peer<'_>),
        message: &[u8],
    ) {
        message_log::tell(sent, to.0, &to.1, message);
        if let Some(ladder) = self.ladders.get(usize::from(shard.0)) {
            ladder.note(at, sent, to.0, &to.1, message);
        }
    }

    /// For copies of what is sent through a socket with this address; none where nobody wants them.
    pub(super) fn tap(&self, protocol: Protocol, local: SocketAddr) -> Option<Tap> {
        self.mirror.clone().map(|mirror| Tap {
            mirror,
            protocol,
            local,
        })
    }

    /// Gives a datagram to another shard, or drops and counts it.
    pub(super) fn hand_over(&self, shard: ShardIndex, path: Path, bytes: Bytes) {
        let taken = self
            .inbox(shard)
            .is_some_and(|inbox| inbox.try_send(Inbound::Datagram { path, bytes }).is_ok());
        if !taken {
            count(&self.counters.handover_dropped);
        }
    }

    /// Nobody listens at this address: whoever sent there must know.
    pub(super) fn unreachable(&self, dead: SocketAddr) {
        count(&self.counters.unreachable);
        for inbox in &self.inboxes {
            // Lost when that shard is behind: its transactions then time out instead.
            let _ = inbox.try_send(Inbound::Unreachable(dead));
        }
    }

    /// The listener to send from: the one that is named, or the first of the protocol and the address's family.
    pub(super) fn listener_for(
        &self,
        named: Option<ListenerId>,
        protocol: Protocol,
        v4: bool,
    ) -> Option<ListenerId> {
        let fits = |listener: &Listener| {
            protocol_of(listener.bound.transport) == protocol && listener.bound.local.is_ipv4() == v4
        };
        if let Some(id) = named
            && self.listeners.get(usize::from(id.0)).is_some_and(fits)
        {
            return Some(id);
        }
        let position = self.listeners.iter().position(fits)?;
        u16::try_from(position).ok().map(ListenerId)
    }
}
