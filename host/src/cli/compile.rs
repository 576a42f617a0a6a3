//! `callbox compile`: the child process that compiles one flow within limits. Hidden: the host runs it itself.

use std::ffi::OsString;
use std::process::ExitCode;

/// Compiles one flow within limits (run by the host itself).
#[derive(Debug, clap::Args)]
pub(super) struct Compile {
    /// Input, output, seconds of CPU, bytes of memory.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Compile {
    pub(super) fn run(self) -> ExitCode {
        crate::plugin::compile_child_main(self.arguments)
    }
}
