//! `callbox route-test`: whose call would this be, and why.
//!
//! Reads the files, and asks no host unless it is told to: a host that runs may have been told another configuration, or serve
//! another version than the flow's file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use sha2::{Digest, Sha256};

use super::Failure;
use super::reach::Reach;
use super::table::plain;
use crate::admin::{RouteFound, path};
use crate::call::dialled;
use crate::config::{Config, Miss, Route, RouteTarget, Tenant};
use crate::tenant::{Answering, Share};

const EXAMPLES: &str = "\
Examples:
  callbox route-test --config callbox.toml --to 100 --source 192.0.2.7
  callbox route-test --config callbox.toml --to sip:+4930123@acme.example --source 10.0.0.1 --from +49891 --all
  callbox route-test --config callbox.toml --to 100 --source 192.0.2.7 --live   what the host that runs does, with deployed versions

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
    /// Who calls. No route asks for it; the flow will, and pins of versions may.
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// The address that the INVITE comes from.
    #[arg(long, value_name = "ADDRESS")]
    source: IpAddr,
    /// The host part of the Request-URI, when --to is a user part alone.
    #[arg(long, value_name = "HOST", default_value = "")]
    domain: String,
    /// Show the routes, too, whose number it is not.
    #[arg(long, conflicts_with = "live")]
    all: bool,
    /// Ask the host that runs with this configuration, which knows what was deployed, is tried and is pinned.
    #[arg(long)]
    live: bool,
}

impl RouteTest {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (user, domain) = dialled(&self.to, &self.domain)
            .map_err(|error| Failure::NotTried(anyhow!("--to {error} (--domain HOST)")))?;
        if self.live {
            return self.ask(&user, &domain);
        }
        let config = Config::load(&self.config).map_err(|error| Failure::NotTried(error.into()))?;
        let out = &mut io::stdout().lock();
        for problem in &config.left_out {
            writeln!(out, "left out: {problem}")?;
        }
        self.asked(out, &user, &domain)?;
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
        writeln!(out, "{NOBODY}")?;
        Ok(ExitCode::from(1))
    }
}

impl RouteTest {
    /// Says what is asked.
    fn asked(&self, out: &mut impl Write, user: &str, domain: &str) -> io::Result<()> {
        let domain = if domain.is_empty() { "no domain" } else { domain };
        write!(out, "a call to {user:?} at {domain}, from {}", self.source)?;
        match &self.from {
            Some(from) => writeln!(out, ", of {from:?} (no route asks who calls)"),
            None => writeln!(out),
        }
    }

    fn ask(self, user: &str, domain: &str) -> Result<ExitCode, Failure> {
        let source = self.source.to_string();
        let parameters = [
            ("to", Some(&*self.to)),
            ("domain", Some(&*self.domain)),
            ("source", Some(&*source)),
            ("from", self.from.as_deref()),
        ];
        let place = path(&["v1", "route"], &parameters);
        let host = Reach::of(self.config.clone());
        let found: RouteFound = host.ask(async |host| host.get(&place).await)?;
        let out = &mut io::stdout().lock();
        self.asked(out, user, domain)?;
        if found.draining {
            writeln!(out, "the host takes no new calls at the moment")?;
        }
        let Some(answering) = found.answering else {
            writeln!(out, "{NOBODY}")?;
            return Ok(ExitCode::from(1));
        };
        live(out, &answering)?;
        Ok(ExitCode::SUCCESS)
    }
}

const NOBODY: &str = "nobody: no route takes it. The caller gets 404, unless a session holds a registration that the call names";

fn live(out: &mut impl Write, answering: &Answering) -> io::Result<()> {
    let Answering {
        tenant,
        route,
        origin,
        ..
    } = answering;
    writeln!(out, "{}: {}: yes", plain(origin), plain(route))?;
    if let Some(service) = &answering.service {
        return writeln!(
            out,
            "tenant {}: a session that accepts {service:?}",
            plain(tenant)
        );
    }
    let flow = answering.flow.as_deref().unwrap_or_default();
    if answering.versions.is_empty() {
        return writeln!(
            out,
            "tenant {}, flow {}: not loaded, 500",
            plain(tenant),
            plain(flow)
        );
    }
    for choice in &answering.versions {
        let why = match choice.share {
            Share::Pinned => "pinned to this number".to_owned(),
            Share::Canary => format!("{} % of the calls", choice.percent),
            Share::Current if choice.percent < 100 => "the others".to_owned(),
            Share::Current => "all calls".to_owned(),
        };
        let open = if choice.open {
            ", broken: they get trap_code at once"
        } else {
            ""
        };
        writeln!(
            out,
            "tenant {}, flow {}: version {} (number {}): {why}{open}",
            plain(tenant),
            plain(flow),
            plain(&choice.version),
            choice.number
        )?;
    }
    Ok(())
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
