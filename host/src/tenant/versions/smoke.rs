//! A new version is tried before it gets calls: on a line that leads nowhere, with one caller on it, or as a job there.
//!
//! Entry point: [`Directory::smoke`]. Invariant: nothing that the flow does in it leaves the host or reaches another
//! session: its line has no network, and it can neither accept calls nor start jobs.

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Services, SessionContext, VirtualLine};
use crate::config::Start;
use crate::plugin::{World, try_call, try_job};
use crate::tenant::directory::Directory;
use crate::tenant::flow::Version;
use crate::tenant::job::JobArgs;
use crate::tenant::plan::Found;

/// What is dialled where no route names a number.
const NUMBER: &str = "100";

impl Directory {
    /// Runs a version until it waits: an error when it trapped on the way.
    pub(super) async fn smoke(&self, found: &Found, version: &Arc<Version>) -> Result<(), String> {
        let longest = Duration::from_millis(self.version_limits.smoke_ms);
        if longest.is_zero() {
            return Ok(());
        }
        let context = SessionContext {
            services: Services::none(),
            ..self.context(found, version)
        };
        let (flow, number) = (
            Arc::clone(&version.flow),
            self.plan().number_of(found).map(str::to_owned),
        );
        // A job that nobody has asked for has no arguments to be tried with.
        let args = found
            .flow
            .job
            .as_ref()
            .filter(|job| !matches!(job.start, Start::Demand))
            .map(|job| JobArgs::of(&job.args));
        // As any flow: on its threads, in turns.
        let trial = self.runs.runtime().spawn(async move {
            let mut line = VirtualLine::new();
            if flow.world() == World::CallFlow {
                let call = line.call(context, number.as_deref().unwrap_or(NUMBER));
                let (session, leg) =
                    call.ok_or("the number of its route cannot be dialled on a virtual call")?;
                let tried = try_call(flow, session, leg, longest);
                return Ok(tokio::select! {
                    tried = tried => tried,
                    () = line.run() => None,
                });
            }
            let session = line.session(context);
            let args = args.and_then(|args| session.body(&args.content_type, args.data).ok());
            let tried = try_job(flow, session, args, longest);
            Ok(tokio::select! {
                tried = tried => tried,
                () = line.run() => None,
            })
        });
        let outcome = match trial.await {
            Ok(tried) => tried.map_err(|error: &str| error.to_owned())?,
            Err(_) => return Err("it could not be tried: the host ends".to_owned()),
        };
        match outcome {
            Some(outcome) if !outcome.is_return() => Err(format!("on a virtual call it {outcome}")),
            _ => Ok(()),
        }
    }
}
