//! REFER both ways, message by message: RFC 3515, RFC 4488, RFC 3892.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{
    EndpointError, Header, InDialogRequest, LegEvent, LegId, PeerRequestId, ReferRequest, RequestId,
};
use callbox_sip::message::Method;
use peer::{Peer, SDP, Sent, to};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";

fn transfer(refer_to: &str) -> ReferRequest {
    ReferRequest {
        refer_to: refer_to.into(),
        referred_by: Some("sip:bob@192.0.2.9".into()),
        progress: true,
        headers: vec![],
    }
}

fn codes(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::code).collect()
}

fn talking() -> (Peer, LegId, String) {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    (peer, leg, tag)
}

fn refer(peer: &mut Peer, leg: LegId, request: ReferRequest) -> (RequestId, Sent) {
    let (id, sent) = peer.act(|endpoint, now| endpoint.refer(now, leg, request).unwrap());
    (id, sent[0].clone())
}

/// The peer's NOTIFY about our REFER; gives the code of its answer.
fn notify(peer: &mut Peer, tag: &str, seq: u32, event: &str, state: &str, frag: &str) -> u16 {
    let lines = [
        format!("CSeq: {seq} NOTIFY"),
        format!("Event: {event}"),
        format!("Subscription-State: {state}"),
        to(tag),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let text = peer
        .compose("NOTIFY", &lines, frag)
        .replace("application/sdp", "message/sipfrag");
    peer.receive(&text)[0].code()
}

/// The one event is a progress of that REFER.
fn progress(peer: &mut Peer, of: RequestId) -> (Option<u16>, bool) {
    match peer.leg_events()[..] {
        [
            LegEvent::TransferProgress {
                request,
                ref status,
                last,
            },
        ] if request == of => (status.as_ref().map(|(code, _)| *code), last),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_transfer_is_accepted_and_told_of_until_its_outcome() {
    let (mut peer, leg, tag) = talking();
    let (id, sent) = refer(&mut peer, leg, transfer("sip:carol@192.0.2.3?Subject=hi"));
    assert_eq!(sent.header("Refer-To"), "<sip:carol@192.0.2.3?Subject=hi>");
    assert_eq!(sent.header("Referred-By"), "<sip:bob@192.0.2.9>");
    assert_eq!(sent.header("Contact"), "<sip:192.0.2.9:5060>");
    assert_eq!(sent.header("Refer-Sub"), "");
    // A NOTIFY may overtake the 202.
    let active = "active;expires=60";
    assert_eq!(
        notify(&mut peer, &tag, 2, "refer", active, "SIP/2.0 100 Trying\r\n"),
        200
    );
    assert_eq!(progress(&mut peer, id), (Some(100), false));
    peer.reply(&sent, "202 Accepted", "", &[CONTACT], "");
    assert!(
        matches!(&peer.leg_events()[..], [LegEvent::Response { request, result: Ok(_) }] if *request == id)
    );
    let seq = sent.message().cseq().unwrap().seq;
    let named = format!("refer;id={seq}");
    assert_eq!(
        notify(&mut peer, &tag, 3, &named, active, "SIP/2.0 180 Ringing\r\n"),
        200
    );
    assert_eq!(progress(&mut peer, id), (Some(180), false));
    assert_eq!(
        notify(&mut peer, &tag, 4, "refer", active, "SIP/2.0 200 OK\r\n"),
        200
    );
    assert_eq!(progress(&mut peer, id), (Some(200), true));
    // The end of the subscription follows in a NOTIFY of its own: answered, but nothing new.
    let over = "terminated;reason=noresource";
    assert_eq!(
        notify(&mut peer, &tag, 5, "refer", over, "SIP/2.0 200 OK\r\n"),
        200
    );
    assert!(peer.leg_events().is_empty());
    assert_eq!(
        notify(&mut peer, &tag, 6, "refer", over, "SIP/2.0 200 OK\r\n"),
        481
    );
}

#[test]
fn two_transfers_are_told_apart_by_their_ids_and_only_the_first_may_go_without() {
    let (mut peer, leg, tag) = talking();
    let (first, one) = refer(&mut peer, leg, transfer("sip:carol@192.0.2.3"));
    let (second, two) = refer(&mut peer, leg, transfer("sip:dave@192.0.2.4"));
    peer.reply(&one, "202 Accepted", "", &[CONTACT], "");
    peer.reply(&two, "202 Accepted", "", &[CONTACT], "");
    peer.leg_events();
    let named = format!("refer;id={}", two.message().cseq().unwrap().seq);
    assert_eq!(
        notify(
            &mut peer,
            &tag,
            2,
            &named,
            "terminated",
            "SIP/2.0 486 Busy Here\r\n"
        ),
        200
    );
    assert_eq!(progress(&mut peer, second), (Some(486), true));
    assert_eq!(notify(&mut peer, &tag, 3, "refer", "terminated", ""), 200);
    assert_eq!(progress(&mut peer, first), (None, true));
}

#[test]
fn notifications_of_nothing_get_481() {
    let (mut peer, leg, tag) = talking();
    let frag = "SIP/2.0 200 OK\r\n";
    assert_eq!(notify(&mut peer, &tag, 2, "refer", "active", frag), 481);
    let (_, sent) = refer(&mut peer, leg, transfer("sip:carol@192.0.2.3"));
    for (seq, event) in [(3, "dialog"), (4, "refer;id=999"), (5, "refer;id=x")] {
        assert_eq!(
            notify(&mut peer, &tag, seq, event, "active", frag),
            481,
            "{event}"
        );
    }
    // A REFER that was refused, or whose reports were declined, has none.
    peer.reply(&sent, "603 Decline", "", &[], "");
    assert_eq!(notify(&mut peer, &tag, 6, "refer", "active", frag), 481);
    let quiet = ReferRequest {
        progress: false,
        ..transfer("sip:carol@192.0.2.3")
    };
    let (_, sent) = refer(&mut peer, leg, quiet);
    assert_eq!(sent.header("Refer-Sub"), "false");
    peer.reply(&sent, "202 Accepted", "", &["Refer-Sub: false"], "");
    assert_eq!(notify(&mut peer, &tag, 7, "refer", "active", frag), 481);
    let events = peer.leg_events();
    assert_eq!(events.len(), 2, "two responses: {events:?}");
    peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(notify(&mut peer, &tag, 8, "refer", "active", frag), 481);
}

#[test]
fn a_challenged_refer_is_known_by_its_second_number() {
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
    let (id, first) = refer(&mut peer, leg, transfer("sip:carol@192.0.2.3"));
    let challenge = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n1\"";
    let again = peer.reply(&first, "407 Proxy Authentication Required", "", &[challenge], "");
    assert_eq!(again[0].header("Refer-To"), first.header("Refer-To"));
    peer.reply(&again[0], "202 Accepted", "", &[CONTACT], "");
    peer.leg_events();
    let number = again[0].message().cseq().unwrap().seq;
    for (seq, id, code) in [(1, number - 1, 481), (2, number, 200)] {
        let lines = [
            format!("Call-ID: {}", invite.header("Call-ID")),
            format!("From: {};tag=r1", invite.header("To")),
            format!("To: {}", invite.header("From")),
            format!("CSeq: {seq} NOTIFY"),
            format!("Event: refer;id={id}"),
            "Subscription-State: active".into(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(codes(&peer.send("NOTIFY", &lines, "SIP/2.0 200 OK\r\n")), [code]);
    }
    assert_eq!(progress(&mut peer, id), (Some(200), true));
}

#[test]
fn what_cannot_be_referred_to_is_refused() {
    let (mut peer, leg, _) = talking();
    let header = |name: &str| ReferRequest {
        headers: vec![Header {
            name: name.into(),
            value: "x".into(),
        }],
        ..transfer("sip:carol@192.0.2.3")
    };
    for bad in [
        transfer(""),
        transfer("sip:a@b>\r\nX: y"),
        transfer("<sip:a@b>"),
        header("Refer-To"),
        header("r"),
        header("Refer-Sub"),
        ReferRequest {
            referred_by: Some("a b".into()),
            ..transfer("sip:a@b")
        },
    ] {
        let (result, sent) = peer.act(|endpoint, now| endpoint.refer(now, leg, bad.clone()));
        assert!(matches!(result, Err(EndpointError::Invalid(_))), "{bad:?}");
        assert!(sent.is_empty());
    }
    let plain = InDialogRequest {
        method: Method::Refer,
        headers: vec![],
        body: None,
    };
    assert!(matches!(
        peer.act(|endpoint, now| endpoint.request(now, leg, plain)).0,
        Err(EndpointError::Invalid(_))
    ));
    for _ in 0..4 {
        refer(&mut peer, leg, transfer("tel:+123"));
    }
    let more = peer
        .act(|endpoint, now| endpoint.refer(now, leg, transfer("tel:+123")))
        .0;
    assert_eq!(more.unwrap_err(), EndpointError::Limit("refers_per_leg_max"));
}

/// The peer's REFER; gives its id.
fn referred(peer: &mut Peer, tag: &str, seq: u32, more: &str) -> PeerRequestId {
    let cseq = format!("CSeq: {seq} REFER");
    let sent = peer.send(
        "REFER",
        &[&cseq, &to(tag), "Refer-To: <sip:carol@192.0.2.3>", more],
        "",
    );
    assert!(sent.is_empty(), "{sent:?}");
    match peer.leg_events()[..] {
        [LegEvent::Refer { ref request, refer }] => {
            assert_eq!(
                request.refer_to().unwrap().unwrap().uri_raw,
                b"sip:carol@192.0.2.3"
            );
            refer
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn an_accepted_refer_gets_202_and_each_report_a_notify() {
    let (mut peer, leg, tag) = talking();
    let id = referred(&mut peer, &tag, 2, "Referred-By: <sip:alice@192.0.2.1>");
    let (_, sent) = peer.act(|endpoint, now| endpoint.accept_refer(now, leg, id).unwrap());
    assert_eq!(codes(&sent), [202, 0]);
    assert!(!sent[0].header("Contact").is_empty());
    let reports = [(183, "Session Progress", "active"), (200, "OK", "terminated")];
    let mut notifies = vec![(sent[1].clone(), 100, "Trying", "active")];
    for (code, reason, state) in reports {
        let (_, sent) = peer.act(|endpoint, now| endpoint.notify_refer(now, leg, id, code, None).unwrap());
        notifies.push((sent[0].clone(), code, reason, state));
    }
    for (notify, code, reason, state) in notifies {
        assert_eq!(
            (notify.method().as_str(), notify.header("Event").as_str()),
            ("NOTIFY", "refer")
        );
        assert!(notify.header("Subscription-State").starts_with(state));
        assert!(notify.header("Content-Type").starts_with("message/sipfrag"));
        assert!(!notify.header("Contact").is_empty());
        assert_eq!(
            notify.message().body(),
            format!("SIP/2.0 {code} {reason}\r\n").as_bytes()
        );
        peer.reply(&notify, "200 OK", "", &[], "");
    }
    let late = peer.act(|endpoint, now| endpoint.notify_refer(now, leg, id, 200, None));
    assert!(matches!(late.0, Err(EndpointError::WrongState(_))) && late.1.is_empty());
    // A second REFER is told apart by its id.
    let id = referred(&mut peer, &tag, 3, "Subject: 2");
    let (_, sent) = peer.act(|endpoint, now| endpoint.accept_refer(now, leg, id).unwrap());
    assert_eq!(sent[1].header("Event"), "refer;id=3");
    // A peer that refuses a NOTIFY gets no more.
    peer.reply(&sent[1], "481 No Subscription", "", &[], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.notify_refer(now, leg, id, 200, None).unwrap());
    assert!(sent.is_empty());
    assert_eq!(peer.endpoint.counts().legs, 1);
}

#[test]
fn reports_that_the_host_gives_up_end_with_what_was_told_last() {
    let (mut peer, leg, tag) = talking();
    for (seq, told) in [(2, None), (3, Some(180))] {
        let id = referred(&mut peer, &tag, seq, "Subject: x");
        peer.act(|endpoint, now| endpoint.accept_refer(now, leg, id).unwrap());
        if let Some(code) = told {
            peer.act(|endpoint, now| endpoint.notify_refer(now, leg, id, code, None).unwrap());
        }
        let (_, sent) = peer.act(|endpoint, now| endpoint.end_refer(now, leg, id).unwrap());
        assert_eq!(
            sent.iter().map(Sent::method).collect::<Vec<_>>(),
            ["NOTIFY"],
            "one, and the last"
        );
        assert!(sent[0].header("Subscription-State").starts_with("terminated"));
        let said = format!("SIP/2.0 {}", told.unwrap_or(100));
        assert!(sent[0].message().body().starts_with(said.as_bytes()));
        let late = peer.act(|endpoint, now| endpoint.end_refer(now, leg, id));
        assert!(matches!(late.0, Err(EndpointError::WrongState(_))) && late.1.is_empty());
    }
}

#[test]
fn a_refer_without_reports_says_so_and_gets_none() {
    let (mut peer, leg, tag) = talking();
    let id = referred(&mut peer, &tag, 2, "Refer-Sub: false");
    let (_, sent) = peer.act(|endpoint, now| endpoint.accept_refer(now, leg, id).unwrap());
    assert_eq!(codes(&sent), [202]);
    assert_eq!(sent[0].header("Refer-Sub"), "false");
    let (_, sent) = peer.act(|endpoint, now| endpoint.notify_refer(now, leg, id, 200, None).unwrap());
    assert!(sent.is_empty());
}

#[test]
fn a_refer_is_refused_by_the_host_by_time_and_by_the_end_of_the_call() {
    let (mut peer, leg, tag) = talking();
    let id = referred(&mut peer, &tag, 2, "Subject: 1");
    let second = peer.send("REFER", &["CSeq: 3 REFER", &to(&tag), "Refer-To: <sip:d@h>"], "");
    assert_eq!(codes(&second), [500], "one at a time");
    let bad = peer.act(|e, now| e.reject_refer(now, leg, id, 200, None, &[])).0;
    assert!(matches!(bad, Err(EndpointError::Invalid(_))));
    let (_, sent) = peer.act(|e, now| e.reject_refer(now, leg, id, 403, Some("Not you"), &[]).unwrap());
    assert!(sent[0].bytes.starts_with(b"SIP/2.0 403 Not you\r\n"));
    assert!(
        peer.act(|endpoint, now| endpoint.accept_refer(now, leg, id))
            .0
            .is_err()
    );

    let id = referred(&mut peer, &tag, 4, "Subject: 2");
    assert!(peer.wait_ms(9_999).is_empty());
    assert_eq!(codes(&peer.wait_ms(1)), [603]);
    assert!(matches!(peer.leg_events()[..], [LegEvent::ReferWithdrawn { refer }] if refer == id));

    referred(&mut peer, &tag, 5, "Subject: 3");
    let sent = peer.send("BYE", &["CSeq: 6 BYE", &to(&tag)], "");
    assert_eq!(
        sent.iter().map(|s| (s.code(), s.method())).collect::<Vec<_>>(),
        [(200, "BYE".to_owned()), (487, "REFER".to_owned())]
    );
    peer.assert_quiescent();
}

#[test]
fn refer_against_bye() {
    let (mut peer, leg, tag) = talking();
    let (id, sent) = refer(&mut peer, leg, transfer("sip:carol@192.0.2.3"));
    peer.send("BYE", &["CSeq: 2 BYE", &to(&tag)], "");
    let events = peer.leg_events();
    assert!(
        matches!(&events[..], [LegEvent::Response { request, result: Err(_) }, LegEvent::Ended(_)] if *request == id),
        "{events:?}"
    );
    peer.reply(&sent, "202 Accepted", "", &[CONTACT], "");
    assert!(peer.leg_events().is_empty());
    peer.assert_quiescent();
}

#[test]
fn a_refer_that_cannot_be_read_or_comes_too_early_is_refused() {
    let (mut peer, _, tag) = talking();
    let table: [(&[&str], u16); 4] = [
        (&["CSeq: 2 REFER"], 400),
        (&["CSeq: 3 REFER", "Refer-To: <sip:a@b>, <sip:c@d>"], 400),
        (
            &["CSeq: 4 REFER", "Refer-To: <sip:a@b>", "Refer-To: <sip:c@d>"],
            400,
        ),
        (&["CSeq: 5 REFER", "Refer-To: <::>"], 400),
    ];
    for (lines, code) in table {
        let tag = to(&tag);
        let lines: Vec<&str> = lines.iter().copied().chain([tag.as_str()]).collect();
        assert_eq!(codes(&peer.send("REFER", &lines, "")), [code], "{lines:?}");
    }
    let mut early = Peer::new();
    early.send("INVITE", &[], SDP);
    let leg = early.incoming();
    let (_, sent) = early.act(|endpoint, now| endpoint.progress(now, leg, 180, None, &[], None).unwrap());
    let tag = to(&sent[0].to_tag());
    let sent = early.send("REFER", &["CSeq: 2 REFER", &tag, "Refer-To: <sip:a@b>"], "");
    assert_eq!(codes(&sent), [500]);
}
