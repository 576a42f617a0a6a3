//! What the kernel says of this process.
//!
//! Entry point: [`read`]. What cannot be read is none, and its metric is left out.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// The process at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    /// Bytes of memory that it has at the moment.
    pub(super) resident_bytes: Option<u64>,
    /// Descriptors.
    pub(super) open_files: Option<u64>,
    /// As many as it may have.
    pub(super) open_files_max: Option<u64>,
    pub(super) threads: Option<u64>,
    /// CPU of all its threads.
    pub(super) cpu_seconds: Option<f64>,
}

/// Reads `/proc/self`. Takes as long as a folder with an entry for each open file.
pub(super) fn read() -> Process {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = fields_of(&stat);
    let field = |number: usize| fields.get(number).and_then(|text| text.parse::<u64>().ok());
    // The clock of /proc, whose ticks are a hundredth of a second on every Linux since 2.6.
    let seconds = |ticks: u64| ticks as f64 / 100.0;
    Process {
        resident_bytes: resident(),
        // One of them is the folder that is being read.
        open_files: fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as u64).saturating_sub(1)),
        open_files_max: getrlimit(Resource::Nofile).current,
        threads: field(17),
        cpu_seconds: field(11)
            .zip(field(12))
            .map(|(user, system)| seconds(user.saturating_add(system))),
    }
}

/// The fields of `/proc/self/stat` from the third on, which is number 0: the second is a name that may hold anything.
fn fields_of(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default()
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let process = read();
        assert!(process.resident_bytes.unwrap() > 1 << 20);
        let open = process.open_files.unwrap();
        assert!(
            open >= 3 && open <= process.open_files_max.unwrap_or(u64::MAX),
            "{open}"
        );
        assert!(process.threads.unwrap() >= 1);
        assert!(process.cpu_seconds.is_some());
    }

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let fields = fields_of("7 (a ) b) S 1 2 3");
        assert_eq!(fields, ["S", "1", "2", "3"]);
    }
}
