//! Sans-IO SIP: messages, transactions, dialogs and usages, driven by octets and times that are passed in.
//!
//! No socket, clock, random source or thread lives here. Layers, each knowing only those above it in this list:
//!
//! - [`message`]: octets to an index and back (RFC 3261 §7, §18.3, §20).
//! - [`auth`]: digest answers to challenges (RFC 7616, RFC 8760).
//! - [`transaction`]: the machines of RFC 3261 §17 and RFC 6026, and their timers.
//! - `dialog`: who talks to whom, along which route, with which sequence numbers.
//! - `usage`: what happens on a leg: INVITE both ways, requests within the dialog, the end.
//! - [`endpoint`]: the one front door.
//! - [`interop`]: conversions to and from `rsip`, for programs that embed this crate.

pub mod auth;
mod dialog;
pub mod endpoint;
pub mod interop;
pub mod message;
mod rng;
mod timer;
pub mod transaction;
mod usage;
