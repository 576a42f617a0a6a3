//! Records as lines of JSON in a file.
//!
//! Entry type: [`JsonLines`]. A batch is one write, and with `fsync` one more wait for the disk. When the file has grown to its
//! bound it is renamed to `NAME.TIME` and a new one begun; one that somebody else has renamed (logrotate) is noticed with
//! the next batch, without a signal. Invariants: a batch that could not be written whole is taken back, so that trying again
//! repeats nothing; a half line that a crash left is ended, so that it spoils no other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::entry::Record;
use super::sink::{Sink, StoreError};
use crate::unix_time::now_ms;

/// A file of JSON lines.
pub struct JsonLines {
    path: PathBuf,
    fsync: bool,
    most_bytes: u64,
    open: Option<Open>,
    text: Vec<u8>,
}

struct Open {
    file: File,
    /// Device and inode: whether the path still leads to it.
    identity: (u64, u64),
    length: u64,
    /// Not a device or a pipe.
    regular: bool,
}

impl JsonLines {
    /// The file at `path`, which is opened or made with the first batch, and renamed when it has grown to `most_bytes`.
    #[must_use]
    pub fn new(path: PathBuf, fsync: bool, most_bytes: u64) -> Self {
        Self {
            path,
            fsync,
            most_bytes,
            open: None,
            text: Vec::new(),
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let identity = |found: &fs::Metadata| (found.dev(), found.ino());
        let mut open = match self.open.take() {
            Some(open) if fs::metadata(&self.path).is_ok_and(|found| identity(&found) == open.identity) => {
                open
            }
            _ => Open::at(&self.path)?,
        };
        if open.regular && open.length > 0 && open.length + self.text.len() as u64 > self.most_bytes {
            fs::rename(&self.path, self.full_name())?;
            open = Open::at(&self.path)?;
        }
        let written = open
            .file
            .write_all(&self.text)
            .and_then(|()| match self.fsync && open.regular {
                true => open.file.sync_data(),
                false => Ok(()),
            });
        if let Err(error) = written {
            if open.regular {
                // Without success the file is opened anew, and its last line ended there.
                open.file.set_len(open.length)?;
            }
            return Err(error);
        }
        open.length += self.text.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// Where a full file goes. Two within one millisecond differ by the number at the end.
    fn full_name(&self) -> PathBuf {
        let now = now_ms();
        let name = |more: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{now}{more}"));
            PathBuf::from(name)
        };
        let mut full = name("");
        let mut more = 1_u64;
        while full.exists() {
            full = name(&format!("-{more}"));
            more += 1;
        }
        full
    }
}

impl Open {
    fn at(path: &std::path::Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        let mut open = Self {
            identity: (found.dev(), found.ino()),
            length: found.len(),
            regular: found.is_file(),
            file,
        };
        if open.regular && open.length > 0 {
            let mut last = [0];
            let mut reader = File::open(path)?;
            reader.seek(SeekFrom::End(-1))?;
            reader.read_exact(&mut last)?;
            if last != *b"\n" {
                open.file.write_all(b"\n")?;
                open.length += 1;
            }
        }
        Ok(open)
    }
}

impl Sink for JsonLines {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.text.clear();
        for record in batch {
            self.text.extend_from_slice(record.json().to_string().as_bytes());
            self.text.push(b'\n');
        }
        self.append().map_err(|error| StoreError::File {
            what: "write records to",
            path: self.path.clone(),
            error,
        })
    }
}
