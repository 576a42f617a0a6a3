//! Call records, from outside: what a call leaves in the store, what a kill leaves of it, and what a store that does not work
//! does to calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callbox_tests::host::Host;
use callbox_tests::phone::{OFFER, Phone, SOON};
use callbox_tests::server::Setup;
use callbox_tests::sipp::Sipp;
use callbox_tests::{cli, flows};
use serde_json::Value;

/// What is asked of a leg: direction, code, who ended it, whether it rang and was answered.
fn leg(record: &Value, at: usize) -> (String, Value, String, bool, bool) {
    let leg = &record["legs"][at];
    let text = |key: &str| leg[key].as_str().unwrap_or("-").to_owned();
    (
        text("direction"),
        leg["code"].clone(),
        text("by"),
        leg["rang_ms"].is_u64(),
        leg["answered_ms"].is_u64(),
    )
}

fn expected(
    direction: &str,
    code: impl Into<Value>,
    by: &str,
    rang: bool,
    answered: bool,
) -> (String, Value, String, bool, bool) {
    (direction.to_owned(), code.into(), by.to_owned(), rang, answered)
}

#[test]
fn every_call_leaves_one_record_that_says_how_it_went() {
    let setup = Setup::new()
        .flow("answer", "hello")
        .flow("info", "info")
        .flow("ring", "ring")
        .flow("busy", "busy")
        .flow("ivr", "ivr-menu")
        .flow("loop", "loop");
    let host = Host::start(&setup, "");
    assert_eq!(
        host.cdr(&["--file", "/nowhere/at/all"]).code,
        Some(2),
        "either of them"
    );
    let missing = cli::run(["cdr", "--file", "/nowhere/at/all"]);
    assert_eq!(missing.code, Some(1), "{missing:#?}");
    let mut phone = host.phone();
    let mut calls = Vec::new();

    let mut call = phone.connect("answer");
    std::thread::sleep(Duration::from_millis(300));
    phone.hang_up(&mut call);
    calls.push((call.id.clone(), "answer"));
    host.wait_for(1);

    let mut call = phone.connect("info");
    phone.press(&mut call, '5');
    phone.expect_bye(&call);
    calls.push((call.id.clone(), "info"));
    host.wait_for(2);

    let mut call = phone.invite("ring");
    phone.wait_for(&call, "180", |message| message.status() == Some(180));
    phone.cancel(&call);
    let response = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &response);
    calls.push((call.id.clone(), "ring"));
    host.wait_for(3);

    let mut call = phone.invite("busy");
    let response = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &response);
    calls.push((call.id.clone(), "busy"));
    host.wait_for(4);

    let mut call = phone.invite("loop");
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(500));
    phone.ack(&mut call, &response);
    calls.push((call.id.clone(), "loop"));
    host.wait_for(5);

    // No route: nobody's call.
    let mut call = phone.invite("nobody");
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(404));
    phone.ack(&mut call, &response);
    std::thread::sleep(Duration::from_millis(300));

    let records = host.records(&[]);
    let found: Vec<(String, &str)> = records
        .iter()
        .map(|record| {
            let id = record["legs"][0]["call_id"].as_str().unwrap();
            (id.to_owned(), record["flow"].as_str().unwrap())
        })
        .collect();
    assert_eq!(found, calls, "each once, in their order");
    let legs: Vec<_> = records.iter().map(|record| leg(record, 0)).collect();
    assert_eq!(
        legs,
        [
            expected("inbound", 200, "peer", true, true),
            expected("inbound", 200, "flow", false, true),
            expected("inbound", 487, "peer", true, false),
            expected("inbound", 486, "flow", false, false),
            expected("inbound", 500, "host", false, false),
        ]
    );
    for record in &records {
        assert_eq!(
            (&record["tenant"], &record["kind"]),
            (&"house".into(), &"call".into())
        );
        assert_eq!(record["legs"][0]["ani"], "2001");
        assert_eq!(record["legs"][0]["dnis"], record["flow"]);
        assert!(record["fuel"].as_u64() > Some(1_000), "{record}");
        assert!(record["memory_bytes"].as_u64() >= Some(65_536), "{record}");
        assert!(
            record["ended_ms"].as_u64() >= record["began_ms"].as_u64(),
            "{record}"
        );
        assert!(!record["version"].as_str().unwrap().is_empty());
    }
    let talked = records[0]["legs"][0]["talked_ms"].as_u64().unwrap();
    assert!((250..10_000).contains(&talked), "{talked}");
    let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes[..4], ["finished"; 4]);
    assert_eq!(outcomes[4], "out-of-fuel-burst");
    assert_eq!(records[4]["limit"], "limits.plugin.fuel_burst");
    assert!(
        records[4]["outcome_text"]
            .as_str()
            .unwrap()
            .contains("fuel_burst")
    );
    assert_eq!(records[0]["limit"], Value::Null);

    // What an operator asks.
    let count = |arguments: &[&str]| host.records(arguments).len();
    assert_eq!(count(&["--flow", "house/ring"]), 1);
    assert_eq!(count(&["--tenant", "nobody"]), 0);
    assert_eq!(count(&["--outcome", "out-of-fuel-burst", "--since", "1h"]), 1);
    assert_eq!(count(&["--until", "1h"]), 0);
    assert_eq!(
        (count(&["--number", "20*"]), count(&["--number", "loop"])),
        (5, 1)
    );
    let session = records[1]["session"].as_str().unwrap();
    assert_eq!(count(&["--session", session]), 1);
    let table = host.cdr(&["--limit", "2"]).out;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("BEGAN") && lines[1].contains("house/busy"),
        "{table}"
    );
    assert!(
        lines[2].contains("out-of-fuel-burst (limits.plugin.fuel_burst)"),
        "{table}"
    );
    let csv = host.cdr(&["--csv"]).out;
    let cells = |line: &str| line.split(',').count();
    let widths: BTreeSet<usize> = csv.lines().map(cells).collect();
    assert_eq!((csv.lines().count(), widths.len()), (6, 1), "{csv}");
    assert_eq!(host.cdr(&["--since", "yesterday"]).code, Some(2));
    assert_eq!(host.cdr(&["--json", "--csv"]).code, Some(2));
}

#[test]
fn a_bridge_has_two_legs_and_a_job_its_own_fields() {
    let setup = Setup::new();
    let mut callee = Phone::udp(setup.address());
    let dest = format!("config = {{ dest = \"sip:bob@{}\" }}", callee.address());
    let host = callee.address().ip().to_string();
    let setup = setup
        .dial("house", &[&host])
        .tenant_flow("house", "bridge", &flows::example("bridge"), &dest)
        .job(
            "house",
            "desk",
            &flows::example("desk"),
            "[tenant.flow.desk.job]\nstart = \"boot\"\nargs = { service = \"desk\", calls = \"0\" }",
        )
        .service("house", "7", "desk");
    let host = Host::start(&setup, "");
    let job = &host.wait_for(1)[0];
    assert_eq!(
        (&job["kind"], &job["outcome"]),
        (&"job".into(), &"finished".into())
    );
    assert_eq!(job["legs"], Value::Array(Vec::new()));

    let mut phone = host.phone();
    let mut call = phone.invite("bridge");
    let invite = callee.next_request("INVITE", |_| true);
    let contact = format!("Contact: <sip:bob@{}>\r\n", callee.address());
    callee.respond_with(&invite, "180 Ringing", &contact);
    let offer = invite.header("Call-ID").to_owned();
    callee.respond_with(&invite, "486 Busy Here", &contact);
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(486));
    phone.ack(&mut call, &response);
    let record = &host.wait_for(2)[1];
    let legs = record["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 2, "{record}");
    let outbound = legs
        .iter()
        .position(|leg| leg["direction"] == "outbound")
        .unwrap();
    assert_eq!(
        leg(record, outbound),
        expected("outbound", 486, "peer", true, false)
    );
    assert_eq!(legs[outbound]["call_id"], offer.as_str());
    assert_eq!(legs[outbound]["dnis"], "bob");
    assert_eq!(
        leg(record, 1 - outbound),
        expected("inbound", 486, "flow", true, false)
    );
}

/// Starts a host that was killed: it answers within 2 s of the start of its process. One that does not is killed and started
/// once more, because others may have had the processor.
fn begin_again(host: &mut Host) {
    const BOUND: Duration = Duration::from_secs(2);
    let first = host.begin();
    if first < BOUND {
        return;
    }
    host.signal("KILL");
    let second = host.begin();
    assert!(second < BOUND, "{first:?}, then {second:?} to start again");
}

#[test]
fn what_has_ended_is_there_after_a_kill_and_calls_of_before_get_481() {
    const CALLS: u32 = 500;
    let setup = Setup::new().flow("answer", "hello");
    let mut host = Host::start(&setup, "");
    let mut phone = host.phone();
    let mut standing = phone.connect("answer");
    Sipp::scenario("answer", host.address, "answer")
        .fill("HOLD_MS", 100)
        .load(CALLS, 100)
        .run()
        .assert_all(CALLS);
    // And some in the middle of their lives.
    let halves: Vec<_> = (0..20).map(|_| phone.connect("answer")).collect();
    std::thread::sleep(Duration::from_millis(1_000));
    host.signal("KILL");
    begin_again(&mut host);
    let records = host.records(&[]);
    let ids: BTreeSet<&str> = records
        .iter()
        .map(|record| record["legs"][0]["call_id"].as_str().unwrap())
        .collect();
    assert_eq!((records.len(), ids.len()), (CALLS as usize, CALLS as usize));
    assert!(records.iter().all(|record| record["outcome"] == "finished"));
    for call in halves.iter().chain([&standing.clone()]) {
        assert!(!ids.contains(call.id.as_str()));
    }
    let mut phone_again = phone;
    phone_again.bye(&mut standing);
    assert_eq!(phone_again.final_response(&standing, "BYE").status(), Some(481));
    // It goes on in the same file.
    let mut call = phone_again.connect("answer");
    phone_again.hang_up(&mut call);
    host.wait_for(CALLS as usize + 1);
}

/// Which files are in its cache: what is compiled again is another one.
fn compiled(host: &Host) -> BTreeSet<(std::ffi::OsString, u64)> {
    let entries = fs::read_dir(host.folder.path().join("cache")).unwrap();
    entries
        .flatten()
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().ino()))
        .collect()
}

#[test]
fn five_hundred_calls_are_up_when_it_is_killed_and_it_is_back_at_once() {
    const CALLS: usize = 500;
    const ENDED: usize = 100;
    let flows = [
        ("answer", "hello"),
        ("info", "info"),
        ("ivr", "ivr-menu"),
        ("busy", "busy"),
    ];
    let setup = flows
        .iter()
        .fold(Setup::new(), |setup, (number, name)| setup.flow(number, name));
    let mut host = Host::start(&setup, "");
    let mut phone = host.phone();
    let mut up: Vec<_> = (0..CALLS + ENDED).map(|_| phone.connect("answer")).collect();
    let mut ended = up.split_off(CALLS);
    for call in &mut ended {
        phone.hang_up(call);
    }
    host.wait_for(ENDED);
    let before = compiled(&host);
    assert!(before.len() >= 2 * flows.len(), "code and digest of each flow");
    // In the middle of placing and ending still more.
    let load = Sipp::scenario("answer", host.address, "answer")
        .fill("HOLD_MS", 200)
        .load(300, 100)
        .longest(Duration::from_secs(5))
        .start();
    std::thread::sleep(Duration::from_millis(1_500));
    host.signal("KILL");
    begin_again(&mut host);
    drop(load);
    assert_eq!(compiled(&host), before, "it compiled again");
    let records = host.records(&[]);
    let ids: BTreeSet<&str> = records
        .iter()
        .map(|record| record["legs"][0]["call_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), records.len(), "each once");
    assert!(ended.iter().all(|call| ids.contains(call.id.as_str())));
    assert!(!up.iter().any(|call| ids.contains(call.id.as_str())));
    // It serves, and knows nothing of the calls of before.
    assert_eq!((host.call("answer"), host.call("busy")), (200, 486));
    for (at, call) in up.iter_mut().enumerate() {
        let method = match at % 4 {
            0 => "INVITE",
            1 => "INFO",
            _ => "BYE",
        };
        match method {
            "INVITE" => phone.ask(call, method, "", OFFER),
            _ => phone.ask(call, method, "", ""),
        }
        let response = phone.final_response(call, method);
        assert_eq!(response.status(), Some(481), "{method}: {response:?}");
        if method == "INVITE" {
            phone.ack_again(call, &response);
        }
    }
}

#[test]
fn a_host_that_stops_writes_what_it_has() {
    let setup = Setup::new().flow("answer", "hello");
    let mut host = Host::start(&setup, "[limits.record]\nbatch_ms = 10000");
    let mut phone = host.phone();
    for _ in 0..20 {
        let mut call = phone.connect("answer");
        phone.hang_up(&mut call);
    }
    // The last flow has ended too; its record waits for company still.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(host.records(&[]).len(), 0);
    host.signal("TERM");
    assert_eq!(host.records(&[]).len(), 20, "{}", host.log());
}

#[test]
fn calls_that_were_refused_leave_records_where_that_is_wanted_and_not_more_than_wanted() {
    let absent = PathBuf::from("/nowhere/absent.wasm");
    let setup = || {
        Setup::new()
            .flow("answer", "hello")
            .tenant_flow("umbrella", "absent", &absent, "")
            .tenant_limit("house", "calls_max", 1)
            .limit("limits.record", "refused_rate", 5)
    };
    let host = Host::start(&setup(), "[records]\nrefused = true");
    let mut phone = host.phone();
    let mut up = phone.connect("answer");
    assert_eq!((host.call("answer"), host.call("absent")), (480, 500));
    assert_eq!(host.call("nobody"), 404, "nobody's");
    let records = host.wait_for(2);
    let (over, missing) = (&records[0], &records[1]);
    assert_eq!(
        (&over["tenant"], &over["flow"], &over["outcome"], &over["limit"]),
        (
            &"house".into(),
            &"answer".into(),
            &"refused".into(),
            &"limits.tenant.calls_max".into()
        )
    );
    assert_eq!(leg(over, 0), expected("inbound", 480, "host", false, false));
    assert_eq!(
        (&over["legs"][0]["ani"], &over["legs"][0]["dnis"]),
        (&"2001".into(), &"answer".into())
    );
    assert_eq!((&over["version"], &over["fuel"]), (&"".into(), &0.into()));
    assert_eq!(
        (&missing["tenant"], &missing["limit"]),
        (&"umbrella".into(), &Value::Null)
    );
    assert_eq!(leg(missing, 0), expected("inbound", 500, "host", false, false));
    assert_eq!(host.records(&["--outcome", "refused"]).len(), 2);
    // A flood of them writes no more than its rate.
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(host.call("absent"), 500);
    }
    phone.hang_up(&mut up);
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let flood = host.records(&["--outcome", "refused"]).len();
    assert!(
        (5..=2 + 5 * (seconds + 2)).contains(&flood),
        "{flood} in {seconds} s"
    );

    // Nobody has asked for them.
    let host = Host::start(&setup(), "");
    assert_eq!(host.call("absent"), 500);
    assert_eq!(host.call("answer"), 200);
    assert_eq!(host.wait_for(1).len(), 1);
}

#[test]
fn a_store_that_does_not_work_stops_no_call() {
    // A disk that is full, a folder that cannot be made, and a file that is none of ours.
    let junk = tempfile::NamedTempFile::new().unwrap();
    fs::write(junk.path(), "not a database, whoever looks at it ".repeat(100)).unwrap();
    let junk = format!("store = \"sqlite\"\npath = {:?}", junk.path());
    for records in [
        "store = \"jsonl\"\npath = \"/dev/full\"",
        "path = \"/proc/nowhere/records.sqlite\"",
        &junk,
    ] {
        let setup = Setup::new().flow("answer", "hello");
        let mut host = Host::start(&setup, &format!("[records]\n{records}"));
        let mut phone = host.phone();
        for _ in 0..10 {
            let mut call = phone.connect("answer");
            phone.hang_up(&mut call);
        }
        let until = Instant::now() + SOON;
        while !host.log().contains("call records wait, calls go on") {
            assert!(Instant::now() < until, "{records}:\n{}", host.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let began = Instant::now();
        host.signal("TERM");
        assert!(began.elapsed() < Duration::from_secs(20), "{records}");
        assert!(
            host.log().contains("call records are lost"),
            "{records}:\n{}",
            host.log()
        );
    }
}

#[test]
fn who_must_bill_has_calls_refused_until_the_store_works_again() {
    let setup = Setup::new()
        .limit("limits.record", "queue", 16)
        .flow("answer", "hello");
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    // A file where the folder should be: it can be put right while the host runs.
    fs::write(&place, "").unwrap();
    let path = place.join("records.sqlite");
    let host = Host::start(
        &setup,
        &format!("[records]\nwhen_full = \"refuse-calls\"\npath = {path:?}"),
    );
    let mut phone = host.phone();
    let mut taken = 0;
    loop {
        let mut call = phone.invite("answer");
        let response = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &response);
        if response.status() == Some(503) {
            assert!(!response.header("Retry-After").is_empty());
            break;
        }
        phone.hang_up(&mut call);
        taken += 1;
        assert!(taken < 200, "nobody is refused");
    }
    assert!(taken >= 16, "{taken}");
    fs::remove_file(&place).unwrap();
    let records = host.wait_for(taken);
    assert_eq!(records.len(), taken);
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    host.wait_for(taken + 1);
}

#[test]
fn lines_of_json_are_a_store_too_and_none_is_none() {
    let setup = Setup::new().flow("answer", "hello");
    let host = Host::start(&setup, "[records]\nstore = \"jsonl\"");
    let mut phone = host.phone();
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    let file = host.folder.path().join(".callbox/records.jsonl");
    let until = Instant::now() + SOON;
    while fs::read_to_string(&file).unwrap_or_default().is_empty() {
        assert!(Instant::now() < until, "{}", host.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let record: Value = serde_json::from_str(fs::read_to_string(&file).unwrap().trim_end()).unwrap();
    assert_eq!(record["legs"][0]["call_id"], call.id.as_str());
    assert_eq!(host.cdr(&[]).code, Some(2), "cdr reads SQLite");

    let host = Host::start(
        &Setup::new().flow("answer", "hello"),
        "[records]\nstore = \"none\"",
    );
    let mut phone = host.phone();
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    std::thread::sleep(Duration::from_millis(300));
    let kept = fs::read_dir(host.folder.path().join(".callbox")).unwrap();
    let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !kept.iter().any(|name| name.to_string_lossy().contains("records")),
        "{kept:?}"
    );
}
