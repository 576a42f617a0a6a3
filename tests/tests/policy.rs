//! What the operator's rules keep from leaving the host: dear numbers, claims of identity, media addresses, and calls beyond
//! the budget of a day.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callbox_tests::flows;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

/// A server whose tenant `house` may call 127.0.0.0/8 under these further rules, with an example flow that goes by this
/// configuration, in which PEER is the phone that is called. The call that starts the flow is made.
fn start(setup: Setup, flow: &str, rules: &str, config: &str) -> (Callbox, Phone, Phone) {
    let mut peer = Phone::udp(setup.address());
    let config = config.replace("PEER", &peer.address().to_string());
    let server = setup
        .dial("house", &["127.0.0.0/8"])
        .tenant("house", rules)
        .tenant_flow(
            "house",
            "go",
            &flows::example(flow),
            &format!("auto_ring = false\nconfig = {{ {config} }}\n"),
        )
        .start();
    while peer.receive(Duration::from_millis(1)).is_some() {}
    let mut caller = server.phone();
    caller.invite("go");
    (server, peer, caller)
}

/// Answers the INVITE that comes, and returns what ends the call, with the time that it took.
fn answered(peer: &mut Phone) -> (String, Duration) {
    let invite = peer.next_request("INVITE", |_| true);
    let contact = format!("Contact: <sip:peer@{}>\r\n", peer.address());
    peer.respond_with(&invite, "200 OK", &contact);
    peer.next_request("ACK", |_| true);
    let begun = Instant::now();
    loop {
        let request = peer
            .receive(Duration::from_secs(30))
            .expect("the end of the call");
        match request.method() {
            Some("BYE") => {
                let reason = request.header("Reason").to_owned();
                peer.respond(&request, "200 OK");
                return (reason, begun.elapsed());
            }
            Some("ACK") | None => {}
            Some(_) => peer.respond(&request, "488 Not Acceptable Here"),
        }
    }
}

#[test]
fn a_dear_number_is_not_called_at_a_host_that_may_be() {
    let dest = "dest = \"sip:+1900555@PEER sip:001900555@PEER sip:+4930555@PEER\"";
    let (server, mut peer, _caller) = start(Setup::new(), "callout", "", dest);
    let invite = peer.next_request("INVITE", |_| true);
    assert!(invite.request_uri().starts_with("sip:+4930555@"), "{invite:?}");
    peer.respond(&invite, "486 Busy Here");
    server.wait_for_log(&["house", "denied by dialling.premium +1900"], SOON);

    let (_server, mut peer, _caller) = start(Setup::new(), "callout", "allow_premium = \"+1900*\"", dest);
    let invite = peer.next_request("INVITE", |_| true);
    assert!(invite.request_uri().starts_with("sip:+1900555@"), "{invite:?}");
    peer.respond(&invite, "603 Decline");

    let open = Setup::new().lines("[dialling]\npremium = \"allow\"");
    let (_server, mut peer, _caller) = start(open, "callout", "", dest);
    let invite = peer.next_request("INVITE", |_| true);
    assert!(invite.request_uri().starts_with("sip:+1900555@"), "{invite:?}");
    peer.respond(&invite, "603 Decline");
}

#[test]
fn what_is_denied_is_not_called_where_a_redirection_leads_either() {
    let rules = "deny = [\"sip:secret@127.0.0.0/8\", \"+4470*\"]";
    let config = "dest = \"sip:secret@PEER sip:a@PEER\", redirects = \"follow\"";
    let (server, mut peer, _caller) = start(Setup::new(), "callout", rules, config);
    let invite = peer.next_request("INVITE", |_| true);
    assert!(invite.request_uri().starts_with("sip:a@"), "{invite:?}");
    server.wait_for_log(&["house", "denied by deny"], SOON);
    let at = peer.address();
    let contacts = format!(
        "Contact: <sip:secret@{at}>;q=0.9, <sip:+4470123@{at}>;q=0.8, <sip:+881@{at}>;q=0.7, <sip:b@{at}>;q=0.1\r\n"
    );
    peer.respond_with(&invite, "300 Multiple Choices", &contacts);
    let next = peer.next_request("INVITE", |it| !it.request_uri().starts_with("sip:a@"));
    assert!(next.request_uri().starts_with("sip:b@"), "{next:?}");
    peer.respond(&next, "486 Busy Here");
}

#[test]
fn a_claim_of_identity_is_sent_where_it_was_granted_and_is_the_tenants_own() {
    let trick = "trick = \"identity\", to = \"sip:a@PEER\", who = \"P-Asserted-Identity\"";
    let rules = "caller_ids = \"+4930110\"\nheaders = \"P-Asserted-Identity\"";
    let (_server, mut peer, _caller) = start(Setup::new(), "reach", rules, trick);
    let invite = peer.next_request("INVITE", |_| true);
    assert_eq!(
        invite.header("P-Asserted-Identity"),
        "<sip:+4930110@example.invalid>"
    );
    peer.respond(&invite, "486 Busy Here");
    for (rules, why) in [
        (
            "caller_ids = \"+4930111\"\nheaders = \"P-Asserted-Identity\"",
            "caller id",
        ),
        (
            "caller_ids = \"+4930110\"\nheaders = \"Diversion\"",
            "P-Asserted-Identity",
        ),
    ] {
        let (server, mut peer, _caller) = start(Setup::new(), "reach", rules, trick);
        server.wait_for_log(&["reach identity", "denied", why], SOON);
        assert!(peer.receive(Duration::from_millis(200)).is_none(), "{rules}");
    }
}

#[test]
fn an_offer_that_names_other_media_addresses_is_not_sent_even_if_it_is_the_callers() {
    let closed = "sdp_egress = \"tenant\"\nmedia = \"203.0.113.0/24\"";
    let (server, mut peer, _caller) = start(Setup::new(), "bridge", closed, "dest = \"sip:a@PEER\"");
    server.wait_for_log(&["house", "denied by sdp_egress"], SOON);
    assert!(peer.receive(Duration::from_millis(200)).is_none());

    let open = "sdp_egress = \"tenant\"\nmedia = [\"203.0.113.0/24\", \"127.0.0.0/8\", \"192.0.2.0/24\"]";
    let (_server, mut peer, _caller) = start(Setup::new(), "bridge", open, "dest = \"sip:a@PEER\"");
    let invite = peer.next_request("INVITE", |_| true);
    assert!(invite.body().contains("c=IN"), "{invite:?}");
    peer.respond(&invite, "486 Busy Here");
}

#[test]
fn a_call_ends_when_it_has_lasted_as_long_as_its_tenants_may() {
    let rules = "budget = { call_max_s = 1 }";
    let config = "dest = \"sip:a@PEER\", stay = \"60000\"";
    let (_server, mut peer, _caller) = start(Setup::new(), "callout", rules, config);
    let (reason, lasted) = answered(&mut peer);
    assert!(reason.contains("tenant.budget.call_max_s"), "{reason}");
    assert!(lasted > Duration::from_millis(500), "{lasted:?}");
}

#[test]
fn calls_beyond_those_of_the_day_are_denied() {
    let config = "dest = \"sip:a@PEER sip:b@PEER sip:c@PEER\"";
    let (server, mut peer, _caller) = start(Setup::new(), "callout", "budget.dials_per_day = 2", config);
    for user in ["sip:a@", "sip:b@"] {
        let invite = peer.next_request("INVITE", |it| it.request_uri().starts_with(user));
        peer.respond(&invite, "486 Busy Here");
    }
    server.wait_for_log(&["not answered", "tenant.budget.dials_per_day"], SOON);
    server.wait_for_log(&["WARN", "house", "tenant.budget.dials_per_day is used up"], SOON);
    let more = |it: &mut Phone| it.receive(Duration::from_millis(300));
    while let Some(message) = more(&mut peer) {
        assert!(!message.request_uri().starts_with("sip:c@"), "{message:?}");
    }
}

#[test]
fn the_minutes_of_the_day_end_calls_outlast_the_host_and_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    DirBuilder::new().mode(0o700).create(&state).unwrap();
    let file = state.join("minutes.json");
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    // One step of six seconds is left of the minute.
    let used = format!("{{\"day\":{day},\"tenants\":{{\"house\":{{\"seconds\":54,\"dials\":7}}}}}}");
    fs::write(&file, used).unwrap();
    let setup = || Setup::new().root(&format!("state_dir = {state:?}"));
    let rules = "budget.minutes_per_day = 1";
    let config = "dest = \"sip:a@PEER sip:b@PEER\", stay = \"60000\"";
    {
        let (server, mut peer, _caller) = start(setup(), "callout", rules, config);
        let (reason, lasted) = answered(&mut peer);
        assert!(reason.contains("tenant.budget.minutes_per_day"), "{reason}");
        assert!(lasted > Duration::from_secs(4), "{lasted:?}");
        server.wait_for_log(
            &["WARN", "house", "tenant.budget.minutes_per_day is used up"],
            SOON,
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        while !fs::read_to_string(&file)
            .unwrap()
            .contains("\"seconds\":60,\"dials\":8")
        {
            assert!(
                Instant::now() < deadline,
                "{}",
                fs::read_to_string(&file).unwrap()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    // The host was killed, and another one knows all the same.
    let (server, mut peer, _caller) = start(setup(), "callout", rules, config);
    server.wait_for_log(&["not answered", "tenant.budget.minutes_per_day"], SOON);
    assert!(peer.receive(Duration::from_millis(200)).is_none());
}
