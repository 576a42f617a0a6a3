//! Sessions that start others and write to them, within one tenant.

use std::time::Duration;

use super::directory::Directory;
use super::job::{JobArgs, NoJob};
use super::quota::For;
use crate::call::{Body, CallError, Denial, Siblings};

impl Siblings for Directory {
    fn spawn(&self, tenant: &str, flow: &str, args: Body, after: Duration) -> Result<String, CallError> {
        let unknown = || CallError::UnknownDestination(format!("no flow {flow:?}"));
        let found = self.plan().flow(tenant, flow).ok_or_else(unknown)?;
        let args = JobArgs {
            content_type: args.content_type().to_owned(),
            data: args.data().to_vec(),
        };
        let job = match after.is_zero() {
            true => self.job_now(&found, &args, For::SpawnedJob),
            false => self.job_later(&found, &args),
        };
        let job = job.map_err(|why| match why {
            NoJob::Unknown(..) | NoJob::NotLoaded | NoJob::Broken => {
                CallError::UnknownDestination(format!("{flow:?}: {why}"))
            }
            NoJob::TakesCalls => CallError::Unsupported(format!("{flow:?}: {why}")),
            NoJob::NotGranted(_) => CallError::Denied(Denial::Capability(why.to_string())),
            NoJob::Busy(limit) => CallError::limit(limit),
            NoJob::Draining | NoJob::NoShard => CallError::Denied(Denial::Draining),
            NoJob::Args(error) => error,
        })?;
        let id = job.id().to_owned();
        self.runs
            .runtime_for(&found.account.quota.bounds)
            .spawn(job.run_after(after));
        Ok(id)
    }

    fn send(&self, tenant: &str, session: &str, payload: Body) -> Result<(), CallError> {
        self.runs.send(tenant, session, payload)
    }
}
