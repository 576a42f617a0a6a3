//! Jobs that the configuration starts: at the start of the host, at intervals, by the clock.
//!
//! One task a job, which waits for its time and then for its run: so a job that still runs when its time comes again is
//! not started twice, and the times that it missed are not made up. Entry point: [`Directory::start_jobs`].

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::directory::Directory;
use super::job::JobArgs;
use super::plan::Found;
use super::quota::For;
use crate::config::{Cron, Start};

/// The first and the longest pause before a job is begun again that ends too soon.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A clock that is set while a job waits is noticed within this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Directory {
    /// Starts what the configuration starts. The wire must run.
    pub fn start_jobs(self: &Arc<Self>) {
        for found in self.plan().flows() {
            let Some(job) = found.flow.job.clone() else {
                continue;
            };
            let args = JobArgs::of(&job.args);
            let directory = Arc::clone(self);
            self.runs.runtime().spawn(async move {
                let ended = Arc::clone(&directory);
                let schedule = async move {
                    match job.start {
                        Start::Demand => {}
                        Start::Boot => directory.keep(&found, &args, job.restart).await,
                        Start::Every(time) => directory.repeat(&found, &args, time).await,
                        Start::Cron(cron) => directory.follow(&found, &args, &cron).await,
                    }
                };
                ended.runs.until_the_end(schedule).await
            });
        }
    }

    /// Runs it once, or for ever.
    async fn keep(self: &Arc<Self>, found: &Found, args: &JobArgs, restart: bool) {
        let mut pause = PAUSE.0;
        loop {
            let began = Instant::now();
            self.run_once(found, args).await;
            if !restart || self.runs.is_draining() {
                return;
            }
            if began.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn repeat(self: &Arc<Self>, found: &Found, args: &JobArgs, every: Duration) {
        let mut due = tokio::time::Instant::now() + every;
        loop {
            tokio::time::sleep_until(due).await;
            self.run_once(found, args).await;
            let mut missed: u64 = 0;
            due += every;
            while due <= tokio::time::Instant::now() {
                due += every;
                missed += 1;
            }
            self.tell_missed(found, missed);
        }
    }

    async fn follow(self: &Arc<Self>, found: &Found, args: &JobArgs, cron: &Cron) {
        let mut after = now();
        // The configuration has no time that never comes.
        while let Some(due) = cron.next_after(after) {
            while let Some(left) = due.checked_sub(now()).filter(|left| *left > 0) {
                tokio::time::sleep(Duration::from_secs(left).min(LOOK_AGAIN)).await;
            }
            self.run_once(found, args).await;
            let ended = now();
            after = due;
            let mut missed = 0;
            while let Some(next) = cron.next_after(after).filter(|next| *next <= ended) {
                after = next;
                missed += 1;
            }
            self.tell_missed(found, missed);
        }
    }

    async fn run_once(self: &Arc<Self>, found: &Found, args: &JobArgs) {
        match self.job_now(found, args, For::Job) {
            // How it ended is in the log already. In a task of its own: the end of the host ends this schedule at once, and
            // the job in its own way.
            Ok(job) => drop(self.runs.runtime().spawn(job.run()).await),
            Err(why) => {
                let Found { account, flow } = found;
                tracing::warn!(tenant = %account.name, flow = %flow.name, "the job was not started: {why}");
            }
        }
    }

    fn tell_missed(&self, Found { account, flow }: &Found, missed: u64) {
        if missed > 0 {
            tracing::warn!(tenant = %account.name, flow = %flow.name, missed, "the job was still running when its time came");
        }
    }
}

/// Seconds since 1970 began.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
