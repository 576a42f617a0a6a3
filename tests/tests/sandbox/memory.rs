//! Flows that take memory, stack, handles and tables, or point to what they do not have.

use callbox_tests::{flows, process};

use crate::{Stage, setup};

#[test]
fn a_memory_bomb_hits_its_own_limit() {
    let stage = Stage::file(&flows::example("memory-bomb"), setup());
    stage.ends(500, &["limits.plugin.memory_max_bytes"]);
}

#[test]
fn a_table_bomb_hits_its_own_limit() {
    Stage::text("table-bomb").ends(500, &["limits.plugin.table_elements"]);
}

#[test]
fn what_is_too_large_from_the_start_is_not_loaded() {
    for (name, words) in [
        ("many-memories", "memories count of 10"),
        ("huge-memory", "4294967296 bytes of memory at its start"),
        ("huge-table", "minimum element size of 10000000"),
    ] {
        let mut stage = Stage::text(name);
        assert_eq!(stage.call().status, 500, "{name}");
        stage.told(&["not loaded", words]);
        stage.unharmed();
    }
}

#[test]
fn a_deep_recursion_ends_at_its_stack() {
    let mut stage = Stage::file(&flows::example("deep-recursion"), setup());
    assert_eq!(stage.call().status, 500);
    // A guest's own stack lies in its memory, and which of the two stacks ends first depends on the compiler.
    let line = stage.told(&["outcome"]);
    stage.is_booked(&[]);
    assert!(
        line.contains("stack") || line.contains("out of bounds memory access"),
        "{line}"
    );
    stage.unharmed();
}

#[test]
fn no_call_of_the_host_is_made_from_within_another() {
    Stage::text("realloc-reenter").ends(500, &["trapped", "cannot leave component instance"]);
}

#[test]
fn the_host_writes_nowhere_but_into_the_flows_memory() {
    Stage::text("realloc-lies").ends(500, &["trapped"]);
    Stage::text("wild-result").ends(500, &["trapped"]);
    Stage::text("wild-string").ends(500, &["trapped"]);
}

#[test]
fn a_string_of_50_mb_is_not_copied() {
    let mut stage = Stage::file(&flows::example("huge-string"), setup());
    assert_eq!(stage.call().status, 500);
    let after = process::rss_kib(stage.server.pid());
    assert!(
        after < stage.rss_kib + 120 * 1024,
        "50 MB are the guest's, none the host's: {} KiB, {after} KiB",
        stage.rss_kib
    );
    assert!(
        !stage.server.log().contains(&"A".repeat(8_192)),
        "a log line has a bound"
    );
    stage.told(&["limits.plugin.hostcall_fuel"]);
    stage.is_booked(&["limits.plugin.hostcall_fuel"]);
    stage.unharmed();
}

#[test]
fn long_lists_are_not_copied_either() {
    Stage::trick("lists", "empty-headers").ends(500, &["limits.plugin.hostcall_fuel"]);
    Stage::trick("lists", "headers").ends(480, &["lists:", "limits.call.headers_max"]);
    Stage::trick("lists", "contacts").ends(480, &["lists: not valid: redirect takes 1 to 16 contacts"]);
    Stage::trick("lists", "again").ends(500, &["limits.plugin.fuel_burst"]);
}

#[test]
fn a_million_handles_are_not_given() {
    let stage = Stage::file(&flows::example("handles"), setup());
    stage.ends(500, &["limits.plugin.resources_max"]);
}

#[test]
fn a_forged_handle_is_nobodys_leg() {
    Stage::text("forged-handle").ends(500, &["trapped", "handle"]);
}
