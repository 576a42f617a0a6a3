//! How calls end that nobody hung up: fallback flows, the host's own end, and the Reason that peers read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

/// A host that ends within this time does not wait for anything.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A flow that falls over by this trick, with these lines in its table `on_trap`; `apology` and one that falls as well
/// stand by.
fn falls(trick: &str, on_trap: &str) -> Setup {
    let more = format!(
        "auto_ring = false\nconfig = {{ trick = {trick:?} }}\n[tenant.flow.falls.on_trap]\n{on_trap}\n"
    );
    Setup::new()
        .tenant_flow("shop", "falls", &flows::example("fall"), &more)
        .job("shop", "apology", &flows::example("apology"), "")
        .job(
            "shop",
            "worse",
            &flows::example("apology"),
            "config = { trick = \"fall\" }",
        )
}

fn hangs_up_and_is_idle(server: &Callbox, phone: &mut Phone, call: &mut callbox_tests::phone::Call) {
    phone.hang_up(call);
    nothing_is_left(server);
}

/// No session and no leg; what has trapped is counted still.
fn nothing_is_left(server: &Callbox) {
    let deadline = Instant::now() + SOON;
    loop {
        let alive = server.alive();
        let left = |name: &str| alive.iter().any(|(of, number)| of == name && *number > 0);
        if !left("sessions") && !left("legs") {
            return;
        }
        assert!(Instant::now() < deadline, "still alive: {alive:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_unanswered_call_goes_to_the_fallback_flow_as_it_stands() {
    for trick in ["at-once", "ringing", "early-media"] {
        let server = falls(trick, "fallback = \"apology\"").start();
        let mut phone = server.phone();
        let mut call = phone.connect("falls");
        server.wait_for_log(&["panicked", &format!("fell over: {trick}"), "heir="], SOON);
        let state = if trick == "early-media" {
            "Early"
        } else {
            "RingingIn"
        };
        server.wait_for_log(&["flow=\"apology\"", "sorry, ", state], SOON);
        // The call is the fallback's whole: what the peer does in it is heard.
        phone.press(&mut call, '5');
        server.wait_for_log(&["flow=\"apology\"", "digit: '5'"], SOON);
        hangs_up_and_is_idle(&server, &mut phone, &mut call);
    }
}

#[test]
fn a_caller_who_gives_up_while_the_fallback_rings_is_heard() {
    let more = "auto_ring = false\nconfig = { trick = \"ringing\" }\n\
                [tenant.flow.falls.on_trap]\nfallback = \"ring\"\n";
    let server = Setup::new()
        .tenant_flow("shop", "falls", &flows::example("fall"), more)
        .job("shop", "ring", &flows::example("ring"), "")
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("falls");
    server.wait_for_log(&["panicked", "heir="], SOON);
    phone.cancel(&call);
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(487), "{response:?}");
    phone.ack(&mut call, &response);
    nothing_is_left(&server);
}

#[test]
fn an_answered_call_gets_a_bye_unless_a_fallback_takes_it_over() {
    // A fallback for unanswered calls is none for answered ones.
    let server = falls("timer", "fallback = \"apology\"").start();
    let mut phone = server.phone();
    let call = phone.connect("falls");
    let bye = phone.expect_bye(&call);
    assert_eq!(bye.header("Reason"), "SIP;cause=500;text=\"the flow failed\"");

    let server = falls("timer", "answered_fallback = \"apology\"").start();
    let mut phone = server.phone();
    let mut call = phone.connect("falls");
    server.wait_for_log(&["flow=\"apology\"", "sorry, ", "Connected"], SOON);
    phone.press(&mut call, '7');
    server.wait_for_log(&["flow=\"apology\"", "digit: '7'"], SOON);
    hangs_up_and_is_idle(&server, &mut phone, &mut call);
}

#[test]
fn only_the_caller_s_leg_is_taken_over() {
    let setup = falls("two-legs", "answered_fallback = \"apology\"");
    let mut peer = Phone::udp(setup.address());
    let to = format!("sip:peer@{}", peer.address());
    let host = peer.address().ip().to_string();
    let more = format!(
        "config = {{ trick = \"two-legs\", to = {to:?} }}\n\
         [tenant.flow.both.on_trap]\nanswered_fallback = \"apology\"\n"
    );
    let server = setup
        .dial("shop", &[&host])
        .tenant_flow("shop", "both", &flows::example("fall"), &more)
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("both");
    let answer = phone.final_response(&call, "INVITE");
    phone.ack(&mut call, &answer);
    let (_, invite) = peer.called();
    peer.answer_call(&invite, "200 OK");
    let bye = peer.next_request("BYE", |_| true);
    peer.respond(&bye, "200 OK");
    assert_eq!(bye.header("Reason"), "SIP;cause=500;text=\"the flow failed\"");
    server.wait_for_log(&["flow=\"apology\"", "Connected"], SOON);
    hangs_up_and_is_idle(&server, &mut phone, &mut call);
}

#[test]
fn a_fallback_that_falls_as_well_is_the_end() {
    let server = falls("ringing", "fallback = \"worse\"\ncode = 486").start();
    let mut phone = server.phone();
    let mut call = phone.invite("falls");
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(
        response.status(),
        Some(486),
        "the code of the first: {response:?}"
    );
    assert_eq!(
        response.header("Reason"),
        "SIP;cause=486;text=\"the flow failed\""
    );
    phone.ack(&mut call, &response);
    nothing_is_left(&server);
}

#[test]
fn a_flow_that_is_not_loaded_has_its_calls_taken() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.wasm");
    std::fs::write(&broken, b"no wasm").unwrap();
    let more = "[tenant.flow.broken.on_trap]\nfallback = \"apology\"\n";
    let server = Setup::new()
        .tenant_flow("shop", "broken", &broken, more)
        .job("shop", "apology", &flows::example("apology"), "")
        .start();
    let mut phone = server.phone();
    let mut call = phone.connect("broken");
    server.wait_for_log(&["flow=\"apology\"", "RingingIn"], SOON);
    hangs_up_and_is_idle(&server, &mut phone, &mut call);
}

#[test]
fn a_limit_stands_in_the_reason_and_in_the_line_of_the_log() {
    let server = Setup::new().flow("loop", "loop").start();
    let mut phone = server.phone();
    let call = phone.invite("loop");
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(response.status(), Some(500));
    let reason = "SIP;cause=500;text=\"limits.plugin.fuel_burst\"";
    assert_eq!(response.header("Reason"), reason);
    server.wait_for_log(
        &[
            "outcome=\"out-of-fuel-burst\"",
            "limit=\"limits.plugin.fuel_burst\"",
        ],
        SOON,
    );
}

#[test]
fn the_list_of_traps_names_the_limit_and_what_was_said_last() {
    let server = falls("at-once", "code = 486").flow("loop", "loop").start();
    let mut phone = server.phone();
    for (user, status) in [("falls", 486), ("loop", 500)] {
        let mut call = phone.invite(user);
        let response = phone.final_response(&call, "INVITE");
        assert_eq!(response.status(), Some(status));
        phone.ack(&mut call, &response);
    }
    nothing_is_left(&server);
    let traps = |more: &[&str]| {
        let output = callbox_tests::cli::command()
            .arg("traps")
            .arg("--config")
            .arg(server.folder().join("callbox.toml"))
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, all, _) = traps(&[]);
    assert_eq!(code, Some(0));
    assert!(
        all.contains("house/loop") && all.contains("limit: limits.plugin.fuel_burst"),
        "{all}"
    );
    assert!(
        all.contains("shop/falls") && all.contains("fell over: at-once"),
        "{all}"
    );
    assert!(
        all.find("house/loop") < all.find("shop/falls"),
        "the newest first: {all}"
    );
    let (_, shop, _) = traps(&["--tenant", "shop"]);
    assert!(
        shop.contains("shop/falls") && !shop.contains("house/loop"),
        "{shop}"
    );
    let (code, _, error) = traps(&["--tenant", "nobody"]);
    assert!(code != Some(0) && error.contains("nobody"), "{error}");
}

#[test]
fn the_longest_call_ends_with_its_limit_as_the_reason() {
    let server = Setup::new()
        .limit("limits.plugin", "call_max_s", 1)
        .flow("hello", "hello")
        .start();
    let mut phone = server.phone();
    let call = phone.connect("hello");
    let bye = phone.expect_bye(&call);
    assert_eq!(
        bye.header("Reason"),
        "SIP;cause=500;text=\"limits.plugin.call_max_s\""
    );
}

#[test]
fn a_host_without_grace_ends_its_calls_at_once_and_says_why() {
    let mut server = Setup::new().flow("hello", "hello").flow("ring", "ring").start();
    let mut phone = server.phone();
    let up = phone.connect("hello");
    let mut rings = phone.invite("ring");
    phone.wait_for(&rings, "180", |message| message.status() == Some(180));
    server.terminate();
    let reason = "SIP;cause=503;text=\"the host is shutting down\"";
    let bye = phone.expect_bye(&up);
    assert_eq!(bye.header("Reason"), reason);
    let response = phone.final_response(&rings, "INVITE");
    assert_eq!(
        (response.status(), response.header("Reason")),
        (Some(503), reason)
    );
    phone.ack(&mut rings, &response);
    assert_eq!(server.wait(AT_ONCE), Some(0), "{}", server.log());
}

#[test]
fn in_the_time_of_grace_flows_finish_and_new_calls_are_turned_away() {
    let mut server = Setup::new()
        .limit("limits", "drain_grace_ms", 60_000)
        .flow("apology", "apology")
        .flow("hello", "hello")
        .start();
    let mut phone = server.phone();
    let (listens, mut stays) = (phone.connect("apology"), phone.connect("hello"));
    server.terminate();
    let bye = phone.expect_bye(&listens);
    assert_eq!(
        bye.header("Reason"),
        "SIP;text=\"closing time\"",
        "the flow's own end"
    );
    server.wait_for_log(&["flow=\"apology\"", "the host stops within 60s"], SOON);

    let mut late = phone.invite("hello");
    let response = phone.final_response(&late, "INVITE");
    assert_eq!(response.status(), Some(503));
    assert!(!response.header("Retry-After").is_empty(), "{response:?}");
    assert_eq!(
        response.header("Reason"),
        "SIP;cause=503;text=\"the host is shutting down\""
    );
    phone.ack(&mut late, &response);

    // The other goes on until it ends by itself, and so does the host.
    phone.press(&mut stays, '1');
    phone.hang_up(&mut stays);
    assert_eq!(server.wait(AT_ONCE), Some(0), "{}", server.log());
}

#[test]
fn a_second_signal_cuts_the_grace_short() {
    let mut server = Setup::new()
        .limit("limits", "drain_grace_ms", 600_000)
        .flow("hello", "hello")
        .start();
    let mut phone = server.phone();
    let call = phone.connect("hello");
    let began = Instant::now();
    server.terminate();
    server.wait_for_log(&["stopping"], SOON);
    std::thread::sleep(Duration::from_millis(200));
    server.terminate();
    let bye = phone.expect_bye(&call);
    assert_eq!(
        bye.header("Reason"),
        "SIP;cause=503;text=\"the host is shutting down\""
    );
    assert_eq!(server.wait(AT_ONCE), Some(0), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_is_up_after_the_grace_is_ended_even_if_it_spins() {
    let mut server = Setup::new()
        .limit("limits", "drain_grace_ms", 300)
        .limit("limits.plugin", "fuel_burst", 100_000_000_000)
        .limit("limits.plugin", "fuel_total", 100_000_000_000)
        .flow("hello", "hello")
        .flow("loop", "loop")
        .start();
    let mut phone = server.phone();
    let call = phone.connect("hello");
    let mut spins = phone.invite("loop");
    server.terminate();
    phone.expect_bye(&call);
    let response = phone.final_response(&spins, "INVITE");
    assert_eq!(response.status(), Some(503));
    phone.ack(&mut spins, &response);
    server.wait_for_log(&["limits.drain_grace_ms", "hanging up"], SOON);
    assert_eq!(server.wait(AT_ONCE), Some(0), "{}", server.log());
}

#[test]
fn a_host_that_drains_sends_calls_elsewhere_if_told_to() {
    let mut server = Setup::new()
        .limit("limits", "drain_grace_ms", 60_000)
        .setting("drain", "redirect", "\"sip:two.example:5070;transport=tcp\"")
        .flow("hello", "hello")
        .service("house", "desk", "desk")
        .start();
    let mut phone = server.phone();
    let mut stays = phone.connect("hello");
    server.terminate();
    server.wait_for_log(&["stopping"], SOON);
    for user in ["hello", "desk", "nobody"] {
        let mut late = phone.invite(user);
        let response = phone.final_response(&late, "INVITE");
        assert_eq!(response.status(), Some(302), "{response:?}");
        let contact = format!("<sip:{user}@two.example:5070;transport=tcp>");
        assert_eq!(response.header("Contact"), contact);
        phone.ack(&mut late, &response);
    }
    phone.hang_up(&mut stays);
    assert_eq!(server.wait(AT_ONCE), Some(0), "{}", server.log());
}
