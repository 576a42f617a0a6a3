//! What reaches a shard from elsewhere: other shards, connections, lookups.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use callbox_sip::endpoint::{ConnectionId, Path, TransmitToken, TransportFailure};
use tokio::sync::mpsc;

use super::connection::Connection;

/// One thing for a shard to do.
pub(super) enum Inbound {
    /// A datagram whose Call-ID belongs to this shard.
    Datagram { path: Path, bytes: Bytes },
    /// A message of a connection whose Call-ID belongs to this shard.
    Stream {
        path: Path,
        bytes: Bytes,
        connection: Arc<Connection>,
    },
    /// Nothing more comes from this connection, and nothing more can be sent on it.
    Closed(ConnectionId),
    /// What this shard sent with a token could not be delivered.
    Failed {
        token: TransmitToken,
        why: TransportFailure,
    },
    /// Addresses of a host name; empty when there are none.
    Resolved { host: Box<str>, addresses: Vec<IpAddr> },
    /// Nobody listens there.
    Unreachable(SocketAddr),
}

pub(super) type Inbox = mpsc::Receiver<Inbound>;
pub(super) type InboxSender = mpsc::Sender<Inbound>;
