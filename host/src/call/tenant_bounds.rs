//! What all sessions of one tenant have together: counted here, and bounded by the rows of `limits.tenant`.
//!
//! Each bound is asked where the thing it bounds is made: messages, legs and calls here in `call`, memory and CPU by what runs
//! the flow. It deliberately knows no tenant: whoever makes it decides how large it is, and keeps it for as long as the
//! tenant has sessions. Entry type: [`TenantBounds`]. Invariant: no lock is taken here, so that asking costs a few
//! nanoseconds on any thread.

use std::sync::Arc;

use super::allowance::Allowance;
use super::gauge::Gauge;
use crate::config::limits::TenantLimits;

macro_rules! tenant_bounds {
    (
        at a time { $( $(#[$gauge_doc:meta])* $gauge:ident = $max:ident; )* }
        in a time { $( $(#[$rate_doc:meta])* $rate:ident = $per_s:ident, $burst:ident $(* $unit:literal)?; )* }
    ) => {
        /// The counters of one tenant.
        #[derive(Debug)]
        pub struct TenantBounds {
            $( $(#[$gauge_doc])* pub $gauge: Gauge, )*
            $( $(#[$rate_doc])* pub $rate: Allowance, )*
        }

        impl TenantBounds {
            /// Nothing is taken of anything.
            #[must_use]
            pub fn new(limits: &TenantLimits) -> Arc<Self> {
                Arc::new(Self::sized(limits))
            }

            fn sized(limits: &TenantLimits) -> Self {
                Self {
                    $( $gauge: Gauge::new(limits.$max), )*
                    $( $rate: Allowance::new(limits.$burst $(.saturating_mul($unit))?, limits.$per_s $(.saturating_mul($unit))?), )*
                }
            }

            /// Other bounds for a tenant that goes on: what is taken stays taken.
            pub fn resize(&self, limits: &TenantLimits) {
                $( self.$gauge.resize(limits.$max); )*
                $( self.$rate.resize(limits.$burst $(.saturating_mul($unit))?, limits.$per_s $(.saturating_mul($unit))?); )*
            }

            /// How it stands with each bound, by the row of the table of limits.
            #[must_use]
            pub fn readings(&self) -> Vec<Reading> {
                vec![
                    $( Reading {
                        limit: stringify!($max),
                        max: self.$gauge.max() as u64,
                        taken: Some(self.$gauge.taken() as u64),
                        hits: self.$gauge.refused(),
                    }, )*
                    $( Reading {
                        limit: stringify!($per_s),
                        max: self.$rate.per_s() $(/ $unit)?,
                        taken: None,
                        hits: self.$rate.refused(),
                    }, )*
                ]
            }
        }
    };
}

tenant_bounds! {
    at a time {
        /// Runs, and calls that sessions have accepted.
        calls = calls_max;
        /// Bytes of linear memories.
        memory = memory_max_bytes;
        /// Legs, idle ones included.
        legs = legs_max;
        /// Registrations that are not over.
        registrations = registrations_max;
        /// Subscriptions that are not over.
        subscriptions = subscriptions_max;
        /// Jobs that flows have started and that run.
        spawned = spawned_max;
        /// Jobs that wait for their time.
        delayed_jobs = delayed_jobs_max;
    }
    in a time {
        /// New calls.
        calls_rate = calls_rate, calls_burst;
        /// Microseconds of CPU.
        cpu = cpu_rate, cpu_burst_ms * 1_000;
        /// Calls that flows place.
        dials = dials_rate, dials_burst;
        /// Messages that flows cause.
        sends = sends_rate, sends_rate;
        /// Payloads from session to session.
        posts = posts_rate, posts_rate;
        /// Jobs that flows start.
        spawns = spawns_rate, spawns_burst;
        /// Bytes of log lines.
        log = log_rate, log_burst_bytes;
    }
}

impl Default for TenantBounds {
    /// As large as the table of limits says. For tests and benchmarks, and for programs with one tenant.
    fn default() -> Self {
        Self::sized(&TenantLimits::default())
    }
}

/// How it stands with one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The row of `limits.tenant`.
    pub limit: &'static str,
    /// The bound, as the row counts it.
    pub max: u64,
    /// How much is taken at this moment; none for what is counted by time.
    pub taken: Option<u64>,
    /// How often it was hit.
    pub hits: u64,
}

/// Something that counts for as long as it is there. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    bounds: Arc<TenantBounds>,
    of: fn(&TenantBounds) -> &Gauge,
}

impl Place {
    /// One of those that this gauge counts; none when there are as many as may be.
    #[must_use]
    pub fn take(bounds: &Arc<TenantBounds>, of: fn(&TenantBounds) -> &Gauge) -> Option<Self> {
        of(bounds).take(1).ok()?;
        Some(Self {
            bounds: Arc::clone(bounds),
            of,
        })
    }

    /// The same for what cannot be refused.
    #[must_use]
    pub fn take_anyway(bounds: &Arc<TenantBounds>, of: fn(&TenantBounds) -> &Gauge) -> Self {
        of(bounds).take_anyway(1);
        Self {
            bounds: Arc::clone(bounds),
            of,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.of)(&self.bounds).give_back(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_bound_is_a_row_and_every_row_is_a_bound_or_the_burst_of_one() {
        let limits = TenantLimits::default();
        let readings = TenantBounds::default().readings();
        for reading in &readings {
            assert_eq!(limits.get(reading.limit), Some(reading.max), "{}", reading.limit);
        }
        for row in TenantLimits::ROWS {
            let burst = row.name.contains("_burst");
            let read = readings.iter().any(|reading| reading.limit == row.name);
            assert!(burst != read, "{}", row.name);
        }
    }

    #[test]
    fn a_place_is_given_back_and_bounds_can_change_meanwhile() {
        let bounds = TenantBounds::new(&TenantLimits {
            spawned_max: 1,
            ..TenantLimits::default()
        });
        let place = Place::take(&bounds, |bounds| &bounds.spawned).unwrap();
        assert!(Place::take(&bounds, |bounds| &bounds.spawned).is_none());
        bounds.resize(&TenantLimits {
            spawned_max: 2,
            ..TenantLimits::default()
        });
        let second = Place::take(&bounds, |bounds| &bounds.spawned).unwrap();
        drop((place, second));
        assert_eq!((bounds.spawned.taken(), bounds.spawned.refused()), (0, 1));
    }
}
