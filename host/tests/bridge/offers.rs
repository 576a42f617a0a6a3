//! Offers from one peer to the other: re-INVITE, UPDATE, hold, a request for an offer; refusals, CANCEL and glare.

use std::time::Duration;

use callbox::call::{BridgeOptions, CallError, CallState, EventKind, Leg, Session};

use callbox_sip::endpoint::EndpointConfig;

use crate::scene::{Line, Scene, sdp, session};
use crate::support::{Host, event_of, eventually};

async fn bridged() -> Scene {
    Scene::bridged(&BridgeOptions::default()).await
}

fn has(body: Option<callbox::call::Body>, text: &str) -> bool {
    body.is_some_and(|body| body.data() == text.as_bytes())
}

async fn connected(legs: [&Leg; 2]) {
    eventually(|| legs.iter().all(|leg| leg.state() == CallState::Connected)).await;
}

/// One peer offers by re-INVITE, the other answers; each sees the other's words.
async fn reinvite(from: (&mut Line, &Leg), to: (&mut Line, &Leg), offer: &str, answer: &str) {
    let sent = from.0.send("INVITE", sdp(offer)).await;
    let (invite, ack) = to.0.accept_reinvite(sdp(answer)).await;
    assert_eq!((invite.body(), ack.body()), (offer, ""));
    assert_eq!(from.0.accepted(&sent).await.body(), answer);
    assert!(has(from.1.remote_offer(), offer) && has(to.1.local_offer(), offer));
    assert!(has(from.1.local_offer(), answer) && has(to.1.remote_offer(), answer));
    connected([from.1, to.1]).await;
}

#[tokio::test]
async fn a_reinvite_goes_through_both_ways() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let one = (session(4_002, "sendrecv"), session(5_002, "sendrecv"));
    reinvite((alice, a), (bob, b), &one.0, &one.1).await;
    let two = (session(5_004, "sendrecv"), session(4_004, "sendrecv"));
    reinvite((bob, b), (alice, a), &two.0, &two.1).await;
    scene.silent().await;
}

#[tokio::test]
async fn hold_and_resume_are_offers_and_events_of_the_leg_that_was_put_on_hold() {
    let mut scene = bridged().await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let (held, kept) = (session(4_000, "sendonly"), session(5_000, "recvonly"));
    reinvite((alice, a), (bob, b), &held, &kept).await;
    assert!(matches!(event_of(flow, a).await.kind, EventKind::Held));
    let (back, both) = (session(4_000, "sendrecv"), session(5_000, "sendrecv"));
    reinvite((alice, a), (bob, b), &back, &both).await;
    assert!(matches!(event_of(flow, a).await.kind, EventKind::Resumed));
    assert!(flow.poll_event().is_none(), "and nothing else");
}

#[tokio::test]
async fn an_update_goes_as_update_and_as_reinvite_to_a_peer_that_has_none() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let (offer, answer) = (session(4_006, "sendrecv"), session(5_006, "sendrecv"));
    let sent = alice.send("UPDATE", sdp(&offer)).await;
    let update = bob.request("UPDATE").await;
    assert_eq!(update.body(), offer);
    bob.answer(&update, "200 OK", sdp(&answer)).await;
    let response = alice.response(&sent).await;
    assert_eq!((response.status(), response.body()), (Some(200), answer.as_str()));
    connected([a, b]).await;

    let (offer, answer) = (session(4_008, "sendrecv"), session(5_008, "sendrecv"));
    let sent = alice.send("UPDATE", sdp(&offer)).await;
    let update = bob.request("UPDATE").await;
    bob.answer(&update, "405 Method Not Allowed", None).await;
    let (invite, _) = bob.accept_reinvite(sdp(&answer)).await;
    assert_eq!(invite.body(), offer);
    assert_eq!(alice.response(&sent).await.body(), answer);
    // Without an offer it only moves a target, and is no matter of the other peer's.
    assert_eq!(alice.ask("UPDATE", None).await.status(), Some(200));
    scene.silent().await;
}

#[tokio::test]
async fn a_request_for_an_offer_brings_the_other_peers_and_the_ack_its_answer() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let (offer, answer) = (session(5_010, "sendrecv"), session(4_010, "sendrecv"));
    let sent = alice.send("INVITE", None).await;
    let asked = bob.request("INVITE").await;
    assert_eq!(asked.body(), "");
    bob.answer(&asked, "200 OK", sdp(&offer)).await;
    let response = alice.response(&sent).await;
    assert_eq!(response.body(), offer);
    assert_eq!(
        (a.state(), b.state()),
        (CallState::Reoffering, CallState::Reoffering)
    );
    alice.ack(&response, sdp(&answer)).await;
    assert_eq!(bob.request("ACK").await.body(), answer);
    connected([a, b]).await;
    assert!(has(b.local_offer(), &answer) && has(b.remote_offer(), &offer));
    assert!(has(a.local_offer(), &offer) && has(a.remote_offer(), &answer));

    // An ACK that forgets the answer: Bob keeps the session that he has.
    let sent = alice.send("INVITE", None).await;
    let asked = bob.request("INVITE").await;
    bob.answer(&asked, "200 OK", sdp(&offer)).await;
    alice.accepted(&sent).await;
    assert_eq!(bob.request("ACK").await.body(), answer);
    connected([a, b]).await;

    // A peer that has no offer to make.
    let sent = alice.send("INVITE", None).await;
    let asked = bob.request("INVITE").await;
    bob.answer(&asked, "200 OK", None).await;
    assert_eq!(alice.refused(&sent).await.status(), Some(488));
    bob.request("ACK").await;
    scene.silent().await;
}

#[tokio::test]
async fn a_refusal_is_passed_on_with_what_it_says_about_trying_again() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let offer = session(4_012, "sendrecv");
    for (said, heard) in [
        ("488 Not Acceptable Here", 488),
        ("603 Decline", 603),
        ("503 Full", 500),
    ] {
        let sent = alice.send("INVITE", sdp(&offer)).await;
        let invite = bob.request("INVITE").await;
        bob.peer.answer(&invite, said, "Retry-After: 7\r\n", None).await;
        bob.request("ACK").await;
        let response = alice.refused(&sent).await;
        assert_eq!(
            (response.status(), response.header("Retry-After")),
            (Some(heard), "7")
        );
        connected([a, b]).await;
    }
    assert!(
        has(a.remote_offer(), &session(4_000, "sendrecv")),
        "the old session"
    );
    assert!(has(b.local_offer(), &session(4_000, "sendrecv")));
    scene.silent().await;
}

#[tokio::test]
async fn a_cancel_takes_the_offer_back_from_the_other_peer_too() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let offer = session(4_014, "sendrecv");
    let sent = alice.send("INVITE", sdp(&offer)).await;
    let invite = bob.request("INVITE").await;
    bob.answer(&invite, "100 Trying", None).await;
    alice.in_transaction(&sent, "CANCEL", None).await;
    assert_eq!(alice.refused(&sent).await.status(), Some(487));
    let cancelled = |message: &crate::support::peer::Message| message.cseq_method() == "CANCEL";
    alice.find("200 to CANCEL", cancelled).await;
    let cancel = bob.request("CANCEL").await;
    bob.answer(&cancel, "200 OK", None).await;
    bob.answer(&invite, "487 Request Terminated", None).await;
    bob.request("ACK").await;
    connected([a, b]).await;
    assert!(has(b.local_offer(), &session(4_000, "sendrecv")));
    let answer = session(5_014, "sendrecv");
    reinvite((alice, a), (bob, b), &offer, &answer).await;
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_undone() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let (offer, answer) = (session(4_016, "sendrecv"), session(5_016, "sendrecv"));
    let sent = alice.send("INVITE", sdp(&offer)).await;
    let invite = bob.request("INVITE").await;
    bob.answer(&invite, "100 Trying", None).await;
    alice.in_transaction(&sent, "CANCEL", None).await;
    assert_eq!(alice.refused(&sent).await.status(), Some(487));
    bob.request("CANCEL").await;
    bob.answer(&invite, "200 OK", sdp(&answer)).await;
    bob.request("ACK").await;
    let (old, _) = bob.accept_reinvite(sdp(&answer)).await;
    assert_eq!(old.body(), session(4_000, "sendrecv"), "what Alice has");
    connected([a, b]).await;
}

#[tokio::test]
async fn an_offer_that_nobody_answers_is_cancelled_and_refused() {
    let options = BridgeOptions {
        offer_timeout: Duration::from_millis(200),
        ..BridgeOptions::default()
    };
    let mut scene = Scene::bridged(&options).await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let offer = session(4_032, "sendrecv");
    let sent = alice.send("INVITE", sdp(&offer)).await;
    let invite = bob.request("INVITE").await;
    bob.answer(&invite, "180 Ringing", None).await;
    assert_eq!(alice.refused(&sent).await.status(), Some(504));
    let cancel = bob.request("CANCEL").await;
    assert_eq!(
        (a.state(), b.state()),
        (CallState::Connected, CallState::Reoffering)
    );
    // What comes before Bob's re-INVITE is over has to wait.
    let early = alice.send("INVITE", sdp(&offer)).await;
    assert_eq!(alice.refused(&early).await.status(), Some(491));
    bob.answer(&cancel, "200 OK", None).await;
    bob.answer(&invite, "487 Request Terminated", None).await;
    bob.request("ACK").await;
    connected([a, b]).await;
    assert!(has(b.local_offer(), &session(4_000, "sendrecv")));
}

#[tokio::test]
async fn an_update_that_takes_too_long_is_refused_and_undone() {
    let mut endpoint = EndpointConfig::default();
    endpoint.limits.update_decision_max = Duration::from_millis(200);
    let mut scene = Scene::on(Host::with(endpoint)).await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    flow.bridge(a, b, &BridgeOptions::default()).await.unwrap();
    let sent = alice.send("UPDATE", sdp(&session(4_034, "sendrecv"))).await;
    let update = bob.request("UPDATE").await;
    assert_eq!(alice.response(&sent).await.status(), Some(504));
    let answer = session(5_034, "sendrecv");
    bob.answer(&update, "200 OK", sdp(&answer)).await;
    let (old, _) = bob.accept_reinvite(sdp(&answer)).await;
    assert_eq!(old.body(), session(4_000, "sendrecv"), "what Alice has");
    connected([a, b]).await;
}

#[tokio::test]
async fn of_two_offers_that_meet_one_goes_through_and_the_other_may_come_again() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let (first, second) = (session(4_018, "sendrecv"), session(5_018, "sendrecv"));
    let from_alice = alice.send("INVITE", sdp(&first)).await;
    let to_bob = bob.request("INVITE").await;
    let from_bob = bob.send("INVITE", sdp(&second)).await;
    assert_eq!(bob.refused(&from_bob).await.status(), Some(491), "ours is out");
    bob.answer(&to_bob, "491 Request Pending", None).await;
    bob.request("ACK").await;
    // The host waits before it tries again; Bob is faster, and Alice has to wait.
    let answer = session(4_020, "sendrecv");
    let from_bob = bob.send("INVITE", sdp(&second)).await;
    assert_eq!(alice.refused(&from_alice).await.status(), Some(491));
    let (invite, _) = alice.accept_reinvite(sdp(&answer)).await;
    assert_eq!(invite.body(), second);
    assert_eq!(bob.accepted(&from_bob).await.body(), answer);
    connected([a, b]).await;
    reinvite((alice, a), (bob, b), &first, &second).await;
    scene.silent().await;
}

#[tokio::test]
async fn after_a_491_the_host_tries_again_by_itself() {
    let mut scene = bridged().await;
    let Scene { a, b, alice, bob, .. } = &mut scene;
    let (offer, answer) = (session(4_022, "sendrecv"), session(5_022, "sendrecv"));
    let sent = alice.send("INVITE", sdp(&offer)).await;
    let invite = bob.request("INVITE").await;
    bob.answer(&invite, "491 Request Pending", None).await;
    bob.request("ACK").await;
    let (again, _) = bob.accept_reinvite(sdp(&answer)).await;
    assert_eq!(again.body(), offer);
    assert_eq!(alice.accepted(&sent).await.body(), answer);
    connected([a, b]).await;
}

#[tokio::test]
async fn while_an_offer_is_relayed_the_flow_cannot_offer_and_the_other_way_round() {
    let mut scene = bridged().await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let (offer, answer) = (session(4_024, "sendrecv"), session(5_024, "sendrecv"));
    let sent = alice.send("INVITE", sdp(&offer)).await;
    let invite = bob.request("INVITE").await;
    for leg in [&*a, &*b] {
        assert_eq!(leg.state(), CallState::Reoffering);
        assert!(matches!(leg.hold().await, Err(CallError::WrongState(_))));
    }
    bob.answer(&invite, "200 OK", sdp(&answer)).await;
    bob.request("ACK").await;
    alice.accepted(&sent).await;
    connected([a, b]).await;

    // The flow holds Bob; what Alice offers meanwhile has to wait.
    let (held, ()) = tokio::join!(b.hold(), async {
        let invite = bob.request("INVITE").await;
        assert!(invite.body().contains("a=sendonly"), "{invite:?}");
        let sent = alice.send("INVITE", sdp(&offer)).await;
        assert_eq!(alice.refused(&sent).await.status(), Some(491));
        bob.answer(&invite, "200 OK", sdp(&answer)).await;
        bob.request("ACK").await;
    });
    held.unwrap();
    assert_eq!((a.state(), b.state()), (CallState::Connected, CallState::Held));
    alice.silent().await;
    // A relayed offer makes the session another one, and ends the hold of the flow's.
    reinvite((alice, a), (bob, b), &offer, &answer).await;
    assert!(flow.poll_event().is_none());
}

async fn answered_by_the_host(from: &mut Line, to: &mut Line, expected: &str) {
    let offer = session(4_026, "sendrecv");
    let sent = from.send("INVITE", sdp(&offer)).await;
    assert_eq!(from.accepted(&sent).await.body(), expected);
    to.silent().await;
}

#[tokio::test]
async fn without_relay_offers_the_host_answers_with_the_session_that_it_has() {
    let options = BridgeOptions {
        relay_offers: false,
        ..BridgeOptions::default()
    };
    let mut scene = Scene::bridged(&options).await;
    let Scene {
        alice,
        bob,
        bobs,
        alices,
        ..
    } = &mut scene;
    answered_by_the_host(alice, bob, bobs).await;
    answered_by_the_host(bob, alice, alices).await;
    assert_eq!(
        alice.ask("INFO", Some(("text/plain", "x"))).await.status(),
        Some(200)
    );
    assert_eq!(bob.request("INFO").await.body(), "x", "the rest is relayed");
}

#[tokio::test]
async fn after_unbridge_offers_are_the_hosts_again_or_the_flows_if_it_asked() {
    let mut scene = bridged().await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        bobs,
        ..
    } = &mut scene;
    b.decide_offers(true);
    a.decide_offers(true);
    a.decide_offers(false);
    let (offer, answer) = (session(4_028, "sendrecv"), session(5_028, "sendrecv"));
    reinvite((bob, b), (alice, a), &answer, &offer).await;
    flow.unbridge(b).unwrap();
    *bobs = answer.clone();
    answered_by_the_host(alice, bob, bobs).await;
    let sent = bob.send("INVITE", sdp(&answer)).await;
    let EventKind::Offer(asked) = event_of(flow, b).await.kind else {
        panic!("an offer")
    };
    asked.reject(606).unwrap();
    assert_eq!(bob.refused(&sent).await.status(), Some(606));
}

/// Alice offers, the legs are parted while Bob thinks.
async fn parted_meanwhile(flow: &Session, a: &Leg, alice: &mut Line, bob: &mut Line, answer: &str) -> u16 {
    let sent = alice.send("INVITE", sdp(&session(4_030, "sendrecv"))).await;
    let invite = bob.request("INVITE").await;
    flow.unbridge(a).unwrap();
    assert!(matches!(flow.unbridge(a), Err(CallError::WrongState(_))));
    assert_eq!(a.state(), CallState::Reoffering);
    let text = invite_answer();
    bob.answer(&invite, answer, sdp(&text).filter(|_| answer.starts_with('2')))
        .await;
    bob.request("ACK").await;
    let response = alice.response(&sent).await;
    match response.status() {
        Some(200) => alice.ack(&response, None).await,
        _ => alice.in_transaction(&sent, "ACK", Some(&response)).await,
    }
    response.status().unwrap()
}

fn invite_answer() -> String {
    session(5_030, "sendrecv")
}

#[tokio::test]
async fn unbridge_lets_an_offer_that_is_being_relayed_come_to_its_end() {
    let mut scene = bridged().await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    for (answer, heard) in [("200 OK", 200), ("488 No", 488)] {
        assert_eq!(parted_meanwhile(flow, a, alice, bob, answer).await, heard);
        connected([a, b]).await;
        let sent = alice.ask("UPDATE", sdp(&session(4_030, "sendrecv"))).await;
        assert_eq!(sent.body(), invite_answer(), "not bridged any more");
        bob.silent().await;
        flow.bridge(a, b, &BridgeOptions::default()).await.unwrap();
    }
}
