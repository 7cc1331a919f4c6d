//! Data points of metrics. The field numbers are those of opentelemetry-proto 1.x.

use super::attribute::{Attributes, attribute, each, hex, messages, string, string_field};
use crate::protobuf::{Fields, Malformed, Value};

/// A data point with everything that is said about its metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub resource: Attributes,
    /// The name of the scope.
    pub scope: String,
    pub name: String,
    pub description: String,
    pub unit: String,
    pub kind: PointKind,
    pub temporality: PointTemporality,
    /// Always false unless the kind is a sum.
    pub monotonic: bool,
    pub attributes: Attributes,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub time: u64,
    pub value: PointValue,
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointKind {
    Gauge,
    Sum,
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointTemporality {
    /// Gauges have none.
    Unspecified,
    Delta,
    Cumulative,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Neither an integer nor a double is present.
    None,
    Int(i64),
    Double(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
        bucket_counts: Vec<u64>,
        explicit_bounds: Vec<f64>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// An integer or a double.
    pub value: PointValue,
    pub time: u64,
    pub trace_id: String,
    pub span_id: String,
    /// The attributes that the point does not have.
    pub filtered: Attributes,
}

impl Point {
    pub fn text(&self, key: &str) -> Option<&str> {
        string(&self.attributes, key)
    }

    /// The `service.instance.id` of the resource, or an empty string.
    pub fn instance(&self) -> &str {
        string(&self.resource, "service.instance.id").unwrap_or_default()
    }

    fn read(&mut self, point: &[u8]) -> Result<(), Malformed> {
        let histogram = self.kind == PointKind::Histogram;
        let (mut count, mut sum, mut bucket_counts, mut explicit_bounds) = (0, None, Vec::new(), Vec::new());
        for field in Fields::of(point) {
            match field? {
                (2, Value::Number(time)) => self.start = time,
                (3, Value::Number(time)) => self.time = time,
                (4, Value::Number(number)) if histogram => count = number,
                (5, Value::Number(bits)) if histogram => sum = Some(f64::from_bits(bits)),
                (6, value) if histogram => bucket_counts.extend(fixed(value)?),
                (7, value) if histogram => explicit_bounds.extend(fixed(value)?.into_iter().map(f64::from_bits)),
                (8, Value::Bytes(exemplar)) if histogram => self.exemplars.push(Exemplar::read(exemplar)?),
                (9, Value::Bytes(pair)) if histogram => self.attributes.extend([attribute(pair)?]),
                (4, Value::Number(bits)) => self.value = PointValue::Double(f64::from_bits(bits)),
                (5, Value::Bytes(exemplar)) => self.exemplars.push(Exemplar::read(exemplar)?),
                (6, Value::Number(number)) => self.value = PointValue::Int(number.cast_signed()),
                (7, Value::Bytes(pair)) => self.attributes.extend([attribute(pair)?]),
                _ => {}
            }
        }
        if histogram {
            self.value = PointValue::Histogram { count, sum, bucket_counts, explicit_bounds };
        }
        Ok(())
    }
}

impl PointValue {
    /// The value of a sum, a gauge or an exemplar, and the sum of a histogram.
    pub fn number(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Int(value) => *value as f64,
            Self::Double(value) => *value,
            Self::Histogram { sum, .. } => sum.unwrap_or(0.0),
        }
    }
}

impl Exemplar {
    fn read(exemplar: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self {
            value: PointValue::None,
            time: 0,
            trace_id: String::new(),
            span_id: String::new(),
            filtered: Attributes::new(),
        };
        for field in Fields::of(exemplar) {
            match field? {
                (2, Value::Number(time)) => read.time = time,
                (3, Value::Number(bits)) => read.value = PointValue::Double(f64::from_bits(bits)),
                (4, Value::Bytes(id)) => read.span_id = hex(id),
                (5, Value::Bytes(id)) => read.trace_id = hex(id),
                (6, Value::Number(number)) => read.value = PointValue::Int(number.cast_signed()),
                (7, Value::Bytes(pair)) => read.filtered.extend([attribute(pair)?]),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Decodes the data points of an `ExportMetricsServiceRequest`. It has no exponential histograms and no summaries.
pub(super) fn points_of(request: &[u8]) -> Result<Vec<Point>, Malformed> {
    let mut points = Vec::new();
    each(request, |resource, scope, metric| {
        for (number, kind) in [(5, PointKind::Gauge), (7, PointKind::Sum), (9, PointKind::Histogram)] {
            for data in messages(metric, number)? {
                let (mut temporality, mut monotonic) = (PointTemporality::Unspecified, false);
                for field in Fields::of(data) {
                    match field? {
                        (2, Value::Number(1)) => temporality = PointTemporality::Delta,
                        (2, Value::Number(2)) => temporality = PointTemporality::Cumulative,
                        (3, Value::Number(is)) => monotonic = is != 0,
                        _ => {}
                    }
                }
                for message in messages(data, 1)? {
                    let mut point = Point {
                        resource: resource.clone(),
                        scope: scope.to_owned(),
                        name: string_field(metric, 1)?,
                        description: string_field(metric, 2)?,
                        unit: string_field(metric, 3)?,
                        kind,
                        temporality,
                        monotonic,
                        attributes: Attributes::new(),
                        start: 0,
                        time: 0,
                        value: PointValue::None,
                        exemplars: Vec::new(),
                    };
                    point.read(message)?;
                    points.push(point);
                }
            }
        }
        Ok(())
    })?;
    Ok(points)
}

/// Decodes a repeated field of 64-bit numbers, packed or not.
fn fixed(value: Value<'_>) -> Result<Vec<u64>, Malformed> {
    match value {
        Value::Number(number) => Ok(vec![number]),
        Value::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks();
            if rest.is_empty() {
                Ok(numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
            } else {
                Err(Malformed)
            }
        }
    }
}
