//! The attributes of the response, and its token counts.

use crate::config::CacheAttribute;
use crate::provider::own;
use crate::sink::attributes::Attribute;
use crate::sink::attributes::Phase::{Answer, End, Usage};
use crate::sink::attributes::Read::{Billionths, Count, FinishReasons, Hash, List, SelectedCount, Text};
use crate::sink::attributes::row::{row, used};

/// The attributes of the response, in the order in which they are written.
pub(super) const RESPONSE: &[Attribute] = &[
    row("gen_ai.response.model", "", Answer, "model that answered", Text(|o| o.response.model.as_deref())),
    row("gen_ai.response.id", "", Answer, "identifier of the response", Text(|o| o.response.id.as_deref())),
    row(
        own::RESPONSE_TIER,
        "",
        End,
        "service tier with which the provider in the name served the request",
        Text(|o| o.rare.as_ref()?.served_tier.as_deref().filter(|_| own::has_own_attributes(&o.provider))),
    ),
    row(
        own::FINGERPRINT,
        "",
        End,
        "fingerprint of the configuration with which the provider in the name answered",
        Text(|o| o.rare.as_ref()?.system_fingerprint.as_deref().filter(|_| own::has_own_attributes(&o.provider))),
    ),
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
    row(
        "gaugeway.response.chunk_gap.max",
        "s",
        End,
        "longest time in seconds between two chunks of a streamed response; chunks that arrive together count as one",
        Billionths(|o| o.timing.largest_gap()),
    ),
    row(
        "gaugeway.response.stalls",
        "{stall}",
        End,
        "number of times that a stream was silent for longer than `streams.stalled_after`; not written if there were none",
        Count(|o| Some(o.timing.stalls.into()).filter(|stalls| *stalls > 0)),
    ),
    row(
        "gaugeway.websocket.responses",
        "{response}",
        End,
        "number of responses on a WebSocket that have ended; only in filter state, where the token counts and the cost are their sums",
        Count(|o| o.rare.as_ref()?.responses),
    ),
    row(
        "gaugeway.response.age",
        "s",
        End,
        "seconds from the request that created a fetched answer to the end of the call that fetched it, if both passed the gateway",
        Billionths(|o| o.rare.as_ref()?.age),
    ),
    row(
        "gaugeway.batch.responses",
        "{response}",
        End,
        "number of responses in a file with the results of a batch, without those that an earlier download had",
        Count(|o| Some(o.batch()?.responses)),
    ),
    row(
        "gaugeway.batch.failures",
        "{response}",
        End,
        "number of these responses that failed; not written if none did",
        Count(|o| Some(o.batch()?.failures).filter(|failures| *failures > 0)),
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
        "input tokens written to a cache, by the name before v0.1.0 of the conventions; see `compat.cache_attribute`",
        SelectedCount(CacheAttribute::Creation, |o| o.usage.cache_creation),
    ),
    row(
        "gen_ai.usage.cache_write.input_tokens",
        "{token}",
        Usage,
        "input tokens written to a cache; see `compat.cache_attribute`",
        SelectedCount(CacheAttribute::Write, |o| o.usage.cache_creation),
    ),
    row(
        "gen_ai.usage.reasoning.output_tokens",
        "{token}",
        Usage,
        "output tokens spent on reasoning",
        Count(|o| o.usage.reasoning),
    ),
    used("gen_ai.usage.text.input_tokens", "{token}", "text in the input tokens, if it is reported", |q| q.input_text),
    used("gen_ai.usage.image.input_tokens", "{token}", "images in the input tokens", |q| q.input_image),
    used("gen_ai.usage.audio.input_tokens", "{token}", "audio in the input tokens", |q| q.input_audio),
    used(
        "gen_ai.usage.text.cache_read.input_tokens",
        "{token}",
        "text in the input tokens read from a cache, if it is reported",
        |q| q.cached_text,
    ),
    used(
        "gen_ai.usage.image.cache_read.input_tokens",
        "{token}",
        "images in the input tokens read from a cache",
        |q| q.cached_image,
    ),
    used("gen_ai.usage.audio.cache_read.input_tokens", "{token}", "audio in the input tokens read from a cache", |q| {
        q.cached_audio
    }),
    used("gen_ai.usage.text.output_tokens", "{token}", "text in the output tokens, if it is reported", |q| {
        q.output_text
    }),
    used("gen_ai.usage.image.output_tokens", "{token}", "images in the output tokens", |q| q.output_image),
    used("gen_ai.usage.audio.output_tokens", "{token}", "audio in the output tokens", |q| q.output_audio),
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
