//! What others start callbox with: the systemd unit, the Dockerfile, and what a supervisor hears.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callbox_tests::cli;
use callbox_tests::process::{self, Running};
use callbox_tests::server::Setup;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn packaging(name: &str) -> String {
    fs::read_to_string(root().join("host/packaging").join(name)).unwrap()
}

/// What the supervisor of a host hears, on the socket that it gave the host.
struct Ear {
    socket: UnixDatagram,
}

impl Ear {
    /// The next word; its lines.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).expect("a word within the time");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// The next word that is not the watchdog's, which comes at any time.
    fn news(&self) -> Vec<String> {
        loop {
            let word = self.next();
            if word != ["WATCHDOG=1"] {
                return word;
            }
        }
    }

    /// Lets go of what was said until now and not heard, which may be nothing but the watchdog's words.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            assert_eq!(&buffer[..length], b"WATCHDOG=1");
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    /// A reload, from its beginning to the host that serves again: its time by the monotonic clock, in microseconds.
    fn reload(&self) -> u64 {
        let word = self.news();
        assert_eq!(word[0], "RELOADING=1", "{word:?}");
        let usec = word.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let usec = usec.unwrap_or_else(|| panic!("no time in {word:?}"));
        assert_eq!(self.news()[0], "READY=1");
        usec.parse().unwrap()
    }
}

#[test]
fn a_supervisor_hears_that_the_host_serves_reloads_lives_and_ends() {
    const WATCHED: Duration = Duration::from_secs(4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let ear = Ear { socket };
    let config = Setup::new().flow("hello", "hello").write(folder.path());
    let mut command = cli::command();
    command
        .args(["serve", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHED.as_micros().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut host = Running::start(&mut command).unwrap();
    assert_eq!(ear.next()[0], "READY=1");
    // Now it serves, as it says.
    let status = cli::run(["status", "--config", config.to_str().unwrap()]);
    assert_eq!(status.code, Some(0), "{status:#?}");

    // At every half of the time: never later than the supervisor waits, and not all the time either.
    ear.forget();
    assert_eq!(ear.next(), ["WATCHDOG=1"]);
    for _ in 0..2 {
        let before = Instant::now();
        assert_eq!(ear.next(), ["WATCHDOG=1"]);
        let gap = before.elapsed();
        assert!(gap > WATCHED / 4 && gap < WATCHED, "{gap:?}");
    }

    // A reload that is taken and one that is not: it serves after both. The times are those of this machine's clock.
    let before = Instant::now();
    host.signal("HUP");
    let first = ear.reload();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("colour = 7\n{text}")).unwrap();
    host.signal("HUP");
    let second = ear.reload();
    let longest = before.elapsed();
    assert!(
        second > first && Duration::from_micros(second - first) <= longest,
        "{first} {second} {longest:?}"
    );
    let status = cli::run(["status", "--config", config.to_str().unwrap()]);
    assert_eq!(status.code, Some(0), "{status:#?}");

    host.terminate();
    assert_eq!(ear.news()[0], "STOPPING=1");
    let ended = host.wait(Duration::from_secs(30)).expect("it ends");
    assert_eq!(ended.code(), Some(0));
    ear.forget();
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = packaging("callbox.service");
    for wanted in [
        "Type=notify",
        "WatchdogSec=30",
        "Restart=on-failure",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "StateDirectory=callbox",
    ] {
        assert!(unit.lines().any(|line| line == wanted), "{wanted}");
    }
    // Compiled code is written first and executed then.
    assert!(
        !unit
            .lines()
            .any(|line| line.starts_with("MemoryDenyWriteExecute"))
    );
    let Some(analyze) = process::find("systemd-analyze") else {
        println!("skipped: no systemd-analyze here");
        return;
    };
    // The program is not installed where the unit has it: the check wants one that is there.
    let folder = tempfile::tempdir().unwrap();
    let program = cli::binary();
    let file = folder.path().join("callbox.service");
    fs::write(
        &file,
        unit.replace("/usr/local/bin/callbox", program.to_str().unwrap()),
    )
    .unwrap();
    let mut command = Command::new(analyze);
    command
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file);
    let said = cli::said(&mut command, Duration::from_secs(60));
    assert_eq!(said.code, Some(0), "{said:#?}");
    let about_ours: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.contains("callbox.service"))
        .collect();
    assert!(about_ours.is_empty(), "{about_ours:#?}");
}

#[test]
fn the_dockerfile_copies_what_there_is_and_does_not_run_as_root() {
    let text = packaging("Dockerfile");
    let mut copied = 0;
    for line in text
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from="))
    {
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        words.pop();
        for source in words {
            copied += 1;
            assert!(root().join(source).exists(), "{line}: there is no {source}");
        }
    }
    assert!(copied >= 4, "{copied} sources");
    // Every member of the workspace is needed to read its manifest.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        let folder = member.split('/').next().unwrap();
        assert!(
            text.contains(&format!("COPY {folder} {folder}\n")),
            "{member} is not copied"
        );
    }
    let version = manifest
        .lines()
        .find(|line| line.starts_with("rust-version"))
        .unwrap();
    let version = version.split('"').nth(1).unwrap();
    assert!(
        text.contains(&format!("FROM rust:{version}-")),
        "built with Rust {version}"
    );
    let user = text.lines().rfind(|line| line.starts_with("USER ")).unwrap();
    assert!(!user.contains("root") && !user.contains("USER 0"), "{user}");
}
