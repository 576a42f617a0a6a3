//! The peer's re-INVITE and UPDATE, message by message: RFC 3261 §14.2, RFC 3311 §5.2.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::time::Duration;

use callbox_sip::endpoint::{Body, EndpointError, Header, LegEvent, LegId, PeerRequestId, ReofferRequest};
use peer::{Peer, SDP, Sent, sdp, to};

const OTHER: &str =
    "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";
const HOLD: &str = "v=0\r\no=- 1 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n";

fn other() -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: OTHER.as_bytes().into(),
    })
}

fn codes(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::code).collect()
}

fn deciding() -> (Peer, LegId, String) {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.act(|endpoint, _| endpoint.decide_offers(leg, true).unwrap());
    peer.leg_events();
    (peer, leg, tag)
}

/// The one event: an offer to decide.
fn offer(peer: &mut Peer) -> PeerRequestId {
    match peer.leg_events()[..] {
        [LegEvent::Offer { decide: Some(id), .. }] => id,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn without_the_host_both_get_our_session_and_the_host_hears_of_it() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    peer.leg_events();
    let update = peer.send("UPDATE", &["CSeq: 2 UPDATE", &to(&tag)], HOLD);
    assert_eq!(codes(&update), [200]);
    assert_eq!(update[0].message().body(), SDP.as_bytes());
    assert!(update[0].header("Contact").starts_with("<sip:192.0.2.9:5060"));
    let invite = peer.send("INVITE", &["CSeq: 3 INVITE", &to(&tag)], HOLD);
    assert_eq!(codes(&invite), [200]);
    peer.send("ACK", &["CSeq: 3 ACK", &to(&tag)], "");
    let events = peer.leg_events();
    assert_eq!(events.len(), 2, "{events:?}");
    for event in events {
        let LegEvent::Offer {
            request,
            decide: None,
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!(
            request.body(),
            HOLD.as_bytes(),
            "its direction is the host's to read"
        );
    }
    assert!(peer.wait_ms(10_000).is_empty());
}

#[test]
fn a_reinvite_without_an_offer_gets_ours_and_its_ack_brings_the_answer() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    peer.leg_events();
    let sent = peer.send("INVITE", &["CSeq: 2 INVITE", &to(&tag)], "");
    assert_eq!(sent[0].message().body(), SDP.as_bytes());
    peer.send("ACK", &["CSeq: 2 ACK", &to(&tag)], HOLD);
    let events = peer.leg_events();
    let [LegEvent::Offer { .. }, LegEvent::Confirmed { body: Some(body) }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(body.data, HOLD.as_bytes());

    // An ACK that forgets the answer is told too: whoever waits for it must not wait for ever.
    peer.send("INVITE", &["CSeq: 3 INVITE", &to(&tag)], "");
    peer.send("ACK", &["CSeq: 3 ACK", &to(&tag)], "");
    let events = peer.leg_events();
    assert!(
        matches!(
            events[..],
            [LegEvent::Offer { .. }, LegEvent::Confirmed { body: None }]
        ),
        "{events:?}"
    );
}

#[test]
fn an_update_without_a_body_only_moves_the_target_even_before_the_answer() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, ringing) = peer.act(|endpoint, now| endpoint.progress(now, leg, 180, None, &[], None).unwrap());
    let tag = ringing[0].to_tag();
    let moved = "Contact: <sip:alice@192.0.2.77:5099>";
    let sent = peer.send("UPDATE", &["CSeq: 2 UPDATE", &to(&tag), moved], "");
    assert_eq!(codes(&sent), [200]);
    assert!(sent[0].message().body().is_empty());
    // An offer must wait: theirs in the INVITE has no answer yet.
    let sent = peer.send("UPDATE", &["CSeq: 3 UPDATE", &to(&tag)], HOLD);
    assert_eq!(codes(&sent), [500]);
    assert!(!sent[0].header("Retry-After").is_empty());
    peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    peer.send("ACK", &["CSeq: 1 ACK", &to(&tag)], "");
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(bye[0].uri(), "sip:alice@192.0.2.77:5099");
}

#[test]
fn early_in_our_own_call_an_update_with_an_offer_is_glare() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    peer.reply(
        &invite,
        "183 Progress",
        "r1",
        &["Contact: <sip:alice@192.0.2.1:5060>"],
        "",
    );
    let lines = |seq: u32| {
        [
            format!("Call-ID: {}", invite.header("Call-ID")),
            format!("From: {};tag=r1", invite.header("To")),
            format!("To: {}", invite.header("From")),
            format!("CSeq: {seq} UPDATE"),
        ]
    };
    for (seq, body, code) in [(1, SDP, 491), (2, "", 200)] {
        let lines = lines(seq);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(codes(&peer.send("UPDATE", &lines, body)), [code]);
    }
}

#[test]
fn the_host_accepts_or_refuses_when_it_wants_to() {
    let (mut peer, leg, tag) = deciding();
    assert!(
        peer.send("INVITE", &["CSeq: 2 INVITE", &to(&tag)], HOLD)
            .is_empty()
    );
    let id = offer(&mut peer);
    assert_eq!(codes(&peer.wait_ms(200)), [100]);
    let second = peer.send("UPDATE", &["CSeq: 3 UPDATE", &to(&tag)], HOLD);
    assert_eq!(codes(&second), [500], "one at a time");
    let header = Header {
        name: "X-Yes".into(),
        value: "1".into(),
    };
    let (_, sent) =
        peer.act(|endpoint, now| endpoint.accept_offer(now, leg, id, &[header], other()).unwrap());
    assert_eq!(codes(&sent), [200]);
    assert_eq!(
        (sent[0].header("X-Yes").as_str(), sent[0].message().body()),
        ("1", OTHER.as_bytes())
    );
    assert_eq!(codes(&peer.wait_ms(500)), [200], "until the ACK");
    peer.send("ACK", &["CSeq: 2 ACK", &to(&tag)], "");
    let gone = peer
        .act(|endpoint, now| endpoint.accept_offer(now, leg, id, &[], None))
        .0;
    assert!(matches!(gone, Err(EndpointError::WrongState(_))));

    peer.send("UPDATE", &["CSeq: 4 UPDATE", &to(&tag)], HOLD);
    let id = offer(&mut peer);
    for code in [200, 302, 700] {
        let bad = peer
            .act(|endpoint, now| endpoint.reject_offer(now, leg, id, code, None, &[]))
            .0;
        assert!(matches!(bad, Err(EndpointError::Invalid(_))));
    }
    let (_, sent) = peer.act(|e, now| e.reject_offer(now, leg, id, 488, Some("No video"), &[]).unwrap());
    assert!(sent[0].bytes.starts_with(b"SIP/2.0 488 No video\r\n"));
    // What was accepted holds.
    peer.act(|endpoint, _| endpoint.decide_offers(leg, false).unwrap());
    let sent = peer.send("UPDATE", &["CSeq: 5 UPDATE", &to(&tag)], HOLD);
    assert_eq!(sent[0].message().body(), OTHER.as_bytes());
}

#[test]
fn without_a_decision_a_reinvite_gets_488_and_an_update_504() {
    for (method, ms, code) in [("INVITE", 30_000, 488), ("UPDATE", 10_000, 504)] {
        let (mut peer, leg, tag) = deciding();
        peer.send(method, &[&format!("CSeq: 2 {method}"), &to(&tag)], HOLD);
        let id = offer(&mut peer);
        let before = peer.wait_ms(ms - 1);
        assert!(before.iter().all(|sent| sent.code() == 100), "{before:?}");
        let sent = peer.wait_ms(1);
        assert_eq!((codes(&sent), sent[0].method()), (vec![code], method.to_owned()));
        assert!(matches!(peer.leg_events()[..], [LegEvent::OfferWithdrawn { offer }] if offer == id));
        let late = peer
            .act(|endpoint, now| endpoint.accept_offer(now, leg, id, &[], None))
            .0;
        assert!(matches!(late, Err(EndpointError::WrongState(_))));
        assert_eq!(peer.endpoint.counts().legs, 1);
    }
}

#[test]
fn the_peer_may_cancel_its_reinvite_and_keeps_the_call() {
    let (mut peer, leg, tag) = deciding();
    let invite = peer.compose("INVITE", &["CSeq: 2 INVITE", &to(&tag)], HOLD);
    peer.receive(&invite);
    let id = offer(&mut peer);
    let via = invite
        .lines()
        .find(|line| line.starts_with("Via"))
        .unwrap()
        .to_owned();
    let sent = peer.send("CANCEL", &[&via, "CSeq: 2 CANCEL", &to(&tag), "Contact:"], "");
    assert_eq!(codes(&sent), [200, 487]);
    assert!(matches!(peer.leg_events()[..], [LegEvent::OfferWithdrawn { offer }] if offer == id));
    peer.send("ACK", &[&via, "CSeq: 2 ACK", &to(&tag)], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(sent[0].method(), "BYE");
}

#[test]
fn the_end_of_the_call_ends_an_undecided_offer_with_487() {
    for by_peer in [true, false] {
        let (mut peer, leg, tag) = deciding();
        let invite = peer.compose("INVITE", &["CSeq: 2 INVITE", &to(&tag)], HOLD);
        peer.receive(&invite);
        let via = invite
            .lines()
            .find(|line| line.starts_with("Via"))
            .unwrap()
            .to_owned();
        let sent = if by_peer {
            peer.send("BYE", &["CSeq: 3 BYE", &to(&tag)], "")
        } else {
            peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap())
                .1
        };
        let refused = sent.iter().find(|sent| sent.method() == "INVITE").unwrap();
        assert_eq!(refused.code(), 487);
        peer.send("ACK", &[&via, "CSeq: 2 ACK", &to(&tag)], "");
        let bye = sent.iter().find(|sent| sent.code() == 0).cloned();
        if let Some(bye) = bye {
            peer.reply(&bye, "200 OK", "", &[], "");
        }
        assert!(matches!(
            peer.leg_events()[..],
            [LegEvent::Offer { .. }, LegEvent::Ended(_)]
        ));
        peer.assert_quiescent();
    }
}

#[test]
fn our_own_offer_waits_while_the_host_thinks_about_theirs() {
    let (mut peer, leg, tag) = deciding();
    peer.send("UPDATE", &["CSeq: 2 UPDATE", &to(&tag)], HOLD);
    let id = offer(&mut peer);
    let ours = ReofferRequest {
        headers: vec![],
        body: other(),
        update: false,
        timeout: Duration::from_secs(15),
    };
    let (_, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, ours).unwrap());
    assert!(sent.is_empty());
    let (_, sent) = peer.act(|endpoint, now| endpoint.accept_offer(now, leg, id, &[], None).unwrap());
    assert_eq!(
        sent.iter()
            .map(|sent| (sent.code(), sent.method()))
            .collect::<Vec<_>>(),
        [(200, "UPDATE".to_owned()), (0, "INVITE".to_owned())]
    );
}

#[test]
fn a_message_in_the_call_is_answered_and_told_once() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    peer.leg_events();
    let text = peer.compose("MESSAGE", &["CSeq: 2 MESSAGE", &to(&tag), "Contact:"], "hello");
    let text = text.replace("application/sdp", "text/plain");
    assert_eq!(codes(&peer.receive(&text)), [200]);
    assert_eq!(codes(&peer.receive(&text)), [200]);
    let events = peer.leg_events();
    let [LegEvent::Message { request }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(request.body(), b"hello");
}
