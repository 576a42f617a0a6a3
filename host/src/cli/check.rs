//! `callbox check`: would this file be loaded, or a host start with this configuration, and if not, why; and is a tenant
//! granted what its flows import.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use super::{Failure, check_config, check_grants};
use crate::config::Config;
use crate::config::limits::PluginLimits;
use crate::plugin::{Engine, Inspection, LoadError, Loader};

const EXAMPLES: &str = "\
Examples:
  callbox check flow.wasm
  callbox check --config callbox.toml flow.wasm   with the limits of that file
  callbox check --config callbox.toml             the configuration, its tenants' files, and every flow
  callbox check --config callbox.toml --no-flows
  callbox check --config callbox.toml --tenant acme flow.wasm   is acme granted what it imports?
  callbox check --config callbox.toml --tenant acme             the same of all flows of acme

Exit status: 0 the file is a flow that serve would load (and is granted what it imports), or all is right with the
configuration; 1 it is not, and the output says why; 2 it could not be checked (unreadable file; with a flow, a mistake in the configuration).";

/// Say whether a file is a flow that `serve` would load: world, imports, sizes, needs; or whether a configuration is right.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The component, or a core module with an embedded component type.
    #[arg(value_name = "FLOW.wasm", required_unless_present = "config")]
    flow: Option<PathBuf>,
    /// Use the limits of this configuration; without a flow, check the configuration itself.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check what stands in the files of the configuration, and load no flow.
    #[arg(long, requires = "config", conflicts_with = "flow")]
    no_flows: bool,
    /// Show what the flows of this tenant are granted beside what they import.
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with = "no_flows")]
    tenant: Option<String>,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let (Some(tenant), Some(config)) = (&self.tenant, &self.config) {
            return check_grants::run(config, tenant, self.flow.as_deref());
        }
        match (&self.flow, &self.config) {
            (Some(flow), config) => check(flow, config.as_deref()),
            (None, Some(config)) => check_config::run(config, !self.no_flows),
            (None, None) => Err(Failure::NotTried(anyhow!(
                "nothing to check: name a flow, or --config FILE"
            ))),
        }
    }
}

fn check(flow: &Path, config: Option<&Path>) -> Result<ExitCode, Failure> {
    let limits = match config {
        Some(file) => {
            Config::load(file)
                .map_err(|error| Failure::NotTried(error.into()))?
                .limits
                .plugin
        }
        None => Default::default(),
    };
    let mut out = io::stdout().lock();
    Ok(match Inspector::new(&limits)?.inspect(flow, &mut out)? {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(1),
    })
}

/// Looks into flows' files.
pub(super) struct Inspector {
    runtime: tokio::runtime::Runtime,
    loader: Loader,
    /// Compiled code is worth keeping only where the host that runs it looks for it.
    _cache: tempfile::TempDir,
}

impl Inspector {
    pub(super) fn new(limits: &PluginLimits) -> Result<Self, Failure> {
        // One instance at most is described, so the pool is as small as it can be.
        let engine = Engine::new(limits, 1).map_err(|error| Failure::NotTried(error.into()))?;
        let cache = tempfile::tempdir()
            .context("no folder for compiled code")
            .map_err(Failure::NotTried)?;
        let program = std::env::current_exe()
            .context("cannot find callbox itself")
            .map_err(Failure::NotTried)?;
        let loader = Loader::new(engine, &cache.path().join("code"), program)
            .map_err(|error| Failure::NotTried(error.into()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start a thread")
            .map_err(Failure::NotTried)?;
        Ok(Self {
            runtime,
            loader,
            _cache: cache,
        })
    }

    /// Writes what a file is, and returns it where `serve` would load it.
    pub(super) fn inspect(&self, flow: &Path, out: &mut impl Write) -> Result<Option<Inspection>, Failure> {
        let file = flow.display();
        let inspection = match self.runtime.block_on(self.loader.inspect(flow)) {
            Ok(inspection) => inspection,
            Err(error @ LoadError::Unreadable(_)) => {
                return Err(Failure::NotTried(
                    anyhow::Error::from(error).context(file.to_string()),
                ));
            }
            Err(error) => {
                writeln!(out, "{file}: not a flow: {error}")?;
                return Ok(None);
            }
        };
        writeln!(out, "{inspection}")?;
        match self.runtime.block_on(self.loader.load(flow)) {
            Ok(_) => {
                writeln!(out, "{file}: ok")?;
                Ok(Some(inspection))
            }
            Err(error) => {
                writeln!(out, "{file}: would not be loaded: {error}")?;
                Ok(None)
            }
        }
    }
}
