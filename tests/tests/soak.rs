//! Ten thousand calls, made and received by flows of the page, and registrations and subscriptions beside them: nothing
//! stays. What is alive is what the server itself counts (SIGUSR1); its memory is what the system says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::callee::{accept_register, is_removal, respond, send_notify, subscribed};
use callbox_tests::flows;
use callbox_tests::phone::Phone;
use callbox_tests::process;
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

/// Calls that come in a second; each makes one that goes out. What a debug build holds on two busy cores.
const RATE: u32 = 100;
/// What memory may grow between the 2 000th and the 10 000th call. A leg that is forgotten takes more than 4 KiB.
const GROWTH_KIB: u64 = 8 * 1_024;

/// As many calls in, and as many out.
fn wave(server: &Callbox, calls: u32) -> u64 {
    Sipp::scenario("answer", server.address(), "through")
        .fill("HOLD_MS", 0)
        .load(calls, RATE)
        .longest(Duration::from_secs(120))
        .run()
        .assert_all(calls);
    process::rss_kib(server.pid())
}

/// Binds and notifies whoever asks, until everybody has taken his leave.
fn serve_presence(server: &Callbox, peer: &mut Phone, sessions: usize) {
    let mut caller = server.phone();
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut begun, mut unregistered, mut unsubscribed) = (0, 0, 0);
    while unregistered < sessions || unsubscribed < sessions {
        if begun < sessions {
            caller.invite("presence");
            begun += 1;
        }
        assert!(
            Instant::now() < deadline,
            "{unregistered} unregistered and {unsubscribed} unsubscribed of {sessions}"
        );
        let Some(request) = peer.receive(Duration::from_millis(5)) else {
            continue;
        };
        match request.method() {
            Some("REGISTER") if is_removal(&request) => {
                respond(peer, &request, "200 OK", "");
                unregistered += 1;
            }
            Some("REGISTER") => accept_register(peer, &request, 300),
            Some("SUBSCRIBE") if is_removal(&request) => {
                subscribed(peer, &request, 0);
                send_notify(peer, &request, 2, "terminated;reason=timeout", "");
                unsubscribed += 1;
            }
            Some("SUBSCRIBE") => {
                subscribed(peer, &request, 60);
                send_notify(peer, &request, 1, "active;expires=60", "open");
            }
            _ => {}
        }
    }
}

#[test]
fn ten_thousand_calls_leave_nothing_behind() {
    let setup = Setup::new();
    let callee = Sipp::scenario("called-briefly", setup.address(), "callee")
        .load(5_000, RATE)
        .longest(Duration::from_secs(180));
    let mut peer = Phone::udp(setup.address());
    let own = peer.address();
    let through = format!("config = {{ dest = \"sip:callee@{}\" }}", callee.address());
    let presence = format!(
        "auto_ring = false\n[tenant.flow.presence.config]\nregistrar = \"sip:alice@{own}\"\n\
         server = \"sip:alice@{own}\"\nusername = \"alice\"\npassword = \"1234\"\nrealm = \"house\"\n"
    );
    let server = setup
        .dial("house", &["127.0.0.0/8"])
        // What ended is remembered for 64·T1: a sixth of the usual 32 s, so that it levels within each wave.
        .limit("limits.sip", "t1_ms", 80)
        .log_level("warn,callbox::cli=info")
        .tenant_flow("house", "through", &flows::example("through"), &through)
        .tenant_flow("house", "presence", &flows::example("presence"), &presence)
        .start();
    let callee = callee.start();

    serve_presence(&server, &mut peer, 100);
    let early = wave(&server, 1_000);
    let late = wave(&server, 4_000);
    callee.finish().assert_all(5_000);
    serve_presence(&server, &mut peer, 100);

    server.wait_until_idle(Duration::from_secs(30));
    assert!(
        late < early + GROWTH_KIB,
        "memory grew from {early} KiB after 2 000 calls to {late} KiB after 10 000"
    );
    println!("memory after 2 000 calls: {early} KiB, after 10 000: {late} KiB");
}
