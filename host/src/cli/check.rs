//! `callbox check`: would this file be loaded, and if not, why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::Failure;
use crate::config::Config;
use crate::plugin::{Engine, LoadError, Loader};

const EXAMPLES: &str = "\
Examples:
  callbox check flow.wasm
  callbox check --config callbox.toml flow.wasm   with the limits of that file

Exit status: 0 the file is a flow that serve would load; 1 it is not, and the output says why; 2 it could not be
checked (unreadable file, mistake in the configuration).";

/// Say whether a file is a flow that `serve` would load: world, imports, sizes, needs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The component, or a core module with an embedded component type.
    #[arg(value_name = "FLOW.wasm")]
    flow: PathBuf,
    /// Use the limits of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let limits = match &self.config {
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
        let file = self.flow.display();
        match runtime.block_on(loader.inspect(&self.flow)) {
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
        match runtime.block_on(loader.load(&self.flow)) {
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
}
