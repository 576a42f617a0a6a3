//! `docs/operate.md`, read as a script: every shell block is run, in one shell and in the order of the page, and what
//! the page shows as output must come out.
//!
//! A block ```` ```sh ```` is run; the ```` ```text ```` block after it shows lines of its output, in their order, with `…` for
//! whatever differs from run to run. Blocks marked ```` ```sh setup ```` build callbox, which has been done when tests run: of
//! those the test checks only that the Makefile has what they make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callbox_tests::cli;

/// The whole page, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, Default)]
struct Block {
    line: usize,
    script: String,
    shown: Vec<String>,
}

/// The blocks that run, and the lines of those that build.
fn blocks(page: &str) -> (Vec<Block>, Vec<String>) {
    let (mut run, mut setup) = (Vec::<Block>::new(), Vec::new());
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<String> = lines
            .by_ref()
            .map(|(_, line)| line.to_owned())
            .take_while(|line| line != "```")
            .collect();
        match kind {
            "sh" => run.push(Block {
                line: at + 1,
                script: body.join("\n"),
                shown: Vec::new(),
            }),
            "sh setup" => setup.extend(body),
            "text" => run
                .last_mut()
                .expect("output follows a block that was run")
                .shown
                .extend(body),
            _ => {}
        }
    }
    (run, setup)
}

/// Whether a line of output is the one shown, where `…` stands for anything.
fn is_shown(shown: &str, line: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.trim_end().strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.is_empty() || open && (shown.trim_end().ends_with('…'))
}

fn check(block: &Block, output: &str) {
    let mut lines = output.lines();
    for shown in &block.shown {
        assert!(
            lines.any(|line| is_shown(shown, line)),
            "docs/operate.md, block of line {}: it shows\n  {shown}\nand that did not come, or not in this order. What came:\n{output}",
            block.line
        );
    }
}

#[test]
fn every_command_of_the_operator_s_guide_does_what_the_guide_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let page = fs::read_to_string(root.join("docs/operate.md")).unwrap();
    let (run, setup) = blocks(&page);
    assert!(run.len() > 8, "only {} blocks were found", run.len());
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
    for target in setup.iter().filter_map(|line| line.strip_prefix("make ")) {
        for target in target.split_whitespace() {
            assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
        }
    }

    let home = tempfile::tempdir().unwrap();
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, block) in run.iter().enumerate() {
        let commands = block.script.replace("5060", &port.to_string());
        write!(script, "echo '@@ {number}'\n{commands}\n").unwrap();
    }
    script.push_str("echo '@@ end'\n");
    fs::write(home.path().join("page.sh"), script).unwrap();
    let transcript = home.path().join("transcript");
    let out = File::create(&transcript).unwrap();
    let program = cli::binary();
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let mut shell = Command::new("bash")
        .arg(home.path().join("page.sh"))
        .current_dir(home.path())
        .env("PATH", path)
        .env("HOME", home.path())
        .env("FLOWS", root.join("examples/target/flows"))
        .env_remove("XDG_CACHE_HOME")
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match shell.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    // What the page started in the background, whatever became of the page.
    let group = shell.id().to_string();
    drop(
        Command::new("kill")
            .args(["-KILL", "--", &format!("-{group}")])
            .stderr(Stdio::null())
            .status(),
    );
    drop(shell.wait());
    let transcript = fs::read_to_string(&transcript).unwrap();
    assert!(
        ended.is_some_and(|status| status.success()) && transcript.contains("@@ end"),
        "docs/operate.md, ended {ended:?}:\n{transcript}"
    );
    for (number, block) in run.iter().enumerate() {
        let from = transcript
            .split(&format!("@@ {number}\n"))
            .nth(1)
            .expect("each block began");
        let output = from.split("@@ ").next().unwrap_or_default();
        check(block, &output.replace(&port.to_string(), "5060"));
    }
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    assert!(is_shown("a … c …", "a b c d"));
    assert!(is_shown("a …", "a b"));
    assert!(is_shown("a", "a  "));
    for (shown, line) in [("a", "a b"), ("b", "a b"), ("a … c", "a b d"), ("a … c", "a c d")] {
        assert!(!is_shown(shown, line), "{shown} | {line}");
    }
}
