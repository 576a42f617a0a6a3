//! `[records]`: what is kept of calls that are over, and where.
//!
//! Invariant: a key that means nothing to the store that is chosen is refused, so that nobody relies on it.

use std::path::PathBuf;

use super::credential::{Place, Secret};
use super::reader::{Section, Source};

/// `[records]`, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// `store`.
    pub store: RecordStore,
    /// `path`: the file; `records.sqlite` or `records.jsonl` in the state folder when nothing is said.
    pub path: Option<PathBuf>,
    /// `fsync`: wait for the disk, so that records outlive a loss of power too.
    pub fsync: bool,
    /// `keep_days`: older ones are deleted. For ever when nothing is said.
    pub keep_days: Option<u64>,
    /// `url`, where the store is a server: `postgresql://USER@HOST/DATABASE`.
    pub url: Option<String>,
    /// `password_env` or `password_file`, for that server.
    pub password: Option<Secret>,
    /// `refused`: calls that were refused before a flow ran leave a record too.
    pub refused: bool,
    /// `when_full = "refuse-calls"`: no call without a place for its record.
    pub refuse_calls: bool,
    /// `redact`: numbers and addresses are kept as tags, under a key that stays in the state folder.
    pub redact: bool,
}

/// Where records go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordStore {
    /// `"sqlite"`
    #[default]
    Sqlite,
    /// `"jsonl"`
    JsonLines,
    /// `"postgresql"`, in programs that were built with it.
    Postgresql,
    /// `"none"`
    None,
}

impl Records {
    /// The file of this store, with this state folder.
    #[must_use]
    pub fn file(&self, state_dir: &std::path::Path) -> Option<PathBuf> {
        let name = match self.store {
            RecordStore::Sqlite => "records.sqlite",
            RecordStore::JsonLines => "records.jsonl",
            RecordStore::Postgresql | RecordStore::None => return None,
        };
        Some(self.path.clone().unwrap_or_else(|| state_dir.join(name)))
    }
}

/// A century: who wants more leaves the key out.
const KEEP_DAYS_MOST: u64 = 36_525;

pub(super) fn read(source: &Source<'_>, section: Option<Section<'_, '_>>) -> Records {
    let mut records = Records::default();
    let Some(mut section) = section else {
        return records;
    };
    let store = section.string("store");
    if let Some(name) = &store {
        match name.value.as_str() {
            "sqlite" => records.store = RecordStore::Sqlite,
            "jsonl" => records.store = RecordStore::JsonLines,
            "postgresql" => records.store = RecordStore::Postgresql,
            "none" => records.store = RecordStore::None,
            _ => source.problem(
                name,
                "is no store",
                "write \"sqlite\", \"jsonl\", \"postgresql\" or \"none\"",
            ),
        }
    }
    let path = section.string("path");
    if let Some(path) = &path {
        if matches!(records.store, RecordStore::Postgresql | RecordStore::None) {
            source.problem(
                path,
                "is not used by this store",
                "leave it out, or name a store that is a file",
            );
        }
        records.path = Some(source.path(&path.value));
    }
    server(source, &mut section, &mut records);
    records.fsync = section.boolean("fsync").unwrap_or_default();
    if records.fsync && !matches!(records.store, RecordStore::Sqlite | RecordStore::JsonLines) {
        let text = "is for stores that are a file; leave it out".to_owned();
        source.note(section.at(), format!("{}.fsync", section.path()), text);
    }
    if let Some(days) = section.number("keep_days") {
        if days.value == 0 || days.value > KEEP_DAYS_MOST {
            let text = format!(
                "{} is not a number of days; write 1 to {KEEP_DAYS_MOST}, or store = \"none\" to keep nothing",
                days.value
            );
            source.note(days.at, days.key, text);
        } else if records.store == RecordStore::Sqlite {
            records.keep_days = Some(days.value);
        } else {
            let text = "is for store = \"sqlite\"; of other stores you delete what is old".to_owned();
            source.note(days.at, days.key, text);
        }
    }
    if let Some(when) = section.string("when_full") {
        match when.value.as_str() {
            "drop" => {}
            "refuse-calls" => records.refuse_calls = true,
            _ => source.problem(&when, "is no policy", "write \"drop\" or \"refuse-calls\""),
        }
    }
    records.refused = section.boolean("refused").unwrap_or_default();
    records.redact = section.boolean("redact").unwrap_or_default();
    let kept = [("refused", records.refused), ("redact", records.redact)];
    for (key, _) in kept.into_iter().filter(|(_, said)| *said) {
        if records.store == RecordStore::None {
            let text = "is for a store that keeps records; leave it out".to_owned();
            source.note(section.at(), format!("{}.{key}", section.path()), text);
        }
    }
    section.finish();
    records
}

/// The keys of a store that is a server.
fn server(source: &Source<'_>, section: &mut Section<'_, '_>, records: &mut Records) {
    let is_server = records.store == RecordStore::Postgresql;
    let url = section.string("url");
    let (env, file) = (section.string("password_env"), section.string("password_file"));
    for key in [&url, &env, &file].into_iter().flatten().filter(|_| !is_server) {
        source.note(
            key.at,
            key.key.clone(),
            "is for store = \"postgresql\"; leave it out".to_owned(),
        );
    }
    if is_server && url.is_none() {
        let text = "has no url; write url = \"postgresql://callbox@db.example/calls\"".to_owned();
        source.note(section.at(), section.path().to_owned(), text);
    }
    records.url = url.map(|url| url.value);
    let place = env.map(Place::Environment).or(file.map(Place::File));
    records.password = place.and_then(|place| place.secret(source));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Records, String> {
        let text = format!("listen = \"udp:127.0.0.1:0\"\n[records]\n{lines}\n");
        let config = Config::parse(Path::new("/etc/callbox.toml"), &text);
        config
            .map(|config| config.records)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_store_has_the_keys_that_mean_something_to_it() {
        let state = Path::new("/state");
        let file = |lines: &str| parse(lines).unwrap().file(state);
        assert_eq!(file(""), Some("/state/records.sqlite".into()));
        assert_eq!(file("store = \"jsonl\""), Some("/state/records.jsonl".into()));
        assert_eq!(file("path = \"calls.db\""), Some("/etc/calls.db".into()));
        assert_eq!(file("store = \"none\""), None);
        let server = parse(
            "store = \"postgresql\"\nurl = \"postgresql://callbox@db/calls\"\npassword_env = \"CARGO_PKG_NAME\"",
        );
        let server = server.unwrap();
        assert_eq!(server.password.as_ref().map(Secret::expose), Some("callbox"));
        assert!(
            !format!("{server:?}").contains("\"callbox\""),
            "the password is not shown"
        );
        let kept = parse("keep_days = 90\nfsync = true\nwhen_full = \"refuse-calls\"").unwrap();
        assert_eq!(
            (kept.keep_days, kept.fsync, kept.refuse_calls),
            (Some(90), true, true)
        );
    }

    #[test]
    fn a_key_that_would_do_nothing_is_a_mistake() {
        for (lines, expected) in [
            ("store = \"oracle\"", "is no store"),
            ("keep_days = 0", "not a number of days"),
            ("when_full = \"panic\"", "is no policy"),
            ("keep = 3", "is not a key"),
            ("store = \"jsonl\"\nkeep_days = 3", "records.keep_days"),
            ("store = \"none\"\npath = \"x\"", "is not used by this store"),
            ("store = \"none\"\nfsync = true", "records.fsync"),
            ("store = \"none\"\nredact = true", "records.redact"),
            ("store = \"none\"\nrefused = true", "records.refused"),
            ("url = \"postgresql://x\"", "is for store = \"postgresql\""),
            ("store = \"postgresql\"", "has no url"),
            (
                "store = \"postgresql\"\nurl = \"x\"\npath = \"y\"",
                "records.path",
            ),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }
}
