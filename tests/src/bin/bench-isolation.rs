//! `make bench-isolation`: what a tenant's callers feel of another tenant's hostile flows.
//!
//! Tenant A's flow answers 100 calls/s from SIPp. First alone; then while tenant B's hostile flows are called 50 times a
//! second, one after the other; then while 64 of B's calls spin with more fuel than they can burn. Latency is measured by
//! a caller of our own that calls A among SIPp's calls. All of it runs on the cores that there are, the host with every
//! thread and the peers with it.
//!
//! `bench-isolation [--seconds 15] [--rounds 2]`; takes about two minutes. `--only 4` calls one of the hostile flows and no
//! other: which of them is felt.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use callbox_tests::phone::{Call, Phone};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;
use callbox_tests::{cli, flows, latency, process};

/// Calls a second to tenant A.
const RATE: u32 = 100;
/// Between two calls to tenant B: 50 a second.
const HOSTILE_EVERY: Duration = Duration::from_millis(20);
/// Crate and trick of each of tenant B's flows.
const HOSTILE: [(&str, &str); 10] = [
    ("loop", ""),
    ("compute", "host-calls"),
    ("compute", "answers"),
    ("compute", "drip"),
    ("compute", "bulk"),
    ("memory-bomb", ""),
    ("log-flood", ""),
    ("flood", "rings"),
    ("flood", "events"),
    ("pattern", "regex-again"),
];
/// Flows that spin at once.
const LOOPS: usize = 64;

#[derive(Default)]
struct Measured {
    latencies: Vec<u64>,
    calls: u64,
    failed: u64,
    again: u64,
    /// Calls to the hostile tenant.
    hostile: usize,
    rss_kib: u64,
}

fn main() {
    let (mut seconds, mut rounds, mut only) = (15, 2, None);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--seconds" => seconds = value.parse().expect("a number"),
            [name, value] if name == "--rounds" => rounds = value.parse().expect("a number"),
            [name, value] if name == "--only" => only = Some(value.parse().expect("a number")),
            _ => panic!("bench-isolation [--seconds 15] [--rounds 2] [--only 0-9]"),
        }
    }
    println!("callbox is {}", cli::binary().display());
    let (mut alone, mut beside, mut loops) = (Measured::default(), Measured::default(), Measured::default());
    for _ in 0..rounds {
        measure(&start(false), seconds, &mut alone, |_, _| 0);
        measure(&start(false), seconds, &mut beside, |server, done| {
            call_hostile(server, done, only)
        });
        measure(&start(true), seconds, &mut loops, spin);
    }
    println!("\n{RATE} calls/s to tenant A for {seconds} s, {rounds} rounds in turn");
    println!("| tenant B | its calls | A's calls | failed | sent again | p50 ms | p99 ms | host's RSS MiB |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, measured) in [
        ("silent", &alone),
        ("hostile flows at 50 calls/s", &beside),
        ("64 endless loops", &loops),
    ] {
        let sorted = latency::Sorted::of(&measured.latencies);
        println!(
            "| {name} | {} | {} | {} | {} | {:.2} | {:.2} | {} |",
            measured.hostile,
            measured.calls,
            measured.failed,
            measured.again,
            sorted.percentile_ms(0.50),
            sorted.percentile_ms(0.99),
            measured.rss_kib >> 10
        );
    }
    let p99 = |measured: &Measured| latency::Sorted::of(&measured.latencies).percentile_ms(0.99);
    println!(
        "\np99 beside hostile flows is {:.2} times that of A alone",
        p99(&beside) / p99(&alone)
    );
}

/// A host with both tenants; `endless` gives the flows more fuel than they can burn.
fn start(endless: bool) -> Callbox {
    let mut setup = Setup::new()
        .log_level("error")
        // The hostile flows shall run, and not be spared for trapping.
        .limit("limits.versions", "breaker_traps", 0)
        .flow("answer", "hello");
    if endless {
        setup = setup
            .limit("limits.plugin", "fuel_burst", 1_000_000_000_000)
            .limit("limits.plugin", "fuel_total", 1_000_000_000_000_000);
    }
    for (number, (name, trick)) in HOSTILE.iter().enumerate() {
        let more = format!("auto_ring = false\nconfig = {{ trick = {trick:?} }}\n");
        let user = format!("hostile{number}");
        setup = setup.tenant_flow("umbrella", &user, &flows::example(name), &more);
    }
    setup.start()
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
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| hostile(server.address(), &done));
        // What B does is in full swing when the measuring begins.
        std::thread::sleep(Duration::from_secs(1));
        let sampler = scope.spawn(|| latency::sample(server.address(), "answer", &done));
        let counts = calls(RATE * seconds).run();
        done.store(true, Ordering::Relaxed);
        measured.latencies.extend(sampler.join().unwrap());
        measured.hostile += attack.join().unwrap();
        measured.calls += counts.successful + counts.failed;
        measured.failed += counts.failed;
        measured.again += counts.retransmitted + counts.received_again;
    });
    measured.rss_kib = measured.rss_kib.max(process::rss_kib(server.pid()));
}

/// Calls B's flows in turn, 50 times a second, and does what a caller does: acknowledges, answers BYE.
fn call_hostile(server: SocketAddr, done: &AtomicBool, only: Option<usize>) -> usize {
    let mut phone = Phone::udp(server);
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    let mut placed = 0;
    let mut next = Instant::now();
    while !done.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            next += HOSTILE_EVERY;
            let call = phone.invite(&format!("hostile{}", only.unwrap_or(placed % HOSTILE.len())));
            calls.insert(call.id.clone(), call);
            placed += 1;
        }
        let wait = next
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let Some(message) = phone.receive(wait) else {
            continue;
        };
        if message.method().is_some_and(|method| method != "ACK") {
            phone.respond(&message, "200 OK");
        }
        let Some(status) = message.status().filter(|code| *code >= 200) else {
            continue;
        };
        if let Some(mut call) = calls.remove(message.header("Call-ID")) {
            phone.ack(&mut call, &message);
            if status < 300 {
                calls.insert(call.id.clone(), call);
            }
        }
    }
    placed
}

/// Has 64 of B's flows spin until the end.
fn spin(server: SocketAddr, done: &AtomicBool) -> usize {
    let mut phone = Phone::udp(server);
    let calls: Vec<Call> = (0..LOOPS).map(|_| phone.invite("hostile0")).collect();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    for call in &calls {
        phone.cancel(call);
    }
    LOOPS
}
