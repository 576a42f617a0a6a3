//! A flow's own file: when it changes, it is the next version.
//!
//! What counts is what a look at the file says (which file it is, its size, its times), not what the system reports: reports only
//! bring the next look nearer. So it does not matter how a file is replaced (written in place, renamed, a link that leads elsewhere,
//! a folder that is gone for a while), nor whether the file system reports at all. A file is read when two looks,
//! `settle_ms` apart, see the same; it is taken when what is in it is new.
//!
//! Entry type: [`Watch`]. Invariant: a file that cannot be read or taken leaves the version that serves alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Semaphore;

use super::deploy::{From, name_of};
use super::line::Rollout;
use super::tend::Tending;
use crate::plugin::digest_of;
use crate::tenant::directory::Directory;
use crate::tenant::plan::Found;

/// Files that are read and compiled at the same time; the loader bounds the compilers among them further.
const TAKES_AT_ONCE: usize = 4;

/// Looks at the files of all flows.
pub(super) struct Watch {
    tend: Tending,
    files: BTreeMap<PathBuf, Seen>,
    folders: BTreeMap<PathBuf, Reported>,
    /// None where the system has no reports, or no more of them.
    watcher: Option<RecommendedWatcher>,
    takes: Arc<Semaphore>,
}

/// Which file it is and what state it is in: device, inode, size, both times.
type Stamp = (u64, u64, u64, i128, i128);

#[derive(Default)]
struct Seen {
    /// As it was when it was last dealt with.
    handled: Option<Stamp>,
    /// As it is since then; it may still be written to.
    settling: Option<(Stamp, Instant)>,
    missing: bool,
    round: u64,
}

/// A folder whose changes are reported: which one it was, or none where that failed.
struct Reported {
    folder: Option<(u64, u64)>,
    round: u64,
}

impl Watch {
    pub(super) fn new(tend: Tending) -> Self {
        let asks = tend.clone();
        let report = move |event: notify::Result<notify::Event>| {
            // Our own reading of a file is no news of it.
            let news = match event {
                Ok(event) => match event.kind {
                    EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                    kind => !kind.is_access(),
                },
                Err(_) => true,
            };
            if news {
                asks.wake();
            }
        };
        let watcher = notify::recommended_watcher(report);
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(
                    "the system reports no changes of files, so they are looked at every 2 s: {error}"
                );
            })
            .ok();
        Self {
            tend,
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            watcher,
            takes: Arc::new(Semaphore::new(TAKES_AT_ONCE)),
        }
    }

    /// Looks at every file once, and says when to look again.
    pub(super) async fn look(&mut self, directory: &Arc<Directory>) -> Duration {
        let settle = Duration::from_millis(directory.version_limits.settle_ms);
        let watched: Vec<Found> = directory
            .plan()
            .flows()
            .filter(|found| found.flow.watch)
            .collect();
        let paths: Vec<PathBuf> = watched.iter().map(|found| found.flow.file.clone()).collect();
        // A file system that hangs must not hold up the rest of the control thread.
        let looked =
            tokio::task::spawn_blocking(move || paths.iter().map(|path| look_at(path)).collect::<Vec<_>>());
        let Ok(looked) = looked.await else {
            return settle;
        };
        let round = self.files.values().next().map_or(1, |seen| seen.round + 1);
        let mut next = Duration::MAX;
        for (found, looked) in watched.iter().zip(looked) {
            let file = &found.flow.file;
            self.report(file.parent().unwrap_or(Path::new("")), looked.folder, round);
            let seen = self.files.entry(file.clone()).or_default();
            seen.round = round;
            let Some(stamp) = looked.file else {
                if !std::mem::replace(&mut seen.missing, true) {
                    tracing::warn!(
                        flow = name_of(found),
                        "{} is not there; the version that serves goes on",
                        file.display()
                    );
                }
                seen.settling = None;
                continue;
            };
            seen.missing = false;
            if seen.handled == Some(stamp) {
                continue;
            }
            match seen.settling {
                Some((before, since)) if before == stamp => {
                    let left = settle.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        let again = seen.handled.replace(stamp).is_some();
                        seen.settling = None;
                        self.take(directory, found.clone(), again);
                    } else {
                        next = next.min(left);
                    }
                }
                _ => {
                    seen.settling = Some((stamp, Instant::now()));
                    next = next.min(settle);
                }
            }
        }
        self.files.retain(|_, seen| seen.round == round);
        let watcher = &mut self.watcher;
        self.folders.retain(|folder, reported| {
            let kept = reported.round == round;
            if !kept && let Some(watcher) = watcher {
                let _ = watcher.unwatch(folder);
            }
            kept
        });
        next
    }

    /// Has changes in a folder reported; again when another folder has taken its place.
    fn report(&mut self, folder: &Path, is: Option<(u64, u64)>, round: u64) {
        let Some(watcher) = &mut self.watcher else { return };
        let reported = self.folders.entry(folder.to_owned()).or_insert(Reported {
            folder: None,
            round: 0,
        });
        let first = reported.round == 0;
        // Flows of one folder: the first of a round speaks for all.
        if reported.round == round {
            return;
        }
        reported.round = round;
        if reported.folder == is && !first {
            return;
        }
        let _ = watcher.unwatch(folder);
        reported.folder = is;
        let name = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        if is.is_some()
            && let Err(error) = watcher.watch(name, RecursiveMode::NonRecursive)
        {
            tracing::warn!(
                "changes in {} are not reported, so it is looked at every 2 s: {error}",
                name.display()
            );
        }
    }

    /// Reads a file and takes it if what is in it is new. `again`: it was dealt with before, and is another one now.
    fn take(&self, directory: &Arc<Directory>, found: Found, again: bool) {
        let (directory, takes, tend) = (Arc::clone(directory), Arc::clone(&self.takes), self.tend.clone());
        // At most one for each file and its state: a file that changes meanwhile waits for its turn behind this one.
        tokio::spawn(async move {
            let _permit = takes.acquire().await;
            let _turn = found.flow.versions.turn.lock().await;
            directory.take_file(&found, again).await;
            tend.wake();
        });
    }
}

impl Directory {
    async fn take_file(&self, found: &Found, again: bool) {
        let Some(keeper) = self.keeper.get() else { return };
        let file = &found.flow.file;
        let bytes = match keeper.loader().read(file).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(
                    flow = name_of(found),
                    "{}: {error}; the version that serves goes on",
                    file.display()
                );
                return;
            }
        };
        let read = tokio::task::spawn_blocking(move || (digest_of(&bytes), bytes)).await;
        let Ok((digest, bytes)) = read else { return };
        let versions = &found.flow.versions;
        let tried = versions.book().tried.as_deref() == Some(&*digest);
        if versions.has_seen(&digest) || (tried && !again) {
            return;
        }
        // How it went is in the log, and in what `versions` shows.
        drop(self.take(found, bytes, &Rollout::default(), From::Folder).await);
    }
}

struct Looked {
    file: Option<Stamp>,
    folder: Option<(u64, u64)>,
}

fn look_at(path: &Path) -> Looked {
    let nanos = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|meta| {
        (
            meta.dev(),
            meta.ino(),
            meta.size(),
            nanos(meta.mtime(), meta.mtime_nsec()),
            nanos(meta.ctime(), meta.ctime_nsec()),
        )
    });
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::metadata(folder),
        _ => fs::metadata("."),
    };
    Looked {
        file,
        folder: folder.ok().map(|meta| (meta.dev(), meta.ino())),
    }
}
