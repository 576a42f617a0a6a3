//! The life of a TCP connection: accepted or opened, read until it ends, and given back.
//!
//! A task each, on the shard of its listener. Invariants: it ends by itself (idle, slow, closed, or the wire stopping);
//! when it ends every shard hears of it, and everything unsent with a token is reported.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::{ListenerId, Path, Protocol, TransportFailure};
use callbox_sip::message::{Frame, MessageBuilder, StreamFramer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, Item};
use super::inbox::Inbound;
use super::shard::ShardIndex;
use super::shared::Shared;
use super::stats::count;

/// Read at once, on the thread's stack: an idle connection holds no buffer.
const READ_BYTES: usize = 16 * 1024;

/// How long the answer to a stream that cannot be read any further may take to leave.
const LINGER: Duration = Duration::from_secs(1);

/// After the system refuses a connection (no descriptor left) the next try waits, for connections to end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the wire closes.
pub(super) async fn accept(
    shared: Arc<Shared>,
    shard: ShardIndex,
    listener_id: ListenerId,
    listener: TcpListener,
) {
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
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(connection) = shared.connections.admit(remote) else {
            count(&shared.counters.refused);
            continue;
        };
        count(&shared.counters.accepted);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            run(&shared, shard, listener_id, &connection, stream, false).await;
        });
    }
}

/// Opens a connection to the first address that takes it, and runs it.
pub(super) async fn connect(
    shared: Arc<Shared>,
    shard: ShardIndex,
    listener: ListenerId,
    connection: Arc<Connection>,
    addresses: Vec<SocketAddr>,
) {
    let limit = Duration::from_millis(shared.limits.tcp_connect_ms);
    let mut why = TransportFailure::Unresolved;
    for address in addresses {
        match timeout(limit, open(&shared, listener, address)).await {
            Ok(Ok(stream)) => {
                count(&shared.counters.connected);
                shared.connections.also_reached(&connection, address);
                run(&shared, shard, listener, &connection, stream, true).await;
                return;
            }
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "cannot connect");
                why = TransportFailure::Refused;
            }
            Err(_) => why = TransportFailure::TimedOut,
        }
        if let Some(inbox) = shared.inbox(shard) {
            let _ = inbox.send(Inbound::Unreachable(address)).await;
        }
    }
    count(&shared.counters.connect_failed);
    finish(&shared, &connection, connection.remote, why).await;
}

async fn open(shared: &Shared, listener: ListenerId, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(listener) = shared.listeners.get(usize::from(listener.0)) {
        let own = listener.bound.local.ip();
        if !own.is_unspecified() && own.is_ipv4() == address.is_ipv4() {
            socket.bind(SocketAddr::new(own, 0))?;
        }
    }
    socket.connect(address).await
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer closed it, or an error did, or a sender.
    Closed,
    /// Nothing came.
    Idle,
    /// A message, or the first one, took too long.
    Slow,
    /// What came was not SIP.
    Framing,
}

async fn run(
    shared: &Arc<Shared>,
    shard: ShardIndex,
    listener: ListenerId,
    connection: &Arc<Connection>,
    stream: TcpStream,
    opened_by_us: bool,
) {
    let remote = stream.peer_addr().unwrap_or(connection.remote);
    let local = stream.local_addr();
    let stream = Arc::new(stream);
    // Messages are whole when they are written: waiting for more would only delay them.
    let ready = stream.set_nodelay(true).and(local);
    let end = match ready {
        Ok(local) => {
            let path = Path {
                protocol: Protocol::Tcp,
                listener,
                local,
                remote,
                connection: Some(connection.id),
            };
            let tap = shared.tap(path.protocol, local).map(|tap| (tap, remote));
            connection.established(&stream, tap);
            let mut reader = Reader::new(
                Arc::clone(shared),
                shard,
                path,
                Arc::clone(connection),
                opened_by_us,
            );
            reader.run(&stream).await
        }
        Err(_) => End::Closed,
    };
    match end {
        End::Closed => {}
        End::Idle => count(&shared.counters.idle_closed),
        End::Slow => count(&shared.counters.slow_closed),
        End::Framing => count(&shared.counters.framing_closed),
    }
    finish(shared, connection, remote, TransportFailure::Closed).await;
}

/// Gives the connection back and tells everybody.
async fn finish(shared: &Shared, connection: &Connection, reached: SocketAddr, why: TransportFailure) {
    shared.connections.remove(connection, reached);
    let (why, waiting) = connection.close(why);
    if why == TransportFailure::QueueFull {
        count(&shared.counters.write_queue_closed);
    }
    for (shard, token) in waiting {
        if let Some(inbox) = shared.inbox(shard) {
            let _ = inbox.send(Inbound::Failed { token, why }).await;
        }
    }
    for inbox in &shared.inboxes {
        let _ = inbox.send(Inbound::Closed(connection.id)).await;
    }
}

struct Reader {
    shared: Arc<Shared>,
    shard: ShardIndex,
    path: Path,
    connection: Arc<Connection>,
    framer: StreamFramer,
    /// When the first byte of the message came that is not whole yet.
    partial_since: Option<Instant>,
    /// Whether a whole message has come, or the connection is our own doing.
    trusted: bool,
    opened: Instant,
    last_byte: Instant,
}

impl Reader {
    fn new(
        shared: Arc<Shared>,
        shard: ShardIndex,
        path: Path,
        connection: Arc<Connection>,
        trusted: bool,
    ) -> Self {
        let now = Instant::now();
        let framer = StreamFramer::new(shared.message_limits);
        Self {
            shared,
            shard,
            path,
            connection,
            framer,
            partial_since: None,
            trusted,
            opened: now,
            last_byte: now,
        }
    }

    async fn run(&mut self, stream: &TcpStream) -> End {
        let timer = sleep_until(self.deadline().0);
        tokio::pin!(timer);
        loop {
            // Deadlines move away with each message; the timer follows only when it must ring earlier.
            let (deadline, _) = self.deadline();
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            if self.connection.closed().is_some() {
                return End::Closed;
            }
            let pending = self.connection.has_pending();
            tokio::select! {
                ready = stream.readable() => {
                    if ready.is_err() {
                        return End::Closed;
                    }
                    if let Err(end) = self.read(stream).await {
                        return end;
                    }
                }
                ready = stream.writable(), if pending => {
                    if ready.is_err() {
                        return End::Closed;
                    }
                    self.connection.flush();
                }
                () = self.connection.changed.notified() => {}
                () = &mut timer => {
                    let (deadline, end) = self.deadline();
                    if deadline <= Instant::now() {
                        return end;
                    }
                    timer.as_mut().reset(deadline);
                }
            }
        }
    }

    /// When the connection ends if nothing more comes, and as what.
    fn deadline(&self) -> (Instant, End) {
        let limits = &self.shared.limits;
        if let Some(since) = self.partial_since {
            (since + Duration::from_millis(limits.tcp_message_ms), End::Slow)
        } else if !self.trusted {
            (
                self.opened + Duration::from_millis(limits.tcp_first_message_ms),
                End::Slow,
            )
        } else {
            (
                self.last_byte + Duration::from_millis(limits.tcp_idle_ms),
                End::Idle,
            )
        }
    }

    async fn read(&mut self, stream: &TcpStream) -> Result<(), End> {
        if !read_into(stream, &mut self.framer)? {
            return Ok(());
        }
        self.last_byte = Instant::now();
        let mut whole = false;
        while let Some(frame) = self.framer.next_frame() {
            whole = true;
            match frame {
                Frame::Message(bytes) => {
                    self.trusted = true;
                    count(&self.shared.counters.stream_messages_in);
                    let shard = self.shared.shard_of(&bytes, self.shard);
                    let Some(inbox) = self.shared.inbox(shard) else {
                        return Err(End::Closed);
                    };
                    let connection = Arc::clone(&self.connection);
                    // Waits when the shard is behind: the peer's window closes, nothing is lost.
                    if inbox
                        .send(Inbound::Stream {
                            path: self.path,
                            bytes,
                            connection,
                        })
                        .await
                        .is_err()
                    {
                        return Err(End::Closed);
                    }
                }
                Frame::Ping => {
                    let pong = Item {
                        payload: bytes::Bytes::from_static(b"\r\n"),
                        token: None,
                    };
                    let _ = self
                        .connection
                        .send(pong, self.shared.limits.tcp_write_queue_bytes);
                }
                Frame::Pong => {}
                Frame::Fatal(malformed) => {
                    tracing::debug!(remote = %self.path.remote, reason = %malformed.reason, "not SIP");
                    if let Some(request) = &malformed.reply {
                        let code = malformed.reason.status();
                        let tag = format!("c{:x}", self.connection.id.0);
                        let answer =
                            MessageBuilder::response_from(request, self.path.remote, code, None, Some(&tag))
                                .finish();
                        let item = Item {
                            payload: answer,
                            token: None,
                        };
                        let _ = self
                            .connection
                            .send(item, self.shared.limits.tcp_write_queue_bytes);
                        let _ = timeout(LINGER, self.write_rest(stream)).await;
                    }
                    return Err(End::Framing);
                }
            }
        }
        self.partial_since = match (self.framer.buffered() > 0, self.partial_since) {
            (false, _) => None,
            (true, Some(since)) if !whole => Some(since),
            (true, _) => Some(self.last_byte),
        };
        Ok(())
    }

    async fn write_rest(&self, stream: &TcpStream) {
        while self.connection.has_pending() && self.connection.closed().is_none() {
            if stream.writable().await.is_err() {
                return;
            }
            self.connection.flush();
        }
    }
}

/// Reads what is there; false when it was nothing after all.
fn read_into(stream: &TcpStream, framer: &mut StreamFramer) -> Result<bool, End> {
    let mut buffer = [0u8; READ_BYTES];
    match stream.try_read(&mut buffer) {
        Ok(0) => Err(End::Closed),
        Ok(length) => {
            framer.push(buffer.get(..length).unwrap_or_default());
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
        Err(_) => Err(End::Closed),
    }
}
