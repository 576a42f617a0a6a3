//! `[tenant.flow.NAME.job]`: when the host runs a flow by itself.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::Cron;
use super::reader::{Section, Source};

/// When a flow of world `job-flow` is run, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What starts it, beside `callbox call` and other flows.
    pub start: Start,
    /// `restart`: begin again when it ends. For `start = "boot"` only.
    pub restart: bool,
    /// `[….job.args]`: what it gets, as text by key.
    pub args: BTreeMap<String, String>,
}

/// What starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Nothing but who asks for it.
    Demand,
    /// `start = "boot"`: the start of the host.
    Boot,
    /// `every = "15m"`: so long after the start of the host, and again and again.
    Every(Duration),
    /// `cron = "30 3 * * *"`: the clock.
    Cron(Cron),
}

/// A length of time such as `90s`, `15m`, `1h30m`, `2d`.
struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FIX: &str =
            "is not a time; write 1 second to 366 days as in \"90s\", \"15m\", \"1h30m\" or \"2d\"";
        let mut seconds: u64 = 0;
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(FIX)?;
            let (number, unit_on) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| FIX)?;
            let mut letters = unit_on.chars();
            let unit = match letters.next() {
                Some('s') => 1,
                Some('m') => 60,
                Some('h') => 3_600,
                Some('d') => 86_400,
                _ => return Err(FIX.to_owned()),
            };
            seconds = seconds.saturating_add(number.saturating_mul(unit));
            rest = letters.as_str();
        }
        if !(1..=366 * 86_400).contains(&seconds) {
            return Err(FIX.to_owned());
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

pub(super) fn read(source: &Source<'_>, mut section: Section<'_, '_>) -> Job {
    let (at, path) = (section.at(), section.path().to_owned());
    let start = section.string("start");
    let every = section.string("every");
    let cron = section.string("cron");
    let restart = section.boolean("restart").unwrap_or(false);
    let args = section
        .section("args")
        .map(Section::pairs)
        .unwrap_or_default()
        .into_iter()
        .collect();
    section.finish();
    let given = [start.is_some(), every.is_some(), cron.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        let text = "has more than one of start, every and cron; write one, or a flow of its own for each";
        source.note(at, path.clone(), text.to_owned());
    }
    let start = if let Some(start) = start {
        if start.value != "boot" {
            source.problem(
                &start,
                "is not a start",
                "write start = \"boot\", every = \"15m\" or cron = \"30 3 * * *\"",
            );
        }
        Start::Boot
    } else if let Some(every) = every {
        source
            .parsed::<Span>(every)
            .map_or(Start::Demand, |span| Start::Every(span.0))
    } else if let Some(cron) = cron {
        source.parsed(cron).map_or(Start::Demand, Start::Cron)
    } else {
        Start::Demand
    };
    if restart && start != Start::Boot {
        let text = "is for start = \"boot\"; leave it out";
        source.note(at, format!("{path}.restart"), text.to_owned());
    }
    Job { start, restart, args }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lengths_of_time() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("2d"), Ok(172_800));
        for wrong in [
            "",
            "0s",
            "15",
            "m",
            "1.5h",
            "1w",
            "-1s",
            "367d",
            "99999999999999999999d",
            "1h 30m",
        ] {
            assert!(seconds(wrong).unwrap_err().contains("\"1h30m\""), "{wrong}");
        }
    }
}
