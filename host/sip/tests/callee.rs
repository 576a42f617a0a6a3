//! Being called, message by message: what RFC 3261 §13.3, §15 and §17.2 ask of a UAS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::net::SocketAddr;

use callbox_sip::endpoint::{
    Destination, EndKind, Event, LegEvent, Party, Protocol, Reason, TransportFailure,
};
use peer::{Peer, SDP, Sent, sdp, to};

fn codes(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::code).collect()
}

#[test]
fn a_fast_answer_costs_no_100_and_a_slow_one_gets_it_after_200_ms() {
    let mut peer = Peer::new();
    assert!(peer.send("INVITE", &[], SDP).is_empty());
    assert!(peer.wait_ms(199).is_empty());
    assert_eq!(codes(&peer.wait_ms(1)), [100]);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    assert_eq!(codes(&sent), [200]);
    assert!(sent[0].header("Contact").starts_with("<sip:192.0.2.9:5060"));
    assert!(sent[0].header("Allow").contains("INVITE"));
    assert_eq!(sent[0].message().body(), SDP.as_bytes());

    let mut fast = Peer::new();
    let (_, _) = fast.talking();
    assert!(fast.wait_ms(1_000).is_empty());
    assert_eq!(codes(&fast.sent), [200]);
}

#[test]
fn copies_of_the_invite_get_the_last_response_again_octet_by_octet_and_no_second_call() {
    let mut peer = Peer::new();
    let invite = peer.compose("INVITE", &[], SDP);
    peer.receive(&invite);
    let leg = peer.incoming();
    let (_, ringing) = peer.act(|endpoint, now| endpoint.progress(now, leg, 180, None, &[], None).unwrap());
    let again = peer.receive(&invite);
    assert_eq!(again[0].bytes, ringing[0].bytes);
    let (_, rejected) = peer.act(|endpoint, now| endpoint.reject(now, leg, 486, None, &[]).unwrap());
    assert_eq!(peer.receive(&invite)[0].bytes, rejected[0].bytes);
    assert_eq!(
        peer.events
            .iter()
            .filter(|event| matches!(event, Event::Incoming { .. }))
            .count(),
        1
    );
    peer.assert_quiescent();
}

#[test]
fn a_2xx_is_repeated_with_doubling_intervals_up_to_t2_until_the_ack() {
    let mut peer = Peer::new();
    let invite = peer.compose("INVITE", &[], SDP);
    peer.receive(&invite);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let copies = peer.wait_ms(12_000);
    assert_eq!(
        copies.iter().map(|sent| sent.at).collect::<Vec<_>>(),
        [500, 1_500, 3_500, 7_500, 11_500]
    );
    assert!(copies.iter().all(|copy| copy.bytes == sent[0].bytes));
    // RFC 6026: the INVITE's copies are absorbed, the 2xx has its own clock.
    assert!(peer.receive(&invite).is_empty());
    assert!(peer.send("ACK", &[&to(&sent[0].to_tag())], "").is_empty());
    assert!(matches!(
        peer.leg_events()[..],
        [LegEvent::Confirmed { body: None }]
    ));
    assert!(peer.wait_ms(60_000).is_empty());
    assert_eq!(peer.endpoint.counts().legs, 1);
}

#[test]
fn without_an_ack_bye_follows_after_64_t1() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let sent = peer.wait_ms(32_000);
    let bye = sent.last().unwrap().clone();
    assert_eq!((bye.method().as_str(), bye.at), ("BYE", 32_000));
    let ended = peer.ended();
    assert_eq!((ended.why, ended.by), (EndKind::AckMissing, Party::Local));
    assert_eq!(ended.status.unwrap().0, 408);
    assert_eq!(ended.reason.unwrap().text.as_deref(), Some("ACK missing"));
    peer.reply(&bye, "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn cancel_gets_200_and_the_invite_487_and_copies_of_the_cancel_the_same_200() {
    let mut peer = Peer::new();
    let invite = peer.compose("INVITE", &[], SDP);
    peer.receive(&invite);
    let via = invite.lines().nth(1).unwrap().to_owned();
    let cancel = peer.compose(
        "CANCEL",
        &[&via, "Reason: SIP;cause=200;text=\"elsewhere\"", "Contact:"],
        "",
    );
    let sent = peer.receive(&cancel);
    assert_eq!(
        sent.iter().map(|s| (s.code(), s.method())).collect::<Vec<_>>(),
        [(200, "CANCEL".to_owned()), (487, "INVITE".to_owned())]
    );
    assert_eq!(sent[0].to_tag(), sent[1].to_tag());
    assert_eq!(peer.receive(&cancel)[0].bytes, sent[0].bytes);
    let ended = peer.ended();
    assert_eq!((ended.why, ended.by), (EndKind::Cancelled, Party::Remote));
    assert_eq!(
        ended.reason,
        Some(Reason {
            protocol: "SIP".into(),
            cause: Some(200),
            text: Some("elsewhere".into())
        })
    );
    // 487 is repeated until its ACK.
    assert_eq!(codes(&peer.wait_ms(500)), [487]);
    assert!(peer.send("ACK", &[&via, &to(&sent[1].to_tag())], "").is_empty());
    assert!(peer.wait_ms(10_000).is_empty());
    peer.assert_quiescent();
}

#[test]
fn cancel_after_the_answer_changes_nothing_and_one_for_nothing_gets_481() {
    let mut peer = Peer::new();
    assert_eq!(codes(&peer.send("CANCEL", &[], "")), [481]);
    let invite = peer.compose("INVITE", &[], SDP);
    peer.receive(&invite);
    let leg = peer.incoming();
    peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let via = invite.lines().nth(1).unwrap().to_owned();
    assert_eq!(codes(&peer.send("CANCEL", &[&via], "")), [200]);
    assert!(peer.leg_events().is_empty());
}

#[test]
fn a_failure_is_repeated_by_timer_g_and_given_up_by_timer_h() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    peer.act(|endpoint, now| endpoint.reject(now, leg, 603, Some("No"), &[]).unwrap());
    assert_eq!(peer.ended().status, Some((603, "No".into())));
    let at: Vec<_> = peer.wait_ms(40_000).iter().map(|sent| sent.at).collect();
    assert_eq!(
        at,
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    peer.assert_quiescent();
}

#[test]
fn bye_is_answered_and_so_is_its_copy() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    let bye = peer.compose("BYE", &["CSeq: 2 BYE", &to(&tag), "Reason: Q.850;cause=16"], "");
    let sent = peer.receive(&bye);
    assert_eq!(codes(&sent), [200]);
    let ended = peer.ended();
    assert_eq!(
        (ended.why, ended.by, ended.reason.unwrap().cause),
        (EndKind::Bye, Party::Remote, Some(16))
    );
    assert_eq!(peer.receive(&bye)[0].bytes, sent[0].bytes);
    assert_eq!(codes(&peer.send("BYE", &["CSeq: 3 BYE", &to(&tag)], "")), [481]);
    peer.assert_quiescent();
}

#[test]
fn bye_before_the_answer_ends_the_invite_with_487() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.progress(now, leg, 183, None, &[], sdp()).unwrap());
    let sent = peer.send("BYE", &["CSeq: 2 BYE", &to(&sent[0].to_tag())], "");
    assert_eq!(codes(&sent), [200, 487]);
    assert_eq!(peer.ended().why, EndKind::Bye);
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, answer) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let reason = Reason {
        protocol: "Q.850".into(),
        cause: Some(16),
        text: Some("done \"now\"".into()),
    };
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, Some(&reason)).unwrap());
    assert!(sent.is_empty(), "RFC 3261 §15: no BYE before the ACK");
    assert_eq!(peer.ended().by, Party::Host);
    let sent = peer.send("ACK", &[&to(&answer[0].to_tag())], "");
    assert_eq!(sent[0].method(), "BYE");
    assert_eq!(
        sent[0].header("Reason"),
        "Q.850;cause=16;text=\"done \\\"now\\\"\""
    );
    assert_eq!(sent[0].uri(), "sip:alice@192.0.2.1:5060");
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn hanging_up_is_idempotent_and_says_480_to_an_unanswered_call() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(codes(&sent), [480]);
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert!(sent.is_empty());
    assert_eq!(peer.ended().status.unwrap().0, 480);
    peer.assert_quiescent();
}

#[test]
fn sequence_numbers_may_have_gaps_but_not_fall() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    let script = [(7, 200), (6, 500), (7, 500), (100, 200)];
    for (seq, code) in script {
        let line = format!("CSeq: {seq} INFO");
        assert_eq!(
            codes(&peer.send("INFO", &[&line, &to(&tag)], "")),
            [code],
            "{seq}"
        );
    }
    let infos = peer
        .leg_events()
        .into_iter()
        .filter(|event| matches!(event, LegEvent::Info { .. }))
        .count();
    assert_eq!(infos, 2);
}

#[test]
fn a_copy_of_an_info_is_answered_but_not_told_twice() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    let info = peer.compose("INFO", &["CSeq: 2 INFO", &to(&tag)], "Signal=5\r\n");
    let first = peer.receive(&info);
    assert_eq!(first[0].bytes, peer.receive(&info)[0].bytes);
    let infos = peer
        .leg_events()
        .into_iter()
        .filter(|event| matches!(event, LegEvent::Info { .. }))
        .count();
    assert_eq!(infos, 1);
}

#[test]
fn what_we_do_not_speak_in_a_dialog_is_refused_as_its_rfc_says() {
    let mut peer = Peer::new();
    let (_, tag) = peer.talking();
    let table = [
        ("OPTIONS", "", 200),
        ("UPDATE", "", 200),
        ("REFER", "", 400),
        ("PUBLISH", "Event: presence", 405),
        ("SUBSCRIBE", "Event: dialog", 489),
        ("NOTIFY", "Event: dialog", 481),
        ("PRACK", "RAck: 1 1 INVITE", 481),
        ("FOO", "", 405),
        ("INFO", "Info-Package: x", 469),
        ("INFO", "Require: x", 420),
    ];
    for (n, (method, line, code)) in table.into_iter().enumerate() {
        let cseq = format!("CSeq: {} {method}", n + 2);
        let lines: Vec<&str> = [cseq.as_str(), line]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        let tag = to(&tag);
        let lines: Vec<&str> = lines.into_iter().chain([tag.as_str()]).collect();
        assert_eq!(codes(&peer.send(method, &lines, "")), [code], "{method}");
    }
    assert!(
        peer.leg_events()
            .iter()
            .all(|event| matches!(event, LegEvent::Confirmed { .. } | LegEvent::Offer { .. }))
    );
}

#[test]
fn a_reinvite_gets_our_session_description_again_and_moves_the_target() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    let lines = [
        "CSeq: 2 INVITE",
        &to(&tag),
        "Contact: <sip:alice@192.0.2.77:5099>",
    ];
    let sent = peer.send("INVITE", &lines, SDP);
    assert_eq!(codes(&sent), [200]);
    assert_eq!(sent[0].message().body(), SDP.as_bytes());
    // A second one before the ACK of the first must wait.
    let second = peer.send("INVITE", &["CSeq: 3 INVITE", &to(&tag)], SDP);
    assert_eq!(codes(&second), [500]);
    assert!(!second[0].header("Retry-After").is_empty());
    assert_eq!(
        codes(&peer.wait_ms(500)),
        [200, 500],
        "both are repeated until their ACKs"
    );
    peer.send("ACK", &["CSeq: 2 ACK", &to(&tag)], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(
        (sent[0].uri(), sent[0].addr()),
        (
            "sip:alice@192.0.2.77:5099".into(),
            SocketAddr::from(([192, 0, 2, 77], 5099))
        )
    );
}

#[test]
fn the_same_invite_on_another_way_is_a_merged_request() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    assert_eq!(codes(&peer.send("INVITE", &[], SDP)), [482]);
    assert_eq!(peer.endpoint.counts().legs, 1);
}

#[test]
fn record_routes_are_echoed_and_followed() {
    let mut peer = Peer::new();
    peer.send(
        "INVITE",
        &["Record-Route: <sip:192.0.2.51;lr>, <sip:p2.example;lr>;x=1"],
        SDP,
    );
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    assert_eq!(
        sent[0].header("Record-Route"),
        "<sip:192.0.2.51;lr>, <sip:p2.example;lr>;x=1"
    );
    peer.send("ACK", &[&to(&sent[0].to_tag())], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(
        sent[0].header("Route"),
        "<sip:192.0.2.51;lr>, <sip:p2.example;lr>;x=1"
    );
    assert_eq!(sent[0].uri(), "sip:alice@192.0.2.1:5060");
    assert_eq!(sent[0].addr(), SocketAddr::from(([192, 0, 2, 51], 5060)));
}

#[test]
fn responses_go_where_the_via_says() {
    // (Via, source port used, rport and received expected)
    let table = [
        (
            "SIP/2.0/UDP 192.0.2.1:7000;branch=z9hG4bKx1",
            7_000,
            "SIP/2.0/UDP 192.0.2.1:7000;branch=z9hG4bKx1",
        ),
        (
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx2",
            5_060,
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx2",
        ),
        (
            "SIP/2.0/UDP 10.0.0.1:7000;rport;branch=z9hG4bKx3",
            6_000,
            "SIP/2.0/UDP 10.0.0.1:7000;rport=6000;branch=z9hG4bKx3;received=192.0.2.1",
        ),
        (
            "SIP/2.0/UDP 10.0.0.1:7000;branch=z9hG4bKx4, SIP/2.0/UDP far;branch=z9hG4bKy",
            7_000,
            "SIP/2.0/UDP 10.0.0.1:7000;branch=z9hG4bKx4;received=192.0.2.1, SIP/2.0/UDP far;branch=z9hG4bKy",
        ),
    ];
    for (via, port, echoed) in table {
        let mut peer = Peer::new();
        peer.path.remote.set_port(6_000);
        let sent = peer.send("OPTIONS", &[&format!("Via: {via}")], "");
        assert_eq!(sent[0].addr(), SocketAddr::from(([192, 0, 2, 1], port)), "{via}");
        assert_eq!(sent[0].header("Via"), echoed);
    }
}

#[test]
fn over_a_stream_requests_use_the_callers_connection_and_its_contact_when_that_is_gone() {
    let mut peer = Peer::with(Protocol::Tcp, |_| {});
    let (leg, _) = peer.talking();
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(sent[0].to, Destination::Path(peer.path));
    let (now, token) = (peer.now, sent[0].token.unwrap());
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Closed);
    let again = peer.drain();
    assert_eq!(again[0].bytes, sent[0].bytes);
    assert_eq!(again[0].addr(), SocketAddr::from(([192, 0, 2, 1], 5060)));
    assert_eq!(again[0].to.protocol(), Protocol::Tcp);
    let token = again[0].token.unwrap();
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Refused);
    peer.drain();
    assert_eq!(peer.endpoint.counts().legs, 0);
    peer.assert_quiescent();
}

#[test]
fn nothing_answers_a_stray_ack_or_response() {
    let mut peer = Peer::new();
    assert!(peer.send("ACK", &[&to("nobody")], "").is_empty());
    assert!(peer.receive("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKno\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n").is_empty());
    assert_eq!(peer.endpoint.stats().strays, 2);
}

#[test]
fn a_long_ringing_call_is_kept_alive_each_minute() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, ringing) = peer.act(|endpoint, now| endpoint.progress(now, leg, 180, None, &[], None).unwrap());
    let copies = peer.wait_ms(125_000);
    assert_eq!(
        copies.iter().map(|sent| sent.at).collect::<Vec<_>>(),
        [60_000, 120_000]
    );
    assert!(copies.iter().all(|copy| copy.bytes == ringing[0].bytes));
}

#[test]
fn a_peer_of_rfc_2543_can_call_and_hang_up() {
    let mut peer = Peer::new();
    let old = [
        "Via: SIP/2.0/UDP 192.0.2.1",
        "From: <sip:alice@192.0.2.1>",
        "Max-Forwards:",
    ];
    let invite = peer.compose("INVITE", &old, SDP);
    peer.receive(&invite);
    assert!(peer.receive(&invite)[0].code() == 100, "the copy is a copy");
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let tag = to(&sent[0].to_tag());
    let lines = [old[0], old[1], old[2], &tag];
    peer.send("ACK", &lines, "");
    assert!(matches!(peer.leg_events()[..], [LegEvent::Confirmed { .. }]));
    let lines = [old[0], old[1], old[2], &tag, "CSeq: 2 BYE"];
    assert_eq!(codes(&peer.send("BYE", &lines, "")), [200]);
}
