//! baresip as a peer: a telephone with a mind of its own, told what to do over its control socket.
//!
//! Entry type: [`Baresip`]. It has an address of its own, a temporary folder for its files, no audio device, and answers
//! calls by itself unless told not to. Its trace of messages is shown when the test is failing.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use tempfile::TempDir;

use crate::net;
use crate::process::{Running, find};
use crate::tls::Authority;

/// How long it may take to start; it needs a tenth of a second on an idle machine.
const START: Duration = Duration::from_secs(30);
/// How long a command may take, and an event that is due at once.
const SOON: Duration = Duration::from_secs(15);

const CONFIGURATION: &str = include_str!("../peers/baresip.conf");
const MISSING: &str = "baresip is not installed (Debian: baresip-core); `make peers` installs it when it may";

/// Something that happened to baresip.
#[derive(Debug, Clone)]
pub struct Event {
    /// `CALL_ESTABLISHED`, `CALL_CLOSED`, `TRANSFER` …
    pub kind: String,
    /// The URI of the other end.
    pub peer: String,
    /// What there is to say: a reason, a target.
    pub detail: String,
}

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    _running: Running,
    folder: TempDir,
    address: Ipv4Addr,
    user: String,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<Event>,
}

impl Baresip {
    /// A telephone of this user that answers every call.
    pub fn start(user: &str) -> Self {
        Self::with(user, "answermode=auto")
    }

    /// A telephone of this user with parameters of its account, such as `answermode=manual`.
    pub fn with(user: &str, account: &str) -> Self {
        let address = net::fresh_ipv4();
        let line = format!("<sip:{user}@{address}>;regint=0;{account}\n");
        Self::run(user, address, &line, "")
    }

    /// A telephone of this user that answers every call, has a certificate for its address, and believes this authority
    /// alone.
    pub fn secure(user: &str, authority: &Authority) -> Self {
        let address = net::fresh_ipv4();
        let own = authority.sign(&format!("baresip-{address}"), &address.to_string());
        let line = format!("<sip:{user}@{address};transport=tls>;regint=0;answermode=auto\n");
        let tls = format!(
            "sip_certificate {}\nsip_cafile {}\n",
            own.both.display(),
            authority.file().display()
        );
        Self::run(user, address, &line, &tls)
    }

    /// A telephone that registers there, answers every call, and calls through there.
    pub fn registered(user: &str, password: &str, registrar: SocketAddr) -> Self {
        let address = net::fresh_ipv4();
        let line = format!("<sip:{user}@{registrar}>;auth_pass={password};regint=60;answermode=auto\n");
        Self::run(user, address, &line, "")
    }

    fn run(user: &str, address: Ipv4Addr, account: &str, tls: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let modules = modules().expect(MISSING);
        let text = CONFIGURATION
            .replace("[[ADDRESS]]", &address.to_string())
            .replace("[[TLS]]", tls)
            .replace("[[MODULES]]", &modules.display().to_string());
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file in a temporary folder");
        };
        write("config", &text);
        write("accounts", account);
        write("contacts", "");
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let mut command = Command::new(find("baresip").expect(MISSING));
        command
            .arg("-f")
            .arg(folder.path())
            // Verbose, with a trace of all SIP messages.
            .args(["-v", "-s"])
            .env("HOME", folder.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let mut running = Running::start(&mut command).expect("baresip starts");
        let deadline = Instant::now() + START;
        let control = loop {
            if let Ok(control) = TcpStream::connect((address, 4444)) {
                break control;
            }
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            if let Some(status) = running.ended() {
                panic!("baresip ended with {status} instead of starting:\n{log}");
            }
            assert!(
                Instant::now() < deadline,
                "baresip did not start within {START:?}:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut baresip = Self {
            _running: running,
            folder,
            address,
            user: user.to_owned(),
            control,
            unread: Vec::new(),
            events: Vec::new(),
        };
        // It listens for commands a moment before it is ready for calls.
        baresip.command("reginfo", "");
        baresip
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 5060))
    }

    /// What to call to reach it.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.address())
    }

    /// What to call to reach it by TLS.
    pub fn secure_uri(&self) -> String {
        format!("sip:{}@{}:5061;transport=tls", self.user, self.address)
    }

    /// Calls somebody.
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Takes the call that rings.
    pub fn accept(&mut self) {
        self.command("accept", "");
    }

    /// Ends the call, or declines the one that rings.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Puts the other end on hold.
    pub fn hold(&mut self) {
        self.command("hold", "");
    }

    /// Takes the other end back.
    pub fn resume(&mut self) {
        self.command("resume", "");
    }

    /// Asks the other end to call somebody else (REFER).
    pub fn transfer(&mut self, uri: &str) {
        self.command("transfer", uri);
    }

    /// The calls that are up, as it lists them.
    pub fn calls(&mut self) -> String {
        self.command("listcalls", "")
    }

    /// Waits until the other end's sound arrives: half a second of it (RTP packets of 20 ms). It says something itself
    /// only in the first call of its life, which is the one that gets its device.
    pub fn wait_for_sound(&mut self) {
        let deadline = Instant::now() + SOON;
        let received = Regex::new(r"rcvd=(\d+)").expect("a pattern");
        loop {
            let report = self.command("audio_debug", "");
            let received = received.captures(&report);
            if received.is_some_and(|it| it[1].parse().is_ok_and(|packets: u32| packets >= 25)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} hears nothing:\n{report}",
                self.user
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs one of its commands and returns what it says.
    pub fn command(&mut self, name: &str, parameter: &str) -> String {
        let text = format!("{{\"command\":\"{name}\",\"params\":\"{parameter}\",\"token\":\"{name}\"}}");
        let sent = self
            .control
            .write_all(format!("{}:{text},", text.len()).as_bytes());
        sent.expect("baresip takes a command");
        let deadline = Instant::now() + SOON;
        loop {
            let Some(message) = self.read(deadline) else {
                panic!("baresip did not answer to {name} within {SOON:?}");
            };
            if message.contains("\"response\":true") && field(&message, "token") == name {
                assert!(message.contains("\"ok\":true"), "{name} {parameter}: {message}");
                return field(&message, "data");
            }
        }
    }

    /// Waits for an event whose kind is this one and whose peer or detail holds this text. What came before it is
    /// forgotten.
    pub fn wait_for(&mut self, kind: &str, text: &str) -> Event {
        let deadline = Instant::now() + SOON;
        loop {
            let found = self
                .events
                .iter()
                .position(|it| it.kind == kind && (it.peer.contains(text) || it.detail.contains(text)));
            if let Some(at) = found {
                return self.events.drain(..=at).next_back().expect("it was found");
            }
            if self.read(deadline).is_none() {
                panic!(
                    "{} has no event {kind} with {text:?} after {SOON:?}, only {:#?}",
                    self.user, self.events
                );
            }
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until its log holds this text.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + SOON;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{} logged no {text:?}", self.user);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The next message of its control socket; events are kept as well.
    fn read(&mut self, deadline: Instant) -> Option<String> {
        loop {
            if let Some(message) = netstring(&mut self.unread) {
                if message.contains("\"event\":true") {
                    self.events.push(Event {
                        kind: field(&message, "type"),
                        peer: field(&message, "peeruri"),
                        detail: field(&message, "param"),
                    });
                }
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.control.set_read_timeout(Some(left)).expect("a time-out");
            let mut buffer = [0; 8_192];
            match self.control.read(&mut buffer) {
                Ok(0) => panic!("baresip is gone"),
                Ok(size) => self.unread.extend_from_slice(&buffer[..size]),
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("CALLBOX_TEST_LOG").is_some() {
            eprintln!("---- log of baresip, {} ----\n{}\n----", self.uri(), self.log());
        }
    }
}

/// Takes a whole netstring, `LENGTH:TEXT,`, from the front of what was read.
fn netstring(unread: &mut Vec<u8>) -> Option<String> {
    let colon = unread.iter().position(|it| *it == b':')?;
    let length: usize = std::str::from_utf8(&unread[..colon])
        .ok()
        .and_then(|it| it.parse().ok())
        .expect("a netstring begins with its length");
    if unread.len() < colon + 1 + length + 1 {
        return None;
    }
    let text = String::from_utf8_lossy(&unread[colon + 1..colon + 1 + length]).into_owned();
    unread.drain(..colon + 1 + length + 1);
    Some(text)
}

/// The text of a field of a flat JSON object; empty when there is none.
fn field(message: &str, name: &str) -> String {
    let pattern = format!(r#""{name}":"((?:[^"\\]|\\.)*)""#);
    let found = Regex::new(&pattern).expect("a pattern").captures(message);
    let raw = found.map(|it| it[1].to_owned()).unwrap_or_default();
    raw.replace("\\/", "/")
        .replace("\\n", "\n")
        .replace("\\\"", "\"")
        .replace("\\\\", "\\")
}

/// Where Debian's package has its modules: it differs between its versions.
fn modules() -> Option<PathBuf> {
    let plain = [PathBuf::from("/usr/lib/baresip/modules")];
    let by_machine = fs::read_dir("/usr/lib").ok()?.flatten();
    let by_machine = by_machine.map(|entry| entry.path().join("baresip/modules"));
    plain
        .into_iter()
        .chain(by_machine)
        .find(|it| Path::new(it).join("ctrl_tcp.so").is_file())
}
