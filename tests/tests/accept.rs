//! Calls that a session takes because it accepts them: of a service that a route names, and of a registration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::Setup;
use callbox_tests::sipp::Sipp;

/// The example `desk` as a job that starts with the server, with these arguments.
fn desk(setup: Setup, args: &str) -> Setup {
    let more = format!("[tenant.flow.desk.job]\nstart = \"boot\"\n[tenant.flow.desk.job.args]\n{args}");
    setup.job("house", "desk", &flows::example("desk"), &more)
}

#[test]
fn the_pages_example_takes_exactly_one_call_of_its_service() {
    let more = "[tenant.flow.script.job]\nstart = \"boot\"";
    let server = Setup::new()
        .job("house", "script", &flows::example("accept"), more)
        .service("house", "1000", "sip,resip")
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("1000");
    let answer = phone.final_response(&call, "INVITE");
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    assert!(
        answer.body().contains("m=audio 6000 RTP/AVP 0 8 101"),
        "{answer:?}"
    );
    phone.ack(&mut call, &answer);
    let line = server.wait_for_log(&["2001 is talking to 1000"], SOON);
    assert!(line.contains("job") && line.contains("house"), "{line}");

    // Nobody accepts the second one; it waits and is refused.
    let (began, second) = (Instant::now(), phone.invite("1000"));
    let refused = phone.final_response(&second, "INVITE");
    assert_eq!(refused.status(), Some(480), "{refused:?}");
    assert!(began.elapsed() > Duration::from_millis(1_500), "it has waited");
    phone.hang_up(&mut call);
}

#[test]
fn a_session_takes_calls_of_every_shard_one_after_the_other() {
    const CALLS: usize = 12;
    let args = format!("service = \"desk\"\ncalls = {CALLS}");
    let server = desk(Setup::new(), &args)
        .limit("limits.wire", "shards", 4)
        .service("house", "7", "desk")
        .start();
    let mut phone = server.phone();
    for pair in 0..CALLS / 2 {
        let mut call = phone.connect("7");
        server.wait_for_log(&[&format!("call {} on leg", 2 * pair + 1)], SOON);
        // The next one waits until the desk is free.
        let mut next = phone.invite("7");
        phone.wait_for(&next, "100", |message| message.status() == Some(100));
        phone.hang_up(&mut call);
        let answer = phone.final_response(&next, "INVITE");
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        phone.ack(&mut next, &answer);
        phone.hang_up(&mut next);
    }
    server.wait_for_log(&["calls 7"], SOON);
}

#[test]
fn a_caller_may_give_up_while_the_call_waits_and_a_host_that_stops_tells_him() {
    let mut server = Setup::new()
        .limit("limits.call", "service_wait_ms", 60_000)
        .job("house", "desk", &flows::example("desk"), "")
        .service("house", "7", "desk")
        .start();
    let mut phone = server.phone();
    let call = phone.invite("7");
    phone.wait_for(&call, "100", |message| message.status() == Some(100));
    phone.cancel(&call);
    assert_eq!(phone.final_response(&call, "INVITE").status(), Some(487));
    let waiting = phone.invite("7");
    phone.wait_for(&waiting, "100", |message| message.status() == Some(100));
    server.terminate();
    let refused = phone.final_response(&waiting, "INVITE");
    assert_eq!(refused.status(), Some(503), "{refused:?}");
    assert!(!refused.header("Retry-After").is_empty());
}

fn register(registrar: &mut Phone) -> Message {
    let deadline = Instant::now() + SOON;
    while let Some(message) = registrar.receive(deadline.saturating_duration_since(Instant::now())) {
        if message.method() == Some("REGISTER") {
            let contact = message.header("Contact").to_owned();
            let expires = match message.header("Expires") {
                "0" => String::new(),
                _ => format!("Contact: {contact};expires=300\r\n"),
            };
            let mut text = "SIP/2.0 200 OK\r\n".to_owned();
            for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                for value in message.headers(name) {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
            }
            registrar.send(format!("{text}{expires}Content-Length: 0\r\n\r\n"));
            return message;
        }
    }
    panic!("no REGISTER came");
}

#[test]
fn calls_to_a_registration_reach_the_session_that_holds_it() {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let mut registrar = Phone::udp(setup.address());
    let own = registrar.address();
    let args = format!(
        "registrar = \"sip:alice@{own}\"\nusername = \"alice\"\npassword = \"1234\"\ncalls = 2\nwait = 20"
    );
    let server = desk(setup, &args).start();
    let registered = register(&mut registrar);
    assert!(
        registered.contact_uri().starts_with("sip:alice@"),
        "{registered:?}"
    );

    // Nobody accepts calls to bob, and no route knows him.
    let mut phone = server.phone();
    let stranger = phone.invite("bob");
    assert_eq!(phone.final_response(&stranger, "INVITE").status(), Some(404));
    // The registration stands before its session gets to accept calls to it, and until then it takes none.
    let deadline = Instant::now() + SOON;
    let mut first = loop {
        let mut call = phone.invite("alice");
        let answer = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &answer);
        match answer.status() {
            Some(404) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Some(200) => break call,
            _ => panic!("{answer:?}"),
        }
    };
    server.wait_for_log(&["call 1 on leg 2: 2001 calls alice"], SOON);
    // While the session is busy a second caller waits for it.
    let mut second = phone.invite("alice");
    phone.wait_for(&second, "100", |message| message.status() == Some(100));
    phone.hang_up(&mut first);
    let answer = phone.final_response(&second, "INVITE");
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    phone.ack(&mut second, &answer);
    phone.hang_up(&mut second);

    // The job is over: the binding is taken away, and with it the service.
    let removal = register(&mut registrar);
    assert_eq!(removal.header("Expires"), "0", "{removal:?}");
    let late = phone.invite("alice");
    assert_eq!(phone.final_response(&late, "INVITE").status(), Some(404));
}

#[test]
fn a_route_to_a_job_and_a_job_that_takes_calls_are_not_loaded_and_say_why() {
    let server = Setup::new()
        .tenant_flow("house", "routed", &flows::example("desk"), "")
        .job(
            "house",
            "scheduled",
            &flows::example("busy"),
            "[tenant.flow.scheduled.job]\nstart = \"boot\"",
        )
        .flow("busy", "busy")
        .start();
    let line = server.wait_for_log(&["flow house/routed: NOT LOADED"], SOON);
    assert!(
        line.contains("job-flow") && line.contains("take the route to it away"),
        "{line}"
    );
    let line = server.wait_for_log(&["flow house/scheduled: NOT LOADED"], SOON);
    assert!(
        line.contains("call-flow") && line.contains("[tenant.flow.scheduled.job]"),
        "{line}"
    );
    let mut phone = server.phone();
    let call = phone.invite("busy");
    assert_eq!(
        phone.final_response(&call, "INVITE").status(),
        Some(486),
        "the others go on"
    );
}

#[test]
fn sessions_share_the_calls_of_a_service_under_load_and_none_is_lost() {
    const DESKS: usize = 4;
    const CALLS: u32 = 60;
    let mut setup =
        Setup::new()
            .limit("limits.wire", "shards", 3)
            .limit("limits.call", "service_wait_ms", 20_000);
    for number in 0..DESKS {
        let more = format!(
            "job = {{ start = \"boot\", args = {{ service = \"desk\", calls = {CALLS}, wait = 5 }} }}"
        );
        setup = setup.job("house", &format!("desk{number}"), &flows::example("desk"), &more);
    }
    let server = setup.service("house", "7", "desk").start();
    Sipp::scenario("answer", server.address(), "7")
        .fill("HOLD_MS", 50)
        .load(CALLS, 30)
        .run()
        .assert_all(CALLS);
    let taken = server.wait_for_count(" on leg ", CALLS as usize, SOON);
    assert_eq!(taken, CALLS as usize, "each is taken once");
    let idle = (0..DESKS).find(|number| !server.log().contains(&format!("\"desk{number}\"")));
    assert_eq!(idle, None, "the sessions take turns");
}
