//! Timer values of RFC 3261 (table 4) and RFC 6026.
//!
//! Entry type: [`Timing`]. Everything derives from T1, T2 and T4, so a test or a slow network changes three numbers.

use std::time::Duration;

/// The timers of the transaction machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// INVITE request retransmission, unreliable only
    A,
    /// INVITE transaction time-out
    B,
    /// Wait for response retransmissions after a failure of an INVITE
    D,
    /// Non-INVITE request retransmission, unreliable only
    E,
    /// Non-INVITE transaction time-out
    F,
    /// INVITE response retransmission, unreliable only
    G,
    /// Wait for the ACK of a failure
    H,
    /// Wait for ACK retransmissions
    I,
    /// Wait for non-INVITE request retransmissions
    J,
    /// Wait for non-INVITE response retransmissions
    K,
    /// Accepted INVITE server transaction (RFC 6026)
    L,
    /// Accepted INVITE client transaction (RFC 6026)
    M,
    /// The 200 ms before a server must send 100 (RFC 3261 §17.2.1)
    Trying,
}

impl Timer {
    /// True for the timers that only let an ended transaction go: nothing is sent when they fire, and a little later is
    /// as good.
    #[must_use]
    pub fn only_releases(self) -> bool {
        matches!(self, Self::D | Self::I | Self::J | Self::K | Self::L | Self::M)
    }
}

/// The base values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Estimate of the round trip. Default 500 ms.
    pub t1: Duration,
    /// The longest interval between retransmissions of non-INVITE requests and INVITE responses. Default 4 s.
    pub t2: Duration,
    /// The longest time a message stays in the network. Default 5 s.
    pub t4: Duration,
    /// How long an INVITE may go without a response before 100 is sent. Default and maximum 200 ms.
    pub trying: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timing {
    /// 64·T1, the life of a transaction (32 s by default).
    #[must_use]
    pub fn sixty_four_t1(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The first value of a timer over a reliable or an unreliable transport.
    #[must_use]
    pub fn initial(&self, timer: Timer, reliable: bool) -> Duration {
        match timer {
            Timer::A | Timer::E | Timer::G => self.t1,
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M => self.sixty_four_t1(),
            Timer::D | Timer::J if reliable => Duration::ZERO,
            Timer::D | Timer::J => self.sixty_four_t1(),
            Timer::I | Timer::K if reliable => Duration::ZERO,
            Timer::I | Timer::K => self.t4,
            Timer::Trying => self.trying,
        }
    }

    /// The interval after this one where it doubles up to T2 (timers E and G, and 2xx retransmission).
    #[must_use]
    pub fn doubled_to_t2(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_4_of_rfc_3261_and_rfc_6026() {
        let t = Timing::default();
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        // (timer, unreliable, reliable)
        let table = [
            (Timer::A, ms(500), ms(500)),
            (Timer::B, s(32), s(32)),
            (Timer::D, s(32), s(0)),
            (Timer::E, ms(500), ms(500)),
            (Timer::F, s(32), s(32)),
            (Timer::G, ms(500), ms(500)),
            (Timer::H, s(32), s(32)),
            (Timer::I, s(5), s(0)),
            (Timer::J, s(32), s(0)),
            (Timer::K, s(5), s(0)),
            (Timer::L, s(32), s(32)),
            (Timer::M, s(32), s(32)),
            (Timer::Trying, ms(200), ms(200)),
        ];
        for (timer, unreliable, reliable) in table {
            assert_eq!(t.initial(timer, false), unreliable, "{timer:?} unreliable");
            assert_eq!(t.initial(timer, true), reliable, "{timer:?} reliable");
        }
        assert_eq!(t.doubled_to_t2(s(3)), s(4));
        assert_eq!(t.doubled_to_t2(s(1)), s(2));
    }
}
