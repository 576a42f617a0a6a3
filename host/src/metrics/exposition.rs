//! A snapshot as text: OpenMetrics 1.0, which Prometheus and its kin read.
//!
//! Entry point: [`Snapshot::text`]. Invariant: a family stands once, with its HELP and TYPE, and the text ends with `# EOF`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::families;
use super::snapshot::Snapshot;

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads a snapshot for the encoder, which wants something that can be asked again.
#[derive(Debug)]
struct Page(Arc<Snapshot>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        families().try_for_each(|family| family.encode(&self.0, &mut encoder))
    }
}

impl Snapshot {
    /// All families with their series.
    ///
    /// # Errors
    /// The encoder's own; it has none for what it is given here.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page(Arc::new(self))));
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page)
    }
}
