//! One call or one run of a job, one instance: made, run, judged, dropped.
//!
//! Entry points: [`run_call`] and [`run_job`], and [`try_call`] and [`try_job`] for a version that has no calls yet: futures that the caller runs on the flow runtime. Dropping one ends a waiting guest at
//! once and hangs up its legs; a computing one ends at its next turn. Knows no SIP and no tenants.
//!
//! Invariants: a store runs once; after a trap it is dropped; every leg of the session has ended on the way out,
//! whatever the guest did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};
use wasmtime::Store;

use super::engine::Engine;
use super::fair::Turn;
use super::fuel::Budget;
use super::host_api::{self, bindings::Entry};
use super::host_calls::HostCalls;
use super::loader::FlowVersion;
use super::outcome::{self, Context, Outcome};
use super::state::{self, CallState};
use super::trial;
use crate::call::{Body, Estate, Leg, LegsSummary, Session};
use crate::pii::Pii;

/// What a caller hears when the flow ends without having answered or rejected the call.
const NOT_ANSWERED: u16 = 480;

/// What becomes of a call whose flow traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrapPolicy {
    /// The final SIP status if the call was not answered yet; an answered one gets a BYE. 400 to 699.
    pub status: u16,
}

impl Default for TrapPolicy {
    fn default() -> Self {
        Self { status: 500 }
    }
}

/// What a run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// A call that came in.
    Call,
    /// A job.
    Job,
}

impl RunKind {
    /// A short name for records; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Job => "job",
        }
    }
}

/// Who may take a call over whose flow has trapped.
pub trait Heir: Send + Sync {
    /// A session for the call of `session`, which was `answered` or not; none ends the call as the policy says. Asked once
    /// at most.
    fn session(&self, session: &Session, answered: bool) -> Option<Session>;
}

/// A call that another session has taken over as it stands.
pub struct Inheritance {
    /// The session that has it.
    pub session: Session,
    /// The call.
    pub leg: Leg,
}

/// How a call's instance ended, and what it used.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Id of the session.
    pub session: String,
    /// What was run.
    pub kind: RunKind,
    /// When the session began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Its legs, all of which have ended.
    pub legs: LegsSummary,
    /// How it ended.
    pub outcome: Outcome,
    /// Fuel, host work included.
    pub fuel_used: u64,
    /// Bytes of all linear memories at the end, which is also their most.
    pub memory_bytes: usize,
    /// From before the instance was made until after its legs were ended.
    pub elapsed: Duration,
    /// Log lines that were dropped.
    pub suppressed_lines: u64,
    /// WebAssembly frames of a trap, innermost first.
    pub backtrace: Option<String>,
    /// The last log lines before a trap, oldest first.
    pub last_lines: Vec<String>,
    /// What a job that finished reports.
    pub reported: Option<Body>,
    /// The id of the session that took the call over.
    pub heir: Option<String>,
    /// What the flow wrote into the record of its call.
    pub record: Vec<(String, String)>,
    /// What it asked of the host, where that was noted.
    pub host_calls: Option<Box<HostCalls>>,
}

/// What an instance is asked to do.
enum Task {
    Call(Leg),
    Job(Body),
    /// To be, and no more.
    Nothing,
}

/// Runs a call in an instance of its own.
///
/// `leg` is the incoming call and belongs to the guest from now on. When the future returns, every leg of the session
/// has been ended: as the guest did, with 480 or BYE when it returned without, by `policy` when it trapped.
pub async fn run_call(
    version: Arc<FlowVersion>,
    policy: TrapPolicy,
    session: Session,
    leg: Leg,
) -> RunReport {
    run_call_for(version, policy, None, session, leg).await.0
}

/// The same for a call that `heir` takes over, as it stands, when the flow traps. Its other legs end all the same.
pub async fn run_call_for(
    version: Arc<FlowVersion>,
    policy: TrapPolicy,
    heir: Option<Arc<dyn Heir>>,
    session: Session,
    leg: Leg,
) -> (RunReport, Option<Inheritance>) {
    let context = session.context();
    let span = tracing::info_span!(
        "call",
        call = leg.sip_call_id(),
        session = session.id(),
        tenant = &*context.tenant,
        flow = &*context.flow,
        version = &*context.version
    );
    let will = heir.map(|heir| (leg.estate(), heir));
    in_turns(version, policy, session, Task::Call(leg), will, span).await
}

/// Runs a job in an instance of its own.
///
/// When the future returns, every leg of the session has been ended: an accepted call that was not answered with 480, or
/// by `policy` when the job trapped.
pub async fn run_job(
    version: Arc<FlowVersion>,
    policy: TrapPolicy,
    session: Session,
    args: Body,
) -> RunReport {
    let context = session.context();
    let span = tracing::info_span!(
        "job",
        session = session.id(),
        tenant = &*context.tenant,
        flow = &*context.flow,
        version = &*context.version
    );
    in_turns(version, policy, session, Task::Job(args), None, span)
        .await
        .0
}

/// Tries a call in an instance of its own, for `longest` at most: how it ended, or none when it waits.
pub async fn try_call(
    version: Arc<FlowVersion>,
    session: Session,
    leg: Leg,
    longest: Duration,
) -> Option<Outcome> {
    tried(version, session, Task::Call(leg), longest).await
}

/// Tries a job, for `longest` at most: how it ended, or none when it waits. Without arguments only an instance is made.
pub async fn try_job(
    version: Arc<FlowVersion>,
    session: Session,
    args: Option<Body>,
    longest: Duration,
) -> Option<Outcome> {
    tried(version, session, args.map_or(Task::Nothing, Task::Job), longest).await
}

async fn tried(
    version: Arc<FlowVersion>,
    session: Session,
    task: Task,
    longest: Duration,
) -> Option<Outcome> {
    let context = session.context();
    let span = tracing::info_span!(
        "trial",
        tenant = &*context.tenant,
        flow = &*context.flow,
        version = &*context.version
    );
    let turns = session.turns();
    let share = version
        .engine()
        .fair()
        .share(&context.tenant, Arc::clone(&context.bounds));
    let (turn, counted) = (Turn::new(), trial::Turns::default());
    let run = run(version, TrapPolicy::default(), session, task, None, turn.clone()).instrument(span);
    let run = share.run(turn, turns.run(counted.count(Box::pin(run))));
    let run = async move { run.await.0 };
    trial::until_it_waits(run, &counted, longest).await
}

/// Runs in the turns of the session and of its tenant.
async fn in_turns(
    version: Arc<FlowVersion>,
    policy: TrapPolicy,
    session: Session,
    task: Task,
    will: Option<Will>,
    span: Span,
) -> (RunReport, Option<Inheritance>) {
    let turns = session.turns();
    let context = session.context();
    let share = version
        .engine()
        .fair()
        .share(&context.tenant, Arc::clone(&context.bounds))
        .counting(session.counting());
    let turn = Turn::new();
    // In a place of its own: each layer that takes a future by value keeps it twice, where it came in and where it is
    // polled, and three layers took 14 KiB more of each held call.
    let run = Box::pin(run(version, policy, session, task, will, turn.clone()).instrument(span));
    share.run(turn, turns.run(run)).await
}

async fn run(
    version: Arc<FlowVersion>,
    policy: TrapPolicy,
    session: Session,
    task: Task,
    will: Option<Will>,
    turn: Turn,
) -> (RunReport, Option<Inheritance>) {
    let started = Instant::now();
    let limits = version.engine().limits().clone();
    let (kind, limit, limit_s) = match task {
        Task::Call(_) => (RunKind::Call, "limits.plugin.call_max_s", limits.call_max_s),
        Task::Job(_) | Task::Nothing => (RunKind::Job, "limits.plugin.job_max_s", limits.job_max_s),
    };
    let mut store = match open(version.engine(), session, turn, Duration::from_secs(limit_s)) {
        Ok(store) => store,
        Err((error, session)) => {
            // Only a misconfigured engine refuses to count fuel.
            let outcome = Outcome::NotInstantiated(outcome::text_of(&error));
            session.end_legs_by_host(outcome.told(policy.status));
            return (
                RunReport::without_instance(&session, kind, outcome, started),
                None,
            );
        }
    };
    let mut context = Context::default();
    let ends = store.data().ends();
    let stopping = store.data().session.stopping();
    let result = {
        let guest = guest(&version, &mut store, task, started, &mut context.running);
        tokio::select! {
            // A flow that computes is asked at each of its turns.
            biased;
            why = stopping.wait() => Err(Outcome::Ended(why)),
            result = guest => Ok(result),
            () = tokio::time::sleep_until(ends) => Err(Outcome::TooLong { limit, limit_s }),
        }
    };
    if let Ok(counter) = store.get_fuel() {
        store.data_mut().meter.entering_host(counter);
    }
    let mut state = store.into_data();
    if let Some(calls) = &mut state.host_calls {
        calls.end();
    }
    let suppressed_lines = state.close_log();
    let mut last_lines = state.log.last_lines();
    context.budget = state.meter.ended();
    context.refused = state.holdings.refused();
    context.last_line = last_lines.last().cloned();
    let mut backtrace = None;
    let mut reported = None;
    let outcome = match result {
        Err(outcome) => outcome,
        Ok(Ok(Ok(report))) => match report
            .map(|(kind, data)| state.session.body(&kind, data))
            .transpose()
        {
            Ok(report) => {
                reported = report;
                Outcome::Finished
            }
            Err(error) => Outcome::Failed(format!("what it reports is no body: {error}")),
        },
        Ok(Ok(Err(text))) => Outcome::Failed(text),
        Ok(Err(error)) => {
            backtrace = outcome::backtrace_of(&error);
            Outcome::of_error(&error, &limits, &context)
        }
    };
    let inheritance = will
        .filter(|_| outcome.may_be_handed_over())
        .and_then(|will| hand_over(will, &state.session));
    if outcome.is_return() {
        state.session.end_legs(NOT_ANSWERED);
    } else {
        state.session.end_legs_by_host(outcome.told(policy.status));
    }
    if !outcome.is_trap() {
        last_lines.clear();
    }
    let report = RunReport {
        session: state.session.id().to_owned(),
        kind,
        began_ms: state.session.began_ms(),
        legs: state.session.take_legs_summary(),
        outcome,
        fuel_used: state.meter.used(),
        memory_bytes: state.holdings.memory(),
        elapsed: started.elapsed(),
        suppressed_lines,
        backtrace,
        last_lines,
        reported,
        heir: inheritance.as_ref().map(|heir| heir.session.id().to_owned()),
        record: state.session.record_fields(),
        host_calls: state.host_calls.take(),
    };
    report.log();
    (report, inheritance)
}

/// The call, and who takes it over.
type Will = (Estate, Arc<dyn Heir>);

fn hand_over((estate, heir): Will, from: &Session) -> Option<Inheritance> {
    let session = heir.session(from, estate.answered()?)?;
    let leg = estate.pass_to(&session)?;
    Some(Inheritance { session, leg })
}

fn open(
    engine: &Engine,
    session: Session,
    turn: Turn,
    life: Duration,
) -> Result<Store<CallState>, (wasmtime::Error, Session)> {
    let limits = engine.limits();
    let host_calls = engine.host_calls_of(session.id());
    let mut store = Store::new(engine.wasmtime(), CallState::new(session, limits, turn, life));
    store.data_mut().host_calls = host_calls;
    store.limiter(|state| &mut state.holdings);
    store.set_hostcall_fuel(limits.hostcall_fuel);
    store.set_max_component_handles(limits.handles_max);
    store.call_hook_async(state::Border);
    let fuel = store.data().meter.grant();
    match store
        .set_fuel(fuel)
        .and_then(|()| store.fuel_async_yield_interval(Some(limits.fuel_slice)))
    {
        Ok(()) => Ok(store),
        Err(error) => Err((error, store.into_data().session)),
    }
}

/// What a job has to report: a MIME type and the bytes.
type Reported = Option<(String, Vec<u8>)>;

/// The guest from its making to its return. The outer error is a trap, the inner one the flow's own.
async fn guest(
    version: &FlowVersion,
    store: &mut Store<CallState>,
    task: Task,
    started: Instant,
    running: &mut bool,
) -> wasmtime::Result<Result<Reported, String>> {
    let instantiations = version.engine().instantiations();
    match (version.entry(), task) {
        (Entry::Call(entry), Task::Call(leg)) => {
            let leg = store.data_mut().table.push(leg)?;
            let flow = entry.instantiate_async(&mut *store).await?;
            *running = true;
            instantiations.observe(started.elapsed());
            let result = flow.callbox_flow_handler().call_on_call(&mut *store, leg).await?;
            Ok(result.map(|()| None).map_err(|text| outcome::flow_text(&text)))
        }
        (Entry::Job(entry), Task::Job(args)) => {
            let flow = entry.instantiate_async(&mut *store).await?;
            *running = true;
            instantiations.observe(started.elapsed());
            let args = host_api::body(&args);
            let result = flow.callbox_flow_job().call_run(&mut *store, &args).await?;
            Ok(result
                .map(|report| Some((report.content_type, report.data)))
                .map_err(|text| outcome::flow_text(&text)))
        }
        (Entry::Call(entry), Task::Nothing) => {
            entry.instantiate_async(&mut *store).await?;
            Ok(Ok(None))
        }
        (Entry::Job(entry), Task::Nothing) => {
            entry.instantiate_async(&mut *store).await?;
            Ok(Ok(None))
        }
        (Entry::Job(_), Task::Call(_)) => Err(wasmtime::Error::msg(
            "a job-flow cannot take a call: route it to a flow of world call-flow",
        )),
        (Entry::Call(_), Task::Job(_)) => Err(wasmtime::Error::msg(
            "a call-flow cannot be run as a job: build it against the world job-flow",
        )),
    }
}

impl RunReport {
    fn without_instance(session: &Session, kind: RunKind, outcome: Outcome, started: Instant) -> Self {
        let report = Self {
            session: session.id().to_owned(),
            kind,
            began_ms: session.began_ms(),
            legs: session.legs_summary(),
            outcome,
            fuel_used: 0,
            memory_bytes: 0,
            elapsed: started.elapsed(),
            suppressed_lines: 0,
            backtrace: None,
            last_lines: Vec::new(),
            reported: None,
            heir: None,
            record: Vec::new(),
            host_calls: None,
        };
        report.log();
        report
    }

    fn log(&self) {
        let (outcome, fuel, memory) = (self.outcome.name(), self.fuel_used, self.memory_bytes);
        let record = self.record_line();
        if self.outcome.is_trap() {
            let limit = self.outcome.limit();
            let backtrace = self.backtrace.as_deref().unwrap_or("none");
            tracing::warn!(
                outcome,
                limit,
                fuel,
                memory,
                backtrace,
                record,
                heir = self.heir,
                "the flow {}",
                Pii::text(&self.outcome.to_string())
            );
        } else if record.is_some() || !matches!(self.outcome, Outcome::Finished) {
            // The flow's own words, which its author looks for in the log.
            let outcome_text = self.outcome.to_string();
            tracing::info!(
                outcome,
                fuel,
                memory,
                record,
                "the flow {}",
                Pii::text(&outcome_text)
            );
        } else {
            tracing::debug!(outcome, fuel, memory, "the flow {}", self.outcome);
        }
    }

    /// The fields of the call's record on one line, values quoted and escaped.
    fn record_line(&self) -> Option<String> {
        let fields: Vec<String> = self
            .record
            .iter()
            .map(|(key, value)| format!("{key}={:?}", Pii::field(value)))
            .collect();
        (!fields.is_empty()).then(|| fields.join(" "))
    }

    /// Which budget ended, if one did.
    pub fn out_of_fuel(&self) -> Option<Budget> {
        match self.outcome {
            Outcome::OutOfFuel { budget, .. } => Some(budget),
            _ => None,
        }
    }
}
