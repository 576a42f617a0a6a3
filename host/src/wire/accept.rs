//! A listener of streams: takes connections that there is room for, and hands each to a task of its own.
//!
//! Entry point: [`accept`]. Invariants: what is over a bound costs a descriptor for a moment and nothing else; it goes on
//! where the system refuses a connection.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::ListenerId;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::connection::{Connection, Peer};
use super::shard::ShardIndex;
use super::shared::Shared;
use super::stats::count;
use super::stream;
use super::tls::Session;
use crate::config::{Transport, limits};

/// After the system refuses a connection (no descriptor left) the next try waits, for connections to end meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the wire closes.
pub(super) async fn accept(shared: Arc<Shared>, shard: ShardIndex, id: ListenerId, listener: TcpListener) {
    let bound = shared
        .listeners
        .get(usize::from(id.0))
        .map(|it| it.bound.transport);
    let mut begun = (bound == Some(Transport::Tls)).then(|| Begun::new(shared.limits.tls_handshakes));
    let mut closing = shared.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; raise the limit of open files (ulimit -n)");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some((connection, session)) = admit(&shared, remote, begun.as_mut()) else {
            count(&shared.counters.refused);
            continue;
        };
        count(&shared.counters.accepted);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            stream::run(&shared, shard, id, &connection, stream, session, false).await;
        });
    }
}

/// A connection for a peer, under TLS where `begun` counts its handshakes; none where there is no room.
fn admit(
    shared: &Shared,
    remote: SocketAddr,
    begun: Option<&mut Begun>,
) -> Option<(Arc<Connection>, Option<Session>)> {
    let Some(begun) = begun else {
        return Some((shared.connections.admit(remote, Peer::Plain)?, None));
    };
    if !begun.another(Instant::now()) {
        limits::hit("limits.wire.tls_handshakes");
        return None;
    }
    // Never none: without it no listener of TLS is opened, and later it is only exchanged.
    let session = Session::accept(&*shared.tls.load_full()?);
    let session = session.inspect_err(|error| tracing::error!(%error, "cannot speak TLS; look at [tls]"));
    Some((
        shared.connections.admit(remote, Peer::Anybody)?,
        Some(session.ok()?),
    ))
}

/// How many handshakes have begun in this second.
struct Begun {
    most: u32,
    count: u32,
    since: Instant,
}

impl Begun {
    fn new(most: u32) -> Self {
        Self {
            most,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Whether one more may begin.
    fn another(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.count, self.since) = (0, now);
        }
        self.count = self.count.saturating_add(1);
        self.count <= self.most
    }
}
