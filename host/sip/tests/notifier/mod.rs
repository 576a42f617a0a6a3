//! What the tests of subscriptions share: the host's request, and the notifier's answers, as text.
#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_sip::endpoint::{
    Event, PartyAddress, SubscribeRequest, SubscriptionEnd, SubscriptionEvent, SubscriptionFailure,
    SubscriptionId, SubscriptionState,
};

use crate::peer::{Peer, Sent};

pub const NOTIFIER: &str = "sip:watched@192.0.2.1:5070";

pub fn request() -> SubscribeRequest {
    SubscribeRequest {
        uri: "sip:alice@192.0.2.1".into(),
        from: PartyAddress {
            user: Some("bob".into()),
            ..PartyAddress::default()
        },
        event: "presence".into(),
        expires: 160,
        refresh: None,
        accept: vec![],
        body: None,
        headers: vec![],
        credentials: vec![],
        contact_user: None,
        next_hop: None,
        timeout: Duration::from_secs(15),
    }
}

pub fn subscribe(peer: &mut Peer, tune: impl FnOnce(&mut SubscribeRequest)) -> (SubscriptionId, Sent) {
    let mut request = request();
    tune(&mut request);
    let (id, sent) = peer.act(|endpoint, now| endpoint.subscribe(now, request).unwrap());
    (id, sent[0].clone())
}

/// The notifier's NOTIFY with this number and tag; `state` is the Subscription-State. `lines` replace or add.
pub fn notify(peer: &mut Peer, subscribe: &Sent, seq: u32, tag: &str, state: &str, lines: &[&str]) -> Sent {
    let own = [
        format!("From: <sip:alice@192.0.2.1>;tag={tag}"),
        format!("To: {}", subscribe.header("From")),
        format!("Call-ID: {}", subscribe.header("Call-ID")),
        format!("CSeq: {seq} NOTIFY"),
        format!("Contact: <{NOTIFIER}>"),
        "Event: presence".to_owned(),
        format!("Subscription-State: {state}"),
    ];
    let name_of = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
    let mut all: Vec<&str> = own.iter().map(String::as_str).collect();
    all.retain(|usual| !lines.iter().any(|line| name_of(line) == name_of(usual)));
    all.extend(lines);
    let sent = peer.send("NOTIFY", &all, "");
    assert!(sent[0].code() > 0, "a NOTIFY is answered before anything else");
    sent[0].clone()
}

pub fn events(peer: &mut Peer) -> Vec<SubscriptionEvent> {
    let event = |event| match event {
        Event::Subscription { event, .. } => event,
        other => panic!("{other:?}"),
    };
    std::mem::take(&mut peer.events).into_iter().map(event).collect()
}

pub fn one_event(peer: &mut Peer) -> SubscriptionEvent {
    let mut events = events(peer);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

/// The one event must be the end.
pub fn end(peer: &mut Peer) -> SubscriptionEnd {
    match one_event(peer) {
        SubscriptionEvent::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

pub fn is_notify(event: &SubscriptionEvent, wanted: SubscriptionState) -> bool {
    matches!(event, SubscriptionEvent::Notify { state, .. } if *state == wanted)
}

/// A subscription in force for 160 s: NOTIFY 7 was taken.
pub fn subscribed(peer: &mut Peer, tune: impl FnOnce(&mut SubscribeRequest)) -> (SubscriptionId, Sent) {
    let (id, sent) = subscribe(peer, tune);
    assert!(
        peer.reply(&sent, "200 OK", "n1", &["Expires: 160"], "")
            .is_empty()
    );
    assert!(peer.events.is_empty(), "the NOTIFY counts, not the 2xx");
    assert_eq!(
        notify(peer, &sent, 7, "n1", "active;expires=160", &[]).code(),
        200
    );
    assert!(is_notify(&one_event(peer), SubscriptionState::Active));
    (id, sent)
}

pub fn unsubscribe(peer: &mut Peer, id: SubscriptionId) -> Vec<Sent> {
    peer.act(|endpoint, now| endpoint.unsubscribe(now, id).unwrap()).1
}

pub fn status(failure: &SubscriptionFailure) -> u16 {
    match failure {
        SubscriptionFailure::Rejected(response) => response.code().unwrap(),
        _ => 0,
    }
}

pub fn seq(sent: &Sent) -> u32 {
    sent.message().cseq().unwrap().seq
}

/// Ends it well and waits until nothing is left.
pub fn finish(peer: &mut Peer, id: SubscriptionId, first: &Sent, notify_seq: u32) {
    let last = unsubscribe(peer, id);
    assert_eq!(last[0].header("Expires"), "0");
    peer.reply(&last[0], "200 OK", "", &["Expires: 0"], "");
    notify(peer, first, notify_seq, "n1", "terminated;reason=timeout", &[]);
    let events = events(peer);
    assert!(matches!(events[0], SubscriptionEvent::Released));
    assert!(is_notify(&events[1], SubscriptionState::Terminated));
    assert!(matches!(
        events[2],
        SubscriptionEvent::Ended(SubscriptionEnd::Unsubscribed(Ok(())))
    ));
    peer.assert_quiescent();
}
