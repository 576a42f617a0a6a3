//! `make bench-reload`: calls at 100 a second while 200 versions of their flows and 50 broken ones come in.
//!
//! Half of the versions come by the admin API, half as files in the flow folder; every other one is new, the rest goes back and
//! forth between two that are compiled already. `bench-reload [--seconds 60] [--rate 100] [--deploys 200] [--broken 50]`; ends by
//! itself, with status 1 when a call failed, strayed from its version, or a broken version was taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::process::ExitCode;
use std::time::Duration;

use callbox_tests::cli;
use callbox_tests::latency::Sorted;
use callbox_tests::storm::{Report, Storm, Taken, run};

const USAGE: &str = "bench-reload [--seconds 60] [--rate 100] [--deploys 200] [--broken 50]";

/// From the end of compilation, or from when compiled code was found, until calls get a version.
const SWITCH_MAX: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let mut storm = Storm {
        time: Duration::from_secs(60),
        rate: 100,
        deploys: 200,
        broken: 50,
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { panic!("{USAGE}") };
        let value: u32 = value.parse().expect(USAGE);
        match name.as_str() {
            "--seconds" => storm.time = Duration::from_secs(value.into()),
            "--rate" => storm.rate = value.max(1),
            "--deploys" => storm.deploys = value,
            "--broken" => storm.broken = value,
            _ => panic!("{USAGE}"),
        }
    }
    println!("callbox is {}", cli::binary().display());
    let report = run(storm);
    print(&storm, &report);
    let bad = report.failed.len() + report.strayed.len() + report.not_taken.len() + report.wrongly_taken;
    ExitCode::from(u8::from(bad > 0))
}

fn print(storm: &Storm, report: &Report) {
    println!(
        "\n{} calls/s for {} s, {} deploys, {} broken ones; half by the API, half as files",
        storm.rate,
        storm.time.as_secs(),
        storm.deploys,
        storm.broken
    );
    println!("calls: {}", report.calls);
    println!("failed calls: {}", report.failed.len());
    println!("calls that ended on another version: {}", report.strayed.len());
    println!("requests that callers sent again: {}", report.again);
    println!(
        "versions taken: {}, good ones not taken: {}",
        report.taken.len(),
        report.not_taken.len()
    );
    println!(
        "broken ones refused: {}, taken: {}",
        report.refused.len(),
        report.wrongly_taken
    );
    println!(
        "\nfrom the end of compilation, in ms; the first caller comes up to {} ms late by itself",
        2_000 / storm.rate
    );
    println!("| versions | number | compiled or found p50 | in effect p50 | p99 | first caller p50 | p99 |");
    println!("|---|---|---|---|---|---|---|");
    type Wanted = fn(&Taken) -> bool;
    let kinds: [(&str, Wanted); 4] = [
        ("new, by the API", |taken| taken.fresh && taken.by_hand),
        ("cached, by the API", |taken| !taken.fresh && taken.by_hand),
        ("new, as a file", |taken| taken.fresh && !taken.by_hand),
        ("cached, as a file", |taken| !taken.fresh && !taken.by_hand),
    ];
    for (name, wanted) in kinds {
        let (effect, switch) = report.times(wanted);
        let compile: Vec<u64> = report
            .taken
            .iter()
            .filter(|taken| wanted(taken))
            .map(|taken| taken.compile.as_micros() as u64)
            .collect();
        println!(
            "| {name} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} |",
            compile.len(),
            Sorted::of(&compile).percentile_ms(0.50),
            switch.percentile_ms(0.50),
            switch.percentile_ms(0.99),
            effect.percentile_ms(0.50),
            effect.percentile_ms(0.99),
        );
    }
    let soon = report
        .taken
        .iter()
        .filter(|taken| taken.switch <= SWITCH_MAX)
        .count();
    println!(
        "in effect within {} ms of the end of compilation: {soon} of {}",
        SWITCH_MAX.as_millis(),
        report.taken.len()
    );
    println!(
        "\n| broken | refused by the API p50 ms | p99 | as a file p50 ms (200 of them to settle) | p99 |"
    );
    println!("|---|---|---|---|---|");
    let mut names: Vec<&str> = report.refused.iter().map(|refused| refused.kind).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = |by_hand: bool| {
            let these = report
                .refused
                .iter()
                .filter(|it| it.kind == name && it.by_hand == by_hand);
            Sorted::of(&these.map(|it| it.took.as_micros() as u64).collect::<Vec<_>>())
        };
        let (hand, file) = (of(true), of(false));
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} |",
            hand.percentile_ms(0.50),
            hand.percentile_ms(0.99),
            file.percentile_ms(0.50),
            file.percentile_ms(0.99)
        );
    }
    let rss: Vec<String> = report.rss_kib.iter().map(|kib| (kib >> 10).to_string()).collect();
    println!(
        "\nhost's RSS in MiB before, after each third, at the end: {}",
        rss.join(", ")
    );
    println!(
        "versions kept: {} (of {} at most), compiled code kept: {} (of {})",
        report.kept, report.bounds.0, report.cached, report.bounds.1
    );
    for (what, texts) in [
        ("failed", &report.failed),
        ("strayed", &report.strayed),
        ("not taken", &report.not_taken),
    ] {
        for text in texts.iter().filter(|text| !text.is_empty()).take(10) {
            println!("{what}: {text}");
        }
    }
}
