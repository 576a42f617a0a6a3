//! Jobs: runs of a flow that no call began.
//!
//! A job is run because somebody asks (`callbox call`) or because its configuration says when (`schedule.rs`). It needs a
//! permit as a call does. Entry points: [`Directory::job`] and [`Job::run`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::directory::Directory;
use super::flow::Version;
use crate::call::{Body, CallError, Session};
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
    /// It takes calls.
    #[error(
        "the flow implements the world call-flow, and a job needs job-flow: export `job` instead of `handler`"
    )]
    TakesCalls,
    /// Too much runs.
    #[error("limits.calls_max reached: calls and jobs share it")]
    Busy,
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

/// A job that has its permit and its session, and has not begun.
pub struct Job {
    directory: Arc<Directory>,
    version: Arc<Version>,
    policy: TrapPolicy,
    session: Session,
    args: Body,
    permit: OwnedSemaphorePermit,
}

impl Directory {
    /// The position of a flow: `tenant/flow`.
    ///
    /// # Errors
    /// `Unknown`, with the flows that there are.
    pub fn find_flow(&self, name: &str) -> Result<usize, NoJob> {
        let names = || {
            self.flows
                .iter()
                .map(|flow| format!("{}/{}", flow.tenant, flow.name))
        };
        names()
            .position(|candidate| candidate == name)
            .ok_or_else(|| NoJob::Unknown(name.to_owned(), names().collect::<Vec<_>>().join(", ")))
    }

    /// A run of the flow at this position.
    ///
    /// # Errors
    /// [`NoJob`]; nothing has begun.
    pub fn job(self: &Arc<Self>, flow: usize, args: &JobArgs) -> Result<Job, NoJob> {
        let flow = self.flows.get(flow).ok_or(NoJob::NotLoaded)?;
        if self.runs.is_draining() {
            return Err(NoJob::Draining);
        }
        let version = flow.current().ok_or(NoJob::NotLoaded)?;
        if version.flow.world() != World::JobFlow {
            return Err(NoJob::TakesCalls);
        }
        let permit = self.runs.permit().ok_or(NoJob::Busy)?;
        let shard = self.runs.shard().ok_or(NoJob::NoShard)?;
        let session = Session::begin(self.context(flow, &version), shard);
        let args = session
            .body(&args.content_type, args.data.clone())
            .map_err(NoJob::Args)?;
        Ok(Job {
            directory: Arc::clone(self),
            policy: TrapPolicy {
                status: flow.trap_code,
            },
            version,
            session,
            args,
            permit,
        })
    }
}

impl Job {
    /// The id of its session.
    #[must_use]
    pub fn id(&self) -> &str {
        self.session.id()
    }

    /// Runs it to its end; none when the host ended first. To be run on the runtime of the flows.
    pub async fn run(self) -> Option<RunReport> {
        let run = run_job(
            Arc::clone(&self.version.flow),
            self.policy,
            self.session,
            self.args,
        );
        let report = self.directory.runs.until_the_end(run).await;
        drop(self.permit);
        report
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
