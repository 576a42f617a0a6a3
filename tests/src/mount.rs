//! A small file system for a test that fills it or makes it read-only.
//!
//! Entry type: [`Mount`]. Needs root and the right to mount, which a container may not have: a test that gets none says so and
//! proves nothing. It is unmounted when its value is dropped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in memory.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    /// Below the folder that is removed with it.
    _folder: tempfile::TempDir,
}

impl Mount {
    /// One of so many MiB; none where this user may not mount.
    pub fn tmpfs(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("disk");
        fs::create_dir(&path).expect("a folder in a temporary folder");
        let size = format!("size={mib}m,mode=0700");
        if !run("mount", &["-t", "tmpfs", "-o", &size, "callbox-test"], &path) {
            eprintln!("skipped: this user may not mount a file system");
            return None;
        }
        Some(Self {
            path,
            _folder: folder,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("there is room for a name");
        while file.write_all(&[0; 65_536]).is_ok() {}
        while file.write_all(&[0; 512]).is_ok() {}
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Nothing can be written any more.
    pub fn read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro"], &self.path));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a server that is being killed may still have files open there.
        run("umount", &["-l"], &self.path);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
