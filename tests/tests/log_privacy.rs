//! The rule of `host/src/pii.rs`, enforced on the sources: a text of a call that identifies a person gets into the log only
//! through `Pii`.
//!
//! It reads the macros of `tracing` and knows no types, so it goes by names: of fields, and of what values are made of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What is said of a person, as fields, variables, members and functions are called that hold it.
const PERSONAL: &str = "ani|dnis|user|username|uri|aor|from|to|caller|callee|called|calling|contact|target|destination|\
                        identity|display_name|digit|digits|dtmf|pressed|typed|pattern|body|sdp|offer|answer|subject|payload|\
                        request|response|message|reason_text|refer_to|from_user|request_uri|phone|e164";
/// Arguments that look like it, or are written with `?`, and hold no text of a call.
const HARMLESS: [&str; 5] = [
    "?fallen",
    "?grace",
    "address = ?door.address()",
    "metrics = ?door.metrics()",
    "to = %hep.to",
];

/// One macro of a source file.
struct Macro {
    place: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The macros of `tracing` in a source, whole.
fn macros(source: &str, file: &str) -> Vec<Macro> {
    let opening =
        Regex::new(r"\b(?:trace|debug|info|warn|error|event|span|(?:trace|debug|info|warn|error)_span)!\(")
            .unwrap();
    let mut found = Vec::new();
    for begin in opening.find_iter(source) {
        let line = source[..begin.start()].lines().count();
        let commented = source[..begin.start()]
            .lines()
            .last()
            .is_some_and(|line| line.trim_start().starts_with("//"));
        if !commented {
            found.push(Macro {
                place: format!("{file}:{line}"),
                text: inside(&source[begin.end()..]).to_owned(),
            });
        }
    }
    found
}

/// Up to the parenthesis that closes what is open.
fn inside(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => return &text[..at],
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// The arguments of a macro, and what stands in braces in its texts.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut parts = vec![String::new()];
    let mut captured = vec![];
    for letter in text.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if quoted => captured.push(String::new()),
            _ if quoted => {
                if let (Some(last), true) = (captured.last_mut(), letter != '}') {
                    last.push(letter);
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if !quoted {
            parts.last_mut().unwrap().push(letter);
        }
    }
    // After a capture comes text up to the next: only its first word is the name.
    let name = |text: String| {
        text.split([':', ' ', '.', ',', ';', '"'])
            .next()
            .unwrap_or("")
            .to_owned()
    };
    parts.extend(captured.into_iter().map(name));
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

/// What is wrong with a macro.
fn faults(text: &str) -> Vec<String> {
    let field = Regex::new(&format!(r"^[%?&*]*(?:{PERSONAL})\s*(?:=|$)")).unwrap();
    let made_of = Regex::new(&format!(r"\b(?:{PERSONAL})\b\s*(?:\(\)|$|[.),?\]])")).unwrap();
    arguments(text)
        .into_iter()
        .filter(|argument| !argument.starts_with("target:") && !argument.contains("Pii::"))
        // Of a message, `MessageLine` says what may be shown.
        .filter(|argument| !argument.contains("MessageLine(") && !HARMLESS.contains(&argument.as_str()))
        .filter(|argument| {
            let value = argument
                .split_once('=')
                .map_or(argument.as_str(), |(_, value)| value.trim());
            let debugged = value.starts_with('?');
            // `{:?}` of a text is a capture of nothing.
            debugged || field.is_match(argument) || made_of.is_match(value)
        })
        .collect()
}

#[test]
fn what_identifies_a_person_is_logged_through_pii_only() {
    let mut files = Vec::new();
    for folder in ["host/src", "host/sip/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let (mut seen, mut found) = (0, Vec::new());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        assert!(
            !source.contains("#[instrument") && !source.contains("tracing::instrument"),
            "{shown}: `instrument` logs every argument of a function as it is"
        );
        for one in macros(&source, &shown) {
            seen += 1;
            found.extend(
                faults(&one.text)
                    .into_iter()
                    .map(|fault| format!("{}: {fault}", one.place)),
            );
        }
    }
    assert!(seen > 80, "the scanner finds the macros: {seen}");
    assert!(
        found.is_empty(),
        "these may identify a person: wrap them in crate::pii::Pii, give them another name, or put them into HARMLESS\n{}",
        found.join("\n")
    );
}

#[test]
fn the_scanner_sees_what_it_should() {
    for wrong in [
        "call = id, user, \"404\"",
        "user = call.user(), \"x\"",
        "%uri, \"x\"",
        "number = leg.ani(), \"x\"",
        "call = id, \"no way to {uri}\"",
        "call = id, \"no way to {uri:?} (really)\"",
        "\"no way to {}\", request.uri",
        "\"got {}\", lossy(&message.body())",
        "to = %target, \"x\"",
        "who = ?call, \"x\"",
        "?call, \"x\"",
        "digits = digits.as_str(), \"x\"",
        "\"pressed {digit}\"",
    ] {
        assert!(!faults(wrong).is_empty(), "{wrong}");
    }
    for right in [
        "target: \"flow\", \"{line}\"",
        "user = Pii::number(&user).shown(), \"404: to nobody\"",
        "error = %Pii::text(&error.to_string()), \"from, to, uri, digits\"",
        "tenant = &*context.tenant, refused, \"503: {limit} reached\"",
        "back_to = back, serving, \"x\"",
        "session = id, ?grace, \"x\"",
    ] {
        assert_eq!(faults(right), Vec::<String>::new(), "{right}");
    }
    let source = "// tracing::info!(user, \"no\")\nfn f() { tracing::info!(a = f(\")\"), \"b)\"); info!(c) }";
    let found: Vec<String> = macros(source, "f").into_iter().map(|one| one.text).collect();
    assert_eq!(found, ["a = f(\")\"), \"b)\"", "c"]);
}
