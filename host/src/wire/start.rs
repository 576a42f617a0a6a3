//! Binds the sockets and starts the shards.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use callbox_sip::endpoint::{Counts, Endpoint, EndpointConfig, Listener as SipListener, ListenerId};
use tokio::sync::{Semaphore, mpsc, watch};

use super::accept;
use super::bind::{Bound, Listener, Socketed, Sockets, protocol_of};
use super::drive::{Shard, UdpSource};
use super::hep::Mirror;
use super::inbox::Inbox;
use super::ladder::Ladder;
use super::shard::{ShardCore, ShardIndex, ShardWaker};
use super::shared::Shared;
use super::stats::{Counters, WireStats};
use super::table::Table;
use super::tally::Tallies;
use super::udp::UdpReader;
use crate::config::limits::WireLimits;
use crate::config::{Hep, Listen, Tls, Transport};

/// What a wire needs to start.
#[derive(Debug, Clone)]
pub struct WireConfig {
    /// The listeners; the position of each is its [`ListenerId`].
    pub listen: Vec<Listen>,
    /// What peers are shown and judged by; needed by listeners of TLS, and to call by it.
    pub tls: Option<Tls>,
    /// Bounds of this layer.
    pub limits: WireLimits,
    /// Who gets a copy of every message.
    pub hep: Option<Hep>,
    /// How every endpoint behaves. `listeners`, `shard` and `shards` are filled in here.
    pub endpoint: EndpointConfig,
}

/// Why a wire could not start.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is no listener.
    #[error("nothing to listen on; write listen = [\"udp:127.0.0.1:5060\"] or give --listen")]
    NoListener,
    /// A socket could not be opened.
    #[error("cannot listen on {listen}: {}", why(*listen, error))]
    Bind {
        /// Which.
        listen: Listen,
        /// What the system said.
        error: io::Error,
    },
    /// A listener on all addresses, on a machine that does not know its own.
    #[error(
        "{0} listens on every address and this machine has no default route to tell which one peers see; \
             write \"{0} as ADDRESS\""
    )]
    NoAddress(Listen),
    /// A listener of TLS, and nothing to show those who connect.
    #[error("{0} has no certificate; write [tls] with certificate = \"PATH\" and key = \"PATH\"")]
    NoCertificate(Listen),
    /// The system gave no thread, descriptor or random bytes.
    #[error(
        "cannot start a SIP thread: {0}; raise the limits of processes and open files (ulimit -u, ulimit -n)"
    )]
    Thread(io::Error),
}

impl WireError {
    pub(super) fn bind(listen: Listen, error: io::Error) -> Self {
        Self::Bind { listen, error }
    }
}

fn why(listen: Listen, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let option = if listen.transport == Transport::Udp {
                "-ulpn"
            } else {
                "-tlpn"
            };
            format!(
                "port {port} is in use by another program; stop it (`ss {option} sport = :{port}` shows which) or listen on another port",
                port = listen.bind.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; `ip address` shows which it has".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE (or root and --user), so take a higher one".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A running wire. Dropping it leaves the shards running; [`Wire::shutdown`] ends them.
pub struct Wire {
    pub(super) shared: Arc<Shared>,
    pub(super) wakers: Vec<ShardWaker>,
    threads: Vec<JoinHandle<()>>,
}

/// Binds every listener, then starts one thread a shard with the core that `make` gives for it.
///
/// # Errors
/// [`WireError`]; nothing is left running.
pub fn start<C: ShardCore>(
    config: WireConfig,
    make: impl FnMut(ShardIndex, ShardWaker) -> C,
) -> Result<Wire, WireError> {
    let sockets = Sockets::bind(&config.listen, config.limits.udp_socket_buffer_bytes)?;
    start_on(sockets, config, make)
}

/// [`start`] on sockets that were bound before; `config.listen` is what they were bound by.
///
/// # Errors
/// [`WireError`]; nothing is left running.
pub fn start_on<C: ShardCore>(
    sockets: Sockets,
    config: WireConfig,
    mut make: impl FnMut(ShardIndex, ShardWaker) -> C,
) -> Result<Wire, WireError> {
    let secure = config
        .listen
        .iter()
        .find(|listen| listen.transport == Transport::Tls);
    if let (Some(listen), None) = (secure, &config.tls) {
        return Err(WireError::NoCertificate(*listen));
    }
    let listeners = sockets.open()?;
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = if config.limits.shards == 0 {
        // Flows take as much of a call as SIP does, and each message that is handed from shard to shard wakes a thread.
        cores().div_ceil(2)
    } else {
        config.limits.shards
    };
    // 256 is the most that the table of limits allows.
    let shards = u16::try_from(shards.clamp(1, 256)).unwrap_or(1);

    let mirror = config.hep.as_ref().map(Mirror::open).transpose();
    let mirror = mirror.map_err(WireError::Thread)?.map(Arc::new);

    let mut endpoint = config.endpoint;
    endpoint.shards = shards;
    endpoint.listeners = listeners
        .iter()
        .zip(0u16..)
        .map(|(listener, id)| sip_listener(listener, id))
        .collect();

    let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..shards)
        .map(|_| mpsc::channel(config.limits.handover_queue))
        .unzip();
    let shared = Arc::new(Shared {
        message_limits: endpoint.limits.message,
        listeners,
        inboxes,
        connections: Table::new(
            config.limits.connections_max,
            config.limits.connections_per_source_max,
        ),
        tls: ArcSwapOption::from_pointee(config.tls),
        counters: Counters::default(),
        lookups: Semaphore::new(config.limits.name_lookups),
        ladders: (0..shards)
            .map(|_| Ladder::new(config.limits.ladder_bytes))
            .collect(),
        mirror,
        tallies: Tallies::new(usize::from(shards)),
        stop: AtomicBool::new(false),
        closing: watch::Sender::new(false),
        broken: watch::Sender::new(false),
        limits: config.limits,
    });

    let mut wire = Wire {
        shared: Arc::clone(&shared),
        wakers: Vec::new(),
        threads: Vec::new(),
    };
    for (index, inbox) in (0..shards).zip(receivers) {
        let index = ShardIndex(index);
        let waker = ShardWaker::new();
        let core = make(index, waker.clone());
        let config = EndpointConfig {
            shard: index.0,
            ..endpoint.clone()
        };
        match spawn(&shared, index, config, core, waker.clone(), inbox) {
            Ok(thread) => {
                wire.wakers.push(waker);
                wire.threads.push(thread);
            }
            Err(error) => {
                wire.stop();
                return Err(WireError::Thread(error));
            }
        }
    }
    Ok(wire)
}

fn sip_listener(listener: &Listener, id: u16) -> SipListener {
    SipListener {
        id: ListenerId(id),
        protocol: protocol_of(listener.bound.transport),
        advertised: listener.bound.advertised,
    }
}

/// Starts one shard. Everything that can fail does so here, before its thread runs alone.
fn spawn<C: ShardCore>(
    shared: &Arc<Shared>,
    index: ShardIndex,
    config: EndpointConfig,
    core: C,
    waker: ShardWaker,
    inbox: Inbox,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(shared.limits.name_lookups)
        .thread_name("sip-lookup")
        .build()?;
    let mut seed = [0u8; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;

    let mut sources = Vec::new();
    let entered = runtime.enter();
    for (listener, id) in shared.listeners.iter().zip(0u16..) {
        // Each listener is read by one shard.
        if usize::from(id) % shared.inboxes.len() != usize::from(index.0) {
            continue;
        }
        let id = ListenerId(id);
        match &listener.socket {
            Socketed::Udp(socket) => {
                let reader = UdpReader::new(Arc::clone(socket))?;
                let everybody = Arc::clone(shared);
                runtime.spawn(reader.watch_errors(move |dead| everybody.unreachable(dead)));
                sources.push(UdpSource { id, reader });
            }
            Socketed::Stream(socket) => {
                let socket = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
                runtime.spawn(accept::accept(Arc::clone(shared), index, id, socket));
            }
        }
    }
    drop(entered);

    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(format!("sip-{}", index.0))
        .spawn(move || {
            let _watch = Watch(Arc::clone(&shared));
            runtime.block_on(async move {
                let endpoint = Endpoint::new(config, seed, Instant::now());
                let mut shard = Shard::new(shared, index, endpoint, core, waker, inbox, sources);
                poll_fn(|cx| shard.poll(cx)).await;
            });
            // A lookup may hang in the system's resolver for longer than anybody wants to wait.
            runtime.shutdown_background();
        })
}

/// Says so when a shard's thread dies.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.send_replace(true);
        }
    }
}

impl Wire {
    /// Ends when a shard has died of a fault of its own. Its calls are lost and its Call-IDs have no home any more: the
    /// process must be started anew.
    pub async fn broken(&self) {
        let mut broken = self.shared.broken.subscribe();
        // The sender lives as long as this wire.
        let _ = broken.wait_for(|broken| *broken).await;
    }

    /// The listeners in the order of the configuration.
    pub fn listeners(&self) -> impl Iterator<Item = &Bound> {
        self.shared.listeners.iter().map(|listener| &listener.bound)
    }

    /// How many shards run.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.threads.len()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> WireStats {
        self.shared.counters.read()
    }

    /// What is alive in all endpoints.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.tallies.sum()
    }

    /// Legs alive in all endpoints, those included that only wait for the end of a transaction.
    #[must_use]
    pub fn legs(&self) -> usize {
        self.counts().legs
    }

    /// Registrations and subscriptions in all endpoints, those included whose end the peer has not confirmed.
    #[must_use]
    pub fn standing(&self) -> usize {
        let counts = self.counts();
        counts.registrations + counts.subscriptions
    }

    /// TCP connections open or being opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }

    /// Accepts no more connections. What is open goes on.
    pub fn stop_accepting(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Ends the shards and waits for their threads. Calls that are still up are forgotten without a word, so end them
    /// first and wait until [`Wire::legs`] and [`Wire::standing`] are 0.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.stop_accepting();
        self.shared.stop.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
        for thread in self.threads.drain(..) {
            // A shard that panicked has said so already.
            let _ = thread.join();
        }
    }
}
