//! A row of the table of metrics, and the writer that fills it with series.
//!
//! Entry types: [`Family`] and [`Series`]. Invariant: a series has a value for each label of its family, in their order.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::snapshot::Snapshot;
use crate::histogram::Reading;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, until the host is started again.
    Counter,
    /// How it stands now.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Kind {
    /// As the exposition format calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric with all its series.
pub struct Family {
    /// As it is queried; that of a counter ends in `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, and what it means when it rises.
    pub help: &'static str,
    /// Writes its series.
    pub(super) read: fn(&Snapshot, &mut Series<'_>),
}

impl Family {
    pub(super) fn encode(
        &self,
        snapshot: &Snapshot,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        // The encoder puts the ending of a counter to its series, as OpenMetrics wants it.
        let (name, kind) = match self.kind {
            Kind::Counter => (
                self.name.strip_suffix("_total").unwrap_or(self.name),
                MetricType::Counter,
            ),
            Kind::Gauge => (self.name, MetricType::Gauge),
            Kind::Histogram => (self.name, MetricType::Histogram),
        };
        let metric = encoder.encode_descriptor(name, self.help, None, kind)?;
        let mut series = Series {
            metric,
            labels: self.labels,
            kind: self.kind,
            result: Ok(()),
        };
        (self.read)(snapshot, &mut series);
        series.result
    }
}

/// Takes the series of one family.
pub(super) struct Series<'a> {
    metric: MetricEncoder<'a>,
    labels: &'static [&'static str],
    kind: Kind,
    result: Result<(), fmt::Error>,
}

impl Series<'_> {
    /// A whole number.
    pub(super) fn put(&mut self, labels: &[&str], value: u64) {
        let kind = self.kind;
        self.encode(labels, |metric| match kind {
            Kind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Kind::Gauge | Kind::Histogram => metric.encode_gauge(&value),
        });
    }

    /// A number that need not be whole.
    pub(super) fn put_float(&mut self, labels: &[&str], value: f64) {
        let kind = self.kind;
        self.encode(labels, |metric| match kind {
            Kind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Kind::Gauge | Kind::Histogram => metric.encode_gauge(&value),
        });
    }

    /// Durations.
    pub(super) fn durations(&mut self, labels: &[&str], value: &Reading) {
        let buckets: Vec<(f64, u64)> = value.buckets().collect();
        self.encode(labels, |metric| {
            metric.encode_histogram::<NoLabelSet>(value.sum_s(), value.count(), &buckets, None)
        });
    }

    fn encode(
        &mut self,
        values: &[&str],
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), fmt::Error>,
    ) {
        debug_assert_eq!(values.len(), self.labels.len(), "a value for each label");
        if self.result.is_err() {
            return;
        }
        let pairs: Vec<(&str, &str)> = self.labels.iter().copied().zip(values.iter().copied()).collect();
        self.result = match pairs.is_empty() {
            true => encode(&mut self.metric),
            false => self
                .metric
                .encode_family(&pairs)
                .and_then(|mut metric| encode(&mut metric)),
        };
    }
}
