//! Flows that compute, or make the host compute, without end.

use std::time::Duration;

use callbox_tests::flows;
use callbox_tests::server::Setup;

use crate::{Stage, setup, trick};

const BURST: &str = "limits.plugin.fuel_burst";

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let stage = Stage::file(&flows::example("loop"), setup());
    stage.ends(500, &[BURST]);
}

#[test]
fn a_loop_of_host_calls_runs_out_of_fuel() {
    Stage::trick("compute", "host-calls").ends(500, &[BURST]);
}

#[test]
fn answers_of_the_host_are_paid_for_by_the_byte() {
    Stage::trick("compute", "answers").ends(500, &[BURST]);
}

#[test]
fn a_slow_drip_ends_with_the_fuel_of_the_whole_call() {
    let file = flows::example("compute");
    let setup = setup()
        .limit("limits.plugin", "fuel_total", 200_000_000)
        .tenant_flow("umbrella", "hostile", &file, &trick("drip", &[]));
    Stage::of(setup).ends(500, &["limits.plugin.fuel_total"]);
}

#[test]
fn bulk_memory_costs_by_the_byte() {
    Stage::trick("compute", "bulk").ends(500, &[BURST]);
}

#[test]
fn a_growth_by_nothing_costs_what_it_takes() {
    Stage::trick("compute", "grow").ends(500, &[BURST]);
}

#[test]
fn a_start_function_is_no_free_time() {
    Stage::text("start-loop").ends(500, &[BURST]);
}

#[test]
fn making_room_for_the_hosts_answer_is_no_free_time() {
    Stage::text("realloc-loop").ends(500, &[BURST]);
}

#[test]
fn parts_of_one_component_do_not_pass_strings_without_end() {
    let mut stage = Stage::text("transcode");
    assert_eq!(stage.call().status, 500);
    stage.told(&["not loaded", "composed of several components"]);
    stage.unharmed();
}

#[test]
fn patterns_end() {
    for (trick, words) in [
        ("lua", "the Lua pattern needs too many steps"),
        ("lua-deep", "pattern"),
        ("regex", "outcome: GatherOutcome::TooManyDigits"),
        ("regex-size", "regular expression"),
    ] {
        let mut stage = Stage::trick("pattern", trick);
        let mut pressed = 0;
        stage.call_with(|phone, call, message| {
            // As fast as the answers come, until there are more digits than a gathering takes.
            let answered = message.status() == Some(200) && message.cseq_method() != "BYE";
            if answered && pressed < 64 {
                pressed += 1;
                phone.send_in_dialog(
                    call,
                    "INFO",
                    "application/dtmf-relay",
                    "Signal=1\r\nDuration=160\r\n",
                );
            }
        });
        stage.told(&["pattern:", words]);
        stage.is_booked(&[]);
        stage.unharmed();
    }
}

#[test]
fn a_pattern_of_a_megabyte_is_not_copied() {
    Stage::trick("pattern", "lua-huge").ends(200, &["limits.plugin.hostcall_fuel"]);
}

#[test]
fn compiling_patterns_again_and_again_is_paid_for() {
    Stage::trick("pattern", "regex-again").ends(500, &[BURST]);
}

#[test]
fn a_caller_may_give_up_on_a_flow_that_spins() {
    let file = flows::example("loop");
    let server = Setup::new()
        .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
        .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000)
        .tenant_flow("umbrella", "hostile", &file, "")
        .start();
    let mut phone = server.phone();
    let mut call = phone.invite("hostile");
    phone.wait_for(&call, "provisional response", |message| {
        message.status().is_some_and(|code| code < 200)
    });
    std::thread::sleep(Duration::from_millis(200));
    let begun = std::time::Instant::now();
    phone.cancel(&call);
    assert_eq!(phone.final_response(&call, "CANCEL").status(), Some(200));
    let response = phone.final_response(&call, "INVITE");
    let took = begun.elapsed();
    assert_eq!(response.status(), Some(487), "{response:?}");
    assert!(took < Duration::from_millis(250), "giving up took {took:?}");
    phone.ack(&mut call, &response);
}
