//! `callbox traps`: which flows fell over lately, and where.

use std::io::{self, Write};
use std::process::ExitCode;

use super::reach::Reach;
use super::table::plain;
use super::{Failure, when};
use crate::admin::{Trap, Traps as Reports, path};

const EXAMPLES: &str = "\
Examples:
  callbox traps --config callbox.toml
  callbox traps --config callbox.toml --tenant acme
  callbox traps --socket .callbox/admin.sock --json

The newest come first; of each tenant the latest limits.traps_max are remembered.";

/// Show the latest traps of flows: the limit or fault, the functions, the last lines of the log.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Traps {
    #[command(flatten)]
    host: Reach,
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Traps {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let place = path(&["v1", "traps"], &[("tenant", self.tenant.as_deref())]);
        let reports: Reports = self.host.ask(async |host| host.get(&place).await)?;
        let out = &mut io::stdout().lock();
        match self.json {
            true => super::json(out, &reports)?,
            false => {
                for trap in &reports.traps {
                    print(out, trap)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl Write, trap: &Trap) -> io::Result<()> {
    writeln!(
        out,
        "{} {}/{} {} session {} call {}",
        when::show(trap.at_ms),
        plain(&trap.tenant),
        plain(&trap.flow),
        plain(&trap.version),
        plain(&trap.session),
        plain(&trap.call)
    )?;
    let limit = trap.limit.as_deref().unwrap_or("none");
    writeln!(out, "  {}: {} (limit: {limit})", trap.outcome, plain(&trap.text))?;
    if let Some(heir) = &trap.heir {
        writeln!(out, "  taken over by session {}", plain(heir))?;
    }
    for line in trap.backtrace.iter().flat_map(|frames| frames.lines()) {
        writeln!(out, "    {}", plain(line))?;
    }
    for line in &trap.last_lines {
        writeln!(out, "  log: {}", plain(line))?;
    }
    Ok(())
}
