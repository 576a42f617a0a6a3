//! What the process asks of the system before it serves.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// How much politer flows are than SIP: a spinning flow must not delay a retransmission.
const FLOW_NICENESS: i32 = 10;

/// Raises the number of files that may be open to what the system allows, and returns it.
///
/// The soft limit of 1 024 that shells give is for programs that use `select`.
pub(super) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return limit.maximum;
        }
    }
    limit.current
}

/// Lowers the priority of the calling thread. On Linux a "process" of this call is a thread.
pub(super) fn be_polite() {
    if let Err(error) = setpriority_process(None, FLOW_NICENESS) {
        tracing::warn!(%error, "flows run at the priority of SIP");
    }
}
