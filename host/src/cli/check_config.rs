//! `callbox check --config FILE`: would a host start with this, whole.
//!
//! Entry point: [`run`].

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use super::host::{self, Host};
use crate::config::{Config, ConfigError};

/// Says every mistake of the operator's file and of all tenant files, and then, with `flows`, whether each flow would be
/// loaded.
pub(super) fn run(file: &Path, flows: bool) -> Result<ExitCode, Failure> {
    let out = &mut io::stdout().lock();
    let config = match Config::load_whole(file) {
        Ok(config) => config,
        Err(error @ ConfigError::Unreadable { .. }) => return Err(Failure::NotTried(error.into())),
        Err(error) => {
            writeln!(out, "{error}\n{}: not right", file.display())?;
            return Ok(ExitCode::from(1));
        }
    };
    for warning in &config.warnings {
        writeln!(out, "{warning}")?;
    }
    let mut broken = 0;
    if flows {
        // Nothing runs, so one instance is room enough.
        let cache = host::cache_dir(&config).map_err(Failure::NotTried)?;
        let host = Host::new(&config, 1, &cache).map_err(Failure::NotTried)?;
        for flow in host.control.block_on(host.directory.load_all(&host.loader)) {
            match flow.version {
                Ok(version) => writeln!(out, "flow {}: version {version}", flow.flow)?,
                Err(error) => {
                    broken += 1;
                    writeln!(out, "flow {}: would not be loaded: {error}", flow.flow)?;
                }
            }
        }
    }
    let (tenants, routes) = (config.tenants.len(), config.routes.len());
    let counted = format!("{}: tenants: {tenants}, routes: {routes}", file.display());
    match broken {
        0 => writeln!(out, "{counted}, ok")?,
        _ => writeln!(out, "{counted}, flows that would not be loaded: {broken}")?,
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}
