//! Which calls are traced. Entry type: [`Sampler`]. Invariant: whoever asks about a session gets the same answer, so its parts
//! need not tell each other; and no peer can choose to be traced, because the keys are drawn when the host starts.

use std::hash::{BuildHasher, RandomState};

/// All calls, in parts of a million.
pub const WHOLE: u32 = 1_000_000;

/// Decides by the name of a session.
#[derive(Debug, Clone)]
pub struct Sampler {
    keys: RandomState,
    calls: u32,
    host_calls: u32,
}

impl Sampler {
    /// Traces so many of a million calls, and of those so many of a million with their host calls.
    #[must_use]
    pub fn new(calls: u32, host_calls: u32) -> Self {
        Self {
            keys: RandomState::new(),
            calls,
            host_calls,
        }
    }

    /// Whether the session is traced.
    #[must_use]
    pub fn takes(&self, session: &str) -> bool {
        self.draw(session, 0) < self.calls
    }

    /// Whether its host calls are too.
    #[must_use]
    pub fn takes_host_calls(&self, session: &str) -> bool {
        self.host_calls > 0 && self.draw(session, 1) < self.host_calls && self.takes(session)
    }

    fn draw(&self, session: &str, what: u8) -> u32 {
        // Less than `WHOLE`.
        u32::try_from(self.keys.hash_one((session, what)) % u64::from(WHOLE)).unwrap_or(WHOLE)
    }

    /// Never 0, which names nothing.
    pub(super) fn trace_id(&self, session: &str) -> u128 {
        let half = |what: u8| u128::from(self.keys.hash_one((session, what)));
        (half(2) << 64 | half(3)).max(1)
    }

    /// Of the span of this number in a trace.
    pub(super) fn span_id(&self, trace: u128, number: usize) -> u64 {
        self.keys.hash_one((trace, number)).max(1)
    }
}
