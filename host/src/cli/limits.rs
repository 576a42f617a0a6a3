//! `callbox limits`: prints the table of limits.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;

use super::Failure;
use crate::config::limits::{Limit, Limits as Table, TenantLimits, table};
use crate::config::{Config, ConfigError};

/// Print every limit: its value, default and range, why it is so, and what happens when it is hit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox limits\n  callbox limits --config callbox.toml\n  callbox limits --config callbox.toml --tenant acme"
)]
pub(super) struct Limits {
    /// Show the values that this file sets.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show what holds for this tenant: `[limits.tenant]`, with what its own table says.
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with = "markdown")]
    tenant: Option<String>,
    /// Print the table in Markdown, as in docs/limits.md.
    #[arg(long)]
    markdown: bool,
}

impl Limits {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = self.config.as_deref().map(Config::load).transpose();
        let config = config.map_err(|error: ConfigError| Failure::NotTried(error.into()))?;
        let out = &mut io::stdout().lock();
        if let (Some(config), Some(name)) = (&config, &self.tenant) {
            let tenant = config.tenants.iter().find(|tenant| tenant.name == *name);
            let tenant = tenant.ok_or_else(|| Failure::NotTried(unknown(config, name)))?;
            rows(out, TenantLimits::ROWS, |row| tenant.limits.get(row.name))?;
            return Ok(ExitCode::SUCCESS);
        }
        let limits = config.map_or_else(Table::default, |config| config.limits);
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

fn unknown(config: &Config, name: &str) -> anyhow::Error {
    let names: Vec<&str> = config.tenants.iter().map(|tenant| &*tenant.name).collect();
    anyhow!(
        "{} has no tenant {name:?}, but {}",
        config.file.display(),
        names.join(", ")
    )
}

pub(super) fn print(out: &mut impl Write, limits: &Table) -> io::Result<()> {
    rows(out, table(), |row| limits.get(row))
}

fn rows(
    out: &mut impl Write,
    rows: impl IntoIterator<Item = &'static Limit>,
    value: impl Fn(&Limit) -> Option<u64>,
) -> io::Result<()> {
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            writeln!(out, "[{group}]")?;
        }
        let value = value(row).unwrap_or(row.default);
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
