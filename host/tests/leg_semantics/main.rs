//! Every method in every state, as the table of `wit/leg-semantics.md` states it. The table is read from the file; the
//! peer is a raw socket, so that what is sent is what the wire shows and not what the host believes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../support/mod.rs"]
mod support;

mod act;
mod endings;
mod outside;
mod scene;
mod table;
mod waits;

use callbox::call::{
    CallError, CallState, DigitPattern, GatherOptions, GatherOutcome, Leg, MakeCallOptions, Party,
};

use act::Arguments;
use scene::{Scene, Way, ways};
use support::{Host, SERVICE, SOON};
use table::Cell;

/// What happened when a method was called in a scene.
struct Seen {
    before: CallState,
    outcome: Result<Option<GatherOutcome>, CallError>,
    /// None when the leg was dropped.
    after: Option<CallState>,
    sent: Vec<String>,
}

/// Calls the method and then makes the session place one more call to the same peer: all that the method sent came
/// before that INVITE, but the BYE of a call whose ACK is still due (RFC 3261 §15).
async fn perform(host: &Host, scene: &mut Scene, way: Way, method: &str, arguments: Arguments) -> Seen {
    let leg = scene.leg.take().expect("a leg");
    let before = leg.state();
    let second = match method {
        "attended-transfer" | "bridge" | "bridge as the second" => Some(scene.second(host).await),
        _ => None,
    };
    if method == "accept" && before == CallState::Idle {
        scene.far.call(SERVICE).await;
    }
    let other = second.as_ref().map(|(leg, _)| leg);
    let fence = scene.session.new_leg().unwrap();
    let (to_fence, dest) = (scene.far.peer.uri("fence"), scene.far.peer.uri("elsewhere"));
    let session = &scene.session;
    let calling = async {
        let (leg, outcome) = if method == "drop (rule 6)" {
            drop(leg);
            (None, Ok(None))
        } else {
            let outcome = act::call(method, &leg, session, other, &dest, arguments).await;
            (Some(leg), outcome)
        };
        // Before the peer's answer can change it.
        let after = leg.as_ref().map(Leg::state);
        fence.dial(&to_fence, &MakeCallOptions::default()).unwrap();
        (leg, outcome, after)
    };
    let ends = matches!(method, "hangup" | "drop (rule 6)");
    let late = (ends && way == Way::Unacknowledged).then_some("BYE");
    let ((leg, outcome, after), sent) = tokio::join!(calling, scene.far.respond("fence", late));
    scene.leg = leg;
    Seen {
        before,
        outcome,
        after,
        sent,
    }
}

/// Whether what was seen is what the cell means for a leg that came into its state in this way.
fn holds(method: &str, state: &str, way: Way, cell: &Cell, arguments: Arguments, seen: &Seen) -> bool {
    let outcome = &seen.outcome;
    let nothing_happened = seen.sent.is_empty() && seen.after.is_none_or(|after| after == seen.before);
    let wrong_state = matches!(outcome, Err(CallError::WrongState(_)));
    let worked = match outcome {
        Ok(gathered) => gathered.is_none_or(|it| it == GatherOutcome::TimedOut),
        Err(CallError::Timeout) => act::times_out(method),
        Err(_) => false,
    };
    let sent = seen.sent == act::on_the_wire(method, state, way);
    match cell {
        Cell::Ok => worked && sent && seen.after == Some(seen.before),
        Cell::To(states) => worked && sent && seen.after.is_none_or(|after| states.contains(&after)),
        Cell::Nop => outcome.is_ok() && nothing_happened,
        Cell::WrongState => wrong_state && nothing_happened,
        Cell::Ended => {
            nothing_happened
                && match way {
                    Way::Ended(Party::Local) => wrong_state,
                    // The note to this method: the end is one of its outcomes.
                    Way::Ended(_) if method == "gather-digits" => match arguments {
                        Arguments::Good => *outcome == Ok(Some(GatherOutcome::HungUp)),
                        Arguments::Bad => matches!(outcome, Err(CallError::Invalid(_))),
                    },
                    Way::Ended(by) => matches!(outcome, Err(CallError::Hangup(info)) if info.by == by),
                    _ => false,
                }
        }
    }
}

/// The table says it of every method and every state; each cell has a leg of its own.
#[tokio::test]
async fn every_method_does_in_every_state_what_the_table_says() {
    let mut host = Host::start();
    let mut wrong = Vec::new();
    let rows = table::rows();
    assert!(rows.len() >= 25, "only {} rows were read", rows.len());
    for row in &rows {
        for (state, cell) in &row.cells {
            for &way in ways(state) {
                let refused = matches!(cell, Cell::WrongState | Cell::Ended);
                // The state is checked before the arguments (rule 1).
                let bad = refused && act::has_bad_arguments(&row.method);
                for arguments in [Some(Arguments::Good), bad.then_some(Arguments::Bad)]
                    .into_iter()
                    .flatten()
                {
                    let mut scene = Scene::new(&mut host, state, way).await;
                    let seen = perform(&host, &mut scene, way, &row.method, arguments).await;
                    if !holds(&row.method, state, way, cell, arguments, &seen) {
                        wrong.push(format!(
                            "{} in {state} ({way:?}, {arguments:?} arguments) says {cell:?}, is {:?}, {:?} → {:?}, {:?}",
                            row.method, seen.outcome, seen.before, seen.after, seen.sent
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "table and legs differ:\n{}", wrong.join("\n"));
}

/// What the file says of `bridge` and `unbridge` below the table, with a leg that talks as the other one.
#[tokio::test]
async fn only_legs_that_talk_are_bridged_and_only_bridged_ones_parted() {
    let mut host = Host::start();
    let mut wrong = Vec::new();
    for state in table::states() {
        for &way in ways(&state) {
            for method in ["bridge", "bridge as the second", "unbridge"] {
                let talks = matches!(state.as_str(), "conn" | "held" | "off");
                if talks && method != "unbridge" {
                    continue; // `host/tests/bridge` has what it does then.
                }
                let cell = if state == "term" {
                    Cell::Ended
                } else {
                    Cell::WrongState
                };
                let mut scene = Scene::new(&mut host, &state, way).await;
                let seen = perform(&host, &mut scene, way, method, Arguments::Good).await;
                if !holds(method, &state, way, &cell, Arguments::Good, &seen) {
                    wrong.push(format!(
                        "{method} in {state} ({way:?}): {:?}, {:?}",
                        seen.outcome, seen.sent
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rules 2 and 3: what lies in a queue is delivered before the end is.
#[tokio::test]
async fn what_was_queued_comes_before_the_end() {
    let mut host = Host::start();
    let mut scene = Scene::new(&mut host, "conn", Way::Outbound).await;
    let mut dialog = scene.far.dialog.clone().unwrap();
    for (method, body) in [
        ("INFO", Some(("application/dtmf", "1"))),
        ("INFO", Some(("application/dtmf", "2"))),
        ("INFO", Some(("application/dtmf", "3"))),
        ("INFO", Some(("text/plain", "last words"))),
        ("BYE", None),
    ] {
        scene.far.peer.ask(&mut dialog, method, "", body).await;
        scene.far.peer.response(200).await;
    }
    let leg = scene.leg();
    scene.reaches(CallState::Terminated).await;
    assert_eq!(leg.wait_for_dtmf(SOON).await.unwrap().digit, '1');
    let options = GatherOptions::default();
    let gathered = leg
        .gather_digits(&DigitPattern::Length(1), &options)
        .await
        .unwrap();
    assert_eq!(
        (gathered.outcome, gathered.digits.as_str()),
        (GatherOutcome::Matched, "2")
    );
    let gathered = leg
        .gather_digits(&DigitPattern::Length(2), &options)
        .await
        .unwrap();
    assert_eq!(
        (gathered.outcome, gathered.digits.as_str()),
        (GatherOutcome::HungUp, "3")
    );
    assert_eq!(
        leg.wait_for_info(SOON).await.unwrap().body.unwrap().data(),
        &b"last words"[..]
    );
    assert!(matches!(leg.wait_for_dtmf(SOON).await, Err(CallError::Hangup(_))));
    assert!(matches!(leg.wait_for_info(SOON).await, Err(CallError::Hangup(_))));
    assert_eq!(leg.dtmf_buffer(), "123", "rule 5: the buffer survives");
}
