//! What a store of records must be able to do, and how it fails.

use std::path::PathBuf;

use super::entry::Record;

/// Where records go. It is used by one thread and may block it.
pub trait Sink: Send {
    /// Where that is, for people.
    fn place(&self) -> String;

    /// Opens it, so that what is wrong is known before there is anything to write.
    ///
    /// # Errors
    /// Why not now. Writing tries again.
    fn open(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes all of them or none. When it returns `Ok` they outlive the death of this process. A batch that was written
    /// before, and of which only the word of success was lost, is written once all the same.
    ///
    /// # Errors
    /// Why not now. The same batch is tried again later.
    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError>;

    /// Deletes some of what is older than its time; true when there may be more. Called when there is nothing to write.
    ///
    /// # Errors
    /// Why not now.
    fn tidy(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let _ = now_ms;
        Ok(false)
    }
}

/// A store does not take records now.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {what} {path}: {error}", path = path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// SQLite refused.
    #[error("SQLite cannot {what}: {error}")]
    Sqlite {
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: rusqlite::Error,
    },
    /// A server refused, or cannot be reached.
    #[error("PostgreSQL at {place} cannot {what}: {error}")]
    Server {
        /// Where it is.
        place: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: String,
    },
    /// The file is of a later version.
    #[error("{path} has version {found} and this callbox knows {known}: use the callbox that wrote it, or another path", path = path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that is known.
        known: u32,
    },
}
