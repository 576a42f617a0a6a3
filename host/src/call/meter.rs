//! How long an answered call of ours may last: what the flow said, what its tenant's budget allows, step by step.
//!
//! Knows no budget: the tenant's policy is asked before each step. Entry type: [`Meter`]. Invariant: a call whose next step
//! is refused is ended with BYE, and the flow and the peer are told the limit's name.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{CallError, Denial};
use super::host_end::HostEnd;
use super::leg::LegShared;
use super::policy::DialPolicy;

/// What bounds a call once it is answered.
pub(super) struct Meter {
    runtime: tokio::runtime::Handle,
    /// The longest, and why.
    longest: Option<(Duration, &'static str)>,
    /// Asked before each step of this length.
    charged: Option<(Arc<dyn DialPolicy>, Duration)>,
}

impl Meter {
    /// For a call that the flow gives `max_duration`. None where nothing bounds it, or where no runtime could.
    pub(super) fn new(policy: &Arc<dyn DialPolicy>, max_duration: Option<Duration>) -> Option<Self> {
        let own = max_duration.map(|longest| (longest, "maximum duration of the call"));
        let longest = own
            .into_iter()
            .chain(policy.call_max())
            .min_by_key(|(longest, _)| *longest);
        let charged = policy.step().map(|step| (Arc::clone(policy), step));
        if longest.is_none() && charged.is_none() {
            return None;
        }
        Some(Self {
            runtime: tokio::runtime::Handle::try_current().ok()?,
            longest,
            charged,
        })
    }

    /// The call is answered.
    pub(super) fn start(self, leg: Weak<LegShared>) {
        let Self {
            runtime,
            longest,
            charged,
        } = self;
        runtime.spawn(async move {
            let begun = Instant::now();
            let end = longest.map(|(longest, why)| (begun + longest, why));
            let mut next = begun;
            loop {
                let Some(leg) = leg.upgrade().filter(|leg| leg.is_live()) else {
                    return;
                };
                let now = Instant::now();
                if let Some((_, why)) = end.filter(|(end, _)| *end <= now) {
                    return leg.end_by_host(HostEnd::lasted(why));
                }
                if let Some((policy, step)) = &charged
                    && next <= now
                {
                    if let Err(error) = policy.charge() {
                        return leg.end_by_host(HostEnd::lasted(name(&error)));
                    }
                    next += *step;
                }
                drop(leg);
                let step = charged.as_ref().map(|_| next);
                match end.map(|(end, _)| end).into_iter().chain(step).min() {
                    Some(wake) => tokio::time::sleep_until(wake).await,
                    None => return,
                }
            }
        });
    }
}

/// What the peer and the flow are told.
fn name(error: &CallError) -> &'static str {
    match error {
        CallError::Denied(Denial::Limit(name)) => name,
        _ => "the tenant's budget",
    }
}
