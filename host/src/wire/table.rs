//! All connections of a wire: their number, in all and by peer, and how to find one to reuse.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callbox_sip::endpoint::ConnectionId;

use super::connection::{Connection, Peer};
use crate::config::limits;

/// Locked when a connection comes, goes, or is looked for the first time by a shard; not for each message.
pub(super) struct Table {
    inner: Mutex<Inner>,
    most: usize,
    most_per_source: usize,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    by_id: HashMap<ConnectionId, Arc<Connection>>,
    /// By address and, under TLS, by the name that was proved there.
    by_remote: HashMap<(SocketAddr, Option<Box<str>>), ConnectionId>,
    per_source: HashMap<IpAddr, usize>,
}

impl Table {
    pub(super) fn new(most: usize, most_per_source: usize) -> Self {
        Self {
            inner: Mutex::default(),
            most,
            most_per_source,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, or None when there are too many.
    pub(super) fn admit(&self, remote: SocketAddr, peer: Peer) -> Option<Arc<Connection>> {
        let mut inner = self.lock();
        let of_source = inner.per_source.get(&remote.ip()).copied().unwrap_or_default();
        let reached = match (inner.by_id.len() >= self.most, of_source >= self.most_per_source) {
            (true, _) => Some("limits.wire.connections_max"),
            (false, true) => Some("limits.wire.connections_per_source_max"),
            (false, false) => None,
        };
        if let Some(limit) = reached {
            drop(inner);
            limits::hit(limit);
            return None;
        }
        inner.last_id += 1;
        let connection = Connection::new(ConnectionId(inner.last_id), remote, peer);
        inner.per_source.insert(remote.ip(), of_source + 1);
        inner.by_id.insert(connection.id, Arc::clone(&connection));
        if let Some(key) = key(&connection, remote) {
            inner.by_remote.insert(key, connection.id);
        }
        Some(connection)
    }

    pub(super) fn by_id(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.lock().by_id.get(&id).cloned()
    }

    /// The one to a peer at an address that, under TLS, has proved or is about to prove this name.
    pub(super) fn by_remote(&self, remote: SocketAddr, name: Option<&str>) -> Option<Arc<Connection>> {
        let inner = self.lock();
        let id = inner.by_remote.get(&(remote, name.map(Into::into)))?;
        inner.by_id.get(id).cloned()
    }

    /// A connection reached another address than the first one it tried: it is found by both.
    pub(super) fn also_reached(&self, connection: &Connection, remote: SocketAddr) {
        if let Some(key) = key(connection, remote) {
            self.lock().by_remote.insert(key, connection.id);
        }
    }

    pub(super) fn remove(&self, connection: &Connection, reached: SocketAddr) {
        let mut inner = self.lock();
        if inner.by_id.remove(&connection.id).is_none() {
            return;
        }
        for remote in [connection.remote, reached] {
            let Some(key) = key(connection, remote) else {
                continue;
            };
            if inner.by_remote.get(&key) == Some(&connection.id) {
                inner.by_remote.remove(&key);
            }
        }
        let source = connection.remote.ip();
        let left = inner
            .per_source
            .get(&source)
            .copied()
            .unwrap_or_default()
            .saturating_sub(1);
        if left == 0 {
            inner.per_source.remove(&source);
        } else {
            inner.per_source.insert(source, left);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }
}

/// Under what a connection is found that leads to `remote`.
fn key(connection: &Connection, remote: SocketAddr) -> Option<(SocketAddr, Option<Box<str>>)> {
    match &connection.peer {
        Peer::Plain => Some((remote, None)),
        Peer::Proves(name) => Some((remote, Some(name.clone()))),
        Peer::Anybody => None,
    }
}
