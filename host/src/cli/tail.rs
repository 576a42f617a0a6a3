//! `callbox tail`: the log of a running host as it is written.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use super::table::plain;
use crate::admin::{Tailed, path};

const EXAMPLES: &str = "\
Examples:
  callbox tail --config callbox.toml
  callbox tail --config callbox.toml --tenant acme
  callbox tail --config callbox.toml --call 3848276298220188511@atlanta.example

What is not logged ([log] level) is not shown. A terminal that is too slow loses lines, and says how many.";

/// Follow the log of a running host.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tail {
    #[command(flatten)]
    host: Reach,
    /// Only what the flows of this tenant cause.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only what this flow causes.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Only this session.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Only the session that this call began.
    #[arg(long, value_name = "CALL-ID")]
    call: Option<String>,
}

impl Tail {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let parameters = [
            ("tenant", self.tenant.as_deref()),
            ("flow", self.flow.as_deref()),
            ("session", self.session.as_deref()),
            ("call", self.call.as_deref()),
        ];
        let place = path(&["v1", "log"], &parameters);
        self.host.ask(async |host| {
            let mut lines = host.lines(&place).await?;
            while let Some(element) = lines.next().await? {
                let text = match element {
                    Tailed::Line(line) => plain(&line),
                    Tailed::Lost(lost) => format!("({lost} lines lost: this terminal is too slow)"),
                };
                let mut out = io::stdout().lock();
                if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
                    // Nobody reads any more.
                    break;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
