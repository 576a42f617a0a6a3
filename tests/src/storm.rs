//! A reload storm: calls come in all the time while new versions of their flows, good and broken ones, come in by the admin API
//! and as files in the flow folder.
//!
//! Every build of the flow has a mark of its own in its file, and says it in the 200 and in the BYE (`examples/marked`). What
//! happened when is put together afterwards, from what callers and those who deploy wrote down and from the host's log, so that
//! nothing waits for the measuring. Entry point: [`run`]. Its parts: `callers`, `deployers`.

mod callers;
mod deployers;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::admin::Admin;
use crate::flows;
use crate::latency::Sorted;
use crate::process;
use crate::server::{Callbox, Setup};
use callers::{Calls, Seen};
use deployers::{Deploy, Refusal};

/// The flows of the storm; each is a number that is called, too.
const FLOWS: [&str; 2] = ["hand", "folder"];
/// Versions of a flow that are kept: enough to go back to, and few enough to be outgrown.
const KEPT: u64 = 10;
/// Entries of the cache of compiled code; the storm makes more.
const CACHED: u64 = 40;

/// How much of a storm.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// How long versions come in.
    pub time: Duration,
    /// Calls a second.
    pub rate: u32,
    /// Good versions; every other one is new, the rest goes back and forth between two that were there before.
    pub deploys: u32,
    /// Broken ones.
    pub broken: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Calls that were placed.
    pub calls: usize,
    /// Those that were not answered, or not ended as the flow does; with what happened instead, a few of them.
    pub failed: Vec<String>,
    /// Calls whose BYE came from another version than their 200.
    pub strayed: Vec<String>,
    /// Requests that callers sent again because no answer came.
    pub again: usize,
    /// Versions that were taken.
    pub taken: Vec<Taken>,
    /// Good ones that were not, and why.
    pub not_taken: Vec<String>,
    /// Broken ones that were refused: how long that took.
    pub refused: Vec<Refused>,
    /// Broken ones that were taken.
    pub wrongly_taken: usize,
    /// Resident memory before the storm, after each third of it, and when its calls were over; KiB.
    pub rss_kib: Vec<u64>,
    /// Most versions that a flow has kept at the end, and most files of them.
    pub kept: usize,
    /// Entries in the cache of compiled code at the end.
    pub cached: usize,
    /// The bounds of the two.
    pub bounds: (usize, usize),
}

/// A version that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// By the admin API; else as a file.
    pub by_hand: bool,
    /// It had never been compiled before.
    pub fresh: bool,
    /// How long it took to compile, or to find compiled.
    pub compile: Duration,
    /// From then until calls could get it, as the host says.
    pub switch: Duration,
    /// From then until the first caller was answered by it; none when the next version was faster than any caller.
    pub effect: Option<Duration>,
}

/// A broken version that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What was wrong with it.
    pub kind: &'static str,
    /// By the admin API; else as a file, and the time that a file has to settle counts too.
    pub by_hand: bool,
    /// From sending it until it was refused.
    pub took: Duration,
}

/// Runs a storm to its end.
pub fn run(storm: Storm) -> Report {
    let marked = fs::read(flows::example("marked")).expect("the flow is built");
    let drop = tempfile::tempdir().expect("a temporary folder");
    let mut setup = Setup::new().limit("limits.versions", "kept_max", KEPT).limit(
        "limits.plugin",
        "cache_entries_max",
        CACHED,
    );
    for flow in FLOWS {
        let file = drop.path().join(format!("{flow}.wasm"));
        fs::write(&file, with_mark(&marked, 0)).expect("a file in a temporary folder");
        setup = setup.tenant_flow("acme", flow, &file, "");
    }
    let server = setup.start();
    let done = AtomicBool::new(false);
    let mut rss_kib = Vec::new();
    let (calls, (mut deploys, mut refusals, mut not_taken)) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| callers::call(server.address(), &FLOWS, storm.rate, &done));
        // The pool of instances has been used, and as many calls are up as will be.
        std::thread::sleep(callers::LONGEST);
        rss_kib.push(process::rss_kib(server.pid()));
        let by_hand = scope.spawn(|| deployers::by_hand(&server, &marked, storm));
        let by_file = scope.spawn(|| deployers::by_file(&server, drop.path(), &marked, storm));
        for _ in 0..2 {
            std::thread::sleep(storm.time / 3);
            rss_kib.push(process::rss_kib(server.pid()));
        }
        let mut log = by_hand.join().expect("the deploys by hand");
        let other = by_file.join().expect("the deploys by file");
        log.0.extend(other.0);
        log.1.extend(other.1);
        log.2.extend(other.2);
        // The last one gets calls too.
        std::thread::sleep(Duration::from_secs(1));
        done.store(true, Ordering::Relaxed);
        (calls.join().expect("the callers"), log)
    });
    wait_for_sessions(&server);
    rss_kib.push(process::rss_kib(server.pid()));
    let switches = switches(&server);
    let mut taken = Vec::new();
    for deploy in deploys.drain(..) {
        match switches
            .iter()
            .find(|switch| switch.flow == deploy.flow && switch.number == deploy.number)
        {
            Some(switch) => taken.push(switch.taken(&deploy, &calls)),
            None => not_taken.push(format!(
                "{} {}: the log does not know it",
                deploy.flow, deploy.number
            )),
        }
    }
    let wrongly_taken = refusals.iter().filter(|refusal| refusal.took.is_none()).count();
    Report {
        calls: calls.placed,
        failed: calls.failed,
        strayed: calls.strayed,
        again: calls.again,
        taken,
        not_taken,
        refused: refusals.drain(..).filter_map(Refusal::into_refused).collect(),
        wrongly_taken,
        rss_kib,
        kept: FLOWS.iter().map(|flow| kept(&server, flow)).max().unwrap_or(0),
        cached: files(&server.folder().join("cache"), "cwasm"),
        bounds: (KEPT as usize, CACHED as usize),
    }
}

impl Report {
    /// The times of a kind of version, in their order: until the first caller had it, and the part of that which is the host's.
    pub fn times(&self, wanted: impl Fn(&Taken) -> bool) -> (Sorted, Sorted) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let of = || self.taken.iter().filter(|taken| wanted(taken));
        let effect: Vec<u64> = of().filter_map(|taken| taken.effect).map(micros).collect();
        let switch: Vec<u64> = of().map(|taken| micros(taken.switch)).collect();
        (Sorted::of(&effect), Sorted::of(&switch))
    }
}

/// Waits until no flow runs. Transactions that are over stay for half a minute, before and after alike.
fn wait_for_sessions(server: &Callbox) {
    let until = Instant::now() + Duration::from_secs(20);
    while server
        .alive()
        .iter()
        .any(|(name, number)| name == "sessions" && *number > 0)
    {
        assert!(Instant::now() < until, "flows run that have no call");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The flow with another mark. 0 is the first version of all.
fn with_mark(file: &[u8], mark: u64) -> Vec<u8> {
    const BEFORE: &[u8] = b"callbox-mark:";
    let at = file
        .windows(BEFORE.len())
        .position(|window| window == BEFORE)
        .expect("the flow has a mark");
    let mut file = file.to_vec();
    let from = at + BEFORE.len();
    file[from..from + 16].copy_from_slice(format!("{mark:016}").as_bytes());
    file
}

/// A version that the log says serves now.
struct Switch {
    flow: String,
    number: u64,
    compile: Duration,
    switch: Duration,
    /// When it was compiled.
    compiled: SystemTime,
}

impl Switch {
    fn taken(&self, deploy: &Deploy, calls: &Calls) -> Taken {
        let first = calls.answered.iter().find(|seen: &&Seen| {
            seen.flow == self.flow && seen.mark == deploy.mark && seen.at >= self.compiled
        });
        Taken {
            by_hand: deploy.by_hand,
            fresh: deploy.fresh,
            compile: self.compile,
            switch: self.switch,
            effect: first.and_then(|seen| seen.at.duration_since(self.compiled).ok()),
        }
    }
}

/// All that the log says of versions that were taken.
fn switches(server: &Callbox) -> Vec<Switch> {
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is right");
    let midnight = now.as_secs() / day.as_secs() * day.as_secs();
    let of = |line: &str| {
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}="))?;
            rest.split(' ')
                .next()
                .map(|value| value.trim_matches('"').to_owned())
        };
        let millis = |name: &str| Some(Duration::from_millis(field(name)?.parse().ok()?));
        // 2026-11-23T21:10:59.123456Z; what seems to be in the future was before midnight.
        let (_, time) = line.split(' ').next()?.split_once('T')?;
        let mut parts = time.trim_end_matches('Z').split(':');
        let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
        let mut at = Duration::from_secs(midnight + hours * 3_600 + minutes * 60) + seconds;
        if at > now {
            at -= day;
        }
        let switch = millis("switch_ms")?;
        Some(Switch {
            flow: field("flow")?.strip_prefix("acme/")?.to_owned(),
            number: field("number")?.parse().ok()?,
            compile: millis("compile_ms")?,
            switch,
            compiled: SystemTime::UNIX_EPOCH + at - switch,
        })
    };
    let log = server.log();
    log.lines()
        .filter(|line| line.contains("new version "))
        .filter_map(of)
        .collect()
}

fn kept(server: &Callbox, flow: &str) -> usize {
    let answer = Admin::of(server.folder()).get(&format!("/v1/versions/acme/{flow}"));
    let known: Value = serde_json::from_str(&answer.body).expect("JSON");
    let known = known["versions"].as_array().map_or(0, Vec::len);
    let shelf = server.folder().join(".callbox/versions/acme").join(flow);
    known.max(files(&shelf, "wasm"))
}

fn files(folder: &Path, extension: &str) -> usize {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|it| it == extension))
        .count()
}
