//! What `serve` and `call` have in common: threads, flows, sockets, and an orderly end.
//!
//! Entry type: [`Host`]. Invariant: the end takes at most `limits.drain_grace_ms` and `limits.drain_ms`, each of which a
//! further signal cuts short.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::wire_config::wire_config;
use super::{process, traces};
use crate::admin::{self, LogLines, Node, Ports};
use crate::call::{Exchange, IncomingCalls, Neighbours, ShardQueue};
use crate::config::Config;
use crate::metrics::LogTally;
use crate::plugin::{Engine, FlowThreads, Loader};
use crate::tenant::{Directory, Reloader};
use crate::trace::Exporter;
use crate::wire::{self, ShardIndex, Sockets, Wire};

/// All of a host but its sockets.
pub(super) struct Host {
    /// Loading, signals, the end: on the main thread.
    pub(super) control: Runtime,
    /// What flows run on.
    pub(super) flows: FlowThreads,
    pub(super) directory: Arc<Directory>,
    pub(super) loader: Loader,
    /// How many instances there is room for.
    pub(super) calls_max: usize,
    drain: Duration,
    grace: Duration,
    /// What the last traces get.
    flush: Duration,
    traces: Option<Exporter>,
}

impl Host {
    /// Threads, engine and directory, for so many instances if the system allows. No flow is loaded.
    pub(super) fn new(config: &Config, calls_max: usize, cache: &Path) -> anyhow::Result<Self> {
        for problem in &config.left_out {
            tracing::error!("a tenant is left out: {problem}");
        }
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(files) = process::raise_open_files() {
            tracing::debug!(files, "open files");
        }
        let engine = Engine::new(&config.limits.plugin, calls_max).context("cannot start")?;
        let calls_max = engine.calls_max();
        let (tracer, exporter) = traces::start(config.otel.as_ref(), &config.limits.trace)?.unzip();
        if let Some(tracer) = &tracer {
            engine.note_host_calls(tracer.sampler().clone());
        }
        let program = std::env::current_exe().context("cannot find callbox itself, which compiles flows")?;
        let loader = Loader::new(engine, cache, program)
            .with_context(|| format!("cannot keep compiled flows in {} (cache_dir)", cache.display()))?;
        let flows = flow_threads()?;
        let directory = Directory::new(config, calls_max, flows.runtime().clone());
        if let Some(tracer) = tracer {
            directory.trace_to(tracer);
        }
        Ok(Self {
            control: control_runtime()?,
            directory,
            traces: exporter,
            flows,
            loader,
            calls_max,
            drain: Duration::from_millis(config.limits.host.drain_ms),
            grace: Duration::from_millis(config.limits.host.drain_grace_ms),
            flush: Duration::from_millis(config.limits.trace.flush_ms),
        })
    }

    /// Catches the signals that end the process. To be called before anything runs that must end in order.
    pub(super) fn signals(&self) -> anyhow::Result<Signals> {
        self.control
            .block_on(async { Signals::new() })
            .context("cannot wait for signals")
    }

    /// Opens the sockets, or takes those that were bound before: calls come in from now on.
    pub(super) fn listen(&self, config: &Config, bound: Option<Sockets>) -> anyhow::Result<Wire> {
        let incoming: Arc<dyn IncomingCalls> = Arc::clone(&self.directory) as _;
        let neighbours = Neighbours::new();
        let config = wire_config(config);
        let make = |shard: ShardIndex, waker| {
            let queue = ShardQueue::new(waker);
            neighbours.add(shard.0, &queue);
            self.directory.add_shard(Arc::clone(&queue));
            Exchange::new(queue, Arc::clone(&incoming)).among(&neighbours)
        };
        match bound {
            Some(sockets) => wire::start_on(sockets, config, make),
            None => wire::start(config, make),
        }
        .context("cannot start")
    }

    /// Serves the admin API, until what is returned is dropped.
    pub(super) fn open_admin(
        &self,
        config: &Config,
        reloader: &Arc<Reloader>,
        wire: &Wire,
        log: (&LogLines, Arc<LogTally>),
        ports: Option<Ports>,
    ) -> anyhow::Result<admin::Open> {
        let _within = self.control.enter();
        let ports = match ports {
            Some(ports) => ports,
            None => Ports::bind(&config.admin, &config.metrics).context("cannot start")?,
        };
        let door = admin::open(&config.admin, &config.metrics, ports).context("cannot start")?;
        tracing::debug!(socket = %door.socket().display(), address = ?door.address(), metrics = ?door.metrics(), "admin API");
        let node = Node::new(
            Arc::new(config.clone()),
            Arc::clone(&self.directory),
            self.loader.clone(),
            Arc::clone(reloader),
            wire.view(),
            (log.0.clone(), log.1),
        );
        Ok(door.serve(&node))
    }

    /// Ends everything in order: calls may end by themselves for a while and are then hung up, registrations and subscriptions taken back, and the peers' answers
    /// awaited for a while.
    pub(super) fn stop(self, wire: Wire, signals: &mut Signals) {
        let ended = self.control.block_on(async {
            self.wait_for_calls(signals).await;
            tokio::select! {
                ended = self.end_all(&wire) => ended,
                () = signals.next() => false,
            }
        });
        if !ended {
            tracing::warn!(
                legs = wire.legs(),
                standing = wire.standing(),
                "stopped before every call, registration and subscription was ended"
            );
        }
        wire.shutdown();
        if let Some(exporter) = self.traces {
            exporter.stop(self.flush);
        }
        // A flow that computes goes on until its next turn; the process does not wait for it.
        self.flows.shutdown_background();
    }

    /// Lets the calls that are up go on for a while: until they are over, or the time of grace is, or a signal comes.
    async fn wait_for_calls(&self, signals: &mut Signals) {
        const LOOK: Duration = Duration::from_millis(50);
        if self.grace.is_zero() {
            return;
        }
        self.directory.shut_down(self.grace);
        let over = async {
            while self.directory.calls() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = over => {}
            () = tokio::time::sleep(self.grace) => {
                tracing::warn!(
                    limit = "limits.drain_grace_ms",
                    calls = self.directory.calls(),
                    "the time of grace is over: hanging up"
                );
            }
            () = signals.next() => {
                tracing::warn!(calls = self.directory.calls(), "a second signal: hanging up");
            }
        }
    }

    /// True when nothing is left.
    async fn end_all(&self, wire: &Wire) -> bool {
        const LOOK: Duration = Duration::from_millis(10);
        let until = Instant::now() + self.drain;
        wire.stop_accepting();
        self.directory.end_calls();
        // What a flow did last may not have reached its shard yet: gone is what is gone twice.
        let mut gone = 0;
        while gone < 2 {
            if Instant::now() >= until {
                return false;
            }
            let left = self.directory.calls() + wire.legs() + wire.standing();
            gone = if left == 0 { gone + 1 } else { 0 };
            tokio::time::sleep(LOOK).await;
        }
        true
    }
}

/// SIGINT and SIGTERM.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The threads that flows run on: as many as cores, each politer than SIP.
fn flow_threads() -> anyhow::Result<FlowThreads> {
    FlowThreads::start(process::be_polite).map_err(|error| {
        anyhow!("cannot start the threads of the flows: {error}; raise the limit of processes (ulimit -u)")
    })
}

/// What is neither SIP nor a flow: loading, signals, the end. Runs on the main thread.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals and files")
}

/// Where compiled flows are: where the configuration says, or in the user's cache folder.
pub(super) fn cache_dir(config: &Config) -> anyhow::Result<PathBuf> {
    config.cache_dir.clone().map_or_else(default_cache, Ok)
}

/// The folder of the user's caches (XDG base directories).
fn default_cache() -> anyhow::Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| Path::new(value).is_absolute())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join("callbox"))
        .context("no folder for compiled flows: neither XDG_CACHE_HOME nor HOME is set; write cache_dir = \"…\" in the configuration")
}
