//! Session timers, message by message and between two endpoints: what RFC 4028 asks of both sides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;
mod peer;

use std::time::Duration;

use bytes::Bytes;
use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{
    Body, EndKind, Event, LegEvent, LegId, Party, Protocol, ReofferRequest, Reoffered, TransportFailure,
};
use net::{Net, Wire, invite_to};
use peer::{Peer, SDP, Sent, sdp, to};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";
const KNOWS: &str = "Supported: timer";
const UPDATE: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE";

fn codes(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::code).collect()
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A peer of an endpoint that asks for nothing by itself.
fn modest() -> Peer {
    Peer::with(Protocol::Udp, |config| config.limits.session_expires_s = 0)
}

/// Calls us with these lines; gives the leg and our 2xx. The call is confirmed.
fn called(peer: &mut Peer, lines: &[&str]) -> (LegId, Sent) {
    let sent = peer.send("INVITE", lines, SDP);
    assert!(sent.is_empty(), "{:?}", codes(&sent));
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let cseq = format!("CSeq: {}", sent[0].header("CSeq").replace("INVITE", "ACK"));
    peer.send("ACK", &[&to(&sent[0].to_tag()), &cseq], "");
    peer.leg_events();
    (leg, sent[0].clone())
}

/// We call, and the 2xx has these lines.
fn calling(peer: &mut Peer, lines: &[&str]) -> (LegId, Sent) {
    let (leg, invite) = peer.call(|_| {});
    let mut all = vec![CONTACT];
    all.extend(lines);
    let sent = peer.reply(&invite, "200 OK", "r1", &all, SDP);
    assert_eq!(methods(&sent), ["ACK"]);
    peer.leg_events();
    (leg, invite)
}

/// Lets time pass without any traffic, and up to a message.
fn silent_until(peer: &mut Peer, seconds: u64) -> Vec<Sent> {
    assert!(peer.wait(s(seconds) - Duration::from_millis(1)).is_empty());
    peer.wait_ms(1)
}

// ---- what is agreed -------------------------------------------------------------------------------------------------

#[test]
fn our_2xx_says_who_refreshes_and_never_more_than_was_asked() {
    for (lines, expires, require) in [
        (vec!["Session-Expires: 600", KNOWS], "600;refresher=uac", "timer"),
        (
            vec!["x: 7200;refresher=uac", "k: timer"],
            "7200;refresher=uac",
            "timer",
        ),
        (
            vec!["Session-Expires: 100;refresher=uas", KNOWS],
            "100;refresher=uas",
            "timer",
        ),
        (
            vec!["Session-Expires: 100", "Require: timer"],
            "100;refresher=uac",
            "timer",
        ),
        // A proxy asked for it.
        (vec!["Session-Expires: 600"], "600;refresher=uas", ""),
        // Nobody did: we do, of one who knows it.
        (vec![KNOWS], "1800;refresher=uac", "timer"),
        (vec![KNOWS, "Min-SE: 3600"], "3600;refresher=uac", "timer"),
        (vec![], "", ""),
        (vec!["Session-Expires: 60"], "", ""),
    ] {
        let mut peer = Peer::new();
        let (_, ok) = called(&mut peer, &lines);
        assert_eq!(ok.header("Session-Expires"), expires, "{lines:?}");
        assert_eq!(ok.header("Require"), require, "{lines:?}");
        assert!(ok.header("Supported").contains("timer"));
    }
    let mut peer = modest();
    assert_eq!(called(&mut peer, &[KNOWS]).1.header("Session-Expires"), "");
    peer.wait(s(40));
    assert_eq!(peer.endpoint.counts().timers, 0, "the call has none");
}

#[test]
fn an_interval_too_brief_gets_422_at_every_place() {
    let mut peer = Peer::new();
    let brief = ["Session-Expires: 89", KNOWS];
    let sent = peer.send("INVITE", &brief, SDP);
    assert_eq!((codes(&sent), sent[0].header("Min-SE")), (vec![422], "90".into()));
    assert_eq!(peer.endpoint.counts().legs, 0);
    let (_, ok) = called(&mut peer, &[KNOWS, "CSeq: 2 INVITE"]);
    for (seq, method) in [(3, "INVITE"), (4, "UPDATE")] {
        let (cseq, tag) = (format!("CSeq: {seq} {method}"), to(&ok.to_tag()));
        let sent = peer.send(method, &[&cseq, &tag, brief[0], brief[1]], SDP);
        assert_eq!(
            (codes(&sent), sent[0].header("Min-SE")),
            (vec![422], "90".into()),
            "{method}"
        );
        peer.send("ACK", &[&format!("CSeq: {seq} ACK"), &tag], "");
    }
}

#[test]
fn we_ask_for_half_an_hour_and_follow_a_422_as_often_as_it_asks_for_more() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    assert_eq!(invite.header("Session-Expires"), "1800");
    assert_eq!(invite.header("Min-SE"), "");
    assert!(invite.header("Supported").contains("timer"));
    let sent = peer.reply(&invite, "422 Too Small", "p1", &["Min-SE: 3600"], "");
    assert_eq!(methods(&sent), ["ACK", "INVITE"]);
}

#[test]
fn a_422_that_asks_for_no_more_is_a_refusal() {
    let mut peer = Peer::new();
    let (_, mut invite) = peer.call(|_| {});
    for (least, seq) in [(3_600, "2 INVITE"), (4_000, "3 INVITE"), (5_000, "4 INVITE")] {
        let line = format!("Min-SE: {least}");
        let sent = peer.reply(&invite, "422 Too Small", "p1", &[&line], "");
        invite = sent
            .into_iter()
            .find(|sent| sent.bytes.starts_with(b"INVITE"))
            .unwrap();
        assert_eq!(invite.header("CSeq"), seq);
        assert_eq!(invite.header("Session-Expires"), least.to_string());
        assert_eq!(invite.header("Min-SE"), least.to_string());
    }
    peer.reply(&invite, "422 Too Small", "p1", &["Min-SE: 6000"], "");
    assert_eq!(peer.ended().status.unwrap().0, 422, "not for ever");

    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    peer.reply(&invite, "422 Too Small", "p1", &["Min-SE: 90"], "");
    assert_eq!(peer.ended().why, EndKind::Rejected);

    // A proxy asked in our place.
    let mut peer = modest();
    let (_, invite) = peer.call(|_| {});
    assert_eq!(invite.header("Session-Expires"), "");
    let sent = peer.reply(&invite, "422 Too Small", "p1", &["Min-SE: 120"], "");
    let again = sent.last().unwrap();
    assert_eq!(
        (again.header("Session-Expires"), again.header("Min-SE")),
        ("120".into(), "120".into())
    );
    peer.reply(again, "200 OK", "r1", &[CONTACT], SDP);
    assert!(peer.wait(s(300)).is_empty(), "a 2xx without it is no timer");
}

// ---- the peer refreshes ---------------------------------------------------------------------------------------------

#[test]
fn a_peer_that_does_not_refresh_is_gone() {
    for (interval, bye_after) in [(90, 60), (600, 568)] {
        let mut peer = Peer::new();
        let expires = format!("Session-Expires: {interval};refresher=uac");
        called(&mut peer, &[&expires, KNOWS]);
        let sent = silent_until(&mut peer, bye_after);
        assert_eq!(methods(&sent), ["BYE"]);
        assert!(sent[0].header("Reason").contains("session timer expired"));
        let ended = peer.ended();
        assert_eq!((ended.by, ended.why), (Party::Local, EndKind::SessionExpired));
        assert_eq!(ended.status.unwrap().0, 408);
        assert_eq!(
            ended.reason.unwrap().text.as_deref(),
            Some("session timer expired")
        );
        peer.reply(&sent[0], "200 OK", "", &[], "");
        peer.assert_quiescent();
    }
}

#[test]
fn every_reinvite_and_update_of_the_peer_begins_the_interval_anew() {
    let mut peer = Peer::new();
    let (_, ok) = called(&mut peer, &["Session-Expires: 300;refresher=uac", KNOWS]);
    let tag = to(&ok.to_tag());
    let renew = |peer: &mut Peer, seq: u32, method: &str, lines: &[&str], body: &str| {
        let cseq = format!("CSeq: {seq} {method}");
        let mut all = vec![cseq.as_str(), &tag];
        all.extend(lines);
        let sent = peer.send(method, &all, body);
        assert_eq!(codes(&sent), [200]);
        if method == "INVITE" {
            peer.send("ACK", &[&format!("CSeq: {seq} ACK"), &tag], "");
        }
        sent[0].header("Session-Expires")
    };
    assert!(peer.wait(s(150)).is_empty());
    let same = ["Session-Expires: 300;refresher=uac", KNOWS];
    assert_eq!(renew(&mut peer, 2, "UPDATE", &same, ""), "300;refresher=uac");
    assert!(peer.wait(s(200)).is_empty());
    assert_eq!(
        renew(&mut peer, 3, "INVITE", &[KNOWS], SDP),
        "300;refresher=uac",
        "unsaid, it goes on"
    );
    assert!(peer.wait(s(200)).is_empty());
    let brief = ["Session-Expires: 90", KNOWS];
    assert_eq!(renew(&mut peer, 4, "UPDATE", &brief, ""), "90;refresher=uac");
    assert_eq!(methods(&silent_until(&mut peer, 60)), ["BYE"]);
}

#[test]
fn a_peer_that_hands_the_refreshing_over_is_refreshed() {
    let mut peer = Peer::new();
    let (_, ok) = called(&mut peer, &["Session-Expires: 300;refresher=uac", KNOWS, UPDATE]);
    let tag = to(&ok.to_tag());
    peer.send(
        "UPDATE",
        &[
            "CSeq: 2 UPDATE",
            &tag,
            "Session-Expires: 200;refresher=uas",
            KNOWS,
        ],
        "",
    );
    let sent = silent_until(&mut peer, 100);
    assert_eq!(
        (methods(&sent), sent[0].header("Session-Expires")),
        (vec!["UPDATE".into()], "200;refresher=uac".into())
    );
}

// ---- we refresh -----------------------------------------------------------------------------------------------------

#[test]
fn we_refresh_at_half_time_with_an_update_that_changes_nothing() {
    let mut peer = Peer::new();
    calling(
        &mut peer,
        &["Session-Expires: 400;refresher=uac", "Require: timer", UPDATE],
    );
    for seq in 2..5 {
        let sent = silent_until(&mut peer, 200);
        assert_eq!(
            (methods(&sent), sent[0].header("CSeq")),
            (vec!["UPDATE".into()], format!("{seq} UPDATE"))
        );
        assert_eq!(sent[0].header("Session-Expires"), "400;refresher=uac");
        assert!(sent[0].header("Supported").contains("timer"));
        assert!(!sent[0].header("Contact").is_empty() && sent[0].message().body().is_empty());
        peer.reply(
            &sent[0],
            "200 OK",
            "",
            &["Session-Expires: 400;refresher=uac", CONTACT],
            "",
        );
    }
    assert!(peer.leg_events().is_empty(), "the host has other things to do");
    let sent = silent_until(&mut peer, 200);
    peer.reply(&sent[0], "200 OK", "", &[CONTACT], "");
    assert!(peer.wait(s(4_000)).is_empty(), "the peer switched it off");
}

#[test]
fn a_peer_without_update_gets_a_reinvite_with_the_session_that_holds() {
    let mut peer = Peer::new();
    let expires = "Session-Expires: 400;refresher=uac";
    let (leg, _) = calling(&mut peer, &[expires]);
    let sent = silent_until(&mut peer, 200);
    assert_eq!(
        (methods(&sent), sent[0].message().body()),
        (vec!["INVITE".into()], SDP.as_bytes())
    );
    assert!(!sent[0].header("Supported").contains("100rel"));
    // Meanwhile an offer of the host's waits, and one of the peer's is glare.
    let request = ReofferRequest {
        headers: vec![],
        body: sdp(),
        update: false,
        timeout: s(10),
    };
    let (taken, out) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request));
    assert!(taken.is_ok() && out.is_empty());
    peer.reply(&sent[0], "100 Trying", "", &[], "");
    let sent = peer.reply(&sent[0], "200 OK", "", &[expires, CONTACT], SDP);
    assert_eq!(methods(&sent), ["ACK", "INVITE"], "then it goes out");
    assert_eq!(sent[0].header("CSeq"), "2 ACK");
    assert_eq!(
        sent[1].header("Session-Expires"),
        "400;refresher=uac",
        "a refresh like any other"
    );
    peer.reply(&sent[1], "200 OK", "", &[expires, CONTACT], SDP);
    let events = peer.leg_events();
    assert!(matches!(
        events[..],
        [LegEvent::Reoffered {
            outcome: Reoffered::Accepted { .. },
            ..
        }]
    ));
    assert_eq!(methods(&silent_until(&mut peer, 200)), ["INVITE"]);
}

#[test]
fn a_peer_that_refuses_update_after_all_gets_a_reinvite_at_once() {
    let mut peer = Peer::new();
    let expires = "Session-Expires: 400;refresher=uac";
    calling(&mut peer, &[expires, UPDATE]);
    let sent = silent_until(&mut peer, 200);
    let sent = peer.reply(&sent[0], "501 Not Implemented", "", &[], "");
    assert_eq!(
        (methods(&sent), sent[0].message().body()),
        (vec!["INVITE".into()], SDP.as_bytes())
    );
    peer.reply(&sent[0], "200 OK", "", &[expires, CONTACT], SDP);
    assert_eq!(
        methods(&silent_until(&mut peer, 200)),
        ["INVITE"],
        "it is remembered"
    );
}

#[test]
fn a_refresh_answers_challenges_follows_422_and_repeats_after_glare() {
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    let expires = "Session-Expires: 400;refresher=uac";
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|request| {
        request.credentials = vec![Credentials {
            username: "bob".into(),
            password: "secret".into(),
            realm: None,
        }];
    });
    peer.reply(&invite, "200 OK", "r1", &[CONTACT, expires, UPDATE], SDP);
    let sent = silent_until(&mut peer, 200);
    let sent = peer.reply(&sent[0], "407 Who", "", &[challenge], "");
    assert!(sent[0].header("Proxy-Authorization").contains("nonce=\"n1\""));
    let sent = peer.reply(&sent[0], "422 Too Small", "", &["Min-SE: 500"], "");
    assert_eq!(
        (sent[0].header("Session-Expires"), sent[0].header("Min-SE")),
        ("500;refresher=uac".into(), "500".into())
    );
    assert!(peer.reply(&sent[0], "491 Pending", "", &[], "").is_empty());
    let again = peer.wait(s(4));
    assert_eq!(again[0].method(), "UPDATE");
    peer.reply(
        &again[0],
        "200 OK",
        "",
        &[CONTACT, "Session-Expires: 500;refresher=uac"],
        "",
    );
    assert_eq!(methods(&silent_until(&mut peer, 250)), ["UPDATE"]);
}

#[test]
fn a_peer_that_lost_the_call_or_is_silent_ends_it() {
    for (status, by, code) in [
        ("481 Gone", Party::Remote, 481),
        ("408 Timeout", Party::Remote, 408),
        ("", Party::Local, 408),
    ] {
        let mut peer = Peer::new();
        calling(&mut peer, &["Session-Expires: 400;refresher=uac", UPDATE]);
        let refresh = silent_until(&mut peer, 200);
        let sent = if status.is_empty() {
            peer.wait(s(32))
        } else {
            peer.reply(&refresh[0], status, "", &[], "")
        };
        assert_eq!(sent.last().unwrap().method(), "BYE", "{status}");
        let ended = peer.ended();
        assert_eq!((ended.by, ended.why), (by, EndKind::DialogGone), "{status}");
        assert_eq!(ended.status.unwrap().0, code);
        peer.assert_quiescent();
    }
}

#[test]
fn a_refusal_is_tried_again_while_there_is_time_and_then_the_call_ends() {
    let mut peer = Peer::new();
    calling(&mut peer, &["Session-Expires: 400;refresher=uac", UPDATE]);
    let mut tries = 0;
    let mut sent = silent_until(&mut peer, 200);
    while sent[0].method() == "UPDATE" {
        tries += 1;
        peer.reply(&sent[0], "500 Oops", "", &[], "");
        sent = Vec::new();
        while sent.is_empty() {
            sent = peer.wait_ms(100);
        }
    }
    assert!((3..=8).contains(&tries), "{tries}");
    assert_eq!((methods(&sent), sent[0].at / 1_000), (vec!["BYE".into()], 368));
    assert_eq!(peer.ended().why, EndKind::SessionExpired);

    // It could not be sent, and later it can.
    let mut peer = Peer::new();
    calling(&mut peer, &["Session-Expires: 400;refresher=uac", UPDATE]);
    let sent = silent_until(&mut peer, 200);
    let token = sent[0].token.unwrap();
    let now = peer.now;
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Refused);
    assert!(peer.drain().is_empty());
    assert_eq!(methods(&silent_until(&mut peer, 84)), ["UPDATE"]);
}

#[test]
fn a_refresh_waits_while_an_offer_is_under_way() {
    let mut peer = Peer::new();
    let (leg, _) = calling(&mut peer, &["Session-Expires: 100;refresher=uac", UPDATE]);
    assert!(peer.wait(s(45)).is_empty());
    let request = ReofferRequest {
        headers: vec![],
        body: sdp(),
        update: false,
        timeout: s(60),
    };
    let (_, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request).unwrap());
    peer.reply(&sent[0], "100 Trying", "", &[], "");
    assert!(peer.wait(s(10)).is_empty(), "due after 50 s");
    peer.reply(&sent[0], "488 No", "", &[], "");
    let refresh = peer.wait(s(2));
    assert_eq!(refresh[0].method(), "UPDATE", "the refusal refreshed nothing");
}

#[test]
fn the_end_of_a_call_ends_its_timer_and_a_late_2xx_gets_its_ack() {
    let mut peer = Peer::new();
    let (leg, _) = calling(&mut peer, &["Session-Expires: 400;refresher=uac"]);
    let refresh = silent_until(&mut peer, 200);
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    peer.reply(&bye[0], "200 OK", "", &[], "");
    let sent = peer.reply(&refresh[0], "200 OK", "", &[CONTACT], SDP);
    assert_eq!(
        (sent[0].method(), sent[0].header("CSeq")),
        ("ACK".into(), "2 ACK".into())
    );
    peer.assert_quiescent();
}

// ---- two endpoints --------------------------------------------------------------------------------------------------

fn ends(net: &mut Net, time: Duration) -> Vec<(usize, Duration, EndKind)> {
    let start = net.start;
    let mut all = Vec::new();
    for happened in net.run(time) {
        match happened.event {
            Event::Leg {
                event: LegEvent::Ended(ended),
                ..
            } => all.push((happened.node, happened.at - start, ended.why)),
            Event::Leg {
                event: LegEvent::Offer { decide: None, .. },
                ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

/// A call between two endpoints; gives the legs.
fn talking(net: &mut Net) -> (LegId, LegId) {
    let request = invite_to(net.nodes[1].addr, sdp(), s(60));
    let (ours, _) = net.act(0, |endpoint, now| endpoint.invite(now, request).unwrap());
    let mut theirs = None;
    let until = net.now + s(30);
    while let Some(events) = net.step(until) {
        for happened in events {
            if let Event::Incoming { leg, .. } = happened.event {
                theirs = Some(leg);
                net.act(1, |endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
            }
        }
        if net.next().is_some_and(|at| at > net.now + s(20)) {
            break;
        }
    }
    (ours, theirs.unwrap())
}

#[test]
fn two_endpoints_keep_a_call_alive_for_a_day_and_notice_a_death_in_half_an_hour() {
    for wire in [
        Wire::PERFECT,
        Wire {
            loss_percent: 15,
            duplicate_percent: 10,
            delay_ms: (1, 300),
        },
    ] {
        let mut net = Net::new(2, net::seed(7), wire);
        let (ours, _) = talking(&mut net);
        assert!(ends(&mut net, s(86_400)).is_empty(), "{wire:?}");
        let updates = net.count_sent(0, "UPDATE");
        assert!(updates >= 95, "one each 15 min: {updates}");
        // The other one dies.
        net.wire.loss_percent = 100;
        let dead = ends(&mut net, s(2_000));
        assert_eq!(dead.len(), 2, "{dead:?}");
        assert!(
            dead.iter()
                .any(|(node, _, why)| (*node, *why) == (0, EndKind::DialogGone))
        );
        assert!(
            dead.iter()
                .any(|(node, _, why)| (*node, *why) == (1, EndKind::SessionExpired))
        );
        net.run(s(60));
        net.assert_quiescent();
        let _ = ours;
    }
}

#[test]
fn a_call_that_is_hung_up_leaves_no_timer() {
    let mut net = Net::new(2, net::seed(8), Wire::PERFECT);
    let (ours, _) = talking(&mut net);
    net.run(s(3_000));
    net.act(0, |endpoint, now| endpoint.hangup(now, ours, None).unwrap());
    net.run(s(60));
    net.assert_quiescent();
}

#[test]
fn the_session_that_holds_is_the_one_that_is_refreshed() {
    let mut peer = Peer::new();
    let expires = "Session-Expires: 400;refresher=uac";
    let (leg, _) = calling(&mut peer, &[expires]);
    let other: &[u8] = b"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";
    let request = ReofferRequest {
        headers: vec![],
        body: Some(Body {
            content_type: "application/sdp".into(),
            data: Bytes::from_static(other),
        }),
        update: false,
        timeout: s(10),
    };
    let (_, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request).unwrap());
    peer.reply(&sent[0], "200 OK", "", &[expires, CONTACT], SDP);
    let refresh = silent_until(&mut peer, 200);
    assert_eq!(refresh[0].message().body(), other);
}
