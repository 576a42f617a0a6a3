//! SIPp as a peer: scenarios of our own, run to their end, counted from SIPp's own statistics.
//!
//! Entry type: [`Sipp`]. A placeholder `[[NAME]]` in a scenario is filled in from [`Sipp::fill`], for what SIPp's own
//! keywords cannot express, such as the status that a `recv` waits for.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::net;
use crate::process::{Running, installed};

/// SIPp to be run.
#[derive(Debug)]
pub struct Sipp {
    scenario: String,
    remote: SocketAddr,
    service: String,
    transport: &'static str,
    calls: u32,
    rate: u32,
    at_once: Option<u32>,
    longest: Duration,
    fill: Vec<(String, String)>,
    more: Vec<String>,
    cores: Option<String>,
    port: u16,
}

/// What SIPp counted.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Calls that went as the scenario says.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Messages that SIPp sent again because no answer came in time.
    pub retransmitted: u64,
    /// Messages of the server that came more than once.
    pub received_again: u64,
    /// Messages outside of any call.
    pub out_of_call: u64,
    /// What SIPp said of its failures.
    pub errors: String,
}

impl Counts {
    /// Panics unless all of these calls, and no other, went as the scenario says.
    pub fn assert_all(&self, calls: u32) {
        assert!(
            self.failed == 0 && self.successful == u64::from(calls),
            "{self:#?}"
        );
    }

    /// Panics if either side sent a message twice.
    pub fn assert_no_retransmission(&self) {
        assert!(self.retransmitted == 0 && self.received_again == 0, "{self:#?}");
    }
}

/// SIPp that is running.
#[derive(Debug)]
pub struct Call {
    running: Running,
    folder: TempDir,
    longest: Duration,
}

impl Sipp {
    /// Calls by one of `tests/scenarios`, to the user part `service` of a server. One call, if nothing else is said.
    pub fn scenario(name: &str, remote: SocketAddr, service: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scenarios")
            .join(format!("{name}.xml"));
        let scenario =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            scenario,
            remote,
            service: service.to_owned(),
            transport: "u1",
            calls: 1,
            rate: 10,
            at_once: None,
            longest: Duration::from_secs(60),
            fill: Vec::new(),
            more: Vec::new(),
            cores: None,
            port: net::peer_port(),
        }
    }

    /// Where it will be, for a scenario that is called.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.remote.ip(), self.port)
    }

    /// Over TCP, one connection for all calls.
    pub fn tcp(mut self) -> Self {
        self.transport = "t1";
        self
    }

    /// Over TCP, a connection for each call.
    pub fn tcp_each(mut self) -> Self {
        self.transport = "tn";
        self
    }

    /// So many calls, so many a second.
    pub fn load(mut self, calls: u32, rate: u32) -> Self {
        (self.calls, self.rate) = (calls, rate);
        self
    }

    /// No more than so many calls at once.
    pub fn at_once(mut self, calls: u32) -> Self {
        self.at_once = Some(calls);
        self
    }

    /// Ends the run as failed after so long.
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Replaces `[[name]]` in the scenario.
    pub fn fill(mut self, name: &str, value: impl ToString) -> Self {
        self.fill.push((format!("[[{name}]]"), value.to_string()));
        self
    }

    /// Adds arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|it| (*it).to_owned()));
        self
    }

    /// Pins it to these cores.
    pub fn cores(mut self, list: &str) -> Self {
        self.cores = Some(list.to_owned());
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Counts {
        self.start().finish()
    }

    /// Starts it.
    pub fn start(self) -> Call {
        assert!(
            installed("sipp"),
            "SIPp is not installed (Debian: sip-tester); `make test` installs it when it may"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut text = self.scenario.clone();
        for (name, value) in &self.fill {
            text = text.replace(name, value);
        }
        assert!(
            !text.contains("[["),
            "a placeholder of the scenario is not filled in:\n{text}"
        );
        fs::write(folder.path().join("scenario.xml"), text).expect("a file in a temporary folder");

        let mut command = match &self.cores {
            Some(cores) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("-c").arg(cores).arg("sipp");
                pinned
            }
            None => Command::new("sipp"),
        };
        let output = fs::File::create(folder.path().join("screen")).expect("a file in a temporary folder");
        let own = self.remote.ip().to_string();
        command
            .current_dir(folder.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .arg(self.remote.to_string())
            .args([
                "-sf",
                "scenario.xml",
                "-s",
                &self.service,
                "-t",
                self.transport,
                "-nostdin",
            ])
            .args(["-i", &own, "-mi", &own, "-ci", &own, "-p", &self.port.to_string()])
            .args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string()])
            .args(["-timeout", &self.longest.as_secs().to_string(), "-timeout_error"])
            // SIPp refuses to start when this is more than the limit of open files, 1024 in many shells.
            .args(["-max_socket", "500"])
            .args([
                "-trace_stat",
                "-stf",
                "stat.csv",
                "-fd",
                "1",
                "-trace_counts",
                "-trace_err",
                "-error_file",
                "errors",
            ])
            .args(
                self.at_once
                    .map(|calls| vec!["-l".to_owned(), calls.to_string()])
                    .unwrap_or_default(),
            )
            .args(&self.more);
        let running = Running::start(&mut command).expect("SIPp starts");
        Call {
            running,
            folder,
            longest: self.longest,
        }
    }
}

impl Call {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// How many calls are up, as SIPp said a second ago at most.
    pub fn current(&self) -> u64 {
        let stat = fs::read_to_string(self.folder.path().join("stat.csv")).unwrap_or_default();
        last_row(&stat)
            .get("CurrentCall")
            .and_then(|it| it.parse().ok())
            .unwrap_or_default()
    }

    /// Waits for the end and counts.
    pub fn finish(mut self) -> Counts {
        let status = self.running.wait(self.longest + Duration::from_secs(10));
        let read = |name: &str| {
            String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned()
        };
        let screen = read("screen");
        let errors = format!(
            "{}{}",
            read("errors"),
            if status.is_none() {
                "SIPp did not end\n"
            } else {
                ""
            }
        );
        let stat = last_row(&read("stat.csv"));
        let number = |name: &str| stat.get(name).and_then(|it| it.parse().ok());
        let (Some(successful), Some(failed)) = (number("SuccessfulCall(C)"), number("FailedCall(C)")) else {
            panic!("SIPp ended with {status:?} and left no statistics:\n{errors}\n{screen}");
        };
        let counts = fs::read_dir(self.folder.path())
            .expect("the folder of the run")
            .flatten()
            .map(|entry| entry.path())
            .find(|path: &PathBuf| path.to_string_lossy().ends_with("_counts.csv"))
            .map(|path| last_row(&fs::read_to_string(path).unwrap_or_default()))
            .unwrap_or_default();
        // `4_200_Retrans` is of a received message when `4_200_Recv` stands beside it.
        let received_again = counts
            .iter()
            .filter_map(|(name, value)| Some((name.strip_suffix("_Retrans")?, value.parse::<u64>().ok()?)))
            .filter(|(message, _)| counts.contains_key(&format!("{message}_Recv")))
            .map(|(_, value)| value)
            .sum();
        let errors = if failed > 0 && errors.is_empty() {
            screen
        } else {
            errors
        };
        Counts {
            successful,
            failed,
            retransmitted: number("Retransmissions(C)").unwrap_or_default(),
            received_again,
            out_of_call: number("OutOfCallMsgs(C)").unwrap_or_default(),
            errors: errors.chars().take(4_000).collect(),
        }
    }
}

/// The last row of a SIPp statistics file by the names of the first.
fn last_row(csv: &str) -> BTreeMap<String, String> {
    let mut lines = csv.lines().filter(|line| !line.is_empty());
    let names = lines.next().unwrap_or_default();
    let values = lines.next_back().unwrap_or_default();
    names
        .split(';')
        .zip(values.split(';'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}
