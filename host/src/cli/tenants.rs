//! `callbox tenants`: whose calls a host takes, what they get, and how full each one's quota is.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use super::status::{ago, fell};
use super::table::{Table, plain};
use crate::admin::{self, path};
use crate::tenant::{ServingVersion, TenantFlow, TenantProfile, TenantQuota};

/// Show the tenants of a running host, or all that is known of one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  callbox tenants --config callbox.toml\n  callbox tenants acme --config callbox.toml\n  \
    callbox tenants acme --json --socket .callbox/admin.sock\n\n\
    Exit status: 0 shown; 1 no such tenant; 2 the host cannot be reached."
)]
pub(super) struct Tenants {
    /// Which one; none: all, a line each.
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    host: Reach,
    /// Print what the admin API says, as JSON.
    #[arg(long)]
    json: bool,
}

impl Tenants {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let out = &mut io::stdout().lock();
        match &self.tenant {
            Some(name) => {
                let path = path(&["v1", "tenants", name], &[]);
                let tenant: TenantProfile = self.host.ask(async |host| host.get(&path).await)?;
                match self.json {
                    true => super::json(out, &tenant)?,
                    false => print_one(out, &tenant)?,
                }
            }
            None => {
                let path = path(&["v1", "tenants"], &[]);
                let tenants: admin::Tenants = self.host.ask(async |host| host.get(&path).await)?;
                match self.json {
                    true => super::json(out, &tenants)?,
                    false => print_all(out, &tenants)?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_all(out: &mut impl Write, all: &admin::Tenants) -> io::Result<()> {
    let mut table = Table::new(&[
        "TENANT",
        "CALLS",
        "FLOWS",
        "NUMBERS",
        "DOMAINS",
        "LIMITS HIT",
        "NOTE",
    ]);
    for tenant in &all.tenants {
        let hits: u64 = tenant.quotas.iter().filter_map(|quota| quota.hits).sum();
        table.row([
            &tenant.name,
            &format!("{} of {}", tenant.calls, tenant.calls_max),
            &tenant.flows.len().to_string(),
            &some(&tenant.numbers),
            &some(&tenant.domains),
            &hits.to_string(),
            &note(tenant),
        ]);
    }
    table.write(out)?;
    for wrong in &all.left_out {
        writeln!(out, "left out: {}", plain(wrong))?;
    }
    Ok(())
}

/// The first few, and how many more there are.
fn some(texts: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = texts.iter().take(SHOWN).map(String::as_str).collect();
    let more = texts.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What an operator should look at.
fn note(tenant: &TenantProfile) -> String {
    let count = |of: fn(&TenantFlow) -> bool, what: &str| {
        let flows = tenant.flows.iter().filter(|flow| of(flow)).count();
        (flows > 0).then(|| format!("{flows} {what}"))
    };
    let notes = [
        count(|flow| flow.standing.current.is_none(), "not loaded"),
        count(
            |flow| flow.standing.fallen.iter().any(|one| one.open),
            "with an open breaker",
        ),
        count(
            |flow| flow.standing.fallen.iter().any(|one| !one.open),
            "with a version that fell",
        ),
        count(
            |flow| flow.standing.failure.is_some(),
            "with a version that was not taken",
        ),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn print_one(out: &mut impl Write, tenant: &TenantProfile) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} of {} calls",
        plain(&tenant.name),
        tenant.calls,
        tenant.calls_max
    )?;
    line(out, "domains", &tenant.domains)?;
    line(out, "numbers", &tenant.numbers)?;
    line(out, "grants", &tenant.grants)?;
    let mut table = Table::new(&["ROUTE", "TO", "AT"]);
    for route in &tenant.routes {
        table.row([&route.takes, &format!("{} {}", route.kind, route.to), &route.at]);
    }
    writeln!(out)?;
    table.write(out)?;
    writeln!(out)?;
    print_flows(out, &tenant.flows)?;
    let mut table = Table::new(&["QUOTA", "TAKEN", "OF", "HITS"]);
    for TenantQuota {
        limit,
        max,
        taken,
        hits,
    } in &tenant.quotas
    {
        let number =
            |number: &Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.row([limit, &number(taken), &max.to_string(), &number(hits)]);
    }
    writeln!(out)?;
    table.write(out)
}

fn line(out: &mut impl Write, what: &str, texts: &[String]) -> io::Result<()> {
    match texts.is_empty() {
        true => writeln!(out, "{what}: none"),
        false => writeln!(out, "{what}: {}", plain(&texts.join(", "))),
    }
}

fn print_flows(out: &mut impl Write, flows: &[TenantFlow]) -> io::Result<()> {
    let mut table = Table::new(&[
        "FLOW", "CALLS OF", "NUMBER", "VERSION", "BREAKER", "RUNNING", "RUNS", "TRAPS", "GRANTS",
    ]);
    for flow in flows {
        let standing = &flow.standing;
        let grants = if flow.grants.is_empty() {
            "none".to_owned()
        } else {
            flow.grants.join(", ")
        };
        match &standing.current {
            Some(version) => {
                let tried = standing.canary.is_some() || !standing.pins.is_empty();
                let calls = if tried { "all others" } else { "all" };
                serving(&mut table, &flow.name, calls, version, &grants);
            }
            None => table.row([
                flow.name.as_str(),
                "",
                "",
                "NOT LOADED",
                "",
                "",
                "",
                "",
                grants.as_str(),
            ]),
        }
        if let Some(canary) = &standing.canary {
            let share = format!("{} % of them", canary.percent);
            serving(&mut table, "", &share, &canary.version, "");
        }
        for pinned in &standing.pins {
            serving(&mut table, "", &pinned.pin, &pinned.version, "");
        }
    }
    table.write(out)?;
    for flow in flows {
        let name = plain(&flow.name);
        if let Some(failure) = &flow.standing.failure {
            let (since, by, why) = (ago(failure.at_ms), plain(&failure.by), plain(&failure.why));
            writeln!(out, "{name}: not taken, {since} ago, by {by}: {why}")?;
        }
        for fallen in &flow.standing.fallen {
            writeln!(out, "{name}: {}", fell(fallen))?;
        }
    }
    Ok(())
}

fn serving(table: &mut Table, flow: &str, calls: &str, version: &ServingVersion, grants: &str) {
    table.row([
        flow,
        calls,
        &version.number.to_string(),
        &version.version,
        &version.breaker,
        &version.running.to_string(),
        &version.runs.to_string(),
        &version.traps.to_string(),
        grants,
    ]);
}
