//! Two legs of a host, bridged, between two raw peers: what one peer sends is what the other gets, as the section on
//! `bridge` in `wit/leg-semantics.md` says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod joining;
mod offers;
mod requests;
mod scene;
mod shards;
