//! The metrics of the conventions for calls to models.
//!
//! The names of all but those of embeddings could be read in the release; units, bounds and attributes in the earlier copies.

use super::table::Level::{self, Conditional, Recommended, Required};
use Instrument::{Counter, Histogram};

/// A metric of the conventions.
pub struct MetricRow {
    pub name: &'static str,
    pub instrument: Instrument,
    pub unit: &'static str,
    /// The upper bounds of a histogram's buckets.
    pub bounds: &'static [f64],
    /// The attributes beside those of [`COMMON`].
    pub attributes: &'static [&'static str],
    /// File and commit.
    pub source: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instrument {
    Counter,
    Histogram,
}

const EMBEDDINGS: &str = "docs/gen-ai/client-embeddings.md@88eccb15";
const TOKENS: &str = "model/gen-ai/token-metrics.yaml@9b2ce3b4";
const METRICS_PAGE: &str = "docs/gen-ai/gen-ai-metrics.md@v0.1.0";

/// The values of `gen_ai.token.modality`, which only metrics have.
pub const MODALITIES: &[&str] = &["audio", "image", "text", "unknown"];

/// The attributes of every metric of calls, with their levels there.
pub const COMMON: &[(&str, Level)] = &[
    ("gen_ai.operation.name", Required),
    ("gen_ai.provider.name", Required),
    ("gen_ai.request.model", Conditional),
    ("gen_ai.response.model", Recommended),
    ("server.address", Recommended),
    ("server.port", Conditional),
];

/// Bounds of durations in seconds.
const DURATIONS: &[f64] = &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKEN_COUNTS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const FIRST_TOKENS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

const ERROR: &[&str] = &["error.type"];
const MODALITY: &[&str] = &["gen_ai.token.modality"];

/// Every metric.
pub const METRIC_ROWS: &[MetricRow] = &[
    seconds("gen_ai.client.inference.duration", DURATIONS, ERROR),
    seconds("gen_ai.client.inference.time_to_first_chunk", DURATIONS, &[]),
    seconds("gen_ai.client.inference.time_per_output_chunk", DURATIONS, &[]),
    tokens("gen_ai.client.inference.usage.input_tokens", Counter, &[], MODALITY),
    tokens("gen_ai.client.inference.usage.output_tokens", Counter, &[], MODALITY),
    tokens("gen_ai.client.inference.usage.cache_read.input_tokens", Counter, &[], MODALITY),
    tokens("gen_ai.client.inference.usage.cache_write.input_tokens", Counter, &[], MODALITY),
    tokens("gen_ai.client.inference.usage.reasoning.output_tokens", Counter, &[], MODALITY),
    tokens("gen_ai.client.inference.operation.input_tokens", Histogram, TOKEN_COUNTS, &[]),
    tokens("gen_ai.client.inference.operation.output_tokens", Histogram, TOKEN_COUNTS, &[]),
    seconds("gen_ai.client.embeddings.duration", DURATIONS, ERROR).from(EMBEDDINGS),
    tokens("gen_ai.client.embeddings.operation.input_tokens", Histogram, TOKEN_COUNTS, &[]).from(EMBEDDINGS),
    seconds("gen_ai.client.operation.duration", DURATIONS, ERROR),
    seconds("gen_ai.server.request.duration", DURATIONS, ERROR),
    seconds("gen_ai.server.time_to_first_token", FIRST_TOKENS, &[]),
    seconds("gen_ai.server.time_per_output_token", PER_TOKEN, &[]),
];

const fn seconds(name: &'static str, bounds: &'static [f64], attributes: &'static [&'static str]) -> MetricRow {
    MetricRow { name, instrument: Histogram, unit: "s", bounds, attributes, source: METRICS_PAGE }
}

const fn tokens(
    name: &'static str,
    instrument: Instrument,
    bounds: &'static [f64],
    attributes: &'static [&'static str],
) -> MetricRow {
    MetricRow { name, instrument, unit: "{token}", bounds, attributes, source: TOKENS }
}

impl MetricRow {
    const fn from(self, source: &'static str) -> Self {
        MetricRow { source, ..self }
    }
}
