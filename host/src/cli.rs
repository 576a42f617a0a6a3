//! The command line: one file a subcommand.
//!
//! Exit status: 0 is success; 1 means that what was asked for failed; 2 means that it could not be tried: wrong
//! arguments, an unreadable file, a mistake in the configuration.
//!
//! Deliberately the only place that uses `anyhow`, reads arguments, writes to standard output, or sets up logging.
//!
//! Entry point: [`main`].

mod call;
mod cdr;
mod census;
mod check;
mod check_config;
mod check_grants;
mod compile;
mod deploy;
mod drain;
mod hangup;
mod host;
mod job;
mod kill;
mod ladder;
mod limits;
mod log;
mod metrics;
mod pii_key;
mod post;
mod process;
mod ps;
mod reach;
mod records;
mod reload;
mod route_test;
mod schema;
mod serve;
mod state_dir;
mod status;
mod supervisor;
mod table;
mod tail;
mod tenants;
mod traces;
mod traps;
mod user;
mod versions;
mod watchdog;
mod when;
mod wire_config;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  callbox serve --config callbox.toml
  callbox call acme/campaign --config callbox.toml --arg list=monday
  callbox check flow.wasm
  callbox check --config callbox.toml
  callbox status --config callbox.toml
  callbox ps --config callbox.toml --watch
  callbox limits

Exit status: 0 success; 1 what was asked for failed; 2 it could not be tried.";

/// Call-scripting engine: each phone call's logic runs as a sandboxed WebAssembly component.
#[derive(Debug, Parser)]
#[command(name = "callbox", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Call(call::Call),
    Check(check::Check),
    Cdr(cdr::Cdr),
    Status(status::Status),
    Ps(ps::Ps),
    Tenants(tenants::Tenants),
    Traps(traps::Traps),
    Kill(kill::Kill),
    Hangup(hangup::Hangup),
    Drain(drain::Drain),
    Post(post::Post),
    Job(job::Job),
    Tail(tail::Tail),
    Ladder(ladder::Ladder),
    Deploy(deploy::Deploy),
    Promote(deploy::Promote),
    Rollback(deploy::RollBack),
    Versions(versions::Versions),
    Limits(limits::Limits),
    Metrics(metrics::Metrics),
    Reload(reload::Reload),
    RouteTest(route_test::RouteTest),
    Schema(schema::Schema),
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// A subcommand ended without success.
#[derive(Debug)]
enum Failure {
    /// It was tried and failed: exit status 1.
    Failed(anyhow::Error),
    /// It could not be tried: exit status 2.
    NotTried(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Call(call) => call.run(),
        Command::Check(check) => check.run(),
        Command::Cdr(cdr) => cdr.run(),
        Command::Status(status) => status.run(),
        Command::Ps(ps) => ps.run(),
        Command::Tenants(tenants) => tenants.run(),
        Command::Traps(traps) => traps.run(),
        Command::Kill(kill) => kill.run(),
        Command::Hangup(hangup) => hangup.run(),
        Command::Drain(drain) => drain.run(),
        Command::Post(post) => post.run(),
        Command::Job(job) => job.run(),
        Command::Tail(tail) => tail.run(),
        Command::Ladder(ladder) => ladder.run(),
        Command::Deploy(deploy) => deploy.run(),
        Command::Promote(promote) => promote.run(),
        Command::Rollback(rollback) => rollback.run(),
        Command::Versions(versions) => versions.run(),
        Command::Limits(limits) => limits.run(),
        Command::Metrics(metrics) => metrics.run(),
        Command::Reload(reload) => reload.run(),
        Command::RouteTest(test) => test.run(),
        Command::Schema(schema) => schema.run(),
        Command::Compile(compile) => return compile.run(),
    };
    let (status, error) = match result {
        Ok(status) => return status,
        Err(Failure::Failed(error)) => (1, error),
        Err(Failure::NotTried(error)) => (2, error),
    };
    // With nobody to read it there is nothing left to do.
    let _ = writeln!(std::io::stderr(), "callbox: {error:#}");
    ExitCode::from(status)
}

/// Prints a value of the admin API for programs.
fn json(out: &mut impl Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
