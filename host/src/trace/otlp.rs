//! Traces as the JSON of OTLP 1.x: ids in hexadecimal, 64-bit numbers as text. Entry points: [`document`], [`rejected`].

use serde_json::{Value, json};

use super::sampler::Sampler;
use super::span::{Attribute, Span, SpanKind, Trace};

/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// One request of `/v1/traces`.
pub(super) fn document(service: &str, sampler: &Sampler, traces: &[Trace]) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| spans(sampler, trace)).collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            attribute("service.name", &Attribute::Text(service.to_owned().into())),
            attribute("service.version", &Attribute::Text(version.into())),
            attribute("process.pid", &Attribute::Number(std::process::id().into())),
        ]},
        "scopeSpans": [{"scope": {"name": "callbox", "version": version}, "spans": spans}],
    }]})
}

fn spans(sampler: &Sampler, trace: &Trace) -> Vec<Value> {
    let id = sampler.trace_id(&trace.session);
    let root = sampler.span_id(id, 0);
    let spans = trace.spans.iter().enumerate();
    spans
        .map(|(number, it)| {
            let parent = (number > 0).then_some(root);
            span(id, sampler.span_id(id, number), parent, it)
        })
        .collect()
}

fn span(trace: u128, id: u64, parent: Option<u64>, span: &Span) -> Value {
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    let attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(key, it)| attribute(key, it))
        .collect();
    let event = |(name, at): &(&str, u64)| json!({"name": name, "timeUnixNano": at.to_string()});
    let events: Vec<Value> = span.events.iter().map(event).collect();
    json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{id:016x}"),
        "parentSpanId": parent.map_or_else(String::new, |id| format!("{id:016x}")),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
        "attributes": attributes,
        "events": events,
        "status": span.error.as_ref().map_or_else(|| json!({}), |why| json!({"code": ERROR, "message": why})),
    })
}

fn attribute(key: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({"stringValue": text}),
        Attribute::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}

/// Spans that the collector says it did not take, in an answer that is otherwise well.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = answer
        .get("partialSuccess")
        .and_then(|partial| partial.get("rejectedSpans"));
    rejected.map_or(0, |number| {
        let text = number.as_str().and_then(|text| text.parse().ok());
        text.or(number.as_u64()).unwrap_or_default()
    })
}
