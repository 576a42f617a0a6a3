//! `callbox deploy`, `promote` and `rollback`: another version of a flow on a host that runs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::Failure;
use super::reach::Reach;
use super::table::plain;
use crate::admin::{Promotion, Rollback, path};
use crate::tenant::{Deployed, Pin};

const DEPLOY: &str = "\
Examples:
  callbox deploy acme/ivr flow.wasm --config callbox.toml                  all calls from now on
  callbox deploy acme/ivr flow.wasm --canary 10% --config callbox.toml     a tenth of them
  callbox deploy acme/ivr flow.wasm --pin '+4420*' --pin from:100          calls to +4420…, and from 100
  callbox promote acme/ivr                                                 what was tried is for all
  callbox rollback acme/ivr                                                the latest step back

The file is compiled, checked and tried on a virtual call before any call gets it. Calls that are up keep their version.
Exit status: 0 it serves; 1 it is not taken, and the version before it serves on; 2 it could not be tried.";

/// Take a file as the next version of a flow.
#[derive(Debug, clap::Args)]
#[command(after_help = DEPLOY)]
pub(super) struct Deploy {
    /// Of which flow.
    #[arg(value_name = "TENANT/FLOW", value_parser = flow)]
    flow: (String, String),
    /// The component, or a core module with an embedded component type.
    #[arg(value_name = "FLOW.wasm")]
    file: PathBuf,
    /// Only for this share of the calls, 1% to 100%; the same call always gets the same version.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    canary: Option<u8>,
    /// Only for calls to this number, a beginning as '+4420*', or callers as 'from:+44*'; may be given several times.
    #[arg(long = "pin", value_name = "NUMBER")]
    pins: Vec<Pin>,
    #[command(flatten)]
    host: Reach,
}

/// Give a version that is tried to all calls, or any version that is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = DEPLOY)]
pub(super) struct Promote {
    /// Of which flow.
    #[arg(value_name = "TENANT/FLOW", value_parser = flow)]
    flow: (String, String),
    /// Its number, as `callbox versions` says; none: the one that is tried.
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    #[command(flatten)]
    host: Reach,
}

/// Go back: give up the canary, or put the version before the current one in its place.
#[derive(Debug, clap::Args)]
#[command(name = "rollback", after_help = DEPLOY)]
pub(super) struct RollBack {
    /// Of which flow.
    #[arg(value_name = "TENANT/FLOW", value_parser = flow)]
    flow: (String, String),
    /// Only take this pin away; may be given several times.
    #[arg(long = "pin", value_name = "NUMBER")]
    pins: Vec<Pin>,
    #[command(flatten)]
    host: Reach,
}

/// `tenant/flow`, taken apart.
pub(super) fn flow(text: &str) -> Result<(String, String), String> {
    text.split_once('/')
        .filter(|(tenant, flow)| !tenant.is_empty() && !flow.is_empty())
        .map(|(tenant, flow)| (tenant.to_owned(), flow.to_owned()))
        .ok_or_else(|| "write TENANT/FLOW, as in acme/ivr".to_owned())
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    number
        .ok()
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| "write 1% to 100%".to_owned())
}

impl Deploy {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let file = std::fs::read(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))
            .map_err(Failure::NotTried)?;
        let pins: Vec<String> = self.pins.iter().map(Pin::to_string).collect();
        let pins = pins.join(",");
        let canary = self.canary.map(|percent| percent.to_string());
        let by = who();
        let path = path(
            &["v1", "versions", &self.flow.0, &self.flow.1],
            &[
                ("canary", canary.as_deref()),
                ("pins", Some(pins.as_str()).filter(|pins| !pins.is_empty())),
                ("by", Some(&by)),
            ],
        );
        let done: Deployed = self.host.ask(async |host| host.upload(&path, file).await)?;
        let calls = match (self.canary, pins.is_empty()) {
            (None, true) => "all new calls".to_owned(),
            (Some(percent), true) => format!("{percent} % of the new calls"),
            (None, false) => format!("calls of {pins}"),
            (Some(percent), false) => format!("calls of {pins} and {percent} % of the others"),
        };
        say(&done, &calls)
    }
}

impl Promote {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let path = path(&["v1", "versions", &self.flow.0, &self.flow.1, "promote"], &[]);
        let wanted = Promotion { number: self.version };
        let done: Deployed = self.host.ask(async |host| host.post(&path, &wanted).await)?;
        say(&done, "all new calls")
    }
}

impl RollBack {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let path = path(&["v1", "versions", &self.flow.0, &self.flow.1, "rollback"], &[]);
        let wanted = Rollback { pins: self.pins };
        let done: Deployed = self.host.ask(async |host| host.post(&path, &wanted).await)?;
        say(&done, "all new calls")
    }
}

fn say(done: &Deployed, calls: &str) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: version {} ({}) gets {}; compiled in {} ms, in effect {} ms later",
        plain(&done.flow),
        done.number,
        plain(&done.version),
        plain(calls),
        done.compile_ms,
        done.switch_ms
    )?;
    if !done.pinned_elsewhere.is_empty() {
        let pins = plain(&done.pinned_elsewhere.join(", "));
        writeln!(
            out,
            "calls of {pins} stay on other versions; `callbox versions` shows them"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who asks, as far as that can be told: for people who read the list of versions, not for security.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_and_a_flow_has_two_names() {
        assert_eq!(percent("10%"), Ok(10));
        assert_eq!(percent("100"), Ok(100));
        for wrong in ["0", "101%", "ten", "", "%", "-1", "1%%"] {
            assert!(percent(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(flow("acme/ivr"), Ok(("acme".to_owned(), "ivr".to_owned())));
        for wrong in ["acme", "/ivr", "acme/", ""] {
            assert!(flow(wrong).is_err(), "{wrong:?}");
        }
    }
}
