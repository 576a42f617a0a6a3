//! The state × method table of `wit/leg-semantics.md`, read from the file itself: who changes the table changes the test.

use callbox::call::CallState;

const FILE: &str = include_str!("../../../wit/leg-semantics.md");

/// What one method does in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// It does its work and the state stays.
    Ok,
    /// It does its work and the leg is then in one of these.
    To(Vec<CallState>),
    /// `ok`, and nothing happens.
    Nop,
    /// `wrong-state`, nothing sent.
    WrongState,
    /// Rule 2 of the file.
    Ended,
}

/// One method in all states.
#[derive(Debug)]
pub struct Row {
    /// As the file names it, without the quotes: `progress with a body`.
    pub method: String,
    /// State by its short name, and what happens.
    pub cells: Vec<(String, Cell)>,
}

/// Reads the table of states and methods.
pub fn rows() -> Vec<Row> {
    let (states, lines) = table("## State × method");
    lines
        .into_iter()
        .map(|line| {
            let mut cells = line.iter();
            let method = cells.next().unwrap().replace('`', "");
            let cells = states[1..]
                .iter()
                .cloned()
                .zip(cells.map(|it| cell(it)))
                .collect();
            Row { method, cells }
        })
        .collect()
}

/// The states, by their short names.
pub fn states() -> Vec<String> {
    table("## State × method").0.split_off(1)
}

/// The first column of another table, and its second one where the first is not a name by itself.
pub fn names(heading: &str, columns: usize) -> Vec<String> {
    let (_, lines) = table(heading);
    lines
        .into_iter()
        .map(|line| line[..columns].join(" | ").replace('`', ""))
        .collect()
}

/// The header and the lines of the first table under a heading.
fn table(heading: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let section = FILE.split(heading).nth(1).expect("the section is there");
    let mut lines = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(split);
    let header = lines.next().expect("a header");
    let rule = lines.next().expect("a rule");
    assert!(rule.iter().all(|cell| cell.chars().all(|c| c == '-')), "{rule:?}");
    let lines: Vec<_> = lines.collect();
    assert!(lines.iter().all(|line| line.len() == header.len()), "{lines:?}");
    (header, lines)
}

fn split(line: &str) -> Vec<String> {
    line.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn cell(text: &str) -> Cell {
    match text {
        "ok" | "ok (the info)" => Cell::Ok,
        "nop" => Cell::Nop,
        "-" => Cell::WrongState,
        "ended" => Cell::Ended,
        _ => {
            let states = text
                .strip_prefix("→ ")
                .expect("a cell of a kind that the file explains");
            Cell::To(states.split(" or ").map(state).collect())
        }
    }
}

fn state(name: &str) -> CallState {
    match name {
        "idle" => CallState::Idle,
        "ringing-out" => CallState::RingingOut,
        "ringing-in" => CallState::RingingIn,
        "early" => CallState::Early,
        "offered-by-remote" => CallState::OfferedByRemote,
        "connected" => CallState::Connected,
        "reoffering" => CallState::Reoffering,
        "held" => CallState::Held,
        "terminated" => CallState::Terminated,
        other => panic!("no state {other}"),
    }
}
