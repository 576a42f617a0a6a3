//! Whose call is it: routes, flows and their versions, admission, and who may dial what.
//!
//! Deliberately knows no SIP text and no WebAssembly: it decides, `call` enforces and `plugin` runs.
//!
//! Invariants: a call keeps the flow version that it began with; a flow that cannot be loaded fails its own calls and
//! no others; there are never more sessions than permits, and a permit is given back when the flow ends.
//!
//! Entry type: [`Directory`].

mod account;
mod dial;
mod directory;
mod ended;
mod flow;
mod job;
mod overview;
mod plan;
mod quota;
mod record;
mod runs;
mod schedule;
mod siblings;

pub use directory::{Directory, Loaded, TenantUsage};
pub use job::{Job, JobArgs, NoJob};
pub use overview::{FlowOverview, Overview};
