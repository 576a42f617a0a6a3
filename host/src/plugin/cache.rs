//! Compiled code on disk, so that a restart or a second host takes milliseconds and not seconds a flow.
//!
//! A private directory: ours, mode 0700, or the cache refuses to work. An entry is two files, code and its SHA-256,
//! named by the SHA-256 of the flow's file and by the engine's code hash; both are written under temporary names and
//! renamed, so an entry is whole or absent whatever dies when. How much is kept is `room`'s. Entry type: [`Cache`]. Knows
//! nothing of WebAssembly.
//!
//! Invariant: [`Verified`] bytes came from a regular file of our own, writable by nobody else, and have the digest
//! that was recorded when our child wrote them.

mod room;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use room::Uses;
pub(super) use room::{Room, Use};

/// The largest compiled flow: about eight times the largest upload.
const CODE_MAX_BYTES: u64 = 512 << 20;

/// The directory of compiled code.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: PathBuf,
    room: Room,
    uses: Uses,
}

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or looked at.
    #[error("the cache directory {dir} cannot be used: {source}. Make it, or name another with cache_dir", dir = dir.display())]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could write code there that this process would run.
    #[error("the cache directory {dir} is not private ({why}): compiled code there would be run. Run: chmod 700 {dir}", dir = dir.display())]
    NotPrivate {
        /// The directory.
        dir: PathBuf,
        /// Owner or mode.
        why: String,
    },
}

/// Why an entry was not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NotOurs(String),
    #[error("its digest is not the one that was recorded")]
    Digest,
}

/// Compiled code that may be run; see the module's invariant.
pub(super) struct Verified(Vec<u8>);

impl Verified {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Names one entry: these bytes, compiled for this engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    content: String,
    code_hash: u64,
}

impl Key {
    pub(super) fn new(content: &[u8], code_hash: u64) -> Self {
        Self {
            content: digest_of(content),
            code_hash,
        }
    }

    /// SHA-256 of the flow's file, in hexadecimal.
    pub(super) fn content(&self) -> &str {
        &self.content
    }

    fn name(&self) -> String {
        format!("{}-{:016x}{CODE}", self.content, self.code_hash)
    }
}

impl Cache {
    /// Opens or makes the directory, and removes what dead children left behind.
    pub(super) fn open(dir: &Path, room: Room) -> Result<Self, CacheError> {
        let fail = |source| CacheError::Dir {
            dir: dir.to_owned(),
            source,
        };
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            _ => {}
        }
        let meta = fs::symlink_metadata(dir).map_err(fail)?;
        let not_private = |why| CacheError::NotPrivate {
            dir: dir.to_owned(),
            why,
        };
        if !meta.is_dir() {
            return Err(not_private("it is not a directory".to_owned()));
        }
        if let Err(why) = is_ours(&meta) {
            return Err(not_private(why));
        }
        let cache = Self {
            dir: dir.to_owned(),
            room,
            uses: Uses::default(),
        };
        cache.sweep();
        Ok(cache)
    }

    /// A name inside the directory for something unfinished.
    pub(super) fn scratch(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.dir)
    }

    /// Keeps an entry from being taken away to make room, whether it is there yet or not.
    pub(super) fn hold(&self, key: &Key) -> Use {
        self.uses.hold(key.name())
    }

    /// Reads an entry; `None` when there is none.
    pub(super) fn read(&self, key: &Key) -> Result<Option<Verified>, EntryError> {
        let path = self.dir.join(key.name());
        let file = match open(&path) {
            Err(EntryError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        // What is used stays longest. A folder that cannot be written only loses the order.
        let _ = file.set_modified(SystemTime::now());
        let code = read(file)?;
        let recorded = read(open(&digest_path(&path))?)?;
        if recorded != hex(&Sha256::digest(&code)).into_bytes() {
            return Err(EntryError::Digest);
        }
        Ok(Some(Verified(code)))
    }

    /// Takes the child's output as an entry, and makes room for it. `code` must be in a [`Cache::scratch`] directory.
    ///
    /// What is returned is what was recorded: another process that makes room may take the entry away at once.
    pub(super) fn adopt(&self, key: &Key, code: &Path) -> Result<Verified, EntryError> {
        let bytes = read(open(code)?)?;
        let path = self.dir.join(key.name());
        let mut digest = tempfile::NamedTempFile::with_prefix_in(SCRATCH, &self.dir)?;
        digest.write_all(hex(&Sha256::digest(&bytes)).as_bytes())?;
        // The digest first: an entry without one is refused, one whose code is older is refused, and both heal.
        digest.persist(digest_path(&path)).map_err(|error| error.error)?;
        fs::rename(code, &path)?;
        if let Err(error) = room::make(&self.dir, self.room, &self.uses) {
            tracing::warn!("the cache of compiled code cannot be kept small: {error}");
        }
        Ok(Verified(bytes))
    }

    /// Forgets an entry that cannot be used.
    pub(super) fn remove(&self, key: &Key) {
        let path = self.dir.join(key.name());
        let _ = fs::remove_file(digest_path(&path));
        let _ = fs::remove_file(path);
    }

    fn sweep(&self) {
        let old = std::time::Duration::from_secs(3_600);
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let unfinished = entry.file_name().to_string_lossy().starts_with(SCRATCH);
            // The digest is written first: one that stays alone is of something that died in between.
            let alone = path.extension().is_some_and(|extension| extension == DIGEST)
                && !path.with_extension(CODE.trim_start_matches('.')).exists();
            let stale = (unfinished || alone)
                && entry
                    .metadata()
                    .and_then(|meta| meta.modified())
                    .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > old));
            if stale {
                let _ = if path.is_dir() {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                };
            }
        }
    }
}

const SCRATCH: &str = ".new-";
const CODE: &str = ".cwasm";
const DIGEST: &str = "sha256";

fn digest_path(code: &Path) -> PathBuf {
    code.with_extension(DIGEST)
}

fn open(path: &Path) -> Result<File, EntryError> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nofollow).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > CODE_MAX_BYTES {
        return Err(EntryError::NotOurs("not a file, or too large".to_owned()));
    }
    is_ours(&meta).map_err(EntryError::NotOurs)?;
    Ok(file)
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(CODE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Owned by this user, and nobody else may write to it (for a directory: or enter it).
fn is_ours(meta: &fs::Metadata) -> Result<(), String> {
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        return Err(format!("it belongs to user {}, not {us}", meta.uid()));
    }
    let others = if meta.is_dir() { 0o077 } else { 0o022 };
    if meta.mode() & others != 0 {
        return Err(format!("its mode is {:o}", meta.mode() & 0o7777));
    }
    Ok(())
}

/// The name of a flow's file by what is in it: SHA-256 in hexadecimal.
#[must_use]
pub fn digest_of(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const ROOM: Room = Room {
        bytes: 1 << 20,
        entries: 10,
    };

    fn filled() -> (tempfile::TempDir, Cache, Key, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), ROOM).unwrap();
        let key = Key::new(b"flow", 7);
        let scratch = cache.scratch().unwrap();
        let code = scratch.path().join("code");
        fs::write(&code, b"machine code").unwrap();
        cache.adopt(&key, &code).unwrap();
        let path = dir.path().join("cache").join(key.name());
        (dir, cache, key, path)
    }

    #[test]
    fn an_entry_is_found_by_content_and_engine() {
        let (_dir, cache, key, _) = filled();
        assert_eq!(cache.read(&key).unwrap().unwrap().bytes(), b"machine code");
        assert!(cache.read(&Key::new(b"flow", 8)).unwrap().is_none());
        assert!(cache.read(&Key::new(b"other", 7)).unwrap().is_none());
        cache.remove(&key);
        assert!(cache.read(&key).unwrap().is_none());
    }

    #[test]
    fn changed_code_is_refused() {
        let (_dir, cache, key, path) = filled();
        fs::write(&path, b"Machine code").unwrap();
        assert!(matches!(cache.read(&key), Err(EntryError::Digest)));
        fs::remove_file(digest_path(&path)).unwrap();
        assert!(cache.read(&key).is_err(), "without a digest too");
    }

    #[test]
    fn code_that_others_could_write_is_refused() {
        let (_dir, cache, key, path) = filled();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(cache.read(&key), Err(EntryError::NotOurs(_))));
    }

    #[test]
    fn a_link_is_not_followed() {
        let (dir, cache, key, path) = filled();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(cache.read(&key).is_err());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused_with_the_line_to_run() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(dir.path(), ROOM).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Cache::open(dir.path(), ROOM).unwrap();
    }
}
