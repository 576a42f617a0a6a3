//! What a version must be to take the place of a flow: of the world that its calls and its configuration ask for.
//!
//! Entry point: [`check`], which everything passes that is loaded: at the start, from the folder, by a deploy.

use crate::plugin::{FlowVersion, World};
use crate::tenant::grants;
use crate::tenant::plan::Found;

/// Whether this code may be this flow; otherwise what is wrong and what to do. What it imports in vain is no reason to refuse
/// it, and stands in the log.
pub(in crate::tenant) fn check(Found { account, flow }: &Found, version: &FlowVersion) -> Result<(), String> {
    let world = version.world();
    if flow.takes_calls && world != World::CallFlow {
        return Err(format!(
            "it implements the world {world}, and calls need call-flow: take the route to it away, or build it with a \
             call handler"
        ));
    }
    if flow.job.is_some() && world != World::JobFlow {
        return Err(format!(
            "it implements the world {world}, and a job needs job-flow: take the table [tenant.flow.{}.job] away, or \
             build it with a job",
            flow.name
        ));
    }
    grants::warn(version.inspection(), &account.name, flow);
    Ok(())
}
