//! The supervisor's watchdog: told that the host lives, as long as every SIP thread still does its turns.
//!
//! Knows nothing of calls. Entry point: [`tend`]. Invariant: who hangs, this task's own thread or a SIP thread, is not spoken
//! for, so that the supervisor starts the host anew.

use std::convert::Infallible;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::supervisor::Supervisor;
use crate::wire::Pulse;

/// How often shards that were asked are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The shortest time that a supervisor may ask for: below it the machine's own delays would end a host that is well.
const SHORTEST: Duration = Duration::from_millis(20);

/// What is asked for a sign of life.
pub(super) trait Vital {
    /// Asks for one.
    fn ask(&mut self);
    /// Whether it came.
    fn beats(&self) -> bool;
}

impl Vital for Pulse {
    fn ask(&mut self) {
        Pulse::ask(self);
    }

    fn beats(&self) -> bool {
        Pulse::beats(self)
    }
}

/// The time within which the supervisor of this process wants to hear of it; none when it does not watch this process.
pub(super) fn wanted() -> Option<Duration> {
    let var = |name| std::env::var_os(name);
    read(var("WATCHDOG_USEC"), var("WATCHDOG_PID"), std::process::id())
}

fn read(usec: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    // Set for another process, which has left it to its children.
    if pid.is_some_and(|pid| number(pid) != Some(u64::from(own))) {
        return None;
    }
    let usec = number(usec?).filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec).max(SHORTEST))
}

/// Speaks for the host at every half of `wanted`, for ever. Who was asked and gives no sign delays the word until it does.
pub(super) async fn tend(supervisor: Arc<Supervisor>, mut vital: impl Vital, wanted: Duration) -> Infallible {
    let half = wanted / 2;
    let mut silent = false;
    loop {
        let next = Instant::now() + half;
        vital.ask();
        while !vital.beats() {
            if Instant::now() >= next && !silent {
                silent = true;
                tracing::error!(
                    "a SIP thread hangs; the supervisor's watchdog is not told that callbox lives"
                );
            }
            sleep(LOOK).await;
        }
        if silent {
            silent = false;
            tracing::warn!("the SIP thread goes on");
        }
        supervisor.lives();
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_watchdog_is_this_process_s_own() {
        let some = |text: &str| Some(OsString::from(text));
        assert_eq!(read(None, None, 7), None);
        assert_eq!(read(some("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(
            read(some("30000000"), some("7"), 7),
            Some(Duration::from_secs(30))
        );
        assert_eq!(read(some("30000000"), some("8"), 7), None);
        assert_eq!(read(some("0"), None, 7), None);
        assert_eq!(read(some("soon"), None, 7), None);
        assert_eq!(read(some("1"), None, 7), Some(SHORTEST));
    }

    #[derive(Clone, Default)]
    struct Patient {
        asked: Arc<AtomicUsize>,
        dead: Arc<AtomicBool>,
    }

    impl Vital for Patient {
        fn ask(&mut self) {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }

        fn beats(&self) -> bool {
            !self.dead.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn nobody_speaks_for_one_who_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let heard = async |longest| {
            let mut buffer = [0; 64];
            let heard = tokio::time::timeout(longest, socket.recv(&mut buffer)).await;
            heard.is_ok_and(|length| buffer.get(..length.unwrap()) == Some(b"WATCHDOG=1".as_slice()))
        };
        let supervisor = Arc::new(Supervisor::at(path.as_os_str().as_encoded_bytes()).unwrap());
        let patient = Patient::default();
        let task = tokio::spawn(tend(supervisor, patient.clone(), Duration::from_millis(100)));
        let patience = Duration::from_secs(10);
        for _ in 0..4 {
            assert!(heard(patience).await);
        }
        patient.dead.store(true, Ordering::Relaxed);
        // One word may be on its way.
        let _ = heard(Duration::from_millis(200)).await;
        let asked = patient.asked.load(Ordering::Relaxed);
        assert!(
            !heard(Duration::from_millis(500)).await,
            "the dead was spoken for"
        );
        assert!(patient.asked.load(Ordering::Relaxed) <= asked + 1);
        patient.dead.store(false, Ordering::Relaxed);
        assert!(heard(patience).await, "it lives again");
        task.abort();
    }
}
