//! Calling, message by message: what RFC 3261 §13.2, §9.1, §17.1 and §22 ask of a UAC.
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
    AddressFilter, Destination, EndKind, EndpointError, Header, InDialogRequest, LegEvent, Party, Protocol,
    RequestFailure, TransportFailure,
};
use callbox_sip::message::Method;
use peer::{Peer, SDP, Sent, sdp};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

fn info() -> InDialogRequest {
    InDialogRequest {
        method: Method::Info,
        headers: vec![],
        body: None,
    }
}

#[test]
fn an_answered_call_is_acked_for_each_copy_of_its_2xx_with_the_same_octets() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    assert_eq!(invite.uri(), "sip:alice@192.0.2.1:5060");
    peer.reply(&invite, "180 Ringing", "r1", &[CONTACT], "");
    let ack = peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    assert_eq!(methods(&ack), ["ACK"]);
    assert_ne!(
        ack[0].header("Via"),
        invite.header("Via"),
        "the ACK of a 2xx is a transaction of its own"
    );
    assert_eq!(ack[0].header("CSeq"), "1 ACK");
    let again = peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    assert_eq!(again[0].bytes, ack[0].bytes);
    let events = peer.leg_events();
    assert!(matches!(
        events[..],
        [
            LegEvent::Progress { .. },
            LegEvent::Answered {
                needs_answer: false,
                ..
            }
        ]
    ));
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(
        (bye[0].method().as_str(), bye[0].header("CSeq").as_str()),
        ("BYE", "2 BYE")
    );
    peer.reply(&bye[0], "200 OK", "", &[], "");
    // The leg is gone, the 2xx may still come again.
    let again = peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    assert_eq!(again[0].bytes, ack[0].bytes);
    peer.assert_quiescent();
}

#[test]
fn an_unanswered_invite_is_repeated_by_timer_a_and_given_up_by_timer_b() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    let copies = peer.wait_ms(40_000);
    assert_eq!(
        copies.iter().map(|s| s.at).collect::<Vec<_>>(),
        [500, 1_500, 3_500, 7_500, 15_500, 31_500]
    );
    assert!(copies.iter().all(|copy| copy.bytes == invite.bytes));
    assert_eq!(peer.ended().why, EndKind::Timeout);
    peer.assert_quiescent();
}

#[test]
fn a_refusal_is_acked_within_its_transaction_and_told_with_its_status() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    let ack = peer.reply(&invite, "486 Engaged", "r1", &[], "");
    assert_eq!(ack[0].header("Via"), invite.header("Via"));
    assert!(ack[0].header("To").ends_with(";tag=r1"));
    let ended = peer.ended();
    assert_eq!(
        (ended.why, ended.by, ended.status),
        (EndKind::Rejected, Party::Remote, Some((486, "Engaged".into())))
    );
    assert_eq!(
        peer.reply(&invite, "486 Engaged", "r1", &[], "")[0].bytes,
        ack[0].bytes
    );
    peer.assert_quiescent();
}

#[test]
fn another_fork_that_answers_gets_ack_and_bye() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    peer.reply(&invite, "180 Ringing", "r1", &[CONTACT], "");
    peer.reply(
        &invite,
        "180 Ringing",
        "r2",
        &["Contact: <sip:other@192.0.2.2>"],
        "",
    );
    assert_eq!(peer.endpoint.counts().dialogs, 2);
    peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    assert_eq!(peer.endpoint.counts().dialogs, 1);
    let other = [
        "Contact: <sip:other@192.0.2.2>",
        "Record-Route: <sip:192.0.2.61;lr>",
        "Record-Route: <sip:192.0.2.62;lr>",
    ];
    let sent = peer.reply(&invite, "200 OK", "r2", &other, SDP);
    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    for request in &sent {
        assert_eq!(request.uri(), "sip:other@192.0.2.2");
        assert_eq!(
            request.header("Route"),
            "<sip:192.0.2.62;lr>, <sip:192.0.2.61;lr>"
        );
        assert_eq!(request.addr().to_string(), "192.0.2.62:5060");
        assert_eq!(request.to_tag(), "r2");
    }
    assert_eq!(
        methods(&peer.reply(&invite, "200 OK", "r2", &other, SDP)),
        ["ACK"]
    );
    let answered = peer
        .leg_events()
        .into_iter()
        .filter(|event| matches!(event, LegEvent::Answered { .. }))
        .count();
    assert_eq!(answered, 1);
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    let (_, sent) = peer.act(|endpoint, now| endpoint.cancel(now, leg, None).unwrap());
    assert!(sent.is_empty());
    let cancel = peer.reply(&invite, "100 Trying", "", &[], "");
    assert_eq!(methods(&cancel), ["CANCEL"]);
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(cancel[0].header(name), invite.header(name));
    }
    peer.reply(&cancel[0], "200 OK", "r1", &[], "");
    assert!(peer.leg_events().is_empty());
    peer.reply(&invite, "487 Request Terminated", "r1", &[], "");
    let ended = peer.ended();
    assert_eq!(
        (ended.why, ended.by, ended.status.unwrap().0),
        (EndKind::Cancelled, Party::Host, 487)
    );
    peer.assert_quiescent();
}

#[test]
fn a_2xx_that_crosses_the_cancel_gets_ack_and_bye() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    peer.reply(&invite, "180 Ringing", "r1", &[CONTACT], "");
    peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    let sent = peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    assert_eq!(peer.ended().why, EndKind::Cancelled);
    peer.reply(&sent[1], "200 OK", "", &[], "");
    assert_eq!(
        methods(&peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP)),
        ["ACK"]
    );
    peer.assert_quiescent();
}

#[test]
fn the_hosts_time_out_cancels_and_silence_after_it_is_given_up() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|request| request.timeout = Duration::from_secs(10));
    peer.reply(&invite, "180 Ringing", "r1", &[CONTACT], "");
    let sent = peer.wait_ms(10_000);
    assert_eq!(methods(&sent), ["CANCEL"]);
    let ended = peer.ended();
    assert_eq!((ended.why, ended.by), (EndKind::Timeout, Party::Local));
    peer.reply(&sent[0], "200 OK", "r1", &[], "");
    peer.wait_ms(31_900);
    assert_eq!(peer.endpoint.counts().legs, 1);
    peer.wait_ms(200);
    assert_eq!(peer.endpoint.counts().legs, 0, "64·T1 after the CANCEL");
    peer.assert_quiescent();
}

#[test]
fn the_answer_to_a_delayed_offer_goes_in_the_ack_and_in_each_copy_of_it() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|request| request.body = None);
    assert!(invite.message().body().is_empty());
    assert!(
        peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP).is_empty(),
        "the ACK waits for the host"
    );
    assert!(peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP).is_empty());
    assert!(matches!(
        peer.leg_events()[..],
        [LegEvent::Answered {
            needs_answer: true,
            ..
        }]
    ));
    let nothing = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], None)).0;
    assert!(matches!(nothing, Err(EndpointError::Invalid(_))));
    let (_, ack) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    assert_eq!(
        (ack[0].method().as_str(), ack[0].message().body()),
        ("ACK", SDP.as_bytes())
    );
    assert_eq!(
        peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP)[0].bytes,
        ack[0].bytes
    );
}

#[test]
fn a_delayed_offer_that_the_host_never_answers_ends_with_ack_and_bye_before_the_peer_gives_up() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|request| request.body = None);
    peer.reply(&invite, "200 OK", "r1", &[CONTACT], SDP);
    let sent = peer.wait_ms(30_000);
    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    assert_eq!(peer.leg_events().len(), 2);
    peer.reply(&sent[1], "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn a_challenge_is_answered_with_the_next_sequence_number_and_a_wrong_password_ends_the_call() {
    let login = |request: &mut callbox_sip::endpoint::InviteRequest| {
        request.credentials = vec![Credentials {
            username: "bob".into(),
            password: "secret".into(),
            realm: None,
        }];
    };
    let challenge = |nonce: &str| {
        format!("Proxy-Authenticate: Digest realm=\"r\",nonce=\"{nonce}\",qop=\"auth\",algorithm=MD5")
    };
    let mut peer = Peer::new();
    let (leg, first) = peer.call(login);
    let sent = peer.reply(
        &first,
        "407 Proxy Authentication Required",
        "p1",
        &[&challenge("n1")],
        "",
    );
    assert_eq!(methods(&sent), ["ACK", "INVITE"]);
    let second = &sent[1];
    assert_eq!(second.header("CSeq"), "2 INVITE");
    assert_eq!(
        (second.header("Call-ID"), second.header("From")),
        (first.header("Call-ID"), first.header("From"))
    );
    assert_ne!(second.header("Via"), first.header("Via"));
    assert!(second.header("Proxy-Authorization").contains("username=\"bob\""));
    peer.reply(second, "200 OK", "r1", &[CONTACT], SDP);
    // In the dialog the same nonce serves again, counted up.
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert!(
        bye[0].header("Proxy-Authorization").contains("nc=00000002"),
        "{}",
        bye[0].header("Proxy-Authorization")
    );
    let again = peer.reply(
        &bye[0],
        "407 Proxy Authentication Required",
        "",
        &[&challenge("n2")],
        "",
    );
    assert!(again[0].header("Proxy-Authorization").contains("n2"));
    peer.reply(&again[0], "200 OK", "", &[], "");
    peer.assert_quiescent();

    let mut peer = Peer::new();
    let (_, first) = peer.call(login);
    let sent = peer.reply(
        &first,
        "407 Proxy Authentication Required",
        "p1",
        &[&challenge("n1")],
        "",
    );
    peer.reply(
        &sent[1],
        "407 Proxy Authentication Required",
        "p2",
        &[&challenge("n3")],
        "",
    );
    assert_eq!(peer.ended().status.unwrap().0, 407);
    peer.assert_quiescent();
}

#[test]
fn requests_of_the_host_get_exactly_one_outcome_each() {
    let mut peer = Peer::new();
    let (leg, _) = peer.talking();
    peer.leg_events();
    let (ok, sent) = peer.act(|endpoint, now| endpoint.request(now, leg, info()).unwrap());
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.reply(&sent[0], "200 OK", "", &[], "");
    let (late, _) = peer.act(|endpoint, now| endpoint.request(now, leg, info()).unwrap());
    assert_eq!(peer.wait_ms(31_900).len(), 10, "timer E: 0.5, 1, 2, 4, 4, … s");
    let (cut, _) = peer.act(|endpoint, now| endpoint.request(now, leg, info()).unwrap());
    assert_eq!(methods(&peer.wait_ms(100)), ["BYE"], "a silent peer is gone");
    let outcomes: Vec<_> = peer.leg_events().into_iter().collect();
    let [
        LegEvent::Response {
            request: a,
            result: Ok(_),
        },
        LegEvent::Response {
            request: b,
            result: Err(RequestFailure::Timeout),
        },
        LegEvent::Response {
            request: c,
            result: Err(RequestFailure::LegEnded),
        },
        LegEvent::Ended(ended),
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    assert_eq!((*a, *b, *c), (ok, late, cut));
    assert_eq!(ended.why, EndKind::DialogGone);
    assert_eq!(ended.status.as_ref().map(|status| status.0), Some(408));
    peer.assert_quiescent();
}

#[test]
fn a_481_within_the_dialog_ends_the_leg() {
    let mut peer = Peer::new();
    let (leg, _) = peer.talking();
    let (_, sent) = peer.act(|endpoint, now| endpoint.request(now, leg, info()).unwrap());
    let bye = peer.reply(&sent[0], "481 Gone", "", &[], "");
    assert_eq!(methods(&bye), ["BYE"]);
    assert_eq!(peer.ended().why, EndKind::DialogGone);
    peer.reply(&bye[0], "481 Gone", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn two_byes_that_cross_are_both_answered() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    let (_, ours) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    let theirs = peer.send("BYE", &["CSeq: 2 BYE", &peer::to(&tag)], "");
    assert_eq!(theirs[0].code(), 200);
    peer.reply(&ours[0], "200 OK", "", &[], "");
    peer.ended();
    peer.assert_quiescent();
}

#[test]
fn what_cannot_be_sent_is_refused_and_nothing_is_sent() {
    let mut peer = Peer::new();
    let bad = |tune: &dyn Fn(&mut callbox_sip::endpoint::InviteRequest)| {
        let mut request = callbox_sip::endpoint::InviteRequest {
            uri: "sip:a@192.0.2.1".into(),
            from: Default::default(),
            to: None,
            next_hop: None,
            headers: vec![],
            body: None,
            credentials: vec![],
            contact_user: None,
            timeout: Duration::from_secs(1),
        };
        tune(&mut request);
        request
    };
    let header = |name: &str, value: &str| Header {
        name: name.into(),
        value: value.into(),
    };
    let table = [
        bad(&|r| r.uri = "sip:a@h\r\nX: y".into()),
        bad(&|r| r.uri = "tel:+49".into()),
        bad(&|r| r.uri = "sip:a@h?Subject=x".into()),
        bad(&|r| r.uri = String::new()),
        bad(&|r| r.to = Some("sip:a@h>".into())),
        bad(&|r| r.from.host = Some("h>\r\n".into())),
        bad(&|r| r.from.display = Some("a\nb".into())),
        bad(&|r| r.headers = vec![header("X-A", "b\r\nVia: x")]),
        bad(&|r| r.headers = vec![header("X A", "b")]),
        bad(&|r| r.headers = vec![header("v", "SIP/2.0/UDP h")]),
        bad(&|r| {
            r.body = Some(callbox_sip::endpoint::Body {
                content_type: "x".into(),
                data: "".into(),
            })
        }),
    ];
    for request in table {
        let shown = format!("{request:?}");
        let (result, sent) = peer.act(|endpoint, now| endpoint.invite(now, request));
        assert!(matches!(result, Err(EndpointError::Invalid(_))), "{shown}");
        assert!(sent.is_empty());
    }
    assert_eq!(peer.endpoint.counts(), Default::default());
}

#[test]
fn an_invite_that_cannot_be_sent_fails_with_the_reason() {
    let mut peer = Peer::with(Protocol::Tcp, |_| {});
    let (_, invite) = peer.call(|request| request.uri = "sip:alice@192.0.2.1;transport=tcp".into());
    let (now, token) = (peer.now, invite.token.unwrap());
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Refused);
    peer.drain();
    assert_eq!(peer.ended().why, EndKind::Transport(TransportFailure::Refused));
    peer.assert_quiescent();
}

#[test]
fn a_contact_that_the_filter_does_not_admit_leads_nowhere_else() {
    let closed: std::net::IpAddr = "10.0.0.9".parse().unwrap();
    for (contact, leads) in [
        ("Contact: <sip:alice@10.0.0.9:5080>", "192.0.2.1:5060"),
        ("Contact: <sip:alice@10.0.0.8:5080>", "10.0.0.8:5080"),
    ] {
        let filter = AddressFilter::new(move |address| address != closed);
        let mut peer = Peer::new();
        let (leg, invite) = peer.call(|request| {
            request.next_hop =
                Destination::of_uri(request.uri.as_bytes()).and_then(|to| to.under(Some(&filter)));
            assert!(request.next_hop.is_some());
        });
        let ack = peer.reply(&invite, "200 OK", "r1", &[contact], SDP);
        assert_eq!(ack[0].addr().to_string(), leads, "{contact}");
        let (sent, info) = peer.act(|endpoint, now| endpoint.request(now, leg, info()));
        sent.unwrap();
        assert_eq!(info[0].addr().to_string(), leads, "{contact}");
        // A new target comes under the same filter.
        peer.reply(&info[0], "200 OK", "r1", &[contact], "");
    }
}
