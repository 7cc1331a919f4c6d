//! Every metric: its name, what it counts, and how an exchange that is over gives its samples.

use crate::observation::{CostStatus, Observation, Outcome};
use crate::sink::attributes::written_out;

/// What a metric is to the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows; exact.
    Counter,
    /// A distribution of whole numbers.
    Histogram,
    /// The last value.
    Gauge,
}

/// One number of an exchange with the labels only its metric has.
pub struct Sample<'a> {
    /// Labels besides the common ones; the same keys in every sample of a metric.
    pub labels: &'a [(&'static str, &'a str)],
    /// What is added or recorded.
    pub value: u64,
}

/// A metric.
pub struct Metric {
    /// Its name as Prometheus shows it.
    pub name: &'static str,
    /// Counter or histogram.
    pub kind: Kind,
    /// What it counts, with its unit.
    pub doc: &'static str,
    /// Passes on its samples for an exchange that is over.
    pub collect: Collect,
}

/// Passes on a metric's samples.
pub type Collect = fn(&Observation, Out<'_>);
/// Takes samples.
type Out<'a> = &'a mut dyn FnMut(Sample<'_>);

/// Every metric of an exchange. [`OVERFLOW`] is the plugin's own.
pub const METRICS: &[Metric] = &[
    counter("gaugeway_requests_total", "finished exchanges", |o, out| {
        if let Some(outcome) = o.outcome {
            let error = o.error.as_deref().unwrap_or_default();
            out(Sample { labels: &[("outcome", outcome.as_str()), ("error_type", error)], value: 1 });
        }
    }),
    counter("gaugeway_input_tokens_total", "input tokens, including cached ones", |o, out| one(out, o.usage.input)),
    counter("gaugeway_output_tokens_total", "output tokens, including reasoning", |o, out| one(out, o.usage.output)),
    counter("gaugeway_cache_read_tokens_total", "input tokens read from a cache", |o, out| {
        one(out, o.usage.cache_read)
    }),
    counter("gaugeway_cache_creation_tokens_total", "input tokens written to a cache", |o, out| {
        one(out, o.usage.cache_creation)
    }),
    counter("gaugeway_reasoning_tokens_total", "output tokens spent on reasoning", |o, out| {
        one(out, o.usage.reasoning)
    }),
    counter("gaugeway_cost_nanousd_total", "cost in billionths of a US dollar", |o, out| one(out, o.cost.nanousd)),
    counter("gaugeway_unpriced_requests_total", "exchanges with token counts but no price for the model", |o, out| {
        one(out, (o.cost.status == Some(CostStatus::Unpriced)).then_some(1));
    }),
    counter("gaugeway_usage_missing_total", "complete answers without token counts", |o, out| {
        one(out, (o.cost.status == Some(CostStatus::NoUsage)).then_some(1));
    }),
    counter(
        "gaugeway_finish_reasons_total",
        "choices by finish reason: stop, length, tool_call, content_filter, error, other",
        |o, out| {
            for reason in o.response.finish_reasons.iter().flatten() {
                out(Sample { labels: &[("finish_reason", reason.class.as_str())], value: 1 });
            }
        },
    ),
    counter("gaugeway_trouble_total", "exchanges that the plugin could not read in full, by kind", |o, out| {
        for trouble in o.trouble.iter() {
            out(Sample { labels: &[("trouble", trouble.as_str())], value: 1 });
        }
    }),
    histogram("gen_ai_client_token_usage", "tokens per completed exchange", |o, out| {
        if o.outcome == Some(Outcome::Completed) {
            for (kind, tokens) in [("input", o.usage.input), ("output", o.usage.output)] {
                if let Some(value) = tokens {
                    out(Sample { labels: &[("gen_ai_token_type", kind)], value });
                }
            }
        }
    }),
    histogram(
        "gen_ai_client_operation_duration_microseconds",
        "microseconds from the request's headers to the end of the response",
        |o, out| {
            if let Some(value) = micros(o, o.timing.end) {
                out(Sample { labels: &[("error_type", o.error.as_deref().unwrap_or_default())], value });
            }
        },
    ),
    histogram(
        "gen_ai_client_operation_time_to_first_chunk_microseconds",
        "microseconds from the request's headers to the first bytes of a streamed response",
        |o, out| {
            one(out, micros(o, o.timing.first_chunk));
        },
    ),
    histogram(
        "gen_ai_server_time_to_first_token_microseconds",
        "microseconds from the request's headers to the first generated token of a completed stream",
        |o, out| {
            if o.outcome == Some(Outcome::Completed) {
                one(out, micros(o, o.timing.first_token));
            }
        },
    ),
    histogram(
        "gen_ai_server_time_per_output_token_microseconds",
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
    counter("gaugeway_tool_calls_total", "calls of the client's tools in answers", |o, out| {
        for tool in &o.output.tools {
            out(Sample { labels: &[("gen_ai_tool_name", tool)], value: 1 });
        }
    }),
    counter("gaugeway_tool_errors_total", "failed tool results in requests", |o, out| {
        for result in o.agent.results.iter().filter(|result| result.failed) {
            let name = result.name.as_deref().unwrap_or_default();
            out(Sample { labels: &[("gen_ai_tool_name", name)], value: 1 });
        }
    }),
    histogram(
        "gaugeway_tool_duration_microseconds",
        "microseconds from the answer that calls a tool to the request that brings the result",
        |o, out| {
            for result in &o.agent.results {
                // Where there is no clock, both are 0.
                if let Some(asked) = result.asked.filter(|asked| *asked > 0) {
                    let name = result.name.as_deref().unwrap_or_default();
                    let value = o.timing.start.saturating_sub(asked) / 1000;
                    out(Sample { labels: &[("gen_ai_tool_name", name)], value });
                }
            }
        },
    ),
    counter(
        "gaugeway_agent_runs_total",
        "agent runs that ended: completed, max_iterations, loop, error, abandoned",
        |o, out| {
            if let Some(end) = o.agent.ended {
                out(Sample { labels: &[("status", end.as_str())], value: 1 });
            }
        },
    ),
    counter(
        "gaugeway_agent_loops_total",
        "agent runs that began to repeat themselves: retry, oscillation, drift",
        |o, out| {
            if let Some(kind) = o.agent.looping.filter(|_| o.agent.loop_began) {
                out(Sample { labels: &[("kind", kind.as_str())], value: 1 });
            }
        },
    ),
    histogram("gaugeway_agent_iterations", "iterations of an agent run that ended", |o, out| {
        one(out, o.agent.iteration.filter(|_| o.agent.ended.is_some()));
    }),
    counter(
        "gaugeway_structured_output_total",
        "complete answers to requests for JSON: ok, failed (not JSON), incomplete (a required key is missing)",
        |o, out| {
            if let Some(parsed) = o.output.parsed.filter(|_| o.outcome == Some(Outcome::Completed)) {
                out(Sample { labels: &[("result", parsed.as_str())], value: 1 });
            }
        },
    ),
    counter("gaugeway_refusals_total", "answers that the model refused or a content filter stopped", |o, out| {
        one(out, o.output.refused.then_some(1));
    }),
    counter("gaugeway_empty_answers_total", "complete answers without any content", |o, out| {
        one(out, o.output.empty.then_some(1));
    }),
    histogram("gaugeway_response_characters", "length of a complete answer's text in Unicode code points", |o, out| {
        one(out, o.output.characters.filter(|_| o.outcome == Some(Outcome::Completed)));
    }),
    histogram(
        "gaugeway_tokens_per_kilocharacter",
        "output tokens per 1,000 characters of a complete answer",
        |o, out| {
            if let (Some(tokens), Some(characters @ 1..)) = (o.usage.output, o.output.characters)
                && o.outcome == Some(Outcome::Completed)
            {
                one(out, Some(tokens.saturating_mul(1000) / characters));
            }
        },
    ),
    histogram("gaugeway_feedback_permille", "feedback scores in thousandths", |o, out| {
        one(out, o.configured.as_ref().and_then(|configured| configured.feedback));
    }),
    gauge(
        "gaugeway_ratelimit_remaining",
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
                    out(Sample { labels: &[("kind", kind)], value });
                }
            }
        },
    ),
    gauge("gaugeway_retry_after_seconds", "seconds that the provider last asked to wait", |o, out| {
        one(out, o.limits.retry_after)
    }),
];

/// Counts the samples whose model was called `other` because the limit of series was reached.
pub const OVERFLOW: &str = "gaugeway_series_overflow_total";

/// What became of spans made here, by `result`: sent, failed, dropped. A counter of the plugin's own, where spans are made.
pub const SPANS: &str = "gaugeway_spans_total";

/// When the price table's prices were valid, in seconds since 1970: a gauge of the plugin's own, set at start.
pub const PRICE_TABLE: &str = "gaugeway_price_table_timestamp_seconds";

const fn counter(name: &'static str, doc: &'static str, collect: Collect) -> Metric {
    Metric { name, kind: Kind::Counter, doc: written_out(doc), collect }
}

const fn gauge(name: &'static str, doc: &'static str, collect: Collect) -> Metric {
    Metric { name, kind: Kind::Gauge, doc: written_out(doc), collect }
}

const fn histogram(name: &'static str, doc: &'static str, collect: Collect) -> Metric {
    Metric { name, kind: Kind::Histogram, doc: written_out(doc), collect }
}

fn one(out: Out<'_>, value: Option<u64>) {
    if let Some(value) = value {
        out(Sample { labels: &[], value });
    }
}

fn micros(o: &Observation, reading: Option<u64>) -> Option<u64> {
    o.timing.since_start(reading).map(|nanos| nanos / 1000)
}
