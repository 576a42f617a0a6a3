//! `callbox check`: would this file be loaded, or a host start with this configuration, and if not, why.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use super::{Failure, check_config};
use crate::config::Config;
use crate::plugin::{Engine, LoadError, Loader};

const EXAMPLES: &str = "\
Examples:
  callbox check flow.wasm
  callbox check --config callbox.toml flow.wasm   with the limits of that file
  callbox check --config callbox.toml             the configuration, its tenants' files, and every flow
  callbox check --config callbox.toml --no-flows

Exit status: 0 the file is a flow that serve would load, or all is right with the configuration; 1 it is not, and the
output says why; 2 it could not be checked (unreadable file; with a flow, a mistake in the configuration).";

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
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
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
    // One instance at most is described, so the pool is as small as it can be.
    let engine = Engine::new(&limits, 1).map_err(|error| Failure::NotTried(error.into()))?;
    // Compiled code is worth keeping only where the host that runs it looks for it.
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

    let mut out = io::stdout().lock();
    let file = flow.display();
    match runtime.block_on(loader.inspect(flow)) {
        Ok(inspection) => writeln!(out, "{inspection}")?,
        Err(error @ LoadError::Unreadable(_)) => {
            return Err(Failure::NotTried(
                anyhow::Error::from(error).context(file.to_string()),
            ));
        }
        Err(error) => {
            writeln!(out, "{file}: not a flow: {error}")?;
            return Ok(ExitCode::from(1));
        }
    }
    match runtime.block_on(loader.load(flow)) {
        Ok(_) => {
            writeln!(out, "{file}: ok")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(out, "{file}: would not be loaded: {error}")?;
            Ok(ExitCode::from(1))
        }
    }
}
