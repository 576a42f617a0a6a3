//! What `serve` and `call` do about traces: the thread that sends them, as the configuration says.
//!
//! Entry point: [`start`].

use std::time::Duration;

use anyhow::Context;

use crate::config::Otel;
use crate::config::limits::TraceLimits;
use crate::trace::{self, Bounds, Endpoint, Exporter, Sampler, Settings, Tracer};

pub(super) fn start(otel: Option<&Otel>, limits: &TraceLimits) -> anyhow::Result<Option<(Tracer, Exporter)>> {
    let Some(otel) = otel else { return Ok(None) };
    let settings = Settings {
        endpoint: Endpoint {
            authority: otel.authority.clone(),
            path: format!("{}/v1/traces", otel.base),
        },
        service: otel.service.clone(),
        sampler: Sampler::new(otel.sample, otel.host_calls),
        include_numbers: otel.include_numbers,
        bounds: Bounds {
            queue: limits.queue,
            batch: limits.batch,
            batch_wait: Duration::from_millis(limits.batch_ms),
            request_wait: Duration::from_millis(limits.request_ms),
            tries: limits.tries,
            retry_after_max: Duration::from_secs(limits.retry_after_max_s),
            answer_max_bytes: limits.answer_max_bytes,
        },
    };
    trace::start(settings)
        .context("cannot start the thread of the traces")
        .map(Some)
}
