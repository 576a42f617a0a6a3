//! Legs against legs: two hosts of the call layer on one machine, each with its own sockets and shards, no WebAssembly
//! between. What one side does, the other must see, as `wit/leg-semantics.md` says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    CallError, CallState, EventKind, MakeCallOptions, Party, ReofferOptions, Session, Status,
};
use callbox::config::limits::CallLimits;

use support::{Pair, SDP, SOON, context, event_of, eventually, sdp};

#[tokio::test]
async fn a_call_is_placed_answered_and_hung_up() {
    let mut pair = Pair::start().await;
    let (ours, theirs_session, theirs) = pair.connected().await;
    assert_eq!(
        (ours.state(), theirs.state()),
        (CallState::Connected, CallState::Connected)
    );
    assert_eq!((theirs.ani().as_str(), theirs.dnis().as_str()), ("tester", "bob"));
    assert_eq!((ours.ani().as_str(), ours.dnis().as_str()), ("tester", "bob"));
    let received = theirs.remote_offer().unwrap();
    assert!(
        received.data().ends_with(b"m=audio 4000 RTP/AVP 0\r\n"),
        "LF became CRLF"
    );
    assert_eq!(
        ours.remote_offer().unwrap().data(),
        theirs.local_offer().unwrap().data()
    );

    ours.hangup(Some("bye for now")).unwrap();
    let info = theirs.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(
        (info.by, info.text.as_deref()),
        (Party::Remote, Some("bye for now"))
    );
    assert!(
        matches!(theirs.ring(Vec::new()), Err(CallError::Hangup(_))),
        "the peer ended it"
    );
    assert!(
        matches!(ours.cancel(None), Err(CallError::WrongState(_))),
        "this side ended it"
    );
    assert_eq!(ours.wait_for_hangup(None).await.unwrap().by, Party::Local);
    assert!(
        theirs_session.poll_event().is_none(),
        "what a wait took is no event"
    );
}

#[tokio::test]
async fn a_rejected_leg_is_idle_and_may_hunt_on() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    let options = MakeCallOptions::default();
    let status = |code, reason: &str| {
        Err(CallError::Rejected(Status {
            code,
            reason: reason.to_owned(),
        }))
    };
    assert_eq!(
        ours.make_call(&pair.b.uri("nobody"), &options).await,
        status(404, "Not Found")
    );
    assert_eq!(ours.state(), CallState::Idle);

    let dest = pair.b.uri("bob");
    let (busy, ()) = tokio::join!(ours.make_call(&dest, &options), async {
        let (_, leg) = pair.b.next_call().await;
        leg.reject(486, Some("At Lunch"), Vec::new()).unwrap();
    });
    assert_eq!(busy, status(486, "At Lunch"));
    let (call, _theirs) = tokio::join!(ours.make_call(&dest, &options), async {
        let (session, leg) = pair.b.next_call().await;
        leg.answer(sdp(&session), Vec::new(), Duration::ZERO)
            .await
            .unwrap();
        (session, leg)
    });
    // No offer of ours: theirs waits for an answer, which the ACK carries.
    assert!(call.unwrap().body.is_some());
    assert_eq!(ours.state(), CallState::OfferedByRemote);
    ours.answer(sdp(pair.session()), Vec::new(), SOON).await.unwrap();
    assert_eq!(ours.state(), CallState::Connected);
}

#[tokio::test]
async fn a_timeout_cancels_and_the_leg_may_dial_again() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    let options = MakeCallOptions {
        timeout: Duration::from_millis(300),
        ..MakeCallOptions::default()
    };
    let dest = pair.b.uri("bob");
    let (outcome, theirs) = tokio::join!(ours.make_call(&dest, &options), async {
        let (session, leg) = pair.b.next_call().await;
        leg.ring(Vec::new()).unwrap();
        (session, leg)
    });
    assert_eq!(outcome, Err(CallError::Timeout));
    assert_eq!(ours.state(), CallState::Idle);
    let info = theirs.1.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(
        (info.by, info.status.map(|status| status.code)),
        (Party::Remote, Some(487))
    );
    drop(theirs);
    let (again, _theirs, _) = pair.connected().await;
    assert_eq!(again.state(), CallState::Connected);
}

#[tokio::test]
async fn dial_tells_by_events_and_cancel_ends_the_attempt_only() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    ours.dial(&pair.b.uri("bob"), &MakeCallOptions::default())
        .unwrap();
    assert!(matches!(
        ours.dial("sip:x@127.0.0.1", &MakeCallOptions::default()),
        Err(CallError::WrongState(_))
    ));
    let (_session, theirs) = pair.b.next_call().await;
    theirs
        .progress(183, Some(sdp(pair.session())), Vec::new())
        .unwrap();
    let event = event_of(pair.session(), &ours).await;
    assert!(matches!(
        event.kind,
        EventKind::Progress {
            status: Status { code: 183, .. },
            body: Some(_),
            reliable: false,
        }
    ));
    assert_eq!(
        (ours.state(), theirs.state()),
        (CallState::Early, CallState::Early)
    );
    ours.cancel(None).unwrap();
    assert_eq!(ours.state(), CallState::Idle);
    assert!(matches!(
        event_of(pair.session(), &ours).await.kind,
        EventKind::Failed(CallError::Cancelled)
    ));
    assert_eq!(
        theirs.wait_for_hangup(Some(SOON)).await.unwrap().by,
        Party::Remote
    );
}

#[tokio::test]
async fn early_media_is_reliable_where_there_is_an_offer_and_the_answer_follows_it() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    let options = MakeCallOptions {
        offer: Some(sdp(pair.session())),
        ..MakeCallOptions::default()
    };
    ours.dial(&pair.b.uri("bob"), &options).unwrap();
    let (_session, theirs) = pair.b.next_call().await;
    let (media, answer) = (sdp(pair.session()), sdp(pair.session()));
    theirs.progress(183, Some(media), Vec::new()).unwrap();
    theirs.answer(answer, Vec::new(), SOON).await.unwrap();
    let progress = event_of(pair.session(), &ours).await.kind;
    assert!(matches!(
        progress,
        EventKind::Progress {
            body: Some(_),
            reliable: true,
            ..
        }
    ));
    let answered = event_of(pair.session(), &ours).await.kind;
    assert!(matches!(answered, EventKind::Answered(_)), "{answered:?}");
}

#[tokio::test]
async fn digits_arrive_in_order_and_are_kept_until_they_are_read() {
    let mut pair = Pair::start().await;
    let (ours, _session, theirs) = pair.connected().await;
    let tone = Duration::from_millis(20);
    ours.send_dtmf("12#A", tone, tone).await.unwrap();
    for digit in ['1', '2', '#', 'A'] {
        assert_eq!(theirs.wait_for_dtmf(SOON).await.unwrap().digit, digit);
    }
    assert_eq!(
        theirs.wait_for_dtmf(Duration::ZERO).await,
        Err(CallError::Timeout)
    );
    assert_eq!(theirs.dtmf_buffer(), "12#A");
    assert!(matches!(
        ours.send_dtmf("1x", tone, tone).await,
        Err(CallError::Invalid(_))
    ));

    ours.send_dtmf("7", tone, tone).await.unwrap();
    ours.hangup(None).unwrap();
    theirs.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(
        theirs.wait_for_dtmf(SOON).await.unwrap().digit,
        '7',
        "typed before the end"
    );
    assert!(matches!(
        theirs.wait_for_dtmf(SOON).await,
        Err(CallError::Hangup(_))
    ));
}

#[tokio::test]
async fn a_message_within_the_call_is_an_event_of_the_peer() {
    let mut pair = Pair::start().await;
    let (ours, session, theirs) = pair.connected().await;
    let text = pair.session().body("text/plain", b"hello".to_vec()).unwrap();
    assert_eq!(ours.send_message(text, SOON).await.unwrap().code, 200);
    match event_of(&session, &theirs).await.kind {
        EventKind::Message(body) => assert_eq!(
            (body.content_type(), &body.data()[..]),
            ("text/plain", &b"hello"[..])
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hold_and_resume_are_offers_that_the_peer_sees() {
    let mut pair = Pair::start().await;
    let (ours, session, theirs) = pair.connected().await;
    ours.hold().await.unwrap();
    assert_eq!(ours.state(), CallState::Held);
    assert!(matches!(event_of(&session, &theirs).await.kind, EventKind::Held));
    let offered = String::from_utf8(theirs.remote_offer().unwrap().data().to_vec()).unwrap();
    assert!(
        offered.contains("a=sendonly\r\n") && offered.contains("o=test 1 2 "),
        "{offered}"
    );
    ours.hold().await.unwrap();
    ours.resume().await.unwrap();
    assert_eq!(ours.state(), CallState::Connected);
    assert!(matches!(
        event_of(&session, &theirs).await.kind,
        EventKind::Resumed
    ));
    ours.hangup(None).unwrap();
    assert!(matches!(ours.hold().await, Err(CallError::WrongState(_))));
}

#[tokio::test]
async fn a_reoffer_updates_both_sides_by_reinvite_and_by_update() {
    let mut pair = Pair::start().await;
    let (ours, _session, theirs) = pair.connected().await;
    for (port, use_update) in [(5000, false), (6000, true)] {
        let text = SDP.replace("4000", &port.to_string());
        let offer = pair.session().body("application/sdp", text.into()).unwrap();
        let options = ReofferOptions {
            offer: Some(offer.clone()),
            use_update,
            ..ReofferOptions::default()
        };
        let answer = ours.reoffer(&options).await.unwrap();
        assert_eq!(answer.status.code, 200);
        assert_eq!(ours.local_offer(), Some(offer.clone()));
        // Their shard answers first and tells the leg then.
        eventually(|| {
            theirs
                .remote_offer()
                .is_some_and(|body| body.data() == offer.data())
        })
        .await;
        assert_eq!(ours.state(), CallState::Connected);
    }
    theirs.hangup(None).unwrap();
    ours.wait_for_hangup(Some(SOON)).await.unwrap();
    assert!(matches!(
        ours.reoffer(&ReofferOptions::default()).await,
        Err(CallError::Hangup(_))
    ));
}

#[tokio::test]
async fn dropping_a_leg_ends_it_on_the_wire_and_nothing_is_left() {
    let mut pair = Pair::start().await;
    let (ours, _session, theirs) = pair.connected().await;
    drop(ours);
    assert_eq!(
        theirs.wait_for_hangup(Some(SOON)).await.unwrap().by,
        Party::Remote
    );
    let before = pair.a.wire.legs();
    let (ours, _session, theirs) = pair.connected().await;
    assert!(pair.a.wire.legs() > before.saturating_sub(1));
    drop(theirs);
    assert_eq!(ours.wait_for_hangup(Some(SOON)).await.unwrap().by, Party::Remote);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_reason() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    let options = MakeCallOptions::default();
    for dest in [
        "",
        "bob",
        "sip:",
        "sip:a b@h",
        "sip:a@h\r\nX: y",
        "sip:a@h>",
        "http://h",
    ] {
        let refused = ours.dial(dest, &options);
        assert!(
            matches!(refused, Err(CallError::Invalid(_) | CallError::Unsupported(_))),
            "{dest:?}: {refused:?}"
        );
    }
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("X-A\r\n", "x"),
        ("X-A", "a\r\nVia: x"),
        ("X-A", "\0"),
        ("Via", "x"),
    ] {
        assert!(pair.session().header(name, value).is_err(), "{name:?}: {value:?}");
    }
    assert!(pair.session().header("X-A", "Größe; a=\"b\"").is_ok());
    let big = vec![b'x'; CallLimits::default().body_max_bytes + 1];
    for (kind, data) in [
        ("text/plain", big),
        ("text", vec![]),
        ("a/b\r\nX: y", vec![]),
        ("application/sdp", b"o=x".to_vec()),
    ] {
        assert!(pair.session().body(kind, data).is_err(), "{kind}");
    }
    let (_, _session, theirs) = pair.connected().await;
    assert!(matches!(
        theirs.reject(486, None, Vec::new()),
        Err(CallError::WrongState(_) | CallError::Hangup(_))
    ));
}

#[tokio::test]
async fn timers_become_events_and_one_too_many_is_counted() {
    let session = Session::detached("timers".to_owned(), context());
    let most = u32::try_from(CallLimits::default().timers_max).unwrap();
    session.set_timer(1, Duration::from_millis(30));
    session.set_timer(0, Duration::from_millis(10));
    for id in 2..=most {
        session.set_timer(id, Duration::from_secs(60));
    }
    let next = || session.next_event(None, Some(SOON));
    assert!(matches!(next().await.unwrap().kind, EventKind::Overflow(1)));
    assert!(matches!(next().await.unwrap().kind, EventKind::Timer(0)));
    assert!(matches!(next().await.unwrap().kind, EventKind::Timer(1)));
    session.set_timer(7, Duration::ZERO);
    session.cancel_timer(7);
    assert!(session.poll_event().is_none(), "forgotten before it was read");
}
