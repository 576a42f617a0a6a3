//! `callbox post`: an external event for a session that runs.

use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use crate::admin::{Payload, path};

/// Put an event into the mailbox of a session; its flow gets it as `external`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  callbox post 6745f1b2-3 '{\"agent\": 7}' --type application/json --config callbox.toml"
)]
pub(super) struct Post {
    /// The session: see `callbox ps`.
    #[arg(value_name = "SESSION")]
    session: String,
    /// What the flow gets.
    #[arg(value_name = "TEXT")]
    data: String,
    /// Its media type.
    #[arg(long = "type", value_name = "TYPE/SUBTYPE", default_value = "text/plain")]
    content_type: String,
    #[command(flatten)]
    host: Reach,
}

impl Post {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let payload = Payload {
            content_type: self.content_type,
            data: self.data,
        };
        let place = path(&["v1", "sessions", &self.session, "events"], &[]);
        self.host
            .ask(async |host| host.post::<_, ()>(&place, &payload).await)?;
        Ok(ExitCode::SUCCESS)
    }
}
