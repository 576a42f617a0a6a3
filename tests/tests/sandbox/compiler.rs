//! The compiler is hostile ground too: files made to take its time, its memory or its stack end with a message, within
//! the limits of the child process that compiles them, while the host answers calls.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callbox_tests::{cli, hostile, process};

use crate::{Stage, setup};

/// A flow with these parts, which does nothing.
fn flow(name: &str, parts: &str, folder: &Path) -> PathBuf {
    let text = format!(
        r#"(module
          {parts}
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32) i32.const 1024))"#
    );
    hostile::module(name, &text, folder)
}

/// One function that keeps so many values alive from its beginning to its end, over as many branches.
fn live_values(count: usize) -> String {
    let mut text = String::from("(func (param i64) (result i64) (local");
    text.push_str(&" i64".repeat(count));
    text.push(')');
    for value in 1..=count {
        write!(text, "local.get 0 i64.const {value} i64.mul local.set {value} ").unwrap();
    }
    for value in 1..=count {
        write!(
            text,
            "(if (i64.eqz (local.get {value})) (then (local.set {value} (local.get {})))) ",
            1 + value * 7 % count
        )
        .unwrap();
    }
    text.push_str("i64.const 0 ");
    for value in 1..=count {
        write!(text, "local.get {value} i64.xor ").unwrap();
    }
    text.push(')');
    text
}

fn functions(count: usize) -> String {
    "(func (param i32) (result i32) local.get 0 i32.const 7 i32.mul)".repeat(count)
}

fn nested_blocks(depth: usize) -> String {
    format!("(func {}{})", "block ".repeat(depth), "end ".repeat(depth))
}

fn data_segments(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        write!(text, r#"(data (i32.const {}) "x")"#, number % 60_000).unwrap();
        text
    })
}

fn element_segments(count: usize) -> String {
    format!(
        "(table 30000 funcref) (func $f) {}",
        (0..count).fold(String::new(), |mut text, number| {
            write!(text, "(elem (i32.const {}) $f $f $f)", number % 29_000).unwrap();
            text
        })
    )
}

fn branch_table(targets: usize) -> String {
    format!(
        "(func (param i32) (block (block (br_table {} (local.get 0)))))",
        "0 1 ".repeat(targets / 2)
    )
}

fn exports(count: usize) -> String {
    (0..count).fold(String::from("(func $e)"), |mut text, number| {
        write!(text, r#"(export "export-{number}" (func $e))"#).unwrap();
        text
    })
}

fn bombs(folder: &Path) -> Vec<PathBuf> {
    vec![
        flow("live-values", &live_values(32_000), folder),
        flow("functions", &functions(100_000), folder),
        flow("nested-blocks", &nested_blocks(100_000), folder),
        flow("data-segments", &data_segments(90_000), folder),
        flow("element-segments", &element_segments(90_000), folder),
        flow("branch-table", &branch_table(400_000), folder),
        flow("exports", &exports(10_000), folder),
        nested_components(2_000, folder),
        component("component-imports", &component_imports(10_000), folder),
        component("instances", &instances(900), folder),
        component("deep-types", &deep_types(90), folder),
        component("wide-types", &wide_types(24), folder),
    ]
}

fn component(name: &str, text: &str, folder: &Path) -> PathBuf {
    hostile::module(name, text, folder)
}

/// A component in a component in a component …, as bytes: the text has a bound of its own.
fn nested_components(depth: usize, folder: &Path) -> PathBuf {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..depth {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        let mut size = bytes.len();
        while size > 0x7f {
            outer.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        outer.push(size as u8);
        outer.append(&mut bytes);
        bytes = outer;
    }
    let file = folder.join("nested-components.wasm");
    std::fs::write(&file, bytes).unwrap();
    file
}

fn component_imports(count: usize) -> String {
    let imports = (0..count).fold(String::new(), |mut text, number| {
        write!(text, r#"(import "acme:test/i{number}@1.0.0" (instance))"#).unwrap();
        text
    });
    format!("(component {imports})")
}

/// One module, made into so many instances by each call.
fn instances(count: usize) -> String {
    let made = "(core instance (instantiate $m))".repeat(count);
    format!("(component (core module $m (func $f) (global (mut i64) (i64.const 1))) {made})")
}

fn deep_types(depth: usize) -> String {
    let types = (1..depth).fold(String::from("(type $t0 (list u8))"), |mut text, number| {
        write!(text, "(type $t{number} (list $t{}))", number - 1).unwrap();
        text
    });
    format!(
        r#"(component {types} (import "f" (func (param "a" $t{}))))"#,
        depth - 1
    )
}

/// Each type holds the one before it twice: its size doubles with each line.
fn wide_types(depth: usize) -> String {
    let types = (1..=depth).fold(String::from("(type $t0 (tuple u64 u64))"), |mut text, number| {
        let before = number - 1;
        write!(text, "(type $t{number} (tuple $t{before} $t{before}))").unwrap();
        text
    });
    format!(r#"(component {types} (import "f" (func (param "a" $t{depth}))))"#)
}

#[test]
fn a_bomb_is_refused_by_check_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (file, words) in [
        (flow("branch-table", &branch_table(400_000), folder), "br_table"),
        (nested_components(2_000, folder), "not a flow"),
        (
            component("component-imports", &component_imports(10_000), folder),
            "exceeds limit",
        ),
        (component("instances", &instances(900), folder), "maximum of 40"),
        (
            component("wide-types", &wide_types(24), folder),
            "type size exceeds",
        ),
        (
            hostile::text("transcode", folder),
            "composed of several components",
        ),
    ] {
        let said = cli::run([Path::new("check"), &file]);
        let all = said.all();
        assert_eq!(said.code, Some(1), "{}: {all}", file.display());
        assert!(
            all.contains(words) || all.contains("exports nothing"),
            "{}: {all}",
            file.display()
        );
        assert!(
            all.len() < 16_384,
            "a message, not a flood of {} bytes",
            all.len()
        );
    }
}

#[test]
fn a_host_that_loads_bombs_serves_and_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = setup()
        // A quarter of what is allowed, so that the test is over sooner.
        .limit("limits.plugin", "compile_cpu_s", 8)
        .limit("limits.plugin", "compile_wall_ms", 20_000)
        .limit("limits.plugin", "compile_memory_bytes", 1 << 30);
    for file in bombs(folder.path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        setup = setup.tenant_flow("umbrella", &name, &file, "auto_ring = false\n");
    }
    let mut stage = Stage::of(setup);
    let rss = process::rss_kib(stage.server.pid());
    assert!(rss < 400 << 10, "the host has {rss} KiB after loading");
    let log = stage.server.log();
    for name in ["live-values", "functions", "nested-blocks"] {
        let line = log
            .lines()
            .find(|line| line.starts_with(&format!("flow umbrella/{name}: ")))
            .unwrap();
        // Which of the limits is first depends on the machine; a fast one may even finish.
        assert!(
            line.contains("limits.plugin.compile_") || line.contains("version"),
            "{line}"
        );
    }
    for bomb in bombs(folder.path()) {
        let name = bomb.file_stem().unwrap().to_string_lossy().into_owned();
        let mut call = stage.phone.invite(&name);
        let response = stage.phone.final_response(&call, "INVITE");
        stage.phone.ack(&mut call, &response);
        // One that compiled in time is a flow like any other: it returns without an answer.
        assert!(
            matches!(response.status(), Some(480 | 500)),
            "{name}: {response:?}"
        );
    }
    stage.unharmed();
}

#[test]
fn a_file_that_compiles_for_ever_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let slow = callbox_tests::flows::slow_to_compile(folder.path());
    let begun = Instant::now();
    let setup = setup().limit("limits.plugin", "compile_cpu_s", 2).tenant_flow(
        "umbrella",
        "hostile",
        &slow,
        "auto_ring = false\n",
    );
    let mut stage = Stage::of(setup);
    assert_eq!(stage.call().status, 500);
    stage.told(&["not loaded", "limits.plugin.compile_cpu_s"]);
    assert!(begun.elapsed() < Duration::from_secs(50));
    stage.unharmed();
}
