//! Traces of calls for an OpenTelemetry collector: spans, which calls have them, and the thread that sends them.
//!
//! Deliberately knows neither calls nor flows (`tenant/trace.rs` makes the spans), and no OpenTelemetry crates: what is said
//! is one JSON document of OTLP by HTTP. Nothing that a peer sends is taken for a trace of ours to go on with: peers are not trusted.
//!
//! Entry points: [`start`], [`Tracer`], [`Sampler`]. Invariants: who hands a trace over never waits; what waits is at most
//! `limits.trace.queue` traces; a batch is tried `limits.trace.tries` times, and what is lost is counted and told once a power of two.

mod exporter;
mod otlp;
mod post;
mod sampler;
mod span;

pub use exporter::{Bounds, Counts, Exporter, Settings, Tracer, start};
pub use post::Endpoint;
pub use sampler::{Sampler, WHOLE};
pub use span::{Attribute, Span, SpanKind, Trace};

#[cfg(test)]
mod tests;
