//! Our re-INVITE and UPDATE, message by message: RFC 3261 §14.1, RFC 3311 §5.1, and the races of RFC 5407.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::time::Duration;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{
    Body, EndKind, EndpointError, Header, InDialogRequest, LegEvent, LegId, ReofferRequest, Reoffered,
    RequestFailure, TransportFailure,
};
use callbox_sip::message::Method;
use peer::{Peer, SDP, Sent, sdp, to};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";
const OTHER: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\na=sendonly\r\n";

fn other() -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: OTHER.as_bytes().into(),
    })
}

fn request(body: Option<Body>) -> ReofferRequest {
    ReofferRequest {
        headers: vec![],
        body,
        update: false,
        timeout: Duration::from_secs(15),
    }
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

/// A call that the endpoint placed, connected.
fn called(peer: &mut Peer) -> LegId {
    let (leg, invite) = peer.call(|_| {});
    peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    peer.leg_events();
    leg
}

/// Asks for another session; gives what was sent.
fn reoffer(peer: &mut Peer, leg: LegId, request: ReofferRequest) -> Sent {
    let (_, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request).unwrap());
    sent[0].clone()
}

fn outcome(peer: &mut Peer) -> Reoffered {
    let mut events = peer.leg_events();
    match events.pop() {
        Some(LegEvent::Reoffered { outcome, .. }) if events.is_empty() => outcome,
        other => panic!("{events:?} {other:?}"),
    }
}

/// The body of our answer to an offer of the peer: the session that holds.
fn session(peer: &mut Peer, seq: u32, from_tag: &str, to_line: &str) -> Vec<u8> {
    let cseq = format!("CSeq: {seq} UPDATE");
    let call_id = peer.sent[0].header("Call-ID");
    let lines = [cseq.as_str(), from_tag, to_line, &format!("Call-ID: {call_id}")];
    let sent = peer.send("UPDATE", &lines, SDP);
    assert_eq!(sent[0].code(), 200);
    peer.leg_events();
    sent[0].message().body().to_vec()
}

#[test]
fn an_accepted_reinvite_is_acked_with_its_own_number_and_its_session_holds() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    let mut wanted = request(other());
    wanted.headers.push(Header {
        name: "X-Why".into(),
        value: "hold".into(),
    });
    let invite = reoffer(&mut peer, leg, wanted);
    assert_eq!(
        (invite.method().as_str(), invite.header("X-Why").as_str()),
        ("INVITE", "hold")
    );
    assert_eq!(invite.message().body(), OTHER.as_bytes());
    assert_eq!(invite.header("Contact"), "<sip:192.0.2.9:5060>");
    // A request in between takes the next number; the ACK keeps that of its INVITE.
    let info = InDialogRequest {
        method: Method::Info,
        headers: vec![],
        body: None,
    };
    peer.act(|endpoint, now| endpoint.request(now, leg, info).unwrap());
    let moved = "Contact: <sip:alice@192.0.2.77:5099>";
    let ack = peer.reply(&invite, "200 OK", "", &[moved], SDP);
    assert_eq!(ack[0].header("CSeq"), "1 ACK");
    assert_eq!(ack[0].uri(), "sip:alice@192.0.2.77:5099");
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Accepted {
            needs_answer: false,
            ..
        }
    ));
    let again = peer.reply(&invite, "200 OK", "", &[moved], SDP);
    assert_eq!(
        again[0].bytes, ack[0].bytes,
        "each copy of the 2xx gets the same ACK"
    );
    assert_eq!(
        session(&mut peer, 2, "From: <sip:alice@192.0.2.1>;tag=a1", &to(&tag)),
        OTHER.as_bytes()
    );
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(
        bye[0].uri(),
        "sip:alice@192.0.2.1:5060",
        "the UPDATE moved it back"
    );
}

#[test]
fn a_refusal_leaves_the_session_and_the_call() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    let invite = reoffer(&mut peer, leg, request(other()));
    let busy = peer
        .act(|endpoint, now| endpoint.reoffer(now, leg, request(other())))
        .0;
    assert!(matches!(busy, Err(EndpointError::WrongState(_))), "one at a time");
    let ack = peer.reply(&invite, "488 Not Acceptable Here", "", &[], "");
    assert_eq!(
        ack[0].header("Via"),
        invite.header("Via"),
        "within its transaction"
    );
    let Reoffered::Rejected(response) = outcome(&mut peer) else {
        panic!("a refusal");
    };
    assert_eq!(response.code(), Some(488));
    assert_eq!(
        session(&mut peer, 2, "From: <sip:alice@192.0.2.1>;tag=a1", &to(&tag)),
        SDP.as_bytes()
    );
    reoffer(&mut peer, leg, request(other()));
}

#[test]
fn a_reinvite_without_an_offer_is_answered_by_the_host_in_the_ack() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let invite = reoffer(&mut peer, leg, request(None));
    assert!(invite.message().body().is_empty());
    assert!(peer.reply(&invite, "200 OK", "", &[CONTACT], SDP).is_empty());
    assert!(
        peer.reply(&invite, "200 OK", "", &[CONTACT], SDP).is_empty(),
        "the host thinks"
    );
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Accepted {
            needs_answer: true,
            ..
        }
    ));
    let call_id = format!("Call-ID: {}", invite.header("Call-ID"));
    let (from, to) = (invite.header("To"), invite.header("From"));
    let lines = [
        format!("From: {from}"),
        format!("To: {to}"),
        call_id,
        "CSeq: 9 INVITE".into(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(peer.send("INVITE", &lines, SDP)[0].code(), 491, "an offer is out");
    let (_, ack) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], other()).unwrap());
    assert_eq!(
        (ack[0].method().as_str(), ack[0].message().body()),
        ("ACK", OTHER.as_bytes())
    );
    let again = peer.reply(&invite, "200 OK", "", &[CONTACT], SDP);
    assert_eq!(again[0].bytes, ack[0].bytes);
}

#[test]
fn an_offer_that_the_host_never_answers_is_answered_with_the_current_session() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let invite = reoffer(&mut peer, leg, request(None));
    peer.reply(&invite, "200 OK", "", &[CONTACT], SDP);
    let sent = peer.wait_ms(30_000);
    assert_eq!(methods(&sent), ["ACK"]);
    assert_eq!(sent[0].message().body(), SDP.as_bytes());
    assert_eq!(peer.endpoint.counts().legs, 1);
    // Hanging up instead of answering: ACK, then BYE.
    let invite = reoffer(&mut peer, leg, request(None));
    peer.reply(&invite, "200 OK", "", &[CONTACT], SDP);
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    peer.reply(&sent[1], "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn a_491_is_repeated_after_a_pause_that_depends_on_who_called() {
    for (we_called, least, most) in [(true, 2_100, 4_000), (false, 0, 2_000)] {
        let mut peer = Peer::new();
        let leg = if we_called {
            called(&mut peer)
        } else {
            peer.talking().0
        };
        peer.leg_events();
        let mut pauses = Vec::new();
        let mut invite = reoffer(&mut peer, leg, request(other()));
        for _ in 0..3 {
            let began = (peer.now - peer.start).as_millis() as u64;
            peer.reply(&invite, "491 Request Pending", "", &[], "");
            let sent = peer.wait_ms(most);
            pauses.push(sent[0].at - began);
            assert_ne!(sent[0].header("CSeq"), invite.header("CSeq"));
            assert_eq!(sent[0].message().body(), OTHER.as_bytes());
            invite = sent[0].clone();
        }
        assert!(
            pauses.iter().all(|pause| (least..=most).contains(pause)),
            "{pauses:?}"
        );
        assert!(
            pauses.iter().any(|pause| *pause != pauses[0]),
            "random: {pauses:?}"
        );
        assert!(peer.leg_events().is_empty(), "the host hears of none of it");
        peer.reply(&invite, "200 OK", "", &[CONTACT], SDP);
        assert!(matches!(outcome(&mut peer), Reoffered::Accepted { .. }));
    }
}

#[test]
fn a_pause_that_would_outlast_the_time_out_is_not_begun() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let wanted = ReofferRequest {
        timeout: Duration::from_secs(2),
        ..request(other())
    };
    let invite = reoffer(&mut peer, leg, wanted);
    peer.reply(&invite, "491 Request Pending", "", &[], "");
    let Reoffered::Rejected(response) = outcome(&mut peer) else {
        panic!("a refusal");
    };
    assert_eq!(response.code(), Some(491));
    assert!(peer.wait_ms(10_000).is_empty());
}

#[test]
fn while_we_pause_the_peers_offer_is_answered() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    let invite = reoffer(&mut peer, leg, request(other()));
    let glare = peer.send("INVITE", &["CSeq: 2 INVITE", &to(&tag)], SDP);
    assert_eq!(glare[0].code(), 491, "ours is out");
    peer.reply(&invite, "491 Request Pending", "", &[], "");
    let theirs = peer.send("INVITE", &["CSeq: 3 INVITE", &to(&tag)], SDP);
    assert_eq!(theirs[0].code(), 200);
    // Ours waits for the ACK of theirs, even when its pause is over.
    let sent = peer.wait_ms(2_100);
    assert!(sent.iter().all(|sent| sent.code() != 0), "{:?}", methods(&sent));
    let sent = peer.send("ACK", &["CSeq: 3 ACK", &to(&tag)], "");
    assert_eq!(methods(&sent), ["INVITE"]);
    peer.reply(&sent[0], "200 OK", "", &[CONTACT], SDP);
    assert!(matches!(
        peer.leg_events().last(),
        Some(LegEvent::Reoffered {
            outcome: Reoffered::Accepted { .. },
            ..
        })
    ));
}

#[test]
fn a_reoffer_before_the_ack_of_the_call_waits_for_it() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let tag = sent[0].to_tag();
    let (_, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request(other())).unwrap());
    assert!(sent.is_empty());
    assert_eq!(methods(&peer.send("ACK", &[&to(&tag)], "")), ["INVITE"]);
}

#[test]
fn its_time_out_cancels_and_the_outcome_follows() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let invite = reoffer(&mut peer, leg, request(other()));
    peer.reply(&invite, "100 Trying", "", &[], "");
    let sent = peer.wait_ms(15_000);
    assert_eq!(methods(&sent), ["CANCEL"]);
    assert_eq!(sent[0].header("Via"), invite.header("Via"));
    assert!(matches!(
        peer.leg_events()[..],
        [LegEvent::ReofferTimedOut { .. }]
    ));
    assert!(
        peer.act(|e, now| e.reoffer(now, leg, request(other())))
            .0
            .is_err(),
        "not over yet"
    );
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.reply(&invite, "487 Request Terminated", "", &[], "");
    assert!(matches!(outcome(&mut peer), Reoffered::Rejected(_)));
    assert_eq!(peer.endpoint.counts().legs, 1);

    // A 2xx that crosses the CANCEL: the new session holds.
    let invite = reoffer(&mut peer, leg, request(other()));
    peer.reply(&invite, "100 Trying", "", &[], "");
    peer.wait_ms(15_000);
    let ack = peer.reply(&invite, "200 OK", "", &[CONTACT], SDP);
    assert_eq!(methods(&ack), ["ACK"]);
    let events = peer.leg_events();
    assert!(matches!(
        events[..],
        [
            LegEvent::ReofferTimedOut { .. },
            LegEvent::Reoffered {
                outcome: Reoffered::Accepted { .. },
                ..
            }
        ]
    ));

    // A peer that answers the CANCEL with silence.
    let invite = reoffer(&mut peer, leg, request(other()));
    peer.reply(&invite, "100 Trying", "", &[], "");
    let sent = peer.wait_ms(15_000);
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.wait_ms(32_000);
    let events = peer.leg_events();
    assert!(matches!(
        events[..],
        [
            LegEvent::ReofferTimedOut { .. },
            LegEvent::Reoffered {
                outcome: Reoffered::Failed(RequestFailure::Timeout),
                ..
            }
        ]
    ));
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    peer.reply(&bye[0], "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn the_cancel_waits_for_a_provisional_response() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let wanted = ReofferRequest {
        timeout: Duration::from_millis(100),
        ..request(other())
    };
    let invite = reoffer(&mut peer, leg, wanted);
    assert!(peer.wait_ms(100).is_empty());
    assert!(matches!(
        peer.leg_events()[..],
        [LegEvent::ReofferTimedOut { .. }]
    ));
    assert_eq!(
        methods(&peer.reply(&invite, "100 Trying", "", &[], "")),
        ["CANCEL"]
    );
    assert!(peer.reply(&invite, "180 Ringing", "", &[], "").is_empty(), "once");
}

#[test]
fn a_peer_that_lost_the_dialog_loses_the_call() {
    for (status, code) in [
        ("481 Gone", Some(481)),
        ("408 Timeout", Some(408)),
        ("", Some(408)),
    ] {
        let mut peer = Peer::new();
        let leg = called(&mut peer);
        let wanted = ReofferRequest {
            timeout: Duration::from_secs(60),
            ..request(other())
        };
        let invite = reoffer(&mut peer, leg, wanted);
        let sent = if status.is_empty() {
            peer.wait_ms(32_000)
        } else {
            peer.reply(&invite, status, "", &[], "")
        };
        let bye = sent.last().unwrap().clone();
        assert_eq!(bye.method(), "BYE");
        let ended = peer.ended();
        assert_eq!(
            (ended.why, ended.status.map(|s| s.0)),
            (EndKind::DialogGone, code)
        );
        peer.reply(&bye, "481 Gone", "", &[], "");
        peer.assert_quiescent();
    }
}

#[test]
fn a_challenge_is_answered() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|request| {
        request.credentials = vec![Credentials {
            username: "bob".into(),
            password: "zanzibar".into(),
            realm: None,
        }];
    });
    peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    peer.leg_events();
    let first = reoffer(&mut peer, leg, request(other()));
    let challenge = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n1\", qop=\"auth\"";
    let sent = peer.reply(&first, "407 Proxy Authentication Required", "", &[challenge], "");
    assert_eq!(methods(&sent), ["ACK", "INVITE"]);
    assert!(sent[1].header("Proxy-Authorization").contains("username=\"bob\""));
    assert_eq!(sent[1].message().body(), OTHER.as_bytes());
    assert!(peer.leg_events().is_empty());
    // The same challenge again: the password is wrong.
    peer.reply(
        &sent[1],
        "407 Proxy Authentication Required",
        "",
        &[challenge],
        "",
    );
    assert!(matches!(outcome(&mut peer), Reoffered::Rejected(_)));
}

#[test]
fn an_update_needs_no_ack_and_a_refused_one_changes_nothing() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    let wanted = |body| ReofferRequest {
        update: true,
        ..request(body)
    };
    let update = reoffer(&mut peer, leg, wanted(other()));
    assert_eq!(
        (update.method().as_str(), update.message().body()),
        ("UPDATE", OTHER.as_bytes())
    );
    assert_eq!(update.header("Contact"), "<sip:192.0.2.9:5060>");
    assert!(peer.reply(&update, "488 No", "", &[], "").is_empty());
    assert!(matches!(outcome(&mut peer), Reoffered::Rejected(_)));
    assert_eq!(
        session(&mut peer, 2, "From: <sip:alice@192.0.2.1>;tag=a1", &to(&tag)),
        SDP.as_bytes()
    );
    let update = reoffer(&mut peer, leg, wanted(other()));
    let glare = peer.send("UPDATE", &["CSeq: 3 UPDATE", &to(&tag)], SDP);
    assert_eq!(glare[0].code(), 491);
    assert!(peer.reply(&update, "200 OK", "", &[CONTACT], SDP).is_empty());
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Accepted {
            needs_answer: false,
            ..
        }
    ));
    assert_eq!(
        session(&mut peer, 4, "From: <sip:alice@192.0.2.1>;tag=a1", &to(&tag)),
        OTHER.as_bytes()
    );
    // Without a body it only renews our Contact.
    let update = reoffer(&mut peer, leg, wanted(None));
    peer.reply(&update, "200 OK", "", &[CONTACT], "");
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Accepted {
            needs_answer: false,
            ..
        }
    ));
    // Its time-out tells at once, its transaction later.
    reoffer(&mut peer, leg, wanted(other()));
    peer.wait_ms(15_000);
    assert!(matches!(
        peer.leg_events()[..],
        [LegEvent::ReofferTimedOut { .. }]
    ));
    peer.wait_ms(17_000);
    assert!(matches!(
        peer.leg_events()[..],
        [
            LegEvent::Reoffered {
                outcome: Reoffered::Failed(RequestFailure::Timeout),
                ..
            },
            LegEvent::Ended(_)
        ]
    ));
    peer.wait_ms(40_000);
    peer.assert_quiescent();
}

#[test]
fn bye_against_a_reinvite() {
    // The peer's BYE crosses our re-INVITE, whose 2xx or 487 comes later: each 2xx gets its ACK.
    for status in ["200 OK", "487 Request Terminated"] {
        let mut peer = Peer::new();
        let (leg, tag) = peer.talking();
        peer.leg_events();
        let invite = reoffer(&mut peer, leg, request(other()));
        peer.reply(&invite, "100 Trying", "", &[], "");
        assert_eq!(peer.send("BYE", &["CSeq: 2 BYE", &to(&tag)], "")[0].code(), 200);
        let events = peer.leg_events();
        assert!(matches!(
            events[..],
            [
                LegEvent::Reoffered {
                    outcome: Reoffered::Failed(RequestFailure::LegEnded),
                    ..
                },
                LegEvent::Ended(_)
            ]
        ));
        assert_eq!(methods(&peer.reply(&invite, status, "", &[CONTACT], "")), ["ACK"]);
        assert_eq!(peer.endpoint.counts().legs, 0);
        assert!(peer.leg_events().is_empty());
        peer.assert_quiescent();
    }
    // Our BYE behind our re-INVITE; its final response comes before or after that of the BYE, or never.
    for (first, second) in [(0, Some(1)), (1, Some(0)), (0, None)] {
        let mut peer = Peer::new();
        let (leg, _) = peer.talking();
        peer.leg_events();
        let invite = reoffer(&mut peer, leg, request(other()));
        peer.reply(&invite, "100 Trying", "", &[], "");
        let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
        let requests = [bye[0].clone(), invite];
        for index in [Some(first), second].into_iter().flatten() {
            let sent = peer.reply(&requests[index], "200 OK", "", &[CONTACT], "");
            assert_eq!(sent.len(), index, "only the INVITE's 2xx has an ACK");
        }
        assert_eq!(peer.leg_events().len(), 2);
        peer.assert_quiescent();
    }
}

#[test]
fn what_cannot_be_sent_is_refused_and_failures_are_told() {
    let mut peer = Peer::new();
    let leg = called(&mut peer);
    let bad = |peer: &mut Peer, wanted: ReofferRequest| {
        let (result, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, wanted));
        assert!(sent.is_empty());
        result.unwrap_err()
    };
    let header = |name: &str, value: &str| ReofferRequest {
        headers: vec![Header {
            name: name.into(),
            value: value.into(),
        }],
        ..request(other())
    };
    for wanted in [
        header("X", "a\r\nb"),
        header("Contact", "<sip:x@h>"),
        header("a b", "c"),
    ] {
        assert!(matches!(bad(&mut peer, wanted), EndpointError::Invalid(_)));
    }
    let huge = Body {
        content_type: "application/sdp".into(),
        data: vec![b'v'; 60_001].into(),
    };
    assert!(matches!(
        bad(&mut peer, request(Some(huge))),
        EndpointError::Invalid(_)
    ));
    let invite = reoffer(&mut peer, leg, request(other()));
    let token = invite.token.unwrap();
    peer.act(|endpoint, now| endpoint.handle_transmit_failed(now, token, TransportFailure::Refused));
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Failed(RequestFailure::Transport(TransportFailure::Refused))
    ));
    let mut early = Peer::new();
    let (leg, _) = early.call(|_| {});
    let result = early
        .act(|endpoint, now| endpoint.reoffer(now, leg, request(other())))
        .0;
    assert!(matches!(result, Err(EndpointError::WrongState(_))));
}
