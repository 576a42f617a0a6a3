//! The sandbox: a flow is a WebAssembly component, and each call gets an instance of its own.
//!
//! [`Engine`] is made once; [`Loader`] turns a tenant's file into a [`FlowVersion`]; [`run_call`] gives one call, and
//! [`run_job`] one run of a job, an instance, runs it on the caller's task, and reports how it ended. `host_api` translates between the contract
//! (`wit/`) and [`crate::call`], and decides nothing.
//!
//! It deliberately knows no SIP, no tenants and no routes. Invariants: an instance is never used for a second call;
//! a guest's computing, waiting, memory, handles and words are bounded (`config::limits::PluginLimits`); whatever a
//! guest does ends in an [`Outcome`]; nothing but this host's own compiler makes the code that runs.

mod cache;
mod capacity;
mod compile;
mod contract;
mod engine;
mod fair;
mod flow_log;
mod fuel;
mod host_api;
mod host_calls;
mod inspect;
mod loader;
mod memory;
mod native_code;
mod outcome;
mod pool;
mod runner;
mod source;
mod state;
mod threads;
mod trial;

pub use cache::{CacheError, digest_of};
pub use capacity::{Capacity, Cause, Shortage};
pub use compile::{CompileError, compile_child_main};
pub use contract::{Import, World, WrongWorld};
pub use engine::{Engine, EngineError};
pub use fuel::Budget;
pub use host_calls::{HostCall, HostCalls};
pub use inspect::{Inspection, Needs};
pub use loader::{FlowVersion, LoadError, Loader};
pub use outcome::Outcome;
pub use pool::Pool;
pub use runner::{
    Heir, Inheritance, RunKind, RunReport, TrapPolicy, run_call, run_call_for, run_job, try_call, try_job,
};
pub use source::{NotWasm, Source};
pub use threads::{FlowRuntime, FlowThreads};
