//! Whose API an exchange speaks: the list of APIs, and how request line and host lead to one.
//!
//! A provider with an API of its own is one file: rules from paths to what the draft holds. A vendor that speaks a known
//! API is one row in [`compatible`].

mod anthropic;
mod bedrock;
mod cohere;
mod common;
mod compatible;
mod gemini;
mod hosted;
mod interactions;
mod media;
mod mistral;
mod ollama;
mod openai;
mod responses;
mod shape;

use crate::draft::Draft;
use crate::framing::Rules;
use crate::json::{Ended, Group, Program};
use crate::observation::{Name, Text, Trouble};
use crate::text::hash::Hashes;

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
    /// A stream that ends without a sign of it was cut off.
    pub terminated: bool,
    /// An answer without usage is a gap in the numbers, not in the nature of the API.
    pub usage_expected: bool,
    /// The provider keeps conversations: a request need not repeat what came before.
    pub remembers: bool,
    /// Whether it is LLM traffic shows only when something has been read.
    pub by_shape: bool,
}

impl Api {
    /// What most APIs have in common.
    const DEFAULT: Api = Api {
        name: "",
        operation: "",
        request: &[],
        response: &[],
        document: |_| {},
        terminated: false,
        usage_expected: true,
        remembers: false,
        by_shape: false,
    };
}

/// Where an API is served.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// The path's end.
    pub suffix: &'static str,
    /// What is served there.
    pub api: &'static Api,
    /// The path is the suffix, with nothing before it.
    exact: bool,
    /// The path must hold this too.
    within: &'static str,
    /// The host must end so.
    host: &'static str,
    /// The model stands between this and the suffix.
    model_after: &'static str,
    /// The path asks for a stream.
    streams: bool,
    /// A request that says nothing asks for a stream.
    streams_by_default: bool,
    /// A stream's documents come in envelopes.
    enveloped: bool,
}

impl Endpoint {
    const fn new(suffix: &'static str, api: &'static Api) -> Self {
        let (exact, streams, streams_by_default, enveloped) = (false, false, false, false);
        Endpoint { suffix, api, exact, within: "", host: "", model_after: "", streams, streams_by_default, enveloped }
    }

    const fn exact(path: &'static str, api: &'static Api) -> Self {
        Endpoint { exact: true, ..Endpoint::new(path, api) }
    }

    const fn within(self, within: &'static str) -> Self {
        Endpoint { within, ..self }
    }

    const fn host(self, host: &'static str) -> Self {
        Endpoint { host, ..self }
    }

    const fn model_after(self, model_after: &'static str) -> Self {
        Endpoint { model_after, within: model_after, ..self }
    }

    const fn streaming(self) -> Self {
        Endpoint { streams: true, ..self }
    }

    const fn streaming_by_default(self) -> Self {
        Endpoint { streams_by_default: true, ..self }
    }

    const fn enveloped(self) -> Self {
        Endpoint { enveloped: true, ..self }
    }

    fn serves(&self, path: &str) -> bool {
        // Most suffixes end otherwise, and one byte tells that.
        path.as_bytes().last() == self.suffix.as_bytes().last()
            && path.ends_with(self.suffix)
            && (self.within.is_empty() || path.contains(self.within))
            && (!self.exact || path.len() == self.suffix.len())
    }
}

/// Every endpoint; where two match, the first counts.
static ENDPOINTS: &[&[Endpoint]] = &[
    ollama::ENDPOINTS,
    mistral::ENDPOINTS,
    hosted::ENDPOINTS,
    openai::ENDPOINTS,
    responses::ENDPOINTS,
    anthropic::ENDPOINTS,
    gemini::ENDPOINTS,
    interactions::ENDPOINTS,
    bedrock::ENDPOINTS,
    cohere::ENDPOINTS,
    media::ENDPOINTS,
    shape::ENDPOINTS,
];

/// The API that is told by shape.
const SHAPE: &str = shape::SHAPE.name;

/// What the request line says.
pub struct Target {
    /// The endpoint's place among [`endpoints`].
    pub endpoint: usize,
    /// The API.
    pub api: &'static Api,
    /// `gen_ai.provider.name`
    pub provider: Name,
    /// The model, where the path names it.
    pub model: Option<Text>,
    /// The path asks for a stream.
    pub streams: bool,
    /// The path asks for a stream, or this endpoint's requests do unless they say otherwise.
    pub expects_stream: bool,
}

/// A row of the configuration that says what a host or path speaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    /// The host's end, without a port; empty for any.
    pub host: String,
    /// The path's beginning; empty for any.
    pub path: String,
    /// An API's name, or `detect`: by the path, and where it tells nothing, by the bodies' shape.
    pub api: &'static str,
    /// `gen_ai.provider.name`; empty for the usual one.
    pub provider: String,
}

impl Override {
    fn covers(&self, host: &str, path: &str) -> bool {
        host_ends(host, &self.host) && path.starts_with(&self.path)
    }
}

/// Every endpoint, in the order [`Target::endpoint`] counts.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().copied().flatten()
}

/// Whether `path` may be one of an LLM: the one look that other traffic costs.
pub fn serves(path: &str, overrides: &[Override]) -> bool {
    endpoint(bare(path)).is_some() || overrides.iter().any(|o| path.starts_with(&o.path))
}

/// Finds the API that `POST path` on `host` speaks; None where it is not one of an LLM.
pub fn detect(method: &[u8], host: &str, path: &str, overrides: &[Override]) -> Option<Target> {
    if method != b"POST" {
        return None;
    }
    let path = bare(path);
    let told = overrides.iter().find(|o| o.covers(host, path));
    let (endpoint, found) = match told {
        None => endpoint(path).filter(|(_, e)| host_ends(host, e.host))?,
        Some(told) => {
            let served = endpoint(path).filter(|(_, e)| told.api == SHAPE || e.api.name == told.api);
            served.or_else(|| endpoints().enumerate().find(|(_, e)| e.api.name == told.api))?
        }
    };
    let model = model_in_path(path, found);
    // Vertex counts tokens under the verb that answers.
    if model.as_deref() == Some("count-tokens") {
        return None;
    }
    Some(Target {
        endpoint,
        api: found.api,
        provider: match told.map(|t| t.provider.as_str()).unwrap_or_default() {
            "" => compatible::provider(host, path, found.api).into(),
            named => named.to_owned().into(),
        },
        model,
        streams: found.streams,
        expects_stream: found.streams || found.streams_by_default,
    })
}

/// Whether a host is `end` or below it.
fn host_ends(host: &str, end: &str) -> bool {
    host.split(':').next().is_some_and(|name| name.ends_with(end))
}

/// The path without query and final slash.
fn bare(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_suffix('/').unwrap_or(path)
}

fn endpoint(path: &str) -> Option<(usize, &'static Endpoint)> {
    endpoints().enumerate().find(|(_, e)| e.serves(path))
}

/// The model in `/models/{model}:verb`, `/deployments/{model}/...` or where the endpoint says, percent-decoded.
fn model_in_path(path: &str, endpoint: &Endpoint) -> Option<Text> {
    let head = path.strip_suffix(endpoint.suffix)?;
    let model = match head.split_once("/deployments/") {
        _ if !endpoint.model_after.is_empty() => head.split_once(endpoint.model_after)?.1,
        Some((_, deployment)) => deployment.split('/').next()?,
        None if endpoint.suffix.starts_with(':') => head.rsplit('/').next()?,
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
    /// For what the documents of a stream come in.
    pub envelope: Option<Program<Draft>>,
}

impl Programs {
    /// The rules for the response's body.
    pub fn response_rules(&self) -> Rules<'_> {
        Rules { document: &self.response, envelope: self.envelope.as_ref() }
    }
}

/// Compiles the rules of every endpoint, in the order [`Target::endpoint`] counts.
pub fn compile(hashes: Hashes) -> Vec<Programs> {
    let malformed = |d: &mut Draft, ended| {
        if ended == Ended::Malformed {
            d.seen.trouble.add(Trouble::Json);
        }
    };
    let mut common: Vec<Group<Draft>> = vec![("", common::REQUIRED)];
    if hashes.conversation || hashes.system {
        common.push(("", common::SYSTEM));
    }
    if hashes.tools {
        common.push(("", common::TOOLS));
    }
    let programs = |e: &Endpoint| Programs {
        request: Program::new(&[e.api.request, &common].concat(), begin, malformed),
        response: Program::new(e.api.response, begin, end),
        envelope: e.enveloped.then(|| Program::new(bedrock::ENVELOPE, |_| {}, malformed)),
    };
    endpoints().map(programs).collect()
}

fn begin(d: &mut Draft) {
    d.open = Default::default();
}

fn end(d: &mut Draft, ended: Ended) {
    match ended {
        Ended::Whole => {
            if d.event.as_str() == "error" {
                d.failed();
            }
            if !d.event.as_str().is_empty() && d.open.kind.as_str().is_empty() {
                d.open.kind = d.event;
            }
            // The name belongs to the event's first document. An event may hold a document in every second byte.
            d.event.clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_belongs_to_its_first_document() {
        let mut draft = Draft::default();
        draft.event.push(b"error");
        let kinds = [0, 1].map(|_| {
            begin(&mut draft);
            end(&mut draft, Ended::Whole);
            draft.open.kind.as_str().to_owned()
        });
        assert_eq!((kinds, draft.error.present), (["error".to_owned(), String::new()], true));
        assert_eq!(draft.event.as_str(), "");
    }
}
