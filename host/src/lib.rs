//! callbox: an INVITE comes in, its tenant's flow — an untrusted WebAssembly component — is instantiated for that one
//! call, and everything the flow does to the call goes through the WIT interface `sipcall` to an asynchronous SIP stack
//! that the flow can neither block, nor crash, nor abuse.
//!
//! Arrows run one way: `cli → admin → metrics → tenant → plugin → call → wire → callbox-sip`; `config` and `pii` are
//! leaves that all may use.

pub mod admin;
pub mod call;
pub mod cli;
pub mod config;
pub mod histogram;
pub mod metrics;
pub mod pii;
pub mod plugin;
pub mod record;
pub mod tenant;
pub mod trace;
mod unix_time;
pub mod wire;
