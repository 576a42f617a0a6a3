//! Runs the `callbox` binary for its output, as an operator does.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Running;

/// What one run of the binary said.
#[derive(Debug)]
pub struct Said {
    /// The exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Both outputs, for assertions that do not care which.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// The binary under test: `CALLBOX_BIN`, or the one that cargo built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CALLBOX_BIN") {
        return PathBuf::from(path);
    }
    // target/PROFILE/deps/TEST-HASH or target/PROFILE/BIN
    let exe = std::env::current_exe().expect("this test has a path");
    let found = exe
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("callbox"))
        .find(|it| it.is_file());
    found.expect("the callbox binary is not built: run `cargo build -p callbox`, or set CALLBOX_BIN")
}

/// A command for the binary, with a quiet environment.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    command
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end, 120 s at most.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    let mut command = command();
    command.args(arguments);
    said(&mut command, Duration::from_secs(120))
}

/// Runs any command to its end, and keeps what it says.
pub fn said(command: &mut Command, longest: Duration) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let create = |path| std::fs::File::create(path).expect("a file in a temporary folder");
    command.stdout(create(&out)).stderr(create(&err));
    let mut child = Running::start(command).expect("the program starts");
    let status = child
        .wait(longest)
        .unwrap_or_else(|| panic!("{command:?} did not end within {longest:?}"));
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    Said {
        code: status.code(),
        out: read(&out),
        err: read(&err),
    }
}
