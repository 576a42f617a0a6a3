//! A host that runs empty because an operator wants it so, and takes calls again; and one leg hung up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::cli;
use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::process::Running;
use callbox_tests::server::{Callbox, Setup};

use super::callbox;

/// The answer to a call that is not taken.
fn refused(phone: &mut Phone, user: &str) -> callbox_tests::message::Message {
    let mut call = phone.invite(user);
    let response = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &response);
    response
}

/// The id of the one session that runs this flow.
fn session(server: &Callbox, flow: &str) -> String {
    let ps = callbox(server, &["ps", "--flow", flow]);
    let line = ps.out.lines().nth(1).unwrap_or_default();
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn an_operator_drains_a_host_and_has_it_take_calls_again() {
    let server = Setup::new()
        .flow("hello", "hello")
        .service("house", "7", "desk")
        .job("house", "desk", &flows::example("desk"), "")
        .start();
    let mut phone = server.phone();
    let mut stays = phone.connect("hello");

    let said = callbox(&server, &["drain"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.out.contains("no new calls; 1 are up"), "{said:#?}");
    for user in ["hello", "7"] {
        let response = refused(&mut phone, user);
        assert_eq!(response.status(), Some(503));
        assert!(!response.header("Retry-After").is_empty(), "{response:?}");
        assert_eq!(
            response.header("Reason"),
            "SIP;cause=503;text=\"the host takes no calls\""
        );
    }
    let job = callbox(&server, &["job", "house/desk"]);
    assert_eq!(job.code, Some(1), "{job:#?}");
    let status = callbox(&server, &["status"]);
    assert_eq!(status.code, Some(1), "{status:#?}");
    assert!(
        status.out.contains("draining") && status.out.contains("by an operator"),
        "{status:#?}"
    );

    // Another word takes the place of the first; the call that is up knows nothing of it.
    let wrong = callbox(&server, &["drain", "--redirect", "two.example"]);
    assert_eq!(wrong.code, Some(1), "{wrong:#?}");
    let said = callbox(&server, &["drain", "--redirect", "sip:two.example:5070"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let response = refused(&mut phone, "hello");
    assert_eq!(response.status(), Some(302));
    assert_eq!(response.header("Contact"), "<sip:hello@two.example:5070>");
    let status = Admin::of(server.folder()).get("/v1/status").body;
    assert!(
        status.contains("\"redirect\":\"sip:two.example:5070\""),
        "{status}"
    );

    let said = callbox(&server, &["drain", "--undo"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let mut again = phone.connect("hello");
    phone.hang_up(&mut again);
    phone.hang_up(&mut stays);
    let said = callbox(&server, &["drain", "--undo"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("takes calls already"), "{said:#?}");
    assert_eq!(callbox(&server, &["status"]).code, Some(0));
}

#[test]
fn what_is_up_has_a_time_of_grace_which_an_undo_takes_back() {
    let server = Setup::new()
        .flow("hello", "hello")
        .flow("apology", "apology")
        .start();
    let mut phone = server.phone();
    let listens = phone.connect("apology");
    let mut stays = phone.connect("hello");
    let said = callbox(&server, &["drain", "--grace", "2"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let bye = phone.expect_bye(&listens);
    assert_eq!(bye.header("Reason"), "SIP;text=\"closing time\"");
    assert_eq!(callbox(&server, &["drain", "--undo"]).code, Some(0));
    assert!(phone.receive_of(&stays, Duration::from_secs(4)).is_none());
    phone.hang_up(&mut stays);

    let stays = phone.connect("hello");
    let config = server.config();
    let mut waits = cli::command();
    waits
        .args(["drain", "--grace", "1", "--wait", "--config"])
        .arg(&config)
        .stdout(Stdio::null());
    let mut waits = Running::start(&mut waits).unwrap();
    let bye = phone.expect_bye(&stays);
    assert_eq!(
        bye.header("Reason"),
        "SIP;cause=503;text=\"the host takes no calls\""
    );
    let status = waits.wait(SOON).expect("the last call is over");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_host_that_ends_does_not_take_calls_again() {
    let mut server = Setup::new()
        .limit("limits", "drain_grace_ms", 60_000)
        .flow("hello", "hello")
        .start();
    let mut phone = server.phone();
    let mut stays = phone.connect("hello");
    server.terminate();
    server.wait_for_log(&["stopping"], SOON);
    // The log says so just before the last new call.
    let deadline = Instant::now() + SOON;
    while refused(&mut phone, "nobody").status() != Some(503) {
        assert!(Instant::now() < deadline, "{}", server.log());
    }
    for arguments in [&["drain"][..], &["drain", "--undo"]] {
        let said = callbox(&server, arguments);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains("shutting down"), "{said:#?}");
    }
    phone.hang_up(&mut stays);
    assert_eq!(server.wait(SOON), Some(0), "{}", server.log());
}

#[test]
fn a_job_that_is_kept_running_begins_again_after_a_drain() {
    let more =
        "config = { service = \"desk\", wait = \"600\" }\njob = { start = \"boot\", restart = true }\n";
    let server = Setup::new()
        .job("house", "desk", &flows::example("desk"), more)
        .service("house", "7", "desk")
        .start();
    let mut phone = server.phone();
    let mut call = phone.connect("7");
    phone.hang_up(&mut call);
    // Its next run waits for calls when the drain ends it.
    assert_eq!(callbox(&server, &["drain", "--grace", "0"]).code, Some(0));
    let deadline = Instant::now() + SOON;
    while !callbox(&server, &["ps"]).out.contains("0 sessions") {
        assert!(Instant::now() < deadline, "{}", callbox(&server, &["ps"]).out);
    }
    assert_eq!(callbox(&server, &["drain", "--undo"]).code, Some(0));
    let mut call = phone.connect("7");
    phone.hang_up(&mut call);
}

#[test]
fn an_operator_hangs_up_one_leg_and_its_flow_hears_of_it() {
    let server = Setup::new()
        .flow("logbook", "logbook")
        .flow("ring", "ring")
        .start();
    let mut phone = server.phone();
    let talks = phone.connect("logbook");
    let leg = format!("{}/1", session(&server, "logbook"));
    for wrong in ["ends\\", "a \"word\"", "two\r\nlines: x"] {
        let said = callbox(&server, &["hangup", &leg, "--reason", wrong]);
        assert_eq!(said.code, Some(1), "{said:#?}");
    }
    let said = callbox(
        &server,
        &["hangup", &leg, "--reason", "fraud desk", "--code", "603"],
    );
    assert_eq!(said.code, Some(0), "{said:#?}");
    let bye = phone.expect_bye(&talks);
    assert_eq!(bye.header("Reason"), "SIP;cause=603;text=\"fraud desk\"");
    server.wait_for_log(&["event: hung up: ", "fraud desk"], SOON);

    let mut rings = phone.invite("ring");
    phone.wait_for(&rings, "180", |message| message.status() == Some(180));
    let leg = format!("{}/1", session(&server, "ring"));
    let said = callbox(&server, &["hangup", &leg]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let response = phone.final_response(&rings, "INVITE");
    assert_eq!(
        (response.status(), response.header("Reason")),
        (Some(480), "SIP;cause=480;text=\"ended by the operator\"")
    );
    phone.ack(&mut rings, &response);

    for (wrong, code) in [("none/1", 1), ("none", 2), (&leg.replace("/1", "/7"), 1)] {
        let said = callbox(&server, &["hangup", wrong]);
        assert_eq!(said.code, Some(code), "{said:#?}");
    }
}

#[test]
fn the_table_of_sessions_is_shown_anew_as_calls_come_and_go() {
    let server = Setup::new().flow("hello", "hello").start();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page");
    let mut watch = cli::command();
    watch
        .args(["ps", "--watch", "--config"])
        .arg(server.config())
        .stdout(std::fs::File::create(&page).unwrap());
    let mut watch = Running::start(&mut watch).unwrap();
    let until = |what: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + SOON;
        loop {
            let text = std::fs::read_to_string(&page).unwrap();
            if what(&text) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&|text| text.contains("0 sessions"));
    let mut phone = server.phone();
    let mut call = phone.connect("hello");
    until(&|text| text.contains("house/hello") && text.contains("1 sessions"));
    phone.hang_up(&mut call);
    until(&|text| text.rfind("0 sessions") > text.rfind("1 sessions"));
    assert!(watch.ended().is_none(), "it goes on");
    watch.terminate();
    assert!(watch.wait(SOON).is_some());
}
