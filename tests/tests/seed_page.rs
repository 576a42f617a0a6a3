//! The examples of the page that the seed's names come from, each as a flow under `examples/seed` that ports it line by
//! line, against peers that do only what the test says. `register` and `presence` are in `registration.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::callee::{
    self, PASSWORD, REALM, ask, authorised, challenge, is_removal, is_right, next, pick_up, respond,
};
use callbox_tests::flows;
use callbox_tests::message::Message;
use callbox_tests::phone::{OFFER, Phone, SOON};
use callbox_tests::server::{Callbox, Setup};

/// A server that runs this flow once at its start, and the peer that the flow calls. The peer's socket must exist before
/// the flow's configuration can name it.
fn start(flow: &str) -> (Callbox, Phone) {
    let setup = Setup::new().dial("house", &["127.0.0.0/8"]);
    let peer = Phone::udp(setup.address());
    let own = peer.address();
    let config = format!(
        "job.start = \"boot\"\n[tenant.flow.go.config]\ndest = \"sip:24001@{own}\"\nother = \"sip:24002@{own}\"\n\
         xfer = \"sip:24003@{own}\"\nregistrar = \"sip:alice@{own}\"\nserver = \"sip:alice@{own}\"\n\
         username = \"alice\"\npassword = \"{PASSWORD}\"\nrealm = \"{REALM}\"\n"
    );
    let server = setup.job("house", "go", &flows::example(flow), &config).start();
    (server, peer)
}

/// The next INVITE, and what the wire must hold of every call that these flows place.
fn called(peer: &mut Phone, user: &str) -> Message {
    let invite = next(peer, "INVITE", |it| it.to_tag().is_none());
    assert_eq!(
        invite.request_uri(),
        format!("sip:{user}@{}", peer.address()),
        "{invite:?}"
    );
    invite
}

fn hung_up(peer: &mut Phone, invite: &Message) {
    let bye = next(peer, "BYE", |it| it.header("Call-ID") == invite.header("Call-ID"));
    respond(peer, &bye, "200 OK", "");
}

/// What the page's `localoffer` is on the wire: its lines, with the ends that SDP has.
fn is_the_pages_offer(message: &Message) -> bool {
    message.header("Content-Type") == "application/sdp"
        && message
            .body()
            .starts_with("v=0\r\no=ivrworx 123456 654321 IN IP4 10.0.0.1\r\ns=A conversation\r\n")
        && message.body().ends_with("a=fmtp:101 0-11\r\n")
}

#[test]
fn makecall_with_an_empty_invite_answers_in_the_ack() {
    let (_server, mut peer) = start("makecall");
    let invite = called(&mut peer, "24001");
    assert_eq!((invite.body(), invite.header("Content-Type")), ("", ""));
    let ack = pick_up(&mut peer, &invite);
    assert!(
        ack.body()
            .starts_with("v=0\r\no=alice 2890844526 2890844526 IN IP4 host.ivrworx.com\r\n")
            && ack.body().ends_with("a=rtpmap:0 PCMU/8000\r\n"),
        "{ack:?}"
    );
    // The script ends here, and with it the call.
    hung_up(&mut peer, &invite);
}

#[test]
fn gatherdigits_waits_for_the_pattern() {
    let (server, mut peer) = start("gather");
    let invite = called(&mut peer, "24001");
    assert!(is_the_pages_offer(&invite), "{invite:?}");
    pick_up(&mut peer, &invite);
    for (cseq, key) in [(1, "4"), (2, "2"), (3, "#")] {
        let signal = format!("Signal={key}\r\nDuration=160\r\n");
        ask(
            &mut peer,
            &invite,
            "INFO",
            cseq,
            "application/dtmf-relay",
            &signal,
        );
    }
    server.wait_for_log(&["0=ressignal=42#"], SOON);
    hung_up(&mut peer, &invite);
}

#[test]
fn gatherdigits_ends_with_the_call_and_keeps_what_came() {
    let (server, mut peer) = start("gather");
    let invite = called(&mut peer, "24001");
    pick_up(&mut peer, &invite);
    ask(&mut peer, &invite, "INFO", 1, "application/dtmf", "7");
    ask(&mut peer, &invite, "BYE", 2, "", "");
    // 8 is the page's number of a hang-up.
    server.wait_for_log(&["8=ressignal=7"], SOON);
}

#[test]
fn blindxfer_refers_and_hangs_up() {
    let (_server, mut peer) = start("blindxfer");
    let invite = called(&mut peer, "24001");
    assert!(is_the_pages_offer(&invite), "{invite:?}");
    pick_up(&mut peer, &invite);
    let refer = next(&mut peer, "REFER", |_| true);
    assert!(
        refer
            .header("Refer-To")
            .contains(&format!("sip:24003@{}", peer.address())),
        "{refer:?}"
    );
    respond(&mut peer, &refer, "202 Accepted", "");
    hung_up(&mut peer, &invite);
}

#[test]
fn reoffer_offers_again_and_hangs_up() {
    let (server, mut peer) = start("reoffer");
    server.wait_for_log(&["Hello World!"], SOON);
    let invite = called(&mut peer, "24001");
    pick_up(&mut peer, &invite);
    let again = next(&mut peer, "INVITE", |it| it.to_tag().is_some());
    assert!(is_the_pages_offer(&again), "{again:?}");
    assert_eq!(again.header("Call-ID"), invite.header("Call-ID"));
    pick_up(&mut peer, &again);
    hung_up(&mut peer, &invite);
}

/// What the examples leave out, in the order of the flow `tour`: each method and each named parameter once.
#[test]
fn every_method_and_every_parameter_of_the_page() {
    let (server, mut peer) = start("tour");
    let own = peer.address();
    callee::registered(&mut peer, 300);

    // makecall in the name of the registration: timeout, offer, type, H_XXX.
    let invite = called(&mut peer, "24001");
    assert!(
        invite
            .header("From")
            .starts_with(&format!("<sip:alice@{own}>;tag=")),
        "{invite:?}"
    );
    challenge(&mut peer, &invite);
    let invite = next(&mut peer, "INVITE", |it| !it.header("Authorization").is_empty());
    assert!(is_right(&invite), "{invite:?}");
    assert_eq!(
        (invite.header("Subject"), invite.header("X-Tour")),
        ("a tour", "1")
    );
    assert_eq!(invite.header("Content-Type"), "application/sdp");
    assert!(invite.body().contains("m=audio 6000"), "{invite:?}");
    pick_up(&mut peer, &invite);
    server.wait_for_log(&["ani=alice dnis=24001"], SOON);
    let lengths = format!("localoffer {} remoteoffer {}", invite.body().len(), OFFER.len());
    server.wait_for_log(&[&lengths], SOON);

    // waitfordtmf, dtmfbuffer, cleandtmfbuffer, gatherdigits.
    ask(&mut peer, &invite, "INFO", 1, "application/dtmf", "9");
    server.wait_for_log(&["first=9 buffer=9"], SOON);
    server.wait_for_log(&["none=5 buffer="], SOON);
    for (cseq, key) in [(2, "1"), (3, "2"), (4, "3"), (5, "4")] {
        ask(&mut peer, &invite, "INFO", cseq, "application/dtmf", key);
    }
    server.wait_for_log(&["gathered=0 123"], SOON);
    let partial = Instant::now();
    server.wait_for_log(&["partial=5 4"], 2 * SOON);
    assert!(
        partial.elapsed() > Duration::from_secs(2),
        "gatherdigits waits for 3 s where the script says nothing"
    );

    // sendinfo, async or not; waitforinfo.
    let sent = next(&mut peer, "INFO", |it| it.body() == "no answer wanted");
    assert_eq!(sent.header("Content-Type"), "text/plain");
    respond(&mut peer, &sent, "200 OK", "");
    let sent = next(&mut peer, "INFO", |it| it.body() == "answer wanted");
    respond(&mut peer, &sent, "415 Unsupported Media Type", "");
    server.wait_for_log(&["sendinfo=Some(415)"], SOON);
    ask(&mut peer, &invite, "INFO", 6, "text/plain", "from the peer");
    server.wait_for_log(&["waitforinfo=from the peer"], SOON);

    // reoffer: timeout, offer, type, H_XXX.
    let again = next(&mut peer, "INVITE", |it| it.to_tag().is_some());
    assert_eq!(again.header("X-Again"), "2");
    assert!(again.body().contains("m=audio 6002"), "{again:?}");
    pick_up(&mut peer, &again);
    server.wait_for_log(&["reoffered true"], SOON);

    // makecall: sdp, username, password, realm. select.
    let second = called(&mut peer, "24002");
    challenge(&mut peer, &second);
    let second = next(&mut peer, "INVITE", |it| {
        it.header("Call-ID") == second.header("Call-ID") && !it.header("Authorization").is_empty()
    });
    assert!(is_right(&second), "{second:?}");
    pick_up(&mut peer, &second);
    ask(&mut peer, &invite, "INFO", 7, "text/plain", "an event");
    server.wait_for_log(&["select=true"], SOON);

    // subscribe: every parameter; waitfornotify.
    let subscribe = authorised(&mut peer, "SUBSCRIBE");
    assert!(is_right(&subscribe), "{subscribe:?}");
    assert_eq!(
        (subscribe.header("Event"), subscribe.header("Expires")),
        ("presence", "60")
    );
    callee::subscribed(&mut peer, &subscribe, 60);
    callee::notify(&mut peer, &subscribe, 1, "active;expires=60", "open");
    server.wait_for_log(&["notify=0 text/plain open"], SOON);
    server.wait_for_log(&["no notify=5"], SOON);

    // hangup, waitforhangup, and what follows on a leg that is over.
    hung_up(&mut peer, &second);
    ask(&mut peer, &invite, "BYE", 8, "", "");
    server.wait_for_log(&["hung up: Party::Remote"], SOON);
    server.wait_for_log(&["after the end=8"], SOON);

    // unsubscribe, unregister.
    let leaving = next(&mut peer, "SUBSCRIBE", is_removal);
    callee::subscribed(&mut peer, &leaving, 0);
    callee::notify(&mut peer, &leaving, 2, "terminated;reason=timeout", "");
    let leaving = next(&mut peer, "REGISTER", is_removal);
    respond(&mut peer, &leaving, "200 OK", "");
    server.wait_for_log(&["end of the tour"], SOON);
}
