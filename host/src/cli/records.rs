//! What `serve` does about call records: starts their thread as the configuration says, and ends it.
//!
//! Entry point: [`start`].

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::pii_key;
use crate::config::{Config, RecordStore, Records};
use crate::record::{Bounds, JsonLines, Recorder, Redacting, Sink, Sqlite, WhenFull, Writer};

const DAY: Duration = Duration::from_secs(86_400);

/// Where ended sessions leave their records, and the thread that writes them if they are kept. A store that does not work
/// is no reason not to start: the thread tries again.
pub(super) fn start(
    config: &Config,
    state_dir: &Path,
    calls_max: usize,
) -> anyhow::Result<(Recorder, Option<Writer>)> {
    let (records, limits) = (&config.records, &config.limits.record);
    let file = records.file(state_dir).unwrap_or_default();
    let keep = records
        .keep_days
        .map(|days| DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)));
    let sink: Box<dyn Sink> = match records.store {
        RecordStore::JsonLines => Box::new(JsonLines::new(file, records.fsync, limits.jsonl_max_bytes)),
        RecordStore::Sqlite => Box::new(Sqlite::new(file, records.fsync, keep)),
        RecordStore::Postgresql => server(records)?,
        RecordStore::None => return Ok((Recorder::none(), None)),
    };
    let sink = match records.redact {
        true => Box::new(Redacting::new(sink, pii_key::open_or_make(state_dir)?)),
        false => sink,
    };
    let bounds = Bounds {
        queue: limits.queue,
        batch: limits.batch,
        batch_wait: Duration::from_millis(limits.batch_ms),
        sessions: calls_max,
    };
    let when_full = match records.refuse_calls {
        true => WhenFull::RefuseCalls,
        false => WhenFull::Drop,
    };
    tracing::debug!(place = sink.place(), "call records");
    let (recorder, writer) =
        Recorder::start(sink, &bounds, when_full).context("cannot start the thread of the call records")?;
    Ok((recorder, Some(writer)))
}

#[cfg(feature = "postgresql")]
fn server(records: &Records) -> anyhow::Result<Box<dyn Sink>> {
    let url = records.url.as_deref().unwrap_or_default();
    let password = records.password.as_ref().map(crate::config::Secret::expose);
    let store = crate::record::Postgresql::new(url, password).context("records.url")?;
    Ok(Box::new(store))
}

#[cfg(not(feature = "postgresql"))]
fn server(_: &Records) -> anyhow::Result<Box<dyn Sink>> {
    Err(anyhow::anyhow!(
        "this callbox was built without PostgreSQL: build it with --features postgresql, or name another [records] store"
    ))
}
