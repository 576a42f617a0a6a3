//! Kamailio as a peer: registrar, proxy with Record-Route and presence server, on an address of its own.
//!
//! Entry type: [`Kamailio`], made by [`Setup`]. Its configuration is `tests/peers/kamailio.cfg`; everything it writes is in
//! a temporary folder. It is ready when it answers an OPTIONS. All its processes end with the value, and its log is shown
//! when the test is failing.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::phone::Phone;
use crate::process::{self, Running};
use crate::tls::Authority;
use crate::{cli, net};

/// The realm of its challenges, and a domain that is its own.
pub const REALM: &str = "house.example";

/// How long it may take to start; it needs less than a second on an idle machine.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(5);

const MISSING: &str = "Kamailio is not installed (Debian: kamailio, kamailio-presence-modules, kamailio-tls-modules); `make peers` installs it when it may";
const CONFIGURATION: &str = include_str!("../peers/kamailio.cfg");
/// Where Debian's package has the tables of the text database, empty. The presence modules want some.
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";

/// Kamailio to be.
#[derive(Default)]
pub struct Setup {
    users: Vec<(String, String)>,
    parameters: String,
    min_expires: u32,
    authority: Option<Arc<Authority>>,
}

impl Setup {
    /// Knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds somebody who may register, subscribe and call in that name.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Refuses with 423 whoever wants to be registered for less, in seconds.
    pub fn min_expires(mut self, seconds: u32) -> Self {
        self.min_expires = seconds;
        self
    }

    /// Listens by TLS too, with a certificate for its address, and believes nobody whom this authority has not signed for.
    pub fn tls(mut self, authority: &Arc<Authority>) -> Self {
        self.authority = Some(Arc::clone(authority));
        self
    }

    /// Sets a parameter of a module; a value of text brings its quotes.
    pub fn parameter(mut self, module: &str, name: &str, value: &str) -> Self {
        writeln!(self.parameters, "modparam(\"{module}\", \"{name}\", {value})").unwrap();
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Kamailio {
        assert!(
            Path::new(TABLES).is_dir(),
            "Kamailio's tables are not there; {MISSING}"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder
            .path()
            .to_str()
            .expect("a path of plain letters")
            .to_owned();
        let address = net::fresh_ipv4();
        let mut users = String::new();
        for (name, password) in &self.users {
            writeln!(users, "  $sht(users=>{name}) = \"{password}\";").unwrap();
        }
        let (core, module) = tls(self.authority.as_deref(), address);
        let text = CONFIGURATION
            .replace("[[TLS_CORE]]", &core)
            .replace("[[TLS_MODULE]]", &module)
            .replace("[[ADDRESS]]", &format!("{address}:5060"))
            .replace("[[REALM]]", REALM)
            .replace("[[FOLDER]]", &path)
            .replace("[[PARAMETERS]]", &self.parameters)
            .replace("[[MIN_EXPIRES]]", &self.min_expires.to_string())
            .replace("[[USERS]]", &users);
        fs::write(folder.path().join("kamailio.cfg"), text).expect("a file in a temporary folder");
        fs::create_dir(folder.path().join("run")).expect("a folder in a temporary folder");
        copy_tables(&folder.path().join("db"));
        let mut kamailio = Kamailio {
            address,
            folder,
            running: None,
        };
        kamailio.start_again();
        kamailio
    }
}

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    address: Ipv4Addr,
    folder: TempDir,
    /// None while it is stopped.
    running: Option<Running>,
}

impl Kamailio {
    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 5060))
    }

    /// Where it listens by TLS, if it does.
    pub fn secure_address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 5061))
    }

    /// The URI of a user here.
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address())
    }

    /// Sends calls for this number to this URI, whoever is registered.
    pub fn route(&self, number: &str, uri: &str) {
        self.command(&["htable.sets", "numbers", &word(number), uri])
            .expect("the table is there");
    }

    /// The contacts that a user has registered.
    pub fn contacts(&self, user: &str) -> Vec<String> {
        // An error says that there is no such user.
        let listing = self
            .command(&["ul.lookup", "location", &word(user)])
            .unwrap_or_default();
        listing
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Address: "))
            .map(str::to_owned)
            .collect()
    }

    /// Adds a contact to a user that nobody has registered: what a program that was killed has left behind.
    pub fn leave_behind(&self, user: &str, contact: &str) {
        // Expires, q, path, flags, branch flags, methods: nothing special.
        let added = self.command(&[
            "ul.add",
            "location",
            &word(user),
            contact,
            "300",
            "1.0",
            ".",
            "0",
            "0",
            "4294967295",
        ]);
        added.expect("the contact is added");
    }

    /// Waits until a user has so many contacts registered.
    pub fn wait_for_contacts(&self, user: &str, count: usize, longest: Duration) -> Vec<String> {
        let deadline = Instant::now() + longest;
        loop {
            let contacts = self.contacts(user);
            if contacts.len() == count {
                return contacts;
            }
            assert!(
                Instant::now() < deadline,
                "{user} has the contacts {contacts:?}, not {count}, after {longest:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has logged so far, over all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// How many lines of the log hold all of these.
    pub fn logged(&self, parts: &[&str]) -> usize {
        let log = self.log();
        log.lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }

    /// Waits until the log has a line that holds all of these.
    pub fn wait_for_log(&self, parts: &[&str], longest: Duration) {
        self.wait_for_logged(parts, 1, longest);
    }

    /// Waits until the log has so many lines that hold all of these.
    pub fn wait_for_logged(&self, parts: &[&str], count: usize, longest: Duration) {
        let deadline = Instant::now() + longest;
        loop {
            let logged = self.logged(parts);
            if logged >= count {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "Kamailio has {logged} lines with {parts:?}, not {count}, after {longest:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends all of its processes at once, as a power cut does. Told to end it may hang for a minute: its children log in their
    /// signal handlers, and the log's lock may be what they hold.
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let children = children(running.pid());
        if running.ended().is_none() {
            running.signal("KILL");
        }
        for child in children {
            // One that saw its parent go may have gone too.
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(child)
                .stderr(Stdio::null())
                .status();
        }
        running.wait(END);
    }

    /// Starts it with what it was started with before, on the same address, knowing no contact.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it is running");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log file");
        let mut command = Command::new(process::find("kamailio").expect(MISSING));
        command
            .arg("-f")
            .arg(self.folder.path().join("kamailio.cfg"))
            .arg("-Y")
            .arg(self.folder.path().join("run"))
            .arg("-w")
            .arg(self.folder.path())
            // Stay in the foreground, log to standard error, MiB of memory shared and of each process.
            .args(["-DD", "-E", "-m", "32", "-M", "4"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.running = Some(Running::start(&mut command).expect("Kamailio starts"));
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START;
        let mut phone = Phone::udp(self.address());
        loop {
            let ended = self.running.as_mut().and_then(Running::ended);
            assert!(
                ended.is_none(),
                "Kamailio ended with {ended:?} instead of starting"
            );
            phone.send_options();
            if phone.receive(Duration::from_millis(50)).is_some() && self.command(&["core.uptime"]).is_ok() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "Kamailio did not answer within {START:?}"
            );
        }
    }

    /// One command over its control socket.
    fn command(&self, words: &[&str]) -> Result<String, String> {
        let socket = format!("unix:{}/ctl", self.folder.path().display());
        let mut command = Command::new(process::find("kamcmd").expect(MISSING));
        command.args(["-s", &socket]).args(words).stdin(Stdio::null());
        let said = cli::said(&mut command, END);
        match said.code {
            Some(0) => Ok(said.out),
            _ => Err(said.all()),
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() || std::env::var_os("CALLBOX_TEST_LOG").is_some() {
            eprintln!(
                "---- log of Kamailio at {} ----\n{}\n----",
                self.address(),
                self.log()
            );
        }
    }
}

/// A word for kamcmd, even if it has digits only.
fn word(text: &str) -> String {
    format!("s:{text}")
}

/// What its configuration says of TLS: of the core, and of the module.
fn tls(authority: Option<&Authority>, address: Ipv4Addr) -> (String, String) {
    let Some(authority) = authority else {
        return ("disable_tls=yes".to_owned(), String::new());
    };
    let own = authority.sign("kamailio", &address.to_string());
    let parameters = [
        ("tls_method", "TLSv1.2+".to_owned()),
        ("certificate", own.certificate.display().to_string()),
        ("private_key", own.key.display().to_string()),
        ("ca_list", authority.file().display().to_string()),
    ];
    let mut module = "loadmodule \"tls.so\"\n".to_owned();
    for (name, value) in parameters {
        writeln!(module, "modparam(\"tls\", \"{name}\", \"{value}\")").unwrap();
    }
    for name in ["verify_certificate", "require_certificate"] {
        writeln!(module, "modparam(\"tls\", \"{name}\", 1)").unwrap();
    }
    (format!("enable_tls=yes\nlisten=tls:{address}:5061"), module)
}

fn copy_tables(to: &Path) {
    fs::create_dir(to).expect("a folder in a temporary folder");
    for entry in fs::read_dir(TABLES).expect("the tables are there").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a table is copied");
    }
}

/// The processes that it forked.
fn children(pid: u32) -> Vec<String> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}
