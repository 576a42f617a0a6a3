//! `make bench-load`: callbox beside `sipp -sn uas` and a bare socket, in one run, on one core, from one client.
//!
//! Each server runs pinned to core 0 and gets the same calls (INVITE, 180, 200, ACK, BYE, 200) at the same rate from SIPp
//! on core 1. CPU is user and system time of all the server's threads, from /proc; latency is measured by a caller of our
//! own that places calls between SIPp's. Servers take turns, so that a neighbour's load hits all of them.
//!
//! `bench-load [--rate 1000] [--seconds 15] [--rounds 2] [--held 5000]`; takes about three minutes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use callbox_tests::latency;
use callbox_tests::message::Message;
use callbox_tests::process::{self, Running};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::{Counts, Sipp};
use callbox_tests::{cli, net};

const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
/// Timer J and the linger of an ended dialog: what a call costs after it is over.
const AFTERMATH: Duration = Duration::from_secs(34);

struct Options {
    rate: u32,
    seconds: u32,
    rounds: u32,
    held: u32,
}

/// A server under test, whatever it is.
enum Server {
    Callbox(Callbox),
    Other { running: Running, address: SocketAddr },
}

impl Server {
    fn pid(&self) -> u32 {
        match self {
            Self::Callbox(it) => it.pid(),
            Self::Other { running, .. } => running.pid(),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Callbox(it) => it.address(),
            Self::Other { address, .. } => *address,
        }
    }
}

#[derive(Default)]
struct Measured {
    name: &'static str,
    /// Microseconds of CPU a call, one number a round.
    cpu: Vec<f64>,
    /// Microseconds from INVITE to 200.
    latencies: Vec<u64>,
    failed: u64,
    retransmitted: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, address] = arguments.as_slice()
        && mode == "bare"
    {
        return bare_socket(address.parse().expect("ADDRESS:PORT"));
    }
    let options = options(&arguments);
    pin_self();
    println!(
        "server on core {SERVER_CORE}, client on core {CLIENT_CORE}; callbox is {}",
        cli::binary().display()
    );

    let mut all: Vec<Measured> = ["sipp -sn uas", "callbox", "bare socket"]
        .map(|name| Measured {
            name,
            ..Measured::default()
        })
        .into();
    let mut aftermath = 0.0;
    for round in 0..options.rounds {
        for measured in &mut all {
            let server = start(measured.name);
            let calls = measure(&server, &options, measured);
            if measured.name == "callbox" {
                threads(server.pid());
                if round + 1 == options.rounds {
                    let before = process::cpu_time(server.pid());
                    std::thread::sleep(AFTERMATH);
                    aftermath = micros(process::cpu_time(server.pid()) - before) / calls;
                }
            }
        }
    }
    let held = held(&options);
    report(&options, &all, aftermath, held);
}

fn options(arguments: &[String]) -> Options {
    let mut options = Options {
        rate: 1_000,
        seconds: 15,
        rounds: 2,
        held: 5_000,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            panic!("{} needs a number", pair[0])
        };
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("{name} needs a number, not {value}"));
        match name.as_str() {
            "--rate" => options.rate = value,
            "--seconds" => options.seconds = value,
            "--rounds" => options.rounds = value,
            "--held" => options.held = value,
            _ => panic!("{name} is not an option: --rate, --seconds, --rounds, --held"),
        }
    }
    options
}

fn start(name: &str) -> Server {
    if name == "callbox" {
        let setup = Setup::new()
            .log_level("warn")
            .limit("limits", "calls_max", 6_000)
            .cores(SERVER_CORE);
        return Server::Callbox(setup.flow("answer", "hello").start());
    }
    let address = SocketAddr::new(IpAddr::V4(net::fresh_ipv4()), 5060);
    let own = address.ip().to_string();
    let mut command = Command::new("taskset");
    command
        .args(["-c", SERVER_CORE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if name == "bare socket" {
        command
            .arg(std::env::current_exe().unwrap())
            .arg("bare")
            .arg(address.to_string());
    } else {
        command.args([
            "sipp", "-sn", "uas", "-i", &own, "-mi", &own, "-ci", &own, "-p", "5060", "-nostdin",
        ]);
        command.env("TERM", "dumb");
    }
    let running = Running::start(&mut command).expect("the server starts");
    std::thread::sleep(Duration::from_millis(500));
    Server::Other { running, address }
}

/// Warms the server up, loads it, and adds what it cost. Returns the number of calls.
fn measure(server: &Server, options: &Options, measured: &mut Measured) -> f64 {
    let calls = |count: u32| {
        Sipp::scenario("answer", server.address(), "answer")
            .fill("HOLD_MS", 0)
            .load(count, options.rate)
            .at_once(options.rate * 10)
            .longest(Duration::from_secs(u64::from(count / options.rate) + 60))
            .cores(CLIENT_CORE)
    };
    calls(options.rate * 2).run();
    let before = process::cpu_time(server.pid());
    let done = AtomicBool::new(false);
    let (counts, latencies): (Counts, Vec<u64>) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| latency::sample(server.address(), "answer", &done));
        let counts = calls(options.rate * options.seconds).run();
        done.store(true, Ordering::Relaxed);
        (counts, sampler.join().unwrap())
    });
    let total = (counts.successful + counts.failed) as f64 + latencies.len() as f64;
    let cpu = micros(process::cpu_time(server.pid()) - before) / total;
    println!(
        "{:>13}: {cpu:6.1} µs a call, {} failed",
        measured.name, counts.failed
    );
    measured.cpu.push(cpu);
    measured.latencies.extend(latencies);
    measured.failed += counts.failed;
    measured.retransmitted += counts.retransmitted + counts.received_again;
    total
}

/// Memory of a call that is up: KiB.
fn held(options: &Options) -> f64 {
    let Server::Callbox(server) = start("callbox") else {
        unreachable!("it is callbox that was started")
    };
    let calls = |count: u32, hold: u32| {
        Sipp::scenario("answer", server.address(), "answer")
            .fill("HOLD_MS", hold)
            .load(count, 500)
            .at_once(count + 1)
            .longest(Duration::from_secs(180))
            .cores(CLIENT_CORE)
    };
    calls(200, 0).run();
    let base = process::rss_kib(server.pid());
    let build_up_ms = options.held * 2;
    let run = calls(options.held, build_up_ms + 10_000).start();
    let deadline = Instant::now() + Duration::from_millis(u64::from(build_up_ms) + 8_000);
    let mut most = 0;
    let mut rss = base;
    while Instant::now() < deadline && most < u64::from(options.held) {
        std::thread::sleep(Duration::from_millis(250));
        most = run.current();
        rss = process::rss_kib(server.pid());
    }
    println!("{most} calls held: {rss} KiB, {base} KiB before them");
    let counts = run.finish();
    assert_eq!(counts.failed, 0, "held calls failed: {counts:#?}");
    assert_eq!(most, u64::from(options.held), "not all calls were up at once");
    (rss - base) as f64 / most as f64
}

fn report(options: &Options, all: &[Measured], aftermath: f64, held: f64) {
    let best = |measured: &Measured| measured.cpu.iter().copied().fold(f64::INFINITY, f64::min);
    let sipp = best(&all[0]);
    println!(
        "\n{} calls/s for {} s, {} rounds; the best round counts",
        options.rate, options.seconds, options.rounds
    );
    println!("| server | CPU µs a call | × sipp | answer p50 ms | p99 ms | failed | sent again |");
    println!("|---|---|---|---|---|---|---|");
    for measured in all {
        let latencies = latency::Sorted::of(&measured.latencies);
        println!(
            "| {} | {:.1} | {:.2} | {:.2} | {:.2} | {} | {} |",
            measured.name,
            best(measured),
            best(measured) / sipp,
            latencies.percentile_ms(0.50),
            latencies.percentile_ms(0.99),
            measured.failed,
            measured.retransmitted
        );
    }
    println!(
        "\ncallbox, {} s after the last call: {aftermath:.1} µs a call more (timers that let ended transactions go)",
        AFTERMATH.as_secs()
    );
    println!("callbox, {} calls held: {held:.1} KiB a call", options.held);
}

fn threads(pid: u32) {
    let list: Vec<String> = process::cpu_by_thread(pid)
        .into_iter()
        .map(|(name, time)| format!("{name} {:.2} s", time.as_secs_f64()))
        .collect();
    println!("{:>13}  {}", "", list.join(", "));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn pin_self() {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", CLIENT_CORE, &pid])
        .stdout(Stdio::null())
        .status();
    assert!(
        pinned.is_ok_and(|status| status.success()),
        "taskset (Debian: util-linux) is needed"
    );
}

/// The least that a SIP server on one socket can do: one read, one answer copied from the request, one write.
fn bare_socket(address: SocketAddr) {
    let socket = UdpSocket::bind(address).expect("a free port");
    let mut buffer = vec![0; 65_536];
    let mut answer = Vec::new();
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let request = Message::from_bytes(&buffer[..size]);
        if request.method().is_none_or(|method| method == "ACK") {
            continue;
        }
        let tag = if request.to_tag().is_some() {
            ""
        } else {
            ";tag=bare"
        };
        answer.clear();
        answer.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        for (name, more) in [
            ("Via", ""),
            ("From", ""),
            ("To", tag),
            ("Call-ID", ""),
            ("CSeq", ""),
        ] {
            answer.extend_from_slice(format!("{name}: {}{more}\r\n", request.header(name)).as_bytes());
        }
        answer.extend_from_slice(format!("Contact: <sip:{address}>\r\nContent-Length: 0\r\n\r\n").as_bytes());
        let _ = socket.send_to(&answer, from);
    }
}
