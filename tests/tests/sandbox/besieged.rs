//! Two tenants that take all they may have, all of it at once: every bound of a tenant is hit, and hit again, while the calls
//! of a third are answered. How fast they are answered is what `make bench-isolation` measures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use callbox_tests::process;
use callbox_tests::siege::{self, Bounds, Siege};

use crate::{STOPPED, Stage, setup};

#[test]
fn tenants_at_every_bound_at_once_harm_nobody_else() {
    let setup = setup()
        .limit("limits.plugin", "call_max_s", 5)
        .limit("limits.versions", "breaker_traps", 0);
    let (siege, setup) = Siege::lay(setup);
    let mut stage = Stage::of(setup.patience(Duration::from_secs(180)));
    let (address, done) = (stage.server.address(), AtomicBool::new(false));
    let most = stage.rss_kib + ((siege::MEMORY + siege::BOOKKEEPING) >> 10);
    std::thread::scope(|scope| {
        // Lets the callers end whatever is asserted here.
        let ends = Ends(&done);
        let callers = scope.spawn(|| siege.run(address, &done));
        // Twice: what is hit once at the beginning is no bound that the tenants are held at.
        for _ in 0..2 {
            let before = Bounds::of(stage.server.folder());
            let deadline = Instant::now() + STOPPED;
            loop {
                stage.others_are_answered();
                let now = process::rss_kib(stage.server.pid());
                assert!(now < most, "{} KiB before, {now} KiB now", stage.rss_kib);
                let bounds = Bounds::of(stage.server.folder());
                let (_, not_hit) = bounds.since(&before);
                if not_hit.is_empty() {
                    break;
                }
                assert!(Instant::now() < deadline, "not hit: {not_hit:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        drop(ends);
        assert!(callers.join().unwrap() > 0);
    });
    stage.unharmed();
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
