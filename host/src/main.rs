//! The program `callbox`. Everything is in the library; see [`callbox::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    callbox::cli::main()
}
