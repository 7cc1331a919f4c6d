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
    /// Moderations and OCR: no tokens.
    Ranking,
    Rerank,
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
    /// Text Generation Inference and SGLang.
    Generation,
    LlamaCpp,
    SageMaker,
    /// A chat at an ending that several vendors use.
    AnyChat,
    /// Anthropic's text completions.
    Complete,
    AlephAlpha,
    /// A run of OpenAI's Assistants.
    Run,
    /// An agent of Bedrock.
    Agent,
    BedrockImages,
    /// The results of a batch.
    Batch,
    Prediction,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub api: Api,
    pub operation: &'static str,
    pub provider: &'static str,
    /// Host or path name the provider.
    pub is_named: bool,
    /// Other services use the path too, so the bodies decide.
    pub by_shape: bool,
    /// The model, if the path contains it.
    pub model: Option<String>,
    /// The path's verb asks for a stream.
    pub streams: bool,
    /// The request fetches an answer that an earlier one has created.
    pub fetches: bool,
}

pub fn route(exchange: &Exchange) -> Option<Route> {
    let path = exchange.path.split('?').next()?.trim_end_matches('/');
    let host = exchange.host.to_ascii_lowercase();
    if exchange.method == "GET" {
        return fetch(&host, path);
    }
    if exchange.method != "POST" {
        return None;
    }
    let streams = |api| match api {
        Api::Agent => true,
        Api::SageMaker => path.ends_with("-stream"),
        _ => path.ends_with("_stream"),
    };
    let (api, operation, model, streams) = by_verb(path).or_else(|| by_model_path(path)).or_else(|| {
        by_suffix(path, &host)
            .map(|(api, op)| (api, op, azure_deployment(path).or_else(|| replicated(path, api)), streams(api)))
    })?;
    let named = provider(&host, path, api);
    let provider = named.unwrap_or_else(|| vendor(api));
    let shared = match api {
        Api::Generation | Api::LlamaCpp | Api::SageMaker | Api::AnyChat | Api::Rerank | Api::CohereEmbed => true,
        Api::OllamaChat | Api::OllamaGenerate | Api::OllamaEmbed => named != Some("ollama"),
        _ => false,
    };
    let is_own = named == Some("cohere");
    let by_shape = !is_own && (shared || path.ends_with("/v1/generate"));
    Some(Route { api, operation, provider, is_named: named.is_some(), by_shape, model, streams, fetches: false })
}

/// The path has the identifier of what is fetched.
fn fetch(host: &str, path: &str) -> Option<Route> {
    let (collection, last) = path.rsplit_once('/')?;
    let is_file = collection.contains("/files/") && last == "content";
    let is_download = collection.ends_with("/files") && last.ends_with(":download");
    let api = match collection {
        _ if collection.ends_with("/responses") => Api::Responses,
        _ if collection.contains("/threads/") && collection.ends_with("/runs") => Api::Run,
        _ if collection.ends_with("/deferred-completion") || collection.ends_with("/async-result") => Api::Chat,
        _ if host.ends_with("replicate.com") && collection.ends_with("/predictions") => Api::Prediction,
        _ if host.ends_with("googleapis.com") && collection.ends_with("/batches") => Api::Batch,
        _ if collection.ends_with("/batch/jobs") => Api::Batch,
        _ if is_file || is_download || collection.contains("/messages/batches/") && last == "results" => Api::Batch,
        _ => return None,
    };
    let named = provider(host, path, api);
    let operation = if api == Api::Batch { "fetch_batch" } else { "fetch_response" };
    let provider = named.unwrap_or_else(|| vendor(api));
    let is_named = named.is_some();
    Some(Route { api, operation, provider, is_named, by_shape: false, model: None, streams: false, fetches: true })
}

type Found = (Api, &'static str, Option<String>, bool);

/// Google: `…/models/{model}:{verb}`.
fn by_verb(path: &str) -> Option<Found> {
    let (before, verb) = path.rsplit_once(':')?;
    // Gemini Code Assist.
    if before == "/v1internal" && verb.ends_with("enerateContent") {
        return Some((Api::Gemini, "generate_content", None, verb.starts_with("stream")));
    }
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
    if verb == "invoke" && ["titan-image", "nova-canvas", "stability."].iter().any(|name| model.contains(name)) {
        return Some((Api::BedrockImages, "image_generation", Some(model), false));
    }
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
        ("/rerank", Api::Rerank, "rerank"),
        ("/services/rerank/text-rerank/text-rerank", Api::DashScopeEmbed, "rerank"),
        ("/image-synthesis", Api::DashScopeEmbed, "image_generation"),
        ("/video-synthesis", Api::DashScopeEmbed, "video_generation"),
        ("/v1/complete", Api::Complete, "text_completion"),
        ("/invocations", Api::SageMaker, "chat"),
        ("/invocations-response-stream", Api::SageMaker, "chat"),
        ("/ml/v1-beta/generation/text", Api::WatsonxGeneration, "text_completion"),
        ("/v1/ocr", Api::Ranking, "ocr"),
        ("/v1/messages", Api::Messages, "chat"),
        ("/interactions", Api::Interactions, "chat"),
        ("/v1/generate", Api::CohereV1, "text_completion"),
        ("/v1/embed", Api::CohereEmbed, "embeddings"),
        ("/v2/embed", Api::CohereEmbed, "embeddings"),
        ("/api/chat", Api::OllamaChat, "chat"),
        ("/api/generate", Api::OllamaGenerate, "text_completion"),
        ("/api/embed", Api::OllamaEmbed, "embeddings"),
        ("/text/chat", Api::WatsonxChat, "chat"),
        ("/text/chat_stream", Api::WatsonxChat, "chat"),
        ("/text/generation", Api::WatsonxGeneration, "text_completion"),
        ("/text/generation_stream", Api::WatsonxGeneration, "text_completion"),
        ("/generate_stream", Api::Generation, "text_completion"),
    ];
    let whole = match path {
        "/generate" | "" => Some((Api::Generation, "text_completion")),
        "/completion" => Some((Api::LlamaCpp, "text_completion")),
        "/complete" if host.ends_with("aleph-alpha.com") => Some((Api::AlephAlpha, "text_completion")),
        _ if path.ends_with("/v1/images") && host.ends_with("openrouter.ai") => Some((Api::Media, "image_generation")),
        _ if host.ends_with("replicate.com") && path.ends_with("/predictions") => {
            Some((Api::Prediction, "generate_content"))
        }
        _ if path.ends_with("/text") && path.contains("/agentAliases/") => Some((Api::Agent, "invoke_agent")),
        _ if path.contains("/threads/") && (path.ends_with("/runs") || path.ends_with("/submit_tool_outputs")) => {
            Some((Api::Run, "invoke_agent"))
        }
        _ if path.ends_with("/v1/chat") || path.ends_with("/v2/chat") => {
            let cohere = host.ends_with("cohere.com") || host.ends_with("cohere.ai");
            let of_cohere = if path.ends_with("/v1/chat") { Api::CohereV1 } else { Api::CohereV2 };
            Some((if cohere { of_cohere } else { Api::AnyChat }, "chat"))
        }
        _ => None,
    };
    if whole.is_some() {
        return whole;
    }
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

/// Replicate's paths contain the owner and the name of a model.
fn replicated(path: &str, api: Api) -> Option<String> {
    let (_, model) = path.strip_suffix("/predictions").filter(|_| api == Api::Prediction)?.split_once("/models/")?;
    Some(model.to_owned())
}

/// The provider, if host or path name it.
fn provider(host: &str, path: &str, api: Api) -> Option<&'static str> {
    let name = host.split(':').next().unwrap_or(host);
    let under = |domain: &str| name == domain || name.ends_with(&format!(".{domain}"));
    let azure = ["openai.azure.com", "cognitiveservices.azure.com", "azure-api.net", "services.ai.azure.com"]
        .iter()
        .any(|d| name.ends_with(d));
    if azure {
        return Some(match () {
            () if path.contains("/anthropic/") => "anthropic",
            () if path.starts_with("/models/") => "azure.ai.inference",
            () => "azure.ai.openai",
        });
    }
    if name.ends_with("aiplatform.googleapis.com")
        || (name.starts_with("aiplatform.") && name.ends_with(".rep.googleapis.com"))
    {
        return Some(if api == Api::Messages { "anthropic" } else { "gcp.vertex_ai" });
    }
    if ["bedrock-runtime.", "bedrock-mantle.", "bedrock-agent-runtime."].iter().any(|start| name.starts_with(start)) {
        return Some("aws.bedrock");
    }
    if name.starts_with("runtime.sagemaker.") {
        return Some("aws.sagemaker");
    }
    let hosts: &[(&str, &'static str)] = &[
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("cloudcode-pa.googleapis.com", "gcp.gemini"),
        ("aleph-alpha.com", "aleph_alpha"),
        ("writer.com", "writer"),
        ("githubcopilot.com", "github_copilot"),
        ("minimax.io", "minimax"),
        ("bigmodel.cn", "zhipuai"),
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
        ("replicate.com", "replicate"),
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
    let known = hosts.iter().find(|(domain, _)| under(domain)).map(|(_, provider)| *provider);
    known.or(host.ends_with(":11434").then_some("ollama"))
}

/// The vendor that defined the API.
fn vendor(api: Api) -> &'static str {
    match api {
        Api::Messages | Api::Complete => "anthropic",
        Api::Gemini | Api::GeminiEmbed | Api::Interactions => "gcp.gemini",
        Api::Predict => "gcp.vertex_ai",
        Api::Converse | Api::Invoke | Api::Agent | Api::BedrockImages => "aws.bedrock",
        Api::CohereV1 | Api::CohereV2 | Api::CohereEmbed | Api::Rerank => "cohere",
        Api::LlamaCpp => "llama_cpp",
        Api::SageMaker => "aws.sagemaker",
        Api::AlephAlpha => "aleph_alpha",
        Api::OllamaChat | Api::OllamaGenerate | Api::OllamaEmbed => "ollama",
        Api::Conversations => "mistral_ai",
        Api::DashScope | Api::DashScopeEmbed => "alibaba_cloud",
        Api::WatsonxChat | Api::WatsonxGeneration => "ibm.watsonx.ai",
        Api::Generation => "hugging_face",
        Api::Prediction => "replicate",
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
