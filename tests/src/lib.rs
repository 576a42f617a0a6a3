//! Harness of the black-box tests: the built `callbox` binary is started on loopback addresses of its own and talked to
//! as a peer would.
//!
//! Knows nothing of callbox's insides: it depends on none of its crates, so a test here can only assert what a peer or an
//! operator can see. Entry types: [`server::Callbox`], [`sipp::Sipp`], [`kamailio::Kamailio`], [`baresip::Baresip`], [`phone::Phone`], [`cli::run`], [`flows`].
//!
//! Invariants: every process that is started is ended, by its own pid, when its value is dropped; every wait has a
//! bound; nothing listens or sends outside 127.0.0.0/8 and ::1; tests may run in any order and in parallel.

// A harness that cannot go on is a failed test, and says so by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

pub mod admin;
pub mod baresip;
pub mod callee;
pub mod cli;
pub mod flows;
pub mod host;
pub mod hostile;
pub mod kamailio;
pub mod latency;
pub mod message;
pub mod metrics;
pub mod mount;
pub mod net;
pub mod phone;
pub mod process;
pub mod server;
pub mod siege;
pub mod sipp;
pub mod storm;
pub mod tls;
