//! `callbox schema`: the JSON Schema of a configuration file, for editors.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;

use super::Failure;
use crate::config::schema;

const EXAMPLES: &str = "\
Examples:
  callbox schema > callbox.schema.json
  callbox schema --tenant > tenant.schema.json

An editor that knows TOML takes it from the first line of a file: #:schema callbox.schema.json";

/// Print the JSON Schema of the operator's file, or of a tenant's.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Schema {
    /// That of a file of the folder `tenants`.
    #[arg(long)]
    tenant: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let schema = match self.tenant {
            true => schema::tenant_file(),
            false => schema::operator_file(),
        };
        let text = serde_json::to_string_pretty(&schema).context("the schema is no JSON")?;
        writeln!(io::stdout().lock(), "{text}")?;
        Ok(ExitCode::SUCCESS)
    }
}
