//! `callbox route-test`: whose call would this be, and why.
//!
//! Reads the files and asks no host: a host that runs may have been told another configuration, or serve another version.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use sha2::{Digest, Sha256};

use super::Failure;
use crate::call::called;
use crate::config::{Config, Miss, Route, RouteTarget, Tenant};

const EXAMPLES: &str = "\
Examples:
  callbox route-test --config callbox.toml --to 100 --source 192.0.2.7
  callbox route-test --config callbox.toml --to sip:+4930123@acme.example --source 10.0.0.1 --from +49891 --all

Exit status: 0 a tenant's flow or service would get the call; 1 nobody would: the caller gets 404; 2 it could not be tried.";

/// Say which tenant, route, flow and version would answer a call, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RouteTest {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Who is called: a SIP URI, or its user part.
    #[arg(long, value_name = "URI")]
    to: String,
    /// Who calls. No route asks for it; the flow will.
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// The address that the INVITE comes from.
    #[arg(long, value_name = "ADDRESS")]
    source: IpAddr,
    /// The host part of the Request-URI, when --to is a user part alone.
    #[arg(long, value_name = "HOST", default_value = "")]
    domain: String,
    /// Show the routes, too, whose number it is not.
    #[arg(long)]
    all: bool,
}

impl RouteTest {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = Config::load(&self.config).map_err(|error| Failure::NotTried(error.into()))?;
        let (user, domain) = match self.to.contains(':') {
            true => called(&self.to)
                .with_context(|| format!("--to {:?} is no SIP URI; write sip:USER@HOST or USER", self.to))
                .map_err(Failure::NotTried)?,
            false if self.to.contains('@') => {
                let error = anyhow!(
                    "--to {:?}: write sip:USER@HOST, or USER and --domain HOST",
                    self.to
                );
                return Err(Failure::NotTried(error));
            }
            false => (self.to.clone(), self.domain.to_ascii_lowercase()),
        };
        let out = &mut io::stdout().lock();
        for problem in &config.left_out {
            writeln!(out, "left out: {problem}")?;
        }
        let domain_shown = if domain.is_empty() { "no domain" } else { &domain };
        write!(out, "a call to {user:?} at {domain_shown}, from {}", self.source)?;
        match &self.from {
            Some(from) => writeln!(out, ", of {from:?} (no route asks who calls)")?,
            None => writeln!(out)?,
        }
        let mut others = 0;
        for route in &config.routes {
            let Some(tenant) = config.tenants.get(route.tenant) else {
                continue;
            };
            match route.miss(&user, &domain, self.source) {
                None => {
                    others_said(out, others)?;
                    writeln!(out, "{}: {route}: yes", route.origin)?;
                    answer(out, route, tenant)?;
                    return Ok(ExitCode::SUCCESS);
                }
                Some(Miss::Number) if !self.all => others += 1,
                Some(miss) => {
                    let why = match miss {
                        Miss::Number => "the number",
                        Miss::Domain => "the domain",
                        Miss::Source => "the source",
                    };
                    writeln!(
                        out,
                        "{}: {route} (tenant {}): no: {why}",
                        route.origin, tenant.name
                    )?;
                }
            }
        }
        others_said(out, others)?;
        writeln!(
            out,
            "nobody: no route takes it. The caller gets 404, unless a session holds a registration that the call names"
        )?;
        Ok(ExitCode::from(1))
    }
}

fn others_said(out: &mut impl Write, others: usize) -> io::Result<()> {
    match others {
        0 => Ok(()),
        _ => writeln!(out, "other numbers: {others} routes before (--all shows them)"),
    }
}

fn answer(out: &mut impl Write, route: &Route, tenant: &Tenant) -> io::Result<()> {
    match &route.to {
        RouteTarget::Service(service) => writeln!(
            out,
            "tenant {}: a session that accepts {service:?}, now or within limits.call.service_wait_ms",
            tenant.name
        ),
        RouteTarget::Flow(position) => {
            let Some(flow) = tenant.flows.get(*position) else {
                return Ok(());
            };
            let version = match version(&flow.file) {
                Ok(version) => format!("version {version}"),
                Err(error) => format!("cannot be read: {error}"),
            };
            writeln!(
                out,
                "tenant {}, flow {}: {}, {version}",
                tenant.name,
                flow.name,
                flow.file.display()
            )
        }
    }
}

/// The name of the version that this file is, as logs and flows see it.
fn version(file: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut file = File::open(file)?;
    let mut piece = [0; 16_384];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => digest.update(piece.get(..read).unwrap_or_default()),
        }
    }
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(hex.get(..12).unwrap_or(&hex).to_owned())
}
