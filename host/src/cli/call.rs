//! `callbox call`: one run of a job, in a process of its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use super::host::{self, Host};
use super::{Failure, log};
use crate::config::{Config, Listen, LogFormat};
use crate::pii::Shown;
use crate::plugin::{Outcome, RunReport};
use crate::tenant::{Job, JobArgs};

const EXAMPLES: &str = "\
Examples:
  callbox call acme/campaign --config callbox.toml --arg list=monday --arg tries=3
  callbox call acme/campaign --config callbox.toml --args people.json
  echo '{\"to\": \"sip:bob@example.com\"}' | callbox call acme/reminder --config callbox.toml --args -

The job gets the --arg pairs as a JSON object of strings, or what --args holds as it is. What it reports is written to
standard output, the log to standard error. It listens at the addresses of the configuration on free ports, so that it
runs beside a `serve` of the same configuration; --listen names other ones. Other flows than this one are not loaded. SIGINT or SIGTERM ends it: its calls are hung
up, its registrations and subscriptions taken back.

Exit status: 0 the job reported; 1 it failed or was ended; 2 it could not be tried.";

/// Instances at a time: the job, and runs of the same flow that it starts. Other flows are not loaded.
const INSTANCES: usize = 256;

/// Run a job once and write down what it reports.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Call {
    /// The flow, of world job-flow.
    #[arg(value_name = "TENANT/FLOW")]
    flow: String,
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// An argument of the job; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    arg: Vec<(String, String)>,
    /// The arguments of the job, as they are; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "arg")]
    args: Option<PathBuf>,
    /// The MIME type of --args.
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "application/json",
        requires = "args"
    )]
    args_type: String,
    /// Listen here instead; may be given several times.
    #[arg(long, value_name = "udp:ADDRESS:PORT")]
    listen: Vec<Listen>,
    /// error, warn, info, debug, trace, or a filter such as info,callbox::wire=debug.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// `KEY=VALUE` of the command line.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write KEY=VALUE, as in list=monday".to_owned())
}

impl Call {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut config = Config::load(&self.config).map_err(|error| Failure::NotTried(error.into()))?;
        config.listen = if self.listen.is_empty() {
            free_ports(&config.listen)
        } else {
            self.listen.clone()
        };
        let level = self.log_level.clone().or_else(|| config.log.level.clone());
        let _log = log::start(
            LogFormat::Text,
            level.as_deref(),
            Shown {
                redact: config.log.redact,
                digits: config.log.digits,
            },
            config.limits.host.log_queue_lines,
            None,
        )
        .map_err(Failure::NotTried)?;
        let args = self
            .args(config.limits.call.body_max_bytes)
            .map_err(Failure::NotTried)?;
        let cache = host::cache_dir(&config).map_err(Failure::NotTried)?;
        let host = Host::new(&config, config.limits.host.calls_max.min(INSTANCES), &cache)
            .map_err(Failure::NotTried)?;
        let mut signals = host.signals().map_err(Failure::NotTried)?;
        let wire = host.listen(&config, None).map_err(Failure::NotTried)?;
        let job = match self.prepare(&host, &args) {
            Ok(job) => job,
            Err(error) => {
                host.stop(wire, &mut signals);
                return Err(Failure::NotTried(error));
            }
        };
        let running = host.flows.runtime().pick().spawn(job.run());
        let report = host.control.block_on(async {
            tokio::select! {
                report = running => Ok(report.ok().flatten()),
                () = signals.next() => Ok(None),
                () = wire.broken() => Err(anyhow!("a SIP thread died, see the message above")),
            }
        })?;
        host.stop(wire, &mut signals);
        self.finish(report)
    }

    /// Loads the flow and makes it ready.
    fn prepare(&self, host: &Host, args: &JobArgs) -> anyhow::Result<Job> {
        let loaded = host
            .control
            .block_on(host.directory.load_one(&self.flow, &host.loader));
        if let Some(Err(error)) = loaded.map(|loaded| loaded.version) {
            return Err(anyhow!("{error}"));
        }
        host.directory
            .job(&self.flow, args)
            .with_context(|| format!("cannot run {}", self.flow))
    }

    fn args(&self, most: usize) -> anyhow::Result<JobArgs> {
        let Some(file) = &self.args else {
            let pairs: BTreeMap<String, String> = self.arg.iter().cloned().collect();
            if pairs.len() < self.arg.len() {
                return Err(anyhow!("--arg names a key twice; give each key once"));
            }
            return Ok(JobArgs::of(&pairs));
        };
        let mut data = Vec::new();
        // One byte more than may be, to tell too much from enough.
        let bound = most as u64 + 1;
        let read = if file == Path::new("-") {
            io::stdin().lock().take(bound).read_to_end(&mut data)
        } else {
            std::fs::File::open(file).and_then(|file| file.take(bound).read_to_end(&mut data))
        };
        read.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(JobArgs {
            content_type: self.args_type.clone(),
            data,
        })
    }

    fn finish(&self, report: Option<RunReport>) -> Result<ExitCode, Failure> {
        let Some(report) = report else {
            return Err(Failure::Failed(anyhow!(
                "{} was ended before it was over",
                self.flow
            )));
        };
        match report.outcome {
            Outcome::Finished => {}
            outcome => return Err(Failure::Failed(anyhow!("{}: {outcome}", self.flow))),
        }
        let mut out = io::stdout().lock();
        if let Some(body) = &report.reported {
            out.write_all(body.data())?;
            if !body.data().is_empty() && !body.data().ends_with(b"\n") {
                out.write_all(b"\n")?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The same addresses on ports that are free, which is what peers are then told.
fn free_ports(listen: &[Listen]) -> Vec<Listen> {
    listen
        .iter()
        .map(|listener| {
            let mut free = *listener;
            free.bind.set_port(0);
            free.advertised = listener.advertised.map(|(address, _)| (address, None));
            free
        })
        .collect()
}
