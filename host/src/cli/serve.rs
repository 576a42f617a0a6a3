//! `callbox serve`: answers calls until it is told to stop.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::census::Census;
use super::host::{self, Host};
use super::reload::Hangup;
use super::state_dir::StateDir;
use super::supervisor::Supervisor;
use super::user::{Identity, UserError};
use super::{Failure, log, records, watchdog};
use crate::admin::LogLines;
use crate::config::{Config, Listen, LogFormat};
use crate::pii::Shown;
use crate::tenant::{LedgerFile, Loaded, Reloader};
use crate::wire::Wire;

const EXAMPLES: &str = "\
Examples:
  callbox serve --config callbox.toml
  callbox serve --config callbox.toml --listen udp:127.0.0.1:5070 --listen tcp:127.0.0.1:5070
  callbox serve --config callbox.toml --listen \"udp:0.0.0.0:5060 as 203.0.113.5\" --log-format json
  callbox serve --config callbox.toml --listen udp:0.0.0.0:5060 --listen tls:0.0.0.0:5061
  callbox serve --config /etc/callbox/callbox.toml --user callbox

SIGHUP (or callbox reload) reads the configuration again, whole or not at all; the log says what has changed. Calls that are up keep what they
began with; the certificate of [tls] is read anew, for connections to come; listeners, folders and the sizes of the host stay as they are until the next start.
SIGUSR1 writes to the log what is alive: sessions, legs, transactions, registrations, subscriptions.
SIGINT or SIGTERM ends it: new calls get 503 (or go to `[drain] redirect`), flows are told to finish within
limits.drain_grace_ms, what is up then is hung up, and the exit status is 0. A second signal cuts the grace short, one more
ends it at once. Exit status 1: it could not start; 2: a mistake in the configuration or the arguments.";

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
    /// Become this user, with this group, when the ports are bound. Only root can; configuration, flows and folders must be the
    /// user's to read and write.
    #[arg(long, value_name = "NAME[:GROUP]")]
    user: Option<Identity>,
    /// Write numbers and addresses into the log as tags, whatever the configuration says.
    #[arg(long)]
    log_redact: bool,
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
        let listen = (!self.listen.is_empty()).then_some(self.listen);
        if let Some(listen) = &listen {
            config.listen.clone_from(listen);
        }
        // Before the first thread, which is the log's.
        let opened = match &self.user {
            Some(user) => Some(user.assume(&config, &self.config).map_err(refused)?),
            None => None,
        };
        let format = match self.log_format {
            Some(Format::Text) => LogFormat::Text,
            Some(Format::Json) => LogFormat::Json,
            None => config.log.format,
        };
        let level = self.log_level.or_else(|| config.log.level.clone());
        let lines = LogLines::new(config.limits.admin.stream_lines);
        let log = log::start(
            format,
            level.as_deref(),
            Shown {
                redact: self.log_redact || config.log.redact,
                digits: config.log.digits,
            },
            config.limits.host.log_queue_lines,
            Some(lines.clone()),
        )
        .map_err(Failure::NotTried)?;
        let (cache, sockets, ports) = match opened {
            Some(opened) => {
                for warning in &opened.warnings {
                    tracing::warn!("{warning}");
                }
                (opened.cache, Some(opened.sockets), Some(opened.ports))
            }
            None => (host::cache_dir(&config)?, None, None),
        };
        let state = StateDir::open(&config.state_dir).map_err(|error| Failure::Failed(error.into()))?;
        tracing::debug!(folder = %state.path().display(), "state folder");
        let host = Host::new(&config, config.limits.host.calls_max, &cache)?;
        let (recorder, writer) = records::start(&config, state.path(), host.calls_max)?;
        host.directory.keep_records(recorder);
        // Dropped when the calls are over, which writes it a last time.
        let _minutes = LedgerFile::open(&state.path().join("minutes.json"), host.directory.ledger())
            .context("cannot keep the tenants' minutes")?;
        host.directory.keep_versions(host.loader.clone(), state.path());
        let loaded = host.control.block_on(host.directory.load_all(&host.loader));
        let mut signals = host.signals()?;
        let mut census = host.control.block_on(async { Census::new() })?;
        let mut hangup = host.control.block_on(async { Hangup::new() })?;
        let wire = host.listen(&config, sockets)?;
        let supervisor = Arc::new(Supervisor::of_this_process());
        let reloader = Reloader::new(
            Arc::clone(&host.directory),
            host.loader.clone(),
            self.config,
            listen,
        );
        let view = wire.view();
        let reloader = reloader
            .watched_by(Arc::clone(&supervisor) as _)
            .renewing(Box::new(move |tls| view.renew_tls(tls)));
        let reloader = Arc::new(reloader);
        let admin = host.open_admin(&config, &reloader, &wire, (&lines, log.tally()), ports)?;

        announce(&mut io::stdout().lock(), &wire, &loaded, host.calls_max)?;
        supervisor.serves();
        if let Some(wanted) = watchdog::wanted() {
            // Beside whatever the control runtime waits for, the drain at the end included.
            host.control
                .spawn(watchdog::tend(Arc::clone(&supervisor), wire.pulse(), wanted));
        }
        host.directory.start_jobs();
        let broken = host.control.block_on(async {
            tokio::select! {
                () = signals.next() => false,
                () = wire.broken() => true,
                never = census.answer(&host.directory, &wire) => match never {},
                never = hangup.answer(&reloader) => match never {},
                never = host.directory.tend_versions() => match never {},
            }
        });
        if broken {
            return Err(anyhow!("a SIP thread died, see the message above; start callbox again").into());
        }
        tracing::info!(
            calls = host.directory.calls(),
            grace_ms = config.limits.host.drain_grace_ms,
            "stopping: no new calls; those that are up are hung up when the time of grace is over"
        );
        supervisor.ends();
        host.stop(wire, &mut signals);
        if let Some(writer) = writer {
            writer.stop(Duration::from_millis(config.limits.record.flush_ms));
        }
        drop(admin);
        Ok(ExitCode::SUCCESS)
    }
}

fn refused(error: UserError) -> Failure {
    match error.is_usage() {
        true => Failure::NotTried(error.into()),
        false => Failure::Failed(error.into()),
    }
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
