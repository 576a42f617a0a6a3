//! How long an answer takes, seen by a caller of our own that places calls among the load.
//!
//! Entry points: [`sample`], [`Sorted`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::phone::Phone;

/// Places a call every 20 ms until `done`, and notes how long each 200 took, in microseconds.
pub fn sample(server: SocketAddr, user: &str, done: &AtomicBool) -> Vec<u64> {
    let mut phone = Phone::udp(server);
    let mut latencies = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let mut call = phone.invite(user);
        let answered = loop {
            match phone.receive_of(&call, Duration::from_secs(2)) {
                Some(message) if message.status() == Some(200) => break Some(message),
                Some(_) => {}
                None => break None,
            }
        };
        if let Some(response) = answered {
            latencies.push(begun.elapsed().as_micros() as u64);
            phone.ack(&mut call, &response);
            phone.bye(&mut call);
            phone.receive_of(&call, Duration::from_secs(1));
        }
        std::thread::sleep(Duration::from_millis(20).saturating_sub(begun.elapsed()));
    }
    latencies
}

/// Latencies in order.
#[derive(Debug)]
pub struct Sorted(Vec<u64>);

impl Sorted {
    /// Of microseconds in any order.
    pub fn of(latencies: &[u64]) -> Self {
        let mut latencies = latencies.to_vec();
        latencies.sort_unstable();
        Self(latencies)
    }

    /// The latency that this part of all (0.0 to 1.0) does not exceed, in milliseconds.
    pub fn percentile_ms(&self, part: f64) -> f64 {
        let at = ((self.0.len() as f64 * part) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(f64::NAN, |micros| *micros as f64 / 1_000.0)
    }
}
