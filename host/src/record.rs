//! Call records: what is kept of a session when it is over.
//!
//! A leaf that knows neither calls nor flows: who ends a session fills a [`Record`] in and hands it to the [`Recorder`],
//! which never waits. One thread writes (`writer`); where to is a [`Sink`]: SQLite, JSON lines, PostgreSQL.
//!
//! Invariants: handing a record over takes no lock and does no I/O; what waits is bounded; a record is acknowledged by its
//! store or counted as lost; a store that fails never stops a call, unless the operator has said so ([`WhenFull`]).

mod entry;
mod jsonl;
#[cfg(feature = "postgresql")]
mod postgresql;
mod query;
mod redacting;
mod retry;
mod schema;
mod sink;
mod sqlite;
mod writer;

pub use entry::{HungUpBy, Leg, Record};
pub use jsonl::JsonLines;
#[cfg(feature = "postgresql")]
pub use postgresql::{BadUrl, Postgresql};
pub use query::{Filter, QueryError, Reader};
pub use redacting::Redacting;
pub use sink::{Sink, StoreError};
pub use sqlite::Sqlite;
pub use writer::{Bounds, Counts, Recorder, WhenFull, Writer};

#[cfg(test)]
mod tests;
