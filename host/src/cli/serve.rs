//! `callbox serve`: answers calls until it is told to stop.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::wire_config::wire_config;
use super::{Failure, log, process};
use crate::call::{Exchange, IncomingCalls, Neighbours, ShardQueue};
use crate::config::{Config, Listen, LogFormat};
use crate::plugin::{Engine, Loader};
use crate::tenant::{Directory, Loaded};
use crate::wire::{self, Wire};

const EXAMPLES: &str = "\
Examples:
  callbox serve --config callbox.toml
  callbox serve --config callbox.toml --listen udp:127.0.0.1:5070 --listen tcp:127.0.0.1:5070
  callbox serve --config callbox.toml --listen \"udp:0.0.0.0:5060 as 203.0.113.5\" --log-format json

SIGINT or SIGTERM ends it: no new calls, the calls that are up are hung up, then exit status 0. A second signal ends it
at once. Exit status 1: it could not start; 2: a mistake in the configuration or the arguments.";

/// Answer calls with the flows of a configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen here instead of where the configuration says; may be given several times.
    #[arg(long, value_name = "udp:ADDRESS:PORT")]
    listen: Vec<Listen>,
    /// How log lines are written.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// error, warn, info, debug, trace, or a filter such as info,callbox::wire=debug.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut config = Config::load(&self.config).map_err(|error| Failure::NotTried(error.into()))?;
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        let format = match self.log_format {
            Some(Format::Text) => LogFormat::Text,
            Some(Format::Json) => LogFormat::Json,
            None => config.log.format,
        };
        let level = self.log_level.or_else(|| config.log.level.clone());
        let _log = log::start(format, level.as_deref(), config.limits.host.log_queue_lines)
            .map_err(Failure::NotTried)?;
        if let Some(files) = process::raise_open_files() {
            tracing::debug!(files, "open files");
        }

        let engine =
            Engine::new(&config.limits.plugin, config.limits.host.calls_max).context("cannot start")?;
        let calls_max = engine.calls_max();
        let cache = config.cache_dir.clone().map_or_else(default_cache, Ok)?;
        let program = std::env::current_exe().context("cannot find callbox itself, which compiles flows")?;
        let loader = Loader::new(engine, &cache, program)
            .with_context(|| format!("cannot keep compiled flows in {} (cache_dir)", cache.display()))?;

        let flows = flow_runtime()?;
        let directory = Directory::new(&config, calls_max, flows.handle().clone());
        let control = control_runtime()?;
        let loaded = control.block_on(directory.load_all(&loader));
        let mut signals = control
            .block_on(async { Signals::new() })
            .context("cannot wait for signals")?;

        let incoming: Arc<dyn IncomingCalls> = Arc::clone(&directory) as _;
        let neighbours = Neighbours::new();
        let wire = wire::start(wire_config(&config), |shard, waker| {
            let queue = ShardQueue::new(waker);
            neighbours.add(shard.0, &queue);
            Exchange::new(queue, Arc::clone(&incoming)).among(&neighbours)
        })
        .context("cannot start")?;

        announce(&mut io::stdout().lock(), &wire, &loaded, calls_max)?;
        let broken = control.block_on(async {
            tokio::select! {
                () = signals.next() => false,
                () = wire.broken() => true,
            }
        });
        if broken {
            return Err(anyhow!("a SIP thread died, see the message above; start callbox again").into());
        }
        tracing::info!(
            calls = directory.calls(),
            "stopping: no new calls, hanging up those that are up"
        );
        let drained = control.block_on(async {
            let drain = Duration::from_millis(config.limits.host.drain_ms);
            tokio::select! {
                drained = stop(&directory, &wire, drain) => drained,
                () = signals.next() => false,
            }
        });
        if !drained {
            tracing::warn!(legs = wire.legs(), "stopped before every call was ended");
        }
        wire.shutdown();
        // A flow that computes goes on until its next turn; the process does not wait for it.
        flows.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }
}

/// Ends all calls; true when nothing is left of them.
async fn stop(directory: &Directory, wire: &Wire, within: Duration) -> bool {
    let until = Instant::now() + within;
    wire.stop_accepting();
    directory.end_calls();
    while directory.calls() > 0 || wire.legs() > 0 {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

struct Signals {
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

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The threads that flows run on: as many as cores, each politer than SIP. Flows wait for times and for SIP, never for
/// files: a runtime without the system's event queue wakes them with less.
fn flow_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .thread_name("flow")
        .on_thread_start(process::be_polite)
        .build()
        .map_err(|error| {
            anyhow!(
                "cannot start the threads of the flows: {error}; raise the limit of processes (ulimit -u)"
            )
        })
}

/// What is neither SIP nor a flow: loading, signals, the end. Runs on the main thread.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals and files")
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

/// Says what is there: one line a listener and a flow, then `ready:` as the last line.
fn announce(out: &mut impl Write, wire: &Wire, loaded: &[Loaded], calls_max: usize) -> io::Result<()> {
    let mut listeners = 0;
    for bound in wire.listeners() {
        listeners += 1;
        write!(out, "listening on {}:{}", bound.transport, bound.local)?;
        if bound.advertised != bound.local {
            write!(out, ", known as {}", bound.advertised)?;
        }
        writeln!(out)?;
    }
    let mut running = 0;
    for flow in loaded {
        match &flow.version {
            Ok(version) => {
                running += 1;
                writeln!(out, "flow {}: version {version}", flow.flow)?;
            }
            Err(error) => {
                tracing::error!(flow = %flow.flow, "not loaded, its calls get 500: {error}");
                writeln!(out, "flow {}: NOT LOADED, its calls get 500: {error}", flow.flow)?;
            }
        }
    }
    let failed = loaded.len() - running;
    writeln!(
        out,
        "ready: listeners: {listeners}, flows: {running} loaded and {failed} not, {calls_max} calls at most, {} SIP threads",
        wire.shards()
    )?;
    out.flush()
}
