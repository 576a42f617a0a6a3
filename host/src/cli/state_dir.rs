//! The folder of what a host keeps over its restarts, private and one host's at a time.
//!
//! Knows nothing of what is kept there. Entry type: [`StateDir`]. Invariant: while one lives no other process has the
//! same folder, because the lock goes with the process however that ends.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A state folder that is ours until it is dropped.
pub(super) struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateDirError {
    #[error("the state folder {path} cannot be used: {error}. Make it, or name another with state_dir", path = path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("the state folder {path} belongs to a callbox that runs: end that one, or give each a state_dir of its own", path = path.display())]
    Taken { path: PathBuf },
    #[error("the state folder {path} is open to others (mode {mode:o}), and call records stand in it. Run: chmod 700 {path}", path = path.display())]
    NotPrivate { path: PathBuf, mode: u32 },
}

impl StateDir {
    /// Makes the folder if there is none, and takes it.
    pub(super) fn open(path: &Path) -> Result<Self, StateDirError> {
        let unusable = |error| StateDirError::Unusable {
            path: path.to_owned(),
            error,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(unusable)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
            _ => {}
        }
        let mode = fs::metadata(path).map_err(unusable)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StateDirError::NotPrivate {
                path: path.to_owned(),
                mode,
            });
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(Errno::WOULDBLOCK) => Err(StateDirError::Taken {
                path: path.to_owned(),
            }),
            Err(error) => Err(unusable(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_state_folder_is_private_and_one_host_s_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("state");
        let first = StateDir::open(&path).unwrap();
        assert_eq!(fs::metadata(first.path()).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(StateDir::open(&path), Err(StateDirError::Taken { .. })));
        drop(first);
        StateDir::open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let refused = StateDir::open(&path).err().unwrap().to_string();
        assert!(refused.contains("chmod 700"), "{refused}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let refused = StateDir::open(&dir.path().join("file").join("state"))
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains("state_dir"), "{refused}");
    }
}
