//! Sans-IO SIP: messages, transactions, dialogs and usages, driven by octets and times that are passed in.
//!
//! No socket, clock, random source or thread lives here. Layers, each knowing only those above it in this list:
//!
//! - [`message`]: octets to an index and back (RFC 3261 §7, §18.3, §20).
//! - [`auth`]: digest answers to challenges (RFC 7616, RFC 8760).
//! - [`interop`]: conversions to and from `rsip`, for programs that embed this crate.

pub mod auth;
pub mod interop;
pub mod message;
