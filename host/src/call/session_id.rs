//! Names for sessions.
//!
//! A Call-ID would not do: the peer chooses it, and may choose that of another call, or one that no log can hold.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other session of this process has: when the process began to count, and the count. Names of two runs
/// of a host differ unless they begin in the same millisecond.
pub(super) fn next() -> String {
    static BEGAN: OnceLock<u128> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let began = BEGAN.get_or_init(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis())
    });
    format!("{began:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_short() {
        let (one, other) = (next(), next());
        assert_ne!(one, other);
        assert!(
            one.len() <= 64
                && one
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
}
