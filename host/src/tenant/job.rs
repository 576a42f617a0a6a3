//! Jobs: runs of a flow that no call began.
//!
//! A job is run because somebody asks (`callbox call`) or because its configuration says when (`schedule.rs`). It needs a
//! permit as a call does. Entry points: [`Directory::job`] and [`Job::run`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use super::quota::{Admission, For};
use super::runs::{Listed, Runs};
use crate::call::{Body, CallError, Place, Session};
use crate::config::Capability;
use crate::plugin::{RunReport, TrapPolicy, World, run_job};

/// What a job is given: a MIME type and the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobArgs {
    /// For example `application/json`.
    pub content_type: String,
    /// At most `limits.call.body_max_bytes`.
    pub data: Vec<u8>,
}

impl JobArgs {
    /// A JSON object whose values are strings.
    #[must_use]
    pub fn of(pairs: &BTreeMap<String, String>) -> Self {
        let mut json = String::from("{");
        for (position, (key, value)) in pairs.iter().enumerate() {
            if position > 0 {
                json.push(',');
            }
            push_json(&mut json, key);
            json.push(':');
            push_json(&mut json, value);
        }
        json.push('}');
        Self {
            content_type: "application/json".to_owned(),
            data: json.into_bytes(),
        }
    }
}

/// A JSON string (RFC 8259 §7).
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            // Writing to a string does not fail.
            c if c.is_control() => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

/// Why a job does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoJob {
    /// There is no such flow.
    #[error("there is no flow {0:?}; there are: {1}")]
    Unknown(String, String),
    /// Its file could not be loaded; the log says why.
    #[error("the flow is not loaded")]
    NotLoaded,
    /// Its version has trapped too often.
    #[error(
        "its version has trapped too often (limits.versions.breaker_traps); it is tried again after \
         limits.versions.breaker_open_s"
    )]
    Broken,
    /// It takes calls.
    #[error(
        "the flow implements the world call-flow, and a job needs job-flow: export `job` instead of `handler`"
    )]
    TakesCalls,
    /// It may not be run without a call.
    #[error("\"job\" is not granted; {0}")]
    NotGranted(String),
    /// Too much runs.
    #[error("{0} reached")]
    Busy(&'static str),
    /// The host shuts down.
    #[error("the host is shutting down")]
    Draining,
    /// The wire has not started.
    #[error("no SIP thread runs")]
    NoShard,
    /// What it shall be given is no body.
    #[error("its arguments: {0}")]
    Args(CallError),
}

/// A job that has its session and has not begun.
pub struct Job {
    directory: Weak<Directory>,
    found: Found,
    runs: Arc<Runs>,
    version: Arc<Version>,
    policy: TrapPolicy,
    session: Session,
    args: Body,
    /// Its place in the table of sessions.
    listed: Listed,
    permit: Permit,
    wanted: For,
}

/// What entitles a job to be.
enum Permit {
    ToRun(Admission),
    /// Among the host's delayed jobs, and among the tenant's.
    ToWait(OwnedSemaphorePermit, Place),
}

impl Directory {
    /// A run of the flow `tenant/flow`, now.
    ///
    /// # Errors
    /// [`NoJob`]; nothing has begun.
    pub fn job(&self, flow: &str, args: &JobArgs) -> Result<Job, NoJob> {
        let plan = self.plan();
        let found = flow
            .split_once('/')
            .and_then(|(tenant, flow)| plan.flow(tenant, flow));
        let found = found.ok_or_else(|| {
            let names = plan
                .flows()
                .map(|Found { account, flow }| format!("{}/{}", account.name, flow.name));
            NoJob::Unknown(flow.to_owned(), names.collect::<Vec<_>>().join(", "))
        })?;
        self.job_now(&found, args, For::Job)
    }

    /// A run of this flow, now.
    pub(super) fn job_now(&self, found: &Found, args: &JobArgs, wanted: For) -> Result<Job, NoJob> {
        self.prepare(found, args, wanted, || {
            let admitted = found.account.quota.admit(wanted, &self.runs);
            admitted
                .map(Permit::ToRun)
                .map_err(|why| NoJob::Busy(why.limit()))
        })
    }

    /// The same for a flow, at a later time, when it needs a place as if it were asked for then.
    pub(super) fn job_later(&self, found: &Found, args: &JobArgs) -> Result<Job, NoJob> {
        self.prepare(found, args, For::SpawnedJob, || {
            let place = Place::among(
                &found.account.quota.bounds,
                |bounds| &bounds.delayed_jobs,
                "limits.tenant.delayed_jobs_max",
            );
            let place = place.map_err(NoJob::Busy)?;
            let permit = self.runs.delay().ok_or(NoJob::Busy("limits.delayed_jobs_max"))?;
            Ok(Permit::ToWait(permit, place))
        })
    }

    fn prepare(
        &self,
        found: &Found,
        args: &JobArgs,
        wanted: For,
        permit: impl FnOnce() -> Result<Permit, NoJob>,
    ) -> Result<Job, NoJob> {
        if self.runs.is_draining() {
            return Err(NoJob::Draining);
        }
        if let Some(withheld) = found.flow.grants.withheld_of(Capability::Job) {
            return Err(NoJob::NotGranted(withheld.fix.clone()));
        }
        let version = found.flow.versions.current().ok_or(NoJob::NotLoaded)?;
        if version.flow.world() != World::JobFlow {
            return Err(NoJob::TakesCalls);
        }
        if self.has_no_room_for_records() {
            return Err(NoJob::Busy("limits.record.queue"));
        }
        let permit = permit()?;
        if !self.admits(&version) {
            return Err(NoJob::Broken);
        }
        let shard = self.runs.shard().ok_or(NoJob::NoShard)?;
        let session = Session::begin(self.context(found, &version), shard);
        let args = session
            .body(&args.content_type, args.data.clone())
            .map_err(NoJob::Args)?;
        Ok(Job {
            directory: self.myself.clone(),
            found: found.clone(),
            runs: Arc::clone(&self.runs),
            listed: self.runs.list(&session),
            policy: TrapPolicy {
                status: found.flow.trap_code,
            },
            version,
            session,
            args,
            permit,
            wanted,
        })
    }
}

impl Job {
    /// The id of its session.
    #[must_use]
    pub fn id(&self) -> &str {
        self.session.id()
    }

    /// Runs it to its end; none when there was no place for it when its time came. To be run on the runtime of the flows.
    pub async fn run(self) -> Option<RunReport> {
        let permit = match self.permit {
            Permit::ToRun(permit) => permit,
            Permit::ToWait(waiting, place) => {
                let admitted = self.found.account.quota.admit(self.wanted, &self.runs);
                drop((waiting, place));
                match admitted {
                    Ok(admission) => admission,
                    Err(why) => {
                        let context = self.session.context();
                        tracing::warn!(
                            session = self.session.id(),
                            tenant = &*context.tenant,
                            flow = &*context.flow,
                            "the job was not started: {} reached when its time came",
                            why.limit()
                        );
                        return None;
                    }
                }
            }
        };
        self.version.circuit.begins();
        let run = run_job(
            Arc::clone(&self.version.flow),
            self.policy,
            self.session,
            self.args,
        );
        let mut report = run.await;
        if let Some(directory) = self.directory.upgrade() {
            directory.ended(&self.found, &self.version, &mut report);
        }
        drop(self.listed);
        drop(permit);
        Some(report)
    }

    /// The same after a time, unless the host ends before.
    pub(super) async fn run_after(self, after: Duration) {
        let runs = Arc::clone(&self.runs);
        if runs.until_the_end(tokio::time::sleep(after)).await.is_some() && !runs.is_draining() {
            self.run().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_json_object_whatever_is_in_them() {
        let pairs = [("b", "say \"hi\"\\\r\n\u{1}"), ("a", "größe"), ("", "")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let args = JobArgs::of(&pairs.into_iter().collect());
        assert_eq!(
            String::from_utf8_lossy(&args.data),
            "{\"\":\"\",\"a\":\"größe\",\"b\":\"say \\\"hi\\\"\\\\\\u000d\\u000a\\u0001\"}"
        );
        assert_eq!(JobArgs::of(&BTreeMap::new()).data, b"{}");
    }
}
