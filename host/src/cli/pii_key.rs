//! The key under which call records are redacted: a file in the state folder, made once.
//!
//! Who has it can find out whether a number is in the records by trying numbers; who deletes it makes the tags that were
//! written strangers to those that will be. Entry points: [`open_or_make`] for the host, [`open`] for who reads.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::pii::{KEY_BYTES, Redaction};

/// Where it is.
fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("pii.key")
}

/// The key of this folder, which is ours; a new one if there is none.
pub(super) fn open_or_make(state_dir: &Path) -> anyhow::Result<Redaction> {
    if let Some(found) = open(state_dir)? {
        return Ok(found);
    }
    let path = file(state_dir);
    let make = || -> io::Result<[u8; KEY_BYTES]> {
        let key = Redaction::new_key()?;
        // Complete or absent, and its owner's only.
        let mut new = tempfile::NamedTempFile::new_in(state_dir)?;
        writeln!(new, "{:032x}", u128::from_be_bytes(key))?;
        new.as_file().sync_all()?;
        new.persist(&path).map_err(|error| error.error)?;
        Ok(key)
    };
    let key =
        make().with_context(|| format!("cannot make the key of redacted records, {}", path.display()))?;
    Ok(Redaction::with_key(key))
}

/// The key of this folder, if there is one.
pub(super) fn open(state_dir: &Path) -> anyhow::Result<Option<Redaction>> {
    let path = file(state_dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read the key of redacted records, {}", path.display()));
        }
    };
    let digits = text.trim();
    let key = (digits.len() == 2 * KEY_BYTES)
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
        .ok_or_else(|| {
            anyhow!(
                "{} is no key of redacted records: bring back the one that was there, or delete it for a new one, under \
                 which older records are not found by their number",
                path.display()
            )
        })?;
    Ok(Some(Redaction::with_key(key.to_be_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).unwrap().is_none());
        let made = open_or_make(folder.path()).unwrap();
        let again = open_or_make(folder.path()).unwrap();
        let read = open(folder.path()).unwrap().unwrap();
        assert_eq!(made.number("bob"), again.number("bob"));
        assert_eq!(made.number("bob"), read.number("bob"));
        let mode = fs::metadata(file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for broken in ["", "xyz", "0123"] {
            fs::write(file(folder.path()), broken).unwrap();
            let error = open_or_make(folder.path()).unwrap_err().to_string();
            assert!(error.contains("is no key"), "{error}");
        }
    }
}
