//! What becomes of a run's report when its session is over: a call record.
//!
//! It translates and hands over. Entry points: [`Directory::keep_records`], [`Directory::record`].

use std::borrow::Cow;

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use crate::call::{Direction, LegSummary, Party};
use crate::plugin::RunReport;
use crate::record::{Counts, HungUpBy, Leg, Record, Recorder};

impl Directory {
    /// From now on the records of ended sessions go there. The first one that is given stays.
    pub fn keep_records(&self, recorder: Recorder) {
        // A second one would mean that records of one host stand in two places.
        drop(self.recorder.set(recorder));
    }

    /// What became of records so far.
    #[must_use]
    pub fn records(&self) -> Counts {
        self.recorder.get().map(Recorder::counts).unwrap_or_default()
    }

    /// Whether the operator would rather have no call than one without a record, and this would be one.
    pub(super) fn has_no_room_for_records(&self) -> bool {
        self.recorder.get().is_some_and(Recorder::refuses_calls)
    }

    /// Moves the legs and the flow's fields out of the report.
    pub(super) fn record(&self, found: &Found, version: &Version, report: &mut RunReport) {
        if let Some(recorder) = self.recorder.get().filter(|recorder| recorder.keeps()) {
            recorder.keep(Box::new(record_of(found, version, report)));
        }
    }
}

fn record_of(found: &Found, version: &Version, report: &mut RunReport) -> Record {
    let elapsed = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX);
    Record {
        session: report.session.clone(),
        kind: Cow::Borrowed(report.kind.name()),
        tenant: found.account.name.clone(),
        flow: found.flow.name.clone(),
        version: version.name.clone(),
        began_ms: report.began_ms,
        ended_ms: report.began_ms.saturating_add(elapsed),
        outcome: Cow::Borrowed(report.outcome.name()),
        outcome_text: (report.outcome.name() != "finished").then(|| report.outcome.to_string()),
        limit: report.outcome.limit().map(Cow::Borrowed),
        fuel: report.fuel_used,
        memory_bytes: report.memory_bytes as u64,
        suppressed_lines: report.suppressed_lines,
        legs: std::mem::take(&mut report.legs.legs)
            .into_iter()
            .map(leg_of)
            .collect(),
        legs_forgotten: report.legs.forgotten,
        fields: std::mem::take(&mut report.record),
    }
}

pub(super) fn leg_of(leg: LegSummary) -> Leg {
    Leg {
        leg: leg.leg,
        inbound: leg.direction == Direction::Inbound,
        call_id: leg.call_id,
        ani: leg.ani,
        dnis: leg.dnis,
        destination: leg.destination,
        started_ms: leg.started_ms,
        rang_ms: leg.rang_ms,
        answered_ms: leg.answered_ms,
        ended_ms: leg.ended_ms,
        code: leg.code,
        by: leg.ended_by.map(|by| match by {
            Party::Local => HungUpBy::Flow,
            Party::Remote => HungUpBy::Peer,
            Party::Host => HungUpBy::Host,
        }),
        q850: leg.q850,
        reason: leg.text,
    }
}
