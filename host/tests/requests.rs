//! What a flow puts into its requests, seen by a raw peer: headers (seed `H_XXX`) in their order, INFO with and without
//! waiting, and what a flow reads of the peer's INFOs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    Body, CallError, CallState, Denial, EventKind, Header, Leg, MakeCallOptions, ReofferOptions, Session,
};
use support::peer::{Dialog, Message, Peer, SESSION};
use support::{Host, Opened, SOON, event_of, eventually, sdp};

/// A leg that called a raw peer, which answered.
struct Scene {
    _host: Host,
    opened: Opened,
    leg: Leg,
    peer: Peer,
    dialog: Dialog,
}

impl Scene {
    async fn new() -> Self {
        let mut host = Host::start();
        let opened = Opened::on(&mut host).await;
        let mut peer = Peer::new(host.addr()).await;
        let leg = opened.session.new_leg().unwrap();
        let (dialog, _) = connect(&leg, &mut peer, &options(&opened.session)).await;
        Self {
            _host: host,
            opened,
            leg,
            peer,
            dialog,
        }
    }

    fn text(&self, text: &str) -> Body {
        self.opened.session.body("text/plain", text.into()).unwrap()
    }
}

fn options(session: &Session) -> MakeCallOptions {
    MakeCallOptions {
        offer: Some(sdp(session)),
        ..MakeCallOptions::default()
    }
}

async fn connect(leg: &Leg, peer: &mut Peer, options: &MakeCallOptions) -> (Dialog, Message) {
    let dest = peer.uri("bob");
    let (called, invite) = tokio::join!(leg.make_call(&dest, options), async {
        let invite = peer.request("INVITE").await;
        peer.answer(&invite, "200 OK", "", SESSION).await;
        peer.request("ACK").await;
        invite
    });
    called.unwrap();
    (peer.called(&invite), invite)
}

/// The names and values of all `X-` headers, in the order of the message.
fn extra(message: &Message) -> Vec<String> {
    let lines = message.text().lines().take_while(|line| !line.is_empty());
    lines
        .filter(|line| line.starts_with("X-"))
        .map(str::to_owned)
        .collect()
}

const EXTRA: [(&str, &str); 4] = [
    ("X-Queue", "sales"),
    ("X-Trace", "a=\"1\"; b=<2>, ü"),
    ("X-Queue", "support"),
    ("X-Empty", ""),
];

fn headers(session: &Session) -> Vec<Header> {
    EXTRA
        .iter()
        .map(|(name, value)| session.header(name, value).unwrap())
        .collect()
}

/// As they must stand in the message; no space is left after the colon of an empty one by the reader.
fn expected() -> Vec<String> {
    EXTRA
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}

#[tokio::test]
async fn headers_arrive_in_their_order_with_their_duplicates() {
    let mut host = Host::start();
    let opened = Opened::on(&mut host).await;
    let mut peer = Peer::new(host.addr()).await;
    let leg = opened.session.new_leg().unwrap();
    let with_headers = MakeCallOptions {
        headers: headers(&opened.session),
        ..options(&opened.session)
    };
    let (_, invite) = connect(&leg, &mut peer, &with_headers).await;
    assert_eq!(extra(&invite), expected());

    for use_update in [false, true] {
        let reoffer = ReofferOptions {
            offer: Some(sdp(&opened.session)),
            headers: headers(&opened.session),
            use_update,
            ..ReofferOptions::default()
        };
        let (answer, request) = tokio::join!(leg.reoffer(&reoffer), async {
            let request = peer.request(if use_update { "UPDATE" } else { "INVITE" }).await;
            peer.answer(&request, "200 OK", "", SESSION).await;
            request
        });
        assert_eq!(answer.unwrap().status.code, 200);
        assert_eq!(extra(&request), expected());
        if !use_update {
            peer.request("ACK").await;
        }
    }

    let info = leg
        .send_info(text(&opened.session), headers(&opened.session), None)
        .await;
    assert_eq!(info, Ok(None));
    assert_eq!(extra(&peer.request("INFO").await), expected());
}

fn text(session: &Session) -> Body {
    session.body("text/plain", b"x".to_vec()).unwrap()
}

#[tokio::test]
async fn headers_of_the_host_and_too_many_are_refused_and_nothing_is_sent() {
    let mut scene = Scene::new().await;
    let session = &scene.opened.session;
    for name in [
        "Via",
        "from",
        "t",
        "CALL-ID",
        "CSeq",
        "m",
        "Route",
        "Proxy-Authorization",
    ] {
        let denied = session.header(name, "x");
        assert_eq!(denied, Err(CallError::Denied(Denial::Header(name.to_owned()))));
    }
    let many = vec![session.header("X-A", "1").unwrap(); session.context().limits.headers_max + 1];
    let limit = Err(CallError::Denied(Denial::Limit("limits.call.headers_max")));
    let (idle, dest) = (session.new_leg().unwrap(), scene.peer.uri("bob"));
    let called = idle
        .make_call(
            &dest,
            &MakeCallOptions {
                headers: many.clone(),
                ..options(session)
            },
        )
        .await;
    assert_eq!(called.map(drop), limit);
    let reoffered = scene
        .leg
        .reoffer(&ReofferOptions {
            headers: many.clone(),
            ..ReofferOptions::default()
        })
        .await;
    assert_eq!(reoffered.map(drop), limit);
    assert_eq!(
        scene.leg.send_info(text(session), many, None).await.map(drop),
        limit
    );
    assert_eq!(
        (scene.leg.state(), idle.state()),
        (CallState::Connected, CallState::Idle)
    );
    scene.peer.quiet(Duration::from_millis(150)).await;
}

#[tokio::test]
async fn an_info_that_is_waited_for_brings_whatever_the_answer_is() {
    let mut scene = Scene::new().await;
    for (status, code, body) in [
        ("200 OK", 200, Some(("application/json", "{\"balance\":7}"))),
        ("415 Not That", 415, None),
        ("603 Decline", 603, None),
    ] {
        let question = scene.text("balance?");
        let (answer, ()) = tokio::join!(scene.leg.send_info(question, Vec::new(), Some(SOON)), async {
            let info = scene.peer.request("INFO").await;
            assert_eq!(
                (info.header("Content-Type"), info.body()),
                ("text/plain", "balance?")
            );
            scene.peer.answer(&info, status, "", body).await;
        });
        let answer = answer.unwrap().expect("it was waited for");
        assert_eq!(
            (answer.status.code, answer.status.reason.as_str()),
            (code, &status[4..])
        );
        let brought = answer.body.as_ref();
        assert_eq!(
            brought.map(|body| (body.content_type(), body.data().as_ref())),
            body.map(|(kind, text)| (kind, text.as_bytes()))
        );
        assert_eq!(
            scene.leg.state(),
            CallState::Connected,
            "the call is not the INFO"
        );
    }
}

#[tokio::test]
async fn an_info_that_is_not_waited_for_returns_at_once_and_its_answer_is_nobodys() {
    let mut scene = Scene::new().await;
    let sent = scene.leg.send_info(scene.text("note"), Vec::new(), None).await;
    assert_eq!(sent, Ok(None), "before any answer");
    let info = scene.peer.request("INFO").await;
    scene.peer.answer(&info, "500 Oh", "", None).await;
    // The next question gets its own answer, not that one.
    let question = scene.text("?");
    let (answer, ()) = tokio::join!(scene.leg.send_info(question, Vec::new(), Some(SOON)), async {
        let info = scene.peer.request("INFO").await;
        scene.peer.answer(&info, "202 Later", "", None).await;
    });
    assert_eq!(answer.unwrap().unwrap().status.code, 202);
}

#[tokio::test]
async fn an_info_without_an_answer_in_time_leaves_the_call_up() {
    let mut scene = Scene::new().await;
    let short = Duration::from_millis(80);
    let waited = scene
        .leg
        .send_info(scene.text("?"), Vec::new(), Some(short))
        .await;
    assert_eq!(waited, Err(CallError::Timeout));
    assert_eq!(scene.leg.state(), CallState::Connected);
    // What comes after is for nobody, and the place is free: as many again as there may be.
    let info = scene.peer.request("INFO").await;
    scene.peer.answer(&info, "200 OK", "", None).await;
    for _ in 0..=scene.opened.session.context().limits.requests_max {
        let question = scene.text("again");
        let (answer, ()) = tokio::join!(scene.leg.send_info(question, Vec::new(), Some(SOON)), async {
            let is_new = |message: &Message| message.method() == Some("INFO") && message.body() == "again";
            let info = scene.peer.find("INFO", is_new).await;
            scene.peer.answer(&info, "200 OK", "", None).await;
        });
        assert_eq!(answer.unwrap().unwrap().status.code, 200);
    }
}

#[tokio::test]
async fn an_info_to_a_call_that_the_peer_has_forgotten_ends_it() {
    let mut scene = Scene::new().await;
    let question = scene.text("?");
    let (answer, ()) = tokio::join!(scene.leg.send_info(question, Vec::new(), Some(SOON)), async {
        let info = scene.peer.request("INFO").await;
        scene.peer.answer(&info, "481 No Such Call", "", None).await;
    });
    assert!(matches!(answer, Err(CallError::Hangup(_))), "{answer:?}");
    eventually(|| scene.leg.state() == CallState::Terminated).await;
}

#[tokio::test]
async fn the_peers_infos_wait_in_order_until_they_are_taken_or_forgotten() {
    let mut scene = Scene::new().await;
    for number in 1..=3 {
        let body = number.to_string();
        let sent = Some(("text/plain", body.as_str()));
        scene
            .peer
            .ask(&mut scene.dialog, "INFO", "X-Number: 7\r\n", sent)
            .await;
        scene.peer.response(200).await;
    }
    let first = scene.leg.wait_for_info(SOON).await.unwrap();
    assert_eq!(first.body.unwrap().data().as_ref(), b"1");
    let named = |header: &&callbox::call::ReceivedHeader| header.name == "X-Number";
    assert_eq!(first.headers.iter().find(named).unwrap().value, "7");
    let second = scene.leg.wait_for_info(Duration::ZERO).await.unwrap();
    assert_eq!(second.body.unwrap().data().as_ref(), b"2");
    // The host answers first and tells the leg then: by the answer to the next request the leg knows.
    scene
        .peer
        .ask(&mut scene.dialog, "MESSAGE", "", Some(("text/plain", "4")))
        .await;
    scene.peer.response(200).await;
    scene.leg.clean_info_buffer();
    let none = scene.leg.wait_for_info(Duration::ZERO).await;
    assert_eq!(none, Err(CallError::Timeout), "the third was forgotten");
    let event = event_of(&scene.opened.session, &scene.leg).await;
    assert!(
        matches!(event.kind, EventKind::Message(_)),
        "as an event, too: {event:?}"
    );
    // One that comes while the flow waits.
    let (info, ()) = tokio::join!(scene.leg.wait_for_info(SOON), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        scene.peer.ask(&mut scene.dialog, "INFO", "", None).await;
        scene.peer.response(200).await;
    });
    assert_eq!(info.unwrap().body, None);
}

#[tokio::test]
async fn a_leg_over_the_limit_is_made_and_does_nothing() {
    let mut scene = Scene::new().await;
    let session = &scene.opened.session;
    let mut legs = Vec::new();
    let limit = loop {
        match session.new_leg() {
            Ok(leg) => legs.push(leg),
            Err(error) => break error,
        }
    };
    assert_eq!(limit, CallError::Denied(Denial::Limit("limits.call.legs_max")));
    let leg = session.leg();
    assert_eq!(leg.state(), CallState::Idle);
    assert!(
        legs.iter().all(|other| other.id() != leg.id()),
        "its number is its own"
    );
    let (dest, options) = (scene.peer.uri("bob"), options(session));
    assert_eq!(leg.dial(&dest, &options), Err(limit.clone()));
    assert_eq!(leg.make_call(&dest, &options).await, Err(limit.clone()));
    assert_eq!(leg.accept("desk", Duration::ZERO).await, Err(limit.clone()));
    assert_eq!(leg.cancel(None), Err(limit.clone()));
    assert_eq!(leg.ring(Vec::new()), Err(limit.clone()));
    assert_eq!(
        leg.answer(sdp(session), Vec::new(), SOON).await,
        Err(limit.clone())
    );
    assert_eq!(
        leg.send_info(text(session), Vec::new(), None).await,
        Err(limit.clone())
    );
    assert_eq!(
        leg.wait_for_dtmf(Duration::ZERO).await.map(drop),
        Err(limit.clone())
    );
    assert_eq!(leg.wait_for_hangup(None).await, Err(limit));
    assert_eq!((leg.hangup(None), leg.ani().as_str()), (Ok(()), ""));
    scene.peer.quiet(Duration::from_millis(100)).await;
    // A place that comes free is for the next leg, not for this one.
    legs.pop();
    assert!(leg.dial(&dest, &options).is_err());
    let next = session.leg();
    next.dial(&dest, &options).unwrap();
    scene.peer.request("INVITE").await;
}

#[tokio::test]
async fn a_reason_that_is_no_line_changes_nothing() {
    let mut scene = Scene::new().await;
    let leg = scene.opened.session.new_leg().unwrap();
    leg.dial(&scene.peer.uri("carol"), &options(&scene.opened.session))
        .unwrap();
    let invite = scene.peer.request("INVITE").await;
    scene.peer.answer(&invite, "180 Ringing", "", None).await;
    for reason in ["a\r\nVia: b", "a\0", "\n"] {
        assert!(
            matches!(leg.cancel(Some(reason)), Err(CallError::Invalid(_))),
            "{reason:?}"
        );
        assert!(
            matches!(leg.hangup(Some(reason)), Err(CallError::Invalid(_))),
            "{reason:?}"
        );
    }
    assert_eq!(leg.state(), CallState::RingingOut);
    scene.peer.quiet(Duration::from_millis(100)).await;
    leg.cancel(Some("no \"luck\"")).unwrap();
    let cancel = scene.peer.request("CANCEL").await;
    assert_eq!(cancel.header("Reason"), "SIP;text=\"no \\\"luck\\\"\"");
}
