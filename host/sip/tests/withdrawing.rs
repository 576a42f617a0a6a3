//! A reoffer that the host withdraws: not sent yet, on its way, in the pause after a 491, and what cannot be withdrawn.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::time::Duration;

use callbox_sip::endpoint::{
    EndpointError, LegEvent, LegId, ReofferRequest, Reoffered, RequestFailure, RequestId,
};
use peer::{Peer, SDP, Sent, sdp, to};

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5060>";

fn reoffer(peer: &mut Peer, leg: LegId, body: bool, update: bool) -> (RequestId, Vec<Sent>) {
    let request = ReofferRequest {
        headers: vec![],
        body: sdp().filter(|_| body),
        update,
        timeout: Duration::from_secs(15),
    };
    peer.act(|endpoint, now| endpoint.reoffer(now, leg, request).unwrap())
}

fn withdraw(peer: &mut Peer, leg: LegId, request: RequestId) -> (Result<(), EndpointError>, Vec<Sent>) {
    peer.act(|endpoint, now| endpoint.withdraw_reoffer(now, leg, request))
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

fn outcome(peer: &mut Peer) -> Reoffered {
    match peer.leg_events().pop() {
        Some(LegEvent::Reoffered { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_is_out_is_cancelled_as_soon_as_the_peer_has_it() {
    let mut peer = Peer::new();
    let (leg, _) = peer.talking();
    let (request, sent) = reoffer(&mut peer, leg, true, false);
    let (done, nothing) = withdraw(&mut peer, leg, request);
    assert!(
        done.is_ok() && nothing.is_empty(),
        "no CANCEL before a provisional response"
    );
    let cancel = peer.reply(&sent[0], "100 Trying", "", &[], "");
    assert_eq!(methods(&cancel), ["CANCEL"]);
    assert_eq!(cancel[0].header("Reason"), "");
    let (again, nothing) = withdraw(&mut peer, leg, request);
    assert!(again.is_ok() && nothing.is_empty(), "one CANCEL is enough");
    peer.reply(&cancel[0], "200 OK", "", &[], "");
    peer.reply(&sent[0], "487 Request Terminated", "", &[], "");
    assert!(matches!(outcome(&mut peer), Reoffered::Rejected(_)));
    assert_eq!(peer.endpoint.counts().legs, 1, "the call goes on");
    let gone = withdraw(&mut peer, leg, request).0;
    assert!(matches!(gone, Err(EndpointError::WrongState(_))));

    // A 2xx crosses the CANCEL: it is acknowledged, and the host hears that the new session holds.
    let (request, sent) = reoffer(&mut peer, leg, true, false);
    peer.reply(&sent[0], "100 Trying", "", &[], "");
    assert_eq!(methods(&withdraw(&mut peer, leg, request).1), ["CANCEL"]);
    let ack = peer.reply(&sent[0], "200 OK", "", &[CONTACT], SDP);
    assert_eq!(methods(&ack), ["ACK"]);
    assert!(matches!(outcome(&mut peer), Reoffered::Accepted { .. }));
}

#[test]
fn one_that_waits_is_over_at_once_and_never_sent() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    let (request, sent) = reoffer(&mut peer, leg, true, false);
    peer.reply(&sent[0], "491 Request Pending", "", &[], "");
    assert!(withdraw(&mut peer, leg, request).0.is_ok());
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Failed(RequestFailure::Withdrawn)
    ));
    assert!(peer.wait_ms(10_000).is_empty());

    // Behind an offer of the peer's that the host has not decided.
    peer.act(|endpoint, _| endpoint.decide_offers(leg, true).unwrap());
    peer.send("INVITE", &["CSeq: 2 INVITE", &to(&tag)], SDP);
    peer.leg_events();
    let (request, sent) = reoffer(&mut peer, leg, true, false);
    assert!(sent.is_empty());
    assert!(withdraw(&mut peer, leg, request).0.is_ok());
    assert!(matches!(
        outcome(&mut peer),
        Reoffered::Failed(RequestFailure::Withdrawn)
    ));
}

#[test]
fn an_update_and_one_whose_answer_is_due_take_their_course() {
    let mut peer = Peer::new();
    let (leg, _) = peer.talking();
    let (request, sent) = reoffer(&mut peer, leg, true, true);
    let (done, nothing) = withdraw(&mut peer, leg, request);
    assert!(done.is_ok() && nothing.is_empty());
    peer.reply(&sent[0], "200 OK", "", &[CONTACT], SDP);
    assert!(matches!(outcome(&mut peer), Reoffered::Accepted { .. }));

    let (request, sent) = reoffer(&mut peer, leg, false, false);
    peer.reply(&sent[0], "200 OK", "", &[CONTACT], SDP);
    let due = withdraw(&mut peer, leg, request).0;
    assert!(matches!(due, Err(EndpointError::WrongState(_))));
    let (_, ack) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    assert_eq!(methods(&ack), ["ACK"]);
}
