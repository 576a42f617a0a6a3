//! The end of one leg and what becomes of the other, also in the middle of an offer.

use callbox::call::{BridgeOptions, CallError, CallState, EventKind, Party};

use crate::scene::{Scene, sdp, session};
use crate::support::{SOON, event_of};

async fn bridged() -> Scene {
    Scene::bridged(&BridgeOptions::default()).await
}

async fn loose() -> Scene {
    let options = BridgeOptions {
        hangup_other: false,
        ..BridgeOptions::default()
    };
    Scene::bridged(&options).await
}

#[tokio::test]
async fn a_bye_from_either_end_ends_the_other_with_its_reason() {
    for from_alice in [true, false] {
        let mut scene = bridged().await;
        let (from, to, theirs, others) = match from_alice {
            true => (&mut scene.alice, &mut scene.bob, &scene.a, &scene.b),
            false => (&mut scene.bob, &mut scene.alice, &scene.b, &scene.a),
        };
        let reason = "Reason: Q.850;cause=16;text=\"enough\"\r\n";
        let sent = from.peer.ask(&mut from.dialog, "BYE", reason, None).await;
        assert_eq!(from.response(&sent).await.status(), Some(200));
        let bye = to.expect_bye().await;
        assert_eq!(bye.header("Reason"), "Q.850;cause=16;text=\"enough\"");
        let info = theirs.wait_for_hangup(Some(SOON)).await.unwrap();
        assert_eq!((info.by, info.q850), (Party::Remote, Some(16)));
        let info = others.wait_for_hangup(Some(SOON)).await.unwrap();
        assert_eq!(
            (info.by, info.q850, info.text.as_deref()),
            (Party::Host, Some(16), Some("enough"))
        );
        assert!(scene.session.poll_event().is_none(), "both waits took the events");
        assert!(matches!(
            scene.session.unbridge(&scene.b),
            Err(CallError::Hangup(_))
        ));
        drop((scene.a, scene.b));
        crate::support::eventually(|| scene.host.wire.legs() == 0).await;
    }
}

#[tokio::test]
async fn a_hangup_of_the_flows_ends_the_other_too_and_so_does_a_drop() {
    let mut scene = bridged().await;
    scene.a.hangup(Some("closing time")).unwrap();
    assert!(
        scene
            .alice
            .expect_bye()
            .await
            .header("Reason")
            .contains("closing time")
    );
    assert!(
        scene
            .bob
            .expect_bye()
            .await
            .header("Reason")
            .contains("closing time")
    );
    let event = event_of(&scene.session, &scene.b).await;
    assert!(matches!(event.kind, EventKind::HungUp(info) if info.by == Party::Host));
    assert!(scene.session.poll_event().is_none(), "the flow knows what it did");
    scene.nothing_left().await;

    let mut scene = bridged().await;
    drop(scene.b);
    scene.bob.expect_bye().await;
    scene.alice.expect_bye().await;
    assert_eq!(scene.a.state(), CallState::Terminated);
}

#[tokio::test]
async fn without_hangup_other_the_bridge_ends_and_the_other_leg_stays() {
    let mut scene = loose().await;
    assert_eq!(scene.alice.ask("BYE", None).await.status(), Some(200));
    assert!(matches!(
        event_of(&scene.session, &scene.a).await.kind,
        EventKind::HungUp(_)
    ));
    scene.bob.silent().await;
    assert_eq!(scene.b.state(), CallState::Connected);
    assert!(matches!(
        scene.session.unbridge(&scene.b),
        Err(CallError::WrongState(_))
    ));
    // It answers for itself now.
    let offer = session(5_040, "sendrecv");
    let response = scene.bob.ask("UPDATE", sdp(&offer)).await;
    assert_eq!(
        (response.status(), response.body()),
        (Some(200), scene.alices.as_str())
    );
    scene.b.hangup(None).unwrap();
    scene.bob.expect_bye().await;
    scene.nothing_left().await;
}

#[tokio::test]
async fn the_end_of_the_peer_that_offers_takes_the_offer_back() {
    let mut scene = loose().await;
    let sent = scene.alice.send("INVITE", sdp(&session(4_042, "sendrecv"))).await;
    let invite = scene.bob.request("INVITE").await;
    scene.bob.answer(&invite, "100 Trying", None).await;
    assert_eq!(scene.alice.ask("BYE", None).await.status(), Some(200));
    assert_eq!(scene.alice.response(&sent).await.status(), Some(487));
    let cancel = scene.bob.request("CANCEL").await;
    scene.bob.answer(&cancel, "200 OK", None).await;
    scene.bob.answer(&invite, "487 Request Terminated", None).await;
    scene.bob.request("ACK").await;
    crate::support::eventually(|| scene.b.state() == CallState::Connected).await;
    // The session is the old one.
    let response = scene.bob.ask("UPDATE", sdp(&session(5_042, "sendrecv"))).await;
    assert_eq!(response.body(), scene.alices);
}

#[tokio::test]
async fn the_end_of_the_peer_that_was_asked_refuses_the_offer() {
    let mut scene = loose().await;
    let sent = scene.alice.send("INVITE", sdp(&session(4_044, "sendrecv"))).await;
    scene.bob.request("INVITE").await;
    assert_eq!(scene.bob.ask("BYE", None).await.status(), Some(200));
    assert_eq!(scene.alice.refused(&sent).await.status(), Some(500));
    assert_eq!(scene.a.state(), CallState::Connected);
    let response = scene.alice.ask("UPDATE", sdp(&session(4_044, "sendrecv"))).await;
    assert_eq!(response.body(), scene.bobs, "the old session");
}

#[tokio::test]
async fn an_end_while_an_offer_is_pending_ends_both_and_leaves_nothing() {
    for from_alice in [true, false] {
        let mut scene = bridged().await;
        let sent = scene.alice.send("INVITE", sdp(&session(4_046, "sendrecv"))).await;
        let invite = scene.bob.request("INVITE").await;
        if from_alice {
            assert_eq!(scene.alice.ask("BYE", None).await.status(), Some(200));
            scene.bob.expect_bye().await;
        } else {
            assert_eq!(scene.bob.ask("BYE", None).await.status(), Some(200));
            scene.alice.expect_bye().await;
        }
        let refusal = scene.alice.refused(&sent).await.status().unwrap();
        assert!([487, 500].contains(&refusal), "{refusal}");
        // What the end of the call made of the re-INVITE (RFC 3261 §15.1.2).
        scene.bob.answer(&invite, "487 Request Terminated", None).await;
        scene.bob.request("ACK").await;
        let Scene { host, a, b, .. } = scene;
        drop((a, b));
        crate::support::eventually(|| host.wire.legs() == 0).await;
    }
}

#[tokio::test]
async fn a_peer_that_has_lost_the_call_ends_both() {
    let mut scene = bridged().await;
    let sent = scene.alice.send("INVITE", sdp(&session(4_048, "sendrecv"))).await;
    let invite = scene.bob.request("INVITE").await;
    scene
        .bob
        .answer(&invite, "481 Call/Transaction Does Not Exist", None)
        .await;
    // Not 481: that would be about Alice's own call.
    let refusal = scene.alice.refused(&sent).await.status().unwrap();
    assert!([487, 500].contains(&refusal), "{refusal}");
    scene.bob.expect_bye().await;
    scene.alice.expect_bye().await;
    let info = scene.b.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(
        (info.by, info.status.map(|status| status.code)),
        (Party::Host, Some(481))
    );
    assert_eq!(scene.a.wait_for_hangup(Some(SOON)).await.unwrap().by, Party::Host);
}
