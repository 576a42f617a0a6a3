//! What the host says of persons: its log at the level `trace`, its admin API and its records, after real calls with digits,
//! a transfer, a registration, messages, a refusal and a redirection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::time::{Duration, Instant};

use callbox_tests::callee::{self, PASSWORD, REALM};
use callbox_tests::cli;
use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

/// Called by SIPp, which presses a key.
const MENU: &str = "+442071838701";
/// Called by a flow.
const CALLED: &str = "+442071838702";
/// Nobody has it.
const NOBODY: &str = "+442071838703";
/// Where a caller is sent to.
const REFERRED: &str = "+442071838704";
/// Where a call is redirected to, which the tenant may not call.
const REDIRECTED: &str = "+442071838705";
/// What all of these have in them.
const NUMBERS: &str = "2071838";

/// Makes all of the calls, and returns the host after them.
fn calls(setup: Setup, while_up: impl FnOnce(&Callbox)) -> Callbox {
    let example = flows::example;
    let mut peer = Phone::udp(setup.address());
    let (ip, port) = (peer.address().ip(), peer.address().port());
    let called = Sipp::scenario("called", setup.address(), CALLED);
    let out = format!("config = {{ dest = \"sip:{CALLED}@{}\" }}", called.address());
    let called = called.start();
    let redirected = format!("config = {{ dest = \"sip:first@{ip}:{port}\", redirects = \"follow\" }}");
    let transfer = format!("config = {{ to = \"sip:{REFERRED}@127.0.0.9\" }}");
    let register = format!(
        "auto_ring = false\n[tenant.flow.reg.config]\nregistrar = \"sip:alice@{ip}:{port}\"\nusername = \"alice\"\n\
         password = {PASSWORD:?}\nrealm = {REALM:?}\ndest = \"sip:bob@{ip}:{port}\"\n"
    );
    let server = setup
        .dial("house", &["127.0.0.0/8"])
        .tenant_flow("house", "ivr", &example("ivr-menu"), "")
        .job("house", "keys", &example("info"), "")
        .lines(&format!(
            "[[route]]\nnumber = \"{MENU}\"\ntenant = \"house\"\nflow = \"keys\""
        ))
        .tenant_flow("house", "out", &example("callout"), &out)
        .tenant_flow("house", "red", &example("callout"), &redirected)
        .tenant_flow("house", "desk", &example("transfer"), &transfer)
        .tenant_flow("house", "reg", &example("register"), &register)
        .start();
    while peer.receive(Duration::from_millis(1)).is_some() {}

    // Digits, from a program and from a phone; and a message, which nobody takes.
    let menu = Sipp::scenario("info", server.address(), MENU).fill("DIGIT", "7");
    menu.run().assert_all(1);
    let mut phone = server.phone();
    let mut call = phone.connect("ivr");
    phone.send_in_dialog(&mut call, "MESSAGE", "text/plain", "the secret words");
    phone.final_response(&call, "MESSAGE");
    phone.press(&mut call, '2');
    for key in ['4', '7', '1', '1', '#'] {
        phone.press(&mut call, key);
    }
    phone.expect_bye(&call);

    // A call out, with digits in it.
    phone.invite("out");
    called.finish().assert_all(1);

    // A redirection to where the tenant may not call.
    let mut phone = server.phone();
    phone.invite("red");
    let invite = peer.next_request("INVITE", |_| true);
    let contact = format!("Contact: \"Carol\" <sip:{REDIRECTED}@192.0.2.1>\r\n");
    peer.respond_with(&invite, "302 Moved Temporarily", &contact);
    peer.next_request("ACK", |_| true);
    server.wait_for_log(&["redirection not followed"], SOON);

    // A registration, and the call in its name, which is refused.
    let mut phone = server.phone();
    phone.invite("reg");
    callee::registered(&mut peer, 300);
    let invite = peer.next_request("INVITE", |_| true);
    peer.respond(&invite, "486 Busy Here");

    // A transfer, with a look at the call while it is up.
    let mut phone = server.phone();
    let call = phone.connect("desk");
    let refer = phone.request(&call, "REFER");
    while_up(&server);
    phone.respond(&refer, "202 Accepted");
    phone.expect_bye(&call);

    // A number that nobody has.
    let mut phone = server.phone();
    let call = phone.invite(NOBODY);
    assert_eq!(phone.final_response(&call, "INVITE").status(), Some(404));
    server.wait_for_log(&["404: no route"], SOON);
    server.wait_for_log(&["ivr", "the flow", "account="], SOON);
    server
}

/// Everything is logged but what flows say, whose words are their tenants'.
fn logging(redact: bool, digits: bool) -> Setup {
    Setup::new()
        .setting("log", "level", "\"trace,flow=off\"")
        .setting("log", "redact", &redact.to_string())
        .setting("log", "digits", &digits.to_string())
}

/// The lines that hold this.
fn lines<'a>(log: &'a str, part: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(part)).collect()
}

fn callbox(server: &Callbox, arguments: &[&str]) -> String {
    let config = server.config();
    let mut all = arguments.to_vec();
    all.extend(["--config", config.to_str().unwrap()]);
    let said = cli::run(&all);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

#[test]
fn under_redaction_nothing_names_anybody() {
    let setup = logging(true, false)
        .setting("admin", "redact", "true")
        .setting("records", "redact", "true");
    let server = calls(setup, |server| {
        let sessions = callbox(server, &["ps", "--json"]);
        assert!(
            !sessions.contains("\"2001\"") && sessions.contains("\"~"),
            "{sessions}"
        );
        assert!(
            !sessions.contains("\"dnis\": \"desk\"") && !sessions.contains("sip:desk@"),
            "{sessions}"
        );
        let id = sessions.split("\"call_id\": \"").nth(1).unwrap();
        let ladder = callbox(server, &["ladder", id.split('"').next().unwrap(), "--json"]);
        assert!(
            ladder.contains("INVITE sip:~") && !ladder.contains("sip:desk@"),
            "{ladder}"
        );
    });
    let log = server.log();
    for secret in [
        NUMBERS,
        "2001@",
        "sipp@",
        "alice",
        "bob@",
        "Carol",
        "Phone",
        "first@",
        "Signal=",
        "secret words",
        "m=audio",
        "v=0",
        PASSWORD,
        "sip:desk@",
        "sip:ivr@",
    ] {
        // Addresses of this machine and ports have digits, too.
        let found = lines(&log, secret);
        let found: Vec<_> = found
            .iter()
            .filter(|line| secret != PASSWORD || line.contains("password"))
            .collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
    for part in [
        "sip: came from UDP",
        "sip: sent to UDP",
        "INVITE sip:~",
        "REGISTER sip:",
        "REFER sip:",
        "INFO sip:",
        "MESSAGE sip:",
    ] {
        assert!(log.contains(part), "{part}");
    }
    assert!(lines(&log, "404: no route")[0].contains("user=\"~"), "{log}");
    assert!(lines(&log, "redirection not followed")[0].contains("contact=\"sip:~"));
    assert!(
        lines(&log, "the flow")
            .iter()
            .any(|line| line.contains("[digits]")),
        "the record's field"
    );

    // Records are found by the number, and hold none.
    let deadline = Instant::now() + SOON;
    let found = loop {
        let found = callbox(&server, &["cdr", "--number", MENU, "--json"]);
        if !found.is_empty() || Instant::now() > deadline {
            break found;
        }
    };
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(!found.contains(NUMBERS) && found.contains("-01\""), "{found}");
    assert_eq!(callbox(&server, &["cdr", "--number", NOBODY, "--json"]), "");
    let state = server.folder().join(".callbox");
    for file in ["records.sqlite", "records.sqlite-wal"] {
        let bytes = fs::read(state.join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for name in [NUMBERS, "alice", "sip:bob", "sip:first"] {
            assert!(!text.contains(name), "{file}: {name}");
        }
    }
    let config = server.config();
    let prefix = cli::run(["cdr", "--number", "44207*", "--config", config.to_str().unwrap()]);
    assert!(
        prefix.code == Some(2) && prefix.err.contains("the whole number"),
        "{prefix:?}"
    );
}

#[test]
fn without_redaction_what_callers_type_is_not_logged_either() {
    let server = calls(logging(false, false), |_| {});
    let log = server.log();
    for shown in [
        NOBODY,
        CALLED,
        REDIRECTED,
        "m=audio",
        "secret words",
        "sip:alice@",
    ] {
        assert!(log.contains(shown), "{shown}");
    }
    assert!(!log.contains("Signal="), "{:#?}", lines(&log, "Signal="));
    assert!(log.contains("[body, "));
    assert!(lines(&log, "the flow").iter().all(|line| !line.contains("4711")));
    // The answer to a challenge is no word for a log, whatever is shown.
    assert!(
        log.contains("Authorization: [text]") && !log.contains("response=\""),
        "{log}"
    );
}

#[test]
fn digits_are_logged_where_the_operator_says_so() {
    let server = calls(logging(false, true), |_| {});
    assert!(server.log().contains("Signal=7"));
    assert!(
        lines(&server.log(), "the flow")
            .iter()
            .any(|line| line.contains("4711"))
    );
}
