//! When to renew what a server grants for a time, and when to try again after a failure.
//!
//! Pure functions of numbers; shared by registrations and subscriptions. Entry functions: [`renew_after`], [`retry_after`],
//! [`retry_within`], [`is_passing`].

use std::time::Duration;

/// RFC 5626 §4.5: base-time when nothing else is registered, and max-time.
const RETRY_BASE_S: u64 = 30;
const RETRY_MAX_S: u64 = 1_800;

/// Between two tries of something that is about to run out.
const RETRY_LEAST: Duration = Duration::from_millis(500);

/// A Retry-After above this is not believed.
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// When to renew a grant of so many seconds: at 90 %, and at least 5 s before its end, which is room for one lost request
/// over UDP; a grant of less than 10 s is renewed at its half.
pub(crate) fn renew_after(granted_s: u32) -> Duration {
    let granted = u64::from(granted_s) * 1_000;
    let spare = (granted / 10).max(5_000).min(granted / 2);
    Duration::from_millis(granted - spare)
}

/// The pause after so many failures in a row: from half of `30 s · 2ⁿ` to the whole, 30 minutes at most (RFC 5626 §4.5);
/// longer when the server asks for it in Retry-After. `dice` is a random number.
pub(crate) fn retry_after(failures: u32, asked_s: Option<u32>, dice: u64) -> Duration {
    let whole = RETRY_BASE_S
        .saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX))
        .min(RETRY_MAX_S)
        * 1_000;
    let half = whole / 2;
    let pause = half + dice % (half + 1);
    let asked = u64::from(asked_s.unwrap_or(0)).min(RETRY_AFTER_MAX_S) * 1_000;
    Duration::from_millis(pause.max(asked))
}

/// The pause where something that was granted still holds for so long and is gone after it: that of [`retry_after`], but no
/// more than half of what is left, so that the tries get denser towards the end, 500 ms (T1) apart at last. A server that
/// asks for more with Retry-After gets it.
pub(crate) fn retry_within(
    left: Option<Duration>,
    failures: u32,
    asked_s: Option<u32>,
    dice: u64,
) -> Duration {
    let pause = retry_after(failures, None, dice);
    let pause = left.map_or(pause, |left| pause.min(left / 2).max(RETRY_LEAST));
    let asked = u64::from(asked_s.unwrap_or(0)).min(RETRY_AFTER_MAX_S);
    pause.max(Duration::from_secs(asked))
}

/// Whether a refusal may be gone the next time: the server is busy or has a fault. Anything else stands until somebody
/// changes the request or the server.
pub(crate) fn is_passing(code: u16) -> bool {
    matches!(code, 408 | 429 | 430 | 480 | 491 | 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_renewed_before_its_end_with_room_for_a_lost_request() {
        for (granted, at_ms) in [
            (3_600, 3_240_000),
            (300, 270_000),
            (50, 45_000),
            (20, 15_000),
            (10, 5_000),
            (4, 2_000),
            (1, 500),
        ] {
            assert_eq!(renew_after(granted), Duration::from_millis(at_ms), "{granted}");
        }
    }

    #[test]
    fn pauses_double_to_half_an_hour_and_keep_half_of_their_length() {
        for (failures, least_s, most_s) in [
            (1, 30, 60),
            (2, 60, 120),
            (3, 120, 240),
            (6, 900, 1_800),
            (99, 900, 1_800),
        ] {
            let s = Duration::from_secs;
            assert_eq!(retry_after(failures, None, 0), s(least_s));
            assert_eq!(retry_after(failures, None, least_s * 1_000), s(most_s));
            for dice in [1, u64::MAX, 0x1234_5678_9abc] {
                let pause = retry_after(failures, None, dice);
                assert!((s(least_s)..=s(most_s)).contains(&pause), "{failures} {pause:?}");
            }
        }
        assert_eq!(retry_after(1, Some(100), 0), Duration::from_secs(100));
        assert_eq!(retry_after(1, Some(5), 0), Duration::from_secs(30));
        assert_eq!(retry_after(1, Some(u32::MAX), 0), Duration::from_secs(3_600));
    }

    #[test]
    fn what_is_about_to_run_out_is_tried_again_before_it_has() {
        let ms = Duration::from_millis;
        for (left_ms, asked, pause_ms) in [
            (3_600_000, None, 30_000),
            (16_000, None, 8_000),
            (3_000, None, 1_500),
            (700, None, 500),
            (0, None, 500),
            (16_000, Some(2), 8_000),
            (16_000, Some(12), 12_000),
            (16_000, Some(100), 100_000),
        ] {
            assert_eq!(
                retry_within(Some(ms(left_ms)), 1, asked, 0),
                ms(pause_ms),
                "{left_ms}"
            );
        }
        assert_eq!(retry_within(None, 1, None, 0), retry_after(1, None, 0));
    }
}
