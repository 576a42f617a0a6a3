//! Each limit and each kind of trap: a flow that hits it ends in the outcome that names it.

use std::time::{Duration, Instant};

use callbox::config::limits::PluginLimits;
use callbox::plugin::{Budget, Outcome};

use crate::flows::{flow, nothing};
use crate::{Sandbox, run, session, small};

#[tokio::test]
async fn a_flow_that_does_nothing_finishes_and_costs_little() {
    let report = Sandbox::new(small()).run(nothing()).await;
    assert_eq!(report.outcome, Outcome::Finished);
    assert!(
        report.fuel_used > 0 && report.fuel_used < 1_000,
        "{}",
        report.fuel_used
    );
    assert_eq!(report.memory_bytes, 4 * 65_536);
}

#[tokio::test]
async fn the_flows_own_error_is_kept() {
    let report = Sandbox::new(small())
        .run(flow(
            r#"(data (i32.const 64) "no\nluck")"#,
            "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 64))
             (i32.store (i32.const 24) (i32.const 7)) (i32.const 16)",
        ))
        .await;
    assert_eq!(report.outcome, Outcome::Failed("no\\nluck".to_owned()));
}

#[tokio::test]
async fn an_endless_loop_ends_its_burst_and_yields_meanwhile() {
    let sandbox = Sandbox::new(small());
    let version = sandbox
        .load(flow("", "(loop $for_ever (br $for_ever)) (unreachable)"))
        .await
        .unwrap();
    // On one thread: another task runs only if the guest gives way.
    let mut turns = 0;
    let report = {
        let guest = run(version);
        tokio::pin!(guest);
        loop {
            tokio::select! {
                biased;
                report = &mut guest => break report,
                () = tokio::task::yield_now() => turns += 1,
            }
        }
    };
    assert_eq!(
        report.outcome,
        Outcome::OutOfFuel {
            budget: Budget::Burst,
            limit: 20_000_000
        }
    );
    // The engine's own way out at the end costs as much as a host call.
    assert!(
        (20_000_000..20_010_000).contains(&report.fuel_used),
        "{}",
        report.fuel_used
    );
    // 20 million in slices of 200 000; this loop takes every second of them.
    assert!(turns > 40, "{turns} turns");
    assert!(report.backtrace.is_some());
}

#[tokio::test]
async fn waiting_fills_the_burst_and_the_total_ends_it() {
    // 10 million a round: less than a burst, and each round waits.
    let body = "(local $n i32)
        (loop $round
            (local.set $n (i32.const 2000000))
            (loop $spin (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $spin (local.get $n)))
            (call $sleep (i32.const 1))
            (br $round))
        (unreachable)";
    let report = Sandbox::new(small()).run(flow("", body)).await;
    assert_eq!(
        report.outcome,
        Outcome::OutOfFuel {
            budget: Budget::Total,
            limit: 100_000_000
        }
    );
    assert_eq!(report.fuel_used, 100_000_000);
}

#[tokio::test]
async fn a_loop_of_host_calls_pays_and_gives_way() {
    let sandbox = Sandbox::new(PluginLimits {
        fuel_burst: 5_000_000,
        log_max_bytes: 1_024,
        ..small()
    });
    let body = "(loop $for_ever (call $log (i32.const 2) (i32.const 64) (i32.const 3)) (br $for_ever)) (unreachable)";
    let version = sandbox.load(flow("", body)).await.unwrap();
    let mut turns = 0;
    let report = {
        let guest = run(version);
        tokio::pin!(guest);
        loop {
            tokio::select! {
                biased;
                report = &mut guest => break report,
                () = tokio::task::yield_now() => turns += 1,
            }
        }
    };
    assert_eq!(
        report.outcome,
        Outcome::OutOfFuel {
            budget: Budget::Burst,
            limit: 5_000_000
        }
    );
    assert!(turns > 10, "{turns} turns");
    assert!(
        report.suppressed_lines > 1_000,
        "a flood of log lines is bounded: {}",
        report.suppressed_lines
    );
}

#[tokio::test]
async fn a_memory_bomb_is_refused_and_named() {
    let sandbox = Sandbox::new(PluginLimits {
        memory_max_bytes: 1 << 20,
        ..small()
    });
    let bomb = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";
    let report = sandbox.run(flow("", bomb)).await;
    assert_eq!(
        report.outcome,
        Outcome::OutOfMemory {
            wanted: 17 << 16,
            limit: 1 << 20
        }
    );
    assert_eq!(report.memory_bytes, 1 << 20);
    // A guest that can live with the refusal lives.
    let frugal = "(drop (memory.grow (i32.const 1000))) (i32.const 0)";
    assert_eq!(sandbox.run(flow("", frugal)).await.outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_table_bomb_is_refused_and_named() {
    let bomb = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable)) (i32.const 0)";
    let report = Sandbox::new(small())
        .run(flow("(table $t 1 funcref)", bomb))
        .await;
    assert!(
        matches!(
            report.outcome,
            Outcome::TablesTooLarge {
                wanted: 1_000_001..,
                ..
            }
        ),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn deep_recursion_overflows_its_own_stack_only() {
    let recursion = "(func $deeper (param i64 i64) (result i64)
        (i64.add (call $deeper (local.get 1) (local.get 0)) (i64.add (local.get 0) (local.get 1))))";
    let report = Sandbox::new(small())
        .run(flow(
            recursion,
            "(drop (call $deeper (i64.const 1) (i64.const 2))) (i32.const 0)",
        ))
        .await;
    assert_eq!(report.outcome, Outcome::StackOverflow { limit: 524_288 });
    assert!(report.backtrace.unwrap().lines().count() < 60);
}

#[tokio::test]
async fn a_panic_is_told_with_its_last_words() {
    let report = Sandbox::new(small())
        .run(flow(
            r#"(data (i32.const 64) "panicked at flow.rs:7: no answer\1b[2J")"#,
            "(call $log (i32.const 4) (i32.const 64) (i32.const 36)) (unreachable)",
        ))
        .await;
    let words = "panicked at flow.rs:7: no answer\\u{1b}[2J".to_owned();
    assert_eq!(report.outcome, Outcome::Panicked(Some(words.clone())));
    assert_eq!(report.last_lines, [words]);
}

#[tokio::test]
async fn bad_accesses_and_divisions_are_traps_with_a_backtrace() {
    let sandbox = Sandbox::new(small());
    let report = sandbox.run(flow("", "(i32.load (i32.const -4))")).await;
    assert_eq!(
        report.outcome,
        Outcome::Trapped("out of bounds memory access".to_owned())
    );
    let frames = report.backtrace.unwrap();
    assert!(frames.contains("on_call"), "{frames}");
    let report = sandbox
        .run(flow("", "(i32.div_u (i32.const 1) (i32.const 0))"))
        .await;
    assert_eq!(
        report.outcome,
        Outcome::Trapped("integer divide by zero".to_owned())
    );
}

#[tokio::test]
async fn a_string_of_50_mb_never_reaches_the_host() {
    let huge = "(drop (memory.grow (i32.const 900))) (call $log (i32.const 2) (i32.const 0) (i32.const 52428800)) (i32.const 0)";
    let report = Sandbox::new(small()).run(flow("", huge)).await;
    assert_eq!(report.outcome, Outcome::HostCallTooLarge { limit: 1 << 20 });
}

#[tokio::test]
async fn a_pointer_beyond_the_memory_is_a_trap() {
    let report = Sandbox::new(small())
        .run(flow(
            "",
            "(call $log (i32.const 2) (i32.const 262140) (i32.const 100)) (i32.const 0)",
        ))
        .await;
    assert!(
        matches!(report.outcome, Outcome::Trapped(_)),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn a_million_objects_end_early() {
    let many = "(local $n i32) (loop $more (drop (call $new_options))
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000)))) (i32.const 0)";
    let report = Sandbox::new(small()).run(flow("", many)).await;
    assert_eq!(report.outcome, Outcome::TooManyResources { limit: 256 });
}

#[tokio::test]
async fn a_million_handles_end_early() {
    let many = "(local $n i32) (loop $more (drop (call $new_options))
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000)))) (i32.const 0)";
    let limits = PluginLimits {
        resources_max: 100_000,
        handles_max: 500,
        ..small()
    };
    let report = Sandbox::new(limits).run(flow("", many)).await;
    assert_eq!(report.outcome, Outcome::TooManyHandles { limit: 500 });
}

#[tokio::test]
async fn a_leg_too_many_is_made_all_the_same() {
    let many = "(local $n i32) (loop $more (drop (call $new_call))
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100)))) (i32.const 1024)";
    let report = Sandbox::new(small()).run(flow("", many)).await;
    assert_eq!(report.outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_forged_handle_is_a_trap() {
    let report = Sandbox::new(small())
        .run(flow(
            r#"(import "callbox:flow/sipcall@0.1.0" "[method]call.id" (func $id (param i32) (result i32)))"#,
            "(call $id (i32.const 12345))",
        ))
        .await;
    assert!(
        matches!(&report.outcome, Outcome::Trapped(text) if text.contains("handle")),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn the_calls_length_ends_a_waiting_flow() {
    let limits = PluginLimits {
        call_max_s: 1,
        ..small()
    };
    let started = Instant::now();
    let report = Sandbox::new(limits)
        .run(flow("", "(call $sleep (i32.const 3600000)) (i32.const 0)"))
        .await;
    assert_eq!(
        report.outcome,
        Outcome::TooLong {
            limit: "limits.plugin.call_max_s",
            limit_s: 1
        }
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn dropping_the_call_ends_a_waiting_guest_and_frees_its_slot() {
    // The pool holds four: twenty rounds only work if each gives its slot back.
    let sandbox = Sandbox::new(small());
    let version = sandbox
        .load(flow("", "(call $sleep (i32.const 3600000)) (i32.const 0)"))
        .await
        .unwrap();
    for _ in 0..20 {
        let waiting = tokio::time::timeout(Duration::from_millis(5), run(version.clone())).await;
        assert!(waiting.is_err());
    }
    let report = sandbox.run(nothing()).await;
    assert_eq!(report.outcome, Outcome::Finished);
}

#[tokio::test]
async fn the_fifth_call_of_four_is_an_outcome_and_not_a_crash() {
    let sandbox = Sandbox::new(small());
    let version = sandbox
        .load(flow("", "(call $sleep (i32.const 3600000)) (i32.const 0)"))
        .await
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..4 {
        let (session, version) = (session(), version.clone());
        let leg = session.new_leg().unwrap();
        held.push(tokio::spawn(callbox::plugin::run_call(
            version,
            Default::default(),
            session,
            leg,
        )));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = run(version).await;
    assert!(
        matches!(report.outcome, Outcome::PoolFull(_)),
        "{:?}",
        report.outcome
    );
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_start_function_is_bounded_too() {
    let spin = "(func $spin (loop $for_ever (br $for_ever))) (start $spin)";
    let report = Sandbox::new(small()).run(flow(spin, "(i32.const 0)")).await;
    assert!(
        matches!(report.outcome, Outcome::OutOfFuel { .. }),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn the_same_call_uses_the_same_fuel() {
    let sandbox = Sandbox::new(small());
    let body = "(local $n i32) (loop $spin (call $log (i32.const 0) (i32.const 64) (i32.const 3))
        (br_if $spin (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))) (i32.const 0)";
    let version = sandbox.load(flow("", body)).await.unwrap();
    let first = run(version.clone()).await;
    let second = run(version).await;
    assert_eq!(first.outcome, Outcome::Finished);
    assert_eq!(first.fuel_used, second.fuel_used);
}
