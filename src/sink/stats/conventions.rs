//! The metrics of OpenTelemetry's conventions for generative AI, by the version that has them.
//!
//! Spec: semantic-conventions-genai v0.1.0, `docs/gen-ai/client-inference.md` and `gen-ai-metrics.md`; the buckets are those that it advises.
//! A duration has more of them, because a call may take longer than its 82 seconds.

use super::metric::{Metric, Samples, counter, duration, histogram};
use super::table::{DURATIONS, one};
use crate::config::Conventions::{V0_1, V1_41};
use crate::documentation::documentation;
use crate::labels::Scope::Models;
use crate::labels::{ERROR_TYPE, TOKEN_MODALITY, TOKEN_TYPE};
use crate::observation::{ChunkGaps, Observation, Outcome};

pub(super) const INPUT_TOKENS: Metric = counter(
    "gen_ai_client_inference_usage_input_tokens_total",
    "gen_ai.client.inference.usage.input_tokens",
    "{token}",
    &[&TOKEN_MODALITY],
    "input tokens of inference, including cached ones",
    |o, out| {
        let parts = o.quantities.as_ref().map(|used| [used.input_audio, used.input_image, used.input_text]);
        by_modality(inference(o, o.usage.input), parts, out);
    },
)
.by(Models)
.of(V0_1);

pub(super) const OUTPUT_TOKENS: Metric = counter(
    "gen_ai_client_inference_usage_output_tokens_total",
    "gen_ai.client.inference.usage.output_tokens",
    "{token}",
    &[&TOKEN_MODALITY],
    "output tokens of inference, including reasoning",
    |o, out| {
        let parts = o.quantities.as_ref().map(|used| [used.output_audio, used.output_image, used.output_text]);
        by_modality(inference(o, o.usage.output), parts, out);
    },
)
.by(Models)
.of(V0_1);

pub(super) const CACHE_READ_TOKENS: Metric = counter(
    "gen_ai_client_inference_usage_cache_read_input_tokens_total",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "{token}",
    &[&TOKEN_MODALITY],
    "input tokens of inference that a cache had",
    |o, out| {
        let parts = o.quantities.as_ref().map(|used| [used.cached_audio, used.cached_image, used.cached_text]);
        by_modality(inference(o, o.usage.cache_read), parts, out);
    },
)
.by(Models)
.of(V0_1);

pub(super) const CACHE_WRITE_TOKENS: Metric = counter(
    "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "{token}",
    &[&TOKEN_MODALITY],
    "input tokens of inference that were written to a cache",
    |o, out| by_modality(inference(o, o.usage.cache_creation), None, out),
)
.by(Models)
.of(V0_1);

pub(super) const REASONING_TOKENS: Metric = counter(
    "gen_ai_client_inference_usage_reasoning_output_tokens_total",
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "{token}",
    &[&TOKEN_MODALITY],
    "output tokens of inference that were spent on reasoning",
    |o, out| by_modality(inference(o, o.usage.reasoning), None, out),
)
.by(Models)
.of(V0_1);

pub(super) const INPUT_TOKENS_PER_CALL: Metric = histogram(
    "gen_ai_client_inference_operation_input_tokens",
    "gen_ai.client.inference.operation.input_tokens",
    "{token}",
    &[],
    "input tokens of a completed call of inference",
    |o, out| one(out, completed(o, inference(o, o.usage.input))),
)
.with_bounds(TOKENS)
.of(V0_1);

pub(super) const OUTPUT_TOKENS_PER_CALL: Metric = histogram(
    "gen_ai_client_inference_operation_output_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "{token}",
    &[],
    "output tokens of a completed call of inference",
    |o, out| one(out, completed(o, inference(o, o.usage.output))),
)
.with_bounds(TOKENS)
.of(V0_1);

pub(super) const EMBEDDED_TOKENS_PER_CALL: Metric = histogram(
    "gen_ai_client_embeddings_operation_input_tokens",
    "gen_ai.client.embeddings.operation.input_tokens",
    "{token}",
    &[],
    "input tokens of a completed call for embeddings",
    |o, out| one(out, completed(o, o.usage.input.filter(|_| o.operation == EMBEDDINGS))),
)
.with_bounds(TOKENS)
.of(V0_1);

pub(super) const TOKENS_PER_CALL_BY_TYPE: Metric = histogram(
    "gen_ai_client_token_usage",
    "gen_ai.client.token.usage",
    "{token}",
    &[&TOKEN_TYPE],
    "tokens of a completed call",
    |o, out| {
        for (kind, tokens) in [("input", o.usage.input), ("output", o.usage.output)] {
            if let Some(value) = completed(o, tokens) {
                out(&[kind], value);
            }
        }
    },
)
.with_bounds(TOKENS)
.of(V1_41);

pub(super) const INFERENCE_DURATION: Metric = duration(
    "gen_ai_client_inference_duration_microseconds",
    "gen_ai.client.inference.duration",
    &[&ERROR_TYPE],
    "time from the request's headers to the end of the response, of inference",
    |o, out| with_error(o, inference(o, o.timing.since_start(o.timing.end)), out),
)
.with_bounds(DURATIONS)
.of(V0_1);

pub(super) const EMBEDDINGS_DURATION: Metric = duration(
    "gen_ai_client_embeddings_duration_microseconds",
    "gen_ai.client.embeddings.duration",
    &[&ERROR_TYPE],
    "time from the request's headers to the end of the response, of embeddings",
    |o, out| with_error(o, o.timing.since_start(o.timing.end).filter(|_| o.operation == EMBEDDINGS), out),
)
.with_bounds(DURATIONS)
.of(V0_1);

pub(super) const OTHER_DURATION: Metric = duration(
    "gen_ai_client_operation_duration_microseconds",
    "gen_ai.client.operation.duration",
    &[&ERROR_TYPE],
    "time from the request's headers to the end of the response, of other operations than inference and embeddings",
    |o, out| {
        let is_other = o.operation != EMBEDDINGS && !INFERENCE.contains(&o.operation);
        with_error(o, duration_of(o).filter(|_| is_other), out);
    },
)
.with_bounds(DURATIONS)
.of(V0_1);

pub(super) const DURATION: Metric = Metric {
    doc: documentation("time from the request's headers to the end of the response"),
    collect: |o, out| with_error(o, duration_of(o), out),
    ..OTHER_DURATION
}
.of(V1_41);

pub(super) const TIME_TO_FIRST_CHUNK: Metric = duration(
    "gen_ai_client_inference_time_to_first_chunk_microseconds",
    "gen_ai.client.inference.time_to_first_chunk",
    &[],
    "time from the request's headers to the first bytes of a streamed response, of inference",
    |o, out| one(out, inference(o, o.timing.since_start(o.timing.first_chunk))),
)
.with_bounds(&ChunkGaps::BOUNDS)
.of(V0_1);

pub(super) const TIME_TO_FIRST_CHUNK_1_41: Metric = duration(
    "gen_ai_client_operation_time_to_first_chunk_microseconds",
    "gen_ai.client.operation.time_to_first_chunk",
    &[],
    "time from the request's headers to the first bytes of a streamed response",
    |o, out| one(out, o.timing.since_start(o.timing.first_chunk)),
)
.with_bounds(&ChunkGaps::BOUNDS)
.of(V1_41);

pub(super) const TIME_TO_FIRST_TOKEN: Metric = duration(
    "gen_ai_server_time_to_first_token_microseconds",
    "gen_ai.server.time_to_first_token",
    &[],
    "time from the request's headers to the first generated token of a completed stream",
    |o, out| one(out, completed(o, o.timing.since_start(o.timing.first_token))),
)
.with_bounds(&[
    1_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    40_000_000,
    60_000_000,
    80_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
    15_000_000_000,
    20_000_000_000,
    30_000_000_000,
    45_000_000_000,
    60_000_000_000,
]);

pub(super) const TIME_PER_OUTPUT_TOKEN: Metric = duration(
    "gen_ai_server_time_per_output_token_microseconds",
    "gen_ai.server.time_per_output_token",
    &[],
    "time per output token after the first one, in completed streams",
    |o, out| {
        let end = o.timing.since_start(o.timing.end).zip(o.timing.since_start(o.timing.first_token));
        if let (Some((end, first)), Some(tokens @ 2..)) = (completed(o, end), o.usage.output) {
            one(out, Some(end.saturating_sub(first) / (tokens - 1)));
        }
    },
)
.with_bounds(&[
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    150_000_000,
    200_000_000,
    300_000_000,
    400_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
]);

/// The metrics of the gaps between chunks, for an output that takes distributions. A call has any number of gaps, so Envoy's statistics do not
/// have them. The sample of a row is the number of gaps.
pub const GAP_METRICS: &[Metric] = &[
    duration(
        "gen_ai_client_inference_time_per_output_chunk_microseconds",
        "gen_ai.client.inference.time_per_output_chunk",
        &[],
        "time from one chunk of a streamed response to the next, of inference; only in OTLP",
        |o, out| one(out, inference(o, gaps(o))),
    )
    .with_bounds(&ChunkGaps::BOUNDS)
    .of(V0_1),
    duration(
        "gen_ai_client_operation_time_per_output_chunk_microseconds",
        "gen_ai.client.operation.time_per_output_chunk",
        &[],
        "time from one chunk of a streamed response to the next; only in OTLP",
        |o, out| one(out, gaps(o)),
    )
    .with_bounds(&ChunkGaps::BOUNDS)
    .of(V1_41),
];

/// The operations that the conventions call inference.
pub const INFERENCE: [&str; 3] = ["chat", "generate_content", "text_completion"];
const EMBEDDINGS: &str = "embeddings";
/// Operations that fetch what earlier requests have created. Their duration is not the provider's.
const FETCHES: [&str; 2] = ["fetch_response", "fetch_batch"];

const TOKENS: &[u64] =
    &[1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

fn duration_of(o: &Observation) -> Option<u64> {
    o.timing.since_start(o.timing.end).filter(|_| !FETCHES.contains(&o.operation))
}

fn gaps(o: &Observation) -> Option<u64> {
    o.timing.gaps.as_ref().map(|gaps| gaps.count()).filter(|count| *count > 0)
}

fn inference<T>(o: &Observation, value: Option<T>) -> Option<T> {
    value.filter(|_| INFERENCE.contains(&o.operation))
}

fn completed<T>(o: &Observation, value: Option<T>) -> Option<T> {
    value.filter(|_| o.outcome == Some(Outcome::Completed))
}

fn with_error(o: &Observation, duration: Option<u64>, out: Samples<'_>) {
    if let Some(value) = duration {
        out(&[o.error.as_deref().unwrap_or_default()], value);
    }
}

/// One sample for each modality that the provider tells apart: audio, images and text. Their sum is the total. The modality of the other
/// tokens is unknown.
fn by_modality(total: Option<u64>, parts: Option<[u64; 3]>, out: Samples<'_>) {
    let Some(mut rest) = total else { return };
    for (modality, part) in ["audio", "image", "text"].into_iter().zip(parts.unwrap_or_default()) {
        let tokens = part.min(rest);
        rest -= tokens;
        if tokens > 0 {
            out(&[modality], tokens);
        }
    }
    if rest > 0 {
        out(&["unknown"], rest);
    }
}
