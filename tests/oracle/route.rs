//! Determines the API of an exchange from its method, path and host.

use super::Exchange;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
    Embeddings,
    Responses,
    /// Mistral's fill-in-the-middle: the request is like completions, the response like chat.
    Fim,
    /// Images and speech: `usage` with `input_tokens`, if present.
    Media,
    Transcription,
    /// Moderations, rerank, OCR: no tokens.
    Ranking,
    Conversations,
    Messages,
    Gemini,
    GeminiEmbed,
    Predict,
    Interactions,
    Converse,
    Invoke,
    CohereV1,
    CohereV2,
    CohereEmbed,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    DashScope,
    DashScopeEmbed,
    WatsonxChat,
    WatsonxGeneration,
    Tgi,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub api: Api,
    pub operation: &'static str,
    pub provider: &'static str,
    /// The model, if the path contains it.
    pub model: Option<String>,
    /// The path's verb asks for a stream.
    pub streams: bool,
}

pub fn route(exchange: &Exchange) -> Option<Route> {
    if exchange.method != "POST" {
        return None;
    }
    let path = exchange.path.split('?').next()?.trim_end_matches('/');
    let host = exchange.host.to_ascii_lowercase();
    let (api, operation, model, streams) = by_verb(path).or_else(|| by_model_path(path)).or_else(|| {
        by_suffix(path, &host).map(|(api, op)| (api, op, azure_deployment(path), path.ends_with("_stream")))
    })?;
    let provider = provider(&host, path, api);
    Some(Route { api, operation, provider, model, streams })
}

type Found = (Api, &'static str, Option<String>, bool);

/// Google: `…/models/{model}:{verb}`.
fn by_verb(path: &str) -> Option<Found> {
    let (before, verb) = path.rsplit_once(':')?;
    let (parent, model) = before.rsplit_once('/')?;
    let collection = parent.rsplit('/').next()?;
    if !matches!(collection, "models" | "tunedModels" | "endpoints") {
        return None;
    }
    let anthropic = parent.ends_with("/publishers/anthropic/models");
    let mistral = parent.ends_with("/publishers/mistralai/models");
    let (api, operation, streams) = match verb {
        "generateContent" => (Api::Gemini, "generate_content", false),
        "streamGenerateContent" => (Api::Gemini, "generate_content", true),
        "embedContent" | "batchEmbedContents" => (Api::GeminiEmbed, "embeddings", false),
        "predict" if is_embedding(model) => (Api::Predict, "embeddings", false),
        "predict" if collection == "models" => (Api::Predict, "image_generation", false),
        "rawPredict" | "streamRawPredict" if model == "count-tokens" => return None,
        "rawPredict" | "streamRawPredict" if anthropic => (Api::Messages, "chat", verb == "streamRawPredict"),
        "rawPredict" | "streamRawPredict" if mistral => (Api::Chat, "chat", verb == "streamRawPredict"),
        _ => return None,
    };
    Some((api, operation, Some(percent_decoded(model)), streams))
}

fn is_embedding(model: &str) -> bool {
    model.contains("embed") || model.contains("gecko")
}

/// Bedrock: `/model/{model}/{verb}`.
fn by_model_path(path: &str) -> Option<Found> {
    let (before, verb) = path.rsplit_once('/')?;
    let model = percent_decoded(before.split_once("/model/")?.1);
    let (api, streams) = match verb {
        "converse" => (Api::Converse, false),
        "converse-stream" => (Api::Converse, true),
        "invoke" => (Api::Invoke, false),
        "invoke-with-response-stream" => (Api::Invoke, true),
        _ => return None,
    };
    let operation = if api == Api::Invoke && is_embedding(&model) { "embeddings" } else { "chat" };
    Some((api, operation, Some(model), streams))
}

fn by_suffix(path: &str, host: &str) -> Option<(Api, &'static str)> {
    let table: &[(&str, Api, &'static str)] = &[
        ("/chat/completions", Api::Chat, "chat"),
        ("/agents/completions", Api::Chat, "chat"),
        ("/fim/completions", Api::Fim, "text_completion"),
        ("/completions", Api::Completions, "text_completion"),
        ("/responses", Api::Responses, "chat"),
        ("/responses/compact", Api::Responses, "compact_response"),
        ("/services/embeddings/text-embedding/text-embedding", Api::DashScopeEmbed, "embeddings"),
        ("/services/aigc/text-generation/generation", Api::DashScope, "chat"),
        ("/services/aigc/multimodal-generation/generation", Api::DashScope, "chat"),
        ("/api/embeddings", Api::OllamaEmbed, "embeddings"),
        ("/embeddings", Api::Embeddings, "embeddings"),
        ("/images/generations", Api::Media, "image_generation"),
        ("/images/edits", Api::Media, "image_generation"),
        ("/images/variations", Api::Media, "image_generation"),
        ("/audio/transcriptions", Api::Transcription, "transcription"),
        ("/audio/translations", Api::Transcription, "translation"),
        ("/audio/speech", Api::Media, "speech"),
        ("/moderations", Api::Ranking, "moderation"),
        ("/rerank", Api::Ranking, "rerank"),
        ("/v1/ocr", Api::Ranking, "ocr"),
        ("/v1/messages", Api::Messages, "chat"),
        ("/interactions", Api::Interactions, "chat"),
        ("/v1/chat", Api::CohereV1, "chat"),
        ("/v1/generate", Api::CohereV1, "text_completion"),
        ("/v2/chat", Api::CohereV2, "chat"),
        ("/v1/embed", Api::CohereEmbed, "embeddings"),
        ("/v2/embed", Api::CohereEmbed, "embeddings"),
        ("/api/chat", Api::OllamaChat, "chat"),
        ("/api/generate", Api::OllamaGenerate, "text_completion"),
        ("/api/embed", Api::OllamaEmbed, "embeddings"),
        ("/text/chat", Api::WatsonxChat, "chat"),
        ("/text/chat_stream", Api::WatsonxChat, "chat"),
        ("/text/generation", Api::WatsonxGeneration, "text_completion"),
        ("/text/generation_stream", Api::WatsonxGeneration, "text_completion"),
        ("/generate", Api::Tgi, "text_completion"),
        ("/generate_stream", Api::Tgi, "text_completion"),
    ];
    // A later turn has the conversation id in its path.
    let turn = |rest: &str| rest.is_empty() || (rest.starts_with('/') && !rest[1..].contains('/'));
    if host.contains("mistral") && path.split_once("/v1/conversations").is_some_and(|(_, rest)| turn(rest)) {
        return Some((Api::Conversations, "chat"));
    }
    // OpenRouter's `/api/v1/embeddings` ends like Ollama's path except for the version.
    table.iter().find(|(suffix, ..)| path.ends_with(suffix)).map(|(_, api, operation)| (*api, *operation))
}

/// Azure's classic paths contain the deployment. The body's model may be missing or wrong there.
fn azure_deployment(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/openai/deployments/")?;
    rest.split('/').next().map(percent_decoded)
}

fn provider(host: &str, path: &str, api: Api) -> &'static str {
    let name = host.split(':').next().unwrap_or(host);
    let under = |domain: &str| name == domain || name.ends_with(&format!(".{domain}"));
    let azure = ["openai.azure.com", "cognitiveservices.azure.com", "azure-api.net", "services.ai.azure.com"]
        .iter()
        .any(|d| name.ends_with(d));
    if azure {
        return match () {
            () if path.contains("/anthropic/") => "anthropic",
            () if path.starts_with("/models/") => "azure.ai.inference",
            () => "azure.ai.openai",
        };
    }
    if name.ends_with("aiplatform.googleapis.com")
        || (name.starts_with("aiplatform.") && name.ends_with(".rep.googleapis.com"))
    {
        return match api {
            Api::Messages => "anthropic",
            _ => "gcp.vertex_ai",
        };
    }
    if name.starts_with("bedrock-runtime.") || name.starts_with("bedrock-mantle.") {
        return "aws.bedrock";
    }
    let hosts: &[(&str, &'static str)] = &[
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("groq.com", "groq"),
        ("mistral.ai", "mistral_ai"),
        ("cohere.com", "cohere"),
        ("cohere.ai", "cohere"),
        ("x.ai", "x_ai"),
        ("deepseek.com", "deepseek"),
        ("perplexity.ai", "perplexity"),
        ("moonshot.ai", "moonshot_ai"),
        ("moonshot.cn", "moonshot_ai"),
        ("openrouter.ai", "openrouter"),
        ("together.xyz", "together_ai"),
        ("fireworks.ai", "fireworks"),
        ("cerebras.ai", "cerebras"),
        ("ollama.com", "ollama"),
        ("aliyuncs.com", "alibaba_cloud"),
        ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
        ("huggingface.cloud", "hugging_face"),
        ("huggingface.co", "hugging_face"),
        ("voyageai.com", "voyageai"),
    ];
    if let Some((_, provider)) = hosts.iter().find(|(domain, _)| under(domain)) {
        return provider;
    }
    if host.ends_with(":11434") {
        return "ollama";
    }
    match api {
        Api::Messages => "anthropic",
        Api::Gemini | Api::GeminiEmbed | Api::Interactions => "gcp.gemini",
        Api::Predict => "gcp.vertex_ai",
        Api::Converse | Api::Invoke => "aws.bedrock",
        Api::CohereV1 | Api::CohereV2 | Api::CohereEmbed => "cohere",
        Api::OllamaChat | Api::OllamaGenerate | Api::OllamaEmbed => "ollama",
        Api::Conversations => "mistral_ai",
        Api::DashScope | Api::DashScopeEmbed => "alibaba_cloud",
        Api::WatsonxChat | Api::WatsonxGeneration => "ibm.watsonx.ai",
        Api::Tgi => "hugging_face",
        _ => "openai",
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
