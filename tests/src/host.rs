//! A host that can be killed and started again in the same folder, and the records that its calls left.
//!
//! Entry type: [`Host`]. Where nothing is started again, [`crate::server::Callbox`] does.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{self, Said};
use crate::phone::{Phone, SOON};
use crate::process::Running;
use crate::server::Setup;

/// A host whose folder outlives it.
#[derive(Debug)]
pub struct Host {
    /// Its folder: the configuration, the log, what it keeps.
    pub folder: TempDir,
    /// Its configuration.
    pub config: PathBuf,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    running: Option<Running>,
}

impl Host {
    /// With these lines more in its configuration.
    pub fn start(setup: &Setup, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = setup.write(folder.path());
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}\n{more}\n")).unwrap();
        let mut host = Self {
            folder,
            config,
            address: setup.address(),
            running: None,
        };
        host.begin();
        host
    }

    /// Starts it; how long that took until it answered.
    pub fn begin(&mut self) -> Duration {
        let log = || {
            let mut options = fs::File::options();
            options.create(true).append(true).open(self.log_file()).unwrap()
        };
        let mut command = cli::command();
        command
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .stdout(log())
            .stderr(log());
        let began = Instant::now();
        self.running = Some(Running::start(&mut command).unwrap());
        let mut phone = self.phone();
        while phone.receive(Duration::from_millis(20)).is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.log());
            phone.send_options();
        }
        began.elapsed()
    }

    /// A peer of it.
    pub fn phone(&self) -> Phone {
        Phone::udp(self.address)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Sends it a signal, by its name without `SIG`, and waits for its end.
    pub fn signal(&mut self, name: &str) {
        let mut running = self.running.take().unwrap();
        running.signal(name);
        running.wait(Duration::from_secs(30)).expect("it ends");
    }

    /// `callbox cdr` with these arguments.
    pub fn cdr(&self, arguments: &[&str]) -> Said {
        let mut command = cli::command();
        command.arg("cdr").arg("--config").arg(&self.config);
        cli::said(command.args(arguments), SOON)
    }

    /// All records that fit.
    pub fn records(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.cdr(&[arguments, &["--json", "--limit", "100000"]].concat());
        // A store that did not work yet has no file.
        if said.code == Some(1) && said.err.contains("no records in") {
            return Vec::new();
        }
        assert_eq!(said.code, Some(0), "{said:#?}");
        let lines = said.out.lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same, once there are so many.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + SOON;
        loop {
            let records = self.records(&[]);
            if records.len() >= count {
                return records;
            }
            assert!(
                Instant::now() < until,
                "{} of {count} records:\n{}",
                records.len(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the log holds this.
    pub fn wait_for_log(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command that takes `--config`, with these words before it.
    pub fn run(&self, words: &[&str]) -> Said {
        let config = self.config.to_str().unwrap();
        cli::run([words, &["--config", config]].concat())
    }

    /// The final answer to a call; one that is taken is hung up.
    pub fn call(&self, user: &str) -> u16 {
        let mut phone = self.phone();
        let mut call = phone.invite(user);
        let response = phone.final_response(&call, "INVITE");
        phone.ack(&mut call, &response);
        let status = response.status().unwrap();
        if status < 300 {
            phone.hang_up(&mut call);
        }
        status
    }
}
