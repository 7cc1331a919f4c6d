//! The table of attributes.

use super::Attribute;
use super::Phase::{self, Answer, End, Request, Usage};
use super::Read::{
    self, Billionths, Bool, Count, FinishReasons, Float, Hash, Integer, List, SelectedCount, Text, Whole,
};
use crate::config::CacheAttribute;
use crate::documentation::documentation;
use crate::observation::{CostPart, INTERRUPTED, Loop, OtherQuantities, RequestKind};

const fn row(name: &'static str, unit: &'static str, phase: Phase, doc: &'static str, read: Read) -> Attribute {
    Attribute { name, unit: documentation(unit), phase, doc: documentation(doc), read }
}

/// A part of the cost, if it is not 0.
const fn part(name: &'static str, part: CostPart, doc: &'static str) -> Attribute {
    row(name, "{USD}", End, doc, Read::Part(part))
}

/// A quantity, if it is not 0.
const fn used(
    name: &'static str,
    unit: &'static str,
    doc: &'static str,
    read: fn(&OtherQuantities) -> u64,
) -> Attribute {
    row(name, unit, End, doc, Read::Quantity(read))
}

/// Every attribute, in the order in which they are written.
pub const ATTRIBUTES: &[Attribute] = &[
    row(
        "gen_ai.operation.name",
        "",
        Request,
        "kind of call, such as `chat` or `embeddings`",
        Text(|o| Some(o.operation)),
    ),
    row("gen_ai.provider.name", "", Request, "provider, derived from host and path", Text(|o| Some(&o.provider))),
    row("gen_ai.request.model", "", Request, "requested model", Text(|o| o.request.model.as_deref())),
    row(
        "gen_ai.request.stream",
        "",
        Request,
        "`true` if the request asks for a stream; otherwise not written",
        Bool(|o| o.request.stream.filter(|stream| *stream)),
    ),
    row(
        "gen_ai.request.max_tokens",
        "{token}",
        Request,
        "maximum number of tokens to generate",
        Count(|o| o.request.max_tokens),
    ),
    row("gen_ai.request.temperature", "", Request, "sampling temperature", Float(|o| o.request.temperature)),
    row("gen_ai.request.top_p", "", Request, "nucleus sampling threshold, 0 to 1", Float(|o| o.request.top_p)),
    row("gen_ai.request.top_k", "{token}", Request, "number of candidates per token", Whole(|o| o.request.top_k)),
    row("gen_ai.request.seed", "", Request, "seed for repeatable sampling", Integer(|o| o.request.seed)),
    row(
        "gen_ai.request.frequency_penalty",
        "",
        Request,
        "frequency penalty, -2 to 2",
        Float(|o| o.request.frequency_penalty),
    ),
    row(
        "gen_ai.request.presence_penalty",
        "",
        Request,
        "presence penalty, -2 to 2",
        Float(|o| o.request.presence_penalty),
    ),
    row(
        "gen_ai.request.stop_sequences",
        "",
        Request,
        "strings that end the answer, as a JSON array",
        List(|o| &o.request.stop_sequences),
    ),
    row(
        "gen_ai.request.choice.count",
        "{choice}",
        Request,
        "number of requested answers; not written if it is 1",
        Count(|o| o.request.choice_count.filter(|count| *count != 1)),
    ),
    row(
        "gen_ai.output.type",
        "",
        Request,
        "requested output type: `text`, `json`, `image` or `speech`",
        Text(|o| o.request.output_type),
    ),
    row(
        "gen_ai.conversation.id",
        "",
        Answer,
        "conversation identifier from `conversation.header`, the request or the response; else the client's session, see \
         [Sessions and clients](#sessions-and-clients)",
        Text(|o| o.conversation()),
    ),
    row("gaugeway.client.name", "", Request, "client, from a fixed list", Text(|o| o.client_name())),
    row(
        "gaugeway.client.version",
        "",
        Request,
        "version of the client",
        Text(|o| o.client.as_ref()?.version.as_deref()),
    ),
    row(
        "gaugeway.client.attempt",
        "{attempt}",
        Request,
        "number of this attempt at the same request, as the client counts; not written if it is 1",
        Count(|o| o.client.as_ref()?.attempt.filter(|attempt| *attempt > 1)),
    ),
    row(
        "gaugeway.request.kind",
        "",
        Request,
        "part of the client's work: `main`, `subagent`, `compaction`, `auxiliary` or `prewarm`",
        Text(|o| o.client.as_ref()?.kind.map(RequestKind::as_str)),
    ),
    row(
        "gaugeway.agent.id",
        "",
        Request,
        "identifier of the client's sub-agent; not written for the main agent",
        Text(|o| o.client.as_ref()?.agent.as_deref()),
    ),
    row(
        "gaugeway.agent.parent_id",
        "",
        Request,
        "identifier of what started the sub-agent: another sub-agent, or a session",
        Text(|o| o.client.as_ref()?.parent_agent.as_deref()),
    ),
    row(
        "gaugeway.agent.name",
        "",
        Request,
        "type of the client's sub-agent, in the client's words",
        Text(|o| o.client.as_ref()?.agent_name.as_deref()),
    ),
    row(
        "gaugeway.message_count",
        "{message}",
        Request,
        "number of messages in the request",
        Count(|o| o.request.messages),
    ),
    row("gaugeway.messages.system", "{message}", Request, OF_A_ROLE, Count(|o| positive(o.agent.messages.system))),
    row("gaugeway.messages.user", "{message}", Request, OF_A_ROLE, Count(|o| positive(o.agent.messages.user))),
    row(
        "gaugeway.messages.assistant",
        "{message}",
        Request,
        OF_A_ROLE,
        Count(|o| positive(o.agent.messages.assistant)),
    ),
    row("gaugeway.messages.tool", "{message}", Request, OF_A_ROLE, Count(|o| positive(o.agent.messages.tool))),
    row(
        "gaugeway.tools.offered",
        "{tool}",
        Request,
        "number of tools that the request offers",
        Count(|o| positive(o.agent.tools_offered)),
    ),
    row(
        "gaugeway.prompt.hash",
        "",
        Request,
        "SHA-256 of the last message's text, first 16 hex digits",
        Hash(|o| o.request.hash),
    ),
    row(
        "gaugeway.prompt.characters",
        "{character}",
        Request,
        "length of the last message's text in Unicode code points",
        Count(|o| o.request.characters),
    ),
    row(
        "gaugeway.conversation.hash",
        "",
        Request,
        "hash of the system prompt and the first user message; the same in every call of a conversation",
        Hash(|o| o.request.conversation_hash),
    ),
    row(
        "gaugeway.prompt.full_hash",
        "",
        Request,
        "hash of all messages: texts, media, roles and boundaries; needs `prompt` in `privacy.hash`",
        Hash(|o| o.configured.as_ref()?.prompt_hash),
    ),
    row(
        "gaugeway.system.hash",
        "",
        Request,
        "hash of the system prompt; needs `system` in `privacy.hash`",
        Hash(|o| o.configured.as_ref()?.system_hash),
    ),
    row(
        "gaugeway.tools.hash",
        "",
        Request,
        "hash of the offered tools; needs `tools` in `privacy.hash`",
        Hash(|o| o.configured.as_ref()?.tools_hash),
    ),
    row(
        "gaugeway.agent.iteration",
        "",
        Request,
        "number of this call in the agent's run, from 1",
        Count(|o| o.agent.iteration),
    ),
    row(
        "gaugeway.agent.loop",
        "",
        Request,
        "the agent's run repeats itself: `retry`, `oscillation` or `drift`",
        Text(|o| o.agent.looping.map(Loop::as_str)),
    ),
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
    row("gaugeway.cost.usd", "{USD}", Usage, "cost in US dollars", Billionths(|o| o.cost.nanousd)),
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
        "gaugeway.cost.status",
        "",
        Usage,
        "`priced` (from the price table), `partial` (the same, but a quantity had no rate), `reported` (by the provider), \
         `reported_estimate` (likewise), `prepaid` (capacity paid for in advance), `unpriced` (no price for the model), \
         `no_usage`, or `hidden` (the call was cut; the cost is that of the known part)",
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
    used("gaugeway.usage.input_audio_tokens", "{token}", "audio input tokens", |q| q.input_audio),
    used("gaugeway.usage.output_audio_tokens", "{token}", "audio output tokens", |q| q.output_audio),
    used("gaugeway.usage.input_image_tokens", "{token}", "image input tokens", |q| q.input_image),
    used("gaugeway.usage.output_image_tokens", "{token}", "image output tokens", |q| q.output_image),
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

const OF_A_ROLE: &str = "number of messages of this role; written if the request uses tools";

fn positive(count: u16) -> Option<u64> {
    (count > 0).then_some(count.into())
}
