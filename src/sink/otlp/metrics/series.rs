//! One series of a metric: the sum, the last value or the distribution of its samples.

use super::SpanReference;
use crate::sink::stats::{Metric, MetricKind};

/// Maximum number of exemplars of a series between two exports.
const EXEMPLARS: usize = 4;

/// One series of a metric.
pub struct Series {
    /// Its identifier in the store.
    pub id: u32,
    /// The start of the period that its value covers, in nanoseconds since 1970.
    pub start: u64,
    /// The time of its last sample, in nanoseconds since 1970.
    pub changed: u64,
    /// True if the period has a sample.
    pub has_samples: bool,
    /// Its attributes, encoded as fields of a data point.
    pub attributes: Box<[u8]>,
    /// Its value.
    pub value: SeriesValue,
}

/// The value of a series, in the unit of the samples.
pub enum SeriesValue {
    /// The sum of the samples, or the last one.
    Number(u64),
    /// Their distribution.
    Distribution(Box<Distribution>),
}

/// The distribution of samples.
#[derive(Default)]
pub struct Distribution {
    /// Number of samples.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The number of samples in each bucket. The last bucket has no upper bound.
    pub buckets: Box<[u64]>,
    /// Samples since the last export, with their spans. Each is in another bucket.
    pub exemplars: Vec<SampleExemplar>,
}

/// A sample with its span.
pub struct SampleExemplar {
    /// The time of the sample, in nanoseconds since 1970.
    pub time: u64,
    /// The sample.
    pub sample: u64,
    /// Its span.
    pub span: SpanReference,
    /// Index of its bucket.
    bucket: usize,
}

impl Series {
    /// A series without a sample.
    pub fn new(id: u32, metric: &Metric, attributes: Vec<u8>, now: u64) -> Self {
        let value = match metric.kind {
            MetricKind::Histogram => SeriesValue::Distribution(Box::new(Distribution {
                buckets: vec![0; metric.bounds.len() + 1].into(),
                ..Distribution::default()
            })),
            MetricKind::Counter | MetricKind::Gauge => SeriesValue::Number(0),
        };
        Series { id, start: now, changed: now, has_samples: false, attributes: attributes.into(), value }
    }

    /// Adds a sample.
    pub fn add(&mut self, metric: &Metric, sample: u64, now: u64, span: Option<SpanReference>) {
        self.changed = now;
        self.has_samples = true;
        match &mut self.value {
            SeriesValue::Number(value) if metric.kind == MetricKind::Gauge => *value = sample,
            SeriesValue::Number(value) => *value = value.saturating_add(sample),
            SeriesValue::Distribution(distribution) => distribution.add(metric.bounds, sample, now, span),
        }
    }

    /// Starts a new period at `now`, with nothing in it.
    pub fn restart(&mut self, now: u64) {
        self.start = now;
        self.has_samples = false;
        match &mut self.value {
            SeriesValue::Number(value) => *value = 0,
            SeriesValue::Distribution(distribution) => {
                distribution.count = 0;
                distribution.sum = 0;
                distribution.buckets.fill(0);
            }
        }
    }
}

impl Distribution {
    fn add(&mut self, bounds: &[u64], sample: u64, now: u64, span: Option<SpanReference>) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(sample);
        // An upper bound belongs to its bucket.
        let at = bounds.partition_point(|bound| *bound < sample);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(1);
        }
        let Some(span) = span else { return };
        let replaced = self.exemplars.iter().position(|other| other.bucket == at);
        if let Some(oldest) = replaced.or((self.exemplars.len() >= EXEMPLARS).then_some(0)) {
            self.exemplars.remove(oldest);
        }
        self.exemplars.push(SampleExemplar { time: now, sample, span, bucket: at });
    }
}
