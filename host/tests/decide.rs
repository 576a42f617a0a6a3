//! What a flow decides that its peer asks: re-INVITE and UPDATE after `decide-offers`, REFER. One host over real sockets, and
//! a raw peer or another host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    Body, CallError, CallState, EventKind, IncomingOffer, Leg, Party, Referral, ReofferOptions, Session,
    Status, TransferOptions,
};
use callbox_sip::endpoint::{EndpointConfig, EndpointLimits};
use support::peer::{Dialog, PEER_SDP, Peer, SESSION};
use support::{Host, Pair, SDP, SOON, event_of, eventually, sdp};

/// A call from a raw peer, answered and acknowledged.
struct Talk {
    /// Keeps its sockets open.
    host: Host,
    peer: Peer,
    dialog: Dialog,
    session: Session,
    leg: Leg,
}

impl Talk {
    async fn start() -> Self {
        Self::with(false).await
    }

    async fn deciding() -> Self {
        Self::with(true).await
    }

    async fn with(decides: bool) -> Self {
        Self::on(Host::start(), decides).await
    }

    async fn on(mut host: Host, decides: bool) -> Self {
        let mut peer = Peer::new(host.addr()).await;
        let mut dialog = peer.invite("bob", SESSION).await;
        let (session, leg) = host.next_call().await;
        leg.decide_offers(decides);
        let (confirmed, ()) = tokio::join!(leg.answer(sdp(&session), Vec::new(), SOON), async {
            let answer = peer.find("200", |message| message.status() == Some(200)).await;
            peer.ack(&mut dialog, &answer, None).await;
        });
        confirmed.unwrap();
        Self {
            host,
            peer,
            dialog,
            session,
            leg,
        }
    }

    async fn offer(&mut self) -> IncomingOffer {
        match event_of(&self.session, &self.leg).await.kind {
            EventKind::Offer(offer) => offer,
            other => panic!("{other:?}"),
        }
    }

    async fn referral(&mut self) -> Referral {
        match event_of(&self.session, &self.leg).await.kind {
            EventKind::Refer(referral) => referral,
            other => panic!("{other:?}"),
        }
    }

    /// Asks to refer, and hears of it.
    async fn referred(&mut self, to: &str) -> Referral {
        let line = format!("Refer-To: {to}\r\nReferred-By: <sip:boss@example.com>\r\n");
        self.peer.ask(&mut self.dialog, "REFER", &line, None).await;
        self.referral().await
    }

    /// The next report, answered: its fragment and its state.
    async fn report(&mut self) -> (String, String) {
        let notify = self.peer.request("NOTIFY").await;
        self.peer.answer(&notify, "200 OK", "", None).await;
        assert_eq!(notify.header("Event").split(';').next(), Some("refer"));
        (
            notify.body().trim_end().to_owned(),
            notify.header("Subscription-State").to_owned(),
        )
    }
}

fn wrong_state(result: Result<(), CallError>) -> bool {
    matches!(result, Err(CallError::WrongState(_)))
}

/// The leg decides about offers from now on, or not; a request of its own that was answered shows that its shard knows.
async fn decides(session: &Session, leg: &Leg, value: bool) {
    leg.decide_offers(value);
    let text = session.body("text/plain", b"ready".to_vec()).unwrap();
    leg.send_message(text, SOON).await.unwrap();
}

fn media(session: &Session, port: u16, direction: &str) -> Body {
    let text = format!("{}a={direction}\n", SDP.replace("4000", &port.to_string()));
    session.body("application/sdp", text.into()).unwrap()
}

fn offer_of(body: Body, use_update: bool) -> ReofferOptions {
    ReofferOptions {
        offer: Some(body),
        use_update,
        ..ReofferOptions::default()
    }
}

#[tokio::test]
async fn an_offer_is_accepted_with_the_flows_own_answer() {
    let mut pair = Pair::start().await;
    let (ours, session, theirs) = pair.connected().await;
    decides(&session, &theirs, true).await;
    for (port, use_update) in [(5000, false), (6000, true)] {
        let offered = media(pair.session(), port, "sendrecv");
        let answer = media(&session, port + 2, "sendrecv");
        let options = offer_of(offered.clone(), use_update);
        let (accepted, ()) = tokio::join!(ours.reoffer(&options), async {
            let EventKind::Offer(offer) = event_of(&session, &theirs).await.kind else {
                panic!("not an offer");
            };
            assert_eq!(theirs.state(), CallState::Reoffering);
            assert_eq!(offer.body().unwrap().data(), offered.data());
            assert_ne!(
                theirs.remote_offer().unwrap().data(),
                offered.data(),
                "not decided"
            );
            assert!(wrong_state(
                theirs.reoffer(&ReofferOptions::default()).await.map(drop)
            ));
            offer.answer(answer.clone()).unwrap();
            assert_eq!(theirs.state(), CallState::Connected);
            assert_eq!(theirs.remote_offer().unwrap().data(), offered.data());
            assert_eq!(theirs.local_offer().unwrap(), answer);
            assert!(wrong_state(offer.answer(answer.clone())) && wrong_state(offer.reject(488)));
        });
        assert_eq!(accepted.unwrap().body.unwrap().data(), answer.data());
        assert_eq!(ours.remote_offer().unwrap().data(), answer.data());
    }
}

#[tokio::test]
async fn an_offer_that_is_rejected_or_let_go_leaves_the_session_as_it_was() {
    let mut pair = Pair::start().await;
    let (ours, session, theirs) = pair.connected().await;
    theirs.decide_offers(true);
    theirs.decide_offers(false);
    decides(&session, &theirs, true).await;
    let before = (theirs.local_offer(), theirs.remote_offer(), ours.remote_offer());
    for use_update in [false, true] {
        for (decision, code) in [("reject", 606), ("drop", 488), ("decline", 488)] {
            let options = offer_of(media(pair.session(), 7000, "sendonly"), use_update);
            let (refused, ()) = tokio::join!(ours.reoffer(&options), async {
                let EventKind::Offer(offer) = event_of(&session, &theirs).await.kind else {
                    panic!("not an offer");
                };
                assert!(matches!(offer.reject(200), Err(CallError::Invalid(_))));
                match decision {
                    "reject" => offer.reject(code).unwrap(),
                    "drop" => drop(offer),
                    _ => offer.decline(),
                }
            });
            match refused {
                Err(CallError::Rejected(status)) => assert_eq!(status.code, code, "{decision}"),
                other => panic!("{decision}: {other:?}"),
            }
            eventually(|| theirs.state() == CallState::Connected).await;
        }
    }
    let after = (theirs.local_offer(), theirs.remote_offer(), ours.remote_offer());
    assert_eq!(before, after);
    assert!(session.poll_event().is_none(), "a refused hold is none");
    // Left to the host again.
    decides(&session, &theirs, false).await;
    ours.hold().await.unwrap();
    assert!(matches!(event_of(&session, &theirs).await.kind, EventKind::Held));
}

#[tokio::test]
async fn a_hold_that_the_flow_accepts_is_told_as_one() {
    let mut pair = Pair::start().await;
    let (ours, session, theirs) = pair.connected().await;
    decides(&session, &theirs, true).await;
    for (direction, hold) in [("sendonly", true), ("sendrecv", false)] {
        let options = offer_of(media(pair.session(), 5000, direction), false);
        let (accepted, ()) = tokio::join!(ours.reoffer(&options), async {
            let EventKind::Offer(offer) = event_of(&session, &theirs).await.kind else {
                panic!("not an offer");
            };
            offer.answer(media(&session, 5002, "sendrecv")).unwrap();
        });
        accepted.unwrap();
        let told = event_of(&session, &theirs).await.kind;
        assert!(matches!(
            (told, hold),
            (EventKind::Held, true) | (EventKind::Resumed, false)
        ));
    }
    assert!(session.poll_event().is_none());
}

#[tokio::test]
async fn deciding_may_be_asked_for_before_there_is_a_call() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    ours.decide_offers(true);
    let dest = pair.b.uri("bob");
    let options = callbox::call::MakeCallOptions {
        offer: Some(sdp(pair.session())),
        ..Default::default()
    };
    let (call, (session, theirs)) = tokio::join!(ours.make_call(&dest, &options), async {
        let (session, leg) = pair.b.next_call().await;
        leg.decide_offers(true);
        leg.answer(sdp(&session), Vec::new(), SOON).await.unwrap();
        (session, leg)
    });
    call.unwrap();
    let offer = |from: &Session| offer_of(media(from, 5000, "sendrecv"), false);
    let their_offer = offer(&session);
    let (refused, ()) = tokio::join!(theirs.reoffer(&their_offer), async {
        match event_of(pair.session(), &ours).await.kind {
            EventKind::Offer(offer) => offer.reject(403).unwrap(),
            other => panic!("{other:?}"),
        }
    });
    assert!(matches!(
        refused,
        Err(CallError::Rejected(Status { code: 403, .. }))
    ));
    let our_offer = offer(pair.session());
    let (refused, ()) = tokio::join!(ours.reoffer(&our_offer), async {
        match event_of(&session, &theirs).await.kind {
            EventKind::Offer(offer) => offer.reject(404).unwrap(),
            other => panic!("{other:?}"),
        }
    });
    assert!(matches!(
        refused,
        Err(CallError::Rejected(Status { code: 404, .. }))
    ));
}

#[tokio::test]
async fn a_reinvite_without_an_offer_is_answered_with_ours_and_its_ack_brings_theirs() {
    let mut talk = Talk::deciding().await;
    talk.peer.ask(&mut talk.dialog, "INVITE", "", None).await;
    let offer = talk.offer().await;
    assert_eq!(offer.body(), None);
    let ours = media(&talk.session, 4300, "sendrecv");
    offer.answer(ours.clone()).unwrap();
    let answer = talk
        .peer
        .find("200", |message| message.status() == Some(200))
        .await;
    assert_eq!(answer.body().as_bytes(), ours.data());
    let theirs = PEER_SDP.replace("4100", "4200");
    let body = Some(("application/sdp", theirs.as_str()));
    talk.peer.ack(&mut talk.dialog, &answer, body).await;
    eventually(|| talk.leg.remote_offer().unwrap().data() == theirs.as_bytes()).await;
    assert_eq!(talk.leg.local_offer(), Some(ours));
}

#[tokio::test]
async fn an_offer_that_the_peer_cancels_is_gone() {
    let mut talk = Talk::deciding().await;
    for read_first in [true, false] {
        talk.dialog.invite = talk.peer.ask(&mut talk.dialog, "INVITE", "", SESSION).await;
        eventually(|| talk.leg.state() == CallState::Reoffering).await;
        let offer = match read_first {
            true => Some(talk.offer().await),
            false => None,
        };
        let dialog = talk.dialog.clone();
        talk.peer.in_transaction(&dialog, "CANCEL", None).await;
        let gone = talk
            .peer
            .find("487", |message| message.status() == Some(487))
            .await;
        talk.peer.in_transaction(&dialog, "ACK", Some(&gone)).await;
        eventually(|| talk.leg.state() == CallState::Connected).await;
        if let Some(offer) = offer {
            assert!(wrong_state(offer.answer(sdp(&talk.session))) && wrong_state(offer.reject(488)));
        }
        assert!(talk.session.poll_event().is_none(), "unread, it is taken back");
    }
}

#[tokio::test]
async fn what_is_not_decided_in_time_is_refused() {
    let soon = Duration::from_millis(200);
    let limits = EndpointLimits {
        reinvite_decision_max: soon,
        update_decision_max: soon,
        ..EndpointLimits::default()
    };
    let host = Host::with(EndpointConfig {
        limits,
        ..EndpointConfig::default()
    });
    let mut talk = Talk::on(host, true).await;
    for (method, code) in [("UPDATE", 504), ("INVITE", 488)] {
        for read in [true, false] {
            talk.dialog.invite = talk.peer.ask(&mut talk.dialog, method, "", SESSION).await;
            let offer = match read {
                true => Some(talk.offer().await),
                false => None,
            };
            let refused = talk
                .peer
                .find("refusal", |message| message.status() == Some(code))
                .await;
            if method == "INVITE" {
                let dialog = talk.dialog.clone();
                talk.peer.in_transaction(&dialog, "ACK", Some(&refused)).await;
            }
            eventually(|| talk.leg.state() == CallState::Connected).await;
            if let Some(offer) = offer {
                assert!(wrong_state(offer.answer(sdp(&talk.session))));
            }
            assert!(talk.session.poll_event().is_none(), "unread, it is taken back");
        }
    }
    let referral = talk.referred("<sip:carol@192.0.2.1>").await;
    talk.peer
        .find("603", |message| message.status() == Some(603))
        .await;
    eventually(|| wrong_state(referral.accept())).await;
}

#[tokio::test]
async fn offers_that_cross_leave_one_session() {
    let mut talk = Talk::deciding().await;
    let ours = offer_of(media(&talk.session, 5000, "sendrecv"), false);
    for _ in 0..40 {
        // The flow waits for its own offer, so it can decide nothing: the peer's is refused, whichever came first.
        let (accepted, ()) = tokio::join!(talk.leg.reoffer(&ours), async {
            talk.dialog.invite = talk.peer.ask(&mut talk.dialog, "INVITE", "", SESSION).await;
            let refused = talk
                .peer
                .find("491", |message| message.status() == Some(491))
                .await;
            let dialog = talk.dialog.clone();
            talk.peer.in_transaction(&dialog, "ACK", Some(&refused)).await;
            let offered = talk
                .peer
                .find("INVITE", |message| message.method() == Some("INVITE"))
                .await;
            talk.peer.answer(&offered, "200 OK", "", SESSION).await;
            talk.peer
                .find("ACK", |message| message.method() == Some("ACK"))
                .await;
        });
        accepted.unwrap();
        assert_eq!(talk.leg.state(), CallState::Connected);
        assert_eq!(talk.leg.local_offer(), ours.offer);
        assert!(talk.session.poll_event().is_none());
    }
}

#[tokio::test]
async fn an_offer_that_finds_no_room_or_no_reader_is_refused() {
    let mut talk = Talk::deciding().await;
    talk.peer.ask(&mut talk.dialog, "INVITE", "", SESSION).await;
    eventually(|| talk.leg.state() == CallState::Reoffering).await;
    for id in 0..64 {
        talk.session.set_timer(id, Duration::ZERO);
    }
    assert!(matches!(
        talk.session.poll_event().unwrap().kind,
        EventKind::Overflow(1)
    ));
    let refused = talk
        .peer
        .find("488", |message| message.status() == Some(488))
        .await;
    talk.dialog.invite = refused.clone();
    eventually(|| talk.leg.state() == CallState::Connected).await;

    // The call ends with its session, and the question with the call.
    talk.peer.ask(&mut talk.dialog, "UPDATE", "", SESSION).await;
    eventually(|| talk.leg.state() == CallState::Reoffering).await;
    let Talk {
        mut peer,
        session,
        leg,
        ..
    } = talk;
    drop(session);
    let refused = peer
        .find("488", |message| message.cseq_method() == "UPDATE")
        .await;
    assert_eq!(refused.status(), Some(488));
    drop(leg);
    peer.find("BYE", |message| message.method() == Some("BYE")).await;
}

#[tokio::test]
async fn a_call_that_ends_takes_its_undecided_offer_along() {
    let mut talk = Talk::deciding().await;
    talk.peer.ask(&mut talk.dialog, "INVITE", "", SESSION).await;
    let offer = talk.offer().await;
    talk.peer.ask(&mut talk.dialog, "BYE", "", None).await;
    talk.peer
        .find("487", |message| message.status() == Some(487))
        .await;
    talk.leg.wait_for_hangup(Some(SOON)).await.unwrap();
    match offer.answer(sdp(&talk.session)) {
        Err(CallError::Hangup(info)) => assert_eq!(info.by, Party::Remote),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_referral_is_accepted_and_reported_to_its_end() {
    let mut talk = Talk::start().await;
    let referral = talk
        .referred("<sip:carol@192.0.2.1:5070?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>")
        .await;
    assert_eq!(referral.target(), "sip:carol@192.0.2.1:5070");
    assert_eq!(referral.replaces(), Some("a@b;to-tag=1;from-tag=2"));
    assert_eq!(referral.referred_by(), Some("<sip:boss@example.com>"));
    let status = |code, reason: &str| Status {
        code,
        reason: reason.to_owned(),
    };
    assert!(wrong_state(referral.notify(&status(180, ""))), "not accepted yet");
    referral.accept().unwrap();
    assert!(wrong_state(referral.accept()) && wrong_state(referral.reject(486)));
    talk.peer.response(202).await;
    let (said, state) = talk.report().await;
    assert_eq!(said, "SIP/2.0 100 Trying");
    assert!(state.starts_with("active"), "{state}");
    assert!(matches!(
        referral.notify(&status(99, "")),
        Err(CallError::Invalid(_))
    ));
    assert!(matches!(
        referral.notify(&status(180, "a\r\nb")),
        Err(CallError::Invalid(_))
    ));
    referral.notify(&status(180, "")).unwrap();
    assert_eq!(talk.report().await.0, "SIP/2.0 180 Ringing");
    referral.notify(&status(486, "At Lunch")).unwrap();
    let (said, state) = talk.report().await;
    assert_eq!(said, "SIP/2.0 486 At Lunch");
    assert!(state.starts_with("terminated"), "{state}");
    assert!(
        wrong_state(referral.notify(&status(200, ""))),
        "a final status ends it"
    );
    drop(referral);
    talk.peer.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_referral_that_is_rejected_dropped_or_lost_is_refused() {
    let mut talk = Talk::start().await;
    for (decision, code) in [("reject", 486), ("drop", 603), ("lose", 603)] {
        let line = "Refer-To: <sip:carol@192.0.2.1>\r\n";
        talk.peer.ask(&mut talk.dialog, "REFER", line, None).await;
        match decision {
            "lose" => {
                // Unread, and pushed out by what is newer.
                while talk
                    .session
                    .poll_event()
                    .is_none_or(|event| !matches!(event.kind, EventKind::Overflow(_)))
                {
                    for id in 0..64 {
                        talk.session.set_timer(id, Duration::ZERO);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            decision => {
                let referral = talk.referral().await;
                assert!(matches!(referral.reject(302), Err(CallError::Invalid(_))));
                if decision == "reject" {
                    referral.reject(code).unwrap();
                    assert!(wrong_state(referral.accept()));
                }
            }
        }
        talk.peer.response(code).await;
    }
}

#[tokio::test]
async fn an_accepted_referral_that_is_let_go_ends_its_reports() {
    let mut talk = Talk::start().await;
    // More than the endpoint lets one leg have open at a time.
    for _ in 0..6 {
        let referral = talk.referred("<sip:carol@192.0.2.1>").await;
        referral.accept().unwrap();
        talk.peer.response(202).await;
        talk.report().await;
        drop(referral);
        let (said, state) = talk.report().await;
        assert_eq!(said, "SIP/2.0 100 Trying");
        assert!(state.starts_with("terminated"), "{state}");
    }
}

#[tokio::test]
async fn a_referral_of_a_call_that_is_over_says_so() {
    let mut talk = Talk::start().await;
    let referral = talk.referred("<sip:carol@192.0.2.1>").await;
    talk.peer.ask(&mut talk.dialog, "BYE", "", None).await;
    talk.peer
        .find("487", |message| message.status() == Some(487))
        .await;
    talk.leg.wait_for_hangup(Some(SOON)).await.unwrap();
    assert!(matches!(referral.accept(), Err(CallError::Hangup(_))));
    let Talk { leg, .. } = talk;
    drop(leg);
    eventually(|| wrong_state(referral.accept()) || matches!(referral.accept(), Err(CallError::Hangup(_))))
        .await;
}

#[tokio::test]
async fn reports_on_a_transfer_are_events_where_nothing_waits_for_them() {
    let mut talk = Talk::start().await;
    let options = TransferOptions {
        keep_leg: true,
        ..TransferOptions::default()
    };
    let (transferred, refer) =
        tokio::join!(talk.leg.blind_transfer("sip:carol@192.0.2.1", &options), async {
            let refer = talk.peer.request("REFER").await;
            talk.peer.answer(&refer, "202 Accepted", "", None).await;
            refer
        });
    assert_eq!(refer.header("Refer-Sub"), "", "reports are wanted");
    assert_eq!(transferred.unwrap().accepted.code, 202);
    for (said, state) in [
        ("SIP/2.0 180 Ringing", "active;expires=60"),
        ("SIP/2.0 503 Busy", "terminated;reason=noresource"),
    ] {
        let lines = format!("Event: refer\r\nSubscription-State: {state}\r\n");
        let body = Some(("message/sipfrag;version=2.0", said));
        talk.peer.ask(&mut talk.dialog, "NOTIFY", &lines, body).await;
        talk.peer.response(200).await;
        match event_of(&talk.session, &talk.leg).await.kind {
            EventKind::TransferProgress(status) => assert_eq!(format!("SIP/2.0 {status}"), said),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(talk.leg.state(), CallState::Connected);
    assert_eq!(talk.host.wire.legs(), 1);
}
