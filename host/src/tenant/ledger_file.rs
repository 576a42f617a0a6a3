//! The ledger on disk, so that a restart gives no minutes back: `minutes.json` in the state folder.
//!
//! A thread of its own writes it, because a disk may be slow. Entry type: [`LedgerFile`]. Invariants: the file is whole at
//! every moment; a crash loses [`SAVE_EVERY`] of counting at most; a file that cannot be read is kept aside and the host
//! comes up all the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, Used, today};

/// How old the file may be while something is counted.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The file's own form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Days since 1970, UTC.
    day: u64,
    tenants: BTreeMap<String, SavedUse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SavedUse {
    seconds: u64,
    dials: u64,
}

/// A ledger that is kept. Dropping it writes it a last time.
#[derive(Debug)]
pub struct LedgerFile {
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LedgerFile {
    /// Reads what was used today into `ledger`, and keeps the file from now on.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn open(path: &Path, ledger: Arc<Ledger>) -> io::Result<Self> {
        restore(path, &ledger);
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        let path = path.to_owned();
        // Here and not in the thread: what is counted before that one begins must be written, too.
        let read = snapshot(&ledger);
        let thread = std::thread::Builder::new()
            .name("minutes".to_owned())
            .spawn(move || keep(&path, &ledger, read, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for LedgerFile {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only when the thread panicked, and then there is nothing to save.
            let _ = thread.join();
        }
    }
}

/// Writes what has changed until the other end of `stopped` is gone.
fn keep(path: &Path, ledger: &Ledger, mut last: Saved, stopped: &mpsc::Receiver<()>) {
    let mut broken = false;
    loop {
        let over = stopped.recv_timeout(SAVE_EVERY) != Err(mpsc::RecvTimeoutError::Timeout);
        let now = snapshot(ledger);
        if now != last {
            match save(path, &now) {
                Ok(()) => {
                    last = now;
                    broken = false;
                }
                // Once, not every five seconds of a full disk.
                Err(_) if broken => {}
                Err(error) => {
                    broken = true;
                    tracing::error!(file = %path.display(), "the tenants' minutes cannot be saved: {error}");
                }
            }
        }
        if over {
            return;
        }
    }
}

fn snapshot(ledger: &Ledger) -> Saved {
    let used = |Used { seconds, dials, .. }| SavedUse { seconds, dials };
    let tenants = ledger.used().into_iter();
    Saved {
        day: today(),
        tenants: tenants.map(|(tenant, of)| (tenant, used(of))).collect(),
    }
}

fn save(path: &Path, saved: &Saved) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, saved)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A file that is not ours to understand is kept aside: the operator may want to know what was in it.
fn restore(path: &Path, ledger: &Ledger) {
    let saved = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice::<Saved>(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error.to_string()),
    };
    match saved {
        Ok(saved) => {
            for (tenant, of) in saved.tenants {
                ledger.book(&tenant).on(saved.day, |used| {
                    used.seconds += of.seconds;
                    used.dials += of.dials;
                });
            }
        }
        Err(error) => {
            let aside = PathBuf::from(format!("{}.broken", path.display()));
            let kept = fs::rename(path, &aside).is_ok();
            tracing::error!(
                file = %path.display(), kept,
                "the tenants' minutes cannot be read, and count from nothing: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seconds(ledger: &Ledger) -> u64 {
        ledger.book("acme").today(|used| used.seconds)
    }

    #[test]
    fn what_was_used_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("minutes.json");
        let ledger = Arc::new(Ledger::default());
        let file = LedgerFile::open(&path, Arc::clone(&ledger)).unwrap();
        ledger.book("acme").today(|used| used.seconds = 66);
        drop(file);
        let after = Arc::new(Ledger::default());
        drop(LedgerFile::open(&path, Arc::clone(&after)).unwrap());
        assert_eq!(seconds(&after), 66);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"acme\""), "{text}");
        // Yesterday's is no business of today's.
        fs::write(
            &path,
            text.replace(&today().to_string(), &(today() - 1).to_string()),
        )
        .unwrap();
        let next_day = Arc::new(Ledger::default());
        drop(LedgerFile::open(&path, Arc::clone(&next_day)).unwrap());
        assert_eq!(seconds(&next_day), 0);
    }

    #[test]
    fn a_broken_file_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("minutes.json");
        fs::write(&path, "{").unwrap();
        let ledger = Arc::new(Ledger::default());
        let file = LedgerFile::open(&path, Arc::clone(&ledger)).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("minutes.json.broken")).unwrap(),
            "{"
        );
        ledger.book("acme").today(|used| used.seconds = 6);
        drop(file);
        assert!(fs::read_to_string(&path).unwrap().contains("\"seconds\":6"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_does_not_stop_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::default());
        let file =
            LedgerFile::open(&dir.path().join("gone").join("minutes.json"), Arc::clone(&ledger)).unwrap();
        ledger.book("acme").today(|used| used.seconds = 6);
        drop(file);
        assert_eq!(seconds(&ledger), 6);
    }
}
