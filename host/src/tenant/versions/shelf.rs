//! The versions of one flow on disk: `versions/TENANT/FLOW/` in the state folder, each file by its digest, and
//! `index.json` for what they are.
//!
//! Blocking: not for a thread that flows or SIP run on. Knows no calls and no code. Entry type: [`Shelf`]. Invariants: a
//! file is whole or absent whatever dies when (written beside its place, flushed, renamed); what is read back has the
//! digest that it is named by.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::line::Line;
use crate::plugin::digest_of;

const INDEX: &str = "index.json";
/// Bytes of an index: a thousand versions with fifty imports each.
const INDEX_MAX_BYTES: u64 = 16 << 20;
/// Of the form of the index; another one is not read.
const FORMAT: u32 = 1;
/// The beginning of what is not finished.
const UNFINISHED: &str = ".new-";

/// Where one flow's versions stand.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// What was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Index {
    format: u32,
    #[serde(flatten)]
    line: serde_json::Value,
}

impl Shelf {
    /// The shelf of a flow. Nothing is made yet.
    pub(super) fn new(versions: &Path, tenant: &str, flow: &str) -> Self {
        Self {
            folder: versions.join(plain(tenant)).join(plain(flow)),
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
        let path = path.to_owned();
        move |error| ShelfError::Io { path, error }
    }

    /// What is known of the versions; None when nothing was ever kept.
    pub(super) fn line(&self) -> Result<Option<Line>, ShelfError> {
        let path = self.folder.join(INDEX);
        let mut text = Vec::new();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::io(&path)(error)),
        };
        file.take(INDEX_MAX_BYTES)
            .read_to_end(&mut text)
            .map_err(Self::io(&path))?;
        let unusable = |why: String| ShelfError::Unusable {
            path: path.clone(),
            why,
        };
        let index: Index = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        if index.format != FORMAT {
            return Err(unusable(format!(
                "format {}, and this callbox reads {FORMAT}",
                index.format
            )));
        }
        let line: Line = serde_json::from_value(index.line).map_err(|error| unusable(error.to_string()))?;
        if !line.is_sound() {
            return Err(unusable("it names versions that it does not list".to_owned()));
        }
        Ok(Some(line))
    }

    /// Puts an index aside that cannot be used, for somebody to look at.
    pub(super) fn put_aside(&self) {
        let path = self.folder.join(INDEX);
        let _ = fs::rename(&path, path.with_extension("json.unusable"));
    }

    /// Writes down what is known, and takes away files that it does not name.
    pub(super) fn save(&self, line: &Line) -> Result<(), ShelfError> {
        let path = self.folder.join(INDEX);
        let unusable = |error: serde_json::Error| ShelfError::Unusable {
            path: path.clone(),
            why: error.to_string(),
        };
        let index = Index {
            format: FORMAT,
            line: serde_json::to_value(line).map_err(unusable)?,
        };
        let text = serde_json::to_vec_pretty(&index).map_err(unusable)?;
        self.write(&path, &text)?;
        self.sweep(line);
        Ok(())
    }

    /// Keeps a file.
    pub(super) fn put(&self, digest: &str, bytes: &[u8]) -> Result<(), ShelfError> {
        let path = self.file(digest);
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
            return Ok(());
        }
        self.write(&path, bytes)
    }

    /// Reads a file back, at most `most` bytes.
    pub(super) fn get(&self, digest: &str, most: usize) -> Result<Vec<u8>, ShelfError> {
        let path = self.file(digest);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(Self::io(&path))?;
        file.take(most as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(Self::io(&path))?;
        if digest_of(&bytes) != digest {
            let why = "its digest is not the one that it is named by".to_owned();
            return Err(ShelfError::Unusable { path, why });
        }
        Ok(bytes)
    }

    /// Takes away what no version is made of any more.
    pub(super) fn sweep(&self, line: &Line) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let named = |digest: &str| line.kept.iter().any(|record| record.digest == digest);
            let stale = match name.strip_suffix(".wasm") {
                Some(digest) => !named(digest),
                None => name.starts_with(UNFINISHED),
            };
            if stale {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), ShelfError> {
        let write = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.folder)?;
            let mut file = tempfile::NamedTempFile::with_prefix_in(UNFINISHED, &self.folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            // The name is only on disk when its folder is.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(Self::io(path))
    }
}

/// A name as the name of a folder: names may begin with dots, and `..` is somewhere else.
fn plain(name: &str) -> String {
    match name.strip_prefix('.') {
        Some(rest) => format!("%2e{rest}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::line::{Record, Rollout};
    use super::*;

    fn line(bytes: &[u8]) -> Line {
        let mut line = Line::default();
        let record = Record {
            number: line.next_number(),
            digest: digest_of(bytes),
            bytes: bytes.len(),
            accepted_ms: 7,
            by: "cli anna".to_owned(),
            compile_ms: 3,
            world: "call-flow".to_owned(),
            imports: vec!["callbox:flow/session@0.1.0".to_owned()],
            proven: true,
            broken: None,
        };
        let rollout = Rollout {
            canary: Some(7),
            pins: vec!["+44*".parse().unwrap()],
        };
        line.accept(record, &rollout, 9).unwrap();
        line.file_seen = Some("seen".to_owned());
        line
    }

    #[test]
    fn what_is_kept_is_read_back_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path(), "acme", "ivr");
        assert_eq!(shelf.line().unwrap(), None);
        shelf.put(&digest_of(b"old"), b"old").unwrap();
        shelf.put(&digest_of(b"new"), b"new").unwrap();
        shelf.save(&line(b"new")).unwrap();
        assert_eq!(shelf.line().unwrap(), Some(line(b"new")));
        assert_eq!(shelf.get(&digest_of(b"new"), 10).unwrap(), b"new");
        assert!(shelf.get(&digest_of(b"old"), 10).is_err(), "swept");
        let files = fs::read_dir(dir.path().join("acme/ivr")).unwrap().count();
        assert_eq!(files, 2);
    }

    #[test]
    fn what_was_changed_or_cut_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path(), "acme", "ivr");
        shelf.put(&digest_of(b"flow"), b"flow").unwrap();
        shelf.save(&line(b"flow")).unwrap();
        let folder = dir.path().join("acme/ivr");
        fs::write(folder.join(format!("{}.wasm", digest_of(b"flow"))), "evil").unwrap();
        assert!(matches!(
            shelf.get(&digest_of(b"flow"), 10),
            Err(ShelfError::Unusable { .. })
        ));
        let index = fs::read(folder.join(INDEX)).unwrap();
        for text in [&index[..index.len() / 2], b"{}", b"{\"format\":9}", b""] {
            fs::write(folder.join(INDEX), text).unwrap();
            assert!(shelf.line().is_err());
        }
        shelf.put_aside();
        assert_eq!(shelf.line().unwrap(), None);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path(), "..", "..");
        shelf.save(&Line::default()).unwrap();
        assert!(dir.path().join("%2e.").join("%2e.").join(INDEX).is_file());
    }

    #[test]
    fn a_folder_that_cannot_be_written_says_so() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("acme"), "a file").unwrap();
        let shelf = Shelf::new(dir.path(), "acme", "ivr");
        let error = shelf.put("digest", b"flow").unwrap_err().to_string();
        assert!(error.contains("acme"), "{error}");
    }
}
