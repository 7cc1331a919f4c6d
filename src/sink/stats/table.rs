//! The table of metrics.

use super::conventions;
use super::metric::{Metric, Samples, Scale, counter, duration, gauge, histogram, money};
use crate::labels::Scope::{Model, Provider, Route};
use crate::labels::{
    CAUSE, CLIENT_NAME, ERROR_TYPE, FINISH_REASON, KIND, OUTCOME, PARSE_ERROR, PART, RESULT, STATUS, TOKEN_MODALITY,
    TOKEN_TYPE, TOOL_NAME,
};
use crate::observation::{ChunkGaps, CostStatus, Outcome};

/// Every metric of exchanges.
pub const METRICS: &[Metric] = &[
    counter("gaugeway_requests_total", "gaugeway.requests", "{request}", &[&OUTCOME, &ERROR_TYPE], "finished exchanges; of a file with the results of a batch each response in place of the exchange", |o, out| {
        if let Some(batch) = o.batch() {
            out(&[Outcome::Completed.as_str(), ""], batch.responses.saturating_sub(batch.failures));
            out(&[Outcome::Error.as_str(), "_OTHER"], batch.failures);
        } else if let Some(outcome) = o.outcome {
            let error = o.error.as_deref().unwrap_or_default();
            out(&[outcome.as_str(), error], 1);
        }
    }),
    counter("gaugeway_input_tokens_total", "gaugeway.input.tokens", "{token}", &[], "input tokens, including cached ones", |o, out| {
        one(out, o.usage.input)
    }),
    counter("gaugeway_output_tokens_total", "gaugeway.output.tokens", "{token}", &[], "output tokens, including reasoning", |o, out| {
        one(out, o.usage.output)
    }),
    counter("gaugeway_cache_read_tokens_total", "gaugeway.cache.read.tokens", "{token}", &[], "input tokens read from a cache", |o, out| {
        one(out, o.usage.cache_read)
    }),
    counter("gaugeway_cache_creation_tokens_total", "gaugeway.cache.creation.tokens", "{token}", &[], "input tokens written to a cache", |o, out| {
        one(out, o.usage.cache_creation)
    }),
    counter("gaugeway_reasoning_tokens_total", "gaugeway.reasoning.tokens", "{token}", &[], "output tokens spent on reasoning", |o, out| {
        one(out, o.usage.reasoning)
    }),
    money("gaugeway_cost_nanousd_total", "gaugeway.cost.usd", &[], "cost in billionths of a US dollar", |o, out| {
        one(out, o.cost.nanousd)
    }),
    money(
        "gaugeway_cost_parts_nanousd_total",
        "gaugeway.cost.parts.usd",
        &[&PART],
        "computed cost in billionths of a US dollar, by part: input, cache_read, cache_write, output, reasoning, audio, image, tools, \
         requests",
        |o, out| {
            for (part, nanousd) in o.cost.bill.paid() {
                out(&[part.as_str()], nanousd);
            }
        },
    )
    .by(Model),
    counter(
        "gaugeway_cost_unpriced_total",
        "gaugeway.cost.unpriced",
        "{request}",
        &[&PART],
        "exchanges in whose cost something had no rate, by what it is",
        |o, out| {
            for name in o.cost.bill.unpriced.names() {
                out(&[name], 1);
            }
        },
    )
    .by(Model),
    money(
        "gaugeway_cache_savings_nanousd_total",
        "gaugeway.cache.savings.usd",
        &[],
        "what input read from a cache would have cost more without the cache, in billionths of a US dollar",
        |o, out| one(out, Some(o.cost.bill.cache_savings)),
    )
    .by(Model),
    counter(
        "gaugeway_cache_lost_tokens_total",
        "gaugeway.cache.lost.tokens",
        "{token}",
        &[&CAUSE],
        "estimate of the input tokens that a prompt cache had after the previous call of the conversation and that were not read from it, \
         by cause: model, parameters, tools, system, message, expired, below_minimum, unknown",
        |o, out| {
            if let Some(found) = &o.cache_break {
                out(&[found.cause.as_str()], found.lost_tokens);
            }
        },
    )
    .by(Model),
    money(
        "gaugeway_cache_lost_nanousd_total",
        "gaugeway.cache.lost.usd",
        &[&CAUSE],
        "estimate of what these tokens cost more than if they had been read from the cache, in billionths of a US dollar, by cause",
        |o, out| {
            if let Some(found) = &o.cache_break {
                out(&[found.cause.as_str()], found.lost_nanousd.unwrap_or(0));
            }
        },
    )
    .by(Model),
    counter(
        "gaugeway_modality_tokens_total",
        "gaugeway.modality.tokens",
        "{token}",
        &[&TOKEN_TYPE, &TOKEN_MODALITY],
        "audio and image tokens, which are part of the input and output tokens",
        |o, out| {
            if let Some(used) = &o.quantities {
                out(&["input", "audio"], used.input_audio);
                out(&["input", "image"], used.input_image);
                out(&["output", "audio"], used.output_audio);
                out(&["output", "image"], used.output_image);
            }
        },
    )
    .by(Model),
    counter(
        "gaugeway_provider_tool_calls_total",
        "gaugeway.provider_tool.calls",
        "{call}",
        &[&KIND],
        "calls of tools that the provider runs: web_search, web_fetch, file_search, maps_search, code_run",
        |o, out| {
            if let Some(used) = &o.quantities {
                out(&["web_search"], used.web_searches);
                out(&["web_fetch"], used.web_fetches);
                out(&["file_search"], used.file_searches);
                out(&["maps_search"], used.maps_searches);
                out(&["code_run"], used.code_runs);
            }
        },
    )
    .by(Model),
    counter(
        "gaugeway_unpriced_requests_total",
        "gaugeway.unpriced.requests",
        "{request}",
        &[],
        "exchanges with token counts but no price for the model",
        |o, out| {
            one(out, (o.cost.status == Some(CostStatus::Unpriced)).then_some(1));
        },
    ),
    counter("gaugeway_usage_missing_total", "gaugeway.usage.missing", "{request}", &[], "complete answers without token counts", |o, out| {
        one(out, (o.cost.status == Some(CostStatus::NoUsage)).then_some(1));
    })
    .by(Route),
    counter(
        "gaugeway_usage_hidden_total",
        "gaugeway.usage.hidden",
        "{request}",
        &[],
        "calls that the client, the upstream or the gateway cut before their usage was known in full",
        |o, out| {
            one(out, (o.cost.status == Some(CostStatus::Hidden)).then_some(1));
        },
    )
    .by(Route),
    counter(
        "gaugeway_finish_reasons_total",
        "gaugeway.finish_reasons",
        "{choice}",
        &[&FINISH_REASON],
        "choices by finish reason: stop, length, tool_call, content_filter, error, other",
        |o, out| {
            for reason in o.response.finish_reasons.iter().flatten() {
                out(&[reason.class.as_str()], 1);
            }
        },
    )
    .by(Model),
    counter(
        "gaugeway_parse_errors_total",
        "gaugeway.parse_errors",
        "{request}",
        &[&PARSE_ERROR],
        "exchanges that the plugin could not read in full, by kind",
        |o, out| {
            for parse_error in o.parse_errors.iter() {
                out(&[parse_error.as_str()], 1);
            }
        },
    )
    .by(Route),
    conventions::INPUT_TOKENS,
    conventions::OUTPUT_TOKENS,
    conventions::CACHE_READ_TOKENS,
    conventions::CACHE_WRITE_TOKENS,
    conventions::REASONING_TOKENS,
    conventions::INPUT_TOKENS_PER_CALL,
    conventions::OUTPUT_TOKENS_PER_CALL,
    conventions::EMBEDDED_TOKENS_PER_CALL,
    conventions::TOKENS_PER_CALL_BY_TYPE,
    conventions::INFERENCE_DURATION,
    conventions::EMBEDDINGS_DURATION,
    conventions::OTHER_DURATION,
    conventions::DURATION,
    conventions::TIME_TO_FIRST_CHUNK,
    conventions::TIME_TO_FIRST_CHUNK_1_41,
    conventions::TIME_TO_FIRST_TOKEN,
    conventions::TIME_PER_OUTPUT_TOKEN,
    duration(
        "gaugeway_stream_chunk_gap_max_microseconds",
        "gaugeway.stream.chunk_gap.max",
        &[],
        "the longest gap between two chunks of a stream; one sample for each stream",
        |o, out| one(out, o.timing.largest_gap()),
    )
    .with_bounds(&ChunkGaps::BOUNDS),
    // An open stream has no outcome. At its end its stalls are counted already.
    counter(
        "gaugeway_streams_stalled_total",
        "gaugeway.streams.stalled",
        "{stall}",
        &[],
        "times that an open stream was silent for longer than `streams.stalled_after`, counted while it is silent",
        |o, out| one(out, o.outcome.is_none().then_some(o.timing.stalls.into())),
    )
    .by(Route),
    counter(
        "gaugeway_tool_calls_total",
        "gaugeway.tool.calls",
        "{call}",
        &[&TOOL_NAME],
        "calls of the client's tools in answers",
        |o, out| {
            for tool in &o.output.tools {
                out(&[tool], 1);
            }
        },
    )
    .by(Route),
    counter("gaugeway_tool_errors_total", "gaugeway.tool.errors", "{result}", &[&TOOL_NAME], "results of failed tools in requests", |o, out| {
        for result in o.agent.results.iter().filter(|result| result.failed) {
            let name = result.name.as_deref().unwrap_or_default();
            out(&[name], 1);
        }
    })
    .by(Route),
    duration(
        "gaugeway_tool_duration_microseconds",
        "gaugeway.tool.duration",
        &[&TOOL_NAME],
        "time from the answer that calls a tool to the request that brings the result",
        |o, out| {
            for result in &o.agent.results {
                // Without a clock both readings are 0.
                if let Some(called_at) = result.called_at.filter(|called_at| *called_at > 0) {
                    let name = result.name.as_deref().unwrap_or_default();
                    out(&[name], o.timing.start.saturating_sub(called_at));
                }
            }
        },
    )
    .by(Provider)
    .with_bounds(DURATIONS),
    counter(
        "gaugeway_agent_runs_total",
        "gaugeway.agent.runs",
        "{run}",
        &[&STATUS, &CLIENT_NAME],
        "agent runs that ended: completed, max_iterations, loop, error, cancelled, abandoned, unknown",
        |o, out| {
            if let Some(end) = o.agent.ended {
                out(&[end.as_str(), o.client_name().unwrap_or_default()], 1);
            }
        },
    )
    .by(Route),
    counter(
        "gaugeway_agent_loops_total",
        "gaugeway.agent.loops",
        "{run}",
        &[&KIND],
        "agent runs that began to repeat themselves: retry, oscillation, drift",
        |o, out| {
            if let Some(kind) = o.agent.looping.filter(|_| o.agent.loop_began) {
                out(&[kind.as_str()], 1);
            }
        },
    )
    .by(Route),
    histogram("gaugeway_agent_iterations", "gaugeway.agent.iterations", "{iteration}", &[], "iterations of an agent run that ended", |o, out| {
        one(out, o.agent.iteration.filter(|_| o.agent.ended.is_some()));
    })
    .by(Route)
    .with_bounds(ITERATIONS),
    counter(
        "gaugeway_structured_output_total",
        "gaugeway.structured_output",
        "{answer}",
        &[&RESULT],
        "complete answers to requests for JSON: ok, failed (not JSON), incomplete (a required key is missing)",
        |o, out| {
            if let Some(parsed) = o.output.parsed.filter(|_| o.outcome == Some(Outcome::Completed)) {
                out(&[parsed.as_str()], 1);
            }
        },
    ),
    counter(
        "gaugeway_refusals_total",
        "gaugeway.refusals",
        "{answer}",
        &[],
        "answers that the model refused or a content filter stopped",
        |o, out| {
            one(out, o.output.refused.then_some(1));
        },
    )
    .by(Model),
    counter("gaugeway_empty_answers_total", "gaugeway.empty_answers", "{answer}", &[], "complete answers without any content", |o, out| {
        one(out, o.output.empty.then_some(1));
    })
    .by(Model),
    histogram(
        "gaugeway_response_characters",
        "gaugeway.response.characters",
        "{character}",
        &[],
        "length of a complete answer's text in Unicode code points",
        |o, out| {
            one(out, o.output.characters.filter(|_| o.outcome == Some(Outcome::Completed)));
        },
    )
    .with_bounds(CHARACTERS),
    histogram(
        "gaugeway_tokens_per_kilocharacter",
        "gaugeway.tokens_per_kilocharacter",
        "{token}",
        &[],
        "output tokens per 1,000 characters of a complete answer",
        |o, out| {
            if let (Some(tokens), Some(characters @ 1..)) = (o.usage.output, o.output.characters)
                && o.outcome == Some(Outcome::Completed)
            {
                one(out, Some(tokens.saturating_mul(1000) / characters));
            }
        },
    )
    .with_bounds(DENSITIES),
    Metric { scale: Scale::Thousandths, ..histogram("gaugeway_feedback_permille", "gaugeway.feedback", "[ppth]", &[], "feedback scores in thousandths", |o, out| {
        one(out, o.configured.as_ref().and_then(|configured| configured.feedback));
    })
    .with_bounds(SCORES) },
    gauge(
        "gaugeway_ratelimit_remaining",
        "gaugeway.ratelimit.remaining",
        "{quota}",
        &[&KIND],
        "what is left of the provider's rate limits: requests, tokens, input_tokens, output_tokens",
        |o, out| {
            let limits = &o.limits;
            for (kind, left) in [
                ("requests", limits.requests),
                ("tokens", limits.tokens),
                ("input_tokens", limits.input_tokens),
                ("output_tokens", limits.output_tokens),
            ] {
                if let Some(value) = left {
                    out(&[kind], value);
                }
            }
        },
    ),
    gauge("gaugeway_retry_after_seconds", "gaugeway.retry_after", "s", &[], "seconds that the provider last asked to wait", |o, out| {
        one(out, o.limits.retry_after)
    }),
];

pub(super) fn one(out: Samples<'_>, value: Option<u64>) {
    if let Some(value) = value {
        out(&[], value);
    }
}

/// Buckets of durations of calls and tools, in nanoseconds: OpenTelemetry's, up to ten minutes.
pub(super) const DURATIONS: &[u64] = &[
    10_000_000,
    20_000_000,
    40_000_000,
    80_000_000,
    160_000_000,
    320_000_000,
    640_000_000,
    1_280_000_000,
    2_560_000_000,
    5_120_000_000,
    10_240_000_000,
    20_480_000_000,
    40_960_000_000,
    81_920_000_000,
    163_840_000_000,
    327_680_000_000,
    600_000_000_000,
];
const ITERATIONS: &[u64] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128];
const CHARACTERS: &[u64] = &[16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];
const DENSITIES: &[u64] = &[50, 100, 150, 200, 250, 300, 350, 400, 500, 600, 800, 1000, 2000, 4000];
const SCORES: &[u64] = &[100, 200, 300, 400, 500, 600, 700, 800, 900, 1000];
