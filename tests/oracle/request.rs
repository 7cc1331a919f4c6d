//! Reads the request.

use super::framing::{self, essence};
use super::reading::{Reading, content_text, each, either, fragment, hash, text};
use super::route::{Api, Route};
use super::{Exchange, Map};
use serde_json::Value;

pub fn read(route: &Route, exchange: &Exchange, map: &mut Map, reading: &mut Reading) {
    let body = read_body(exchange, reading);
    let asked = Asked { body: &body };
    let body_model =
        asked.first(&["/model", "/agent", "/agent_id", "/model_id"]).as_str().filter(|model| !model.is_empty());
    if let Some(model) = route.model.as_deref().or(body_model) {
        map.insert("gen_ai.request.model".into(), model.into());
    }
    let ollama = matches!(route.api, Api::OllamaChat | Api::OllamaGenerate);
    if route.streams
        || body["stream"] == true
        || (ollama && body["stream"].is_null())
        || dashscope_streams(route, exchange)
    {
        map.insert("gen_ai.request.stream".into(), true.into());
    }
    parameters(&asked, map);
    server(exchange, map);
    if let Some(tier) = text(&body["service_tier"]).filter(|tier| *tier != "auto") {
        map.insert("openai.request.service_tier".into(), tier.into());
    }
    for (key, paths) in WORDS {
        if let Some(word) = text(asked.first(paths)) {
            map.insert((*key).into(), word.into());
        }
    }
    if route.operation == "embeddings" {
        embedding(&asked, map);
    }
    if let Some(kind) = output_type(&asked) {
        map.insert("gen_ai.output.type".into(), kind.into());
    }
    if route.api == Api::Responses {
        conversation(&body["conversation"], map);
    }
    let (count, prompt) = messages(route.api, &body);
    if let Some(count) = count {
        map.insert("gaugeway.message_count".into(), count.into());
    }
    if !prompt.is_empty() {
        map.insert("gaugeway.prompt.hash".into(), hash(&prompt).into());
        map.insert("gaugeway.prompt.characters".into(), prompt.chars().count().into());
    }
}

/// The body of a request as JSON; a form as an object.
pub fn body(exchange: &Exchange) -> Value {
    read_body(exchange, &mut Reading::default())
}

fn read_body(exchange: &Exchange, reading: &mut Reading) -> Value {
    if essence(&exchange.request_headers) == "multipart/form-data" {
        return form(exchange);
    }
    let mut body = framing::json(&exchange.request_body, reading);
    let body = body.events.drain(..).next().unwrap_or_default().data;
    if !exchange.path.starts_with("/v1internal:") {
        return body;
    }
    // Gemini Code Assist has the request inside another one.
    let mut inner = body["request"].clone();
    inner["model"] = body["model"].clone();
    inner
}

/// Reads a conversation id: a string, or an object as in responses.
pub fn conversation(said: &Value, map: &mut Map) {
    if let Some(id) = text(said).or(text(&said["id"])) {
        map.insert("gen_ai.conversation.id".into(), id.into());
    }
}

/// The session in the headers of Claude Code and Codex, and in the body of Gemini Code Assist.
pub fn session(exchange: &Exchange) -> Option<String> {
    let header = |name| framing::header(&exchange.request_headers, name).map(str::to_owned);
    let codex = || header("session-id").filter(|_| header("originator").is_some());
    let inner = || text(&body(exchange)["session_id"]).map(str::to_owned);
    header("x-claude-code-session-id").or_else(codex).or_else(inner)
}

fn dashscope_streams(route: &Route, exchange: &Exchange) -> bool {
    route.api == Api::DashScope && framing::header(&exchange.request_headers, "x-dashscope-sse") == Some("enable")
}

struct Asked<'a> {
    body: &'a Value,
}

impl<'a> Asked<'a> {
    fn first(&self, paths: &[&str]) -> &'a Value {
        paths.iter().filter_map(|path| self.body.pointer(path)).find(|value| !value.is_null()).unwrap_or(&Value::Null)
    }
}

/// The paths of each parameter over all APIs. None of them has another meaning in the body of another API.
const INTEGERS: &[(&str, &[&str])] = &[
    (
        "gen_ai.request.max_tokens",
        &[
            "/max_completion_tokens",
            "/max_output_tokens",
            "/max_tokens",
            "/max_tokens_to_sample",
            "/max_gen_len",
            "/maxTokens",
            "/maximum_tokens",
            "/n_predict",
            "/sampling_params/max_new_tokens",
            "/generationConfig/maxOutputTokens",
            "/generation_config/max_output_tokens",
            "/generationConfig/max_output_tokens",
            "/generation_config/maxOutputTokens",
            "/inferenceConfig/maxTokens",
            "/inferenceConfig/max_new_tokens",
            "/textGenerationConfig/maxTokenCount",
            "/options/num_predict",
            "/parameters/max_tokens",
            "/parameters/max_new_tokens",
            "/completion_args/max_tokens",
        ],
    ),
    (
        "gen_ai.request.top_k",
        &[
            "/top_k",
            "/k",
            "/generationConfig/topK",
            "/generation_config/top_k",
            "/additionalModelRequestFields/top_k",
            "/inferenceConfig/topK",
            "/options/top_k",
            "/parameters/top_k",
            "/sampling_params/top_k",
        ],
    ),
    (
        "gen_ai.request.seed",
        &[
            "/seed",
            "/random_seed",
            "/generationConfig/seed",
            "/generation_config/seed",
            "/options/seed",
            "/parameters/seed",
            "/parameters/random_seed",
            "/completion_args/random_seed",
        ],
    ),
    (
        "gen_ai.request.choice.count",
        &[
            "/n",
            "/num_generations",
            "/generationConfig/candidateCount",
            "/generation_config/candidate_count",
            "/parameters/n",
        ],
    ),
];

const FLOATS: &[(&str, &[&str])] = &[
    (
        "gen_ai.request.temperature",
        &[
            "/temperature",
            "/generationConfig/temperature",
            "/generation_config/temperature",
            "/inferenceConfig/temperature",
            "/textGenerationConfig/temperature",
            "/options/temperature",
            "/parameters/temperature",
            "/sampling_params/temperature",
            "/completion_args/temperature",
        ],
    ),
    (
        "gen_ai.request.top_p",
        &[
            "/top_p",
            "/p",
            "/topP",
            "/sampling_params/top_p",
            "/generationConfig/topP",
            "/generation_config/top_p",
            "/inferenceConfig/topP",
            "/textGenerationConfig/topP",
            "/options/top_p",
            "/parameters/top_p",
            "/completion_args/top_p",
        ],
    ),
    (
        "gen_ai.request.frequency_penalty",
        &[
            "/frequency_penalty",
            "/generationConfig/frequencyPenalty",
            "/generation_config/frequency_penalty",
            "/options/frequency_penalty",
            "/completion_args/frequency_penalty",
        ],
    ),
    (
        "gen_ai.request.presence_penalty",
        &[
            "/presence_penalty",
            "/generationConfig/presencePenalty",
            "/generation_config/presence_penalty",
            "/options/presence_penalty",
            "/parameters/presence_penalty",
            "/completion_args/presence_penalty",
        ],
    ),
];

const WORDS: &[(&str, &[&str])] = &[
    (
        "gen_ai.request.reasoning.level",
        &[
            "/reasoning_effort",
            "/reasoning/effort",
            "/output_config/effort",
            "/generationConfig/thinkingConfig/thinkingLevel",
            "/generation_config/thinking_config/thinking_level",
            "/generation_config/thinking_level",
        ],
    ),
    (
        "gen_ai.request.previous_response.id",
        &["/previous_response_id", "/previous_interaction_id", "/thread/previous_message_id"],
    ),
];

/// Fixtures are sent without TLS.
fn server(exchange: &Exchange, map: &mut Map) {
    let (address, port) = exchange.host.split_once(':').unwrap_or((&exchange.host, "80"));
    if !address.is_empty() {
        map.insert("server.address".into(), address.into());
        map.insert("server.port".into(), port.parse::<u16>().unwrap().into());
    }
}

fn embedding(asked: &Asked<'_>, map: &mut Map) {
    let dimensions = asked.first(&[
        "/dimensions",
        "/output_dimension",
        "/outputDimensionality",
        "/output_dimensionality",
        "/requests/0/outputDimensionality",
        "/parameters/outputDimensionality",
        "/parameters/dimension",
    ]);
    if let Some(count) = dimensions.as_u64() {
        map.insert("gen_ai.embeddings.dimension.count".into(), count.into());
    }
    let formats = asked.first(&["/encoding_format", "/embedding_types", "/embeddingTypes"]);
    let formats: Vec<&str> = text(formats).into_iter().chain(each(formats).filter_map(text)).collect();
    if !formats.is_empty() {
        map.insert("gen_ai.request.encoding_formats".into(), formats.into());
    }
}

const STOPS: &[&str] = &[
    "/stop",
    "/stop_sequences",
    "/stopSequences",
    "/generationConfig/stopSequences",
    "/generation_config/stop_sequences",
    "/inferenceConfig/stopSequences",
    "/textGenerationConfig/stopSequences",
    "/options/stop",
    "/parameters/stop",
    "/parameters/stop_sequences",
    "/completion_args/stop",
];

fn parameters(asked: &Asked<'_>, map: &mut Map) {
    for (key, paths) in INTEGERS {
        let value = asked.first(paths).as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e18);
        let unlimited = |value: f64| key.ends_with("max_tokens") && value < 0.0;
        let usual = |value: f64| key.ends_with("choice.count") && value == 1.0;
        if let Some(value) = value.filter(|value| !unlimited(*value) && !usual(*value)) {
            map.insert((*key).into(), (value as i64).into());
        }
    }
    for (key, paths) in FLOATS {
        let value = asked.first(paths);
        if value.is_number() {
            map.insert((*key).into(), value.clone());
        }
    }
    let stop = asked.first(STOPS);
    let stops: Vec<&str> = stop.as_str().into_iter().chain(each(stop).filter_map(Value::as_str)).collect();
    if !stops.is_empty() {
        map.insert("gen_ai.request.stop_sequences".into(), stops.into());
    }
}

fn output_type(asked: &Asked<'_>) -> Option<&'static str> {
    let modalities = asked.first(&[
        "/modalities",
        "/generationConfig/responseModalities",
        "/generation_config/response_modalities",
        "/response_modalities",
    ]);
    let wants = |word: &str| each(modalities).filter_map(Value::as_str).any(|m| m.eq_ignore_ascii_case(word));
    if wants("audio") {
        return Some("speech");
    }
    if wants("image") {
        return Some("image");
    }
    let format = asked.first(&[
        "/response_format/type",
        "/text/format/type",
        "/output_config/format/type",
        "/outputConfig/textFormat/type",
        "/output_format/type",
        "/parameters/response_format/type",
        "/completion_args/response_format/type",
    ]);
    match format.as_str() {
        Some("text") => return Some("text"),
        Some("json_object" | "json_schema") => return Some("json"),
        _ => {}
    }
    let mime = asked.first(&[
        "/generationConfig/responseMimeType",
        "/generation_config/response_mime_type",
        "/response_mime_type",
    ]);
    match mime.as_str() {
        Some("application/json") => return Some("json"),
        Some("text/plain") => return Some("text"),
        _ => {}
    }
    let ollama = &asked.body["format"];
    (ollama == "json" || ollama.is_object()).then_some("json")
}

/// The member with the messages: a list, or one message.
pub fn list(api: Api, body: &Value) -> &Value {
    match api {
        Api::Responses | Api::Interactions | Api::Conversations => either(&body["input"], &body["inputs"]),
        Api::Gemini => &body["contents"],
        Api::GeminiEmbed => either(&body["requests"], &body["content"]),
        Api::Predict => &body["instances"],
        Api::Completions | Api::Fim | Api::OllamaGenerate | Api::Complete | Api::AlephAlpha | Api::LlamaCpp => {
            &body["prompt"]
        }
        Api::Agent => &body["inputText"],
        Api::BedrockImages => either(&body["prompt"], &body["textToImageParams"]["text"]),
        Api::Run | Api::Batch | Api::Prediction => &Value::Null,
        Api::SageMaker => either(&body["messages"], either(&body["inputs"], &body["prompt"])),
        Api::AnyChat => either(&body["messages"], either(&body["input"], either(&body["message"], &body["prompt"]))),
        Api::CohereV1 => either(&body["message"], &body["prompt"]),
        Api::CohereEmbed => either(&body["texts"], &body["inputs"]),
        Api::Embeddings | Api::OllamaEmbed => either(&body["input"], &body["prompt"]),
        Api::Rerank => &body["query"],
        Api::Ranking => &body["input"],
        Api::WatsonxGeneration => &body["input"],
        Api::Generation => either(&body["inputs"], &body["text"]),
        Api::Media | Api::Transcription => either(&body["prompt"], &body["input"]),
        Api::DashScope | Api::DashScopeEmbed => {
            let input = &body["input"];
            either(&input["messages"], either(&input["prompt"], either(&input["texts"], &input["query"])))
        }
        Api::Invoke => invoke_prompt(body),
        Api::Chat | Api::Messages | Api::Converse | Api::CohereV2 | Api::OllamaChat | Api::WatsonxChat => {
            &body["messages"]
        }
    }
}

/// The number of messages, and the text of the last one.
fn messages(api: Api, body: &Value) -> (Option<u64>, String) {
    let mut prompt = String::new();
    let list = list(api, body);
    match list {
        Value::String(text) => (Some(1), text.clone()),
        // A prompt of token numbers is one prompt.
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => (Some(1), prompt),
        Value::Array(items) => {
            if let Some(last) = items.last() {
                message_text(last, &mut prompt);
            }
            (Some(items.len() as u64), prompt)
        }
        Value::Object(_) => {
            message_text(list, &mut prompt);
            (Some(1), prompt)
        }
        _ => (None, prompt),
    }
}

fn invoke_prompt(body: &Value) -> &Value {
    ["messages", "prompt", "inputText", "message", "texts", "inputs"]
        .iter()
        .map(|key| &body[*key])
        .find(|v| !v.is_null())
        .unwrap_or(&Value::Null)
}

fn message_text(message: &Value, out: &mut String) {
    match message {
        Value::String(text) => out.push_str(text),
        _ => {
            for place in ["content", "output", "prompt"] {
                content_text(&message[place], out);
            }
            if message["type"] == "function.result" {
                content_text(&message["result"], out);
            }
            let parts = either(&message["parts"], &message["content"]["parts"]);
            each(parts).for_each(|part| out.push_str(fragment(&part["text"])));
            out.push_str(fragment(&message["text"]));
        }
    }
}

/// The plain fields of a multipart form as strings, and `stream` as a boolean.
fn form(exchange: &Exchange) -> Value {
    let kind = framing::header(&exchange.request_headers, "content-type").unwrap_or_default();
    let Some(boundary) =
        kind.split("boundary=").nth(1).map(|b| b.split(';').next().unwrap_or(b).trim().trim_matches('"'))
    else {
        return Value::Null;
    };
    let body = String::from_utf8_lossy(&exchange.request_body);
    let mut fields = Map::new();
    for part in body.split(&format!("--{boundary}")) {
        let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
        let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let (Some(name), false) = (name, head.contains("filename=")) {
            let value = value.trim_end_matches("\r\n");
            let value = if name == "stream" { (value == "true").into() } else { value.into() };
            fields.insert(name.to_owned(), value);
        }
    }
    fields.into()
}
