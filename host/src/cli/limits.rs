//! `callbox limits`: prints the table of limits.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::config::limits::{Limits as Table, table};
use crate::config::{Config, ConfigError};

/// Print every limit: its value, default and range, why it is so, and what happens when it is hit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  callbox limits\n  callbox limits --config callbox.toml")]
pub(super) struct Limits {
    /// Show the values that this file sets.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the table in Markdown, as in docs/limits.md.
    #[arg(long)]
    markdown: bool,
}

impl Limits {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let limits = match self.config {
            Some(file) => {
                Config::load(&file)
                    .map_err(|error: ConfigError| Failure::NotTried(error.into()))?
                    .limits
            }
            None => Table::default(),
        };
        let out = &mut io::stdout().lock();
        match self.markdown {
            true => markdown(out, &limits)?,
            false => print(out, &limits)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table as a page of the documentation.
fn markdown(out: &mut impl Write, limits: &Table) -> io::Result<()> {
    writeln!(
        out,
        "# Limits\n\nEvery bound of callbox. Written by `callbox limits --markdown > docs/limits.md` from the one table in\n\
         `host/src/config/limits.rs`; a test fails when the two differ. A number out of its range is refused at the start.\n\
         A metric tells of hits ([metrics.md](metrics.md)): those of the name `…limit_hits_total` count them row by row, with the \
         label\n`limit`, as in `limit=\"limits.call.legs_max\"`, and that of a tenant has the label `tenant` too. A burst is counted with \
         its rate."
    )?;
    let mut group = "";
    for row in table() {
        if row.group != group {
            group = row.group;
            writeln!(
                out,
                "\n## [{group}]\n\n| name | default | range | counts | why | when hit | metric |\n|---|---|---|---|---|---|---|"
            )?;
        }
        let value = limits.get(row).unwrap_or(row.default);
        let (least, greatest) = row.range;
        writeln!(
            out,
            "| `{}` | {value} | {least} – {greatest} | {} | {} | {} | {} |",
            row.name,
            row.unit,
            row.why,
            row.when_hit,
            row.metric()
                .map_or_else(|| "–".to_owned(), |name| format!("`{name}`"))
        )?;
    }
    Ok(())
}

pub(super) fn print(out: &mut impl Write, limits: &Table) -> io::Result<()> {
    let mut group = "";
    for row in table() {
        if row.group != group {
            group = row.group;
            writeln!(out, "[{group}]")?;
        }
        let value = limits.get(row).unwrap_or(row.default);
        let (least, greatest) = row.range;
        writeln!(
            out,
            "{} = {value}  # {}; default {}, {least} to {greatest}",
            row.name, row.unit, row.default
        )?;
        writeln!(out, "#   {}", row.why)?;
        writeln!(out, "#   When hit: {}", row.when_hit)?;
    }
    Ok(())
}
