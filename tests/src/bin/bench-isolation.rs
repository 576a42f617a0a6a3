//! `make bench-isolation`: what a tenant's callers feel of other tenants' hostile flows.
//!
//! Tenant A's flow answers 100 calls/s from SIPp. First alone; then while hostile flows are called, each of two tenants' 50
//! times a second, until every bound of `[limits.tenant]` is hit and goes on being hit (see `callbox_tests::siege`); then
//! while 64 calls spin with more fuel than they can burn. Latency is measured by a caller of our own that calls A among
//! SIPp's calls. All of it runs on the cores that there are, the host with every thread and the peers with it.
//!
//! `bench-isolation [--seconds 15] [--rounds 2]`; takes about two minutes. Exits with 1 when something does not hold that
//! SECURITY.md promises.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callbox_tests::phone::{Call, Phone};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::siege::{self, Bounds, Siege};
use callbox_tests::sipp::Sipp;
use callbox_tests::{cli, latency, process};

/// Calls a second to tenant A.
const RATE: u32 = 100;
/// Flows that spin at once.
const LOOPS: usize = 64;
/// What the others may make of A's p99.
const TIMES: f64 = 2.0;
/// A's p99 beside the flows that spin.
const BESIDE_LOOPS_MS: f64 = 10.0;

#[derive(Default)]
struct Measured {
    latencies: Vec<u64>,
    calls: u64,
    failed: u64,
    /// What A's callers sent again, for want of an answer.
    asked_again: u64,
    /// What the host sent A's callers again.
    answered_again: u64,
    /// Calls to the hostile tenants.
    hostile: usize,
    /// What the host's memory grew by at most, from A's calls alone.
    grown_kib: u64,
    /// Bounds of tenants that were hit in every round, while A was measured.
    hit: Option<Vec<String>>,
    not_hit: Vec<String>,
}

impl Measured {
    fn p99(&self) -> f64 {
        latency::Sorted::of(&self.latencies).percentile_ms(0.99)
    }
}

fn main() -> ExitCode {
    let (mut seconds, mut rounds) = (15, 2);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--seconds" => seconds = value.parse().expect("a number"),
            [name, value] if name == "--rounds" => rounds = value.parse().expect("a number"),
            _ => panic!("bench-isolation [--seconds 15] [--rounds 2]"),
        }
    }
    println!("callbox is {}", cli::binary().display());
    let (mut alone, mut beside, mut loops) = (Measured::default(), Measured::default(), Measured::default());
    for _ in 0..rounds {
        let (server, _siege) = start(false);
        measure(&server, seconds, &mut alone, |_, _| 0);
        let (server, siege) = start(false);
        measure(&server, seconds, &mut beside, |server, done| {
            siege.run(server, done)
        });
        let (server, _siege) = start(true);
        measure(&server, seconds, &mut loops, spin);
    }
    println!("\n{RATE} calls/s to tenant A for {seconds} s, {rounds} rounds in turn");
    println!(
        "| the others | their calls | A's calls | failed | A asked again | host answered again | p50 ms | p99 ms | memory grew by MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, measured) in [
        ("silent", &alone),
        ("at every bound, at 50 calls/s each", &beside),
        ("64 endless loops", &loops),
    ] {
        let sorted = latency::Sorted::of(&measured.latencies);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} |",
            measured.hostile,
            measured.calls,
            measured.failed,
            measured.asked_again,
            measured.answered_again,
            sorted.percentile_ms(0.50),
            sorted.percentile_ms(0.99),
            measured.grown_kib >> 10
        );
    }
    println!(
        "\nbounds that were hit while A was measured: {}",
        beside.hit.as_deref().unwrap_or_default().join(", ")
    );
    if judge(&alone, &beside, &loops) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what holds and what does not.
fn judge(alone: &Measured, beside: &Measured, loops: &Measured) -> bool {
    let times = beside.p99() / alone.p99();
    let of_all = |count: fn(&Measured) -> u64| count(alone) + count(beside) + count(loops);
    let failed = of_all(|it| it.failed);
    let again = of_all(|it| it.asked_again + it.answered_again);
    let missed = &beside.not_hit;
    println!();
    [
        (
            missed.is_empty(),
            format!(
                "every bound of a tenant is hit{}{}",
                if missed.is_empty() { "" } else { ", but not " },
                missed.join(", ")
            ),
        ),
        (failed == 0, format!("no call of A fails: {failed}")),
        (
            again == 0,
            format!("nothing is sent again, by either side: {again}"),
        ),
        (
            times <= TIMES,
            format!("A's p99 is at most {TIMES} times that of A alone: {times:.2}"),
        ),
        (
            loops.p99() <= BESIDE_LOOPS_MS,
            format!(
                "beside {LOOPS} loops it is at most {BESIDE_LOOPS_MS} ms: {:.2}",
                loops.p99()
            ),
        ),
        (
            beside.grown_kib << 10 <= siege::MEMORY + siege::BOOKKEEPING,
            format!(
                "memory grows by no more than {} MiB of the flows and {} of the host's for their calls: {}",
                siege::MEMORY >> 20,
                siege::BOOKKEEPING >> 20,
                beside.grown_kib >> 10
            ),
        ),
    ]
    .into_iter()
    .fold(true, |all, (holds, what)| {
        println!(
            "{} {what}",
            if holds {
                "holds:         "
            } else {
                "DOES NOT HOLD: "
            }
        );
        all && holds
    })
}

/// A host with all tenants; `endless` gives the flows more fuel than they can burn.
fn start(endless: bool) -> (Callbox, Siege) {
    let mut setup = Setup::new()
        .log_level("error")
        // The hostile flows shall run, and not be spared for trapping.
        .limit("limits.versions", "breaker_traps", 0)
        .flow("answer", "hello");
    if endless {
        setup = setup
            .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
            .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000);
    } else {
        // Those that wait for ever make room for others.
        setup = setup.limit("limits.plugin", "call_max_s", 5);
    }
    let (siege, setup) = Siege::lay(setup);
    (setup.start(), siege)
}

fn measure(
    server: &Callbox,
    seconds: u32,
    measured: &mut Measured,
    hostile: impl FnOnce(SocketAddr, &AtomicBool) -> usize + Send,
) {
    let calls = |count: u32| {
        Sipp::scenario("answer", server.address(), "answer")
            .fill("HOLD_MS", 200)
            .load(count, RATE)
            .longest(Duration::from_secs(u64::from(count / RATE) + 60))
    };
    calls(RATE).run();
    let before = process::rss_kib(server.pid());
    let done = AtomicBool::new(false);
    let address = server.address();
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| hostile(address, &done));
        // What the others do is in full swing when the measuring begins.
        std::thread::sleep(Duration::from_secs(2));
        let bounds = Bounds::of(server.folder());
        let sampler = scope.spawn(|| latency::sample(address, "answer", &done));
        let memory = scope.spawn(|| most_memory(server.pid(), &done));
        let counts = calls(RATE * seconds).run();
        measured.note(&Bounds::of(server.folder()), &bounds);
        done.store(true, Ordering::Relaxed);
        measured.latencies.extend(sampler.join().unwrap());
        measured.hostile += attack.join().unwrap();
        measured.calls += counts.successful + counts.failed;
        measured.failed += counts.failed;
        measured.asked_again += counts.retransmitted;
        measured.answered_again += counts.received_again;
        let most = memory.join().unwrap();
        measured.grown_kib = measured.grown_kib.max(most.saturating_sub(before));
    });
}

impl Measured {
    /// A bound counts that was hit in every round.
    fn note(&mut self, after: &Bounds, before: &Bounds) {
        let (hit, not_hit) = after.since(before);
        for limit in not_hit {
            if !self.not_hit.iter().any(|it| it == limit) {
                self.not_hit.push(limit.to_owned());
            }
        }
        let hit = hit.into_iter().map(str::to_owned);
        self.hit = Some(match self.hit.take() {
            None => hit.collect(),
            Some(earlier) => hit.filter(|it| earlier.contains(it)).collect(),
        });
    }
}

fn most_memory(pid: u32, done: &AtomicBool) -> u64 {
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        most = most.max(process::rss_kib(pid));
        std::thread::sleep(Duration::from_millis(100));
    }
    most
}

/// Has 64 flows spin until the end.
fn spin(server: SocketAddr, done: &AtomicBool) -> usize {
    let mut phone = Phone::udp(server);
    let endless = siege::number("umbrella", 0);
    let calls: Vec<Call> = (0..LOOPS).map(|_| phone.invite(&endless)).collect();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    for call in &calls {
        phone.cancel(call);
    }
    LOOPS
}
