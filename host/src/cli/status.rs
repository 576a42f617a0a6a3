//! `callbox status`: is the host well, what does it serve, how full is it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::reach::Reach;
use super::table::{Table, plain, span};
use crate::admin::{DrainState, Status as Report, path};
use crate::unix_time::now_ms;

/// Show a running host: whether it serves, how full it is, and which flows it has.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox status --config callbox.toml\n  callbox status --socket .callbox/admin.sock --json\n\n\
    Exit status: 0 it serves; 1 it drains, or a flow is not loaded; 2 it cannot be reached."
)]
pub(super) struct Status {
    #[command(flatten)]
    host: Reach,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let report: Report = self
            .host
            .ask(async |host| host.get(&path(&["v1", "status"], &[])).await)?;
        let out = &mut io::stdout().lock();
        match self.json {
            true => super::json(out, &report)?,
            false => print(out, &report)?,
        }
        let well = report.state == "serving" && report.flows.iter().all(|flow| flow.version.is_some());
        Ok(ExitCode::from(u8::from(!well)))
    }
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { calls, wire, .. } = report;
    writeln!(
        out,
        "callbox {}, {} for {} (process {})",
        plain(&report.version),
        plain(&report.state),
        span(Duration::from_secs(report.uptime_s)),
        report.pid
    )?;
    if let Some(drain) = &report.drain {
        print_drain(out, drain)?;
    }
    writeln!(
        out,
        "calls: {} of {}; {} refused with 503 and {} trapped since the start",
        calls.now, calls.max, calls.refused, calls.trapped
    )?;
    writeln!(
        out,
        "SIP: {} legs, {} dialogs, {} transactions, {} registrations, {} subscriptions, {} connections, {} threads",
        wire.legs,
        wire.dialogs,
        wire.transactions,
        wire.registrations,
        wire.subscriptions,
        wire.connections,
        wire.threads
    )?;
    for listener in &report.listeners {
        write!(
            out,
            "listening on {}:{}",
            plain(&listener.transport),
            plain(&listener.local)
        )?;
        match listener.advertised == listener.local {
            true => writeln!(out)?,
            false => writeln!(out, ", known as {}", plain(&listener.advertised))?,
        }
    }
    writeln!(out)?;
    let mut table = Table::new(&["FLOW", "VERSION", "RUNS", "TRAPS"]);
    for flow in &report.flows {
        table.row([
            &format!("{}/{}", flow.tenant, flow.flow),
            flow.version.as_deref().unwrap_or("NOT LOADED"),
            &flow.runs.to_string(),
            &flow.traps.to_string(),
        ]);
    }
    table.write(out)
}

fn print_drain(out: &mut impl Write, drain: &DrainState) -> io::Result<()> {
    let since = Duration::from_millis(now_ms().saturating_sub(drain.since_ms));
    let who = if drain.for_good {
        "the end of the host"
    } else {
        "an operator"
    };
    write!(out, "draining for {}, by {who}", span(since))?;
    if let Some(peer) = &drain.redirect {
        write!(out, "; new calls go to {}", plain(peer))?;
    }
    if let Some(ends) = drain.ends_ms {
        let left = Duration::from_millis(ends.saturating_sub(now_ms()));
        write!(out, "; what is up is ended in {}", span(left))?;
    }
    match drain.for_good {
        true => writeln!(out),
        false => writeln!(out, "; callbox drain --undo takes calls again"),
    }
}
