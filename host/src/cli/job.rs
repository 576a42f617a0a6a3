//! `callbox job`: starts a job on a host that runs.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Failure;
use super::call::pair;
use super::reach::Reach;
use super::table::plain;
use crate::admin::{Begun, NewJob, path};

/// Start a job on a running host, and print the id of its session.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  callbox job acme/campaign --arg list=monday --config callbox.toml")]
pub(super) struct Job {
    /// The flow.
    #[arg(value_name = "TENANT/FLOW")]
    flow: String,
    /// An argument; may be given several times.
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,
    #[command(flatten)]
    host: Reach,
}

impl Job {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let job = NewJob {
            flow: self.flow,
            args: self.args.into_iter().collect(),
        };
        let begun: Begun = self
            .host
            .ask(async |host| host.post(&path(&["v1", "jobs"], &[]), &job).await)?;
        writeln!(io::stdout().lock(), "{}", plain(&begun.session))?;
        Ok(ExitCode::SUCCESS)
    }
}
