//! Records in a PostgreSQL that goes away and comes back, on the built program. `tests/postgresql.sh` has the server, and a program
//! with that store: `make test-postgresql`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::process::Command;
use std::time::{Duration, Instant};

use callbox_tests::cli;
use callbox_tests::host::Host;
use callbox_tests::server::Setup;

/// Has the script start or stop the server, or ask it a question.
fn server(words: &[&str]) -> String {
    let control = std::env::var_os("CALLBOX_TEST_POSTGRESQL_CTL").expect("run make test-postgresql");
    let said = cli::said(Command::new(control).args(words), Duration::from_secs(60));
    assert_eq!(said.code, Some(0), "{words:?}: {said:#?}");
    said.out.trim().to_owned()
}

fn wait_for_records(count: usize, host: &Host) {
    let until = Instant::now() + Duration::from_secs(30);
    let expected = count.to_string();
    loop {
        let found = server(&["ask", "SELECT count(*) FROM callbox_records"]);
        if found == expected {
            return;
        }
        assert!(
            Instant::now() < until,
            "{found} of {count} records:\n{}",
            host.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs a server: make test-postgresql"]
fn a_server_that_cannot_be_reached_costs_neither_a_call_nor_a_record() {
    let url = std::env::var("CALLBOX_TEST_POSTGRESQL").expect("run make test-postgresql");
    // The table is the server's and other tests': this one begins without it.
    server(&["ask", "DROP TABLE IF EXISTS callbox_legs, callbox_records"]);
    server(&["stop"]);
    let setup = Setup::new().flow("answer", "hello");
    let records = format!("[records]\nstore = \"postgresql\"\nurl = {url:?}");
    let mut host = Host::start(&setup, &records);
    host.wait_for_log("call records cannot be written yet, calls go on");
    let calls = |host: &Host| {
        for _ in 0..10 {
            assert_eq!(host.call("answer"), 200, "{}", host.log());
        }
    };
    calls(&host);
    host.wait_for_log("call records wait, calls go on");
    server(&["start"]);
    wait_for_records(10, &host);
    host.wait_for_log("call records are written again");
    // In the middle of its work.
    server(&["stop"]);
    calls(&host);
    server(&["start"]);
    wait_for_records(20, &host);
    host.signal("TERM");
    let twice = "SELECT count(*) FROM (SELECT session FROM callbox_records GROUP BY session HAVING count(*) > 1) AS twice";
    assert_eq!(server(&["ask", twice]), "0");
}
