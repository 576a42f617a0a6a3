//! The layer rules of ARCHITECTURE.md, enforced on the sources.
//!
//! Every failure quotes the invariant that it guards from ARCHITECTURE.md itself, so the page and the rule cannot drift
//! apart: a rule whose invariant is gone from the page fails. Comments and string literals are ignored, except where
//! a rule is about text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The longest file that anyone should have to read.
const MAX_LINES: usize = 800;

// ---- the rules --------------------------------------------------------------------------------------------------

#[test]
fn arrows_run_one_way() {
    let mut faults = Faults::new(
        "It never goes back up: the arrows run `cli → {admin, metrics, tenant} → plugin → call → wire → callbox-sip`.",
    );
    // Higher may use lower. Equal ranks may not use each other, except that admin and metrics serve tenants.
    let rank = |layer: &str| match layer {
        "cli" => Some(50),
        "admin" => Some(41),
        "metrics" => Some(40),
        "tenant" => Some(39),
        "plugin" => Some(30),
        "call" => Some(20),
        "wire" => Some(10),
        "config" | "record" | "trace" => Some(0),
        "unix_time" | "histogram" | "pii" => Some(-1),
        _ => None,
    };
    let uses = Regex::new(r"\bcrate::(?:\{([^;]*)\}|(\w+))").unwrap();
    for file in rust_files("host/src") {
        let Some(layer) = layer_of(&file) else { continue };
        let Some(own) = rank(&layer) else { continue };
        for found in uses.captures_iter(&file.code) {
            let names = found.get(1).or(found.get(2)).unwrap().as_str();
            for other in heads(names) {
                if other != layer && rank(&other).is_some_and(|it| it >= own) {
                    faults.add(
                        &file.path,
                        format!("`{layer}` names `crate::{other}`, which lies above it"),
                    );
                }
            }
        }
    }
    faults.report();
}

#[test]
fn the_sip_crate_needs_no_runtime() {
    let mut faults = Faults::new(&invariant("`callbox-sip` is sans-IO"));
    let path = root().join("host/sip/Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    for table in ["dependencies", "build-dependencies"] {
        for name in manifest
            .get(table)
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(|it| it.keys())
        {
            let banned = [
                "tokio",
                "mio",
                "async-std",
                "smol",
                "socket2",
                "getrandom",
                "rand",
                "wasmtime",
                "rustix",
            ];
            if banned.contains(&name.as_str()) || name.starts_with("tokio") || name.starts_with("wasm") {
                faults.add(&path, format!("`{name}` is a dependency"));
            }
        }
    }
    let lints: toml::Table = fs::read_to_string(root().join("host/sip/clippy.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let listed = lints["disallowed-methods"].to_string() + &lints["disallowed-types"].to_string();
    for name in [
        "std::time::Instant::now",
        "std::time::SystemTime::now",
        "std::thread::sleep",
        "std::hash::RandomState",
        "std::net::UdpSocket",
        "std::net::TcpStream",
    ] {
        if !listed.contains(&format!("\"{name}\"")) {
            faults.add(
                &root().join("host/sip/clippy.toml"),
                format!("`{name}` is no longer banned"),
            );
        }
    }
    faults.report();
}

#[test]
fn each_layer_speaks_its_own_language() {
    let mut faults = Faults::new(&invariant("`plugin/` names no SIP type"));
    let word = |pattern: &str| Regex::new(pattern).unwrap();
    let sip = word(r"\b(callbox_sip|rsip|crate::wire|crate::sip)\b");
    for file in rust_files("host/src/plugin") {
        faults.each_match(&file, &sip, "plugin/ names the SIP stack");
    }
    let wasm = word(r"\b(wasmtime\w*|wit_\w+|wasmparser|bindgen)\b");
    for folder in [
        "host/src/call",
        "host/src/wire",
        "host/src/config",
        "host/sip/src",
    ] {
        for file in rust_files(folder) {
            faults.each_match(&file, &wasm, "a layer below plugin/ names WebAssembly");
        }
    }
    let rsip = word(r"\brsip\b");
    let mut homes: Vec<String> = Vec::new();
    for file in rust_files("host") {
        let shown = file.shown();
        if shown.contains("/tests/")
            || shown.ends_with("tests.rs")
            || shown.contains("/benches/")
            || shown.contains("/fuzz/")
        {
            continue;
        }
        if rsip.is_match(file.code_before_tests()) {
            let home = match shown.strip_prefix("host/sip/src/") {
                Some(inside) => inside
                    .split('/')
                    .next()
                    .unwrap()
                    .trim_end_matches(".rs")
                    .to_owned(),
                None => {
                    faults.add(&file.path, "the host names `rsip`".to_owned());
                    continue;
                }
            };
            // `lib.rs` may mention it only to declare the module, which names no type.
            if !homes.contains(&home) {
                homes.push(home);
            }
        }
    }
    if homes.len() > 1 {
        faults.add(
            &root().join("host/sip/src"),
            format!("`rsip` is named in {} modules: {homes:?}", homes.len()),
        );
    }
    faults.report();
}

#[test]
fn host_functions_only_translate() {
    let mut faults = Faults::new(&invariant("`host_api/` only translates"));
    let policy = Regex::new(r"\bcrate::(tenant|admin|cli|wire|config)\b").unwrap();
    for file in rust_files("host/src/plugin/host_api") {
        faults.each_match(&file, &policy, "a host function reaches past plugin/ and call/");
    }
    faults.report();
}

#[test]
fn everything_has_a_bound() {
    let mut faults = Faults::new(&invariant("everything has a bound"));
    let unbounded =
        Regex::new(r"\bunbounded\w*\s*(::<[^>]*>)?\(|\bUnbounded(Sender|Receiver)\b|\bmpsc::channel\(\)")
            .unwrap();
    for folder in ["host", "tests/src", "guest-sdk"] {
        for file in rust_files(folder) {
            faults.each_match(&file, &unbounded, "a queue without a bound");
        }
    }
    faults.report();
}

#[test]
fn errors_keep_their_types_below_the_command_line() {
    let mut faults = Faults::new(
        "Errors are small `thiserror` enums, one for each layer, and say who did what and what to do next; `anyhow` appears in `cli` only.",
    );
    let anyhow = Regex::new(r"\banyhow\b").unwrap();
    for folder in ["host/src", "host/sip/src"] {
        for file in rust_files(folder) {
            let shown = file.shown();
            if !shown.starts_with("host/src/cli") && shown != "host/src/main.rs" {
                faults.each_match(&file, &anyhow, "`anyhow` outside `cli`");
            }
        }
    }
    faults.report();
}

#[test]
fn nothing_is_a_stub_and_next_to_nothing_is_unsafe() {
    let mut faults = Faults::new(
        "No stubs, and no `unsafe` but in the one module that maps compiled code: every crate takes the workspace's lints.",
    );
    let stub = Regex::new(r"\b(todo|unimplemented)!").unwrap();
    for folder in ["host", "tests", "guest-sdk", "examples"] {
        for file in rust_files(folder) {
            faults.each_match(&file, &stub, "a stub");
        }
    }
    let unsafe_block = Regex::new(r"\bunsafe\b").unwrap();
    for file in rust_files("host").into_iter().chain(rust_files("tests")) {
        if file.shown() != "host/src/plugin/native_code.rs" {
            faults.each_match(&file, &unsafe_block, "an `unsafe`");
        }
    }
    for manifest in ["host", "host/sip", "tests"] {
        let path = root().join(manifest).join("Cargo.toml");
        let table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let inherits = table
            .get("lints")
            .and_then(|it| it.get("workspace"))
            .and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            faults.add(&path, "does not inherit the workspace's lints".to_owned());
        }
    }
    faults.report();
}

#[test]
fn a_module_introduces_itself_and_stays_readable() {
    let mut faults = Faults::new(&format!(
        "Each module opens with `//!` and one concept fills one file, of {MAX_LINES} lines at most."
    ));
    for folder in ["host", "tests", "guest-sdk", "examples"] {
        for file in rust_files(folder) {
            let opening = file
                .text
                .lines()
                .find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
            if !opening.is_some_and(|line| line.starts_with("//!")) {
                faults.add(&file.path, "does not open with `//!`".to_owned());
            }
            let lines = file.text.lines().count();
            if lines > MAX_LINES {
                faults.add(&file.path, format!("has {lines} lines; split it by concept"));
            }
        }
    }
    faults.report();
}

#[test]
fn names_say_what_a_thing_is() {
    let mut faults = Faults::new("Names are the field's words: nothing is a manager, a helper or a utility.");
    let vague = Regex::new(r"\b\w*(Manager|_manager|manager_|Helper|Utils|utils|handler2)\w*\b|\bmod (util|helpers?|misc|common)\b").unwrap();
    for folder in ["host", "tests", "guest-sdk", "examples"] {
        for file in rust_files(folder) {
            faults.each_match(&file, &vague, "a name that says nothing");
        }
    }
    faults.report();
}

#[test]
fn the_tree_is_free_of_machine_paths_and_notes() {
    let mut faults =
        Faults::new("The tree holds what a stranger can use: no paths of one machine, no notes to self.");
    // Spelt apart so that this file passes its own rule.
    let needles = [
        ["/wo", "rk/"].concat(),
        ["/tmp/", "plan"].concat(),
        ["FIX", "ME"].concat(),
        ["TO", "DO:"].concat(),
        ["TO", "DO("].concat(),
        ["HA", "CK:"].concat(),
    ];
    let home = Regex::new(r#"(^|[\s"'=:(])/(root|home)/"#).unwrap();
    for path in text_files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            if home.is_match(line) {
                faults.add(&path, format!("line {}: somebody's home", index + 1));
            }
            for needle in &needles {
                if line.contains(needle.as_str()) {
                    faults.add(&path, format!("line {}: `{needle}`", index + 1));
                }
            }
        }
    }
    faults.report();
}

#[test]
fn the_page_holds_all_ten_invariants_and_names_their_guards() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let marks: Vec<&str> = page.split("**Architecture Invariant:**").skip(1).collect();
    assert_eq!(marks.len(), 10, "ARCHITECTURE.md must state ten invariants");
    for text in marks {
        let paragraph = text.split("\n\n").next().unwrap();
        assert!(
            paragraph.contains("*Guard:*"),
            "this invariant names no guard:{paragraph}"
        );
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = page
        .split("## Why each dependency is there")
        .nth(1)
        .expect("the section on dependencies");
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let ours = ["callbox", "callbox-sip", "callbox-media"];
    let missing: Vec<&String> = manifest["workspace"]["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .filter(|name| !ours.contains(&name.as_str()))
        .filter(|name| {
            !Regex::new(&format!(r"(^|[^\w-]){name}($|[^\w-])"))
                .unwrap()
                .is_match(table)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md says why each dependency is there, but not why {missing:?} is"
    );
}

// ---- the scanner itself -----------------------------------------------------------------------------------------

#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let source = r##"
//! wasmtime in a header
use crate::call; // rsip in a comment
/* anyhow /* nested */ anyhow */
let url = "https://tokio"; let raw = r#"quoted " wasmtime"#; let quote = '"'; let life: &'static str = wire;
"##;
    let code = code_only(source);
    for hidden in ["wasmtime", "rsip", "anyhow", "tokio"] {
        assert!(!code.contains(hidden), "`{hidden}` is not code in {code}");
    }
    for shown in ["use crate::call;", "let life: &'static str = wire;"] {
        assert!(
            code.contains(shown),
            "`{shown}` is code, but is missing in {code}"
        );
    }
    assert_eq!(
        source.lines().count(),
        code.lines().count(),
        "line numbers must stay"
    );
    assert_eq!(
        heads("call::{Leg, Session}, wire::Path, self"),
        ["call", "wire", "self"]
    );
}

/// What a set of rules found, reported together so that one run shows all of it.
struct Faults {
    invariant: String,
    found: Vec<String>,
}

impl Faults {
    fn new(invariant: &str) -> Self {
        Self {
            invariant: invariant.to_owned(),
            found: Vec::new(),
        }
    }

    fn add(&mut self, path: &Path, what: String) {
        let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        self.found.push(format!("{shown}: {what}"));
    }

    fn each_match(&mut self, file: &Source, pattern: &Regex, what: &str) {
        for (index, line) in file.code.lines().enumerate() {
            if let Some(found) = pattern.find(line) {
                self.add(
                    &file.path,
                    format!("line {}: {what}: `{}`", index + 1, found.as_str()),
                );
            }
        }
    }

    fn report(self) {
        let mut message = String::new();
        for fault in &self.found {
            writeln!(message, "  {fault}").unwrap();
        }
        assert!(
            self.found.is_empty(),
            "\nInvariant: {}\nbroken by:\n{message}",
            self.invariant
        );
    }
}

struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

impl Source {
    fn shown(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// Unit tests stand at the end of a file by convention.
    fn code_before_tests(&self) -> &str {
        self.code.split("#[cfg(test)]").next().unwrap_or_default()
    }
}

/// The invariant of ARCHITECTURE.md that begins so, in one line.
fn invariant(start: &str) -> String {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    page.split("**Architecture Invariant:**")
        .skip(1)
        .map(|text| text.trim_start())
        .find(|text| text.starts_with(start))
        .map(|text| {
            text.split("*Guard:*")
                .next()
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .unwrap_or_else(|| panic!("ARCHITECTURE.md states no invariant that begins with: {start}"))
}

/// The first path segment of each item of a use list: `call::{Leg}, wire::Path` gives `call` and `wire`.
fn heads(list: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut items = vec![String::new()];
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => {}
        }
        if depth == 0 && letter != ',' {
            items.last_mut().unwrap().push(letter);
        }
    }
    let head = |item: String| item.split("::").next().unwrap_or_default().trim().to_owned();
    items
        .into_iter()
        .map(head)
        .filter(|item| !item.is_empty())
        .collect()
}

fn layer_of(file: &Source) -> Option<String> {
    let inside = file.path.strip_prefix(root().join("host/src")).ok()?;
    let first = inside.iter().next()?.to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn rust_files(folder: &str) -> Vec<Source> {
    text_files(&root().join(folder))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            Source {
                code: code_only(&text),
                text,
                path,
            }
        })
        .collect()
}

fn text_files(folder: &Path) -> Vec<PathBuf> {
    let skip = ["target", ".git", "node_modules", "corpus", "artifacts"];
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if skip.contains(&name.as_str()) {
            continue; // in a second worktree `.git` is a file
        }
        if path.is_dir() {
            files.extend(text_files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The source with comments and the insides of string and character literals blanked; lines keep their numbers.
fn code_only(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let blank = |code: &mut String, letter: char| code.push(if letter == '\n' { '\n' } else { ' ' });
    while at < letters.len() {
        let rest = &letters[at..];
        let end = if rest.starts_with(&['/', '/']) {
            rest.iter().position(|it| *it == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if rest[0] == '"' {
            quoted(rest)
        } else if rest[0] == 'r' && !previous_is_word(&letters, at) {
            raw_string(rest)
        } else if rest.starts_with(&['\'', '\\']) {
            // An escaped character: the quote after the escape ends it.
            rest.iter()
                .skip(3)
                .position(|it| *it == '\'')
                .map_or(1, |it| it + 4)
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            3
        } else {
            0
        };
        if end == 0 {
            code.push(rest[0]);
            at += 1;
        } else {
            rest[..end].iter().for_each(|letter| blank(&mut code, *letter));
            at += end;
        }
    }
    code
}

fn previous_is_word(letters: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too; `for"` is not one.
    at > 0 && letters[at - 1] != 'b' && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_')
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|it| **it == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = 2 + hashes;
    (body..rest.len())
        .find(|at| rest[*at..].starts_with(&close))
        .map_or(rest.len(), |at| at + close.len())
}
