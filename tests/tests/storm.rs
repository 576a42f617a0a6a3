//! A short reload storm over real SIP: `make bench-reload` in small, with bounds for a busy machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use callbox_tests::storm::{Storm, run};

#[test]
fn versions_come_and_go_under_calls_and_no_call_notices() {
    let report = run(Storm {
        time: Duration::from_secs(10),
        rate: 50,
        deploys: 30,
        broken: 10,
    });
    assert!(report.calls > 400, "{report:#?}");
    assert!(report.failed.is_empty(), "{report:#?}");
    assert!(report.strayed.is_empty(), "{report:#?}");
    assert!(report.not_taken.is_empty(), "{report:#?}");
    assert_eq!(
        (report.taken.len(), report.refused.len()),
        (30, 10),
        "{report:#?}"
    );
    assert_eq!(report.wrongly_taken, 0);
    // 100 ms on a machine that does nothing else; the median leaves out what the others here do.
    let (_, switch) = report.times(|_| true);
    assert!(switch.percentile_ms(0.50) < 1_000.0, "{report:#?}");
    let seen = report.taken.iter().filter(|taken| taken.effect.is_some()).count();
    assert!(
        seen * 2 > report.taken.len(),
        "callers got the versions: {report:#?}"
    );
    let (kept, cached) = report.bounds;
    assert!(report.kept <= kept && report.cached <= cached, "{report:#?}");
    let (before, after) = (report.rss_kib[0], report.rss_kib[report.rss_kib.len() - 1]);
    assert!(after < before + (64 << 10), "{report:#?}");
}
