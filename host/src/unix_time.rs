//! The calendar's clock as numbers: time since 1970 began, which is what records, files and answers hold.
//!
//! Knows nothing of who asks; how long something took is for `Instant` to say. Entry points: [`now_ms`], [`now_s`], [`ms`].
//! Invariant: a clock that stands before 1970 reads 0 and fails nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970 began.
fn since(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970 began, at this time.
pub(crate) fn ms(time: SystemTime) -> u64 {
    u64::try_from(since(time).as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 began, now.
pub(crate) fn now_ms() -> u64 {
    ms(SystemTime::now())
}

/// Seconds since 1970 began, now.
pub(crate) fn now_s() -> u64 {
    since(SystemTime::now()).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_reads_zero() {
        assert_eq!(ms(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(ms(UNIX_EPOCH + Duration::from_millis(1_500)), 1_500);
    }
}
