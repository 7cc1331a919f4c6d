//! From the method, host and path of a request to its API, and to the model if the path has it.
//!
//! Specifications: the paths in the API references of the providers; RFC 3986 for percent-encoding.

use super::{Api, TAILS, compatible, endpoints, shape};
use crate::observation::{Name, Text};

/// What method, host and path of a request say.
pub struct Target {
    /// The index of the endpoint in [`endpoints`].
    pub endpoint: usize,
    /// The API.
    pub api: &'static Api,
    /// `gen_ai.provider.name`
    pub provider: Name,
    /// The model, if the path has it.
    pub model: Option<Text>,
    /// The path asks for a stream.
    pub streams: bool,
    /// True if neither the configuration nor host and path name the provider, so that the bodies may.
    pub provider_is_guessed: bool,
    /// The certainty, before the bodies, that the exchange is LLM traffic.
    pub certainty: Certainty,
    /// The path asks for a stream, or the endpoint streams unless the request says otherwise.
    pub expects_stream: bool,
    /// The identifier in the path, if the request fetches what an earlier request has created.
    pub fetched: Option<Text>,
}

/// How sure it is before the bodies that an exchange is LLM traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certainty {
    /// A row of the configuration, the host or the path name the API or the provider.
    Sure,
    /// Only the end of the path is that of an API. It is not LLM traffic if neither body has anything of the API.
    UnlessBlank,
    /// Other services use the end of the path too. It is LLM traffic if the bodies have the form of the API.
    ByBodies,
    /// The request fetches an answer that was created earlier. It is LLM traffic if that answer is complete.
    OnceComplete,
}

/// A row of the configuration that gives the API of a host or path. Setting: `apis`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    /// End of the host, without a port; empty for any host.
    pub host: String,
    /// Beginning of the path; empty for any path.
    pub path: String,
    /// Name of an API, or `detect`: the API of the path, or if it has none, the one recognised by the bodies. [`NO_API`]: the
    /// requests are not LLM traffic. Empty: the API that follows from host and path.
    pub api: &'static str,
    /// `gen_ai.provider.name`; empty for the name that follows from host, path and API.
    pub provider: String,
}

/// In place of an API: requests of the row are not LLM traffic.
pub const NO_API: &str = "none";

impl Override {
    fn covers(&self, host: &str, path: &str) -> bool {
        host_ends(host, &self.host) && path.starts_with(&self.path)
    }
}

/// Returns true if `path` may be the path of an API. Requests that are not LLM traffic cost this check only.
pub fn serves(path: &str, overrides: &[Override]) -> bool {
    let is_row = |row: &Override| !row.api.is_empty() && row.api != NO_API && path.starts_with(&row.path);
    let bare = bare(path);
    TAILS.may_have(bare) && endpoints().any(|endpoint| endpoint.serves(bare)) || overrides.iter().any(is_row)
}

/// Finds the API of a request. Returns None if the method is neither POST nor GET, or if path and host are not those of an API that
/// has the method.
///
/// A row of the configuration decides first. Then the host of a known vendor, a path that only Azure has, or a part of the path
/// that names a vendor give the provider, and the end of the path the API. If the end of the path is that of several APIs, the
/// bodies decide.
pub fn detect(method: &[u8], host: &str, path: &str, overrides: &[Override]) -> Option<Target> {
    let way = match method {
        b"POST" => Way::Post,
        b"GET" => Way::Fetch,
        _ => return None,
    };
    find(way, host, path, overrides)
}

/// Finds the API of a request for a WebSocket, as [`detect`] does for others. The query may have the model.
pub fn detect_socket(host: &str, path: &str, overrides: &[Override]) -> Option<Target> {
    let target = find(Way::Socket, host, path, overrides)?;
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let field = |name: &str| query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let model = field("model").or_else(|| field("deployment")).map(decode);
    Some(Target { model: model.filter(|model| is_name(model)).or(target.model), ..target })
}

/// How a request uses an API.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// It creates an answer.
    Post,
    /// It fetches an answer that was created earlier.
    Fetch,
    /// It asks for a WebSocket.
    Socket,
}

fn find(way: Way, host: &str, path: &str, overrides: &[Override]) -> Option<Target> {
    let endpoints = || endpoints().enumerate().filter(move |(_, e)| e.way() == way);
    let endpoint = |host, path| endpoints().find(|(_, e)| e.serves(path) && host_ends(host, e.host));
    let (whole, path) = (path, bare(path));
    let row = overrides.iter().find(|o| o.covers(host, path));
    let (endpoint, found) = match row {
        Some(row) if row.api == NO_API => return None,
        // A row names the API of the requests that create answers. Those that fetch them are known by their paths alone.
        Some(row) if !row.api.is_empty() && way != Way::Fetch => {
            let served = endpoint(host, path).filter(|(_, e)| row.api == SHAPE || e.api.name == row.api);
            served.or_else(|| endpoints().find(|(_, e)| e.api.name == row.api))?
        }
        _ => endpoint(host, path)?,
    };
    let model = model_in_path(path, found).filter(|_| way != Way::Fetch);
    // Vertex AI counts tokens at this model, with the path ending of a call.
    if model.as_deref() == Some("count-tokens") {
        return None;
    }
    let named = row.map(|row| row.provider.as_str()).filter(|provider| !provider.is_empty());
    let known = compatible::provider(host, whole);
    let is_own = known == Some(compatible::vendor(found.api));
    let provider = match (named, known) {
        (Some(named), _) => named.to_owned().into(),
        (None, Some(known)) => known.into(),
        (None, None) => compatible::vendor(found.api).into(),
    };
    Some(Target {
        endpoint,
        api: found.api,
        provider,
        provider_is_guessed: named.or(known).is_none(),
        certainty: match row.map_or("", |row| row.api) {
            _ if way == Way::Fetch => Certainty::OnceComplete,
            // The vendor's own host has only the vendor's API at the ending.
            "" | SHAPE if found.api.by_shape && !(is_own && found.api.only_api_of_vendor) => Certainty::ByBodies,
            "" if named.or(known).is_none() => Certainty::UnlessBlank,
            _ => Certainty::Sure,
        },
        model,
        streams: found.streams,
        expects_stream: found.streams || found.streams_by_default,
        fetched: found.fetched(path).map(decode).filter(|id| id.len() <= crate::json::LIMIT),
    })
}

/// A path ending at which an API is served.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// The end of the path.
    pub suffix: &'static str,
    /// The API that is served there.
    pub api: &'static Api,
    /// The path equals the suffix.
    pub(super) exact: bool,
    /// The path must contain this text too.
    pub(super) within: &'static str,
    /// The host must have this end.
    host: &'static str,
    /// The path has the model between this text and the suffix.
    model_after: &'static str,
    /// The path asks for a stream.
    streams: bool,
    /// A request asks for a stream unless it says otherwise.
    streams_by_default: bool,
    /// If not empty, the method is GET, and the path has an identifier between this text and the suffix: one segment.
    pub(super) fetched_after: &'static str,
    /// Each event of a stream is an envelope: a document with the API's document in base64.
    pub(super) enveloped: bool,
}

impl Endpoint {
    pub(super) const fn new(suffix: &'static str, api: &'static Api) -> Self {
        Endpoint {
            suffix,
            api,
            exact: false,
            within: "",
            host: "",
            model_after: "",
            streams: false,
            streams_by_default: false,
            fetched_after: "",
            enveloped: false,
        }
    }

    /// An endpoint with the method GET. The path has an identifier between `after` and `suffix`.
    pub(super) const fn fetch(after: &'static str, suffix: &'static str, api: &'static Api) -> Self {
        Endpoint { fetched_after: after, ..Endpoint::new(suffix, api) }
    }

    pub(super) const fn exact(path: &'static str, api: &'static Api) -> Self {
        Endpoint { exact: true, ..Endpoint::new(path, api) }
    }

    pub(super) const fn within(self, within: &'static str) -> Self {
        Endpoint { within, ..self }
    }

    pub(super) const fn host(self, host: &'static str) -> Self {
        Endpoint { host, ..self }
    }

    pub(super) const fn model_after(self, model_after: &'static str) -> Self {
        Endpoint { model_after, within: model_after, ..self }
    }

    pub(super) const fn streaming(self) -> Self {
        Endpoint { streams: true, ..self }
    }

    pub(super) const fn streaming_by_default(self) -> Self {
        Endpoint { streams_by_default: true, ..self }
    }

    pub(super) const fn enveloped(self) -> Self {
        Endpoint { enveloped: true, ..self }
    }

    fn serves(&self, path: &str) -> bool {
        // The comparison of one byte rules out most suffixes.
        let last = self.suffix.as_bytes().last();
        last.is_none_or(|last| path.as_bytes().last() == Some(last))
            && path.ends_with(self.suffix)
            && (self.within.is_empty() || path.contains(self.within))
            && (!self.exact || path.len() == self.suffix.len())
            && (!self.is_fetch() || self.fetched(path).is_some())
    }

    fn way(&self) -> Way {
        match self.is_fetch() {
            true => Way::Fetch,
            false if self.api.dialect.is_some() => Way::Socket,
            false => Way::Post,
        }
    }

    /// Returns true if requests fetch what earlier requests have created: their method is GET.
    pub fn is_fetch(&self) -> bool {
        !self.fetched_after.is_empty()
    }

    /// The identifier in the path of a request that fetches something.
    fn fetched<'p>(&self, path: &'p str) -> Option<&'p str> {
        let before = path.strip_suffix(self.suffix).filter(|_| self.is_fetch())?;
        let (_, id) = before.rsplit_once('/')?;
        Some(id).filter(|id| {
            !id.is_empty() && before.strip_suffix(id).is_some_and(|parent| parent.ends_with(self.fetched_after))
        })
    }
}

/// The name of the API that is recognised by the bodies.
const SHAPE: &str = shape::SHAPE.name;

/// Returns true if the name of a host, without its port, ends with `end`.
fn host_ends(host: &str, end: &str) -> bool {
    host.split(':').next().is_some_and(|name| name.ends_with(end))
}

/// The path without its query and a final slash.
fn bare(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_suffix('/').unwrap_or(path)
}

/// The model in the path, percent-decoded: in `/deployments/{model}/...`, in `/models/{model}:verb`, or after the text that the
/// endpoint gives.
fn model_in_path(path: &str, endpoint: &Endpoint) -> Option<Text> {
    let head = path.strip_suffix(endpoint.suffix)?;
    let model = match head.split_once("/deployments/") {
        _ if !endpoint.model_after.is_empty() => head.split_once(endpoint.model_after)?.1,
        Some((_, deployment)) => deployment.split('/').next()?,
        None if endpoint.suffix.starts_with(':') => head.rsplit('/').next()?,
        None => return None,
    };
    // Gemini Code Assist has its version here, and the model in the body.
    Some(decode(model)).filter(|model| is_name(model) && &**model != "v1internal")
}

/// Returns true if the text is neither empty nor too long for the name of a model.
fn is_name(text: &str) -> bool {
    (1..=crate::json::LIMIT).contains(&text.len())
}

/// Decodes percent-encoding. Malformed escapes stay as they are, and bytes that are not UTF-8 become U+FFFD.
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

#[cfg(test)]
mod tests {
    use super::super::compatible::AZURE;
    use super::*;

    fn model(path: &str) -> Option<Text> {
        detect(b"POST", "host", path, &[])?.model
    }

    #[test]
    fn the_model_in_a_path_is_decoded() {
        assert_eq!(model("/v1beta/models/m-1:generateContent?alt=sse").as_deref(), Some("m-1"));
        assert_eq!(model("/openai/deployments/d/chat/completions").as_deref(), Some("d"));
        assert_eq!(model("/model/a%3Ab%2Fc/converse").as_deref(), Some("a:b/c"));
        assert_eq!(model("/model/100%25%/converse").as_deref(), Some("100%%"));
        assert_eq!(model("/v1/chat/completions").as_deref(), None);
    }

    #[test]
    fn only_post_requests_to_the_path_of_an_api_are_recognised() {
        let found = |method: &[u8], path| detect(method, "host", path, &[]).map(|target| target.api.name);
        assert_eq!(found(b"POST", "/v1/chat/completions/?x=/v1/messages"), Some("openai-chat"));
        assert_eq!(found(b"GET", "/v1/chat/completions"), None);
        assert_eq!(found(b"POST", "/v1/chat/completions/c-1"), None);
    }

    #[test]
    fn an_override_applies_to_its_host_and_path_only() {
        let row =
            Override { host: "internal".into(), path: "/ask".into(), api: "openai-chat", provider: "acme".into() };
        let found = |host, path| detect(b"POST", host, path, std::slice::from_ref(&row)).map(|target| target.provider);
        assert_eq!(found("llm.internal:8443", "/ask/this").as_deref(), Some("acme"));
        assert_eq!(found("llm.internal", "/other"), None);
        assert_eq!(found("llm.external", "/ask"), None);
    }

    fn named(host: &str, path: &str) -> Option<(&'static str, String)> {
        detect(b"POST", host, path, &[]).map(|target| (target.api.name, target.provider.to_string()))
    }

    #[test]
    fn a_row_decides_first_then_the_host_azures_shape_a_prefix_and_the_end_of_the_path() {
        let row = |api, provider: &str| Override {
            path: "/groq/".into(),
            api,
            provider: provider.into(),
            ..Override::default()
        };
        let chat = "/groq/openai/deployments/d/chat/completions";
        let by_row = |row: Override| detect(b"POST", "api.mistral.ai", chat, &[row]);
        let target = by_row(row("openai-responses", "acme")).unwrap();
        assert_eq!(
            (target.api.name, &*target.provider, target.certainty),
            ("openai-responses", "acme", Certainty::Sure)
        );
        // A row with a provider only names it. The row `none` excludes the path.
        let target = by_row(row("", "acme")).unwrap();
        assert_eq!((target.api.name, &*target.provider), ("openai-chat", "acme"));
        assert!(by_row(row(NO_API, "")).is_none());
        for (host, path, provider) in [
            ("api.mistral.ai", chat, "mistral_ai"),
            ("llm.internal", chat, AZURE),
            ("llm.internal", "/groq/chat/completions?x=1&api-version=2024-10-21", AZURE),
            ("llm.internal", "/models/chat/completions?api-version=2024-05-01-preview", "azure.ai.inference"),
            ("llm.internal", "/groq/chat/completions?version=api-version=1", "groq"),
            ("llm.internal", "/groq/openai/v1/chat/completions", "groq"),
            ("llm.internal", "/v1/together-ai/chat/completions", "together_ai"),
            ("llm.internal", "/xai/v1/chat/completions", "x_ai"),
            ("llm.internal", "/v1/chat/completions", "openai"),
        ] {
            assert_eq!(named(host, path), Some(("openai-chat", provider.to_owned())), "{host}{path}");
        }
        assert_eq!(named("llm.internal", "/anthropic/v1/messages").unwrap().1, "anthropic");
        assert_eq!(named("llm.internal", "/bedrock/model/m/converse").unwrap().1, "aws.bedrock");
        assert_eq!(
            named("runtime.sagemaker.eu-west-1.amazonaws.com", "/endpoints/e/invocations").unwrap().1,
            "aws.sagemaker"
        );
    }

    #[test]
    fn the_end_of_a_path_alone_is_not_sure() {
        let certainty = |host, path| detect(b"POST", host, path, &[]).map(|target| target.certainty);
        assert_eq!(certainty("api.openai.com", "/v1/responses"), Some(Certainty::Sure));
        assert_eq!(certainty("survey.internal", "/v1/responses"), Some(Certainty::UnlessBlank));
        for path in
            ["/v1/chat", "/api/v1/chat", "/generate", "/v1/generate", "/v2/embed", "/rerank", "/completion", "/"]
        {
            assert_eq!(certainty("survey.internal", path), Some(Certainty::ByBodies), "{path}");
        }
    }
}
