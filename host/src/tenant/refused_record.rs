//! Records of calls that were refused before a flow ran, where the operator asks for them (`[records] refused`).
//!
//! Refusing is what an overloaded host does all the time, so their records have a rate of their own: beyond it a refusal is
//! counted, as it is without records, and leaves none. Entry points: [`RefusedRecords`], [`Directory::noted`]. Invariant: where nobody
//! has asked for them it costs one comparison, on a call that is refused anyway.

use std::borrow::Cow;

use super::directory::Directory;
use super::plan::Found;
use super::record::leg_of;
use crate::call::{Allowance, IncomingCall, Refusal};
use crate::config::{Config, limits};
use crate::record::{Record, Recorder};

/// Whether refused calls leave records, and how many of them.
#[derive(Debug, Default)]
pub(super) struct RefusedRecords {
    rate: Option<Allowance>,
}

impl RefusedRecords {
    pub(super) fn new(config: &Config) -> Self {
        let rate = config.limits.record.refused_rate;
        Self {
            // A second's worth at once: refusals come in bursts.
            rate: config.records.refused.then(|| Allowance::new(rate, rate)),
        }
    }
}

impl Directory {
    /// Passes a refusal on, and leaves a record of it where that is wanted. `why` is a limit by its name, or words.
    pub(super) fn noted(
        &self,
        call: &IncomingCall,
        found: &Found,
        why: &'static str,
        refusal: Refusal,
    ) -> Refusal {
        let recorder = self.recorder.get().filter(|recorder| recorder.keeps());
        if let (Some(rate), Some(recorder)) = (&self.refused_records.rate, recorder) {
            match rate.take() {
                true => keep(recorder, call, found, why, refusal.code),
                false => limits::hit("limits.record.refused_rate"),
            }
        }
        refusal
    }
}

fn keep(recorder: &Recorder, call: &IncomingCall, found: &Found, why: &'static str, code: u16) {
    let (name, leg) = call.refused(code, why);
    let began_ms = leg.started_ms;
    recorder.keep(Box::new(Record {
        session: name,
        kind: Cow::Borrowed("call"),
        tenant: found.account.name.clone(),
        flow: found.flow.name.clone(),
        began_ms,
        ended_ms: began_ms,
        outcome: Cow::Borrowed("refused"),
        outcome_text: Some(format!("{code}: {why}")),
        limit: why.starts_with("limits.").then_some(Cow::Borrowed(why)),
        legs: vec![leg_of(leg)],
        ..Record::default()
    }));
}
