//! `callbox versions`: which versions of a flow there are, and what became of them.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::deploy::flow;
use super::reach::Reach;
use super::table::{Table, plain, span};
use crate::admin::path;
use crate::tenant::{FlowVersions, VersionInfo};
use crate::unix_time::now_ms;

/// List the versions of a flow, or of all flows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox versions acme/ivr --config callbox.toml\n  callbox versions --json\n\n\
    Exit status: 0 listed; 1 no such flow; 2 the host cannot be reached."
)]
pub(super) struct Versions {
    /// Of which flow; none: of all.
    #[arg(value_name = "TENANT/FLOW", value_parser = flow)]
    flow: Option<(String, String)>,
    #[command(flatten)]
    host: Reach,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Versions {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let flows: Vec<FlowVersions> = match &self.flow {
            Some((tenant, flow)) => {
                let path = path(&["v1", "versions", tenant, flow], &[]);
                vec![self.host.ask(async |host| host.get(&path).await)?]
            }
            None => {
                let path = path(&["v1", "versions"], &[]);
                self.host.ask(async |host| host.get(&path).await)?
            }
        };
        let out = &mut io::stdout().lock();
        if self.json {
            super::json(out, &flows)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (position, flow) in flows.iter().enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            print(out, flow)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl Write, flow: &FlowVersions) -> io::Result<()> {
    let watched = if flow.watched {
        "taken when it changes"
    } else {
        "not watched"
    };
    writeln!(out, "{}: {} ({watched})", plain(&flow.flow), plain(&flow.file))?;
    if let Some(failure) = &flow.failure {
        let (by, why) = (plain(&failure.by), plain(&failure.why));
        writeln!(out, "  not taken, {} ago, by {by}: {why}", ago(failure.at_ms))?;
    }
    let mut table = Table::new(&[
        "NUMBER", "STATE", "VERSION", "AGE", "BY", "BYTES", "COMPILED", "RUNNING", "RUNS", "TRAPS", "NOTE",
    ]);
    for version in &flow.versions {
        table.row([
            &version.number.to_string(),
            &version.state,
            &version.version,
            &ago(version.accepted_ms),
            &version.by,
            &version.bytes.to_string(),
            &format!("{} ms", version.compile_ms),
            &version.running.to_string(),
            &version.runs.to_string(),
            &version.traps.to_string(),
            &note(version),
        ]);
    }
    table.write(out)
}

fn note(version: &VersionInfo) -> String {
    let mut notes = Vec::new();
    notes.extend(
        version
            .canary_percent
            .map(|percent| format!("{percent} % of new calls")),
    );
    notes.extend((!version.pins.is_empty()).then(|| format!("calls of {}", version.pins.join(", "))));
    notes.extend(
        version
            .open
            .then(|| "trapped too often: calls get trap_code at once".to_owned()),
    );
    notes.extend(version.broken.clone());
    notes.join("; ")
}

fn ago(ms: u64) -> String {
    span(Duration::from_millis(now_ms().saturating_sub(ms)))
}
