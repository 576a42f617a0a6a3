//! What happens from outside: one test a group of rows of that table, which `ROWS` repeats so that a new row asks for its
//! test.

use std::time::Duration;

use callbox::call::{CallError, CallState, Event, EventKind, MakeCallOptions, Party, Status};
use callbox_sip::endpoint::EndpointConfig;

use crate::scene::{Scene, Way, ways};
use crate::support::peer::{Message, PEER_SDP, Peer, SESSION};
use crate::support::{Host, Opened, SOON, event_of, eventually, sdp};
use crate::table;

/// How each row begins, and the test that proves it: here, or in a file beside this one.
const ROWS: &[(&str, &str)] = &[
    (
        "1xx without a body | r-out, e-out",
        "provisional_responses_are_events",
    ),
    (
        "1xx with a To tag and a body | r-out, e-out",
        "provisional_responses_are_events",
    ),
    ("either, and reliable", "a_reliable_response_is_acknowledged_once"),
    (
        "2xx, our INVITE had an offer | r-out, e-out",
        "a_2xx_is_acknowledged_as_often_as_it_comes",
    ),
    (
        "2xx, our INVITE had none | r-out, e-out",
        "a_2xx_with_an_offer_waits_for_the_answer",
    ),
    (
        "2xx of another fork, later | any",
        "a_2xx_of_another_fork_is_ended_at_once",
    ),
    ("3xx–6xx | r-out, e-out", "a_refusal_leaves_the_leg_idle"),
    (
        "300–302, and with follow-redirects",
        "contacts_are_called_in_the_order_of_q_until_one_answers",
    ),
    ("time-out of the attempt | r-out, e-out", "a_time_out_cancels"),
    (
        "network failure of the attempt | r-out, e-out",
        "an_unreachable_peer_is_a_transport_failure",
    ),
    (
        "CANCEL | r-in, e-in",
        "cancel_and_bye_before_the_answer_end_the_leg",
    ),
    (
        "PRACK | r-in, e-in, conn",
        "a_prack_confirms_and_its_absence_ends_the_leg",
    ),
    (
        "no PRACK for 32 s",
        "a_prack_confirms_and_its_absence_ends_the_leg",
    ),
    ("ACK | conn", "the_body_of_an_ack_is_the_remote_offer"),
    ("no ACK for 32 s | conn", "what_never_comes_ends_the_leg"),
    (
        "the offer not answered for 32 s | off",
        "what_never_comes_ends_the_leg",
    ),
    ("BYE | r-in, e-in", "cancel_and_bye_before_the_answer_end_the_leg"),
    ("BYE | off, conn, held, reof", "a_bye_ends_the_leg_in_every_state"),
    (
        "INFO with a digit | live",
        "infos_are_events_unless_a_wait_took_them",
    ),
    ("other INFO | live", "infos_are_events_unless_a_wait_took_them"),
    (
        "re-INVITE, UPDATE | conn, held",
        "offers_of_the_peer_get_our_session",
    ),
    (
        "re-INVITE, UPDATE after decide-offers | conn, held",
        "an_offer_that_finds_no_room_or_no_reader_is_refused",
    ),
    (
        "the flow accepts that offer | reof",
        "an_offer_is_accepted_with_the_flows_own_answer",
    ),
    (
        "the flow rejects or drops it | reof",
        "an_offer_that_is_rejected_or_let_go_leaves_the_session_as_it_was",
    ),
    (
        "CANCEL of that re-INVITE, or no decision in time | reof",
        "an_offer_that_the_peer_cancels_is_gone",
    ),
    (
        "BYE while an offer is undecided | reof",
        "a_call_that_ends_takes_its_undecided_offer_along",
    ),
    (
        "re-INVITE, UPDATE | reof",
        "an_offer_that_crosses_ours_is_refused",
    ),
    (
        "REFER | conn, held, reof",
        "a_referral_that_is_rejected_dropped_or_lost_is_refused",
    ),
    (
        "NOTIFY on a transfer of ours | live",
        "reports_on_a_transfer_are_events_where_nothing_waits_for_them",
    ),
    (
        "INVITE with Replaces of this leg",
        "a_call_is_replaced_when_the_flow_answers_the_other_on_whatever_shard",
    ),
    (
        "the flow answers that new leg",
        "a_call_is_replaced_when_the_flow_answers_the_other_on_whatever_shard",
    ),
    (
        "INVITE with Replaces of no such call",
        "what_is_not_the_callers_to_replace_does_not_exist",
    ),
    ("the longest call time", "the_longest_call_time_ends_the_leg"),
    ("the peer is gone", "what_never_comes_ends_the_leg"),
];

#[test]
fn every_row_has_a_test() {
    for row in table::names("## What happens from outside", 2) {
        let known = ROWS.iter().any(|(event, _)| row.starts_with(event));
        assert!(known, "name this row here, and the test that proves it: {row}");
    }
    let tests = concat!(
        include_str!("outside.rs"),
        include_str!("../decide.rs"),
        include_str!("../redirect.rs"),
        include_str!("../replaces.rs"),
    );
    for (row, test) in ROWS {
        assert!(tests.contains(&format!("async fn {test}()")), "{row}: no {test}");
    }
}

/// A host whose 32 seconds are fractions of one.
fn hasty() -> Host {
    let mut endpoint = EndpointConfig::default();
    endpoint.timing.t1 = Duration::from_millis(5);
    Host::with(endpoint)
}

async fn next_event(scene: &Scene) -> Event {
    event_of(&scene.session, scene.leg()).await
}

fn no_more_events(scene: &Scene) {
    assert!(scene.session.poll_event().is_none());
}

/// The leg is over; the one event says so, and by whom.
async fn ended(scene: &Scene, by: Party, status: Option<u16>) {
    let event = loop {
        let event = next_event(scene).await;
        // What came before the end.
        if !matches!(
            event.kind,
            EventKind::Progress { .. } | EventKind::Answered(_) | EventKind::Offer(_)
        ) {
            break event;
        }
    };
    let EventKind::HungUp(info) = event.kind else {
        panic!("{event:?}")
    };
    assert_eq!((info.by, info.status.map(|status| status.code)), (by, status));
    assert_eq!(scene.leg().state(), CallState::Terminated);
    no_more_events(scene);
    assert_eq!(scene.leg().wait_for_hangup(None).await.unwrap().by, by);
}

fn invite_of(scene: &Scene) -> Message {
    scene.far.dialog.as_ref().unwrap().invite.clone()
}

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
