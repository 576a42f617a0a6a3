//! `callbox metrics`: what a running host counts, or the page that says what each metric means.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Failure;
use super::reach::Reach;
use crate::admin::path;
use crate::metrics::families;

const EXAMPLES: &str = "\
Examples:
  callbox metrics --config callbox.toml
  callbox metrics --socket .callbox/admin.sock | grep callbox_calls_total
  callbox metrics --markdown > docs/metrics.md

Prometheus reads the same from GET /metrics: of the admin API with its token, or of [metrics] listen without one.";

/// Print the metrics of a running host, in the OpenMetrics text format.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Metrics {
    #[command(flatten)]
    host: Reach,
    /// Print what each metric means, in Markdown, as in docs/metrics.md; needs no host.
    #[arg(long)]
    markdown: bool,
}

impl Metrics {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let out = &mut io::stdout().lock();
        if self.markdown {
            markdown(out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let page = self
            .host
            .ask(async |host| host.text(&path(&["metrics"], &[])).await)?;
        out.write_all(page.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The table as a page of the documentation.
fn markdown(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "# Metrics\n\nEvery metric of callbox. Written by `callbox metrics --markdown > docs/metrics.md` from the one table in\n\
         `host/src/metrics/`; a test fails when the two differ. [operate.md](operate.md#metrics) says how they are read,\n\
         [grafana.json](grafana.json) is a dashboard of them.\n\n\
         The labels `tenant` and `flow` are names of the configuration, `limit` is a row of [limits.md](limits.md); no label \
         ever\nholds a number, an address or anything else of a peer's. A counter begins again when the host does. What is never\n\
         hit has a counter that stays 0, but for outcomes, refusals and what the kernel does not tell, which appear with the \
         first.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|"
    )?;
    for family in families() {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = match labels.is_empty() {
            true => "–".to_owned(),
            false => labels.join(", "),
        };
        writeln!(
            out,
            "| `{}` | {} | {labels} | {} |",
            family.name,
            family.kind.name(),
            family.help
        )?;
    }
    Ok(())
}
