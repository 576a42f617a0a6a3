//! Whose call is it: routes, flows and their versions, admission, and who may dial what.
//!
//! Deliberately knows no SIP text and no WebAssembly: it decides, `call` enforces and `plugin` runs.
//!
//! Invariants: a call keeps the flow version that it began with; a flow that cannot be loaded fails its own calls and
//! no others; there are never more sessions than permits, and a permit is given back when the flow ends.
//!
//! Entry type: [`Directory`].

mod account;
mod answering;
mod budget;
mod changes;
mod dial;
mod directory;
mod drain;
mod ended;
mod entrance;
mod fallback;
mod flow;
mod grants;
mod identity;
mod job;
mod ledger;
mod ledger_file;
mod number;
mod numbers;
mod overview;
mod own_addresses;
mod plan;
mod profile;
mod quota;
mod reach;
mod record;
mod refusals;
mod refused_record;
mod reload;
mod runs;
mod schedule;
mod siblings;
mod tally;
mod trace;
mod traps;
mod trunk;
mod versions;

pub use answering::Answering;
pub use changes::Changes;
pub use directory::{Directory, Loaded, TenantUsage};
pub use entrance::{Draining, Ends};
pub use grants::of as granted;
pub use job::{Job, JobArgs, NoJob};
pub use ledger::Ledger;
pub use ledger_file::LedgerFile;
pub use numbers::{Ended, FlowNumbers, Numbers, TenantNumbers};
pub use overview::{FlowOverview, Overview};
pub use profile::{TenantFlow, TenantProfile, TenantQuota, TenantRoute};
pub use refusals::Refused;
pub use reload::{ReloadError, ReloadWatch, Reloader, RenewTls};
pub use traps::Trap;
pub use versions::{
    CanaryServing, Choice, DeployError, Deployed, Failure, Fallen, FlowVersions, NoChange, Pin, PinServing,
    Rollout, ServingVersion, Share, Standing, VersionInfo,
};
