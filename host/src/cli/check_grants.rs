//! `callbox check --tenant`: what a tenant's flows are granted, beside what they import.
//!
//! Entry point: [`run`]. Knows the configuration and a component's imports, and nothing of what runs.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

use super::Failure;
use super::check::Inspector;
use crate::call::Grants;
use crate::config::{Capability, Config, Granted, Tenant};
use crate::plugin::Inspection;
use crate::tenant;

/// Shows the grants of a tenant beside what one file imports, or all files of its flows.
pub(super) fn run(config: &Path, name: &str, flow: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load_whole(config).map_err(|error| Failure::NotTried(error.into()))?;
    let tenant = find(&config, name).map_err(Failure::NotTried)?;
    let wanted = match flow {
        Some(file) => {
            let (flow, granted) = granted_to(tenant, file);
            vec![(file, flow, granted)]
        }
        None => {
            let flows = tenant.flows.iter();
            flows
                .map(|flow| (flow.file.as_path(), Some(flow.name.as_str()), &flow.granted))
                .collect()
        }
    };
    let inspector = Inspector::new(&config.limits.plugin)?;
    let mut out = io::stdout().lock();
    let mut all = true;
    for (file, flow, granted) in wanted {
        let Some(inspection) = inspector.inspect(file, &mut out)? else {
            all = false;
            continue;
        };
        let whose = flow.map_or_else(|| "any flow".to_owned(), |flow| format!("flow {flow}"));
        let table = Table::new(granted, &inspection);
        write!(out, "grants of tenant {name}, {whose}:\n{table}")?;
        for fix in table.fixes(&tenant::granted(granted, name, flow)) {
            writeln!(out, "{}: {fix}", file.display())?;
            all = false;
        }
        writeln!(out)?;
    }
    Ok(match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// One flow's grants and imports.
struct Table {
    rows: Vec<Row>,
    /// What it imports and every flow may call.
    free: Vec<String>,
}

struct Row {
    capability: Capability,
    granted: bool,
    /// The functions that it imports of those that the capability covers.
    imported: Vec<String>,
    by: String,
}

impl Table {
    fn new(granted: &Granted, inspection: &Inspection) -> Self {
        let set = granted.set();
        let rows = Capability::ALL
            .into_iter()
            .map(|capability| Row {
                capability,
                granted: set.has(capability),
                imported: inspection.functions_of(capability),
                by: match granted.decided_by(capability) {
                    Some((whose, line)) => format!("{whose}, {}", line.at),
                    None => "default".to_owned(),
                },
            })
            .collect();
        let mut free: Vec<String> = inspection
            .functions()
            .filter(|function| Capability::of(function).is_none())
            .collect();
        free.sort_unstable();
        free.dedup();
        Self { rows, free }
    }

    /// What to do about each function that it imports and is not granted; nothing where it is granted all.
    fn fixes(&self, grants: &Grants) -> Vec<String> {
        let missing = self
            .rows
            .iter()
            .filter(|row| !row.granted && !row.imported.is_empty());
        missing
            .filter_map(|row| {
                let withheld = grants.withheld_of(row.capability)?;
                let functions = shown(&row.imported);
                Some(format!(
                    "{functions} NOT GRANTED: {} ({})",
                    withheld.fix, withheld.place
                ))
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest =
            |of: fn(&Row) -> usize, least: usize| self.rows.iter().map(of).max().unwrap_or(0).max(least);
        let (name, by) = (
            widest(|row| row.capability.name().len(), "(none needed)".len()),
            widest(|row| row.by.len(), "by".len()),
        );
        writeln!(
            f,
            "  {:<name$}  {:<7}  {:<by$}  imported",
            "capability", "granted", "by"
        )?;
        for row in &self.rows {
            let granted = match (row.granted, row.imported.is_empty()) {
                (true, _) => "yes",
                (false, true) => "no",
                (false, false) => "NO",
            };
            let imported = match row.imported.is_empty() {
                true => "-".to_owned(),
                false => shown(&row.imported),
            };
            writeln!(
                f,
                "  {:<name$}  {granted:<7}  {:<by$}  {imported}",
                row.capability.name(),
                row.by
            )?;
        }
        let mut free = self.free.as_slice();
        while let Some(interface) = free.first().and_then(|first| first.split('.').next()) {
            let of_it = free.partition_point(|function| function.split('.').next() == Some(interface));
            let (these, rest) = free.split_at(of_it.max(1));
            writeln!(
                f,
                "  {:<name$}  {:<7}  {:<by$}  {}",
                "(none needed)",
                "yes",
                "always",
                shown(these)
            )?;
            free = rest;
        }
        Ok(())
    }
}

/// Names of a component's own making: escaped.
fn shown(functions: &[String]) -> String {
    functions
        .iter()
        .map(|function| function.escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is granted to a tenant's flow with this file; to any flow of the tenant, where the file is not one of its.
fn granted_to<'a>(tenant: &'a Tenant, file: &Path) -> (Option<&'a str>, &'a Granted) {
    let same = |other: &Path| match (file.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    let flow = tenant.flows.iter().find(|flow| same(&flow.file));
    flow.map_or((None, &tenant.granted), |flow| (Some(&flow.name), &flow.granted))
}

/// The tenant of this name, or the names that there are.
fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Tenant> {
    let found = config.tenants.iter().find(|tenant| tenant.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = config.tenants.iter().map(|tenant| &*tenant.name).collect();
        anyhow!(
            "there is no tenant {name:?} in {}; there are: {}",
            config.file.display(),
            names.join(", ")
        )
    })
}
