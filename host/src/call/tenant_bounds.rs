//! What all sessions of one tenant have together: counted here, and bounded by the rows of `limits.tenant`.
//!
//! Each bound is asked where the thing it bounds is made: messages, legs and calls here in `call`, memory and CPU by what runs
//! the flow. It deliberately knows no tenant: whoever makes it decides how large it is, and keeps it for as long as the
//! tenant has sessions. Entry type: [`TenantBounds`]. Invariant: no lock is taken here, so that asking costs a few
//! nanoseconds on any thread.

use std::sync::Arc;

use super::allowance::Allowance;
use super::error::CallError;
use super::gauge::Gauge;
use super::overruns::Overruns;
use crate::config::limits::TenantLimits;

macro_rules! tenant_bounds {
    (
        at a time { $( $(#[$gauge_doc:meta])* $gauge:ident = $max:ident; )* }
        in a time { $( $(#[$rate_doc:meta])* $rate:ident = $per_s:ident, $burst:ident $(* $unit:literal)?; )* }
    ) => {
        /// The counters of one tenant.
        #[derive(Debug)]
        pub struct TenantBounds {
            /// Whose they are, for the log.
            name: Arc<str>,
            /// Turns that held a thread too long.
            pub overruns: Overruns,
            $( $(#[$gauge_doc])* pub $gauge: Gauge, )*
            $( $(#[$rate_doc])* pub $rate: Allowance, )*
        }

        impl TenantBounds {
            /// Nothing is taken of anything.
            #[must_use]
            pub fn new(name: &str, limits: &TenantLimits) -> Arc<Self> {
                Arc::new(Self::sized(name, limits))
            }

            fn sized(name: &str, limits: &TenantLimits) -> Self {
                Self {
                    name: name.into(),
                    overruns: Overruns::default(),
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
        /// Timers that flows have set and that run.
        timers = timers_max;
        /// Events that flows have not read.
        events = events_max;
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
        Self::sized("", &TenantLimits::default())
    }
}

impl TenantBounds {
    /// Takes a token of one of the rates.
    ///
    /// # Errors
    /// `Denied` with the row.
    pub(crate) fn take(&self, of: fn(&Self) -> &Allowance, row: &'static str) -> Result<(), CallError> {
        match of(self).take() {
            true => Ok(()),
            false => Err(CallError::limit(self.hit(row, of(self).refused()))),
        }
    }

    /// Leave for one more call, whoever takes it: its place among the tenant's calls.
    ///
    /// # Errors
    /// The row that is hit.
    pub(crate) fn admit_call(self: &Arc<Self>) -> Result<Place, &'static str> {
        self.has_cpu()?;
        if !self.calls_rate.take() {
            return Err(self.hit("limits.tenant.calls_rate", self.calls_rate.refused()));
        }
        Place::among(self, |bounds| &bounds.calls, "limits.tenant.calls_max")
    }

    /// The same for a job.
    ///
    /// # Errors
    /// The row that is hit.
    pub(crate) fn admit_job(self: &Arc<Self>) -> Result<Place, &'static str> {
        self.has_cpu()?;
        Place::among(self, |bounds| &bounds.calls, "limits.tenant.calls_max")
    }

    fn has_cpu(&self) -> Result<(), &'static str> {
        if !self.cpu.is_spent() {
            return Ok(());
        }
        Err(self.slowed())
    }

    /// Something has to wait because the tenant's CPU is spent.
    pub(crate) fn slowed(&self) -> &'static str {
        self.cpu.count_refusal();
        self.hit("limits.tenant.cpu_rate", self.cpu.refused())
    }

    /// A bound is hit, so many times by now: tells the operator, once for each power of two.
    pub(crate) fn hit(&self, row: &'static str, hits: u64) -> &'static str {
        if hits.is_power_of_two() {
            tracing::warn!(tenant = %self.name, hits, "{row} reached");
        }
        row
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
    /// One of those that this gauge counts.
    ///
    /// # Errors
    /// `Denied` with the row when there are as many as may be.
    pub fn take(
        bounds: &Arc<TenantBounds>,
        of: fn(&TenantBounds) -> &Gauge,
        row: &'static str,
    ) -> Result<Self, CallError> {
        Self::among(bounds, of, row).map_err(CallError::limit)
    }

    /// The same for whoever has another way to say no.
    pub(crate) fn among(
        bounds: &Arc<TenantBounds>,
        of: fn(&TenantBounds) -> &Gauge,
        row: &'static str,
    ) -> Result<Self, &'static str> {
        match of(bounds).take(1) {
            Ok(()) => Ok(Self {
                bounds: Arc::clone(bounds),
                of,
            }),
            Err(_) => Err(bounds.hit(row, of(bounds).refused())),
        }
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
        let bounds = TenantBounds::new(
            "acme",
            &TenantLimits {
                spawned_max: 1,
                ..TenantLimits::default()
            },
        );
        let take = || Place::take(&bounds, |bounds| &bounds.spawned, "limits.tenant.spawned_max");
        let place = take().unwrap();
        assert_eq!(take().unwrap_err(), CallError::limit("limits.tenant.spawned_max"));
        bounds.resize(&TenantLimits {
            spawned_max: 2,
            ..TenantLimits::default()
        });
        let second = take().unwrap();
        drop((place, second));
        assert_eq!((bounds.spawned.taken(), bounds.spawned.refused()), (0, 1));
    }

    #[test]
    fn a_call_needs_a_token_and_a_place_and_a_tenant_that_has_cpu_left() {
        let bounds = TenantBounds::new(
            "acme",
            &TenantLimits {
                calls_max: 1,
                calls_rate: 1,
                calls_burst: 3,
                ..TenantLimits::default()
            },
        );
        let first = bounds.admit_call().unwrap();
        assert_eq!(bounds.admit_call().unwrap_err(), "limits.tenant.calls_max");
        assert_eq!(bounds.admit_job().unwrap_err(), "limits.tenant.calls_max");
        drop(first);
        let again = bounds.admit_call().unwrap();
        drop(again);
        assert_eq!(bounds.admit_call().unwrap_err(), "limits.tenant.calls_rate");
        assert!(bounds.admit_job().is_ok(), "a job is no call");
        bounds.cpu.spend(u64::MAX / 4);
        assert_eq!(bounds.admit_job().unwrap_err(), "limits.tenant.cpu_rate");
    }
}
