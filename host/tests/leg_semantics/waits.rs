//! Every wait on a leg ends soon after the leg, and what is dropped ends on the wire as soon.

use std::time::{Duration, Instant};

use callbox::call::{
    BridgeOptions, CallError, DigitPattern, EventKind, GatherOptions, GatherOutcome, Leg, MakeCallOptions,
    Party, RegisterOptions, ReofferOptions, SubscribeOptions, TransferOptions,
};

use crate::endings::info;
use crate::scene::{Scene, Way};
use crate::support::peer::{Message, Peer};
use crate::support::{Host, Opened, SOON, sdp};

/// Waits of a leg that is up, but the one of `answer`, and what the flow has of each when the peer hangs up.
const WAITS: &[&str] = &[
    "wait-for-dtmf",
    "gather-digits",
    "send-dtmf, unanswered",
    "send-dtmf, between digits",
    "send-info",
    "wait-for-info",
    "send-message",
    "reoffer",
    "reoffer by UPDATE",
    "hold",
    "blind-transfer",
    "blind-transfer, outcome",
    "attended-transfer",
    "bridge",
    "wait-for-hangup",
    "next-event",
];

async fn begin(wait: &str, scene: &Scene, leg: &Leg, other: &Leg) -> Result<(), CallError> {
    let long = Duration::from_secs(20);
    let text = || scene.session.body("text/plain", b"text".to_vec()).unwrap();
    let offer = |use_update| ReofferOptions {
        offer: Some(sdp(&scene.session)),
        use_update,
        ..ReofferOptions::default()
    };
    let outcome = TransferOptions {
        wait_for_outcome: true,
        ..TransferOptions::default()
    };
    match wait {
        "wait-for-dtmf" => leg.wait_for_dtmf(long).await.map(drop),
        "gather-digits" => {
            let options = GatherOptions {
                inter_digit: long,
                ..GatherOptions::default()
            };
            let gathered = leg.gather_digits(&DigitPattern::Length(4), &options).await?;
            assert_eq!(gathered.outcome, GatherOutcome::HungUp);
            Err(CallError::Hangup(info(leg).await))
        }
        "send-dtmf, unanswered" => leg.send_dtmf("12", long, long).await,
        "send-dtmf, between digits" => leg.send_dtmf("12", long, long).await,
        "send-info" => leg.send_info(text(), Vec::new(), Some(long)).await.map(drop),
        "wait-for-info" => leg.wait_for_info(long).await.map(drop),
        "send-message" => leg.send_message(text(), long).await.map(drop),
        "reoffer" => leg.reoffer(&offer(false)).await.map(drop),
        "reoffer by UPDATE" => leg.reoffer(&offer(true)).await.map(drop),
        "hold" => leg.hold().await,
        "blind-transfer" => leg
            .blind_transfer("sip:x@127.0.0.1", &TransferOptions::default())
            .await
            .map(drop),
        "blind-transfer, outcome" => leg.blind_transfer("sip:x@127.0.0.1", &outcome).await.map(drop),
        "attended-transfer" => leg
            .attended_transfer(other, &TransferOptions::default())
            .await
            .map(drop),
        "bridge" => {
            let options = BridgeOptions::default();
            scene.session.bridge(leg, other, &options).await
        }
        "wait-for-hangup" => Err(CallError::Hangup(leg.wait_for_hangup(Some(long)).await?)),
        "next-event" => loop {
            let event = scene.session.next_event(Some(&[leg.id()]), Some(long)).await?;
            if let EventKind::HungUp(info) = event.kind {
                return Err(CallError::Hangup(info));
            }
        },
        other => panic!("no wait {other}"),
    }
}

/// From the BYE's leaving the peer to the return of the wait.
async fn until_it_returns(host: &mut Host, wait: &str) -> Duration {
    let mut scene = Scene::new(host, "conn", Way::Outbound).await;
    let (other, _its_peer) = scene.second(host).await;
    let mut dialog = scene.far.dialog.clone().unwrap();
    let mut peer = std::mem::replace(&mut scene.far.peer, Peer::apart(host.addr()).await);
    let leg = scene.leg.take().unwrap();
    let waiting = async {
        let result = begin(wait, &scene, &leg, &other).await;
        (Instant::now(), result)
    };
    let hanging_up = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if wait.ends_with("between digits") || wait.ends_with("outcome") {
            let request = peer.next().await;
            peer.answer(&request, "202 Accepted", "", None).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let at = Instant::now();
        peer.ask(&mut dialog, "BYE", "", None).await;
        at
    };
    let ((returned, result), sent) = tokio::join!(waiting, hanging_up);
    assert!(
        matches!(&result, Err(CallError::Hangup(info)) if info.by == Party::Remote),
        "{wait}: {result:?}"
    );
    returned.duration_since(sent)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// One run may be unlucky on a busy machine, most of five may not.
#[tokio::test]
async fn every_wait_ends_within_100_ms_of_the_bye() {
    let mut host = Host::start();
    for wait in WAITS {
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(until_it_returns(&mut host, wait).await);
        }
        assert!(
            median(times.clone()) < Duration::from_millis(100),
            "{wait}: {times:?}"
        );
    }
}

/// `answer` waits for the ACK, `make-call` for the end of the attempt.
#[tokio::test]
async fn the_waits_of_a_call_that_is_being_set_up_end_as_soon() {
    let mut host = Host::start();
    let (mut answers, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut scene = Scene::new(&mut host, "r-in", Way::Inbound).await;
        let mut dialog = scene.far.dialog.clone().unwrap();
        let leg = scene.leg.take().unwrap();
        let (result, at) = tokio::join!(leg.answer(sdp(&scene.session), Vec::new(), SOON), async {
            let ok = scene.far.peer.response(200).await;
            dialog.theirs = ok.header("To").to_owned();
            dialog.target = ok.contact_uri().to_owned();
            let at = Instant::now();
            scene.far.peer.ask(&mut dialog, "BYE", "", None).await;
            at
        });
        assert!(
            matches!(&result, Err(CallError::Hangup(info)) if info.by == Party::Remote),
            "{result:?}"
        );
        answers.push(at.elapsed());

        let mut scene = Scene::new(&mut host, "id", Way::Fresh).await;
        let leg = scene.leg.take().unwrap();
        let (dest, options) = (scene.far.peer.uri("x"), MakeCallOptions::default());
        let (result, at) = tokio::join!(leg.make_call(&dest, &options), async {
            let invite = scene.far.peer.request("INVITE").await;
            let at = Instant::now();
            scene.far.peer.answer(&invite, "486 Busy Here", "", None).await;
            at
        });
        assert!(matches!(result, Err(CallError::Rejected(_))), "{result:?}");
        calls.push(at.elapsed());
    }
    for times in [answers, calls] {
        assert!(median(times.clone()) < Duration::from_millis(100), "{times:?}");
    }
}

/// Dropping a leg ends it on the wire at once, in every live state.
#[tokio::test]
async fn a_dropped_leg_ends_on_the_wire_within_100_ms() {
    let mut host = Host::start();
    for (state, way, last) in [
        ("r-out", Way::Outbound, "CANCEL"),
        ("e-out", Way::Outbound, "CANCEL"),
        ("r-in", Way::Inbound, "480"),
        ("e-in", Way::Inbound, "480"),
        ("off", Way::Outbound, "BYE"),
        ("conn", Way::Outbound, "BYE"),
        ("conn", Way::Inbound, "BYE"),
        ("held", Way::Outbound, "BYE"),
        ("reof", Way::Inbound, "BYE"),
    ] {
        let mut times = Vec::new();
        for _ in 0..5 {
            let mut scene = Scene::new(&mut host, state, way).await;
            let at = Instant::now();
            drop(scene.leg.take());
            let said = |it: &Message| {
                it.method() == Some(last) || it.status().is_some_and(|code| code.to_string() == last)
            };
            scene.far.peer.find(last, said).await;
            times.push(at.elapsed());
        }
        assert!(
            median(times.clone()) < Duration::from_millis(100),
            "{state}: {times:?}"
        );
    }
}

/// What a session owns beside legs takes its leave as soon.
#[tokio::test]
async fn a_dropped_registration_and_a_dropped_subscription_end_on_the_wire_within_100_ms() {
    let mut host = Host::start();
    let opened = Opened::on(&mut host).await;
    let mut peer = Peer::apart(host.addr()).await;
    let uri = peer.uri("alice");
    let (mut registrations, mut subscriptions) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let options = RegisterOptions::default();
        let (registered, ()) = tokio::join!(opened.session.register(&uri, &options), async {
            let register = peer.request("REGISTER").await;
            let contact = register
                .header("Contact")
                .split(";expires")
                .next()
                .unwrap()
                .to_owned();
            let bound = format!("Contact: {contact};expires=300\r\n");
            peer.answer_bare(&register, "200 OK", &bound).await;
        });
        let at = Instant::now();
        drop(registered.unwrap());
        let removal = peer.request("REGISTER").await;
        registrations.push(at.elapsed());
        assert!(removal.header("Expires") == "0" || removal.header("Contact").contains("expires=0"));
        peer.answer_bare(&removal, "200 OK", "").await;

        let options = SubscribeOptions::default();
        let (subscribed, ()) = tokio::join!(opened.session.subscribe(&uri, "presence", &options), async {
            let subscribe = peer.request("SUBSCRIBE").await;
            peer.answer(&subscribe, "200 OK", "Expires: 160\r\n", None).await;
            let mut dialog = peer.called(&subscribe);
            let state = "Event: presence\r\nSubscription-State: active;expires=160\r\n";
            peer.ask(&mut dialog, "NOTIFY", state, None).await;
            peer.response(200).await;
        });
        let at = Instant::now();
        drop(subscribed.unwrap());
        let removal = peer.request("SUBSCRIBE").await;
        subscriptions.push(at.elapsed());
        assert_eq!(removal.header("Expires"), "0");
        peer.answer(&removal, "200 OK", "Expires: 0\r\n", None).await;
    }
    for times in [registrations, subscriptions] {
        assert!(median(times.clone()) < Duration::from_millis(100), "{times:?}");
    }
}
