//! What an operator reads afterwards of a hostile call: its record, which names the limit, and the list of traps, which has
//! the call if and only if it was one.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use callbox_tests::admin::Admin;
use callbox_tests::phone::SOON;
use callbox_tests::{cli, flows};
use serde_json::Value;

use crate::Stage;

/// Outcomes of flows that returned, well or not, or that the host ended: all others are traps.
const NO_TRAPS: [&str; 3] = ["finished", "failed", "ended"];

impl Stage {
    /// Checks the books of the hostile calls so far, of which there is one at least. `words` is what the log says of them: a
    /// limit's whole name in it is the one that their records name where they trapped.
    pub(crate) fn is_booked(&self, words: &[&str]) {
        let records = self.records();
        let traps = self.traps();
        for record in &records {
            let outcome = record["outcome"].as_str().unwrap();
            let of_session = |trap: &&Value| trap["session"] == record["session"];
            let listed: Vec<&Value> = traps.iter().filter(of_session).collect();
            if NO_TRAPS.contains(&outcome) {
                assert!(listed.is_empty(), "no trap: {record:#}\n{listed:#?}");
                assert_eq!(record["limit"], Value::Null, "{record:#}");
                continue;
            }
            assert_eq!(listed.len(), 1, "{record:#}\n{traps:#?}");
            for what in ["outcome", "limit", "flow", "version", "tenant"] {
                assert_eq!(listed[0][what], record[what], "{record:#}");
            }
            if let Some(limit) = words.iter().find(|word| word.starts_with("limits.")) {
                assert_eq!(record["limit"], *limit, "{record:#}");
            }
        }
    }

    /// The one hostile call trapped, in this way.
    pub(crate) fn is_booked_as(&self, outcome: &str, limit: Option<&str>) {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:#?}");
        assert_eq!(records[0]["outcome"], outcome, "{:#}", records[0]);
        assert_eq!(records[0]["limit"].as_str(), limit, "{:#}", records[0]);
        self.is_booked(&[]);
    }

    /// The records of the hostile tenant, once there is one.
    fn records(&self) -> Vec<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let file = self.server.folder().join(".callbox/records.sqlite");
            let said = cli::run([
                "cdr".as_ref(),
                "--tenant".as_ref(),
                "umbrella".as_ref(),
                "--json".as_ref(),
                "--file".as_ref(),
                file.as_os_str(),
            ]);
            if !said.out.is_empty() {
                let lines = said.out.lines();
                return lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            assert!(Instant::now() < deadline, "the call left no record: {said:#?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn traps(&self) -> Vec<Value> {
        let answer = Admin::of(self.server.folder()).get("/v1/traps?tenant=umbrella");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["traps"].as_array().unwrap().clone()
    }
}

/// A flow that nobody calls proves nothing.
#[test]
fn every_hostile_flow_is_in_a_test() {
    let root = flows::root();
    let mut tests = String::new();
    let mut folders = vec![root.join("tests/tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut names = BTreeSet::new();
    for (folder, extension) in [("examples/hostile", None), ("examples/hostile/text", Some("wat"))] {
        for entry in fs::read_dir(root.join(folder)).unwrap().flatten() {
            let path = entry.path();
            let is_flow = match extension {
                None => path.join("Cargo.toml").exists(),
                Some(extension) => path.extension().is_some_and(|it| it == extension),
            };
            if is_flow {
                names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(names.len() >= 25, "{names:?}");
    names.retain(|name| !tests.contains(&format!("\"{name}\"")));
    assert!(names.is_empty(), "in no test: {names:?}");
}
