//! The attributes of the cost, of what was used beside tokens, and of the end of the exchange.

use crate::observation::{CostPart, INTERRUPTED};
use crate::sink::attributes::Attribute;
use crate::sink::attributes::Phase::{End, Request, Usage};
use crate::sink::attributes::Read::{self, Billionths, Count, List, Text};
use crate::sink::attributes::row::{part, row, used};

/// The attributes of the cost, of what was used beside tokens, and of the end of the exchange, in the order in which they are
/// written.
pub(super) const COST: &[Attribute] = &[
    row("gaugeway.cost.usd", "{USD}", Usage, "cost in US dollars", Billionths(|o| o.cost.nanousd)),
    row(
        "gen_ai.usage.cost",
        "{USD}",
        Usage,
        "the same as `gaugeway.cost.usd`, under a name that backends read",
        Billionths(|o| o.cost.nanousd),
    ),
    part("gaugeway.cost.input.usd", CostPart::Input, "cost of input that no cache had"),
    part("gaugeway.cost.cache_read.usd", CostPart::CacheRead, "cost of input read from a cache"),
    part("gaugeway.cost.cache_write.usd", CostPart::CacheWrite, "cost of input written to a cache"),
    part("gaugeway.cost.output.usd", CostPart::Output, "cost of output without reasoning"),
    part("gaugeway.cost.reasoning.usd", CostPart::Reasoning, "cost of reasoning"),
    part("gaugeway.cost.audio.usd", CostPart::Audio, "cost of audio"),
    part("gaugeway.cost.image.usd", CostPart::Image, "cost of images and video"),
    part("gaugeway.cost.tools.usd", CostPart::Tools, "cost of tools that the provider ran"),
    part("gaugeway.cost.requests.usd", CostPart::Requests, "cost of requests, search units and pages"),
    row(
        "gaugeway.cost.cache_savings.usd",
        "{USD}",
        End,
        "what the input read from a cache would have cost more without the cache",
        Billionths(|o| Some(o.cost.bill.cache_savings).filter(|saved| *saved > 0)),
    ),
    row(
        "gaugeway.cache.break.cause",
        "",
        End,
        "why the provider's prompt cache was not read, compared with the previous call of the conversation: `model`, `parameters`, \
         `tools`, `system`, `message`, `expired`, `below_minimum` or `unknown`",
        Text(|o| Some(o.cache_break.as_ref()?.cause.as_str())),
    ),
    row(
        "gaugeway.cache.break.message",
        "",
        End,
        "number of the first message that changed or is missing, from 1 in the order of the request, reasoning items not counted",
        Count(|o| o.cache_break.as_ref()?.message.map(u64::from)),
    ),
    row(
        "gaugeway.cache.lost_tokens.estimate",
        "{token}",
        End,
        "estimate of the input tokens that the cache had after the previous call and that were not read from it",
        Count(|o| Some(o.cache_break.as_ref()?.lost_tokens)),
    ),
    row(
        "gaugeway.cache.lost_usd.estimate",
        "{USD}",
        End,
        "estimate of what these tokens cost more than if they had been read from the cache",
        Billionths(|o| o.cache_break.as_ref()?.lost_nanousd),
    ),
    row(
        "gaugeway.cost.status",
        "",
        Usage,
        "`priced` (from the price table), `partial` (the same, but a quantity had no rate), `reported` (by the provider), \
         `reported_estimate` (likewise), `prepaid` (capacity paid for in advance), `unpriced` (no price for the model), \
         `no_usage`, `deferred` (the answer comes later), or `hidden` (the call was cut; the cost is that of the known part)",
        Text(|o| o.cost.status.map(|status| status.as_str())),
    ),
    row(
        "gaugeway.cost.unpriced",
        "",
        End,
        "what had no rate if the status is `partial` or `unpriced`, as a JSON array",
        Read::Unpriced(|o| o.cost.bill.unpriced),
    ),
    row(
        "gaugeway.attempts.models",
        "",
        End,
        "models of attempts and auxiliary calls that the answer's own counts do not include, as a JSON array",
        List(|o| o.quantities.as_ref().map_or(&[], |quantities| &quantities.attempt_models)),
    ),
    used("gaugeway.provider_tools.web_searches", "{call}", "web searches that the provider ran", |q| q.web_searches),
    used("gaugeway.provider_tools.web_fetches", "{call}", "pages that the provider retrieved", |q| q.web_fetches),
    used("gaugeway.provider_tools.file_searches", "{call}", "file searches that the provider ran", |q| q.file_searches),
    used("gaugeway.provider_tools.maps_searches", "{call}", "maps searches that the provider ran", |q| q.maps_searches),
    used("gaugeway.provider_tools.code_runs", "{call}", "times that the provider ran code", |q| q.code_runs),
    row(
        "gaugeway.outcome",
        "",
        Request,
        "how the exchange ended; `interrupted` until then",
        Text(|o| Some(o.outcome.map_or(INTERRUPTED, |outcome| outcome.as_str()))),
    ),
    row(
        "error.type",
        "",
        End,
        "the provider's error code, else the HTTP status, else the outcome; of a local reply its reason",
        Text(|o| o.error.as_deref()),
    ),
    row(
        "gaugeway.parse_error",
        "",
        End,
        "what the plugin could not read: `json`, `number`, `framing`, `encoding`; separated by commas",
        Read::ParseErrors(|o| o.parse_errors),
    ),
];
