//! `callbox cdr`: reads the records of calls that are over.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;

use super::{Failure, pii_key, when};
use crate::config::{Config, RecordStore};
use crate::record::{Filter, HungUpBy, Leg, Reader, Record};
use crate::unix_time::now_ms;

const EXAMPLES: &str = "\
Examples:
  callbox cdr --config callbox.toml --since 1h
  callbox cdr --config callbox.toml --tenant acme --number '+4930*' --since 2026-11-01 --until 2026-12-01 --csv
  callbox cdr --config callbox.toml --outcome out-of-fuel-burst --json
  callbox cdr --file /var/backups/records.sqlite --limit 1000

Reads the SQLite file of [records], also while the host runs; a record is there some 50 ms after its session. Times are UTC. The
latest that fit are shown, oldest first: one line a session; with --csv one line a leg, with --json one object a session.

Exit status: 0 also when nothing fits; 1 the file cannot be read; 2 a mistake in the arguments or the configuration.";

/// Show the records of calls and jobs that are over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cdr {
    /// The configuration whose records are read.
    #[arg(long, value_name = "FILE", required_unless_present = "file")]
    config: Option<PathBuf>,
    /// A record file, wherever it is.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Of this flow: FLOW, or TENANT/FLOW.
    #[arg(long)]
    flow: Option<String>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Begun at that time or later: 2026-11-23, 2026-11-23T14:05, or how long ago: 15m, 2h, 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Begun before that time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// That ended so: finished, failed, panicked, out-of-fuel-burst, …
    #[arg(long, value_name = "NAME")]
    outcome: Option<String>,
    /// With a leg from or to this number; NUMBER* for all that begin so. Redacted records are found by the whole number (with
    /// the pii.key of the state folder) or by its tag.
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// So many at most: the latest.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// JSON, an object a line, with everything that is known.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV (RFC 4180) with a line of names, a leg a line.
    #[arg(long)]
    csv: bool,
}

impl Cdr {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut filter = self.filter().map_err(Failure::NotTried)?;
        let (file, state_dir) = self.record_file().map_err(Failure::NotTried)?;
        filter.number_tag = self.number_tag(&state_dir).map_err(Failure::NotTried)?;
        let records = Reader::open(&file)
            .and_then(|reader| reader.find(&filter))
            .map_err(|error| Failure::Failed(error.into()))?;
        let mut out = BufWriter::new(io::stdout().lock());
        let written = match (self.json, self.csv) {
            (true, _) => json(&mut out, &records),
            (_, true) => csv(&mut out, &records),
            _ => table(&mut out, &records),
        };
        match written.and_then(|()| out.flush()) {
            // `callbox cdr | head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(ExitCode::SUCCESS),
        }
    }

    /// The records, and the folder where the key is if they are redacted.
    fn record_file(&self) -> anyhow::Result<(PathBuf, PathBuf)> {
        if let Some(file) = &self.file {
            let folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
            return Ok((file.clone(), folder));
        }
        let named = self.config.as_deref().unwrap_or_else(|| Path::new(""));
        let config = Config::load(named)?;
        match config.records.store {
            RecordStore::Sqlite => {}
            RecordStore::JsonLines => {
                return Err(anyhow!(
                    "{} keeps records as JSON lines: read them with jq, or write store = \"sqlite\" in [records]",
                    named.display()
                ));
            }
            RecordStore::Postgresql => {
                return Err(anyhow!(
                    "{} keeps records in PostgreSQL: read them there, tables callbox_records and callbox_legs",
                    named.display()
                ));
            }
            RecordStore::None => {
                return Err(anyhow!(
                    "{} keeps no records: take store = \"none\" out of [records]",
                    named.display()
                ));
            }
        }
        if config.records.redact && self.number.as_ref().is_some_and(|number| number.ends_with('*')) {
            return Err(anyhow!(
                "{} redacts its records, so the beginning of a number finds none: name the whole number",
                named.display()
            ));
        }
        let file = config.records.file(&config.state_dir);
        file.map(|file| (file, config.state_dir))
            .ok_or_else(|| anyhow!("{} names no record file", named.display()))
    }

    /// How redacted records name the number that is wanted.
    fn number_tag(&self, state_dir: &Path) -> anyhow::Result<Option<String>> {
        let Some(number) = self.number.as_ref().filter(|number| !number.ends_with('*')) else {
            return Ok(None);
        };
        Ok(pii_key::open(state_dir)?.map(|redaction| redaction.number(number)))
    }

    fn filter(&self) -> anyhow::Result<Filter> {
        let now_ms = now_ms();
        let time = |text: &Option<String>, name: &str| {
            let parsed = text.as_deref().map(|text| when::parse(text, now_ms)).transpose();
            parsed.map_err(|error| anyhow!("--{name}: {error}"))
        };
        let (tenant, flow) = match self.flow.as_deref().and_then(|flow| flow.split_once('/')) {
            None => (self.tenant.clone(), self.flow.clone()),
            Some((tenant, _)) if self.tenant.as_deref().is_some_and(|other| other != tenant) => {
                return Err(anyhow!("--tenant and --flow name two tenants"));
            }
            Some((tenant, flow)) => (Some(tenant.to_owned()), Some(flow.to_owned())),
        };
        Ok(Filter {
            tenant,
            flow,
            session: self.session.clone(),
            since_ms: time(&self.since, "since")?,
            until_ms: time(&self.until, "until")?,
            outcome: self.outcome.clone(),
            number: self.number.clone(),
            number_tag: None,
            most: self.limit,
        })
    }
}

fn json(out: &mut impl Write, records: &[Record]) -> io::Result<()> {
    records
        .iter()
        .try_for_each(|record| writeln!(out, "{}", record.json()))
}

const COLUMNS: [&str; 10] = [
    "BEGAN", "SESSION", "FLOW", "FROM", "TO", "LEGS", "TALK", "CODE", "BY", "OUTCOME",
];

fn table(out: &mut impl Write, records: &[Record]) -> io::Result<()> {
    let rows: Vec<[String; 10]> = records.iter().map(row).collect();
    let mut widths = COLUMNS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads = COLUMNS.map(str::to_owned);
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A session by its first leg, which is the call that it is about.
fn row(record: &Record) -> [String; 10] {
    let none = Leg::default();
    let by_number = record.legs.iter().min_by_key(|leg| leg.leg);
    let leg = by_number.unwrap_or(&none);
    let talked: u64 = leg.talked_ms() / 1_000;
    let outcome = match &record.limit {
        Some(limit) => format!("{} ({limit})", record.outcome),
        None => record.outcome.to_string(),
    };
    [
        when::show(record.began_ms),
        plain(&record.session),
        plain(&format!("{}/{}", record.tenant, record.flow)),
        plain(&leg.ani),
        plain(&leg.dnis),
        (record.legs.len() + record.legs_forgotten as usize).to_string(),
        format!("{}:{:02}", talked / 60, talked % 60),
        leg.code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        leg.by.map_or("-", HungUpBy::name).to_owned(),
        plain(&outcome),
    ]
}

/// What a terminal shows and does not obey. Peers and flows wrote it.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if shown.is_empty() { "-".to_owned() } else { shown }
}

fn csv(out: &mut impl Write, records: &[Record]) -> io::Result<()> {
    write!(
        out,
        "session,kind,tenant,flow,version,began,ended,outcome,limit,fuel,memory_bytes,fields,leg,direction,call_id,ani,\
         dnis,destination,started,rang,answered,hung_up,talked_ms,code,by,q850,reason\r\n"
    )?;
    for record in records {
        let session = [
            record.session.clone(),
            record.kind.to_string(),
            record.tenant.to_string(),
            record.flow.to_string(),
            record.version.to_string(),
            when::show(record.began_ms),
            when::show(record.ended_ms),
            record.outcome.to_string(),
            record.limit.as_deref().unwrap_or_default().to_owned(),
            record.fuel.to_string(),
            record.memory_bytes.to_string(),
            record
                .json()
                .get("fields")
                .map(ToString::to_string)
                .unwrap_or_default(),
        ];
        if record.legs.is_empty() {
            let nothing: [String; 15] = Default::default();
            line(out, session.iter().chain(&nothing))?;
        }
        for leg in &record.legs {
            line(out, session.iter().chain(&leg_cells(leg)))?;
        }
    }
    Ok(())
}

fn leg_cells(leg: &Leg) -> [String; 15] {
    let time = |ms: Option<u64>| ms.map(when::show).unwrap_or_default();
    [
        leg.leg.to_string(),
        leg.direction().to_owned(),
        leg.call_id.clone(),
        leg.ani.clone(),
        leg.dnis.clone(),
        leg.destination.clone(),
        when::show(leg.started_ms),
        time(leg.rang_ms),
        time(leg.answered_ms),
        time(leg.ended_ms),
        leg.talked_ms().to_string(),
        leg.code.map(|code| code.to_string()).unwrap_or_default(),
        leg.by.map_or("", HungUpBy::name).to_owned(),
        leg.q850.map(|cause| cause.to_string()).unwrap_or_default(),
        leg.reason.clone().unwrap_or_default(),
    ]
}

fn line<'a>(out: &mut impl Write, cells: impl Iterator<Item = &'a String>) -> io::Result<()> {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            out.write_all(b",")?;
        }
        // A cell is one line: what breaks lines is escaped, and so is what a terminal obeys.
        let text: String = cell
            .chars()
            .flat_map(|c| match c.is_control() {
                true => c.escape_default().collect::<Vec<char>>(),
                false => vec![c],
            })
            .collect();
        if text.contains([',', '"']) {
            write!(out, "\"{}\"", text.replace('"', "\"\""))?;
        } else {
            out.write_all(text.as_bytes())?;
        }
    }
    out.write_all(b"\r\n")
}
