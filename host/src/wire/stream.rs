//! The life of a TCP connection, under TLS or not: opened or handed over by [`super::accept`], read until it ends, and given
//! back.
//!
//! A task each, on the shard of its listener. Invariants: it ends by itself (idle, slow, closed, or the wire stopping);
//! when it ends every shard hears of it, and everything unsent with a token is reported.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::endpoint::{ListenerId, Path, Protocol, TransportFailure};
use callbox_sip::message::{Frame, MessageBuilder, StreamFramer};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, Item, Peer};
use super::inbox::Inbound;
use super::shard::ShardIndex;
use super::shared::Shared;
use super::stats::count;
use super::tls::{Progress, Session};

/// Read at once, on the thread's stack: an idle connection holds no buffer.
const READ_BYTES: usize = 16 * 1024;

/// How long the answer to a stream that cannot be read any further may take to leave.
const LINGER: Duration = Duration::from_secs(1);

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
    let mut session = None;
    if let Peer::Proves(name) = &connection.peer {
        let made = shared.tls.load_full().map(|tls| Session::connect(&tls, name));
        match made {
            Some(Ok(made)) => session = Some(made),
            other => {
                let why = other.and_then(Result::err).map(|error| error.to_string());
                tracing::warn!(%name, why, "cannot speak TLS to a peer of this name");
                finish(
                    &shared,
                    &connection,
                    connection.remote,
                    TransportFailure::Insecure,
                )
                .await;
                return;
            }
        }
    }
    for address in addresses {
        match timeout(limit, open(&shared, listener, address)).await {
            Ok(Ok(stream)) => {
                count(&shared.counters.connected);
                shared.connections.also_reached(&connection, address);
                run(&shared, shard, listener, &connection, stream, session, true).await;
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
    /// TLS was not agreed on, or is broken.
    Insecure,
}

/// Runs a connection that is there, under TLS with a `session`.
pub(super) async fn run(
    shared: &Arc<Shared>,
    shard: ShardIndex,
    listener: ListenerId,
    connection: &Arc<Connection>,
    stream: TcpStream,
    session: Option<Session>,
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
                protocol: connection.protocol(),
                listener,
                local,
                remote,
                connection: Some(connection.id),
            };
            let tap = shared.tap(path.protocol, local).map(|tap| (tap, remote));
            connection.established(&stream, session, tap);
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
        End::Insecure => count(&shared.counters.tls_failed),
    }
    let why = match end {
        End::Insecure => TransportFailure::Insecure,
        _ => TransportFailure::Closed,
    };
    finish(shared, connection, remote, why).await;
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
    /// Under TLS, until it is agreed on.
    handshaking: bool,
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
        let handshaking = connection.is_handshaking();
        Self {
            shared,
            shard,
            path,
            connection,
            framer,
            partial_since: None,
            handshaking,
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
        if self.handshaking && self.trusted {
            (
                self.opened + Duration::from_millis(limits.tcp_connect_ms),
                End::Insecure,
            )
        } else if let Some(since) = self.partial_since {
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
        let progress = match self.connection.protocol() {
            Protocol::Tls => self.read_tls(stream)?,
            _ => read_into(stream, &mut self.framer)?,
        };
        if progress == Progress::Nothing {
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
        if progress == Progress::End {
            return Err(End::Closed);
        }
        Ok(())
    }

    fn read_tls(&mut self, stream: &TcpStream) -> Result<Progress, End> {
        let remote = self.path.remote;
        let progress = match self.connection.read_tls(stream, &mut self.framer) {
            Ok(progress) => progress,
            // Who cannot be called is told to the operator; who cannot call is one of many probes.
            Err(error) if self.handshaking || error.kind() == ErrorKind::InvalidData => {
                match self.connection.peer.name() {
                    Some(name) => {
                        tracing::warn!(%remote, name, %error, "TLS was not agreed on with a peer that is called");
                    }
                    None => tracing::debug!(%remote, %error, "TLS was not agreed on, or is broken"),
                }
                return Err(End::Insecure);
            }
            Err(_) => return Err(End::Closed),
        };
        if self.handshaking && !self.connection.is_handshaking() {
            self.handshaking = false;
            count(&self.shared.counters.tls_agreed);
        }
        match progress {
            Progress::End if self.handshaking => {
                if let Some(name) = self.connection.peer.name() {
                    tracing::warn!(%remote, name, "a peer that is called ended the connection before TLS was agreed on");
                }
                Err(End::Insecure)
            }
            progress => Ok(progress),
        }
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

/// Reads what is there, which may be nothing after all.
fn read_into(stream: &TcpStream, framer: &mut StreamFramer) -> Result<Progress, End> {
    let mut buffer = [0u8; READ_BYTES];
    match stream.try_read(&mut buffer) {
        Ok(0) => Err(End::Closed),
        Ok(length) => {
            framer.push(buffer.get(..length).unwrap_or_default());
            Ok(Progress::Some)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(Progress::Nothing)
        }
        Err(_) => Err(End::Closed),
    }
}
