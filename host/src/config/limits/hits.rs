//! How often each limit of the table was hit, since the process began.
//!
//! One counter a row for the whole process, because what hits a limit seldom knows whose host it is in. What is counted for
//! one tenant is in `call::TenantBounds`. Entry points: [`hit`], [`hits`]. Invariant: a name that is no row counts nowhere;
//! a test reads the sources for such names.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Limit, ROWS, TENANT, table};

static HITS: [AtomicU64; ROWS] = [const { AtomicU64::new(0) }; ROWS];

/// Counts one hit of the row of this name, as in `limits.call.legs_max`. Searches the table, which is for what is refused
/// anyway.
pub fn hit(name: &str) {
    let is_it = |row: &Limit| {
        let key = name
            .strip_prefix(row.group)
            .and_then(|rest| rest.strip_prefix('.'));
        key == Some(row.name)
    };
    let counter = table().zip(&HITS).find(|(row, _)| is_it(row));
    if let Some((_, counter)) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every row with its hits, but for those of `limits.tenant`, which are counted tenant by tenant.
pub fn hits() -> impl Iterator<Item = (&'static Limit, u64)> {
    let all = table().zip(&HITS);
    all.filter(|(row, _)| row.group != TENANT)
        .map(|(row, hits)| (row, hits.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(name: &str) -> u64 {
        let mut all = hits().filter(|(row, _)| format!("{}.{}", row.group, row.name) == name);
        all.next().unwrap().1
    }

    #[test]
    fn a_hit_counts_for_its_row_and_no_other() {
        // Rows that nothing else in the tests of this crate hits.
        let (name, other) = ("limits.log_queue_lines", "limits.drain_ms");
        let before = of(name);
        hit(name);
        hit(name);
        assert_eq!((of(name), of(other)), (before + 2, 0));
    }

    #[test]
    fn every_limit_that_the_sources_name_is_a_row() {
        let literal = regex::Regex::new(r#""(limits(?:\.[a-z]+)?)\.([a-z0-9_]+)""#).unwrap();
        let known = |group: &str, name: &str| {
            let full = format!("{group}.{name}");
            table().any(|row| row.group == full || (row.group == group && row.name == name))
        };
        let mut folders = vec![std::path::PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src"
        ))];
        let mut named = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for found in literal.captures_iter(&text) {
                    named += 1;
                    assert!(known(&found[1], &found[2]), "{}: {}", path.display(), &found[0]);
                }
            }
        }
        assert!(named > 30, "only {named} limits are named");
    }
}
