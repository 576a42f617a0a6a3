//! Records in a SQLite file.
//!
//! Entry type: [`Sqlite`]. The file is in WAL mode: it can be read while it is written, and a process that is killed leaves
//! every committed batch in it. With `fsync` (SQLite's `synchronous = FULL`) that holds when the machine loses its power
//! too; without (`NORMAL`) such a machine may lose the last batches, and the file is whole all the same. Invariant: after
//! any error the connection is opened anew, so a file that was moved, mended or emptied by somebody is taken as it is.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::entry::{HungUpBy, Leg, Record};
use super::schema;
use super::sink::{Sink, StoreError};

/// How long somebody else may hold the file's lock before a batch is tried again later.
const BUSY: Duration = Duration::from_millis(500);
/// Old records deleted at a time: some milliseconds of work.
const TIDY_STEP: u32 = 500;
/// Prepared statements kept: two to write, one to delete.
const STATEMENTS: usize = 8;

/// A record file.
pub struct Sqlite {
    path: PathBuf,
    fsync: bool,
    keep_ms: Option<u64>,
    connection: Option<Connection>,
}

impl Sqlite {
    /// The file at `path`, which is made or brought up to date when it is opened. What ended more than `keep`
    /// ago is deleted.
    #[must_use]
    pub fn new(path: PathBuf, fsync: bool, keep: Option<Duration>) -> Self {
        Self {
            path,
            fsync,
            keep_ms: keep.map(|keep| u64::try_from(keep.as_millis()).unwrap_or(u64::MAX)),
            connection: None,
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let connection = match self.connection.take() {
            // Somebody has taken the file away: what is written to it now nobody finds.
            Some(connection) if self.path.exists() => connection,
            _ => open(&self.path, self.fsync)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn attempt<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let result = work(self.connection()?);
        result.map_err(|error| {
            self.connection = None;
            StoreError::Sqlite { what, error }
        })
    }
}

impl Sink for Sqlite {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&mut self) -> Result<(), StoreError> {
        self.connection().map(drop)
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.attempt("write records", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for record in batch {
                insert(&transaction, record)?;
            }
            transaction.commit()
        })
    }

    fn tidy(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let Some(keep_ms) = self.keep_ms else {
            return Ok(false);
        };
        let before = now_ms.saturating_sub(keep_ms);
        self.attempt("delete old records", |connection| {
            let mut delete = connection.prepare_cached(
                "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE began_ms < ?1 AND ended_ms < ?1 \
                 ORDER BY began_ms LIMIT ?2)",
            )?;
            let deleted = delete.execute(params![integer(before), TIDY_STEP])?;
            Ok(deleted >= TIDY_STEP as usize)
        })
    }
}

fn open(path: &Path, fsync: bool) -> Result<Connection, StoreError> {
    let file = |what, error| StoreError::File {
        what,
        path: path.to_owned(),
        error,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| file("make the folder of", error))?;
    }
    private(path).map_err(|error| file("open", error))?;
    let sqlite = |what| move |error| StoreError::Sqlite { what, error };
    let mut connection = Connection::open(path).map_err(sqlite("open the file"))?;
    prepare(&connection, fsync).map_err(sqlite("set the file up"))?;
    let found = schema::migrate(&mut connection).map_err(sqlite("bring the file up to date"))?;
    if found > schema::current() {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: schema::current(),
        });
    }
    Ok(connection)
}

/// A new file is nobody else's to read: who called whom stands in it. SQLite gives its side files the same mode.
fn private(path: &Path) -> io::Result<()> {
    let made = fs::OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(file) => file.set_permissions(fs::Permissions::from_mode(0o600)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn prepare(connection: &Connection, fsync: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", if fsync { "FULL" } else { "NORMAL" })?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// SQLite's integers have a sign.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn insert(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO records (session, kind, tenant, flow, version, began_ms, ended_ms, outcome, outcome_text, \
         limit_hit, fuel, memory_bytes, suppressed_lines, legs_forgotten, fields) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT (session) DO NOTHING",
    )?;
    // Asking the statement itself for the id (RETURNING) would make a table for the answer each time.
    let inserted = statement.execute(params![
        record.session,
        &*record.kind,
        &*record.tenant,
        &*record.flow,
        &*record.version,
        integer(record.began_ms),
        integer(record.ended_ms),
        &*record.outcome,
        record.outcome_text,
        record.limit.as_deref(),
        integer(record.fuel),
        integer(record.memory_bytes),
        integer(record.suppressed_lines),
        record.legs_forgotten,
        fields(&record.fields),
    ])?;
    if inserted == 0 {
        // It stands there already, with its legs.
        return Ok(());
    }
    let id = transaction.last_insert_rowid();
    let mut statement = transaction.prepare_cached(
        "INSERT INTO legs (record, position, leg, direction, call_id, ani, dnis, destination, started_ms, rang_ms, \
         answered_ms, ended_ms, code, hung_up_by, q850, reason) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    for (position, leg) in record.legs.iter().enumerate() {
        insert_leg(&mut statement, id, position, leg)?;
    }
    Ok(())
}

fn insert_leg(
    statement: &mut rusqlite::CachedStatement<'_>,
    record: i64,
    position: usize,
    leg: &Leg,
) -> rusqlite::Result<()> {
    statement.execute(params![
        record,
        integer(position as u64),
        leg.leg,
        leg.direction(),
        leg.call_id,
        leg.ani,
        leg.dnis,
        leg.destination,
        integer(leg.started_ms),
        leg.rang_ms.map(integer),
        leg.answered_ms.map(integer),
        leg.ended_ms.map(integer),
        leg.code,
        leg.by.map(HungUpBy::name),
        leg.q850,
        leg.reason,
    ])?;
    Ok(())
}

/// The flow's fields as an object, in the order of their writing.
fn fields(fields: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (position, (key, value)) in fields.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(&serde_json::Value::from(value.as_str()).to_string());
    }
    text.push('}');
    text
}
