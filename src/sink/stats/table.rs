//! The table of metrics.

use super::metric::{Metric, Samples, counter, gauge, histogram};
use crate::labels::Scope::{Model, Provider, Route};
use crate::labels::{
    CAUSE, CLIENT_NAME, ERROR_TYPE, FINISH_REASON, KIND, OUTCOME, PARSE_ERROR, PART, RESULT, STATUS, TOKEN_MODALITY,
    TOKEN_TYPE, TOOL_NAME,
};
use crate::observation::{CostStatus, Observation, Outcome};

/// Every metric of exchanges.
pub const METRICS: &[Metric] = &[
    counter("gaugeway_requests_total", "{request}", &[&OUTCOME, &ERROR_TYPE], "finished exchanges", |o, out| {
        if let Some(outcome) = o.outcome {
            let error = o.error.as_deref().unwrap_or_default();
            out(&[outcome.as_str(), error], 1);
        }
    }),
    counter("gaugeway_input_tokens_total", "{token}", &[], "input tokens, including cached ones", |o, out| {
        one(out, o.usage.input)
    }),
    counter("gaugeway_output_tokens_total", "{token}", &[], "output tokens, including reasoning", |o, out| {
        one(out, o.usage.output)
    }),
    counter("gaugeway_cache_read_tokens_total", "{token}", &[], "input tokens read from a cache", |o, out| {
        one(out, o.usage.cache_read)
    }),
    counter("gaugeway_cache_creation_tokens_total", "{token}", &[], "input tokens written to a cache", |o, out| {
        one(out, o.usage.cache_creation)
    }),
    counter("gaugeway_reasoning_tokens_total", "{token}", &[], "output tokens spent on reasoning", |o, out| {
        one(out, o.usage.reasoning)
    }),
    counter("gaugeway_cost_nanousd_total", "{nanoUSD}", &[], "cost in billionths of a US dollar", |o, out| {
        one(out, o.cost.nanousd)
    }),
    counter(
        "gaugeway_cost_parts_nanousd_total",
        "{nanoUSD}",
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
    counter(
        "gaugeway_cache_savings_nanousd_total",
        "{nanoUSD}",
        &[],
        "what input read from a cache would have cost more without the cache, in billionths of a US dollar",
        |o, out| one(out, Some(o.cost.bill.cache_savings)),
    )
    .by(Model),
    counter(
        "gaugeway_cache_lost_tokens_total",
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
    counter(
        "gaugeway_cache_lost_nanousd_total",
        "{nanoUSD}",
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
        "{request}",
        &[],
        "exchanges with token counts but no price for the model",
        |o, out| {
            one(out, (o.cost.status == Some(CostStatus::Unpriced)).then_some(1));
        },
    ),
    counter("gaugeway_usage_missing_total", "{request}", &[], "complete answers without token counts", |o, out| {
        one(out, (o.cost.status == Some(CostStatus::NoUsage)).then_some(1));
    })
    .by(Route),
    counter(
        "gaugeway_usage_hidden_total",
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
    histogram("gen_ai_client_token_usage", "{token}", &[&TOKEN_TYPE], "tokens per completed exchange", |o, out| {
        if o.outcome == Some(Outcome::Completed) {
            for (kind, tokens) in [("input", o.usage.input), ("output", o.usage.output)] {
                if let Some(value) = tokens {
                    out(&[kind], value);
                }
            }
        }
    }),
    histogram(
        "gen_ai_client_operation_duration_microseconds",
        "us",
        &[&ERROR_TYPE],
        "microseconds from the request's headers to the end of the response",
        |o, out| {
            if let Some(value) = micros(o, o.timing.end) {
                out(&[o.error.as_deref().unwrap_or_default()], value);
            }
        },
    ),
    histogram(
        "gen_ai_client_operation_time_to_first_chunk_microseconds",
        "us",
        &[],
        "microseconds from the request's headers to the first bytes of a streamed response",
        |o, out| {
            one(out, micros(o, o.timing.first_chunk));
        },
    ),
    histogram(
        "gen_ai_server_time_to_first_token_microseconds",
        "us",
        &[],
        "microseconds from the request's headers to the first generated token of a completed stream",
        |o, out| {
            if o.outcome == Some(Outcome::Completed) {
                one(out, micros(o, o.timing.first_token));
            }
        },
    ),
    histogram(
        "gen_ai_server_time_per_output_token_microseconds",
        "us",
        &[],
        "microseconds per output token after the first one, in completed streams",
        |o, out| {
            let end = micros(o, o.timing.end).zip(micros(o, o.timing.first_token));
            if o.outcome == Some(Outcome::Completed)
                && let (Some((end, first)), Some(tokens @ 2..)) = (end, o.usage.output)
            {
                one(out, Some(end.saturating_sub(first) / (tokens - 1)));
            }
        },
    ),
    histogram(
        "gaugeway_stream_chunk_gap_max_microseconds",
        "us",
        &[],
        "microseconds of the longest gap between two chunks of a stream; one sample for each stream",
        |o, out| one(out, o.timing.largest_gap().map(|nanos| nanos / 1000)),
    ),
    // An open stream has no outcome. At its end its stalls are counted already.
    counter(
        "gaugeway_streams_stalled_total",
        "{stall}",
        &[],
        "times that an open stream was silent for longer than `streams.stalled_after`, counted while it is silent",
        |o, out| one(out, o.outcome.is_none().then_some(o.timing.stalls.into())),
    )
    .by(Route),
    counter(
        "gaugeway_tool_calls_total",
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
    counter("gaugeway_tool_errors_total", "{result}", &[&TOOL_NAME], "failed tool results in requests", |o, out| {
        for result in o.agent.results.iter().filter(|result| result.failed) {
            let name = result.name.as_deref().unwrap_or_default();
            out(&[name], 1);
        }
    })
    .by(Route),
    histogram(
        "gaugeway_tool_duration_microseconds",
        "us",
        &[&TOOL_NAME],
        "microseconds from the answer that calls a tool to the request that brings the result",
        |o, out| {
            for result in &o.agent.results {
                // Without a clock both readings are 0.
                if let Some(called_at) = result.called_at.filter(|called_at| *called_at > 0) {
                    let name = result.name.as_deref().unwrap_or_default();
                    let value = o.timing.start.saturating_sub(called_at) / 1000;
                    out(&[name], value);
                }
            }
        },
    )
    .by(Provider),
    counter(
        "gaugeway_agent_runs_total",
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
    histogram("gaugeway_agent_iterations", "{iteration}", &[], "iterations of an agent run that ended", |o, out| {
        one(out, o.agent.iteration.filter(|_| o.agent.ended.is_some()));
    })
    .by(Route),
    counter(
        "gaugeway_structured_output_total",
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
        "{answer}",
        &[],
        "answers that the model refused or a content filter stopped",
        |o, out| {
            one(out, o.output.refused.then_some(1));
        },
    )
    .by(Model),
    counter("gaugeway_empty_answers_total", "{answer}", &[], "complete answers without any content", |o, out| {
        one(out, o.output.empty.then_some(1));
    })
    .by(Model),
    histogram(
        "gaugeway_response_characters",
        "{character}",
        &[],
        "length of a complete answer's text in Unicode code points",
        |o, out| {
            one(out, o.output.characters.filter(|_| o.outcome == Some(Outcome::Completed)));
        },
    ),
    histogram(
        "gaugeway_tokens_per_kilocharacter",
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
    ),
    histogram("gaugeway_feedback_permille", "[ppth]", &[], "feedback scores in thousandths", |o, out| {
        one(out, o.configured.as_ref().and_then(|configured| configured.feedback));
    }),
    gauge(
        "gaugeway_ratelimit_remaining",
        "1",
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
    gauge("gaugeway_retry_after_seconds", "s", &[], "seconds that the provider last asked to wait", |o, out| {
        one(out, o.limits.retry_after)
    }),
];

fn one(out: Samples<'_>, value: Option<u64>) {
    if let Some(value) = value {
        out(&[], value);
    }
}

fn micros(o: &Observation, reading: Option<u64>) -> Option<u64> {
    o.timing.since_start(reading).map(|nanos| nanos / 1000)
}
