//! A subscription that lives on: credentials, renewals and their failures, the end (RFC 6665 §4.1.2).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod notifier;
mod peer;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{SubscriptionEnd, SubscriptionEvent, SubscriptionFailure, SubscriptionState};
use notifier::{
    NOTIFIER, end, events, finish, is_notify, notify, one_event, seq, status, subscribe, subscribed,
    unsubscribe,
};
use peer::Peer;

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
    assert!((30_000..=50_000).contains(&(again[0].at - renewal[0].at)));
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

/// Seed's 160 s are renewed with 16 s left: less than the pause between tries that nothing hurries.
#[test]
fn a_renewal_that_fails_near_the_end_is_tried_again_before_it() {
    let mut peer = Peer::new();
    let (_, first) = subscribed(&mut peer, |_| {});
    let renewal = peer.wait_ms(144_000);
    let (mut tried, mut at) = (renewal, 144_000);
    for pause in [8_000, 4_000, 2_000] {
        assert!(peer.reply(&tried[0], "503 Busy", "", &[], "").is_empty());
        let again = peer.wait_ms(pause);
        assert_eq!(
            (again.len(), again[0].at - tried[0].at),
            (1, pause),
            "after {at} ms"
        );
        at += pause;
        tried = again;
    }
    peer.reply(&tried[0], "200 OK", "", &["Expires: 160"], "");
    notify(&mut peer, &first, 8, "n1", "active;expires=160", &[]);
    assert!(is_notify(&one_event(&mut peer), SubscriptionState::Active));
    assert_eq!(peer.wait_ms(144_000).len(), 1, "renewed in its time");
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
