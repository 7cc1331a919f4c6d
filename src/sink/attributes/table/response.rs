//! The attributes of the response, and its token counts.

use crate::config::CacheAttribute;
use crate::sink::attributes::Attribute;
use crate::sink::attributes::Phase::{Answer, End, Usage};
use crate::sink::attributes::Read::{Billionths, Count, FinishReasons, Hash, List, SelectedCount, Text};
use crate::sink::attributes::row::row;

/// The attributes of the response, in the order in which they are written.
pub(super) const RESPONSE: &[Attribute] = &[
    row("gen_ai.response.model", "", Answer, "model that answered", Text(|o| o.response.model.as_deref())),
    row("gen_ai.response.id", "", Answer, "identifier of the response", Text(|o| o.response.id.as_deref())),
    row(
        "gen_ai.response.time_to_first_chunk",
        "s",
        Answer,
        "seconds from the request's headers to the first bytes of a streamed response",
        Billionths(|o| o.timing.since_start(o.timing.first_chunk)),
    ),
    row(
        "gaugeway.time_to_first_token",
        "s",
        Answer,
        "seconds from the request's headers to the first generated token of a stream",
        Billionths(|o| o.timing.since_start(o.timing.first_token)),
    ),
    row("gen_ai.usage.input_tokens", "{token}", Usage, "input tokens, including cached ones", Count(|o| o.usage.input)),
    row(
        "gen_ai.usage.output_tokens",
        "{token}",
        Usage,
        "output tokens, including reasoning",
        Count(|o| o.usage.output),
    ),
    row(
        "gen_ai.usage.cache_read.input_tokens",
        "{token}",
        Usage,
        "input tokens read from a cache",
        Count(|o| o.usage.cache_read),
    ),
    row(
        "gen_ai.usage.cache_creation.input_tokens",
        "{token}",
        Usage,
        "input tokens written to a cache",
        SelectedCount(CacheAttribute::Creation, |o| o.usage.cache_creation),
    ),
    row(
        "gen_ai.usage.cache_write.input_tokens",
        "{token}",
        Usage,
        "input tokens written to a cache, under the name that `compat.cache_attribute` selects",
        SelectedCount(CacheAttribute::Write, |o| o.usage.cache_creation),
    ),
    row(
        "gen_ai.usage.reasoning.output_tokens",
        "{token}",
        Usage,
        "output tokens spent on reasoning",
        Count(|o| o.usage.reasoning),
    ),
    row(
        "gen_ai.response.finish_reasons",
        "",
        End,
        "finish reason of each choice in the provider's words, as a JSON array",
        FinishReasons(|o| &o.response.finish_reasons),
    ),
    row(
        "gaugeway.tool_call.names",
        "",
        End,
        "names of the client's tools that the answer calls, as a JSON array",
        List(|o| &o.output.tools),
    ),
    row(
        "gaugeway.response.hash",
        "",
        End,
        "SHA-256 of the answer's text, first 16 hex digits",
        Hash(|o| o.output.hash),
    ),
    row(
        "gaugeway.response.characters",
        "{character}",
        End,
        "length of the answer's text in Unicode code points",
        Count(|o| o.output.characters),
    ),
    row(
        "gaugeway.prompt.text",
        "",
        End,
        "text of the last message, redacted and cut; needs `privacy.capture`",
        Text(|o| o.configured.as_ref()?.prompt.as_deref()),
    ),
    row(
        "gaugeway.response.text",
        "",
        End,
        "text of the answer, redacted and cut; needs `privacy.capture`",
        Text(|o| o.configured.as_ref()?.answer.as_deref()),
    ),
];
