//! While the call is up.

use std::time::Duration;

use callbox::call::{CallError, CallState, EventKind, MakeCallOptions, Party};

use super::{ended, hasty, next_event, no_more_events};
use crate::scene::{Scene, Way, ways};
use crate::support::peer::{PEER_SDP, Peer, SESSION};
use crate::support::{Host, Opened, SOON, event_of, eventually, sdp};

#[tokio::test]
async fn a_bye_ends_the_leg_in_every_state() {
    let mut host = Host::start();
    for state in ["off", "conn", "held", "reof"] {
        for &way in ways(state) {
            if way == Way::Unacknowledged {
                continue; // A callee's INVITE is not over before its ACK.
            }
            let mut scene = Scene::new(&mut host, state, way).await;
            let mut dialog = scene.far.dialog.clone().unwrap();
            scene
                .far
                .peer
                .ask(
                    &mut dialog,
                    "BYE",
                    "Reason: Q.850;cause=16;text=\"enough\"\r\n",
                    None,
                )
                .await;
            let ok = scene.far.peer.find("200", |it| it.cseq_method() == "BYE").await;
            assert_eq!(ok.status(), Some(200));
            ended(&scene, Party::Remote, None).await;
            let info = scene.leg().wait_for_hangup(None).await.unwrap();
            assert_eq!((info.q850, info.text.as_deref()), (Some(16), Some("enough")));
        }
    }
}

#[tokio::test]
async fn infos_are_events_unless_a_wait_took_them() {
    let mut host = Host::start();
    for state in ["off", "conn", "held", "reof"] {
        let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
        while scene.session.poll_event().is_some() {}
        let mut dialog = scene.far.dialog.clone().unwrap();
        for _ in 0..2 {
            for (kind, text) in [("application/dtmf", "7"), ("text/plain", "hello")] {
                scene
                    .far
                    .peer
                    .ask(&mut dialog, "INFO", "", Some((kind, text)))
                    .await;
                let ok = scene.far.peer.response(200).await;
                assert_eq!(ok.cseq_method(), "INFO", "{state}");
            }
        }
        assert_eq!(scene.leg().wait_for_dtmf(SOON).await.unwrap().digit, '7');
        let info = scene.leg().wait_for_info(SOON).await.unwrap();
        assert_eq!(info.body.unwrap().data(), &b"hello"[..]);
        assert!(matches!(next_event(&scene).await.kind, EventKind::Dtmf(dtmf) if dtmf.digit == '7'));
        assert!(matches!(next_event(&scene).await.kind, EventKind::Info(_)));
        no_more_events(&scene);
        assert_eq!(scene.leg().dtmf_buffer(), "77");
        assert_eq!(
            scene.leg().wait_for_dtmf(Duration::ZERO).await,
            Err(CallError::Timeout)
        );
    }
}

#[tokio::test]
async fn offers_of_the_peer_get_our_session() {
    let mut host = Host::start();
    for state in ["conn", "held"] {
        for method in ["INVITE", "UPDATE"] {
            let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
            while scene.session.poll_event().is_some() {}
            let mut dialog = scene.far.dialog.clone().unwrap();
            let before = scene.leg().state();
            for direction in ["sendonly", "sendrecv"] {
                let offer = format!("{PEER_SDP}a={direction}\r\n");
                let body = Some(("application/sdp", offer.as_str()));
                scene.far.peer.ask(&mut dialog, method, "", body).await;
                let ok = scene.far.peer.find("200", |it| it.status() == Some(200)).await;
                assert!(
                    ok.cseq_method() == method && ok.body().starts_with("v=0"),
                    "{ok:?}"
                );
                if method == "INVITE" {
                    scene.far.peer.ack(&mut dialog, &ok, None).await;
                }
                let kind = next_event(&scene).await.kind;
                assert!(
                    matches!(
                        (&kind, direction),
                        (EventKind::Held, "sendonly") | (EventKind::Resumed, "sendrecv")
                    ),
                    "{kind:?}"
                );
                assert_eq!(scene.leg().remote_offer().unwrap().data(), offer.as_bytes());
                assert_eq!(scene.leg().state(), before, "a hold by the peer is no state");
            }
        }
    }
}

#[tokio::test]
async fn an_offer_that_crosses_ours_is_refused() {
    let mut host = Host::start();
    for method in ["INVITE", "UPDATE"] {
        let mut scene = Scene::new(&mut host, "reof", Way::Outbound).await;
        let mut dialog = scene.far.dialog.clone().unwrap();
        scene.far.peer.ask(&mut dialog, method, "", SESSION).await;
        let refused = scene.far.peer.response(491).await;
        assert_eq!(
            (refused.cseq_method(), scene.leg().state()),
            (method, CallState::Reoffering)
        );
    }
}

#[tokio::test]
async fn the_longest_call_time_ends_the_leg() {
    let mut host = Host::start();
    let opened = Opened::on(&mut host).await;
    let mut peer = Peer::apart(host.addr()).await;
    let leg = opened.session.new_leg().unwrap();
    let options = MakeCallOptions {
        max_duration: Some(Duration::from_millis(100)),
        offer: Some(sdp(&opened.session)),
        ..MakeCallOptions::default()
    };
    leg.dial(&peer.uri("x"), &options).unwrap();
    let invite = peer.request("INVITE").await;
    peer.answer(&invite, "200 OK", "", SESSION).await;
    peer.request("ACK").await;
    peer.request("BYE").await;
    assert!(matches!(
        event_of(&opened.session, &leg).await.kind,
        EventKind::Answered(_)
    ));
    let event = event_of(&opened.session, &leg).await;
    let EventKind::HungUp(info) = event.kind else {
        panic!("{event:?}")
    };
    assert_eq!((info.by, info.status), (Party::Host, None));
    assert!(info.text.is_some_and(|text| text.contains("duration")));
}

#[tokio::test]
async fn what_never_comes_ends_the_leg() {
    let mut host = hasty();
    // The ACK of our 200.
    let mut scene = Scene::new(&mut host, "conn", Way::Unacknowledged).await;
    let bye = scene.far.peer.find("BYE", |it| it.method() == Some("BYE")).await;
    assert!(bye.header("Reason").contains("408"), "{bye:?}");
    ended(&scene, Party::Host, Some(408)).await;
    let waited = scene.leg().wait_for_dtmf(SOON).await;
    assert!(matches!(waited, Err(CallError::Hangup(info)) if info.text.is_some()));

    // Our answer to the peer's offer.
    let mut scene = Scene::new(&mut host, "off", Way::Outbound).await;
    scene.far.peer.request("ACK").await;
    scene.far.peer.request("BYE").await;
    ended(&scene, Party::Host, Some(408)).await;

    // The answer to a request of ours; 481 is tried by the table of methods.
    for state in ["conn", "held", "reof"] {
        let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
        let text = scene.session.body("text/plain", b"?".to_vec()).unwrap();
        let leg = scene.leg.take().unwrap();
        let silent = leg.send_info(text, Vec::new(), Some(SOON)).await;
        assert!(
            matches!(silent, Err(CallError::Hangup(info)) if info.by == Party::Host),
            "{state}"
        );
        scene.leg = Some(leg);
        scene.far.peer.find("BYE", |it| it.method() == Some("BYE")).await;
        eventually(|| scene.leg().state() == CallState::Terminated).await;
        ended(&scene, Party::Host, Some(408)).await;
    }
}
