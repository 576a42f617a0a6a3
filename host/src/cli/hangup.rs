//! `callbox hangup`: ends one leg of a session.

use std::process::ExitCode;

use anyhow::anyhow;

use super::Failure;
use super::reach::Reach;
use crate::admin::{Hangup as Request, path};

const EXAMPLES: &str = "\
Examples:
  callbox hangup 6745f1b2-3/1 --config callbox.toml
  callbox hangup 6745f1b2-3/2 --code 403 --reason \"fraud desk\" --config callbox.toml

Its peer gets BYE, or CANCEL, or the code before the answer, with a Reason; its flow hears of it and goes on, unlike after
callbox kill. Exit status 1: there is no such leg, or it is not up.";

/// Hang up one leg of a session, whose flow goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Hangup {
    /// The session and the number of its leg: see `callbox ps`.
    #[arg(value_name = "SESSION/LEG")]
    leg: String,
    /// The response to a call that was not answered, and the cause of the Reason: 400 to 699; 480 when nothing is said.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(400..700))]
    code: Option<u16>,
    /// What the peer and the flow are told.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    host: Reach,
}

impl Hangup {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let Some((session, leg)) = self.leg.split_once('/') else {
            let why = anyhow!("{:?} is no leg: write SESSION/LEG, as in 6745f1b2-3/1", self.leg);
            return Err(Failure::NotTried(why));
        };
        let request = Request {
            code: self.code,
            reason: self.reason,
        };
        let place = path(&["v1", "sessions", session, "legs", leg, "hangup"], &[]);
        self.host
            .ask(async |host| host.post::<_, ()>(&place, &request).await)?;
        Ok(ExitCode::SUCCESS)
    }
}
