//! WASI with nothing in it.

use crate::{Stage, setup};

#[test]
fn there_is_nothing_in_wasi() {
    let mut stage = Stage::text("wasi-everything");
    assert_eq!(stage.call().status, 480);
    let line = stage.told(&["INFO", "yyy"]);
    println!("{line}");
    stage.told(&["WARN", "yyy"]);
    stage.unharmed();
}

#[test]
fn clocks_and_random_numbers_are_paid_for() {
    Stage::text("wasi-clock").ends(500, &["limits.plugin.fuel_burst"]);
    Stage::text("wasi-random").ends(500, &["limits.plugin.fuel_burst"]);
}

#[test]
fn output_is_bounded() {
    let mut stage = Stage::text("wasi-stdout");
    assert_eq!(stage.call().status, 500);
    stage.told(&["limits.plugin.fuel_burst"]);
    stage.is_booked_as("out-of-fuel-burst", Some("limits.plugin.fuel_burst"));
    assert!(stage.server.log().len() < 2 << 20);
    stage.unharmed();
}

#[test]
fn a_wait_of_wasi_ends_with_the_call() {
    for (name, outcome, limit) in [
        ("wasi-sleep", "too-long", "limits.plugin.call_max_s"),
        // Ten thousand clocks are more than a call may have.
        ("wasi-poll", "too-many-resources", "limits.plugin.resources_max"),
    ] {
        let setup = setup().limit("limits.plugin", "call_max_s", 2);
        let mut stage = Stage::text_within(name, setup);
        assert_eq!(stage.call().status, 500, "{name}");
        stage.is_booked_as(outcome, Some(limit));
        stage.unharmed();
    }
}

#[test]
fn exit_ends_the_flow_and_nothing_else() {
    Stage::text("wasi-exit").ends(500, &["exited with status"]);
}

#[test]
fn of_all_exports_only_the_handler_runs() {
    let mut stage = Stage::text("exports-everything");
    assert_eq!(stage.call().status, 480);
    stage.is_booked_as("finished", None);
    stage.unharmed();
}
