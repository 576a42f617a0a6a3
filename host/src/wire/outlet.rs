//! The sending side of a shard: finds the socket, the connection or the address that a message needs.
//!
//! Never blocks and never calls the endpoint: failures are kept in [`Outlet::failed`] until the endpoint is drained.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_sip::endpoint::{
    AddressFilter, ConnectionId, Destination, ListenerId, Path, Protocol, Transmit, TransmitToken,
    TransportFailure,
};

use super::bind::Socketed;
use super::connection::{self, Connection, Item};
use super::inbox::Inbound;
use super::ladder::Peer;
use super::names::{self, Answer, Names};
use super::shard::ShardIndex;
use super::shared::Shared;
use super::stats::count;
use super::stream;
use super::udp::UdpSender;
use crate::config::limits;

/// Sends with a token that are remembered to match an ICMP error with. The error comes back within a round trip, so
/// older ones are of no use.
const RECENT_MAX: usize = 256;

/// A message that waits for the addresses of a name.
pub(super) struct Waiting {
    host: Box<str>,
    protocol: Protocol,
    port: Option<u16>,
    listener: Option<ListenerId>,
    filter: Option<AddressFilter>,
    payload: Bytes,
    token: Option<TransmitToken>,
}

pub(super) struct Outlet {
    shared: Arc<Shared>,
    index: ShardIndex,
    /// By [`ListenerId`]; None for what is not UDP.
    senders: Vec<Option<UdpSender>>,
    /// Connections that this shard has used: spares the table's lock.
    connections: HashMap<ConnectionId, Arc<Connection>>,
    names: Names<Waiting>,
    recent: VecDeque<(SocketAddr, TransmitToken)>,
    /// What could not be sent, for the endpoint to hear.
    pub(super) failed: VecDeque<(TransmitToken, TransportFailure)>,
}

impl Outlet {
    pub(super) fn new(shared: Arc<Shared>, index: ShardIndex) -> Self {
        let limits = &shared.limits;
        let senders = shared.listeners.iter().map(|listener| match &listener.socket {
            Socketed::Udp(socket) => {
                let tap = shared.tap(Protocol::Udp, listener.bound.seen());
                Some(UdpSender::new(Arc::clone(socket), limits.udp_send_queue, tap))
            }
            Socketed::Stream(_) => None,
        });
        Self {
            senders: senders.collect(),
            connections: HashMap::new(),
            names: Names::new(
                limits.names_max,
                limits.name_waiting,
                Duration::from_millis(limits.name_ttl_ms),
            ),
            recent: VecDeque::with_capacity(RECENT_MAX),
            failed: VecDeque::new(),
            index,
            shared,
        }
    }

    pub(super) fn transmit(&mut self, now: Instant, transmit: Transmit) {
        let Transmit { to, payload, token } = transmit;
        self.shared.note(self.index, now, true, Peer::of(&to), &payload);
        let sent = match to {
            Destination::Path(path) if path.protocol == Protocol::Udp => {
                self.send_udp(Some(path.listener), path.remote, payload, token)
            }
            Destination::Path(path) => self.send_stream(&path, payload, token),
            Destination::Addr {
                protocol,
                addr,
                listener,
                filter: _,
            } => self.send_first(protocol, None, &[addr], listener, payload, token),
            Destination::Name {
                protocol,
                host,
                port,
                listener,
                filter,
            } => {
                self.send_named(
                    now,
                    Waiting {
                        host,
                        protocol,
                        port,
                        listener,
                        filter,
                        payload,
                        token,
                    },
                );
                Ok(())
            }
        };
        self.note(token, sent);
    }

    fn note(&mut self, token: Option<TransmitToken>, sent: Result<(), TransportFailure>) {
        if let (Err(why), Some(token)) = (sent, token) {
            self.failed.push_back((token, why));
        }
    }

    /// Sends to the first address that takes it. Under TLS the peer there has to prove that it is called `name`, or has the
    /// address.
    fn send_first(
        &mut self,
        protocol: Protocol,
        name: Option<&str>,
        addresses: &[SocketAddr],
        listener: Option<ListenerId>,
        payload: Bytes,
        token: Option<TransmitToken>,
    ) -> Result<(), TransportFailure> {
        match protocol {
            Protocol::Udp => {
                let mut result = Err(TransportFailure::Unresolved);
                for address in addresses {
                    result = self.send_udp(listener, *address, payload.clone(), token);
                    if result.is_ok() {
                        break;
                    }
                }
                result
            }
            Protocol::Tcp => self.send_tcp(listener, connection::Peer::Plain, addresses, payload, token),
            Protocol::Tls => {
                let first = addresses.first().ok_or(TransportFailure::Unresolved)?;
                let name = name.map_or_else(|| first.ip().to_string(), str::to_ascii_lowercase);
                let peer = connection::Peer::Proves(name.into());
                self.send_tcp(listener, peer, addresses, payload, token)
            }
            Protocol::Ws | Protocol::Wss => Err(TransportFailure::NoProtocol),
        }
    }

    fn send_udp(
        &mut self,
        listener: Option<ListenerId>,
        to: SocketAddr,
        payload: Bytes,
        token: Option<TransmitToken>,
    ) -> Result<(), TransportFailure> {
        let listener = self
            .shared
            .listener_for(listener, Protocol::Udp, to.is_ipv4())
            .ok_or(TransportFailure::NoProtocol)?;
        let sender = self
            .senders
            .get_mut(usize::from(listener.0))
            .and_then(Option::as_mut);
        sender
            .ok_or(TransportFailure::NoProtocol)?
            .send(payload, to, &self.shared.counters)?;
        if let Some(token) = token {
            if self.recent.len() >= RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back((to, token));
        }
        Ok(())
    }

    /// Along the connection that a message came by or, when that is gone, along one to the same peer.
    fn send_stream(
        &mut self,
        path: &Path,
        payload: Bytes,
        token: Option<TransmitToken>,
    ) -> Result<(), TransportFailure> {
        if let Some(connection) = path.connection.and_then(|id| self.connection(id)) {
            let item = Item {
                payload: payload.clone(),
                token: token.map(|token| (self.index, token)),
            };
            let sent = connection.send(item, self.shared.limits.tcp_write_queue_bytes);
            // A peer that does not read here would not read elsewhere.
            if matches!(sent, Ok(()) | Err(TransportFailure::QueueFull)) {
                return sent;
            }
        }
        self.send_first(
            path.protocol,
            None,
            &[path.remote],
            Some(path.listener),
            payload,
            token,
        )
    }

    fn send_tcp(
        &mut self,
        listener: Option<ListenerId>,
        peer: connection::Peer,
        addresses: &[SocketAddr],
        payload: Bytes,
        token: Option<TransmitToken>,
    ) -> Result<(), TransportFailure> {
        let (name, protocol) = (peer.name(), peer.protocol());
        let item = Item {
            payload,
            token: token.map(|token| (self.index, token)),
        };
        let most = self.shared.limits.tcp_write_queue_bytes;
        let open = addresses
            .iter()
            .find_map(|address| self.shared.connections.by_remote(*address, name));
        if let Some(connection) = open.filter(|connection| connection.closed().is_none()) {
            return connection.send(item, most);
        }
        let first = *addresses.first().ok_or(TransportFailure::Unresolved)?;
        let listener = self
            .shared
            .listener_for(listener, protocol, first.is_ipv4())
            .ok_or(TransportFailure::NoProtocol)?;
        let Some(connection) = self.shared.connections.admit(first, peer) else {
            count(&self.shared.counters.refused);
            return Err(TransportFailure::QueueFull);
        };
        connection.send(item, most)?;
        self.connections.insert(connection.id, Arc::clone(&connection));
        let shared = Arc::clone(&self.shared);
        tokio::spawn(stream::connect(
            shared,
            self.index,
            listener,
            connection,
            addresses.to_vec(),
        ));
        Ok(())
    }

    fn connection(&mut self, id: ConnectionId) -> Option<Arc<Connection>> {
        if let Some(connection) = self.connections.get(&id) {
            return Some(Arc::clone(connection));
        }
        let connection = self.shared.connections.by_id(id)?;
        self.connections.insert(id, Arc::clone(&connection));
        Some(connection)
    }

    /// A message came by this connection, so the answer is likely to go back by it.
    pub(super) fn met(&mut self, connection: Arc<Connection>) {
        self.connections.entry(connection.id).or_insert(connection);
    }

    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    fn send_named(&mut self, now: Instant, waiting: Waiting) {
        let host = waiting.host.clone();
        match self.names.find(&host, now, waiting) {
            Answer::Known(addresses, waiting) => self.send_resolved(&addresses, waiting),
            Answer::Waits => {}
            Answer::Full(waiting) => {
                limits::hit("limits.wire.name_waiting");
                self.note(waiting.token, Err(TransportFailure::QueueFull));
            }
            Answer::Ask => {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(look_up(
                    shared,
                    self.index,
                    host.to_ascii_lowercase().into_boxed_str(),
                ));
            }
        }
    }

    /// A lookup ended: what waited for it goes out, or fails.
    pub(super) fn resolved(&mut self, now: Instant, host: &str, addresses: Vec<IpAddr>) {
        let (addresses, waited) = self.names.resolved(host, addresses, now);
        for waiting in waited {
            self.send_resolved(&addresses, waiting);
        }
    }

    fn send_resolved(&mut self, addresses: &[IpAddr], waiting: Waiting) {
        let Waiting {
            host,
            protocol,
            port,
            listener,
            filter,
            payload,
            token,
        } = waiting;
        let port = port.unwrap_or(protocol.default_port());
        let allowed: Vec<IpAddr> = addresses
            .iter()
            .filter(|address| filter.as_ref().is_none_or(|filter| filter.admits(**address)))
            .copied()
            .collect();
        if allowed.is_empty() && !addresses.is_empty() {
            return self.note(token, Err(TransportFailure::Forbidden));
        }
        // An address of a family that we have no socket for is as good as none.
        let reachable: Vec<SocketAddr> = allowed
            .iter()
            .filter(|address| {
                self.shared
                    .listener_for(listener, protocol, address.is_ipv4())
                    .is_some()
            })
            .map(|address| SocketAddr::new(*address, port))
            .collect();
        let sent = if reachable.is_empty() && !allowed.is_empty() {
            Err(TransportFailure::NoProtocol)
        } else {
            self.send_first(protocol, Some(&host), &reachable, listener, payload, token)
        };
        self.note(token, sent);
    }

    /// Nobody listens at this address. What was sent there of late has failed.
    pub(super) fn unreachable(&mut self, dead: SocketAddr) {
        self.names.demote(dead.ip());
        let failed = &mut self.failed;
        self.recent.retain(|(to, token)| {
            if *to == dead {
                failed.push_back((*token, TransportFailure::Refused));
            }
            *to != dead
        });
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        for sender in self.senders.iter_mut().flatten() {
            sender.poll_flush(cx, &self.shared.counters);
        }
    }
}

async fn look_up(shared: Arc<Shared>, index: ShardIndex, host: Box<str>) {
    let limit = Duration::from_millis(shared.limits.name_lookup_ms);
    let found = tokio::time::timeout(limit, async {
        let _permit = shared.lookups.acquire().await;
        count(&shared.counters.lookups);
        names::lookup(&host).await
    })
    .await;
    let addresses = match found {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            tracing::debug!(%host, %error, "name not found");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(%host, "no answer from the resolver in time");
            Vec::new()
        }
    };
    if addresses.is_empty() {
        count(&shared.counters.lookups_failed);
    }
    if let Some(inbox) = shared.inbox(index) {
        // Fails only when the shard has ended.
        let _ = inbox.send(Inbound::Resolved { host, addresses }).await;
    }
}
