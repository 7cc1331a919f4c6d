//! A second, independent reader of the wire formats: whole bodies in memory, `serde_json`, no streaming and no code
//! shared with the crate. It is slow and simple on purpose. Where it disagrees with the core, one of them misreads a
//! format.

#![allow(dead_code)]

mod anthropic;
mod batch;
mod bedrock;
mod cohere;
pub mod dice;
pub mod documents;
pub mod endpoint;
mod errors;
pub mod fixture;
mod frames;
mod framing;
mod gemini;
mod hosted;
pub mod mutate;
mod ollama;
mod openai;
pub mod paths;
mod reading;
mod request;
mod responses;
mod route;
mod servers;
pub mod transcript;
pub mod tree;

use reading::{Reading, hash};
use serde_json::Value;

pub type Map = serde_json::Map<String, Value>;

/// One request and its response, complete and uncompressed.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub method: String,
    pub host: String,
    pub path: String,
    pub request_headers: Vec<(String, String)>,
    pub request_body: Vec<u8>,
    pub status: u16,
    pub response_headers: Vec<(String, String)>,
    pub response_body: Vec<u8>,
}

/// The keys that [`observe`] reports. It does not report timing (not in the bodies), cost (from a price table) or agent
/// keys (from several exchanges).
pub const COVERED: &[&str] = &[
    "error.type",
    "gaugeway.batch.failures",
    "gaugeway.batch.responses",
    "gaugeway.message_count",
    "gaugeway.outcome",
    "gaugeway.prompt.hash",
    "gaugeway.prompt.characters",
    "gaugeway.response.characters",
    "gaugeway.response.hash",
    "gaugeway.tool_call.names",
    "gaugeway.parse_error",
    "gen_ai.conversation.id",
    "gen_ai.embeddings.dimension.count",
    "gen_ai.operation.name",
    "gen_ai.output.type",
    "gen_ai.provider.name",
    "gen_ai.request.choice.count",
    "gen_ai.request.encoding_formats",
    "gen_ai.request.frequency_penalty",
    "gen_ai.request.max_tokens",
    "gen_ai.request.model",
    "gen_ai.request.presence_penalty",
    "gen_ai.request.previous_response.id",
    "gen_ai.request.reasoning.level",
    "gen_ai.request.seed",
    "gen_ai.request.stop_sequences",
    "gen_ai.request.stream",
    "gen_ai.request.temperature",
    "gen_ai.request.top_k",
    "gen_ai.request.top_p",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.usage.audio.cache_read.input_tokens",
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.image.cache_read.input_tokens",
    "gen_ai.usage.image.input_tokens",
    "gen_ai.usage.image.output_tokens",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.text.cache_read.input_tokens",
    "gen_ai.usage.text.input_tokens",
    "gen_ai.usage.text.output_tokens",
    "openai.api.type",
    "openai.request.service_tier",
    "openai.response.service_tier",
    "openai.response.system_fingerprint",
    "server.address",
    "server.port",
];

/// The expected report for a complete exchange, or `None` if it is not an LLM call.
pub fn observe(exchange: &Exchange) -> Option<Map> {
    let route = route::route(exchange)?;
    let mut map = Map::new();
    map.insert("gen_ai.operation.name".into(), route.operation.into());
    map.insert("gen_ai.provider.name".into(), route.provider.into());

    let mut reading = Reading::default();
    request::read(&route, exchange, &mut map, &mut reading);
    if route.api == route::Api::Batch {
        map.extend(batch::read(&exchange.response_body)?);
        return Some(map);
    }
    let mut body = framing::response(exchange, &mut reading);
    // An array that Gemini sends in pieces is a stream as well.
    body.streamed |= route.streams && route.api == route::Api::Gemini;
    if exchange.status < 400 {
        route.api.read(exchange, &body, &mut reading);
    }
    for event in &body.events {
        errors::note(event, &mut reading);
    }
    reading.failed |= reading.finish.values().any(|reason| errors::is_error(reason));
    if route.api == route::Api::Responses {
        body.events.iter().for_each(|event| request::conversation(&event.data["response"]["conversation"], &mut map));
        body.events.iter().for_each(|event| request::conversation(&event.data["conversation"], &mut map));
    }
    if route.api == route::Api::Conversations {
        body.events.iter().for_each(|event| request::conversation(&event.data["conversation_id"], &mut map));
    }
    if let Some(session) = request::session(exchange) {
        map.entry("gen_ai.conversation.id").or_insert(session.into());
    }
    if let Some(provider) = reading.provider.filter(|_| !route.is_named) {
        map.insert("gen_ai.provider.name".into(), provider.into());
    }
    if route.api == route::Api::Media && route.operation == "image_generation" {
        // All output is images, unless the usage says otherwise.
        let output = reading.usage.output.unwrap_or(0);
        reading.modes.entry("image.output_tokens").or_insert(output);
    }
    if map["gen_ai.provider.name"] == "openai" {
        let kind = match route.api {
            route::Api::Chat => Some("chat_completions"),
            route::Api::Responses => Some("responses"),
            _ => None,
        };
        let (tier, fingerprint) = (reading.tier.take(), reading.fingerprint.take());
        let own = [
            ("openai.api.type", kind.map(str::to_owned)),
            ("openai.response.service_tier", tier),
            ("openai.response.system_fingerprint", fingerprint),
        ];
        map.extend(own.into_iter().filter_map(|(key, word)| Some((key.to_owned(), word?.into()))));
    } else {
        map.remove("openai.request.service_tier");
    }
    if route.fetches {
        let (is_fetched, is_new) = fetched(route.api, &body);
        if !is_fetched {
            return None;
        }
        if !is_new {
            (reading.usage, reading.modes, reading.finish) = Default::default();
            (reading.text, reading.tools) = Default::default();
        }
    }
    let is_shown = reading.is_shown;
    report(exchange, &body, reading, &mut map);
    (!route.by_shape || is_shown || fits(&route, &map)).then_some(map)
}

/// Returns whether a response was fetched that is complete, and whether it was created in the background, so that no earlier answer
/// had its usage.
fn fetched(api: route::Api, body: &framing::Body) -> (bool, bool) {
    let ends = |ends: &[&str]| {
        let status =
            |event: &framing::Event| event.data["status"].as_str().is_some_and(|status| ends.contains(&status));
        (body.events.iter().any(status), true)
    };
    match api {
        route::Api::Chat => return (body.events.iter().any(|event| event.data["usage"].is_object()), true),
        route::Api::Run => return ends(&["completed", "failed", "cancelled", "expired", "incomplete"]),
        route::Api::Prediction => return ends(&["succeeded", "failed", "canceled"]),
        _ => {}
    }
    let responses = body.events.iter().map(|event| match &event.data["response"] {
        Value::Null => &event.data,
        response => response,
    });
    let responses: Vec<_> = responses.filter(|response| response["object"] == "response").collect();
    let last = responses.last().and_then(|last| last["status"].as_str());
    let is_complete = last.is_some_and(|status| !["queued", "in_progress"].contains(&status));
    (is_complete, responses.iter().any(|response| response["background"] == true))
}

/// Returns true if the bodies are those of an API: the answer has usage, a finish reason, or a model and a text. After a
/// failure the request decides.
fn fits(route: &route::Route, map: &Map) -> bool {
    let has = |key: &str| map.contains_key(key);
    let asks = has("gaugeway.message_count") && (has("gen_ai.request.model") || route.is_named);
    asks && map["gaugeway.outcome"] != "completed"
        || map.keys().any(|key| key.starts_with("gen_ai.usage."))
        || has("gen_ai.response.finish_reasons")
        || has("gen_ai.response.model") && has("gaugeway.response.characters")
}

impl route::Api {
    fn read(self, exchange: &Exchange, body: &framing::Body, reading: &mut Reading) {
        use route::Api;
        match self {
            Api::Chat | Api::Fim | Api::Media | Api::Ranking => openai::read(body, openai::CHAT, reading),
            Api::Rerank => openai::read_ranks(body, reading),
            Api::Embeddings => openai::read_embeddings(body, reading),
            Api::Completions => openai::read(body, openai::COMPLETIONS, reading),
            Api::Responses => responses::read(body, reading),
            Api::Conversations => openai::read_conversation(body, reading),
            Api::Messages => anthropic::read(body, reading),
            Api::Gemini => gemini::read(body, reading),
            Api::GeminiEmbed | Api::Predict => gemini::read_embeddings(body, reading),
            Api::Interactions => gemini::read_interaction(body, reading),
            Api::Converse => bedrock::read_converse(body, reading),
            Api::Invoke => bedrock::read_invoke(exchange, body, reading),
            Api::CohereV1 | Api::CohereV2 | Api::CohereEmbed => cohere::read(body, reading),
            Api::OllamaChat | Api::OllamaGenerate | Api::OllamaEmbed => ollama::read(body, reading),
            Api::DashScope => hosted::read_dashscope(exchange, body, reading),
            Api::DashScopeEmbed => hosted::read_dashscope_embeddings(body, reading),
            Api::WatsonxChat => hosted::read_watsonx_chat(body, reading),
            Api::WatsonxGeneration => hosted::read_watsonx_generation(body, reading),
            Api::Generation => servers::read_generation(body, reading),
            Api::LlamaCpp => servers::read_llama_cpp(body, reading),
            Api::SageMaker => servers::read_sagemaker(body, reading),
            Api::AnyChat => servers::read_chat(body, reading),
            Api::Complete => servers::read_complete(body, reading),
            Api::AlephAlpha => servers::read_aleph_alpha(body, reading),
            Api::Run => servers::read_run(body, reading),
            Api::Prediction => servers::read_prediction(body, reading),
            Api::Agent => servers::read_agent(body, reading),
            Api::BedrockImages | Api::Batch => {}
            Api::Transcription => openai::read_transcription(body, reading),
        }
    }
}

fn report(exchange: &Exchange, body: &framing::Body, mut reading: Reading, map: &mut Map) {
    let outcome = if exchange.status >= 400 || reading.failed {
        "error"
    } else if body.cut || (body.streamed && !(reading.finished || body.done || !reading.needs_terminator)) {
        "truncated"
    } else {
        "completed"
    };
    map.insert("gaugeway.outcome".into(), outcome.into());
    match outcome {
        "error" => {
            map.insert("error.type".into(), errors::name(exchange, body, &reading).into());
        }
        "truncated" => {
            map.insert("error.type".into(), "truncated".into());
        }
        _ => {}
    }
    let usage = reading.usage;
    for (key, count) in [
        ("input_tokens", usage.input),
        ("output_tokens", usage.output),
        ("cache_read.input_tokens", usage.cache_read),
        ("cache_creation.input_tokens", usage.cache_creation),
        ("cache_write.input_tokens", usage.cache_creation),
        ("reasoning.output_tokens", usage.reasoning),
    ] {
        // The limit of a single count also applies to sums.
        match count {
            Some(0..=0x1_0000_0000) => drop(map.insert(format!("gen_ai.usage.{key}"), count.into())),
            Some(_) => drop(reading.parse_errors.insert(reading::ParseError::Number)),
            None => {}
        }
    }
    let modes = reading.modes.iter().filter(|(_, count)| **count > 0);
    map.extend(modes.map(|(key, count)| (format!("gen_ai.usage.{key}"), (*count).into())));
    let words = [("gen_ai.response.model", reading.model), ("gen_ai.response.id", reading.id)];
    for (key, word) in words {
        if let Some(word) = word {
            map.insert(key.into(), word.into());
        }
    }
    let lists = [
        ("gen_ai.response.finish_reasons", reading.finish.into_values().collect::<Vec<_>>()),
        ("gaugeway.tool_call.names", reading.tools),
    ];
    for (key, list) in lists {
        if !list.is_empty() {
            map.insert(key.into(), list.into());
        }
    }
    if !reading.text.is_empty() {
        map.insert("gaugeway.response.hash".into(), hash(&reading.text).into());
        map.insert("gaugeway.response.characters".into(), reading.text.chars().count().into());
    }
    if !reading.parse_errors.is_empty() {
        let words: Vec<_> = reading.parse_errors.into_iter().map(|t| t.word()).collect();
        map.insert("gaugeway.parse_error".into(), words.join(",").into());
    }
}

/// The keys whose values differ, as `key: expected, found`. Numbers are compared by value: 1 equals 1.0.
pub fn differences(expected: &Map, found: &Map, keys: &[&str]) -> Vec<String> {
    let same = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    };
    let show = |v: Option<&Value>| v.map_or("nothing".to_owned(), Value::to_string);
    keys.iter()
        .filter(|key| !same(expected.get(**key), found.get(**key)))
        .map(|key| format!("{key}: expected {}, found {}", show(expected.get(*key)), show(found.get(*key))))
        .collect()
}
