//! What becomes of a run's report where sessions are traced: a span for the session, one for each leg, and one for each host
//! call that was noted.
//!
//! It translates and hands over. Entry points: [`Directory::trace_to`], [`Directory::trace`]. Invariant: no number and no
//! URI of a peer, and no word of a flow's, is in a span unless the operator said so (`[otel] include_numbers`).

use std::borrow::Cow;

use super::directory::Directory;
use super::flow::Version;
use super::plan::Found;
use crate::call::{Direction, LegSummary, Party};
use crate::plugin::{RunKind, RunReport};
use crate::trace::{Counts, Span, SpanKind, Trace, Tracer};

/// From here a response tells of a fault, and not of a person who does not want to talk.
const FAULT: u16 = 500;

impl Directory {
    /// From now on sessions are traced. The first tracer that is given stays.
    pub fn trace_to(&self, tracer: Tracer) {
        drop(self.tracer.set(tracer));
    }

    /// What became of traces so far; none where there are none.
    #[must_use]
    pub fn traces(&self) -> Option<Counts> {
        self.tracer.get().map(Tracer::counts)
    }

    pub(super) fn trace(&self, found: &Found, version: &Version, report: &RunReport) {
        let Some(tracer) = self.tracer.get() else { return };
        if tracer.sampler().takes(&report.session) {
            tracer.keep(Box::new(trace_of(
                found,
                version,
                report,
                tracer.includes_numbers(),
            )));
        }
    }
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn trace_of(found: &Found, version: &Version, report: &RunReport, numbers: bool) -> Trace {
    let start_ns = ns(report.began_ms);
    let end_ns = start_ns.saturating_add(nanos(report.elapsed));
    let outcome = report.outcome.name();
    let fault = report.outcome.is_trap() || outcome == "failed";
    let mut session = Span {
        name: Cow::Borrowed(report.kind.name()),
        kind: match report.kind {
            RunKind::Call => SpanKind::Server,
            RunKind::Job => SpanKind::Internal,
        },
        start_ns,
        end_ns,
        attributes: Vec::new(),
        events: Vec::new(),
        // A flow's own words may hold anything.
        error: fault.then(|| match numbers {
            true => report.outcome.to_string(),
            false => outcome.to_owned(),
        }),
    };
    session.text("session.id", &report.session);
    session.text("callbox.tenant", &found.account.name);
    session.text("callbox.flow", &found.flow.name);
    session.text("callbox.version", &version.name);
    session.word("callbox.outcome", outcome);
    if fault {
        session.word("error.type", outcome);
    }
    if let Some(limit) = report.outcome.limit() {
        session.word("callbox.limit", limit);
    }
    session.number("callbox.fuel", report.fuel_used);
    session.number("callbox.memory_bytes", report.memory_bytes as u64);
    if let Some(first) = report.legs.legs.first() {
        code_and_id(&mut session, first);
    }
    let mut spans = vec![session];
    spans.extend(report.legs.legs.iter().map(|leg| leg_of(leg, end_ns, numbers)));
    if let Some(noted) = &report.host_calls {
        spans.extend(noted.calls.iter().map(|call| {
            let start_ns = start_ns.saturating_add(nanos(call.began));
            Span {
                name: Cow::Borrowed(call.name),
                kind: SpanKind::Internal,
                start_ns,
                end_ns: start_ns.saturating_add(nanos(call.took)),
                attributes: Vec::new(),
                events: Vec::new(),
                error: None,
            }
        }));
        if let Some(session) = spans.first_mut() {
            session.number("callbox.host_calls.forgotten", noted.forgotten);
        }
    }
    Trace {
        session: report.session.clone(),
        spans,
    }
}

fn code_and_id(span: &mut Span, leg: &LegSummary) {
    span.text("sip.call_id", &leg.call_id);
    if let Some(code) = leg.code {
        span.number("sip.response.status_code", code.into());
    }
}

fn leg_of(leg: &LegSummary, run_ended_ns: u64, numbers: bool) -> Span {
    let events = [("ringing", leg.rang_ms), ("answered", leg.answered_ms)];
    let inbound = leg.direction == Direction::Inbound;
    let fault = leg.code.filter(|code| *code >= FAULT);
    let mut span = Span {
        name: Cow::Borrowed("leg"),
        kind: match inbound {
            true => SpanKind::Server,
            false => SpanKind::Client,
        },
        start_ns: ns(leg.started_ms),
        end_ns: leg.ended_ms.map_or(run_ended_ns, ns),
        attributes: Vec::new(),
        events: events
            .into_iter()
            .filter_map(|(name, at)| Some((name, ns(at?))))
            .collect(),
        error: fault.map(|code| code.to_string()),
    };
    span.word("network.protocol.name", "sip");
    span.number("callbox.leg", leg.leg.into());
    span.word(
        "callbox.leg.direction",
        if inbound { "inbound" } else { "outbound" },
    );
    code_and_id(&mut span, leg);
    if let Some(code) = fault {
        span.text("error.type", &code.to_string());
    }
    if let Some(by) = leg.ended_by {
        let by = match by {
            Party::Local => "flow",
            Party::Remote => "peer",
            Party::Host => "host",
        };
        span.word("callbox.leg.ended_by", by);
    }
    if let Some(cause) = leg.q850 {
        span.number("callbox.leg.q850", cause.into());
    }
    if numbers {
        span.text("sip.from.user", &leg.ani);
        span.text("sip.to.user", &leg.dnis);
        span.text("sip.request.uri", &leg.destination);
    }
    span
}
