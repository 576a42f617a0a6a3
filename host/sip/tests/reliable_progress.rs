//! Reliable provisional responses, message by message: what RFC 3262 asks of both sides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{Body, EndKind, EndpointError, Header, LegEvent, LegId, Party, Protocol};
use peer::{Peer, SDP, Sent, sdp, to};

const KNOWS: &str = "Supported: 100rel";
const INSISTS: &str = "Require: 100rel";
const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";
const OTHER: &str =
    "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";

fn other() -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: Bytes::from_static(OTHER.as_bytes()),
    })
}

fn codes(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::code).collect()
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

fn is_reliable(sent: &Sent) -> bool {
    sent.header("Require") == "100rel" && !sent.header("RSeq").is_empty()
}

fn rseq(sent: &Sent) -> u32 {
    sent.header("RSeq").parse().unwrap()
}

/// An INVITE with these lines; gives the leg.
fn called(peer: &mut Peer, lines: &[&str], body: &str) -> LegId {
    peer.send("INVITE", lines, body);
    peer.incoming()
}

fn progress(peer: &mut Peer, leg: LegId, code: u16, body: Option<Body>) -> Vec<Sent> {
    let (result, sent) = peer.act(|endpoint, now| endpoint.progress(now, leg, code, None, &[], body));
    result.unwrap();
    sent
}

fn answer(peer: &mut Peer, leg: LegId, body: Option<Body>) -> Vec<Sent> {
    let (result, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], body));
    result.unwrap();
    sent
}

/// The peer's PRACK of `response`, as its request number `seq`.
fn prack(peer: &mut Peer, response: &Sent, seq: u32, body: &str) -> Vec<Sent> {
    let rack = format!("RAck: {} 1 INVITE", response.header("RSeq"));
    prack_of(peer, response, seq, &rack, body)
}

fn prack_of(peer: &mut Peer, response: &Sent, seq: u32, rack: &str, body: &str) -> Vec<Sent> {
    let (cseq, tag) = (format!("CSeq: {seq} PRACK"), to(&response.to_tag()));
    peer.send("PRACK", &[&cseq, &tag, rack], body)
}

// ---- we are called --------------------------------------------------------------------------------------------------

#[test]
fn early_media_is_repeated_from_t1_on_until_its_prack() {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let mut peer = Peer::with(protocol, |_| {});
        let leg = called(&mut peer, &[KNOWS], SDP);
        let first = progress(&mut peer, leg, 183, sdp()).remove(0);
        assert!(is_reliable(&first) && (1..1 << 31).contains(&rseq(&first)));
        assert!(first.header("Allow").contains("PRACK") && first.header("Contact").contains("sip:"));
        // Over a stream too: a proxy on the way may go on over UDP (§3).
        let copies = peer.wait_ms(4_000);
        let at: Vec<u64> = copies.iter().map(|sent| sent.at).collect();
        assert_eq!(at, [500, 1_500, 3_500], "doubled each time, {protocol:?}");
        assert!(copies.iter().all(|copy| copy.bytes == first.bytes));
        let ok = prack(&mut peer, &first, 2, "");
        assert_eq!(codes(&ok), [200]);
        assert!(peer.wait_ms(30_000).is_empty(), "no more copies");
        assert!(matches!(
            peer.leg_events()[..],
            [LegEvent::ProgressAcknowledged { body: None }]
        ));
        let sent = answer(&mut peer, leg, sdp());
        assert_eq!(
            sent[0].message().body(),
            SDP.as_bytes(),
            "the same answer again does no harm"
        );
        peer.send("ACK", &[&to(&first.to_tag())], "");
        peer.send("BYE", &["CSeq: 3 BYE", &to(&first.to_tag())], "");
        assert_eq!(peer.ended().why, EndKind::Bye);
        peer.assert_quiescent();
    }
}

#[test]
fn who_does_not_know_it_gets_plain_responses_and_a_mere_180_is_plain_unless_required() {
    let cases: [(&[&str], &str, u16, bool, bool); 7] = [
        (&[], SDP, 183, true, false),
        (&["Supported: replaces, timer"], SDP, 183, true, false),
        (&[KNOWS], SDP, 180, false, false),
        (&[KNOWS], SDP, 181, false, true),
        (&["Supported: replaces, 100REL"], SDP, 180, true, true),
        (&[INSISTS], SDP, 180, false, true),
        // Nothing but an offer may be the first reliable response to an INVITE without one (§5).
        (&[KNOWS], "", 183, false, false),
    ];
    for (lines, offer, code, has_body, reliable) in cases {
        let mut peer = Peer::new();
        let leg = called(&mut peer, lines, offer);
        let sent = progress(&mut peer, leg, code, sdp().filter(|_| has_body));
        assert_eq!((sent.len(), sent[0].code()), (1, code), "{lines:?} {code}");
        assert_eq!(is_reliable(&sent[0]), reliable, "{lines:?} {code}");
    }
}

#[test]
fn a_caller_that_insists_and_makes_no_offer_hears_nothing_until_there_is_ours() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[INSISTS], "");
    assert!(progress(&mut peer, leg, 180, None).is_empty());
    let offer = progress(&mut peer, leg, 183, sdp()).remove(0);
    assert!(is_reliable(&offer));
    assert_eq!(codes(&prack(&mut peer, &offer, 2, OTHER)), [200]);
    let [LegEvent::ProgressAcknowledged { body: Some(body) }] = &peer.leg_events()[..] else {
        panic!("the PRACK brings the answer");
    };
    assert_eq!(&body.data[..], OTHER.as_bytes());
    let ringing = progress(&mut peer, leg, 180, None).remove(0);
    assert_eq!(rseq(&ringing), rseq(&offer) + 1);
    assert_eq!(codes(&prack(&mut peer, &ringing, 3, "")), [200]);
    // Offer and answer are exchanged: the same description in the 2xx would be another offer.
    let sent = answer(&mut peer, leg, sdp());
    assert!(sent[0].message().body().is_empty());
    peer.send("ACK", &[&to(&offer.to_tag())], "");
    // The session is known all the same: a refresh gets it.
    let refreshed = peer.send("UPDATE", &["CSeq: 4 UPDATE", &to(&offer.to_tag())], OTHER);
    assert_eq!(refreshed[0].message().body(), SDP.as_bytes());
}

#[test]
fn one_at_a_time_in_order_and_eight_may_wait() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let first = progress(&mut peer, leg, 183, sdp()).remove(0);
    for code in 181..=188 {
        assert!(progress(&mut peer, leg, code, None).is_empty(), "it waits");
    }
    let (refused, sent) = peer.act(|endpoint, now| endpoint.progress(now, leg, 189, None, &[], None));
    assert!(matches!(refused, Err(EndpointError::Limit(_))) && sent.is_empty());
    let ringing = progress(&mut peer, leg, 180, None);
    assert!(
        codes(&ringing) == [180] && !is_reliable(&ringing[0]),
        "a plain one passes"
    );
    let mut last = first;
    for (seq, code) in (2..).zip(181..=188) {
        let sent = prack(&mut peer, &last, seq, "");
        assert_eq!(codes(&sent), [200, code]);
        assert_eq!(rseq(&sent[1]), rseq(&last) + 1);
        last = sent[1].clone();
    }
    assert_eq!(codes(&prack(&mut peer, &last, 10, "")), [200]);
}

#[test]
fn a_prack_that_matches_nothing_gets_481() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let ringing = progress(&mut peer, leg, 180, None).remove(0);
    assert_eq!(
        codes(&prack_of(&mut peer, &ringing, 2, "RAck: 1 1 INVITE", "")),
        [481],
        "not a reliable one"
    );
    let first = progress(&mut peer, leg, 183, sdp()).remove(0);
    let number = rseq(&first);
    for (seq, rack) in (3..).zip([
        format!("RAck: {} 1 INVITE", number + 1),
        format!("RAck: {} 1 INVITE", number - 1),
        format!("RAck: {number} 2 INVITE"),
        format!("RAck: {number} 1 UPDATE"),
    ]) {
        assert_eq!(
            codes(&prack_of(&mut peer, &first, seq, &rack, "")),
            [481],
            "{rack}"
        );
    }
    assert_eq!(codes(&prack_of(&mut peer, &first, 7, "", "")), [400], "no RAck");
    assert_eq!(peer.wait_ms(500).len(), 1, "still repeated");
    let (cseq, tag) = ("CSeq: 8 PRACK", to(&first.to_tag()));
    let rack = format!("RAck: {number} 1 INVITE");
    let strange = [cseq, &tag, &rack, "Content-Type: text/plain"];
    assert_eq!(codes(&peer.send("PRACK", &strange, "hello")), [415]);
    let text = peer.compose("PRACK", &["CSeq: 9 PRACK", &tag, &rack], "");
    assert_eq!(codes(&peer.receive(&text)), [200]);
    assert_eq!(codes(&peer.receive(&text)), [200], "a copy is absorbed");
    assert_eq!(
        codes(&prack(&mut peer, &first, 10, "")),
        [481],
        "acknowledged before"
    );
    assert_eq!(
        codes(&peer.send("PRACK", &["Call-ID: nobody", &tag, &rack], "")),
        [481]
    );
}

#[test]
fn without_a_prack_the_call_ends_with_504_after_64_t1() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    progress(&mut peer, leg, 183, sdp());
    progress(&mut peer, leg, 182, None);
    let sent = peer.wait_ms(31_999);
    assert_eq!(codes(&sent), [183; 6]);
    assert_eq!(peer.wait_ms(1)[0].code(), 504);
    let ended = peer.ended();
    assert_eq!((ended.by, ended.why), (Party::Local, EndKind::PrackMissing));
    assert_eq!(ended.status.unwrap().0, 504);
    peer.assert_quiescent();
}

#[test]
fn the_2xx_waits_for_the_prack_of_a_description_and_of_nothing_else() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let first = progress(&mut peer, leg, 183, sdp()).remove(0);
    progress(&mut peer, leg, 182, None);
    assert!(answer(&mut peer, leg, other()).is_empty());
    let (again, _) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()));
    assert!(
        matches!(again, Err(EndpointError::WrongState(_))),
        "it is answered"
    );
    let (late, _) = peer.act(|endpoint, now| endpoint.reject(now, leg, 486, None, &[]));
    assert!(matches!(late, Err(EndpointError::WrongState(_))));
    let sent = prack(&mut peer, &first, 2, "");
    assert_eq!(
        codes(&sent),
        [200, 200],
        "what waited is stale: the 2xx follows at once"
    );
    assert_eq!(sent[0].method(), "PRACK");
    assert_eq!(
        (sent[1].method(), sent[1].message().body()),
        ("INVITE".into(), OTHER.as_bytes())
    );
    peer.send("ACK", &[&to(&first.to_tag())], "");
    assert!(matches!(
        peer.leg_events().last(),
        Some(LegEvent::Confirmed { .. })
    ));

    let mut peer = Peer::new();
    let leg = called(&mut peer, &[INSISTS], SDP);
    let ringing = progress(&mut peer, leg, 180, None).remove(0);
    assert_eq!(codes(&answer(&mut peer, leg, sdp())), [200]);
    assert_eq!(
        codes(&prack(&mut peer, &ringing, 2, "")),
        [200],
        "its PRACK is still taken"
    );
    let copies = peer.wait_ms(500);
    assert_eq!(codes(&copies), [200], "the 180 is not repeated, the 2xx is");
}

#[test]
fn a_call_may_end_in_every_way_while_its_2xx_waits() {
    for end in ["CANCEL", "BYE", "hangup", "silence"] {
        let mut peer = Peer::new();
        let text = peer.compose("INVITE", &[KNOWS], SDP);
        peer.receive(&text);
        let leg = peer.incoming();
        let first = progress(&mut peer, leg, 183, sdp()).remove(0);
        answer(&mut peer, leg, sdp());
        let via = text.lines().find(|line| line.starts_with("Via")).unwrap();
        let (sent, by, why) = match end {
            "CANCEL" => (peer.send("CANCEL", &[via], ""), Party::Remote, EndKind::Cancelled),
            "BYE" => (
                peer.send("BYE", &["CSeq: 2 BYE", &to(&first.to_tag())], ""),
                Party::Remote,
                EndKind::Bye,
            ),
            "hangup" => (
                peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap())
                    .1,
                Party::Host,
                EndKind::Rejected,
            ),
            _ => (peer.wait_ms(32_000), Party::Local, EndKind::PrackMissing),
        };
        let last = sent.last().unwrap();
        let wanted = match end {
            "hangup" => 480,
            "silence" => 504,
            _ => 487,
        };
        assert_eq!((last.code(), last.method()), (wanted, "INVITE".into()), "{end}");
        let ended = peer.ended();
        assert_eq!((ended.by, ended.why), (by, why), "{end}");
        assert_eq!(codes(&prack(&mut peer, &first, 3, "")), [481], "{end}");
        peer.send("ACK", &[via, &to(&first.to_tag())], "");
        peer.assert_quiescent();
    }
}

#[test]
fn a_reoffer_after_a_held_answer_waits_for_the_call() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let first = progress(&mut peer, leg, 183, sdp()).remove(0);
    answer(&mut peer, leg, sdp());
    let request = callbox_sip::endpoint::ReofferRequest {
        headers: vec![],
        body: other(),
        update: false,
        timeout: Duration::from_secs(10),
    };
    let (taken, sent) = peer.act(|endpoint, now| endpoint.reoffer(now, leg, request));
    assert!(taken.is_ok() && sent.is_empty());
    prack(&mut peer, &first, 2, "");
    let sent = peer.send("ACK", &[&to(&first.to_tag())], "");
    assert_eq!(methods(&sent), ["INVITE"]);
}

#[test]
fn a_prack_may_bring_another_offer_and_an_update_too_once_there_is_a_session() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let tag = {
        let early = progress(&mut peer, leg, 183, sdp()).remove(0);
        let early_update = peer.send("UPDATE", &["CSeq: 2 UPDATE", &to(&early.to_tag())], OTHER);
        assert_eq!(codes(&early_update), [500], "the answer has no PRACK");
        let sent = prack(&mut peer, &early, 3, OTHER);
        assert_eq!(codes(&sent), [200]);
        assert_eq!(sent[0].message().body(), SDP.as_bytes());
        early.to_tag()
    };
    let events = peer.leg_events();
    assert!(matches!(
        events[..],
        [
            LegEvent::Offer { decide: None, .. },
            LegEvent::ProgressAcknowledged { body: None }
        ]
    ));
    let update = peer.send("UPDATE", &["CSeq: 4 UPDATE", &to(&tag)], OTHER);
    assert_eq!(
        (codes(&update), update[0].message().body()),
        (vec![200], SDP.as_bytes())
    );

    // Before there is an answer to its first offer the caller may not make another.
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS], SDP);
    let early = progress(&mut peer, leg, 182, None).remove(0);
    assert_eq!(codes(&prack(&mut peer, &early, 2, OTHER)), [488]);
}

#[test]
fn after_a_minute_a_call_that_rings_says_so_with_the_next_number() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[INSISTS], SDP);
    let first = progress(&mut peer, leg, 183, sdp()).remove(0);
    prack(&mut peer, &first, 2, "");
    let again = peer.wait_ms(60_000).remove(0);
    assert_eq!((again.code(), rseq(&again)), (183, rseq(&first) + 1));
    assert!(again.message().body().is_empty());
    prack(&mut peer, &again, 3, "");
    assert_eq!(peer.wait_ms(60_000).len(), 1);
}

#[test]
fn the_rows_of_record_route_and_the_hosts_headers_are_in_it() {
    let mut peer = Peer::new();
    let leg = called(&mut peer, &[KNOWS, "Record-Route: <sip:192.0.2.1;lr>"], SDP);
    let headers = [Header {
        name: "X-Queue".into(),
        value: "7".into(),
    }];
    let (_, sent) = peer.act(|endpoint, now| {
        endpoint
            .progress(now, leg, 182, Some("Queued"), &headers, None)
            .unwrap()
    });
    assert_eq!(sent[0].header("X-Queue"), "7");
    assert_eq!(sent[0].header("Record-Route"), "<sip:192.0.2.1;lr>");
    assert!(sent[0].bytes.starts_with(b"SIP/2.0 182 Queued\r\n"));
}

// ---- we call --------------------------------------------------------------------------------------------------------

/// The peer's reliable response number `rseq`.
fn reliable(peer: &mut Peer, invite: &Sent, status: &str, tag: &str, rseq: u32, body: &str) -> Vec<Sent> {
    let number = format!("RSeq: {rseq}");
    peer.reply(invite, status, tag, &[CONTACT, INSISTS, &number], body)
}

fn told(peer: &mut Peer) -> Vec<(u16, bool)> {
    let events = peer.leg_events().into_iter();
    let progress = |event| match event {
        LegEvent::Progress { response, reliable } => (response.code().unwrap(), reliable),
        other => panic!("{other:?}"),
    };
    events.map(progress).collect()
}

#[test]
fn each_reliable_response_gets_one_prack_in_its_early_dialog() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|_| {});
    assert!(invite.header("Supported").contains("100rel") && invite.header("Allow").contains("PRACK"));
    assert!(
        peer.reply(&invite, "180 Ringing", "r1", &[CONTACT], "")
            .is_empty(),
        "a plain one"
    );
    let sent = reliable(&mut peer, &invite, "183 Progress", "r1", 4_711, SDP);
    assert_eq!(methods(&sent), ["PRACK"]);
    assert_eq!(sent[0].header("RAck"), "4711 1 INVITE");
    assert_eq!(
        (sent[0].header("CSeq"), sent[0].to_tag()),
        ("2 PRACK".into(), "r1".into())
    );
    assert_eq!(sent[0].uri(), "sip:alice@192.0.2.1:5060");
    assert!(sent[0].message().body().is_empty());
    assert!(
        reliable(&mut peer, &invite, "183 Progress", "r1", 4_711, SDP).is_empty(),
        "for a copy its own transaction repeats it"
    );
    let copies = peer.wait_ms(500);
    assert_eq!(copies[0].bytes, sent[0].bytes);
    peer.reply(&sent[0], "200 OK", "", &[], "");
    assert!(reliable(&mut peer, &invite, "183 Progress", "r1", 4_711, SDP).is_empty());
    assert!(
        reliable(&mut peer, &invite, "182 Queued", "r1", 4_713, "").is_empty(),
        "one is missing: it comes again"
    );
    let next = reliable(&mut peer, &invite, "181 Forwarded", "r1", 4_712, "");
    assert_eq!(next[0].header("RAck"), "4712 1 INVITE");
    let next = reliable(&mut peer, &invite, "182 Queued", "r1", 4_713, "");
    assert_eq!(
        (next[0].header("RAck"), next[0].header("CSeq")),
        ("4713 1 INVITE".into(), "4 PRACK".into())
    );
    assert_eq!(
        told(&mut peer),
        [(180, false), (183, true), (181, true), (182, true)]
    );
}

#[test]
fn forks_count_apart_and_the_call_counts_on_from_its_own() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    for (tag, number) in [("r1", 10), ("r2", 500), ("r1", 11), ("r1", 12), ("r2", 501)] {
        let sent = reliable(&mut peer, &invite, "183 Progress", tag, number, SDP);
        assert_eq!(sent[0].header("RAck"), format!("{number} 1 INVITE"));
        assert_eq!(sent[0].to_tag(), tag);
        peer.reply(&sent[0], "200 OK", "", &[], "");
    }
    let ack = peer.reply(&invite, "200 OK", "r1", &[CONTACT], "");
    assert_eq!(ack[0].header("CSeq"), "1 ACK");
    let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(bye[0].header("CSeq"), "5 BYE", "after three PRACKs");
    peer.reply(&bye[0], "200 OK", "", &[], "");
    peer.assert_quiescent();
}

#[test]
fn an_invite_without_offer_does_not_ask_for_reliable_responses_and_takes_them_for_plain() {
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|request| request.body = None);
    assert!(!invite.header("Supported").contains("100rel"));
    assert!(reliable(&mut peer, &invite, "183 Progress", "r1", 7, SDP).is_empty());
    assert!(
        reliable(&mut peer, &invite, "180 Ringing", "", 7, "").is_empty(),
        "no tag, no dialog"
    );
    assert_eq!(told(&mut peer), [(183, false), (180, false)]);
}

#[test]
fn a_prack_is_sent_with_credentials_when_it_must_be() {
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"";
    let other = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true";
    let mut peer = Peer::new();
    let (_, invite) = peer.call(|request| {
        request.credentials = vec![Credentials {
            username: "bob".into(),
            password: "secret".into(),
            realm: None,
        }];
    });
    let sent = peer.reply(&invite, "407 Who", "p1", &[challenge], "");
    let invite = sent.into_iter().find(|sent| sent.method() == "INVITE").unwrap();
    let sent = reliable(&mut peer, &invite, "183 Progress", "r1", 9, SDP);
    assert!(sent[0].header("Proxy-Authorization").contains("nonce=\"n1\""));
    assert_eq!(sent[0].header("RAck"), "9 2 INVITE");
    let again = peer.reply(&sent[0], "407 Stale", "", &[other], "");
    assert_eq!(methods(&again), ["PRACK"]);
    assert!(again[0].header("Proxy-Authorization").contains("nonce=\"n2\""));
    assert_eq!(
        (again[0].header("RAck"), again[0].header("CSeq")),
        ("9 2 INVITE".into(), "4 PRACK".into())
    );
    assert!(
        peer.reply(&again[0], "481 Gone", "", &[], "").is_empty(),
        "a refusal changes nothing"
    );
}

#[test]
fn after_our_cancel_the_peer_is_still_acknowledged_and_the_host_hears_nothing() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    peer.act(|endpoint, now| endpoint.cancel(now, leg, None).unwrap());
    let sent = reliable(&mut peer, &invite, "183 Progress", "r1", 3, SDP);
    assert_eq!(methods(&sent), ["PRACK", "CANCEL"]);
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.reply(&sent[1], "200 OK", "", &[], "");
    peer.reply(&invite, "487 Ended", "r1", &[], "");
    assert_eq!(peer.ended().why, EndKind::Cancelled);
    peer.assert_quiescent();
}

#[test]
fn the_callee_may_change_the_session_before_it_answers() {
    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    let update = |peer: &mut Peer, seq: u32| {
        let (cseq, from) = (
            format!("CSeq: {seq} UPDATE"),
            "From: <sip:alice@192.0.2.1:5060>;tag=r1",
        );
        let to = format!("To: {}", invite.header("From"));
        let call_id = format!("Call-ID: {}", invite.header("Call-ID"));
        peer.send("UPDATE", &[&cseq, from, &to, &call_id], OTHER)
    };
    peer.reply(&invite, "183 Progress", "r1", &[CONTACT], SDP);
    assert_eq!(
        codes(&update(&mut peer, 1)),
        [491],
        "our offer has no answer that binds"
    );
    reliable(&mut peer, &invite, "183 Progress", "r1", 1, SDP);
    let sent = update(&mut peer, 2);
    assert_eq!(
        (codes(&sent), sent[0].message().body()),
        (vec![200], SDP.as_bytes())
    );
    peer.reply(&invite, "200 OK", "r1", &[CONTACT], "");
    assert_eq!(
        codes(&update(&mut peer, 2)),
        [500],
        "numbers go on from the early dialog"
    );
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert_eq!(sent[0].header("CSeq"), "3 BYE");
}
