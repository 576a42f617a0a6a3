//! `[records]`: what is kept of calls that are over, and where.
//!
//! Invariant: a key that means nothing to the store that is chosen is refused, so that nobody relies on it.

use std::path::PathBuf;

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
    /// `when_full = "refuse-calls"`: no call without a place for its record.
    pub refuse_calls: bool,
}

/// Where records go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordStore {
    /// `"sqlite"`
    #[default]
    Sqlite,
    /// `"jsonl"`
    JsonLines,
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
            RecordStore::None => return None,
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
            "none" => records.store = RecordStore::None,
            _ => source.problem(name, "is no store", "write \"sqlite\", \"jsonl\" or \"none\""),
        }
    }
    let path = section.string("path");
    if let Some(path) = &path {
        if records.store == RecordStore::None {
            source.problem(
                path,
                "is not used without records",
                "leave it out, or name a store",
            );
        }
        records.path = Some(source.path(&path.value));
    }
    records.fsync = section.boolean("fsync").unwrap_or_default();
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
            let text = "is for store = \"sqlite\"; files of JSON lines are yours to delete".to_owned();
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
    section.finish();
    records
}
