//! A running `callbox serve` with a configuration of its own.
//!
//! Entry type: [`Callbox`], made by [`Setup`]. The server is ready when it answers an OPTIONS; it is killed when the
//! value is dropped, and its log is shown when the test is failing.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::phone::Phone;
use crate::process::Running;
use crate::{cli, flows, net};

/// How long a server may take to start: a cold compilation of a few flows on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A server to be.
#[derive(Debug)]
pub struct Setup {
    address: IpAddr,
    listen: Vec<String>,
    limits: String,
    tenants: Vec<(String, String)>,
    dial: Vec<(String, Vec<String>)>,
    /// Tenant, and lines of its table.
    own: Vec<(String, String)>,
    root: String,
    routes: String,
    lines: String,
    cache: Option<PathBuf>,
    cores: Option<String>,
    level: Option<String>,
    patience: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// UDP and TCP on port 5060 of an address of its own.
    pub fn new() -> Self {
        let address = net::fresh_ipv4();
        let listen = vec![format!("udp:{address}:5060"), format!("tcp:{address}:5060")];
        Self {
            address: address.into(),
            listen,
            limits: String::new(),
            tenants: Vec::new(),
            dial: Vec::new(),
            own: Vec::new(),
            root: String::new(),
            routes: String::new(),
            lines: String::new(),
            cache: None,
            cores: None,
            level: None,
            patience: START,
        }
    }

    /// Lets it take so long to start, for flows that take long to compile.
    pub fn patience(mut self, longest: Duration) -> Self {
        self.patience = longest;
        self
    }

    /// Listens there too.
    pub fn listen(mut self, listener: &str) -> Self {
        self.listen.push(listener.to_owned());
        self
    }

    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, 5060)
    }

    /// Lets the flows of a tenant call there; they may call nowhere without it.
    pub fn dial(mut self, tenant: &str, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        self.dial.push((tenant.to_owned(), rules));
        self
    }

    /// Further lines of the configuration: whole tables.
    pub fn lines(mut self, lines: &str) -> Self {
        writeln!(self.lines, "{lines}").unwrap();
        self
    }

    /// Further keys of a tenant's table, as `deny = ["10.0.0.0/8"]`.
    pub fn tenant(mut self, tenant: &str, lines: &str) -> Self {
        self.own.push((tenant.to_owned(), lines.to_owned()));
        self
    }

    /// Further keys of the file itself.
    pub fn root(mut self, lines: &str) -> Self {
        writeln!(self.root, "{lines}").unwrap();
        self
    }

    /// Sets a limit: group as in the configuration file (`limits`, `limits.sip` …), key and number.
    pub fn limit(self, group: &str, key: &str, value: u64) -> Self {
        self.setting(group, key, &value.to_string())
    }

    /// Sets any key of a table of the configuration file; the value as TOML has it, on one line.
    pub fn setting(mut self, group: &str, key: &str, value: &str) -> Self {
        writeln!(self.limits, "[{group}]\n{key} = {value}").unwrap();
        self
    }

    /// Sets a limit of one tenant, as in its `[tenant.limits]`.
    pub fn tenant_limit(mut self, tenant: &str, key: &str, value: u64) -> Self {
        self.own
            .push((tenant.to_owned(), format!("limits.{key} = {value}")));
        self
    }

    /// A flow that ships with callbox, in tenant `house`, for calls to the user part `number`.
    pub fn flow(self, number: &str, name: &str) -> Self {
        let file = flows::example(name);
        self.tenant_flow("house", number, &file, "")
    }

    /// A flow of some tenant from any file; `more` are further lines of its table.
    pub fn tenant_flow(self, tenant: &str, number: &str, file: &Path, more: &str) -> Self {
        let mut setup = self.job(tenant, number, file, more);
        writeln!(
            setup.routes,
            "[[route]]\nnumber = {number:?}\ntenant = {tenant:?}\nflow = {number:?}"
        )
        .unwrap();
        setup
    }

    /// A flow that no call is routed to.
    pub fn job(mut self, tenant: &str, name: &str, file: &Path, more: &str) -> Self {
        let flow = format!("[tenant.flow.{name}]\nfile = {file:?}\n{more}\n");
        match self.tenants.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, flows)) => flows.push_str(&flow),
            None => self.tenants.push((tenant.to_owned(), flow)),
        }
        self
    }

    /// Calls to the user part `number` wait for a session of this tenant that accepts them.
    pub fn service(mut self, tenant: &str, number: &str, service: &str) -> Self {
        writeln!(
            self.routes,
            "[[route]]\nnumber = {number:?}\ntenant = {tenant:?}\nservice = {service:?}"
        )
        .unwrap();
        self
    }

    /// Writes the configuration file, for a command other than `serve`.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let config = folder.join("callbox.toml");
        fs::write(&config, self.toml(folder)).expect("a file in a temporary folder");
        config
    }

    /// Keeps compiled flows there; without it in a folder that goes with the server, so that nothing is shared.
    pub fn cache(mut self, folder: &Path) -> Self {
        self.cache = Some(folder.to_owned());
        self
    }

    /// Sets what is logged, as `[log] level` does.
    pub fn log_level(mut self, level: &str) -> Self {
        self.level = Some(level.to_owned());
        self
    }

    /// Pins all its threads to these cores (`taskset -c`).
    pub fn cores(mut self, list: &str) -> Self {
        self.cores = Some(list.to_owned());
        self
    }

    /// The text of the configuration file.
    pub fn toml(&self, folder: &Path) -> String {
        let cache = self.cache.clone().unwrap_or_else(|| folder.join("cache"));
        let mut text = format!("listen = {:?}\ncache_dir = {cache:?}\n", self.listen);
        text.push_str(&self.root);
        if let Some(level) = &self.level {
            writeln!(text, "[log]\nlevel = {level:?}").unwrap();
        }
        // A table may stand only once in TOML: keys of one group are gathered.
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for (group, key) in self
            .limits
            .lines()
            .step_by(2)
            .zip(self.limits.lines().skip(1).step_by(2))
        {
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, keys)) => keys.push(key),
                None => groups.push((group, vec![key])),
            }
        }
        for (group, keys) in groups {
            writeln!(text, "{group}\n{}", keys.join("\n")).unwrap();
        }
        text.push_str(&self.lines);
        for (name, flows) in &self.tenants {
            let dial: Vec<&String> = self
                .dial
                .iter()
                .filter(|(tenant, _)| tenant == name)
                .flat_map(|(_, rules)| rules)
                .collect();
            // An empty list is a mistake to the configuration; no list is nowhere.
            let dial = match dial.is_empty() {
                true => String::new(),
                false => format!("dial = {dial:?}\n"),
            };
            let own: String = self
                .own
                .iter()
                .filter(|(tenant, _)| tenant == name)
                .map(|(_, line)| format!("{line}\n"))
                .collect();
            writeln!(text, "[[tenant]]\nname = {name:?}\n{dial}{own}{flows}").unwrap();
        }
        text + &self.routes
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Callbox {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = self.write(folder.path());
        let log = folder.path().join("log");
        let create = || {
            fs::File::options()
                .create(true)
                .append(true)
                .open(&log)
                .expect("a log file")
        };

        let plain = cli::command();
        let mut command = match &self.cores {
            Some(cores) => {
                let mut pinned = std::process::Command::new("taskset");
                pinned
                    .arg("-c")
                    .arg(cores)
                    .arg(plain.get_program())
                    .env_remove("RUST_LOG")
                    .env("NO_COLOR", "1");
                pinned
            }
            None => plain,
        };
        command
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdout(create())
            .stderr(create());
        let running = Running::start(&mut command).expect("the binary starts");
        let mut callbox = Callbox {
            running,
            address: SocketAddr::new(self.address, 5060),
            folder,
        };
        callbox.wait_until_ready(self.patience);
        callbox
    }
}

/// A running server.
#[derive(Debug)]
pub struct Callbox {
    running: Running,
    address: SocketAddr,
    folder: TempDir,
}

impl Callbox {
    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// A peer of this server, on the same address and another port.
    pub fn phone(&self) -> Phone {
        Phone::udp(self.address)
    }

    /// A folder that lives as long as the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the log has a line that holds all of these, and returns it.
    pub fn wait_for_log(&self, parts: &[&str], longest: Duration) -> String {
        let deadline = Instant::now() + longest;
        loop {
            let log = self.log();
            if let Some(line) = log
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))
            {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no line of the log holds all of {parts:?}:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the log holds this text so many times; the count when the time is up, so that a test fails with it.
    pub fn wait_for_count(&self, text: &str, expected: usize, longest: Duration) -> usize {
        let deadline = Instant::now() + longest;
        loop {
            let count = self.log().matches(text).count();
            if count >= expected || Instant::now() >= deadline {
                return count;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is alive in it by its own account (SIGUSR1): names and numbers.
    pub fn alive(&self) -> Vec<(String, u64)> {
        const SAID: &str = "alive sessions=";
        let before = self.log().matches(SAID).count();
        self.running.signal("USR1");
        let count = self.wait_for_count(SAID, before + 1, Duration::from_secs(10));
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains(SAID));
        let Some((_, numbers)) = line
            .filter(|_| count > before)
            .and_then(|line| line.split_once("alive "))
        else {
            panic!("the server says nothing of what is alive:\n{log}");
        };
        numbers
            .split_whitespace()
            .map(|pair| {
                let (name, number) = pair.split_once('=').expect("name=number");
                (name.to_owned(), number.parse().expect("a number"))
            })
            .collect()
    }

    /// Waits until nothing is alive but connections, which peers may keep.
    pub fn wait_until_idle(&self, longest: Duration) {
        let deadline = Instant::now() + longest;
        loop {
            let alive = self.alive();
            if alive
                .iter()
                .all(|(name, number)| *number == 0 || name == "connections")
            {
                return;
            }
            assert!(Instant::now() < deadline, "still alive: {alive:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Where its configuration is.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("callbox.toml")
    }

    /// Has it read its configuration again (SIGHUP) and waits until it has: true when it took the new one.
    pub fn reload(&self) -> bool {
        const SAID: &str = "configuration reloaded";
        const REFUSED: &str = "configuration not reloaded";
        let count = |text| self.log().matches(text).count();
        let before = (count(SAID), count(REFUSED));
        self.running.signal("HUP");
        let deadline = Instant::now() + START;
        loop {
            let now = (count(SAID), count(REFUSED));
            if now != before {
                return now.0 > before.0;
            }
            assert!(
                Instant::now() < deadline,
                "the server did not reload:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Panics if the server has died.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.running.ended() {
            panic!("the server ended with {status}");
        }
    }

    /// Asks it to end.
    pub fn terminate(&mut self) {
        self.running.terminate();
    }

    /// Waits until it has ended; the exit code.
    pub fn wait(&mut self, longest: Duration) -> Option<i32> {
        self.running.wait(longest).and_then(|status| status.code())
    }

    /// Asks it to end and waits; the exit code.
    pub fn stop(&mut self, longest: Duration) -> Option<i32> {
        self.running.terminate();
        self.running.wait(longest).and_then(|status| status.code())
    }

    fn wait_until_ready(&mut self, longest: Duration) {
        let deadline = Instant::now() + longest;
        let mut phone = self.phone();
        loop {
            if let Some(status) = self.running.ended() {
                panic!(
                    "the server ended with {status} instead of starting:\n{}",
                    self.log()
                );
            }
            phone.send_options();
            if phone.receive(Duration::from_millis(100)).is_some() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the server did not answer within {longest:?}:\n{}",
                self.log()
            );
        }
    }
}

impl Drop for Callbox {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("CALLBOX_TEST_LOG").is_some() {
            let log = self.log();
            let from = log.char_indices().rev().nth(20_000).map_or(0, |(at, _)| at);
            eprintln!(
                "---- log of the server (pid {}) ----\n{}\n----",
                self.pid(),
                log.get(from..).unwrap_or(&log)
            );
        }
    }
}
