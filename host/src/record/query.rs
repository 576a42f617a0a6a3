//! Reading records back from a SQLite file, also while a host writes it.
//!
//! Entry types: [`Reader`], which cannot write, and [`Filter`]. Invariant: what a caller asks for never becomes SQL text.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params_from_iter, types::Value};

use super::entry::{HungUpBy, Leg, Record};
use super::schema;

/// How long a reader waits for a writer that holds the file's lock.
const BUSY: Duration = Duration::from_secs(2);

/// Which records are wanted: those that fit all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this flow.
    pub flow: Option<String>,
    /// Of this session.
    pub session: Option<String>,
    /// Begun at this time (milliseconds since 1970) or later.
    pub since_ms: Option<u64>,
    /// Begun before this time.
    pub until_ms: Option<u64>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// With a leg from or to this number; one that ends in `*` is the beginning of a number.
    pub number: Option<String>,
    /// The same number as redacted records name it.
    pub number_tag: Option<String>,
    /// So many at most: the latest.
    pub most: usize,
}

/// Records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no file, or nothing in it.
    #[error("there are no records in {path}: a host makes that file when it starts", path = .0.display())]
    Missing(PathBuf),
    /// It is of another version.
    #[error("the record file {path} has version {found} and this callbox reads {known}: {fix}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that is read.
        known: u32,
        /// What to do.
        fix: &'static str,
    },
    /// SQLite refused.
    #[error("cannot read the record file {path}: {error}", path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: rusqlite::Error,
    },
}

/// A record file, opened to read.
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn open(path: &Path) -> Result<Self, QueryError> {
        if !path.exists() {
            return Err(QueryError::Missing(path.to_owned()));
        }
        let broken = |error| QueryError::Sqlite {
            path: path.to_owned(),
            error,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(broken)?;
        connection.busy_timeout(BUSY).map_err(broken)?;
        let (found, known) = (schema::version(&connection).map_err(broken)?, schema::current());
        let version = |fix| QueryError::Version {
            path: path.to_owned(),
            found,
            known,
            fix,
        };
        if found == 0 {
            return Err(QueryError::Missing(path.to_owned()));
        }
        if found < known {
            return Err(version(
                "the host that writes it brings it up to date when it starts",
            ));
        }
        if found > known {
            return Err(version("use the callbox that writes it"));
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// The latest records that fit, oldest first.
    ///
    /// # Errors
    /// [`QueryError::Sqlite`].
    pub fn find(&self, filter: &Filter) -> Result<Vec<Record>, QueryError> {
        self.read(filter).map_err(|error| QueryError::Sqlite {
            path: self.path.clone(),
            error,
        })
    }

    fn read(&self, filter: &Filter) -> rusqlite::Result<Vec<Record>> {
        let (conditions, values) = filter.conditions();
        let mut records = self.connection.prepare(&format!(
            "SELECT id, session, kind, tenant, flow, version, began_ms, ended_ms, outcome, outcome_text, limit_hit, \
             fuel, memory_bytes, suppressed_lines, legs_forgotten, fields FROM records \
             WHERE {conditions} ORDER BY began_ms DESC, id DESC LIMIT ?"
        ))?;
        let mut legs = self.connection.prepare(
            "SELECT leg, direction, call_id, ani, dnis, destination, started_ms, rang_ms, answered_ms, ended_ms, code, \
             hung_up_by, q850, reason FROM legs WHERE record = ? ORDER BY position",
        )?;
        let found = records.query_map(params_from_iter(values), |row| {
            Ok((row.get::<_, i64>(0)?, record_of(row)?))
        })?;
        let mut found: Vec<(i64, Record)> = found.collect::<Result<_, _>>()?;
        for (id, record) in &mut found {
            record.legs = legs.query_map([*id], leg_of)?.collect::<Result<_, _>>()?;
        }
        found.reverse();
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }
}

impl Filter {
    /// The conditions, and the values of their marks; the last value is the number of rows.
    fn conditions(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["1"];
        let mut values: Vec<Value> = Vec::new();
        let mut add = |condition: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                conditions.push(condition);
                values.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        add("tenant = ?", text(&self.tenant));
        add("flow = ?", text(&self.flow));
        add("session = ?", text(&self.session));
        add("began_ms >= ?", self.since_ms.map(integer));
        add("began_ms < ?", self.until_ms.map(integer));
        add("outcome = ?", text(&self.outcome));
        if let Some(number) = &self.number {
            match number.strip_suffix('*') {
                None => {
                    let tag = self.number_tag.as_ref().unwrap_or(number);
                    conditions.push(
                        "id IN (SELECT record FROM legs WHERE ani IN (?, ?) UNION SELECT record FROM legs WHERE dnis IN (?, ?))",
                    );
                    for name in [number, tag, number, tag] {
                        values.push(Value::from(name.clone()));
                    }
                }
                // A range rather than LIKE: it uses the index, and no letter of a number means something to it.
                Some(begin) => {
                    conditions.push(
                        "id IN (SELECT record FROM legs WHERE ani >= ? AND ani < ? \
                         UNION SELECT record FROM legs WHERE dnis >= ? AND dnis < ?)",
                    );
                    let (begin, end) = (begin.to_owned(), format!("{begin}\u{10ffff}"));
                    for bound in [&begin, &end, &begin, &end] {
                        values.push(Value::from(bound.clone()));
                    }
                }
            }
        }
        values.push(Value::Integer(i64::try_from(self.most).unwrap_or(i64::MAX)));
        (conditions.join(" AND "), values)
    }
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number that cannot be negative: a file that says otherwise was not written by callbox.
fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    let found: Option<i64> = row.get(column)?;
    Ok(found.and_then(|ms| u64::try_from(ms).ok()))
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<Record> {
    let text = |column: &str| row.get::<_, String>(column);
    let limit: Option<String> = row.get("limit_hit")?;
    Ok(Record {
        session: text("session")?,
        kind: text("kind")?.into(),
        tenant: text("tenant")?.into(),
        flow: text("flow")?.into(),
        version: text("version")?.into(),
        began_ms: unsigned(row, "began_ms")?,
        ended_ms: unsigned(row, "ended_ms")?,
        outcome: text("outcome")?.into(),
        outcome_text: row.get("outcome_text")?,
        limit: limit.map(Cow::from),
        fuel: unsigned(row, "fuel")?,
        memory_bytes: unsigned(row, "memory_bytes")?,
        suppressed_lines: unsigned(row, "suppressed_lines")?,
        legs: Vec::new(),
        legs_forgotten: row.get("legs_forgotten")?,
        fields: fields(&text("fields")?),
    })
}

fn leg_of(row: &Row<'_>) -> rusqlite::Result<Leg> {
    let by: Option<String> = row.get("hung_up_by")?;
    Ok(Leg {
        leg: row.get("leg")?,
        inbound: row.get::<_, String>("direction")? == "inbound",
        call_id: row.get("call_id")?,
        ani: row.get("ani")?,
        dnis: row.get("dnis")?,
        destination: row.get("destination")?,
        started_ms: unsigned(row, "started_ms")?,
        rang_ms: moment(row, "rang_ms")?,
        answered_ms: moment(row, "answered_ms")?,
        ended_ms: moment(row, "ended_ms")?,
        code: row.get("code")?,
        by: by.and_then(|name| HungUpBy::named(&name)),
        q850: row.get("q850")?,
        reason: row.get("reason")?,
    })
}

/// The flow's fields, by name.
fn fields(text: &str) -> Vec<(String, String)> {
    let found: std::collections::BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
    found.into_iter().collect()
}
