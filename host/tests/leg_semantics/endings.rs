//! What `hangup-info` says, end by end.

use callbox::call::{HangupInfo, Leg, Party};

use crate::scene::{Scene, Way};
use crate::support::{Host, SOON};
use crate::table;

/// The rows of the table, and where each is tried: here, or in `outside`.
const ROWS: &[&str] = &[
    "BYE from the peer",                         // outside::a_bye_ends_the_leg_in_every_state
    "CANCEL from the peer",                      // cancelled
    "hangup of a connected leg, drop, transfer", // by_this_flow
    "hangup of a leg that was ringing in",       // by_this_flow
    "reject, redirect",                          // by_this_flow
    "hangup of a leg that was ringing out",      // by_this_flow
    "no ACK, or no answer to the peer's offer",  // outside::what_never_comes_ends_the_leg
    "no PRACK",                                  // outside::a_prack_confirms_and_its_absence_ends_the_leg
    "481 or no answer inside the dialog, session timer", // gone, outside::what_never_comes_ends_the_leg
    "another leg was answered in its place",     // replaces.rs
    "the other leg of its bridge ended",         // bridge/ends.rs
    "longest call time, shutdown",               // outside::the_longest_call_time_ends_the_leg
];

#[test]
fn every_row_has_a_test() {
    for row in table::names("## What `hangup-info` says", 1) {
        let known = ROWS.iter().any(|end| row.starts_with(end));
        assert!(known, "name this row here, and try it: {row}");
    }
}

pub async fn info(leg: &Leg) -> HangupInfo {
    leg.wait_for_hangup(Some(SOON)).await.unwrap()
}

#[tokio::test]
async fn by_this_flow() {
    let mut host = Host::start();
    for (state, way, status) in [
        ("conn", Way::Outbound, None),
        ("conn", Way::Inbound, None),
        ("r-in", Way::Inbound, Some(480)),
        ("e-in", Way::Inbound, Some(480)),
        ("r-out", Way::Outbound, None),
        ("off", Way::Outbound, None),
    ] {
        let scene = Scene::new(&mut host, state, way).await;
        scene.leg().hangup(Some("so long")).unwrap();
        let info = info(scene.leg()).await;
        assert_eq!(
            (info.by, info.status.map(|it| it.code)),
            (Party::Local, status),
            "{state}"
        );
        assert_eq!(
            (info.q850, info.text.as_deref()),
            (None, Some("so long")),
            "{state}"
        );
    }
    let scene = Scene::new(&mut host, "r-in", Way::Inbound).await;
    scene.leg().reject(486, Some("At Lunch"), Vec::new()).unwrap();
    let rejected = info(scene.leg()).await;
    assert_eq!(
        (rejected.by, rejected.text.as_deref()),
        (Party::Local, Some("At Lunch"))
    );
    assert_eq!(
        rejected.status.map(|it| (it.code, it.reason)),
        Some((486, "At Lunch".to_owned()))
    );
    let scene = Scene::new(&mut host, "e-in", Way::Inbound).await;
    scene
        .leg()
        .redirect(&["sip:a@127.0.0.1".to_owned(), "sip:b@127.0.0.1".to_owned()])
        .unwrap();
    let redirected = info(scene.leg()).await;
    assert_eq!(
        (redirected.by, redirected.status.map(|it| it.code)),
        (Party::Local, Some(300))
    );
}

#[tokio::test]
async fn cancelled() {
    let mut host = Host::start();
    let mut scene = Scene::new(&mut host, "r-in", Way::Inbound).await;
    let dialog = scene.far.dialog.clone().unwrap();
    let reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";
    scene
        .far
        .peer
        .in_transaction_with(&dialog, "CANCEL", None, reason)
        .await;
    let info = info(scene.leg()).await;
    assert_eq!(
        (info.by, info.status.map(|it| it.code)),
        (Party::Remote, Some(487))
    );
    assert_eq!(
        (info.q850, info.text.as_deref()),
        (None, Some("Call completed elsewhere"))
    );
}

#[tokio::test]
async fn gone() {
    let mut host = Host::start();
    let scene = Scene::new(&mut host, "term", Way::Ended(Party::Host)).await;
    let info = info(scene.leg()).await;
    assert_eq!((info.by, info.status.map(|it| it.code)), (Party::Host, Some(481)));
    assert!(
        info.text
            .is_some_and(|text| text.contains("does not know the call"))
    );
}

#[tokio::test]
async fn by_the_host_when_it_stops() {
    let mut host = Host::start();
    for (state, way, status) in [
        ("conn", Way::Outbound, None),
        ("conn", Way::Inbound, None),
        ("r-in", Way::Inbound, Some(503)),
        ("e-in", Way::Inbound, Some(503)),
        ("r-out", Way::Outbound, None),
        ("off", Way::Outbound, None),
    ] {
        let scene = Scene::new(&mut host, state, way).await;
        scene
            .session
            .end_legs_by_host(callbox::call::HostEnd::SHUTTING_DOWN);
        let info = info(scene.leg()).await;
        assert_eq!(
            (info.by, info.status.map(|it| it.code)),
            (Party::Host, status),
            "{state}"
        );
        assert_eq!(
            (info.q850, info.text.as_deref()),
            (None, Some("the host is shutting down")),
            "{state}"
        );
    }
}
