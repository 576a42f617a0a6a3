//! What happens from outside: one test a group of rows of that table, which `ROWS` repeats so that a new row asks for its
//! test.

mod attempt;
mod dialog;

use std::time::Duration;

use callbox::call::{CallState, Event, EventKind, Party};
use callbox_sip::endpoint::EndpointConfig;

use crate::scene::Scene;
use crate::support::peer::Message;
use crate::support::{Host, event_of};
use crate::table;

/// How each row begins, and the test that proves it: in a file below this one or beside it.
const ROWS: &[(&str, &str)] = &[
    (
        "1xx without a body | r-out, e-out",
        "provisional_responses_are_events",
    ),
    (
        "1xx with a To tag and a body | r-out, e-out",
        "provisional_responses_are_events",
    ),
    ("either, and reliable", "a_reliable_response_is_acknowledged_once"),
    (
        "2xx, our INVITE had an offer | r-out, e-out",
        "a_2xx_is_acknowledged_as_often_as_it_comes",
    ),
    (
        "2xx, our INVITE had none | r-out, e-out",
        "a_2xx_with_an_offer_waits_for_the_answer",
    ),
    (
        "2xx of another fork, later | any",
        "a_2xx_of_another_fork_is_ended_at_once",
    ),
    ("3xx–6xx | r-out, e-out", "a_refusal_leaves_the_leg_idle"),
    (
        "300–302, and with follow-redirects",
        "contacts_are_called_in_the_order_of_q_until_one_answers",
    ),
    ("time-out of the attempt | r-out, e-out", "a_time_out_cancels"),
    (
        "network failure of the attempt | r-out, e-out",
        "an_unreachable_peer_is_a_transport_failure",
    ),
    (
        "CANCEL | r-in, e-in",
        "cancel_and_bye_before_the_answer_end_the_leg",
    ),
    (
        "PRACK | r-in, e-in, conn",
        "a_prack_confirms_and_its_absence_ends_the_leg",
    ),
    (
        "no PRACK for 32 s",
        "a_prack_confirms_and_its_absence_ends_the_leg",
    ),
    ("ACK | conn", "the_body_of_an_ack_is_the_remote_offer"),
    ("no ACK for 32 s | conn", "what_never_comes_ends_the_leg"),
    (
        "the offer not answered for 32 s | off",
        "what_never_comes_ends_the_leg",
    ),
    ("BYE | r-in, e-in", "cancel_and_bye_before_the_answer_end_the_leg"),
    ("BYE | off, conn, held, reof", "a_bye_ends_the_leg_in_every_state"),
    (
        "INFO with a digit | live",
        "infos_are_events_unless_a_wait_took_them",
    ),
    ("other INFO | live", "infos_are_events_unless_a_wait_took_them"),
    (
        "re-INVITE, UPDATE | conn, held",
        "offers_of_the_peer_get_our_session",
    ),
    (
        "re-INVITE, UPDATE after decide-offers | conn, held",
        "an_offer_that_finds_no_room_or_no_reader_is_refused",
    ),
    (
        "the flow accepts that offer | reof",
        "an_offer_is_accepted_with_the_flows_own_answer",
    ),
    (
        "the flow rejects or drops it | reof",
        "an_offer_that_is_rejected_or_let_go_leaves_the_session_as_it_was",
    ),
    (
        "CANCEL of that re-INVITE, or no decision in time | reof",
        "an_offer_that_the_peer_cancels_is_gone",
    ),
    (
        "BYE while an offer is undecided | reof",
        "a_call_that_ends_takes_its_undecided_offer_along",
    ),
    (
        "re-INVITE, UPDATE | reof",
        "an_offer_that_crosses_ours_is_refused",
    ),
    (
        "REFER | conn, held, reof",
        "a_referral_that_is_rejected_dropped_or_lost_is_refused",
    ),
    (
        "NOTIFY on a transfer of ours | live",
        "reports_on_a_transfer_are_events_where_nothing_waits_for_them",
    ),
    (
        "INVITE with Replaces of this leg",
        "a_call_is_replaced_when_the_flow_answers_the_other_on_whatever_shard",
    ),
    (
        "the flow answers that new leg",
        "a_call_is_replaced_when_the_flow_answers_the_other_on_whatever_shard",
    ),
    (
        "INVITE with Replaces of no such call",
        "what_is_not_the_callers_to_replace_does_not_exist",
    ),
    ("the longest call time", "the_longest_call_time_ends_the_leg"),
    ("the peer is gone", "what_never_comes_ends_the_leg"),
];

#[test]
fn every_row_has_a_test() {
    for row in table::names("## What happens from outside", 2) {
        let known = ROWS.iter().any(|(event, _)| row.starts_with(event));
        assert!(known, "name this row here, and the test that proves it: {row}");
    }
    let tests = concat!(
        include_str!("outside/attempt.rs"),
        include_str!("outside/dialog.rs"),
        include_str!("../decide.rs"),
        include_str!("../redirect.rs"),
        include_str!("../replaces.rs"),
    );
    for (row, test) in ROWS {
        assert!(tests.contains(&format!("async fn {test}()")), "{row}: no {test}");
    }
}

/// A host whose 32 seconds are fractions of one.
fn hasty() -> Host {
    let mut endpoint = EndpointConfig::default();
    endpoint.timing.t1 = Duration::from_millis(5);
    Host::with(endpoint)
}

async fn next_event(scene: &Scene) -> Event {
    event_of(&scene.session, scene.leg()).await
}

fn no_more_events(scene: &Scene) {
    assert!(scene.session.poll_event().is_none());
}

/// The leg is over; the one event says so, and by whom.
async fn ended(scene: &Scene, by: Party, status: Option<u16>) {
    let event = loop {
        let event = next_event(scene).await;
        // What came before the end.
        if !matches!(
            event.kind,
            EventKind::Progress { .. } | EventKind::Answered(_) | EventKind::Offer(_)
        ) {
            break event;
        }
    };
    let EventKind::HungUp(info) = event.kind else {
        panic!("{event:?}")
    };
    assert_eq!((info.by, info.status.map(|status| status.code)), (by, status));
    assert_eq!(scene.leg().state(), CallState::Terminated);
    no_more_events(scene);
    assert_eq!(scene.leg().wait_for_hangup(None).await.unwrap().by, by);
}

fn invite_of(scene: &Scene) -> Message {
    scene.far.dialog.as_ref().unwrap().invite.clone()
}
