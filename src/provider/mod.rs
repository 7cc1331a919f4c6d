//! Whose API an exchange speaks: the list of APIs, and how request line and host lead to one.
//!
//! A provider with an API of its own is one file: rules from paths to what the draft holds. A vendor that speaks a known
//! API is one row in [`compatible`].

mod anthropic;
mod compatible;
mod gemini;
mod openai;
mod responses;

use crate::draft::{Counts, Draft};
use crate::json::{Ended, Group, Program};
use crate::observation::{Text, Trouble, Usage};

/// An API: what its bodies say where.
pub struct Api {
    /// Unique, for people.
    pub name: &'static str,
    /// `gen_ai.operation.name`
    pub operation: &'static str,
    /// Rules for the request's body.
    pub request: &'static [Group<Draft>],
    /// Rules for the response's body, whole or in events.
    pub response: &'static [Group<Draft>],
    /// Decides what the members of a whole document come to, once their order no longer matters.
    pub document: fn(&mut Draft),
    /// Which counts are parts of which.
    pub accounting: Accounting,
    /// A stream that ends without a sign of it was cut off.
    pub terminated: bool,
}

/// Which counts are parts of which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accounting {
    /// Input holds what was cached and output holds reasoning, unless the total shows reasoning beside it (xAI).
    Inclusive,
    /// Cached input stands beside the input (Anthropic, Bedrock Converse).
    CacheBeside,
    /// Reasoning stands beside the output, and provider-run tools' input beside the input (Gemini).
    ThoughtsBeside,
}

/// Where an API is served.
pub struct Endpoint {
    suffix: &'static str,
    api: &'static Api,
    streams: bool,
}

impl Endpoint {
    const fn new(suffix: &'static str, api: &'static Api) -> Self {
        Endpoint { suffix, api, streams: false }
    }

    const fn streaming(self) -> Self {
        Endpoint { streams: true, ..self }
    }
}

/// Every endpoint; where two match, the first counts.
const ENDPOINTS: &[&[Endpoint]] = &[openai::ENDPOINTS, responses::ENDPOINTS, anthropic::ENDPOINTS, gemini::ENDPOINTS];

/// What the request line says.
pub struct Target {
    /// The API's place in [`Programs`].
    pub endpoint: usize,
    /// The API.
    pub api: &'static Api,
    /// `gen_ai.provider.name`
    pub provider: &'static str,
    /// The model, where the path names it.
    pub model: Option<Text>,
    /// The path asks for a stream.
    pub streams: bool,
}

/// Whether `path` is one that [`detect`] knows: the one look that other traffic costs.
pub fn serves(path: &str) -> bool {
    endpoint(bare(path)).is_some()
}

/// Finds the API that `POST path` on `host` speaks; None where it is not one of an LLM.
pub fn detect(method: &[u8], host: &str, path: &str) -> Option<Target> {
    if method != b"POST" {
        return None;
    }
    let path = bare(path);
    let (endpoint, found) = endpoint(path)?;
    Some(Target {
        endpoint,
        api: found.api,
        provider: compatible::provider(host, path, found.api),
        model: model_in_path(path, found.suffix),
        streams: found.streams,
    })
}

/// The path without query and final slash.
fn bare(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_suffix('/').unwrap_or(path)
}

fn endpoint(path: &str) -> Option<(usize, &'static Endpoint)> {
    ENDPOINTS.iter().copied().flatten().enumerate().find(|(_, e)| path.ends_with(e.suffix))
}

/// The model in `/models/{model}:verb` or `/deployments/{model}/...`, percent-decoded.
fn model_in_path(path: &str, suffix: &str) -> Option<Text> {
    let head = path.strip_suffix(suffix)?;
    let model = match head.split_once("/deployments/") {
        Some((_, deployment)) => deployment.split('/').next()?,
        None if suffix.starts_with(':') => head.rsplit('/').next()?,
        None => return None,
    };
    Some(decode(model)).filter(|m| !m.is_empty() && m.len() <= crate::json::LIMIT)
}

fn decode(text: &str) -> Text {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| core::str::from_utf8(tail.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&out).into()
}

/// The rules of one endpoint's bodies, compiled.
pub struct Programs {
    /// For the request.
    pub request: Program<Draft>,
    /// For the response.
    pub response: Program<Draft>,
}

/// Compiles the rules of every endpoint, in the order [`Target::endpoint`] counts.
pub fn compile() -> Vec<Programs> {
    let programs = |e: &Endpoint| Programs {
        request: Program::new(e.api.request, begin, |d, ended| if ended == Ended::Malformed { d.seen.trouble.add(Trouble::Json) }),
        response: Program::new(e.api.response, begin, end),
    };
    ENDPOINTS.iter().copied().flatten().map(programs).collect()
}

fn begin(d: &mut Draft) {
    d.open = Default::default();
}

fn end(d: &mut Draft, ended: Ended) {
    match ended {
        Ended::Whole => {
            if let Some(document) = d.document {
                document(d);
            }
            if let Some(at) = d.open.generated {
                d.seen.timing.first_token.get_or_insert(at);
            }
            d.documents = d.documents.saturating_add(1);
        }
        Ended::Malformed => d.seen.trouble.add(Trouble::Json),
        Ended::Cut => {}
    }
}

impl Accounting {
    /// Normalises counts: input with what was cached, output with reasoning. A part larger than its whole (Azure-hosted Grok
    /// says 161 cached of 7) is told as it came.
    pub fn settle(self, counts: &Counts) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let mut usage = Usage {
            input: counts.input,
            output: counts.output,
            cache_read: counts.cache_read,
            cache_creation: counts.cache_write,
            reasoning: counts.reasoning,
        };
        let parts = sum(sum(counts.input, counts.output), counts.reasoning);
        match self {
            Accounting::Inclusive if counts.total.is_some() && parts == counts.total => {
                usage.output = sum(counts.output, counts.reasoning);
            }
            Accounting::Inclusive => {}
            Accounting::CacheBeside => usage.input = sum(sum(counts.input, counts.cache_read), counts.cache_write),
            Accounting::ThoughtsBeside => {
                usage.input = sum(counts.input, counts.tool_input);
                let without = sum(usage.input, counts.output);
                if counts.reasoning.is_some() && (without.is_none() || without != counts.total) {
                    usage.output = sum(counts.output.or(Some(0)), counts.reasoning);
                }
            }
        }
        usage
    }
}
