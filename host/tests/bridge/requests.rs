//! INFO, digits and MESSAGE between bridged legs, and feature codes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use callbox::call::{BridgeOptions, CallError, EventKind};

use crate::scene::{Line, Scene, sdp, session};
use crate::support::peer::Sent;
use crate::support::{SOON, event_of};

fn watching(codes: &[&str]) -> BridgeOptions {
    BridgeOptions {
        watch_digits: codes.iter().map(|code| (*code).to_owned()).collect(),
        ..BridgeOptions::default()
    }
}

/// Sends a request, which the host answers, and answers the one that arrives at the other end.
async fn relayed(from: &mut Line, to: &mut Line, method: &str, body: Sent<'_>) {
    assert_eq!(from.ask(method, body).await.status(), Some(200));
    let request = to.request(method).await;
    let (kind, text) = body.unwrap_or_default();
    assert_eq!((request.header("Content-Type"), request.body()), (kind, text));
    to.answer(&request, "200 OK", None).await;
}

async fn press(line: &mut Line, key: char) {
    let body = format!("Signal={key}\r\nDuration=120\r\n");
    let answer = line.ask("INFO", Some(("application/dtmf-relay", &body))).await;
    assert_eq!(answer.status(), Some(200));
}

/// The next digit that arrives.
async fn arrived(line: &mut Line) -> char {
    let info = line.request("INFO").await;
    line.answer(&info, "200 OK", None).await;
    let key = info
        .body()
        .lines()
        .next()
        .unwrap()
        .strip_prefix("Signal=")
        .unwrap();
    key.chars().next().unwrap()
}

#[tokio::test]
async fn info_and_message_go_both_ways_and_not_to_the_flow() {
    let mut scene = Scene::bridged(&BridgeOptions::default()).await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let digit = Some(("application/dtmf-relay", "Signal=5\r\nDuration=120\r\n"));
    for body in [digit, Some(("application/x-thing", "thing")), None] {
        relayed(alice, bob, "INFO", body).await;
        relayed(bob, alice, "INFO", body).await;
    }
    relayed(alice, bob, "MESSAGE", Some(("text/plain", "hello"))).await;
    relayed(bob, alice, "MESSAGE", Some(("text/plain", "hello yourself"))).await;
    // What the other peer says of it is not passed on, and harms nobody.
    alice.send("INFO", digit).await;
    let info = bob.request("INFO").await;
    bob.answer(&info, "415 Unsupported Media Type", None).await;
    assert_eq!((a.dtmf_buffer(), b.dtmf_buffer()), (String::new(), String::new()));
    assert_eq!(a.wait_for_dtmf(Duration::ZERO).await, Err(CallError::Timeout));
    assert!(flow.poll_event().is_none());
}

#[tokio::test]
async fn without_relay_info_they_are_the_flows() {
    let options = BridgeOptions {
        relay_info: false,
        ..watching(&["**"])
    };
    let mut scene = Scene::bridged(&options).await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    press(alice, '*').await;
    press(bob, '7').await;
    assert_eq!(a.wait_for_dtmf(SOON).await.unwrap().digit, '*');
    assert_eq!(b.wait_for_dtmf(SOON).await.unwrap().digit, '7');
    alice.ask("INFO", Some(("text/plain", "x"))).await;
    assert_eq!(a.wait_for_info(SOON).await.unwrap().body.unwrap().data(), "x");
    alice.ask("MESSAGE", Some(("text/plain", "y"))).await;
    assert!(matches!(event_of(flow, a).await.kind, EventKind::Message(_)));
    bob.silent().await;
}

#[tokio::test]
async fn a_feature_code_is_the_flows_and_other_digits_keep_their_order() {
    let mut scene = Scene::bridged(&watching(&["**", "#9"])).await;
    let Scene {
        session: flow,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    for key in "1*2".chars() {
        press(alice, key).await;
    }
    for key in "1*2".chars() {
        assert_eq!(arrived(bob).await, key);
    }
    press(alice, '*').await;
    // The other leg's digits are another matter.
    press(bob, '*').await;
    press(bob, '5').await;
    assert_eq!((arrived(alice).await, arrived(alice).await), ('*', '5'));
    press(alice, '*').await;
    for _ in 0..2 {
        assert!(matches!(event_of(flow, a).await.kind, EventKind::Dtmf(dtmf) if dtmf.digit == '*'));
    }
    press(bob, '#').await;
    press(bob, '9').await;
    assert_eq!(b.wait_for_dtmf(SOON).await.unwrap().digit, '#');
    assert_eq!(b.wait_for_dtmf(SOON).await.unwrap().digit, '9');
    assert_eq!((a.dtmf_buffer().as_str(), b.dtmf_buffer().as_str()), ("**", "#9"));
    scene.silent().await;
}

#[tokio::test]
async fn a_code_that_is_not_finished_is_relayed_after_a_pause_or_with_the_parting() {
    let mut scene = Scene::bridged(&watching(&["*123"])).await;
    let Scene {
        session: flow,
        a,
        alice,
        bob,
        ..
    } = &mut scene;
    let began = Instant::now();
    press(alice, '*').await;
    press(alice, '1').await;
    assert_eq!((arrived(bob).await, arrived(bob).await), ('*', '1'));
    assert!(
        began.elapsed() >= Duration::from_millis(1_400),
        "{:?}",
        began.elapsed()
    );
    press(alice, '*').await;
    press(alice, '1').await;
    bob.silent().await;
    flow.unbridge(a).unwrap();
    assert_eq!((arrived(bob).await, arrived(bob).await), ('*', '1'));
    press(alice, '2').await;
    assert_eq!(a.wait_for_dtmf(SOON).await.unwrap().digit, '2');
    assert_eq!(a.dtmf_buffer(), "2");
    bob.silent().await;
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_flow_that_waits_sleeps_while_they_talk() {
    let mut scene = Scene::bridged(&BridgeOptions::default()).await;
    let Scene {
        session: flow,
        a,
        alice,
        bob,
        ..
    } = &mut scene;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut waiting = pin!(flow.next_event(None, None));
    let mut ended = pin!(a.wait_for_hangup(None));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert!(ended.as_mut().poll(&mut context).is_pending());
    let (offer, answer) = (session(4_050, "sendrecv"), session(5_050, "sendrecv"));
    for _ in 0..5 {
        relayed(alice, bob, "INFO", Some(("application/dtmf", "5"))).await;
        relayed(bob, alice, "MESSAGE", Some(("text/plain", "x"))).await;
        let sent = alice.send("INVITE", sdp(&offer)).await;
        bob.accept_reinvite(sdp(&answer)).await;
        alice.accepted(&sent).await;
    }
    alice.silent().await;
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    assert_eq!(alice.ask("BYE", None).await.status(), Some(200));
    bob.expect_bye().await;
    assert!(wakes.0.load(Ordering::Relaxed) > 0);
    assert!(waiting.as_mut().poll(&mut context).is_ready());
}

#[tokio::test]
async fn the_flow_may_send_of_its_own_while_the_legs_are_bridged() {
    let mut scene = Scene::bridged(&BridgeOptions::default()).await;
    let Scene {
        session: flow,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let body = flow.body("text/plain", b"from the flow".to_vec()).unwrap();
    let (sent, ()) = tokio::join!(b.send_info(body, Vec::new(), Some(SOON)), async {
        let info = bob.request("INFO").await;
        assert_eq!(info.body(), "from the flow");
        bob.answer(&info, "200 OK", None).await;
    });
    assert_eq!(sent.unwrap().unwrap().status.code, 200);
    alice.silent().await;
}
