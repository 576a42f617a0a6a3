//! How much a flow may make the host send: a bucket of tokens that fills again with time.
//!
//! Fuel bounds what a flow computes, but a response costs it a few hundred instructions and the network a packet. So
//! each command that puts a request or a response on the wire takes a token from the session's bucket and from the
//! tenant's. What ends a leg is never refused. Entry type: [`Allowance`]. Invariant: at most `burst` tokens are there.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bucket of tokens.
#[derive(Debug)]
pub struct Allowance {
    burst: f64,
    per_s: f64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Allowance {
    /// A full bucket of `burst` tokens that gains `per_s` a second.
    #[must_use]
    pub fn new(burst: u32, per_s: u32) -> Self {
        Self {
            burst: f64::from(burst),
            per_s: f64::from(per_s),
            level: Mutex::new(Level {
                tokens: f64::from(burst),
                at: Instant::now(),
            }),
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        // Two numbers, each valid on its own whoever panicked.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(level.at).as_secs_f64() * self.per_s;
        level.tokens = (level.tokens + gained).min(self.burst);
        level.at = now;
        let has = level.tokens >= 1.0;
        if has {
            level.tokens -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_and_then_what_time_brings() {
        let bucket = Allowance::new(5, 10);
        let begun = Instant::now();
        let taken = |ms| {
            let now = begun + Duration::from_millis(ms);
            (0..20).filter(|_| bucket.take_at(now)).count()
        };
        assert_eq!(taken(0), 5);
        assert_eq!(taken(250), 2);
        assert_eq!(taken(300), 1, "halves are kept");
        assert_eq!(taken(3_600_000), 5, "and no more than a burst is saved up");
    }
}
