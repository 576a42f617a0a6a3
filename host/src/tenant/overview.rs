//! What an operator sees of the tenants and of what runs: plain values, read at one moment; and what an operator may do to it.
//!
//! Entry points: [`Directory::overview`], [`Directory::sessions`], [`Directory::post`], [`Directory::start_job`]. No lock is held
//! while text is made.

use super::changes::is_live;
use super::directory::Directory;
use super::entrance::Draining;
use super::job::{JobArgs, NoJob};
use super::plan::Found;
use super::versions::{Failure, Fallen};
use crate::call::{Body, CallError, SessionView};
use crate::config::Config;
use crate::config::limits::Limit;

/// The host's calls and flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// No new calls are taken, and why.
    pub draining: Option<Draining>,
    /// Calls and jobs whose flow runs.
    pub calls: usize,
    /// As many as may run at a time.
    pub calls_max: usize,
    /// Calls refused with 503 since the start.
    pub refused: u64,
    /// Calls and jobs since the start that their flow did not end itself.
    pub trapped: u64,
    /// In the order of the configuration.
    pub flows: Vec<FlowOverview>,
}

/// One flow of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowOverview {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub flow: String,
    /// What new calls get; none when nothing could be loaded.
    pub version: Option<String>,
    /// Runs of this version that have ended.
    pub runs: u64,
    /// Those of them that the flow did not end itself.
    pub traps: u64,
    /// Why the last version that was to be taken was not; none once one was.
    pub failure: Option<Failure>,
    /// Versions that were taken out of service since, and those whose circuit is open.
    pub fallen: Vec<Fallen>,
}

impl Directory {
    /// The host's calls and flows at this moment.
    #[must_use]
    pub fn overview(&self) -> Overview {
        Overview {
            draining: self.runs.entrance.draining(),
            calls: self.calls(),
            calls_max: self.runs.most(),
            refused: self.refused(),
            trapped: self.trapped(),
            flows: self.plan().flows().map(|found| flow(&found)).collect(),
        }
    }

    /// The sessions that are alive, oldest first; of one tenant, if one is named.
    #[must_use]
    pub fn sessions(&self, tenant: Option<&str>) -> Vec<SessionView> {
        let addresses = self.runs.addresses(tenant);
        let mut views: Vec<SessionView> = addresses.iter().filter_map(|address| address.view()).collect();
        views.sort_by(|one, other| (one.began_ms, &one.id).cmp(&(other.began_ms, &other.id)));
        views
    }

    /// What a row of the table of limits is at this moment on a host that was `started` with this, and what it is to be after
    /// a restart if that is another.
    #[must_use]
    pub fn limit_in_force(&self, row: &Limit, started: &Config) -> (u64, Option<u64>) {
        let of = |config: &Config| config.limits.get(row).unwrap_or(row.default);
        let configured = of(&self.plan().config);
        if is_live(row) {
            return (configured, None);
        }
        let later = (configured != of(started)).then_some(configured);
        match (row.group, row.name) {
            // As many as the machine has room for.
            ("limits", "calls_max") => (self.runs.most() as u64, later),
            _ => (of(started), later),
        }
    }

    /// Puts a payload into the mailbox of a session, whoever's it is. None when there is no such session.
    pub fn post(&self, id: &str, content_type: &str, data: Vec<u8>) -> Option<Result<(), CallError>> {
        let address = self.runs.address(id)?;
        let plan = self.plan();
        let limits = &plan.config.limits.call;
        Some(Body::parse(content_type, data, limits).and_then(|payload| address.post(payload)))
    }

    /// Ends one leg of a session in the operator's name. None when there is no such session or leg.
    pub fn hang_up(&self, session: &str, leg: u32, code: u16, reason: &str) -> Option<Result<(), CallError>> {
        self.runs.address(session)?.hang_up(leg, code, reason)
    }

    /// Starts a run of the flow `tenant/flow`; the id of its session.
    ///
    /// # Errors
    /// [`NoJob`]; nothing has begun.
    pub fn start_job(&self, flow: &str, args: &JobArgs) -> Result<String, NoJob> {
        let job = self.job(flow, args)?;
        let id = job.id().to_owned();
        self.runs.runtime().spawn(job.run());
        Ok(id)
    }

    /// One session, if it is alive.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<SessionView> {
        self.runs.address(id)?.view()
    }
}

fn flow(Found { account, flow }: &Found) -> FlowOverview {
    let standing = flow.versions.standing();
    let current = standing.current.as_ref();
    let (runs, traps) = current.map_or((0, 0), |version| (version.runs, version.traps));
    FlowOverview {
        tenant: account.name.to_string(),
        flow: flow.name.to_string(),
        runs: runs.into(),
        traps: traps.into(),
        version: standing.current.map(|version| version.version),
        failure: standing.failure,
        fallen: standing.fallen,
    }
}
