//! What a process costs, read from /proc: CPU time of all its threads and resident memory.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// User and system time of all threads so far, ended threads included.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is alive");
    // The name in parentheses may hold anything; fields are counted after it. utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

/// CPU time by thread name, the dearest first: where the time of [`cpu_time`] went.
pub fn cpu_by_thread(pid: u32) -> Vec<(String, Duration)> {
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process is alive")
        .flatten()
    {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let name = stat
            .split('(')
            .nth(1)
            .unwrap_or_default()
            .split(')')
            .next()
            .unwrap_or_default();
        let name = name
            .trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-')
            .to_owned();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        *sums.entry(name).or_default() +=
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    }
    let mut list: Vec<(String, Duration)> = sums
        .into_iter()
        .map(|(name, ticks)| (name, Duration::from_millis(ticks * 10)))
        .collect();
    list.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    list
}

/// Resident memory in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    status_number(pid, "VmRSS:")
}

/// How many threads it has.
pub fn threads(pid: u32) -> u64 {
    status_number(pid, "Threads:")
}

/// How many file descriptors it holds.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process is alive")
        .count()
}

fn status_number(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let line = status
        .lines()
        .find(|line| line.starts_with(key))
        .expect("the line is there");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Whether a program is there.
pub fn installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is: on the path, or in the folder of servers, which is on the path of root alone.
pub fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|it| it.is_file())
}

/// A child that is killed, by its pid, when this is dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        command.spawn().map(Self)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }

    /// Asks it to end, as an operator or systemd does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(
            status.is_ok_and(|it| it.success()),
            "the process was gone before it was sent SIG{name}"
        );
    }

    /// Waits for the end, so long and no longer.
    pub fn wait(&mut self, longest: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
