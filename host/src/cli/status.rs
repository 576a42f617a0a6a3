//! `callbox status`: is the host well, what does it serve, how full is it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::reach::Reach;
use super::table::{Table, plain, span};
use crate::admin::{DrainState, Flow, Status as Report, path};
use crate::tenant::{Failure as Refused, Fallen};
use crate::unix_time::now_ms;

/// Show a running host: whether it serves, how full it is, and which flows it has.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox status --config callbox.toml\n  callbox status --socket .callbox/admin.sock --json\n\n\
    A version that was not taken, and one that has trapped too often, have a line below their flow's.\n\n\
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
    table.write(out)?;
    for flow in &report.flows {
        failures(out, flow)?;
    }
    Ok(())
}

/// What was to serve and does not: a line each.
fn failures(out: &mut impl Write, flow: &Flow) -> io::Result<()> {
    let name = plain(&format!("{}/{}", flow.tenant, flow.flow));
    if let Some(Refused { at_ms, by, why }) = &flow.failure {
        let since = ago(*at_ms);
        writeln!(
            out,
            "{name}: not taken, {since} ago, by {}: {}",
            plain(by),
            plain(why)
        )?;
    }
    for fallen in &flow.fallen {
        writeln!(out, "{name}: {}", fell(fallen))?;
    }
    Ok(())
}

/// What became of a version that trapped too often.
pub(super) fn fell(fallen: &Fallen) -> String {
    let (version, why) = (plain(&fallen.version), plain(&fallen.why));
    let what = match fallen.open {
        true => "takes no calls",
        false => "was taken out of service",
    };
    format!("version {} ({version}) {what}: {why}", fallen.number)
}

pub(super) fn ago(ms: u64) -> String {
    span(Duration::from_millis(now_ms().saturating_sub(ms)))
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
