//! Which offers join two peers, what happens when they fail, and which legs cannot be joined.

use callbox::call::{BridgeOptions, CallError, CallState, Leg, ReofferOptions, Status};

use crate::scene::{A_WHILE, Line, Scene, call_bob, sdp, session};
use crate::support::eventually;

fn options() -> BridgeOptions {
    BridgeOptions::default()
}

fn text(body: Option<callbox::call::Body>) -> String {
    String::from_utf8(body.unwrap().data().to_vec()).unwrap()
}

/// The flow offers Alice another session than Bob's.
async fn apart() -> Scene {
    let mut scene = Scene::connected().await;
    let other = session(9_000, "sendrecv");
    let offer = ReofferOptions {
        offer: Some(scene.session.body("application/sdp", other.into_bytes()).unwrap()),
        ..ReofferOptions::default()
    };
    let alices = scene.alices.clone();
    let (offered, _) = tokio::join!(scene.a.reoffer(&offer), scene.alice.accept_reinvite(sdp(&alices)));
    offered.unwrap();
    scene
}

#[tokio::test]
async fn peers_that_have_each_others_session_are_joined_without_a_message() {
    let mut scene = Scene::bridged(&options()).await;
    assert_eq!(
        (scene.a.state(), scene.b.state()),
        (CallState::Connected, CallState::Connected)
    );
    scene.silent().await;
}

#[tokio::test]
async fn peers_that_do_not_are_joined_by_the_offer_that_the_first_is_asked_for() {
    let mut scene = apart().await;
    let (offer, answer) = (session(4_002, "sendrecv"), session(5_002, "sendrecv"));
    let Scene {
        session,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let options = options();
    let (joined, (), ()) = tokio::join!(
        session.bridge(a, b, &options),
        async {
            let asked = alice.request("INVITE").await;
            assert_eq!(asked.body(), "", "asked for an offer");
            alice.answer(&asked, "200 OK", sdp(&offer)).await;
            assert_eq!(alice.request("ACK").await.body(), answer);
        },
        async {
            let (invite, _) = bob.accept_reinvite(sdp(&answer)).await;
            assert_eq!(invite.body(), offer);
        }
    );
    joined.unwrap();
    assert_eq!(
        (text(a.remote_offer()), text(a.local_offer())),
        (offer.clone(), answer.clone())
    );
    assert_eq!((text(b.remote_offer()), text(b.local_offer())), (answer, offer));
    scene.silent().await;
}

/// A leg that dialled without an offer: its peer waits for the answer in the ACK.
async fn owing(scene: &Scene, offer: &str) -> (Leg, Line) {
    let leg = scene.session.new_leg().unwrap();
    let line = call_bob(&scene.host, &leg, None, offer).await;
    assert_eq!(leg.state(), CallState::OfferedByRemote);
    (leg, line)
}

#[tokio::test]
async fn a_leg_that_owes_an_answer_gets_the_other_peers() {
    let mut scene = Scene::connected().await;
    let offer = session(6_000, "sendrecv");
    let (carols_leg, mut carol) = owing(&scene, &offer).await;
    let (answer, options) = (session(5_004, "sendrecv"), options());
    let (joined, (invite, _)) = tokio::join!(
        scene.session.bridge(&scene.b, &carols_leg, &options),
        scene.bob.accept_reinvite(sdp(&answer))
    );
    joined.unwrap();
    assert_eq!(invite.body(), offer);
    assert_eq!(carol.request("ACK").await.body(), answer);
    assert_eq!(carols_leg.state(), CallState::Connected);
    // And it relays.
    let hold = session(6_000, "sendonly");
    let sent = carol.send("INVITE", sdp(&hold)).await;
    let (invite, _) = scene.bob.accept_reinvite(sdp(&answer)).await;
    assert_eq!(invite.body(), hold);
    carol.accepted(&sent).await;
}

#[tokio::test]
async fn the_delayed_offer_chain_needs_its_last_ack_only() {
    let mut scene = Scene::connected().await;
    let (offer, answer) = (session(6_000, "sendrecv"), session(6_002, "sendrecv"));
    let (first, mut carol) = owing(&scene, &offer).await;
    let second = scene.session.new_leg().unwrap();
    let mut dave = call_bob(&scene.host, &second, first.remote_offer(), &answer).await;
    scene.session.bridge(&second, &first, &options()).await.unwrap();
    assert_eq!(carol.request("ACK").await.body(), answer);
    dave.silent().await;
    scene.silent().await;
}

#[tokio::test]
async fn a_refusal_leaves_both_legs_as_they_were() {
    let mut scene = apart().await;
    let (offer, kept) = (session(4_002, "sendrecv"), session(9_000, "sendrecv"));
    let Scene {
        session,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let options = options();
    let (joined, (), ()) = tokio::join!(
        session.bridge(a, b, &options),
        async {
            let (_, ack) = alice.accept_reinvite(sdp(&offer)).await;
            assert_eq!(ack.body(), kept, "the session that she had");
        },
        async {
            let invite = bob.request("INVITE").await;
            bob.answer(&invite, "488 Not Acceptable Here", None).await;
            bob.request("ACK").await;
        }
    );
    let refusal = Status {
        code: 488,
        reason: "Not Acceptable Here".to_owned(),
    };
    assert_eq!(joined, Err(CallError::Rejected(refusal)));
    assert_eq!(
        (a.state(), b.state()),
        (CallState::Connected, CallState::Connected)
    );
    assert!(matches!(session.unbridge(a), Err(CallError::WrongState(_))));
    // Not bridged: the host answers by itself, and Bob hears nothing.
    let sent = alice.send("UPDATE", sdp(&offer)).await;
    assert_eq!(alice.response(&sent).await.body(), kept);
    bob.silent().await;
    // The first peer refuses.
    let (joined, ()) = tokio::join!(session.bridge(a, b, &options), async {
        let invite = alice.request("INVITE").await;
        alice.answer(&invite, "603 Decline", None).await;
        alice.request("ACK").await;
    });
    assert!(matches!(joined, Err(CallError::Rejected(status)) if status.code == 603));
    bob.silent().await;
}

#[tokio::test]
async fn a_peer_that_hangs_up_while_it_is_joined_leaves_the_other_up() {
    let mut scene = apart().await;
    let Scene {
        session,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let options = options();
    let (joined, ()) = tokio::join!(session.bridge(a, b, &options), async {
        alice.request("INVITE").await;
        assert_eq!(alice.ask("BYE", None).await.status(), Some(200));
    });
    assert!(matches!(joined, Err(CallError::Hangup(_))), "{joined:?}");
    assert_eq!(
        (a.state(), b.state()),
        (CallState::Terminated, CallState::Connected)
    );
    bob.silent().await;
    assert!(matches!(
        session.bridge(a, b, &options).await,
        Err(CallError::Hangup(_))
    ));
    assert!(matches!(
        session.bridge(b, a, &options).await,
        Err(CallError::Hangup(_))
    ));
}

#[tokio::test]
async fn a_flow_that_stops_waiting_leaves_no_bridge() {
    let mut scene = apart().await;
    let Scene {
        session,
        a,
        b,
        alice,
        bob,
        ..
    } = &mut scene;
    let options = options();
    let given_up = tokio::time::timeout(A_WHILE, session.bridge(a, b, &options)).await;
    assert!(given_up.is_err());
    assert!(matches!(session.unbridge(a), Err(CallError::WrongState(_))));
    // The offer that was asked for comes late, and is answered with the session that Alice had.
    let invite = alice.request("INVITE").await;
    alice
        .answer(&invite, "200 OK", sdp(&crate::scene::session(4_002, "sendrecv")))
        .await;
    eventually(|| a.state() == CallState::OfferedByRemote).await;
    a.answer(a.local_offer().unwrap(), Vec::new(), A_WHILE)
        .await
        .unwrap();
    alice.request("ACK").await;
    // Nothing is relayed.
    assert_eq!(
        alice.ask("INFO", Some(("application/dtmf", "1"))).await.status(),
        Some(200)
    );
    assert_eq!(a.wait_for_dtmf(A_WHILE).await.unwrap().digit, '1');
    bob.silent().await;
}

#[tokio::test]
async fn only_two_legs_that_talk_and_are_not_bridged_can_be_joined() {
    let scene = Scene::bridged(&options()).await;
    let Scene { session, a, b, .. } = &scene;
    let wrong = |result: Result<(), CallError>| matches!(result, Err(CallError::WrongState(_)));
    let options = options();
    assert!(wrong(session.bridge(a, b, &options).await), "bridged already");
    assert!(wrong(session.bridge(a, a, &options).await), "with itself");
    let idle = session.new_leg().unwrap();
    assert!(wrong(session.unbridge(&idle)));
    let (carols, _carol) = owing(&scene, &session_text()).await;
    let (daves, _dave) = owing(&scene, &session_text()).await;
    assert!(wrong(session.bridge(&carols, &idle, &options).await));
    assert!(wrong(session.bridge(&idle, &carols, &options).await));
    assert!(wrong(session.bridge(&carols, a, &options).await));
    assert!(
        wrong(session.bridge(&carols, &daves, &options).await),
        "both owe an answer"
    );
    assert_eq!(daves.state(), CallState::OfferedByRemote);
    session.unbridge(b).unwrap();
    assert!(wrong(session.unbridge(a)));
    let bad = BridgeOptions {
        watch_digits: vec!["*x".to_owned()],
        ..BridgeOptions::default()
    };
    assert!(matches!(
        session.bridge(a, b, &bad).await,
        Err(CallError::Invalid(_))
    ));
    session.bridge(b, a, &options).await.unwrap();
}

fn session_text() -> String {
    session(6_000, "sendrecv")
}

#[tokio::test]
async fn a_leg_whose_200_has_no_ack_yet_is_waited_for() {
    let mut scene = Scene::connected().await;
    let mut carol = crate::support::peer::Peer::new(scene.host.addr()).await;
    let theirs = session(6_000, "sendrecv");
    let dialog = carol.invite("carol", sdp(&theirs)).await;
    let (session, leg) = scene.host.next_call().await;
    let mut carol = Line::new(carol, dialog);
    leg.answer(
        scene.b.remote_offer().unwrap(),
        Vec::new(),
        std::time::Duration::ZERO,
    )
    .await
    .unwrap();
    let options = options();
    let invite = carol.dialog.invite.clone();
    let response = carol.response(&invite).await;
    let bobs = scene.bobs.clone();
    let (joined, (invite, _)) = tokio::join!(session.bridge(&scene.b, &leg, &options), async {
        scene.bob.silent().await;
        carol.ack(&response, None).await;
        // Bob is asked first, being the first leg's peer; then Carol gets his offer.
        let asked = scene.bob.request("INVITE").await;
        scene.bob.answer(&asked, "200 OK", sdp(&bobs)).await;
        carol.accept_reinvite(sdp(&theirs)).await
    });
    joined.unwrap();
    assert_eq!(invite.body(), bobs);
    assert_eq!(scene.bob.request("ACK").await.body(), theirs);
    drop(leg);
    carol.expect_bye().await;
}
