//! What `serve` and `call` do about traces: the thread that sends them, as the configuration says.
//!
//! Entry point: [`start`].

use std::time::Duration;

use anyhow::Context;

use crate::config::Otel;
use crate::trace::{self, Endpoint, Exporter, Sampler, Settings, Tracer};

/// What a host that stops gives its last traces.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

pub(super) fn start(otel: Option<&Otel>) -> anyhow::Result<Option<(Tracer, Exporter)>> {
    let Some(otel) = otel else { return Ok(None) };
    let settings = Settings {
        endpoint: Endpoint {
            authority: otel.authority.clone(),
            path: format!("{}/v1/traces", otel.base),
        },
        service: otel.service.clone(),
        sampler: Sampler::new(otel.sample, otel.host_calls),
        include_numbers: otel.include_numbers,
    };
    trace::start(settings)
        .context("cannot start the thread of the traces")
        .map(Some)
}
