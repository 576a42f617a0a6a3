//! The admin API and the subcommands that are its clients, on a running host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod access;
mod drain;
mod follow;
mod openapi;
mod sessions;
mod tenants;

use callbox_tests::cli::{self, Said};
use callbox_tests::server::Callbox;

/// Runs a subcommand against this host, found by its configuration.
fn callbox(server: &Callbox, arguments: &[&str]) -> Said {
    let config = server.folder().join("callbox.toml");
    let config = ["--config", config.to_str().unwrap()];
    cli::run(arguments.iter().copied().chain(config))
}
