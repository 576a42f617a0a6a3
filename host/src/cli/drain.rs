//! `callbox drain`: the host takes no more calls, until it is told otherwise.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;

use super::Failure;
use super::reach::Reach;
use crate::admin::{Drain as Request, Status, path};

const EXAMPLES: &str = "\
Examples:
  callbox drain --config callbox.toml --wait                       until the last call is over
  callbox drain --redirect sip:two.example:5060 --config callbox.toml
  callbox drain --grace 60 --wait --config callbox.toml            what is up is hung up in a minute
  callbox drain --undo --config callbox.toml

New calls get 503 with Retry-After, or 302; jobs do not start. The process goes on, and --undo has it take calls again: what still
runs then goes on, also where it was told to finish. Exit status 1: the host is shutting down, or --wait saw it take calls again.";

/// Take no more calls, without ending the process.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Drain {
    /// Send new calls there (302) instead of where `[drain] redirect` says.
    #[arg(long, value_name = "sip:HOST:PORT", conflicts_with = "undo")]
    redirect: Option<String>,
    /// Tell the flows that run to finish within this time, and hang up then; without it calls end when they end.
    #[arg(long, value_name = "SECONDS", conflicts_with = "undo")]
    grace: Option<u32>,
    /// Return when the last call and job is over.
    #[arg(long, conflicts_with = "undo")]
    wait: bool,
    /// Take calls again.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    host: Reach,
}

impl Drain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let place = path(&["v1", "drain"], &[]);
        let out = &mut io::stdout().lock();
        if self.undo {
            self.host.ask(async |host| host.delete::<()>(&place).await)?;
            writeln!(out, "the host takes calls")?;
            return Ok(ExitCode::SUCCESS);
        }
        let request = Request {
            redirect: self.redirect,
            grace_ms: self.grace.map(|seconds| u64::from(seconds) * 1_000),
        };
        let status = path(&["v1", "status"], &[]);
        let report: Status = self.host.ask(async |host| {
            host.post::<_, ()>(&place, &request).await?;
            host.get(&status).await
        })?;
        writeln!(out, "the host takes no new calls; {} are up", report.calls.now)?;
        out.flush()?;
        if !self.wait {
            return Ok(ExitCode::SUCCESS);
        }
        let empty = self.host.ask(async |host| {
            let mut ticks = tokio::time::interval(Duration::from_millis(250));
            loop {
                ticks.tick().await;
                let report: Status = host.get(&status).await?;
                match (report.drain.is_some(), report.calls.now) {
                    (false, _) => return Ok(false),
                    (true, 0) => return Ok(true),
                    (true, _) => {}
                }
            }
        })?;
        if !empty {
            return Err(anyhow!("the host takes calls again: the drain was undone").into());
        }
        writeln!(out, "no call and no job is up")?;
        Ok(ExitCode::SUCCESS)
    }
}
