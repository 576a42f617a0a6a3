//! How much compiled code is kept: what was used longest ago goes first, and what a version in this process was made of stays.
//!
//! An entry's time of last use is the modification time of its code, which a reader sets. Other processes may use the same
//! folder: each makes room on its own, one at a time, and what it takes away under another's feet is compiled again there when it
//! is needed, because code in memory was copied and an entry is whole or absent. Entry types: [`Room`], [`Uses`]. Knows no
//! WebAssembly. Invariant: no entry is taken away that a living [`Use`] of this process names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::config::limits;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugin) struct Room {
    /// Bytes of code, `limits.plugin.cache_max_bytes`.
    pub(in crate::plugin) bytes: u64,
    /// Entries, `limits.plugin.cache_entries_max`.
    pub(in crate::plugin) entries: usize,
}

/// While one lives, the entry that it is of stays.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct Use {
    _alive: Arc<()>,
}

/// What this process uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    by_name: Arc<Mutex<BTreeMap<String, Weak<()>>>>,
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Weak<()>>> {
        // A panic while it was held leaves a whole map behind.
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an entry, whether it is there yet or not.
    pub(super) fn hold(&self, name: String) -> Use {
        let mut uses = self.lock();
        // As many as there are flow versions alive: the dead ones go with the next hold.
        uses.retain(|_, alive| alive.strong_count() > 0);
        let slot = uses.entry(name).or_default();
        let alive = slot.upgrade().unwrap_or_default();
        *slot = Arc::downgrade(&alive);
        Use { _alive: alive }
    }

    fn has(&self, name: &str) -> bool {
        self.lock()
            .get(name)
            .is_some_and(|alive| alive.strong_count() > 0)
    }
}

struct Entry {
    used: SystemTime,
    bytes: u64,
    name: String,
    path: PathBuf,
}

/// Takes away what was used longest ago until the rest fits. What cannot be taken away stays, and is tried again with the next
/// entry that is made.
pub(super) fn make(dir: &Path, room: Room, uses: &Uses) -> io::Result<()> {
    let mut entries = entries(dir)?;
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut count = entries.len();
    if bytes <= room.bytes && count <= room.entries {
        return Ok(());
    }
    // Somebody else makes room at this moment, for all.
    let folder = File::open(dir)?;
    if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    entries.sort_by_key(|entry| entry.used);
    let (before, mut freed) = (count, 0);
    for entry in &entries {
        let name = match (bytes > room.bytes, count > room.entries) {
            (true, _) => "limits.plugin.cache_max_bytes",
            (_, true) => "limits.plugin.cache_entries_max",
            _ => break,
        };
        if uses.has(&entry.name) {
            continue;
        }
        // The code first: who reads meanwhile finds no entry, and not one without a digest.
        if fs::remove_file(&entry.path).is_err() {
            continue;
        }
        let _ = fs::remove_file(super::digest_path(&entry.path));
        limits::hit(name);
        bytes -= entry.bytes;
        count -= 1;
        freed += entry.bytes;
    }
    tracing::info!(
        entries = before - count,
        bytes = freed,
        left = count,
        "compiled code that was used longest ago was taken out of the cache"
    );
    if bytes > room.bytes || count > room.entries {
        tracing::warn!(
            entries = count,
            bytes,
            "the cache of compiled code is larger than limits.plugin.cache_max_bytes and cache_entries_max allow: all of it is in use, or cannot be removed"
        );
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(super::CODE) {
            continue;
        }
        // Gone since the folder was read: another process makes room too.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            entries.push(Entry {
                used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                bytes: meta.len(),
                path: entry.path(),
                name,
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::super::{Cache, Key};
    use super::*;

    const ROOM: Room = Room {
        bytes: 1_000,
        entries: 4,
    };

    struct Folder {
        dir: tempfile::TempDir,
        cache: Cache,
    }

    impl Folder {
        fn new(room: Room) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(&dir.path().join("cache"), room).unwrap();
            Self { dir, cache }
        }

        fn adopt(&self, content: &str, bytes: usize) -> Key {
            let key = Key::new(content.as_bytes(), 7);
            let scratch = self.cache.scratch().unwrap();
            let code = scratch.path().join("code");
            fs::write(&code, vec![7; bytes]).unwrap();
            self.cache.adopt(&key, &code).unwrap();
            key
        }

        /// As if it had been used so long ago last.
        fn age(&self, key: &Key, seconds: u64) {
            let path = self.dir.path().join("cache").join(key.name());
            let time = SystemTime::now() - Duration::from_secs(seconds);
            File::open(path).unwrap().set_modified(time).unwrap();
        }

        fn has(&self, key: &Key) -> bool {
            self.dir.path().join("cache").join(key.name()).exists()
        }

        fn files(&self) -> usize {
            fs::read_dir(self.dir.path().join("cache")).unwrap().count()
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_a_use_is_a_use() {
        let folder = Folder::new(ROOM);
        let keys: Vec<Key> = (0..4)
            .map(|number| folder.adopt(&format!("flow {number}"), 10))
            .collect();
        for (key, age) in keys.iter().zip([400, 300, 200, 100]) {
            folder.age(key, age);
        }
        assert!(keys.iter().all(|key| folder.has(key)), "four fit");
        // Read again: it is the newest now.
        folder.cache.read(&keys[0]).unwrap().unwrap();
        let fifth = folder.adopt("flow 4", 10);
        let left: Vec<bool> = keys.iter().map(|key| folder.has(key)).collect();
        assert_eq!(left, [true, false, true, true]);
        assert!(folder.has(&fifth));
        assert_eq!(folder.files(), 8, "code and digest of each");
    }

    #[test]
    fn bytes_count_too_and_what_is_in_use_stays_as_long_as_it_is() {
        let folder = Folder::new(ROOM);
        let old = folder.adopt("old", 400);
        folder.age(&old, 500);
        let held = folder.cache.hold(&old);
        let again = folder.cache.hold(&old);
        let second = folder.adopt("second", 400);
        folder.age(&second, 400);
        let third = folder.adopt("third", 400);
        assert!(folder.has(&old) && !folder.has(&second) && folder.has(&third));
        drop(held);
        folder.adopt("fourth", 400);
        assert!(folder.has(&old), "the other one holds it still");
        drop(again);
        folder.adopt("fifth", 400);
        assert!(!folder.has(&old));
    }

    #[test]
    fn one_that_is_larger_than_the_room_is_used_all_the_same() {
        let folder = Folder::new(ROOM);
        let key = Key::new(b"large", 7);
        let _held = folder.cache.hold(&key);
        let key = folder.adopt("large", 5_000);
        assert!(folder.cache.read(&key).unwrap().is_some());
    }

    #[test]
    fn two_who_share_a_folder_keep_it_within_bounds_together() {
        let folder = Folder::new(ROOM);
        let path = folder.dir.path().join("cache");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let cache = Cache::open(path, ROOM).unwrap();
                    for number in 0..50 {
                        let key = Key::new(format!("{} of any", number % 9 + thread).as_bytes(), 7);
                        let _held = cache.hold(&key);
                        let scratch = cache.scratch().unwrap();
                        let code = scratch.path().join("code");
                        fs::write(&code, vec![7; 100]).unwrap();
                        let code = cache.adopt(&key, &code).unwrap();
                        assert_eq!(code.bytes().len(), 100);
                        // It may be gone again, or half of it; never something else.
                        if let Ok(Some(code)) = cache.read(&key) {
                            assert_eq!(code.bytes(), [7; 100]);
                        }
                    }
                });
            }
        });
        folder.adopt("the last", 10);
        let code = entries(&path).unwrap().len();
        assert!(code <= ROOM.entries, "{code}");
    }
}
