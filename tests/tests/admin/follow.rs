//! What an operator follows: the log as it is written, and the messages of a call.

use std::fs::File;
use std::time::{Duration, Instant};

use callbox_tests::admin::Admin;
use callbox_tests::cli;
use callbox_tests::flows;
use callbox_tests::phone::SOON;
use callbox_tests::process::Running;
use callbox_tests::server::{Callbox, Setup};

use super::callbox;

/// A `callbox tail` that runs, and the file that it writes.
struct Tail {
    _running: Running,
    file: std::path::PathBuf,
}

fn tail(server: &Callbox, name: &str, arguments: &[&str]) -> Tail {
    let file = server.folder().join(name);
    let mut command = cli::command();
    command
        .arg("tail")
        .arg("--config")
        .arg(server.folder().join("callbox.toml"))
        .args(arguments)
        .stdout(File::create(&file).unwrap())
        .stderr(File::create(server.folder().join(format!("{name}.err"))).unwrap());
    let running = Running::start(&mut command).unwrap();
    Tail {
        _running: running,
        file,
    }
}

impl Tail {
    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn wait_for(&self, part: &str, longest: Duration) -> String {
        let deadline = Instant::now() + longest;
        loop {
            let text = self.text();
            if text.contains(part) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {part:?} in:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_lines_of_one_tenant_are_followed_and_no_others() {
    let hello = flows::example("hello");
    let server = Setup::new()
        .tenant_flow("acme", "1", &hello, "")
        .tenant_flow("other", "2", &hello, "")
        .limit("limits.admin", "streams_max", 2)
        .start();
    let (all, acme) = (
        tail(&server, "all", &[]),
        tail(&server, "acme", &["--tenant", "acme"]),
    );
    let mut phone = server.phone();
    // They may follow from some call on, not from the first.
    let deadline = Instant::now() + SOON;
    while !(acme.text().contains("is talking to 1") && all.text().contains("is talking to 2")) {
        assert!(Instant::now() < deadline, "{}\n{}", all.text(), acme.text());
        for number in ["1", "2"] {
            let mut call = phone.connect(number);
            phone.hang_up(&mut call);
        }
    }
    assert!(!acme.text().contains("other"), "{}", acme.text());
    assert!(all.wait_for("tenant=\"acme\"", SOON).contains("tenant=\"other\""));
    Admin::of(server.folder())
        .get("/v1/log")
        .assert_problem(429, "limit");
}

#[test]
fn a_call_is_drawn_as_a_ladder_while_it_is_up_and_after() {
    let server = Setup::new().flow("1", "hello").start();
    let mut phone = server.phone();
    let mut call = phone.connect("1");
    let sessions = Admin::of(server.folder()).get("/v1/sessions").body;
    let field = |name: &str| {
        let value = sessions.split(&format!("\"{name}\":\"")).nth(1);
        value.unwrap().split('"').next().unwrap().to_owned()
    };
    let (session, call_id) = (field("id"), field("call_id"));
    let up = callbox(&server, &["ladder", &session]);
    assert_eq!(up.code, Some(0), "{up:#?}");
    phone.hang_up(&mut call);

    let said = callbox(&server, &["ladder", &call_id]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let mut lines = said.out.lines();
    let peer = format!("udp:{}", phone.address());
    assert!(
        lines
            .next()
            .is_some_and(|line| line.contains("callbox") && line.contains(&peer)),
        "{}",
        said.out
    );
    for (label, arrow) in [
        ("INVITE (1)", "|<-"),
        ("180 Ringing (1 INVITE)", "->|"),
        ("200 OK (1 INVITE)", "->|"),
        ("ACK (1)", "|<-"),
        ("BYE (2)", "|<-"),
        ("200 OK (2 BYE)", "->|"),
    ] {
        let found = lines.find(|line| line.contains(label));
        assert!(
            found.is_some_and(|line| line.contains(arrow)),
            "no {label} in its place:\n{}",
            said.out
        );
    }
    let none = callbox(&server, &["ladder", "nobody@nowhere"]);
    assert_eq!(none.code, Some(1), "{none:#?}");
    assert!(none.err.contains("there is no call"), "{}", none.err);
}

#[test]
fn the_limits_in_force_are_told() {
    let server = Setup::new()
        .flow("1", "hello")
        .limit("limits.call", "legs_max", 3)
        .start();
    let limits = Admin::of(server.folder()).get("/v1/limits").body;
    assert!(
        limits.contains("{\"name\":\"limits.call.legs_max\",\"value\":3,\"default\":16,"),
        "{limits}"
    );
}
