//! Before the call is up.

use std::time::Duration;

use callbox::call::{CallError, CallState, EventKind, MakeCallOptions, Party, Status};

use super::{ended, hasty, invite_of, next_event, no_more_events};
use crate::scene::{Scene, Way};
use crate::support::peer::{PEER_SDP, Peer, SESSION};
use crate::support::{Host, Opened, SOON, event_of, eventually, sdp};

#[tokio::test]
async fn provisional_responses_are_events() {
    let mut host = Host::start();
    for (state, first, body, then) in [
        ("r-out", "180 Ringing", None, CallState::RingingOut),
        ("r-out", "183 Session Progress", SESSION, CallState::Early),
        ("e-out", "180 Ringing", None, CallState::Early),
        ("e-out", "183 Session Progress", SESSION, CallState::Early),
    ] {
        let scene = Scene::new(&mut host, state, Way::Outbound).await;
        next_event(&scene).await;
        scene.far.peer.answer(&invite_of(&scene), first, "", body).await;
        let event = next_event(&scene).await;
        let EventKind::Progress {
            status, body: came, ..
        } = event.kind
        else {
            panic!("{event:?}")
        };
        assert_eq!(
            (status.code, came.is_some()),
            (first[..3].parse().unwrap(), body.is_some())
        );
        assert_eq!(scene.leg().state(), then, "{first} in {state}");
    }
}

#[tokio::test]
async fn a_2xx_is_acknowledged_as_often_as_it_comes() {
    let mut host = Host::start();
    for state in ["r-out", "e-out"] {
        let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
        next_event(&scene).await;
        let invite = invite_of(&scene);
        for _ in 0..3 {
            scene.far.peer.answer(&invite, "200 OK", "", SESSION).await;
            scene.far.peer.request("ACK").await;
        }
        let event = next_event(&scene).await;
        assert!(matches!(event.kind, EventKind::Answered(info) if info.status.code == 200));
        assert_eq!(scene.leg().state(), CallState::Connected);
        no_more_events(&scene);
    }
}

#[tokio::test]
async fn a_2xx_with_an_offer_waits_for_the_answer() {
    let mut host = Host::start();
    let mut scene = Scene::new(&mut host, "off", Way::Outbound).await;
    next_event(&scene).await;
    assert!(matches!(next_event(&scene).await.kind, EventKind::Answered(info) if info.body.is_some()));
    scene.far.peer.quiet(Duration::from_millis(50)).await;
    assert_eq!(scene.leg().remote_offer().unwrap().data(), PEER_SDP.as_bytes());
    scene
        .leg()
        .answer(sdp(&scene.session), Vec::new(), SOON)
        .await
        .unwrap();
    let ack = scene.far.peer.request("ACK").await;
    assert!(ack.body().starts_with("v=0"), "{ack:?}");
}

#[tokio::test]
async fn a_2xx_of_another_fork_is_ended_at_once() {
    let mut host = Host::start();
    let mut scene = Scene::new(&mut host, "conn", Way::Outbound).await;
    let invite = invite_of(&scene);
    scene
        .far
        .peer
        .answer_as(&invite, "fork", "200 OK", "", SESSION)
        .await;
    let ack = scene.far.peer.request("ACK").await;
    let bye = scene.far.peer.request("BYE").await;
    assert!(
        ack.request_uri().contains("fork@") && bye.request_uri().contains("fork@"),
        "{bye:?}"
    );
    assert_eq!(
        (bye.to_tag(), scene.leg().state()),
        (Some("fork"), CallState::Connected)
    );
}

#[tokio::test]
async fn a_refusal_leaves_the_leg_idle() {
    let mut host = Host::start();
    for state in ["r-out", "e-out"] {
        for status in [
            "302 Moved Temporarily",
            "404 Not Found",
            "503 Service Unavailable",
            "603 Decline",
        ] {
            let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
            next_event(&scene).await;
            let invite = invite_of(&scene);
            scene.far.peer.answer(&invite, status, "", None).await;
            scene.far.peer.request("ACK").await;
            let event = next_event(&scene).await;
            let EventKind::Failed(CallError::Rejected(Status { code, .. })) = event.kind else {
                panic!("{event:?}")
            };
            assert_eq!(
                (code, scene.leg().state()),
                (status[..3].parse().unwrap(), CallState::Idle)
            );
        }
    }
}

#[tokio::test]
async fn a_time_out_cancels() {
    let mut host = Host::start();
    let opened = Opened::on(&mut host).await;
    for (provisional, body) in [("180 Ringing", None), ("183 Session Progress", SESSION)] {
        let mut peer = Peer::apart(host.addr()).await;
        let leg = opened.session.new_leg().unwrap();
        let options = MakeCallOptions {
            timeout: Duration::from_millis(100),
            offer: Some(sdp(&opened.session)),
            ..MakeCallOptions::default()
        };
        leg.dial(&peer.uri("x"), &options).unwrap();
        let invite = peer.request("INVITE").await;
        peer.answer(&invite, provisional, "", body).await;
        let cancel = peer.request("CANCEL").await;
        peer.answer(&cancel, "200 OK", "", None).await;
        peer.answer(&invite, "487 Request Terminated", "", None).await;
        assert!(matches!(
            event_of(&opened.session, &leg).await.kind,
            EventKind::Progress { .. }
        ));
        let event = event_of(&opened.session, &leg).await;
        assert!(
            matches!(event.kind, EventKind::Failed(CallError::Timeout)),
            "{event:?}"
        );
        assert_eq!(leg.state(), CallState::Idle);
    }
}

#[tokio::test]
async fn an_unreachable_peer_is_a_transport_failure() {
    let mut host = Host::start();
    let opened = Opened::on(&mut host).await;
    let leg = opened.session.new_leg().unwrap();
    // Nobody listens on a port that was just given back.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dest = format!("sip:x@{closed};transport=tcp");
    let options = MakeCallOptions::default();
    let waited = leg.make_call(&dest, &options).await;
    assert!(matches!(waited, Err(CallError::Transport(_))), "{waited:?}");
    leg.dial(&dest, &options).unwrap();
    let event = event_of(&opened.session, &leg).await;
    assert!(
        matches!(event.kind, EventKind::Failed(CallError::Transport(_))),
        "{event:?}"
    );
    assert_eq!(leg.state(), CallState::Idle);
}

#[tokio::test]
async fn cancel_and_bye_before_the_answer_end_the_leg() {
    let mut host = Host::start();
    for state in ["r-in", "e-in"] {
        for method in ["CANCEL", "BYE"] {
            let mut scene = Scene::new(&mut host, state, Way::Inbound).await;
            let mut dialog = scene.far.dialog.clone().unwrap();
            if method == "CANCEL" {
                scene.far.peer.in_transaction(&dialog, "CANCEL", None).await;
            } else {
                // A dialog to hang up needs a tag.
                scene.leg().ring(Vec::new()).unwrap();
                let ringing = scene.far.peer.response(180).await;
                dialog.theirs = ringing.header("To").to_owned();
                dialog.target = ringing.contact_uri().to_owned();
                scene.far.peer.ask(&mut dialog, "BYE", "", None).await;
            }
            let ok = scene.far.peer.find("200", |it| it.status() == Some(200)).await;
            assert_eq!(ok.cseq_method(), method);
            let refused = scene.far.peer.find("487", |it| it.status() == Some(487)).await;
            assert_eq!(refused.cseq_method(), "INVITE");
            scene
                .far
                .peer
                .in_transaction(&dialog, "ACK", Some(&refused))
                .await;
            ended(&scene, Party::Remote, (method == "CANCEL").then_some(487)).await;
        }
    }
}

#[tokio::test]
async fn the_body_of_an_ack_is_the_remote_offer() {
    let mut host = Host::start();
    let mut peer = Peer::apart(host.addr()).await;
    let mut dialog = peer.invite("callee", None).await;
    let (session, leg) = host.next_call().await;
    assert!(leg.remote_offer().is_none());
    let (answered, ()) = tokio::join!(leg.answer(sdp(&session), Vec::new(), SOON), async {
        let ok = peer.response(200).await;
        assert!(ok.body().starts_with("v=0"), "{ok:?}");
        peer.ack(&mut dialog, &ok, SESSION).await;
    });
    answered.unwrap();
    assert_eq!(leg.remote_offer().unwrap().data(), PEER_SDP.as_bytes());
    assert_eq!(leg.state(), CallState::Connected);
}

#[tokio::test]
async fn a_reliable_response_is_acknowledged_once() {
    let mut host = Host::start();
    for (state, body, then) in [
        ("r-out", None, CallState::RingingOut),
        ("r-out", SESSION, CallState::Early),
        ("e-out", SESSION, CallState::Early),
    ] {
        let mut scene = Scene::new(&mut host, state, Way::Outbound).await;
        next_event(&scene).await;
        let invite = invite_of(&scene);
        for copy in [false, true] {
            let reliable = "Require: 100rel\r\nRSeq: 71\r\n";
            scene
                .far
                .peer
                .answer(&invite, "183 Session Progress", reliable, body)
                .await;
            if copy {
                scene.far.peer.quiet(Duration::from_millis(30)).await;
                no_more_events(&scene);
                continue;
            }
            let prack = scene.far.peer.request("PRACK").await;
            assert!(prack.header("RAck").starts_with("71 "), "{prack:?}");
            scene.far.peer.answer(&prack, "200 OK", "", None).await;
            let event = next_event(&scene).await;
            assert!(
                matches!(event.kind, EventKind::Progress { reliable: true, .. }),
                "{event:?}"
            );
            assert_eq!(scene.leg().state(), then);
        }
    }
}

#[tokio::test]
async fn a_prack_confirms_and_its_absence_ends_the_leg() {
    let mut host = hasty();
    for with_prack in [true, false] {
        let mut peer = Peer::apart(host.addr()).await;
        let mut dialog = peer
            .invite_to(host.uri("callee"), "Supported: 100rel\r\n", None)
            .await;
        let (session, leg) = host.next_call().await;
        leg.progress(183, Some(sdp(&session)), Vec::new()).unwrap();
        let early = peer.response(183).await;
        dialog.theirs = early.header("To").to_owned();
        dialog.target = early.contact_uri().to_owned();
        if with_prack {
            let acknowledged = format!("RAck: {} 1 INVITE\r\n", early.header("RSeq"));
            peer.ask(&mut dialog, "PRACK", &acknowledged, SESSION).await;
            let ok = peer.find("200", |it| it.cseq_method() == "PRACK").await;
            assert_eq!(ok.status(), Some(200));
            eventually(|| {
                leg.remote_offer()
                    .is_some_and(|body| body.data() == PEER_SDP.as_bytes())
            })
            .await;
            assert_eq!(leg.state(), CallState::Early);
        } else {
            let refused = peer.find("504", |it| it.status() == Some(504)).await;
            assert_eq!(refused.cseq_method(), "INVITE");
            let info = leg.wait_for_hangup(Some(SOON)).await.unwrap();
            assert_eq!((info.by, info.status.map(|it| it.code)), (Party::Host, Some(504)));
            assert!(info.text.is_some());
        }
    }
}
