//! Versions of a flow over real SIP: what takes a call, what never does, and what a restart remembers.
//!
//! Versions are told apart by what they answer: `busy` says 486, the smallest flow returns without a word (480), `hello` takes the
//! call (200), one that traps at once leaves 500.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callbox_tests::phone::Phone;
use callbox_tests::process::Running;
use callbox_tests::server::Setup;
use callbox_tests::{cli, flows, hostile};

const SOON: Duration = Duration::from_secs(30);
/// The log line of a version that serves from now on.
const TAKEN: &str = "new version flow=";

/// A host that can be started again in the same folder.
struct Host {
    folder: tempfile::TempDir,
    config: PathBuf,
    address: SocketAddr,
    running: Option<Running>,
    starts: usize,
}

impl Host {
    /// With one flow, `acme/ivr`, whose file is `ivr.wasm`, as it is at first.
    fn start(first: &Path, limits: &[(&str, u64)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let drop = folder.path().join("flows");
        fs::create_dir(&drop).unwrap();
        fs::copy(first, drop.join("ivr.wasm")).unwrap();
        let mut setup = Setup::new().tenant_flow("acme", "ivr", &drop.join("ivr.wasm"), "");
        for (key, value) in limits {
            setup = setup.limit("limits.versions", key, *value);
        }
        let mut host = Self {
            config: setup.write(folder.path()),
            address: setup.address(),
            folder,
            running: None,
            starts: 0,
        };
        host.run();
        // Log lines come in batches, and this one may come after `ready:`.
        host.wait_for_log(TAKEN, 1);
        host
    }

    fn run(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = cli::command();
        command.arg("serve").arg("--config").arg(&self.config);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.running = Some(Running::start(&mut command).unwrap());
        self.starts += 1;
        self.wait_for_log("ready:", self.starts);
    }

    fn stop(&mut self, signal: &str) {
        let mut running = self.running.take().unwrap();
        running.signal(signal);
        running.wait(SOON).expect("it ends");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the log says it so many times.
    fn wait_for_log(&self, text: &str, times: usize) {
        let deadline = Instant::now() + SOON;
        while self.log().matches(text).count() < times {
            assert!(
                Instant::now() < deadline,
                "no {text:?} ({times}) in:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("flows/ivr.wasm")
    }

    /// Replaces the flow's file as a careful person would.
    fn drop_file(&self, from: &Path) {
        let beside = self.file().with_extension("new");
        fs::copy(from, &beside).unwrap();
        fs::rename(&beside, self.file()).unwrap();
    }

    /// The same, and waits until it serves.
    fn replace(&self, from: &Path) {
        let before = self.log().matches(TAKEN).count();
        self.drop_file(from);
        self.wait_for_log(TAKEN, before + 1);
    }

    /// What a call is answered with; one that is taken is hung up.
    fn answer(&self) -> u16 {
        let mut phone = Phone::udp(self.address);
        let mut call = phone.invite("ivr");
        let response = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &response);
        let status = response.status().unwrap();
        if status < 300 {
            phone.hang_up(&mut call);
        }
        status
    }
}

fn smallest() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = flows::smallest(folder.path());
    (folder, file)
}

#[test]
fn a_new_file_takes_the_next_call_and_a_live_call_ends_on_the_old_one() {
    let host = Host::start(&flows::example("hello"), &[]);
    let mut phone = Phone::udp(host.address);
    let mut live = phone.connect("ivr");
    host.replace(&flows::example("busy"));
    assert_eq!(host.answer(), 486);
    phone.hang_up(&mut live);
    host.replace(&flows::example("hello"));
    assert_eq!(host.answer(), 200);
}

#[test]
fn what_is_broken_or_half_written_never_takes_a_call() {
    let host = Host::start(&flows::example("busy"), &[]);
    let folder = tempfile::tempdir().unwrap();
    for (count, broken) in flows::Broken::ALL.into_iter().enumerate() {
        host.drop_file(&broken.write(folder.path()));
        host.wait_for_log("is not taken", count + 1);
        assert_eq!(host.answer(), 486, "{broken:?}");
    }
    // One that traps on a virtual call does not get a real one.
    let (_traps, traps) = hostile::traps();
    host.drop_file(&traps);
    host.wait_for_log("on a virtual call it panicked", 1);
    assert_eq!(host.answer(), 486);
    // Written in place, slowly: it is taken once, and whole.
    let before = host.log().matches("is not taken").count();
    let whole = fs::read(flows::example("hello")).unwrap();
    for end in 1..=10 {
        fs::write(host.file(), &whole[..whole.len() * end / 10]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        if end < 10 {
            assert_eq!(host.answer(), 486);
        }
    }
    host.wait_for_log(TAKEN, 2);
    assert_eq!(host.answer(), 200);
    let after = host.log().matches("is not taken").count();
    assert!(
        after <= before + 1,
        "half a file was tried again and again:\n{}",
        host.log()
    );
    // Gone is not broken.
    fs::remove_file(host.file()).unwrap();
    host.wait_for_log("is not there", 1);
    assert_eq!(host.answer(), 200);
    host.replace(&flows::example("busy"));
    assert_eq!(host.answer(), 486);
}

#[test]
fn a_link_that_leads_elsewhere_and_a_folder_that_comes_back_are_new_files() {
    let host = Host::start(&flows::example("busy"), &[]);
    let flows_folder = host.file().parent().unwrap().to_owned();
    // As Kubernetes mounts a volume: the file is a link into `..data`, which is a link that is replaced.
    for (name, flow) in [("..one", "hello"), ("..two", "busy")] {
        fs::create_dir(flows_folder.join(name)).unwrap();
        fs::copy(flows::example(flow), flows_folder.join(name).join("ivr.wasm")).unwrap();
    }
    symlink("..one", flows_folder.join("..data")).unwrap();
    fs::remove_file(host.file()).unwrap();
    symlink("..data/ivr.wasm", host.file()).unwrap();
    host.wait_for_log(TAKEN, 2);
    assert_eq!(host.answer(), 200);
    symlink("..two", flows_folder.join("..tmp")).unwrap();
    fs::rename(flows_folder.join("..tmp"), flows_folder.join("..data")).unwrap();
    host.wait_for_log(TAKEN, 3);
    assert_eq!(host.answer(), 486);
    let away = flows_folder.with_extension("away");
    fs::rename(&flows_folder, &away).unwrap();
    host.wait_for_log("is not there", 1);
    assert_eq!(host.answer(), 486);
    fs::create_dir(&flows_folder).unwrap();
    fs::copy(flows::example("hello"), host.file()).unwrap();
    host.wait_for_log(TAKEN, 4);
    assert_eq!(host.answer(), 200);
}

#[test]
fn a_restart_keeps_what_served_and_takes_what_changed_meanwhile() {
    let mut host = Host::start(&flows::example("busy"), &[]);
    host.replace(&flows::example("hello"));
    host.stop("KILL");
    host.run();
    assert_eq!(host.answer(), 200);
    assert_eq!(host.log().matches(TAKEN).count(), 2, "{}", host.log());
    host.stop("TERM");
    // Its own file is gone: what was kept serves.
    let file = fs::read(host.file()).unwrap();
    fs::remove_file(host.file()).unwrap();
    host.run();
    assert_eq!(host.answer(), 200);
    host.stop("TERM");
    // A file that is broken is not taken, one that is new is.
    fs::write(host.file(), &file[..file.len() / 2]).unwrap();
    host.run();
    assert_eq!(host.answer(), 200);
    host.stop("TERM");
    host.drop_file(&flows::example("busy"));
    host.run();
    assert_eq!(host.answer(), 486);
    host.stop("TERM");
    // What is kept was damaged: the flow's own file serves.
    let kept = host.folder.path().join(".callbox/versions/acme/ivr");
    fs::write(kept.join("index.json"), "{").unwrap();
    host.run();
    assert_eq!(host.answer(), 486);
    assert!(kept.join("index.json.unusable").is_file());
}

#[test]
fn a_version_that_traps_in_its_first_calls_gives_way_by_itself() {
    let limits = [("smoke_ms", 0), ("breaker_calls", 10), ("breaker_traps", 3)];
    let (_traps, traps) = hostile::traps();
    let host = Host::start(&flows::example("busy"), &limits);
    host.replace(&traps);
    for _ in 0..3 {
        assert_eq!(host.answer(), 500);
    }
    host.wait_for_log("rolled back by itself", 1);
    assert_eq!(host.answer(), 486);
    // The same bytes are not taken again, others are.
    host.replace(&flows::example("hello"));
    assert_eq!(host.answer(), 200);
    host.drop_file(&traps);
    host.wait_for_log("was taken out of service", 1);
    assert_eq!(host.answer(), 200);
}

#[test]
fn without_a_version_before_it_the_circuit_opens_and_is_tried_again() {
    let limits = [("breaker_calls", 10), ("breaker_traps", 3), ("breaker_open_s", 2)];
    let (_traps, traps) = hostile::traps();
    let host = Host::start(&traps, &limits);
    for _ in 0..3 {
        assert_eq!(host.answer(), 500);
    }
    host.wait_for_log("there is no version before it", 1);
    let ran = |host: &Host| host.log().matches("the flow panicked").count();
    for _ in 0..5 {
        assert_eq!(host.answer(), 500);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ran(&host), 3, "no instance while it is open");
    std::thread::sleep(Duration::from_millis(2_000));
    for _ in 0..5 {
        assert_eq!(host.answer(), 500);
    }
    host.wait_for_log("the flow panicked", 4);
    assert_eq!(ran(&host), 4, "one call was let through");
    let (_folder, file) = smallest();
    host.replace(&file);
    assert_eq!(host.answer(), 480);
}

#[test]
fn an_operator_deploys_tries_promotes_and_goes_back() {
    let host = Host::start(&flows::example("busy"), &[]);
    let config = host.config.to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--config", &config]);
        cli::run(all)
    };
    let hello = flows::example("hello");
    let hello = hello.to_str().unwrap();
    // A share of the calls, the same calls each time.
    let said = run(&["deploy", "acme/ivr", hello, "--canary", "30%"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let answers: Vec<u16> = (0..400).map(|_| host.answer()).collect();
    let canary = answers.iter().filter(|answer| **answer == 200).count();
    assert!((70..=170).contains(&canary), "{canary} of 400 for 30 %");
    assert!(answers.iter().all(|answer| [200, 486].contains(answer)));
    let said = run(&["versions", "acme/ivr"]);
    assert!(
        said.out.contains("canary") && said.out.contains("30 % of new calls"),
        "{said:#?}"
    );
    // Given up, and then for all.
    assert_eq!(run(&["rollback", "acme/ivr"]).code, Some(0));
    assert!((0..20).all(|_| host.answer() == 486));
    assert_eq!(run(&["deploy", "acme/ivr", hello, "--pin", "ivr"]).code, Some(0));
    assert_eq!(host.answer(), 200, "pinned by its number");
    assert_eq!(run(&["rollback", "acme/ivr", "--pin", "ivr"]).code, Some(0));
    assert_eq!(host.answer(), 486);
    assert_eq!(run(&["promote", "acme/ivr", "--version", "3"]).code, Some(0));
    assert_eq!(host.answer(), 200);
    assert_eq!(run(&["rollback", "acme/ivr"]).code, Some(0));
    assert_eq!(host.answer(), 486);
    // What is wrong is said, and is no success.
    let (_traps, traps) = hostile::traps();
    let said = run(&["deploy", "acme/ivr", traps.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("on a virtual call it panicked"), "{said:#?}");
    assert!(run(&["versions", "acme/ivr"]).out.contains("on a virtual call"));
    assert_eq!(run(&["deploy", "acme/nobody", hello]).code, Some(1));
    assert_eq!(run(&["deploy", "acme/ivr", "/nonexistent"]).code, Some(2));
    assert_eq!(run(&["promote", "acme/ivr"]).code, Some(1));
    assert_eq!(host.answer(), 486);
}

/// What it says is what calls then get.
#[test]
fn route_test_asks_the_host_which_version_answers() {
    let host = Host::start(&flows::example("busy"), &[("smoke_ms", 0), ("breaker_traps", 1)]);
    let config = host.config.to_str().unwrap();
    let run = |arguments: &[&str]| cli::run([arguments, &["--config", config]].concat());
    let ask = |more: &[&str]| {
        let said = run(&[&["route-test", "--live", "--source", "127.0.0.1"], more].concat());
        assert!(said.err.is_empty(), "{said:?}");
        (said.code, said.out)
    };
    let (code, out) = ask(&["--to", "sip:ivr@house.example"]);
    assert_eq!(code, Some(0), "{out}");
    for part in [
        "a call to \"ivr\" at house.example, from 127.0.0.1",
        "callbox.toml:",
        ": ivr: yes",
        "(number 1): all calls",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out) = ask(&["--to", "nobody"]);
    assert!(
        code == Some(1) && out.contains("nobody: no route takes it"),
        "{out}"
    );

    // The flow's file is the first version still: without --live that one would be named.
    let hello = flows::example("hello");
    let hello = hello.to_str().unwrap();
    assert_eq!(
        run(&["deploy", "acme/ivr", hello, "--canary", "30%"]).code,
        Some(0)
    );
    let (_, out) = ask(&["--to", "ivr"]);
    assert!(
        out.contains("(number 2): 30 % of the calls\n") && out.contains("(number 1): the others\n"),
        "{out}"
    );
    // Who calls decides, too.
    let pinned = run(&["deploy", "acme/ivr", hello, "--pin", "from:+49891"]);
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    let (_, out) = ask(&["--to", "ivr", "--from", "sip:+49891@carrier.example"]);
    assert!(
        out.contains("(number 3): pinned to this number\n") && !out.contains("(number 1)"),
        "{out}"
    );
    let (_, out) = ask(&["--to", "ivr", "--from", "+49892"]);
    assert!(!out.contains("(number 3)"), "{out}");
    assert_eq!(run(&["promote", "acme/ivr", "--version", "2"]).code, Some(0));
    let (_, out) = ask(&["--to", "ivr"]);
    assert!(out.contains("(number 2): all calls\n"), "{out}");
    assert_eq!(host.answer(), 200);

    let wrong = run(&["route-test", "--live", "--source", "127.0.0.1", "--to", "a@b"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert_eq!(run(&["drain"]).code, Some(0));
    let (_, out) = ask(&["--to", "ivr"]);
    assert!(out.contains("takes no new calls at the moment"), "{out}");
}
