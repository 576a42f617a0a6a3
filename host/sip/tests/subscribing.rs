//! Subscribing, message by message: what RFC 6665 §4.1 asks of a subscriber. Renewals and the end are in `resubscribing`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod notifier;
mod peer;

use std::time::Duration;

use callbox_sip::endpoint::{
    Body, Destination, EndpointError, Header, Protocol, SubscribeRequest, SubscriptionEnd, SubscriptionEvent,
    SubscriptionFailure, SubscriptionState, TransportFailure,
};
use notifier::{
    NOTIFIER, end, events, finish, is_notify, notify, one_event, request, seq, status, subscribe, subscribed,
    unsubscribe,
};
use peer::Peer;

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
