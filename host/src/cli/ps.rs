//! `callbox ps`: the sessions that are alive, with their calls.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::reach::Reach;
use super::table::{Table, span};
use crate::admin::{Order, Sessions, path};

const EXAMPLES: &str = "\
Examples:
  callbox ps --config callbox.toml
  callbox ps --config callbox.toml --tenant acme --watch
  callbox ps --config callbox.toml --sort cpu --limit 10
  callbox ps --socket .callbox/admin.sock --json";

/// Show the calls and jobs that run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ps {
    #[command(flatten)]
    host: Reach,
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those of this flow.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Only the session with this Call-ID.
    #[arg(long, value_name = "CALL-ID")]
    call: Option<String>,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Which first, and with --limit which at all: the oldest, or those that have used most CPU, or hold most memory.
    #[arg(long, value_name = "BY", value_enum, default_value_t)]
    sort: Order,
    /// Show them anew every second, in place.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Ps {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let limit = self.limit.to_string();
        let sort = match self.sort {
            Order::Age => "age",
            Order::Cpu => "cpu",
            Order::Memory => "memory",
        };
        let parameters = [
            ("sort", Some(sort)),
            ("tenant", self.tenant.as_deref()),
            ("flow", self.flow.as_deref()),
            ("call", self.call.as_deref()),
            ("limit", Some(limit.as_str())),
        ];
        let place = path(&["v1", "sessions"], &parameters);
        if self.watch {
            return self.host.ask(async |host| {
                let mut ticks = tokio::time::interval(Duration::from_secs(1));
                loop {
                    ticks.tick().await;
                    let sessions: Sessions = host.get(&place).await?;
                    if refresh(&sessions).is_err() {
                        // Nobody looks any more.
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            });
        }
        let sessions: Sessions = self.host.ask(async |host| host.get(&place).await)?;
        let out = &mut io::stdout().lock();
        match self.json {
            true => super::json(out, &sessions)?,
            false => print(out, &sessions)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table in the place of the one before; one after the other where nobody can go back.
fn refresh(sessions: &Sessions) -> io::Result<()> {
    // Home, and what was there erased to the end of the screen: no flicker of an empty one.
    const HOME: &str = "\x1b[H\x1b[J";
    let mut page = Vec::new();
    if io::stdout().is_terminal() {
        page.extend_from_slice(HOME.as_bytes());
    }
    print(&mut page, sessions)?;
    let mut out = io::stdout().lock();
    out.write_all(&page)?;
    out.flush()
}

fn print(out: &mut impl Write, sessions: &Sessions) -> io::Result<()> {
    let mut table = Table::new(&[
        "SESSION", "FLOW", "VERSION", "AGE", "CPU", "MEM", "LEG", "STATE", "FROM", "TO", "CALL-ID",
    ]);
    for session in &sessions.sessions {
        let flow = format!("{}/{}", session.tenant, session.flow);
        let age = span(Duration::from_millis(session.age_ms));
        // Times of the processor are short: a call of a minute that computes for a second is a busy one.
        let cpu = format!("{} ms", session.usage.cpu_us.div_ceil(1_000));
        let memory = format!("{} KiB", session.usage.memory_bytes >> 10);
        let own = [session.id.as_str(), &flow, &session.version, &age, &cpu, &memory];
        if session.legs.is_empty() {
            table.row(own);
        }
        for (position, leg) in session.legs.iter().enumerate() {
            // What is the session's stands at its first leg.
            let [id, flow, version, age, cpu, memory] = if position == 0 { own } else { [""; 6] };
            let arrow = if leg.direction == "inbound" { "<" } else { ">" };
            table.row([
                id,
                flow,
                version,
                age,
                cpu,
                memory,
                &format!("{arrow}{}", leg.leg),
                &leg.state,
                &leg.ani,
                &leg.dnis,
                &leg.call_id,
            ]);
        }
    }
    table.write(out)?;
    let shown = sessions.sessions.len();
    match shown == sessions.total {
        true => writeln!(out, "{shown} sessions"),
        false => writeln!(out, "{shown} of {} sessions", sessions.total),
    }
}
