//! Stores, and the thread before them, against what goes wrong: full disks, locks, other people's files, kills.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::entry::tests::sample;
use super::*;

fn all() -> Filter {
    Filter {
        most: 1_000,
        ..Filter::default()
    }
}

/// A store gives fields back by name.
fn stored(number: u64) -> Record {
    let mut record = sample(number);
    record.fields.sort();
    record
}

fn batch(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(sample).collect()
}

fn found(path: &Path, filter: &Filter) -> Vec<Record> {
    Reader::open(path).unwrap().find(filter).unwrap()
}

#[test]
fn what_is_written_is_read_back_once_and_nobody_else_may() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep").join("records.sqlite");
    assert!(matches!(Reader::open(&path), Err(QueryError::Missing(_))));
    let mut store = Sqlite::new(path.clone(), true, None);
    store.write(&batch(0..3)).unwrap();
    // As after a batch whose word of success was lost.
    store.write(&batch(1..4)).unwrap();
    let records = found(&path, &all());
    assert_eq!(records, (0..4).map(stored).collect::<Vec<_>>());
    for name in ["records.sqlite", "records.sqlite-wal"] {
        let mode = fs::metadata(path.with_file_name(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
    // The host is gone, and with it the files beside.
    assert_eq!(found(&path, &all()).len(), 4);
}

#[test]
fn a_filter_finds_what_fits_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.sqlite");
    let mut store = Sqlite::new(path.clone(), false, None);
    let mut other = sample(50);
    other.tenant = "beta' OR 1=1 --".into();
    other.outcome = "finished".into();
    other.legs.truncate(0);
    store.write(&batch(0..20)).unwrap();
    store.write(&[other]).unwrap();
    let count = |filter: Filter| {
        found(
            &path,
            &Filter {
                most: filter.most.max(9),
                ..filter
            },
        )
        .len()
    };
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    assert_eq!(
        count(Filter {
            tenant: text("beta' OR 1=1 --"),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            tenant: text("beta"),
            ..none()
        }),
        0
    );
    assert_eq!(
        count(Filter {
            outcome: text("finished"),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            flow: text("menu"),
            most: 100,
            ..none()
        }),
        21
    );
    assert_eq!(
        count(Filter {
            session: text("19ab-3"),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            number: text("103"),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            number: text("11*"),
            most: 100,
            ..none()
        }),
        10
    );
    assert_eq!(
        count(Filter {
            number: text("+4930*"),
            most: 100,
            ..none()
        }),
        20
    );
    assert_eq!(
        count(Filter {
            number: text("%"),
            ..none()
        }),
        0
    );
    assert_eq!(
        count(Filter {
            since_ms: Some(1_005),
            until_ms: Some(1_008),
            ..none()
        }),
        3
    );
    let latest = found(&path, &Filter { most: 2, ..none() });
    assert_eq!(
        latest.iter().map(|record| record.began_ms).collect::<Vec<_>>(),
        [1_019, 1_050]
    );
}

#[test]
fn a_file_of_every_older_version_becomes_a_present_one() {
    for steps in 1..schema::STEPS.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.sqlite");
        let old = Connection::open(&path).unwrap();
        for step in &schema::STEPS[..steps] {
            old.execute_batch(step).unwrap();
        }
        old.pragma_update(None, "user_version", steps).unwrap();
        old.execute(
            "INSERT INTO records (session, kind, tenant, flow, version, began_ms, ended_ms, outcome, fuel, memory_bytes, \
             suppressed_lines, legs_forgotten, fields) VALUES ('old', 'call', 'acme', 'menu', 'v', 1, 2, 'finished', 0, 0, \
             0, 0, '{}')",
            [],
        )
        .unwrap();
        drop(old);
        assert!(matches!(Reader::open(&path), Err(QueryError::Version { .. })));
        Sqlite::new(path.clone(), false, None)
            .write(&batch(0..1))
            .unwrap();
        let sessions: Vec<String> = found(&path, &all())
            .into_iter()
            .map(|record| record.session)
            .collect();
        assert_eq!(sessions, ["old", "19ab-0"]);
    }
}

#[test]
fn a_file_of_the_future_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.sqlite");
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let refused = Sqlite::new(path.clone(), false, None)
        .write(&batch(0..1))
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::TooNew { found: 99, .. }),
        "{refused}"
    );
    let refused = Reader::open(&path).err().unwrap().to_string();
    assert!(refused.contains("version 99"), "{refused}");
}

#[test]
fn old_records_go_in_small_steps_and_their_legs_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.sqlite");
    let mut store = Sqlite::new(path.clone(), false, Some(Duration::from_secs(1)));
    store.write(&batch(0..1_200)).unwrap();
    // Record n ended at 2 030 + n, and is kept for 1 000 ms.
    let mut steps = 0;
    while store.tidy(4_130).unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 2, "500 at a time");
    assert_eq!(found(&path, &Filter { most: 9_999, ..all() }).len(), 100);
    let legs = Connection::open(&path).unwrap();
    let legs: i64 = legs
        .query_row("SELECT count(*) FROM legs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(legs, 200);
    assert!(
        !Sqlite::new(path, false, None).tidy(u64::MAX).unwrap(),
        "kept for ever"
    );
}

#[test]
fn whatever_is_wrong_with_the_file_ends_when_it_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.sqlite");
    let mut store = Sqlite::new(path.clone(), false, None);
    fs::write(
        &path,
        "this is no database, but it is long enough to be taken for one by who reads its head".repeat(9),
    )
    .unwrap();
    assert!(store.write(&batch(0..1)).is_err());
    fs::remove_file(&path).unwrap();
    store.write(&batch(0..1)).unwrap();
    // Somebody else's transaction.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.write(&batch(1..2)).unwrap_err().to_string();
    assert!(refused.contains("locked"), "{refused}");
    other.execute_batch("ROLLBACK").unwrap();
    store.write(&batch(1..2)).unwrap();
    assert_eq!(found(&path, &all()).len(), 2);
    drop(other);
    // The folder is moved away: a new file is begun, and nothing is written where nobody looks.
    fs::rename(&path, dir.path().join("moved")).unwrap();
    store.write(&batch(2..3)).unwrap();
    assert_eq!(found(&path, &all()), [stored(2)]);
}

#[test]
fn lines_are_whole_after_a_crash_a_rotation_and_a_full_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    fs::write(&path, "{\"half\":").unwrap();
    let size = sample(1).json().to_string().len() as u64 + 1;
    let mut store = JsonLines::new(path.clone(), true, 3 * size);
    store.write(&batch(1..2)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\"half\":\n{"), "{text}");
    // Somebody rotates.
    fs::rename(&path, dir.path().join("old")).unwrap();
    store.write(&batch(2..4)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    // It is full.
    store.write(&batch(4..6)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    let mut sessions = Vec::new();
    for file in fs::read_dir(dir.path()).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            if let Ok(record) = serde_json::from_str::<serde_json::Value>(line) {
                sessions.push(record["session"].as_str().unwrap().to_owned());
            }
        }
    }
    sessions.sort();
    assert_eq!(sessions, (1..6).map(|n| format!("19ab-{n}")).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_is_full_is_an_error() {
    let mut store = JsonLines::new("/dev/full".into(), true, 1 << 20);
    let refused = store.write(&batch(0..1)).unwrap_err().to_string();
    assert!(refused.contains("/dev/full"), "{refused}");
}

// ---- the thread --------------------------------------------------------------------------------------------------

/// A store that takes what it is given while it works.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    broken: bool,
    batches: Vec<usize>,
    sessions: Vec<String>,
}

impl Sink for Fake {
    fn place(&self) -> String {
        "a test".to_owned()
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        if state.broken {
            return Err(StoreError::File {
                what: "write",
                path: "x".into(),
                error: std::io::ErrorKind::StorageFull.into(),
            });
        }
        state.batches.push(batch.len());
        state
            .sessions
            .extend(batch.iter().map(|record| record.session.clone()));
        Ok(())
    }
}

impl Fake {
    fn break_it(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }

    fn written(&self) -> usize {
        self.0.lock().unwrap().sessions.len()
    }
}

fn bounds(queue: usize) -> Bounds {
    Bounds {
        queue,
        batch: 8,
        batch_wait: Duration::from_millis(20),
        sessions: 3,
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn records_share_batches_and_a_stop_waits_for_all_of_them() {
    let store = Fake::default();
    let (recorder, writer) =
        Recorder::start(Box::new(store.clone()), &bounds(1_000), WhenFull::Drop).unwrap();
    for record in batch(0..100) {
        recorder.keep(Box::new(record));
    }
    writer.stop(Duration::from_secs(20));
    let state = store.0.lock().unwrap();
    let expected: Vec<String> = (0..100).map(|number| sample(number).session).collect();
    assert_eq!(state.sessions, expected, "each once, in their order");
    assert!(state.batches.iter().all(|size| *size <= 8));
    assert!(state.batches.len() < 50, "{:?}", state.batches);
    let counts = recorder.counts();
    assert_eq!((counts.written, counts.lost, counts.waiting), (100, 0, 0));
}

#[test]
fn a_store_that_fails_stops_nobody_and_what_finds_no_place_is_counted() {
    let store = Fake::default();
    store.break_it(true);
    let (recorder, writer) = Recorder::start(Box::new(store.clone()), &bounds(10), WhenFull::Drop).unwrap();
    let began = Instant::now();
    for record in batch(0..50) {
        recorder.keep(Box::new(record));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "nobody waited");
    eventually("it fails", || recorder.counts().failing);
    assert!(!recorder.refuses_calls());
    let lost = recorder.counts().lost;
    assert!((50 - 10 - 8..=40).contains(&lost), "{lost}");
    store.break_it(false);
    eventually("it goes on", || store.written() as u64 + lost == 50);
    eventually("it says so", || {
        !recorder.counts().failing && recorder.counts().waiting == 0
    });
    writer.stop(Duration::from_secs(20));
    assert!(recorder.counts().failures > 0);
}

#[test]
fn who_must_bill_has_calls_refused_before_a_record_is_lost() {
    let store = Fake::default();
    store.break_it(true);
    let (recorder, writer) =
        Recorder::start(Box::new(store.clone()), &bounds(10), WhenFull::RefuseCalls).unwrap();
    let mut taken = 0;
    while !recorder.refuses_calls() {
        recorder.keep(Box::new(sample(taken)));
        taken += 1;
    }
    // The calls that are up at this moment end, too.
    for _ in 0..bounds(10).sessions {
        recorder.keep(Box::new(sample(taken)));
        taken += 1;
    }
    assert_eq!(recorder.counts().lost, 0);
    store.break_it(false);
    eventually("there is room again", || !recorder.refuses_calls());
    writer.stop(Duration::from_secs(20));
    assert_eq!(store.written() as u64, taken);
}

#[test]
fn a_stop_waits_no_longer_than_it_may_and_says_what_it_left() {
    let store = Fake::default();
    store.break_it(true);
    let (recorder, writer) = Recorder::start(Box::new(store), &bounds(10), WhenFull::Drop).unwrap();
    recorder.keep(Box::new(sample(1)));
    let began = Instant::now();
    writer.stop(Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(recorder.counts().lost, 1);
}
