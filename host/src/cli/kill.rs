//! `callbox kill`: ends a session that runs.

use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use crate::admin::{Kill as Request, path};

const EXAMPLES: &str = "\
Examples:
  callbox kill 6745f1b2-3 --config callbox.toml
  callbox kill 6745f1b2-3 --grace-ms 10000 --config callbox.toml   its flow may say goodbye first

Its calls are ended with BYE, or 480 before the answer, and a Reason that says so. Exit status 1: there is no such session.";

/// End a session: its calls are hung up, whatever its flow does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Kill {
    /// The session: see `callbox ps`.
    #[arg(value_name = "SESSION")]
    session: String,
    /// Time for the flow to finish by itself; it gets the event `shutdown`.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    grace_ms: u64,
    #[command(flatten)]
    host: Reach,
}

impl Kill {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let request = Request {
            grace_ms: self.grace_ms,
        };
        let place = path(&["v1", "sessions", &self.session, "kill"], &[]);
        self.host
            .ask(async |host| host.post::<_, ()>(&place, &request).await)?;
        Ok(ExitCode::SUCCESS)
    }
}
