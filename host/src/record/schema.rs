//! The tables of a record file, and how an older file becomes a present one. `docs/records.md` describes them for who queries
//! them by hand.
//!
//! Entry point: [`migrate`]. Invariants: a step that has been released is never changed, only followed by another; all steps
//! of one start are one transaction, so a host that dies within it finds the file as it was, and nobody reads one that is
//! half made.

use rusqlite::{Connection, TransactionBehavior};

/// What leads from each version of the file to the next; the first makes the tables.
pub(super) const STEPS: &[&str] = &[
    "CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        tenant TEXT NOT NULL,
        flow TEXT NOT NULL,
        version TEXT NOT NULL,
        began_ms INTEGER NOT NULL,
        ended_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        outcome_text TEXT,
        limit_hit TEXT,
        fuel INTEGER NOT NULL,
        memory_bytes INTEGER NOT NULL,
        suppressed_lines INTEGER NOT NULL,
        legs_forgotten INTEGER NOT NULL,
        fields TEXT NOT NULL
    ) STRICT;
    CREATE TABLE legs (
        record INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        leg INTEGER NOT NULL,
        direction TEXT NOT NULL,
        call_id TEXT NOT NULL,
        ani TEXT NOT NULL,
        dnis TEXT NOT NULL,
        destination TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        rang_ms INTEGER,
        answered_ms INTEGER,
        ended_ms INTEGER,
        code INTEGER,
        hung_up_by TEXT,
        q850 INTEGER,
        reason TEXT,
        PRIMARY KEY (record, position)
    ) STRICT, WITHOUT ROWID;",
    // Who looks for a tenant's calls of a time or for a number need not read the whole file.
    "CREATE INDEX records_by_time ON records (began_ms);
    CREATE INDEX records_by_tenant ON records (tenant, began_ms);
    CREATE INDEX legs_by_ani ON legs (ani);
    CREATE INDEX legs_by_dnis ON legs (dnis);",
];

/// The version that this program reads and writes.
pub(super) fn current() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The version of a file; 0 for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes the steps that the file has not taken. One from the future is left alone.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found >= current() {
        return Ok(found);
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", current())?;
    transaction.commit()?;
    Ok(current())
}
