//! The attributes of an exchange: one row each, in [`FIELDS`]. Names are OpenTelemetry's `gen_ai.*` where it has one.

use core::fmt::Write;

use crate::bytes::mix::Mix;
use crate::observation::{CacheAttribute, Changes, Observation, Text};

/// When a field's value can first be known, and may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// When the request has been read.
    Request,
    /// With the first token of a stream, else at the end.
    Answer,
    /// When usage is said.
    Usage,
    /// At the end.
    End,
}

impl Phase {
    /// Whether a field of this phase is written after these changes. At the end all fields are written again if they changed.
    pub fn is_due(self, changes: Changes) -> bool {
        changes.end
            || match self {
                Phase::Request => changes.request,
                Phase::Answer => changes.first_token,
                Phase::Usage => changes.usage,
                Phase::End => false,
            }
    }
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A count.
    Count(u64),
    /// A real number.
    Float(f64),
    /// Billionths, written as a decimal number: seconds from nanoseconds, dollars from nano-dollars.
    Billionths(u64),
    /// `true` or `false`
    Bool(bool),
    /// A JSON array of strings.
    List(&'a [Text]),
    /// A JSON array of those strings that are known.
    Known(&'a [Option<Text>]),
    /// Hexadecimal digits.
    Hash([u8; 8]),
    /// Words joined by commas.
    Troubles(crate::observation::Troubles),
}

/// An attribute.
pub struct Field {
    /// Its name in filter state, behind `wasm.`.
    pub name: &'static str,
    /// What it says, with its unit.
    pub doc: &'static str,
    /// When it is written.
    pub phase: Phase,
    /// Its value, or None where there is nothing to say.
    pub get: fn(&Observation) -> Option<Value<'_>>,
}

const fn field(
    name: &'static str,
    phase: Phase,
    doc: &'static str,
    get: fn(&Observation) -> Option<Value<'_>>,
) -> Field {
    Field { name, doc: written_out(doc), phase, get }
}

/// The text of a row's `doc`: empty in the plugin, which does not need it. Tests compare it with envoy/reference.md.
pub(super) const fn written_out(doc: &'static str) -> &'static str {
    if cfg!(target_family = "wasm") { "" } else { doc }
}

/// Every attribute.
pub const FIELDS: &[Field] = &[
    field("gen_ai.operation.name", Phase::Request, "kind of call, such as `chat` or `embeddings`", |o| {
        Some(Value::Text(o.operation))
    }),
    field("gen_ai.provider.name", Phase::Request, "provider, derived from host and path", |o| {
        Some(Value::Text(&o.provider))
    }),
    field("gen_ai.request.model", Phase::Request, "requested model", |o| text(&o.request.model)),
    field(
        "gen_ai.request.stream",
        Phase::Request,
        "`true` if the request asks for a stream; otherwise not written",
        |o| o.request.stream.filter(|s| *s).map(Value::Bool),
    ),
    field("gen_ai.request.max_tokens", Phase::Request, "maximum number of tokens to generate", |o| {
        o.request.max_tokens.map(Value::Count)
    }),
    field("gen_ai.request.temperature", Phase::Request, "sampling temperature", |o| {
        o.request.temperature.map(Value::Float)
    }),
    field("gen_ai.request.top_p", Phase::Request, "nucleus sampling threshold, 0 to 1", |o| {
        o.request.top_p.map(Value::Float)
    }),
    field("gen_ai.request.top_k", Phase::Request, "number of candidates per token", |o| {
        o.request.top_k.map(Value::Float)
    }),
    field("gen_ai.request.seed", Phase::Request, "seed for repeatable sampling", |o| {
        o.request.seed.map(Value::Integer)
    }),
    field("gen_ai.request.frequency_penalty", Phase::Request, "frequency penalty, -2 to 2", |o| {
        o.request.frequency_penalty.map(Value::Float)
    }),
    field("gen_ai.request.presence_penalty", Phase::Request, "presence penalty, -2 to 2", |o| {
        o.request.presence_penalty.map(Value::Float)
    }),
    field("gen_ai.request.stop_sequences", Phase::Request, "strings that end the answer, as a JSON array", |o| {
        Some(Value::List(&o.request.stop_sequences)).filter(|_| !o.request.stop_sequences.is_empty())
    }),
    field("gen_ai.request.choice.count", Phase::Request, "number of requested answers; not written if it is 1", |o| {
        o.request.choice_count.filter(|n| *n != 1).map(Value::Count)
    }),
    field("gen_ai.output.type", Phase::Request, "requested output type: `text`, `json`, `image` or `speech`", |o| {
        o.request.output_type.map(Value::Text)
    }),
    field(
        "gen_ai.conversation.id",
        Phase::Answer,
        "conversation identifier from `conversation.header`, the request or the response",
        |o| text(&o.request.conversation),
    ),
    field("gaugeway.message_count", Phase::Request, "number of messages in the request", |o| {
        o.request.messages.map(Value::Count)
    }),
    field("gaugeway.messages.system", Phase::Request, OF_A_ROLE, |o| some(o.agent.messages.system)),
    field("gaugeway.messages.user", Phase::Request, OF_A_ROLE, |o| some(o.agent.messages.user)),
    field("gaugeway.messages.assistant", Phase::Request, OF_A_ROLE, |o| some(o.agent.messages.assistant)),
    field("gaugeway.messages.tool", Phase::Request, OF_A_ROLE, |o| some(o.agent.messages.tool)),
    field("gaugeway.tools.offered", Phase::Request, "number of tools that the request offers", |o| {
        some(o.agent.tools_offered)
    }),
    field("gaugeway.prompt.hash", Phase::Request, "SHA-256 of the last message's text, first 16 hex digits", |o| {
        o.request.hash.map(Value::Hash)
    }),
    field(
        "gaugeway.prompt.characters",
        Phase::Request,
        "length of the last message's text in Unicode code points",
        |o| o.request.characters.map(Value::Count),
    ),
    field(
        "gaugeway.conversation.hash",
        Phase::Request,
        "hash of the system prompt and the first user message; the same in every call of a conversation",
        |o| o.request.conversation_hash.map(Value::Hash),
    ),
    field(
        "gaugeway.prompt.full_hash",
        Phase::Request,
        "hash of the text of all messages; needs `prompt` in `privacy.hash`",
        |o| o.rare.as_ref()?.prompt_hash.map(Value::Hash),
    ),
    field("gaugeway.system.hash", Phase::Request, "hash of the system prompt; needs `system` in `privacy.hash`", |o| {
        o.rare.as_ref()?.system_hash.map(Value::Hash)
    }),
    field("gaugeway.tools.hash", Phase::Request, "hash of the offered tools; needs `tools` in `privacy.hash`", |o| {
        o.rare.as_ref()?.tools_hash.map(Value::Hash)
    }),
    field("gaugeway.agent.iteration", Phase::Request, "number of this call in the agent's run, from 1", |o| {
        o.agent.iteration.map(Value::Count)
    }),
    field(
        "gaugeway.agent.loop",
        Phase::Request,
        "the agent's run repeats itself: `retry`, `oscillation` or `drift`",
        |o| o.agent.looping.map(|kind| Value::Text(kind.as_str())),
    ),
    field("gen_ai.response.model", Phase::Answer, "model that answered", |o| text(&o.response.model)),
    field("gen_ai.response.id", Phase::Answer, "identifier of the response", |o| text(&o.response.id)),
    field(
        "gen_ai.response.time_to_first_chunk",
        Phase::Answer,
        "seconds from the request's headers to the first bytes of a streamed response",
        |o| o.timing.since_start(o.timing.first_chunk).map(Value::Billionths),
    ),
    field(
        "gaugeway.time_to_first_token",
        Phase::Answer,
        "seconds from the request's headers to the first generated token of a stream",
        |o| o.timing.since_start(o.timing.first_token).map(Value::Billionths),
    ),
    field("gen_ai.usage.input_tokens", Phase::Usage, "input tokens, including cached ones", |o| {
        o.usage.input.map(Value::Count)
    }),
    field("gen_ai.usage.output_tokens", Phase::Usage, "output tokens, including reasoning", |o| {
        o.usage.output.map(Value::Count)
    }),
    field("gen_ai.usage.cache_read.input_tokens", Phase::Usage, "input tokens read from a cache", |o| {
        o.usage.cache_read.map(Value::Count)
    }),
    field("gen_ai.usage.cache_creation.input_tokens", Phase::Usage, "input tokens written to a cache", |o| {
        o.usage.cache_creation.filter(|_| o.cache_attribute != CacheAttribute::Write).map(Value::Count)
    }),
    field(
        "gen_ai.usage.cache_write.input_tokens",
        Phase::Usage,
        "input tokens written to a cache, under the name that `compat.cache_attribute` selects",
        |o| o.usage.cache_creation.filter(|_| o.cache_attribute != CacheAttribute::Creation).map(Value::Count),
    ),
    field("gen_ai.usage.reasoning.output_tokens", Phase::Usage, "output tokens spent on reasoning", |o| {
        o.usage.reasoning.map(Value::Count)
    }),
    field(
        "gen_ai.response.finish_reasons",
        Phase::End,
        "finish reason of each choice in the provider's words, as a JSON array",
        |o| {
            let reasons = &o.response.finish_reasons;
            Some(Value::Known(reasons)).filter(|_| reasons.iter().any(Option::is_some))
        },
    ),
    field(
        "gaugeway.tool_call.names",
        Phase::End,
        "names of the client's tools that the answer calls, as a JSON array",
        |o| Some(Value::List(&o.output.tools)).filter(|_| !o.output.tools.is_empty()),
    ),
    field("gaugeway.response.hash", Phase::End, "SHA-256 of the answer's text, first 16 hex digits", |o| {
        o.output.hash.map(Value::Hash)
    }),
    field("gaugeway.response.characters", Phase::End, "length of the answer's text in Unicode code points", |o| {
        o.output.characters.map(Value::Count)
    }),
    field(
        "gaugeway.prompt.text",
        Phase::End,
        "text of the last message, redacted and cut; needs `privacy.capture`",
        |o| text(&o.rare.as_ref()?.prompt),
    ),
    field("gaugeway.response.text", Phase::End, "text of the answer, redacted and cut; needs `privacy.capture`", |o| {
        text(&o.rare.as_ref()?.answer)
    }),
    field("gaugeway.cost.usd", Phase::End, "cost in US dollars", |o| o.cost.nanousd.map(Value::Billionths)),
    field(
        "gaugeway.cost.status",
        Phase::End,
        "`priced` (from the price table), `reported` (by the provider), `unpriced` (no price for the model) or `no_usage`",
        |o| o.cost.status.map(|s| Value::Text(s.as_str())),
    ),
    field("gaugeway.outcome", Phase::End, "how the exchange ended", |o| o.outcome.map(|x| Value::Text(x.as_str()))),
    field("error.type", Phase::End, "the provider's error code, else the HTTP status, else the outcome", |o| {
        text(&o.error)
    }),
    field(
        "gaugeway.trouble",
        Phase::End,
        "what the plugin could not read: `json`, `number`, `framing`, `encoding`; separated by commas",
        |o| Some(Value::Troubles(o.trouble)).filter(|_| o.trouble.iter().next().is_some()),
    ),
];

const OF_A_ROLE: &str = "number of messages of this role; written if the request uses tools";

fn some(count: u16) -> Option<Value<'static>> {
    (count > 0).then(|| Value::Count(count.into()))
}

fn text(value: &Option<Text>) -> Option<Value<'_>> {
    value.as_deref().map(Value::Text)
}

impl Value<'_> {
    /// Tells a field's values apart; never 0, which can stand for none.
    pub fn hash(&self) -> u32 {
        let texts = |mix: Mix, items: &mut dyn Iterator<Item = &Text>| items.fold(mix, |mix, item| mix.text(item));
        let mix = Mix::new(0);
        let mix = match self {
            Value::Text(text) => mix.text(text),
            Value::Integer(number) => mix.number(*number as u64),
            Value::Count(number) | Value::Billionths(number) => mix.number(*number),
            Value::Float(number) => mix.number(number.to_bits()),
            Value::Bool(value) => mix.number(u64::from(*value)),
            Value::List(items) => texts(mix, &mut items.iter()),
            Value::Known(items) => texts(mix, &mut items.iter().flatten()),
            Value::Hash(bytes) => mix.number(u64::from_le_bytes(*bytes)),
            Value::Troubles(troubles) => troubles.iter().fold(mix, |mix, trouble| mix.number(trouble as u64)),
        };
        mix.finish() as u32 | 1
    }

    /// Appends the value as filter state carries it: plain text, numbers in JSON's form.
    pub fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Value::Text(text) => out.write_str(text),
            Value::Integer(number) => write!(out, "{number}"),
            Value::Count(number) => {
                digits(out, *number, 1);
                Ok(())
            }
            Value::Float(number) => {
                crate::json::number::write(out, *number);
                Ok(())
            }
            Value::Billionths(number) => {
                let (whole, rest) = (number / 1_000_000_000, number % 1_000_000_000);
                let start = out.len();
                digits(out, whole, 1);
                out.push('.');
                digits(out, rest, 9);
                let kept = out.get(start..).map_or(0, |s| s.trim_end_matches('0').len());
                out.truncate(start + kept);
                if out.ends_with('.') {
                    out.push('0');
                }
                Ok(())
            }
            Value::Bool(value) => write!(out, "{value}"),
            Value::List(items) => {
                array(out, items.iter().map(|item| &**item));
                Ok(())
            }
            Value::Known(items) => {
                array(out, items.iter().flatten().map(|item| &**item));
                Ok(())
            }
            Value::Hash(bytes) => {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
                out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
                Ok(())
            }
            Value::Troubles(troubles) => {
                for (at, trouble) in troubles.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(trouble.as_str());
                }
                Ok(())
            }
        };
    }
}

/// A number in at least so many digits. Rust's own formatting takes several times as long.
pub fn digits(out: &mut String, number: u64, least: usize) {
    let (mut text, mut rest) = ([b'0'; 20], number);
    let mut first = text.len();
    for (at, slot) in text.iter_mut().enumerate().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = at;
        if rest == 0 {
            break;
        }
    }
    let digits = text.get(first.min(text.len() - least)..).and_then(|digits| core::str::from_utf8(digits).ok());
    out.push_str(digits.unwrap_or_default());
}

fn array<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (at, item) in items.enumerate() {
        out.push_str(if at == 0 { "\"" } else { ",\"" });
        for character in item.chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\0'..='\x1f' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(character));
                }
                _ => out.push(character),
            }
        }
        out.push('"');
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Trouble, Troubles};

    fn written(value: Value<'_>) -> String {
        let mut out = String::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn values_are_written_as_json_would_write_them() {
        for (nanos, text) in
            [(0, "0.0"), (1, "0.000000001"), (2_500_000_000, "2.5"), (7_000_000_000, "7.0"), (100, "0.0000001")]
        {
            assert_eq!(written(Value::Billionths(nanos)), text);
        }
        assert_eq!(written(Value::Count(0)), "0");
        assert_eq!(written(Value::Count(1050)), "1050");
        assert_eq!(written(Value::Count(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(Value::Float(0.2)), "0.2");
        assert_eq!(written(Value::Float(40.0)), "40");
        assert_eq!(written(Value::Integer(-7)), "-7");
        assert_eq!(written(Value::Hash([0, 1, 0xab, 0xff, 0, 0, 0, 0x10])), "0001abff00000010");
        let mut troubles = Troubles::default();
        troubles.add(Trouble::Encoding);
        troubles.add(Trouble::Json);
        assert_eq!(written(Value::Troubles(troubles)), "json,encoding");
    }

    #[test]
    fn lists_are_json_whatever_stands_in_them() {
        let items: Vec<Text> = ["stop", "a\"b\\c\n\u{1}", "é模"].map(Text::from).into();
        let text = written(Value::List(&items));
        let parsed: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed, ["stop", "a\"b\\c\n\u{1}", "é模"]);
        assert_eq!(written(Value::Known(&[None, Some("x".into()), None])), "[\"x\"]");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FIELDS.iter().map(|f| f.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }
}
