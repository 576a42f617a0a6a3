//! What a session says of its legs: while they live, when they are over, and when the flow has long dropped them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{CallState, Direction, LegSummary, MakeCallOptions, Party};

use support::peer::Peer;
use support::{Host, Pair, SOON, eventually, sdp};

fn codes(legs: &[LegSummary]) -> Vec<(Option<u16>, Option<Party>)> {
    legs.iter().map(|leg| (leg.code, leg.ended_by)).collect()
}

#[tokio::test]
async fn a_leg_that_hunts_is_one_summary_for_each_call_and_outlives_its_handle() {
    let mut pair = Pair::start().await;
    let ours = pair.session().new_leg().unwrap();
    let short = MakeCallOptions {
        timeout: Duration::from_millis(200),
        ..MakeCallOptions::default()
    };
    let _ = ours
        .make_call(&pair.b.uri("nobody"), &MakeCallOptions::default())
        .await;
    let dest = pair.b.uri("bob");
    let (_, rang) = tokio::join!(ours.make_call(&dest, &short), async {
        let (session, leg) = pair.b.next_call().await;
        leg.ring(Vec::new()).unwrap();
        (session, leg)
    });
    rang.1.wait_for_hangup(Some(SOON)).await.unwrap();
    let gave_up = rang.0.legs_summary().legs;
    assert_eq!(codes(&gave_up), [(Some(487), Some(Party::Remote))]);
    assert!(gave_up[0].rang_ms >= Some(gave_up[0].started_ms) && gave_up[0].answered_ms.is_none());
    drop(ours);

    let (ours, theirs_session, theirs) = pair.connected().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let live = pair.session().legs_summary();
    // The call that opened the session rings on.
    let states: Vec<CallState> = live.legs.iter().map(|leg| leg.state).collect();
    assert_eq!(
        states,
        [
            CallState::Terminated,
            CallState::Terminated,
            CallState::RingingIn,
            CallState::Connected
        ]
    );
    theirs.hangup(Some("done")).unwrap();
    ours.wait_for_hangup(Some(SOON)).await.unwrap();
    drop(ours);
    let legs = pair.session().legs_summary().legs;
    assert_eq!(
        codes(&legs),
        [
            (Some(404), Some(Party::Remote)),
            (None, Some(Party::Host)),
            (Some(200), Some(Party::Remote)),
            (None, None)
        ]
    );
    assert_eq!(legs[1].text.as_deref(), Some("no answer in time"));
    assert_eq!(legs[2].text.as_deref(), Some("done"));
    assert_eq!((legs[2].ani.as_str(), legs[2].dnis.as_str()), ("tester", "bob"));
    assert_eq!(legs[2].destination, dest);
    assert_eq!(legs[2].direction, Direction::Outbound);
    let spoken = legs[2].ended_ms.unwrap() - legs[2].answered_ms.unwrap();
    assert!((50..5_000).contains(&spoken), "{spoken} ms");
    let far = theirs_session.legs_summary().legs;
    assert_eq!(codes(&far), [(Some(200), Some(Party::Local))]);
    assert_eq!(far[0].call_id, legs[2].call_id, "both ends name one call");
    assert_eq!(
        legs[1].call_id, gave_up[0].call_id,
        "also of one that was never answered"
    );
}

#[tokio::test]
async fn what_is_forgotten_is_counted_and_the_first_leg_is_never() {
    let mut host = Host::start();
    let mut peer = Peer::new(host.addr()).await;
    let mut dialog = peer
        .invite("open", Some(("application/sdp", support::peer::PEER_SDP)))
        .await;
    let (session, first) = host.next_call().await;
    let (answered, ()) = tokio::join!(first.answer(sdp(&session), Vec::new(), SOON), async {
        let ok = peer.find("200", |message| message.status() == Some(200)).await;
        peer.ack(&mut dialog, &ok, None).await;
    });
    answered.unwrap();
    peer.ask(&mut dialog, "BYE", "", None).await;
    first.wait_for_hangup(Some(SOON)).await.unwrap();
    let address = session.address();
    let dest = host.uri("nobody");
    let tries = session.context().limits.legs_max + 4;
    for _ in 0..tries {
        let leg = session.new_leg().unwrap();
        let _ = leg.make_call(&dest, &MakeCallOptions::default()).await;
    }
    let all = address.legs_summary().unwrap();
    assert_eq!(all.legs.len() as u32 + all.forgotten, tries as u32 + 1);
    assert_eq!(all.legs.len(), session.context().limits.legs_max);
    assert_eq!(all.legs[0].call_id, dialog.call_id);
    assert_eq!(
        codes(&all.legs)[..2],
        [(Some(200), Some(Party::Remote)), (Some(404), Some(Party::Remote))]
    );
    session.end_legs(480);
    assert_eq!(session.legs_summary(), all, "over is over once");
    drop(first);
    drop(session);
    eventually(|| address.legs_summary().is_none()).await;
}

#[tokio::test]
async fn a_call_that_the_host_ends_is_the_host_s_doing() {
    let mut host = Host::start();
    let mut peer = Peer::new(host.addr()).await;
    peer.invite("open", None).await;
    let (session, _leg) = host.next_call().await;
    session.end_legs_by_host(callbox::call::HostEnd::new(500, "the flow failed"));
    let legs = session.legs_summary().legs;
    assert_eq!(codes(&legs), [(Some(500), Some(Party::Host))]);
    assert!(legs[0].started_ms >= session.began_ms().saturating_sub(1_000));
}
