//! `serve --user`: what is left of root when calls come, and what works without it. Needs root; skipped without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use callbox_tests::cli;
use callbox_tests::flows;
use callbox_tests::phone::Phone;
use callbox_tests::process::Running;
use callbox_tests::server::Setup;
use tempfile::TempDir;

/// No such user is in any list, so no file of this machine is theirs.
const UID: u32 = 61_234;
const GID: u32 = 61_235;
/// Only root can bind it.
const PORT: u16 = 606;
const SOON: Duration = Duration::from_secs(60);

fn is_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        println!("skipped: only root can become another user");
    }
    root
}

/// A folder of the user's with a program, a flow and a configuration that the user can read.
struct Home {
    folder: TempDir,
    address: SocketAddr,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (from, to) in [
            (cli::binary(), "callbox"),
            (flows::example("hello"), "hello.wasm"),
            (flows::example("busy"), "busy.wasm"),
        ] {
            fs::copy(from, folder.path().join(to)).unwrap();
        }
        let setup = Setup::new();
        let address = SocketAddr::new(setup.address().ip(), PORT);
        let flow = folder.path().join("hello.wasm");
        setup
            .listen(&format!("udp:{address}"))
            .listen(&format!("tcp:{address}"))
            .tenant_flow("house", "1", &flow, "")
            .write(folder.path());
        // To be read by all, and written by root alone.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, address }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, user: &str) -> Command {
        let mut command = Command::new(self.path("callbox"));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        command
            .args(["serve", "--user", user, "--config"])
            .arg(self.path("callbox.toml"))
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + SOON;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no `{text}` in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As an operator asks, who is root.
    fn ask(&self, arguments: &[&str]) -> cli::Said {
        let config = self.path("callbox.toml");
        let said = cli::run(
            arguments
                .iter()
                .copied()
                .chain(["--config", config.to_str().unwrap()]),
        );
        assert_eq!(said.code, Some(0), "{said:#?}\n{}", self.log());
        said
    }

    fn refused(&self, user: &str) -> (Option<i32>, String) {
        let mut host = Running::start(&mut self.command(user)).unwrap();
        let ended = host.wait(SOON).expect("it does not serve");
        (ended.code(), self.log())
    }
}

/// The words of a line of a status file.
fn words(status: &str, key: &str) -> Vec<String> {
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

fn assert_dropped(pid: u32) {
    assert_is(pid, UID, GID, &[GID.to_string()]);
}

/// Every thread is this user with these groups, and root in nothing.
fn assert_is(pid: u32, uid: u32, gid: u32, groups: &[String]) {
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            continue;
        };
        threads += 1;
        assert_eq!(words(&status, "Uid:"), vec![uid.to_string(); 4], "{status}");
        assert_eq!(words(&status, "Gid:"), vec![gid.to_string(); 4], "{status}");
        let mut own = words(&status, "Groups:");
        own.sort();
        assert_eq!(own, groups, "{status}");
        assert_eq!(words(&status, "NoNewPrivs:"), ["1"], "{status}");
        for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(words(&status, set), ["0000000000000000"], "{status}");
        }
    }
    assert!(threads > 3, "{threads} threads");
}

fn owner(path: &Path) -> (u32, u32, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o777)
}

#[test]
fn nothing_of_root_is_left_and_all_works_without_it() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let mut host = Running::start(&mut home.command(&format!("{UID}:{GID}"))).unwrap();
    home.wait_for("ready: ");
    assert_dropped(host.pid());
    for folder in [".callbox", "cache"] {
        assert_eq!(owner(&home.path(folder)), (UID, GID, 0o700), "{folder}");
    }
    assert_eq!(owner(&home.path(".callbox/admin.sock")), (UID, GID, 0o600));

    // A call, on a port that only root can bind.
    let mut phone = Phone::udp(home.address);
    let mut call = phone.connect("1");
    phone.hang_up(&mut call);

    // The admin API, a reload with a flow to compile, a deploy.
    assert!(home.ask(&["status"]).out.contains("house/1"));
    let config = fs::read_to_string(home.path("callbox.toml")).unwrap();
    let busy = home.path("busy.wasm");
    let more = format!(
        "\n[[tenant]]\nname = \"new\"\nflow.f.file = {busy:?}\n[[route]]\nnumber = \"2\"\ntenant = \"new\"\nflow = \"f\"\n"
    );
    fs::write(home.path("callbox.toml"), config + &more).unwrap();
    home.ask(&["reload"]);
    home.ask(&["deploy", "house/1", busy.to_str().unwrap()]);
    for number in ["1", "2"] {
        let call = phone.invite(number);
        let answer = phone.final_response(&call, "INVITE");
        assert!(answer.start_line().contains(" 486 "), "{answer:?}");
    }
    // Threads that came since then too.
    assert_dropped(host.pid());
    host.terminate();
    assert_eq!(
        host.wait(SOON).and_then(|it| it.code()),
        Some(0),
        "{}",
        home.log()
    );

    // What it has left is its own, so it starts again.
    let mut host = Running::start(&mut home.command(&format!("{UID}:{GID}"))).unwrap();
    let deadline = Instant::now() + SOON;
    while home.log().matches("ready: ").count() < 2 {
        assert!(Instant::now() < deadline, "{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    host.terminate();
    assert_eq!(host.wait(SOON).and_then(|it| it.code()), Some(0));
}

/// What `id` says of a user, sorted.
fn ids(option: &str, user: &str) -> Vec<String> {
    let said = Command::new("id").args([option, "--", user]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let mut ids: Vec<String> = String::from_utf8(said.stdout)
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    ids.sort();
    ids
}

/// A user of this machine, not root and not of its group, who is in further groups than their own.
fn one_of_many_groups() -> Option<String> {
    let groups = fs::read_to_string("/etc/group").unwrap();
    let members = groups.lines().filter_map(|line| line.rsplit(':').next());
    let fits = |user: &&str| {
        let known = Command::new("id").args(["--", user]).output().unwrap();
        if user.is_empty() || !known.status.success() {
            return false;
        }
        let all = ids("-G", user);
        all.len() > 1 && !all.contains(&"0".to_owned()) && ids("-u", user) != ["0"]
    };
    let found = members.flat_map(|names| names.split(',')).find(fits);
    found.map(str::to_owned)
}

#[test]
fn a_user_that_is_named_has_its_own_groups_and_no_others() {
    if !is_root() {
        return;
    }
    // Known on every Linux, in a group of their own alone; and one of more groups, where there is one.
    let mut users = vec!["nobody".to_owned()];
    users.extend(one_of_many_groups());
    for user in users {
        let number = |option: &str| ids(option, &user)[0].parse::<u32>().unwrap();
        let (uid, gid, groups) = (number("-u"), number("-g"), ids("-G", &user));
        let home = Home::new();
        let mut host = Running::start(&mut home.command(&user)).unwrap();
        home.wait_for("ready: ");
        assert_is(host.pid(), uid, gid, &groups);
        assert_eq!(owner(&home.path(".callbox")), (uid, gid, 0o700), "{user}");
        let mut phone = Phone::udp(home.address);
        let mut call = phone.connect("1");
        phone.hang_up(&mut call);
        assert!(home.ask(&["status"]).out.contains("house/1"));
        host.terminate();
        assert_eq!(
            host.wait(SOON).and_then(|it| it.code()),
            Some(0),
            "{}",
            home.log()
        );
    }

    // Another group instead of their own stands beside those that the list gives them.
    let home = Home::new();
    let mut host = Running::start(&mut home.command(&format!("nobody:{GID}"))).unwrap();
    home.wait_for("ready: ");
    let mut groups = ids("-G", "nobody");
    groups.retain(|group| *group != ids("-g", "nobody")[0]);
    groups.push(GID.to_string());
    groups.sort();
    assert_is(host.pid(), ids("-u", "nobody")[0].parse().unwrap(), GID, &groups);
    host.terminate();
    assert_eq!(host.wait(SOON).and_then(|it| it.code()), Some(0));
}

#[test]
fn a_folder_of_somebody_else_is_refused_with_the_line_to_run() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let state = home.path(".callbox");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let (code, log) = home.refused(&format!("{UID}:{GID}"));
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains(&format!("chown -R {UID}:{GID} {}", state.display())),
        "{log}"
    );
    assert_eq!(owner(&state).0, 0, "root gives nothing away that was there");

    // A file that an earlier run as root has left in it.
    fs::write(state.join("records.sqlite"), "").unwrap();
    chown(&state, Some(UID), Some(GID)).unwrap();
    let (code, log) = home.refused(&format!("{UID}:{GID}"));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("records.sqlite belongs to user 0"), "{log}");
}

#[test]
fn who_cannot_be_become_is_said_before_anything_is_served() {
    if !is_root() {
        return;
    }
    for (user, said) in [
        ("no-such-user-here", "there is no such user"),
        ("61234", "write 61234:GROUP"),
        ("0:61235", "nothing would be dropped"),
    ] {
        let home = Home::new();
        let (code, log) = home.refused(user);
        assert_eq!(code, Some(2), "{user}: {log}");
        assert!(log.contains(said), "{user}: {log}");
        assert!(!log.contains("listening on"), "{log}");
    }
}
