//! `callbox reload`, and SIGHUP, which does the same: the configuration is read again.

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::reach::Reach;
use super::table::plain;
use crate::admin::path;
use crate::tenant::{Changes, Reloader};

const EXAMPLES: &str = "\
Example:
  callbox reload --config callbox.toml

Exit status: 0 the new configuration is at work; 1 it was refused, the output says why, and everything is as it was; 2 the
host could not be asked.";

/// Have a running host read its configuration again, whole or not at all, and print what has changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reload {
    #[command(flatten)]
    host: Reach,
}

impl Reload {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let changes: Changes = self
            .host
            .ask(async |host| host.post_patiently(&path(&["v1", "reload"], &[])).await)?;
        let out = &mut io::stdout().lock();
        for line in changes.lines() {
            writeln!(out, "{}", plain(line))?;
        }
        for line in &changes.restart {
            writeln!(
                out,
                "stays as it was until callbox is started again: {}",
                plain(line)
            )?;
        }
        if changes.is_empty() {
            writeln!(out, "nothing has changed")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for the signal.
pub(super) struct Hangup {
    asked: Signal,
}

impl Hangup {
    /// Catches SIGHUP, which would end the process. To be called within a runtime.
    pub(super) fn new() -> anyhow::Result<Self> {
        let asked = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        Ok(Self { asked })
    }

    /// Reloads for ever, whenever it is asked to. How it went is in the log.
    pub(super) async fn answer(&mut self, reloader: &Reloader) -> Infallible {
        loop {
            if self.asked.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            drop(reloader.reload().await);
        }
    }
}
