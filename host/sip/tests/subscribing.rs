//! Subscribing, message by message: what RFC 6665 §4.1 asks of a subscriber.
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
    Body, Destination, EndpointError, Event, Header, PartyAddress, Protocol, SubscribeRequest,
    SubscriptionEnd, SubscriptionEvent, SubscriptionFailure, SubscriptionId, SubscriptionState,
    TransportFailure,
};
use peer::{Peer, Sent};

const NOTIFIER: &str = "sip:watched@192.0.2.1:5070";

fn request() -> SubscribeRequest {
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

fn subscribe(peer: &mut Peer, tune: impl FnOnce(&mut SubscribeRequest)) -> (SubscriptionId, Sent) {
    let mut request = request();
    tune(&mut request);
    let (id, sent) = peer.act(|endpoint, now| endpoint.subscribe(now, request).unwrap());
    (id, sent[0].clone())
}

/// The notifier's NOTIFY with this number and tag; `state` is the Subscription-State. `lines` replace or add.
fn notify(peer: &mut Peer, subscribe: &Sent, seq: u32, tag: &str, state: &str, lines: &[&str]) -> Sent {
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

fn events(peer: &mut Peer) -> Vec<SubscriptionEvent> {
    let event = |event| match event {
        Event::Subscription { event, .. } => event,
        other => panic!("{other:?}"),
    };
    std::mem::take(&mut peer.events).into_iter().map(event).collect()
}

fn one_event(peer: &mut Peer) -> SubscriptionEvent {
    let mut events = events(peer);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

/// The one event must be the end.
fn end(peer: &mut Peer) -> SubscriptionEnd {
    match one_event(peer) {
        SubscriptionEvent::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

fn is_notify(event: &SubscriptionEvent, wanted: SubscriptionState) -> bool {
    matches!(event, SubscriptionEvent::Notify { state, .. } if *state == wanted)
}

/// A subscription in force for 160 s: NOTIFY 7 was taken.
fn subscribed(peer: &mut Peer, tune: impl FnOnce(&mut SubscribeRequest)) -> (SubscriptionId, Sent) {
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

fn unsubscribe(peer: &mut Peer, id: SubscriptionId) -> Vec<Sent> {
    peer.act(|endpoint, now| endpoint.unsubscribe(now, id).unwrap()).1
}

fn status(failure: &SubscriptionFailure) -> u16 {
    match failure {
        SubscriptionFailure::Rejected(response) => response.code().unwrap(),
        _ => 0,
    }
}

fn seq(sent: &Sent) -> u32 {
    sent.message().cseq().unwrap().seq
}

/// Ends it well and waits until nothing is left.
fn finish(peer: &mut Peer, id: SubscriptionId, first: &Sent, notify_seq: u32) {
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

#[test]
fn a_subscription_is_made_by_its_notify_renewed_in_its_dialog_and_ended() {
    let mut peer = Peer::new();
    let (id, first) = subscribe(&mut peer, |r| {
        r.accept = vec!["application/pidf+xml".into(), "text/plain".into()];
        r.body = Some(Body {
            content_type: "application/simple-filter+xml".into(),
            data: "<filter/>".into(),
        });
        r.contact_user = Some("bob".into());
    });
    assert_eq!(first.uri(), "sip:alice@192.0.2.1");
    assert_eq!(first.header("Event"), "presence");
    assert_eq!(first.header("Expires"), "160");
    assert_eq!(first.header("Accept"), "application/pidf+xml, text/plain");
    assert_eq!(first.header("To"), "<sip:alice@192.0.2.1>");
    assert_eq!(first.header("Contact"), "<sip:bob@192.0.2.9:5060>");
    assert!(first.bytes.ends_with(b"<filter/>"));
    peer.reply(&first, "202 Accepted", "n1", &["Expires: 100"], "");
    let routes = "Record-Route: <sip:192.0.2.2;lr>, <sip:192.0.2.3;lr>";
    assert_eq!(
        notify(&mut peer, &first, 7, "n1", "pending;expires=100", &[routes]).code(),
        200
    );
    match one_event(&mut peer) {
        SubscriptionEvent::Notify {
            state: SubscriptionState::Pending,
            reason: None,
            expires: Some(100),
            request,
        } => assert_eq!(request.cseq().unwrap().seq, 7),
        other => panic!("{other:?}"),
    }
    let renewal = peer.wait_ms(90_000);
    assert_eq!(renewal[0].at, 90_000, "90 % of what was granted");
    assert_eq!(renewal[0].uri(), NOTIFIER);
    assert_eq!(
        renewal[0].header("Route"),
        "<sip:192.0.2.2;lr>, <sip:192.0.2.3;lr>"
    );
    assert_eq!(renewal[0].addr(), "192.0.2.2:5060".parse().unwrap());
    assert_eq!(renewal[0].to_tag(), "n1");
    assert_eq!(renewal[0].header("From"), first.header("From"));
    assert_eq!(renewal[0].header("Call-ID"), first.header("Call-ID"));
    assert_eq!(
        (seq(&renewal[0]), renewal[0].header("Expires").as_str()),
        (2, "160")
    );
    assert!(renewal[0].bytes.ends_with(b"<filter/>"));
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
    notify(&mut peer, &first, 8, "n1", "active;expires=160", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));

    let last = unsubscribe(&mut peer, id);
    assert_eq!((seq(&last[0]), last[0].header("Expires").as_str()), (3, "0"));
    assert!(!last[0].bytes.ends_with(b"<filter/>"));
    assert!(unsubscribe(&mut peer, id).is_empty(), "idempotent");
    // One that crossed it is still told.
    notify(&mut peer, &first, 9, "n1", "active;expires=100", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    peer.reply(&last[0], "200 OK", "", &["Expires: 0"], "");
    assert!(matches!(one_event(&mut peer), SubscriptionEvent::Released));
    notify(&mut peer, &first, 10, "n1", "terminated;reason=timeout", &[]);
    assert!(matches!(
        events(&mut peer)[..],
        [
            SubscriptionEvent::Notify { .. },
            SubscriptionEvent::Ended(SubscriptionEnd::Unsubscribed(Ok(())))
        ]
    ));
    let (over, _) = peer.act(|endpoint, now| endpoint.unsubscribe(now, id));
    assert!(matches!(over, Err(EndpointError::WrongState(_))));
    assert_eq!(notify(&mut peer, &first, 11, "n1", "active", &[]).code(), 481);
    peer.assert_quiescent();
}

#[test]
fn refresh_says_when_unless_it_is_not_before_the_end() {
    for (refresh, at) in [
        (Some(60), 60_000),
        (Some(159), 159_000),
        (Some(160), 144_000),
        (Some(0), 144_000),
        (None, 144_000),
    ] {
        let mut peer = Peer::new();
        let (id, first) = subscribed(&mut peer, |r| r.refresh = refresh);
        let renewal = peer.wait_ms(at);
        assert_eq!((renewal.len(), renewal[0].at), (1, at), "{refresh:?}");
        peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
        notify(&mut peer, &first, 8, "n1", "active;expires=160", &[]);
        peer.events.clear();
        finish(&mut peer, id, &first, 9);
    }
}

#[test]
fn a_notify_that_shortens_the_time_moves_the_renewal_forward() {
    let mut peer = Peer::new();
    let (id, first) = subscribed(&mut peer, |_| {});
    notify(&mut peer, &first, 8, "n1", "active;expires=50", &[]);
    let renewal = peer.wait_ms(45_000);
    assert_eq!(renewal[0].at, 45_000);
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
    peer.events.clear();
    finish(&mut peer, id, &first, 9);
}

#[test]
fn a_notify_before_the_2xx_makes_the_dialog_and_other_forks_get_481() {
    let mut peer = Peer::new();
    let (id, first) = subscribe(&mut peer, |_| {});
    assert_eq!(
        notify(&mut peer, &first, 3, "n1", "active;expires=160", &[]).code(),
        200
    );
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    assert_eq!(
        notify(&mut peer, &first, 1, "n2", "active;expires=160", &[]).code(),
        481
    );
    // The 2xx of the other fork changes nothing.
    peer.reply(&first, "200 OK", "n2", &["Expires: 100"], "");
    assert!(peer.events.is_empty());
    let renewal = peer.wait_ms(90_000);
    assert_eq!((renewal[0].to_tag().as_str(), seq(&renewal[0])), ("n1", 2));
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 100"], "");
    assert_eq!(notify(&mut peer, &first, 2, "n2", "active", &[]).code(), 481);
    finish(&mut peer, id, &first, 4);
}

#[test]
fn notifys_are_taken_in_order_of_cseq() {
    let mut peer = Peer::new();
    let (id, first) = subscribed(&mut peer, |_| {});
    let late = notify(&mut peer, &first, 6, "n1", "active", &[]);
    assert_eq!((late.code(), late.header("Retry-After").as_str()), (500, "1"));
    assert_eq!(notify(&mut peer, &first, 7, "n1", "active", &[]).code(), 500);
    assert!(peer.events.is_empty());
    assert_eq!(
        notify(&mut peer, &first, 20, "n1", "active", &[]).code(),
        200,
        "gaps are fine"
    );
    // A copy gets the same answer, and the host hears of it once.
    let lines = [
        "From: <sip:alice@192.0.2.1>;tag=n1".to_owned(),
        format!("To: {}", first.header("From")),
        format!("Call-ID: {}", first.header("Call-ID")),
        "CSeq: 21 NOTIFY".into(),
        "Event: presence".into(),
        "Subscription-State: active".into(),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let text = peer.compose("NOTIFY", &lines, "");
    let (one, two) = (peer.receive(&text), peer.receive(&text));
    assert_eq!(one[0].bytes, two[0].bytes);
    assert_eq!(events(&mut peer).len(), 2);
    finish(&mut peer, id, &first, 22);
}

#[test]
fn a_notify_that_does_not_fit_is_refused_and_not_told() {
    let mut peer = Peer::new();
    let (id, first) = subscribed(&mut peer, |_| {});
    for (lines, code) in [
        (&["Event: dialog"][..], 489),
        (&["Event: presence;id=2"], 489),
        (&["Event: "], 489),
        (&["Subscription-State: "], 400),
        (&["Require: x-unknown"], 420),
        (&["Call-ID: other"], 481),
        (&["To: <sip:bob@192.0.2.9>;tag=wrong"], 481),
        (&["To: <sip:bob@192.0.2.9>"], 481),
    ] {
        assert_eq!(
            notify(&mut peer, &first, 8, "n1", "active", lines).code(),
            code,
            "{lines:?}"
        );
    }
    assert!(peer.events.is_empty());
    finish(&mut peer, id, &first, 9);
}

#[test]
fn an_unsolicited_notify_gets_481() {
    let mut peer = Peer::new();
    for to in ["To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=x"] {
        let sent = peer.send(
            "NOTIFY",
            &[to, "Event: presence", "Subscription-State: active"],
            "",
        );
        assert_eq!(sent[0].code(), 481);
    }
    assert!(peer.events.is_empty());
    peer.assert_quiescent();
}

#[test]
fn terminated_ends_it_with_its_reason_and_what_that_means() {
    let s = Duration::from_secs;
    for (state, reason, retry) in [
        ("terminated;reason=noresource", Some("noresource"), None),
        ("terminated;reason=rejected;retry-after=9", Some("rejected"), None),
        ("terminated;reason=invariant", Some("invariant"), None),
        ("terminated;reason=timeout", Some("timeout"), Some(s(0))),
        (
            "terminated;reason=deactivated;retry-after=9",
            Some("deactivated"),
            Some(s(0)),
        ),
        (
            "terminated;reason=probation;retry-after=70",
            Some("probation"),
            Some(s(70)),
        ),
        ("terminated;reason=probation", Some("probation"), Some(s(30))),
        (
            "terminated;reason=giveup;retry-after=5",
            Some("giveup"),
            Some(s(5)),
        ),
        ("Terminated", None, Some(s(0))),
    ] {
        let mut peer = Peer::new();
        let (_, first) = subscribed(&mut peer, |_| {});
        assert_eq!(notify(&mut peer, &first, 8, "n1", state, &[]).code(), 200);
        let mut events = events(&mut peer);
        assert!(is_notify(&events[0], SubscriptionState::Terminated));
        match events.remove(1) {
            SubscriptionEvent::Ended(SubscriptionEnd::Terminated {
                reason: told,
                retry_in,
            }) => {
                assert_eq!((told.as_deref(), retry_in), (reason, retry), "{state}");
            }
            other => panic!("{state}: {other:?}"),
        }
        assert_eq!(peer.endpoint.counts().subscriptions, 0);
        peer.assert_quiescent();
    }
}

#[test]
fn expires_0_fetches_the_state_once() {
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |r| r.expires = 0);
    peer.reply(&first, "200 OK", "n1", &["Expires: 0"], "");
    notify(&mut peer, &first, 1, "n1", "terminated;reason=timeout", &[]);
    assert!(matches!(
        events(&mut peer)[..],
        [
            SubscriptionEvent::Notify { .. },
            SubscriptionEvent::Ended(SubscriptionEnd::Terminated { .. })
        ]
    ));
    peer.assert_quiescent();
    // A notifier that never says terminated holds nothing here for longer than timer N.
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |r| r.expires = 0);
    peer.reply(&first, "200 OK", "n1", &["Expires: 0"], "");
    notify(&mut peer, &first, 1, "n1", "active;expires=0", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    peer.wait_ms(32_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::NoNotify)
    ));
    peer.assert_quiescent();
}

#[test]
fn without_the_first_notify_it_fails_at_the_time_out_or_timer_n() {
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |_| {});
    peer.reply(&first, "200 OK", "n1", &["Expires: 160"], "");
    peer.wait_ms(15_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::Timeout)
    ));
    assert_eq!(
        notify(&mut peer, &first, 1, "n1", "active", &[]).code(),
        481,
        "which ends it there too"
    );
    peer.assert_quiescent();

    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |r| r.timeout = Duration::from_secs(100));
    peer.reply(&first, "200 OK", "n1", &["Expires: 160"], "");
    peer.wait_ms(32_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::NoNotify)
    ));
    peer.assert_quiescent();

    // Not even a response: the transaction's own time-out, and no answer to what comes after the end.
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |r| r.timeout = Duration::from_secs(100));
    peer.wait_ms(32_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::Timeout)
    ));
    peer.reply(&first, "200 OK", "n1", &["Expires: 160"], "");
    peer.assert_quiescent();
    assert!(peer.events.is_empty());
}

#[test]
fn a_refusal_is_told_with_its_status() {
    for code in [
        "489 Bad Event",
        "403 Forbidden",
        "302 Moved",
        "503 Busy",
        "481 Gone",
        "603 Decline",
    ] {
        let mut peer = Peer::new();
        let (_, first) = subscribe(&mut peer, |_| {});
        assert!(
            peer.reply(&first, code, "r", &["Allow-Events: dialog"], "")
                .is_empty()
        );
        let want = code.get(..3).unwrap().parse().unwrap();
        assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == want));
        peer.assert_quiescent();
    }
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |_| {});
    let (now, token) = (peer.now, first.token.unwrap());
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Unresolved);
    peer.drain();
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::Transport(TransportFailure::Unresolved))
    ));
    peer.assert_quiescent();
}

fn credentials(password: &str) -> Vec<Credentials> {
    vec![Credentials {
        username: "bob".into(),
        password: password.into(),
        realm: None,
    }]
}

const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"r1\", nonce=\"n1\", qop=\"auth\"";

#[test]
fn challenges_are_answered_in_and_out_of_the_dialog() {
    let mut peer = Peer::new();
    let (id, first) = subscribe(&mut peer, |r| r.credentials = credentials("secret"));
    let second = peer.reply(&first, "407 Who", "r", &[CHALLENGE], "");
    assert!(
        second[0]
            .header("Proxy-Authorization")
            .contains("uri=\"sip:alice@192.0.2.1\"")
    );
    assert_eq!(
        (seq(&second[0]), second[0].header("From")),
        (2, first.header("From"))
    );
    peer.reply(&second[0], "200 OK", "n1", &["Expires: 160"], "");
    notify(&mut peer, &first, 1, "n1", "active;expires=160", &[]);
    peer.events.clear();
    let renewal = peer.wait_ms(144_000);
    let answer = renewal[0].header("Proxy-Authorization");
    assert!(
        answer.contains("nc=00000002") && answer.contains(&format!("uri=\"{NOTIFIER}\"")),
        "{answer}"
    );
    assert_eq!(seq(&renewal[0]), 3);
    let stale = CHALLENGE.replace("\"n1\"", "\"n2\", stale=true");
    let again = peer.reply(&renewal[0], "407 Who", "", &[&stale], "");
    assert!(again[0].header("Proxy-Authorization").contains("nonce=\"n2\""));
    assert_eq!(seq(&again[0]), 4);
    peer.reply(&again[0], "200 OK", "", &["Expires: 160"], "");
    notify(&mut peer, &first, 2, "n1", "active;expires=160", &[]);
    peer.events.clear();
    finish(&mut peer, id, &first, 3);

    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |r| r.credentials = credentials("wrong"));
    let second = peer.reply(&first, "407 Who", "r", &[CHALLENGE], "");
    assert!(
        peer.reply(&second[0], "407 Who", "r", &[CHALLENGE], "")
            .is_empty()
    );
    assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == 407));
    peer.assert_quiescent();
}

#[test]
fn an_interval_too_brief_is_raised_once() {
    let mut peer = Peer::new();
    let (_, first) = subscribe(&mut peer, |_| {});
    let second = peer.reply(&first, "423 Interval Too Brief", "r", &["Min-Expires: 600"], "");
    assert_eq!(second[0].header("Expires"), "600");
    assert!(
        peer.reply(
            &second[0],
            "423 Interval Too Brief",
            "r",
            &["Min-Expires: 900"],
            ""
        )
        .is_empty()
    );
    assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == 423));
    peer.assert_quiescent();
}

#[test]
fn a_renewal_answered_481_makes_the_subscription_anew_once() {
    let mut peer = Peer::new();
    let (id, first) = subscribed(&mut peer, |_| {});
    let renewal = peer.wait_ms(144_000);
    let anew = peer.reply(&renewal[0], "481 Gone", "", &[], "");
    assert_eq!(anew.len(), 1);
    assert_ne!(anew[0].header("Call-ID"), first.header("Call-ID"));
    assert_ne!(anew[0].header("From"), first.header("From"));
    assert_eq!(
        (anew[0].to_tag().as_str(), anew[0].uri().as_str()),
        ("", "sip:alice@192.0.2.1")
    );
    assert_eq!(
        notify(&mut peer, &first, 8, "n1", "active", &[]).code(),
        481,
        "the old dialog"
    );
    peer.reply(&anew[0], "200 OK", "n1", &["Expires: 160"], "");
    notify(&mut peer, &anew[0], 1, "n1", "active;expires=160", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    // A renewal that succeeds earns another chance.
    let renewal = peer.wait_ms(144_000);
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
    notify(&mut peer, &anew[0], 2, "n1", "active;expires=160", &[]);
    peer.events.clear();
    let renewal = peer.wait_ms(144_000);
    let third = peer.reply(&renewal[0], "481 Gone", "", &[], "");
    assert_eq!(third.len(), 1);
    // Without one, the next 481 is the end.
    peer.reply(&third[0], "200 OK", "n1", &["Expires: 160"], "");
    notify(&mut peer, &third[0], 1, "n1", "active;expires=160", &[]);
    peer.events.clear();
    let renewal = peer.wait_ms(144_000);
    assert!(peer.reply(&renewal[0], "481 Gone", "", &[], "").is_empty());
    assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == 481));
    let (over, _) = peer.act(|endpoint, now| endpoint.unsubscribe(now, id));
    assert!(over.is_err());
    peer.assert_quiescent();
}

#[test]
fn a_new_subscription_after_481_that_fails_is_the_end() {
    for (answer, want) in [("403 Forbidden", 403), ("481 Gone", 481), ("503 Busy", 503)] {
        let mut peer = Peer::new();
        subscribed(&mut peer, |_| {});
        let renewal = peer.wait_ms(144_000);
        let anew = peer.reply(&renewal[0], "481 Gone", "", &[], "");
        assert!(peer.reply(&anew[0], answer, "r", &[], "").is_empty());
        assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == want));
        peer.assert_quiescent();
    }
}

#[test]
fn a_renewal_that_fails_for_now_is_tried_again_until_the_time_is_over() {
    let mut peer = Peer::new();
    let (id, first) = subscribe(&mut peer, |r| r.expires = 1_000);
    peer.reply(&first, "200 OK", "n1", &["Expires: 1000"], "");
    notify(&mut peer, &first, 7, "n1", "active;expires=1000", &[]);
    peer.events.clear();
    let renewal = peer.wait_ms(900_000);
    assert!(
        peer.reply(&renewal[0], "503 Busy", "", &["Retry-After: 1"], "")
            .is_empty()
    );
    let again = peer.wait_ms(60_000);
    assert!((30_000..=60_000).contains(&(again[0].at - renewal[0].at)));
    peer.reply(&again[0], "200 OK", "", &["Expires: 1000"], "");
    notify(&mut peer, &first, 8, "n1", "active;expires=1000", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    // The notifier vanishes.
    peer.wait_ms(999_999);
    assert!(peer.events.is_empty());
    peer.wait_ms(1);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::Expired)
    ));
    assert!(peer.act(|endpoint, now| endpoint.unsubscribe(now, id)).0.is_err());
    peer.assert_quiescent();
}

#[test]
fn a_renewal_refused_for_good_or_without_its_notify_is_the_end() {
    let mut peer = Peer::new();
    subscribed(&mut peer, |_| {});
    let renewal = peer.wait_ms(144_000);
    peer.reply(&renewal[0], "489 Bad Event", "", &[], "");
    assert!(matches!(end(&mut peer), SubscriptionEnd::Failed(f) if status(&f) == 489));
    peer.assert_quiescent();

    let mut peer = Peer::new();
    subscribed(&mut peer, |_| {});
    let renewal = peer.wait_ms(144_000);
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
    peer.wait_ms(32_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Failed(SubscriptionFailure::NoNotify)
    ));
    peer.assert_quiescent();
}

#[test]
fn unsubscribe_ends_in_every_state_and_within_its_bound() {
    // Before the first NOTIFY: forgotten, and the NOTIFY refused.
    let mut peer = Peer::new();
    let (id, first) = subscribe(&mut peer, |_| {});
    assert!(unsubscribe(&mut peer, id).is_empty());
    assert!(matches!(end(&mut peer), SubscriptionEnd::Unsubscribed(Ok(()))));
    peer.reply(&first, "200 OK", "n1", &["Expires: 160"], "");
    assert_eq!(notify(&mut peer, &first, 1, "n1", "active", &[]).code(), 481);
    peer.assert_quiescent();
    // While a renewal is under way: after its answer.
    for (answer, leaves) in [("200 OK", true), ("503 Busy", true), ("481 Gone", false)] {
        let mut peer = Peer::new();
        let (id, first) = subscribed(&mut peer, |_| {});
        let renewal = peer.wait_ms(144_000);
        assert!(unsubscribe(&mut peer, id).is_empty());
        let next = peer.reply(&renewal[0], answer, "", &["Expires: 160"], "");
        assert_eq!(!next.is_empty(), leaves, "{answer}");
        if leaves {
            assert_eq!(next[0].header("Expires"), "0");
            notify(&mut peer, &first, 8, "n1", "terminated", &[]);
            assert!(is_notify(&events(&mut peer)[0], SubscriptionState::Terminated));
        } else {
            assert!(matches!(end(&mut peer), SubscriptionEnd::Unsubscribed(Ok(()))));
        }
        peer.assert_quiescent();
    }
    // (answer to Expires 0, status of the failure)
    for (answer, want) in [("481 Gone", None), ("500 Oops", Some(500))] {
        let mut peer = Peer::new();
        let (id, _) = subscribed(&mut peer, |_| {});
        let last = unsubscribe(&mut peer, id);
        peer.reply(&last[0], answer, "", &[], "");
        let SubscriptionEnd::Unsubscribed(result) = end(&mut peer) else {
            panic!("not unsubscribed")
        };
        assert_eq!(result.err().map(|f| status(&f)), want);
        peer.assert_quiescent();
    }
    // No answer at all; and an answer, but NOTIFYs that never say terminated.
    let mut peer = Peer::new();
    let (id, _) = subscribed(&mut peer, |_| {});
    unsubscribe(&mut peer, id);
    peer.wait_ms(32_000);
    assert!(matches!(
        end(&mut peer),
        SubscriptionEnd::Unsubscribed(Err(SubscriptionFailure::Timeout))
    ));
    peer.assert_quiescent();
    let mut peer = Peer::new();
    let (id, first) = subscribed(&mut peer, |_| {});
    let last = unsubscribe(&mut peer, id);
    peer.reply(&last[0], "200 OK", "", &["Expires: 0"], "");
    assert!(matches!(one_event(&mut peer), SubscriptionEvent::Released));
    for seq in 8..11 {
        peer.wait_ms(10_000);
        notify(&mut peer, &first, seq, "n1", "active;expires=100", &[]);
        assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    }
    peer.wait_ms(2_000);
    assert!(matches!(end(&mut peer), SubscriptionEnd::Unsubscribed(Ok(()))));
    peer.assert_quiescent();
}

#[test]
fn what_cannot_be_sent_is_invalid_and_sends_nothing() {
    let header = |name: &str| {
        vec![Header {
            name: name.into(),
            value: "7".into(),
        }]
    };
    type Tune = Box<dyn Fn(&mut SubscribeRequest)>;
    let bad: Vec<Tune> = vec![
        Box::new(|r| r.uri = "alice".into()),
        Box::new(|r| r.uri = "sip:alice@h?X=y".into()),
        Box::new(|r| r.event = String::new()),
        Box::new(|r| r.event = "a b".into()),
        Box::new(|r| r.event = "presence;id=1\r\nX: y".into()),
        Box::new(|r| r.accept = vec!["text".into()]),
        Box::new(|r| r.accept = vec!["text/plain\r\nX: y".into()]),
        Box::new(|r| r.from.display = Some("a\r\nb".into())),
        Box::new(move |r| r.headers = header("Expires")),
        Box::new(move |r| r.headers = header("o")),
        Box::new(move |r| r.headers = header("Accept")),
    ];
    let mut peer = Peer::new();
    for (n, tune) in bad.iter().enumerate() {
        let mut request = request();
        tune(&mut request);
        let (result, sent) = peer.act(|endpoint, now| endpoint.subscribe(now, request));
        assert!(
            matches!(result, Err(EndpointError::Invalid(_))),
            "{n}: {result:?}"
        );
        assert!(sent.is_empty());
    }
    peer.assert_quiescent();
}

#[test]
fn subscriptions_are_bounded() {
    let mut peer = Peer::with(Protocol::Udp, |config| {
        config.limits.subscriptions_max = 1;
        config.limits.accepts_max = 1;
    });
    let mut many = request();
    many.accept = vec!["text/plain".into(), "text/html".into()];
    let (result, _) = peer.act(|endpoint, now| endpoint.subscribe(now, many));
    assert_eq!(result, Err(EndpointError::Limit("accepts_max")));
    subscribe(&mut peer, |_| {});
    assert_eq!(peer.endpoint.counts().subscriptions, 1);
    let (result, _) = peer.act(|endpoint, now| endpoint.subscribe(now, request()));
    assert_eq!(result, Err(EndpointError::Limit("subscriptions_max")));
    peer.wait_ms(15_000);
    assert_eq!(peer.endpoint.counts().subscriptions, 0);
    peer.assert_quiescent();
}

#[test]
fn over_a_stream_renewals_take_the_connection_of_the_notify() {
    let mut peer = Peer::with(Protocol::Tcp, |_| {});
    let (id, first) = subscribed(&mut peer, |r| r.uri = "sip:alice@192.0.2.1;transport=tcp".into());
    assert_eq!(first.header("Contact"), "<sip:192.0.2.9:5060;transport=tcp>");
    let renewal = peer.wait_ms(144_000);
    assert!(matches!(&renewal[0].to, Destination::Path(path) if path.connection == peer.path.connection));
    assert_eq!(renewal[0].uri(), NOTIFIER);
    peer.reply(&renewal[0], "200 OK", "", &["Expires: 160"], "");
    peer.events.clear();
    finish(&mut peer, id, &first, 8);
}
