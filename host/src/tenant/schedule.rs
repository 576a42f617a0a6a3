//! Jobs that the configuration starts: at the start of the host, at intervals, by the clock.
//!
//! One task a job, which waits for its time and then for its run: so a job that still runs when its time comes again is
//! not started twice, and the times that it missed are not made up. A new configuration ends the task of a job that it
//! changes or takes away; the run that is up goes on, unless the configuration has the job no more (`reload`). Entry points: [`Directory::start_jobs`], [`Directory::reschedule`].

use std::collections::HashMap;
use std::collections::hash_map::Entry::Vacant;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::directory::Directory;
use super::job::JobArgs;
use super::quota::For;
use crate::config::{Cron, Job, Start};
use crate::unix_time::now_s;

/// The first and the longest pause before a job is begun again that ends too soon.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A clock that is set while a job waits is noticed within this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The jobs that have a task, by tenant and flow; none before the wire runs.
#[derive(Default)]
pub(super) struct Schedules {
    started: bool,
    tasks: HashMap<Name, Scheduled>,
}

/// Whose a job is. The flow is looked up when its time comes, so that it runs as the configuration has it then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    tenant: Arc<str>,
    flow: Arc<str>,
}

struct Scheduled {
    job: Job,
    task: AbortHandle,
}

impl Directory {
    /// Starts what the configuration starts. The wire must run.
    pub fn start_jobs(self: &Arc<Self>) {
        self.schedules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .started = true;
        self.reschedule();
    }

    /// Makes the schedules those of the plan: a job that is as it was keeps its times.
    pub(super) fn reschedule(self: &Arc<Self>) {
        let mut schedules = self.schedules.lock().unwrap_or_else(PoisonError::into_inner);
        if !schedules.started {
            return;
        }
        let mut wanted: HashMap<Name, Job> = HashMap::new();
        for found in self.plan().flows() {
            if let Some(job) = found.flow.job.clone() {
                let name = Name {
                    tenant: Arc::clone(&found.account.name),
                    flow: Arc::clone(&found.flow.name),
                };
                wanted.insert(name, job);
            }
        }
        schedules.tasks.retain(|name, scheduled| {
            let keep = wanted.get(name) == Some(&scheduled.job);
            if !keep {
                scheduled.task.abort();
            }
            keep
        });
        for (name, job) in wanted {
            if let Vacant(place) = schedules.tasks.entry(name) {
                let task = self.schedule(place.key().clone(), job.clone());
                place.insert(Scheduled { job, task });
            }
        }
    }

    fn schedule(self: &Arc<Self>, name: Name, job: Job) -> AbortHandle {
        let args = JobArgs::of(&job.args);
        let directory = Arc::clone(self);
        let task = self.runs.runtime().spawn(async move {
            let ended = Arc::clone(&directory);
            let schedule = async move {
                match job.start {
                    Start::Demand => {}
                    Start::Boot => directory.keep(&name, &args, job.restart).await,
                    Start::Every(time) => directory.repeat(&name, &args, time).await,
                    Start::Cron(cron) => directory.follow(&name, &args, &cron).await,
                }
            };
            ended.runs.until_the_end(schedule).await
        });
        task.abort_handle()
    }

    /// Runs it once, or for ever.
    async fn keep(self: &Arc<Self>, name: &Name, args: &JobArgs, restart: bool) {
        let mut pause = PAUSE.0;
        loop {
            // An operator may let the host take calls again, and this job with them.
            self.runs.entrance.until_open().await;
            let began = Instant::now();
            self.run_once(name, args).await;
            if !restart {
                return;
            }
            if began.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn repeat(self: &Arc<Self>, name: &Name, args: &JobArgs, every: Duration) {
        let mut due = tokio::time::Instant::now() + every;
        loop {
            tokio::time::sleep_until(due).await;
            self.run_once(name, args).await;
            let mut missed: u64 = 0;
            due += every;
            while due <= tokio::time::Instant::now() {
                due += every;
                missed += 1;
            }
            tell_missed(name, missed);
        }
    }

    async fn follow(self: &Arc<Self>, name: &Name, args: &JobArgs, cron: &Cron) {
        let mut after = now_s();
        // The configuration has no time that never comes.
        while let Some(due) = cron.next_after(after) {
            while let Some(left) = due.checked_sub(now_s()).filter(|left| *left > 0) {
                tokio::time::sleep(Duration::from_secs(left).min(LOOK_AGAIN)).await;
            }
            self.run_once(name, args).await;
            let ended = now_s();
            after = due;
            let mut missed = 0;
            while let Some(next) = cron.next_after(after).filter(|next| *next <= ended) {
                after = next;
                missed += 1;
            }
            tell_missed(name, missed);
        }
    }

    async fn run_once(self: &Arc<Self>, Name { tenant, flow }: &Name, args: &JobArgs) {
        let job = match self.plan().flow(tenant, flow) {
            Some(found) => self.job_now(&found, args, For::Job),
            // Another configuration has just come, and this task is about to end.
            None => return,
        };
        match job {
            // How it ended is in the log already. In a task of its own: the end of the host, or a new configuration, ends
            // this schedule at once, and the job in its own way.
            Ok(job) => drop(self.runs.runtime().spawn(job.run()).await),
            Err(why) => {
                tracing::warn!(%tenant, %flow, "the job was not started: {why}");
            }
        }
    }
}

fn tell_missed(Name { tenant, flow }: &Name, missed: u64) {
    if missed > 0 {
        tracing::warn!(%tenant, %flow, missed, "the job was still running when its time came");
    }
}
