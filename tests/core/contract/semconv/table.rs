//! The attributes of OpenTelemetry's conventions for generative AI, v0.1.0, that can be on the span of a call to a model.
//!
//! The repository is open-telemetry/semantic-conventions-genai. Of the release itself only the beginnings of some pages could be
//! read, so the rows come from the nearest earlier copy of each file.

use self::Level::{Conditional, OptIn, Recommended, Required};

/// An attribute of the conventions.
pub struct Row {
    pub name: &'static str,
    /// `string`, `strings`, `int`, `double`, `bool` or `any`.
    pub kind: &'static str,
    pub level: Level,
    /// The values that the conventions list; empty if they list none.
    pub values: &'static [&'static str],
    /// File and commit.
    pub source: &'static str,
    /// The file could be read at this commit.
    pub verified: bool,
}

/// The requirement level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Required,
    Conditional,
    Recommended,
    OptIn,
}

const INFERENCE: &str = "docs/gen-ai/client-inference.md@ac48b1f9";
const REGISTRY: &str = "model/gen-ai/registry.yaml@972e9e2a";
const EMBEDDINGS: &str = "docs/gen-ai/client-embeddings.md@88eccb15";
const OPENAI: &str = "docs/gen-ai/openai.md@5bc5dd3c";
const BEDROCK: &str = "docs/gen-ai/aws-bedrock.md@8b7a29d0";
const AZURE: &str = "docs/gen-ai/azure-ai-inference.md@7269173e";
const SPANS_PAGE: &str = "docs/gen-ai/gen-ai-spans.md@002c8a6e";

const PROVIDERS: &[&str] = &[
    "anthropic",
    "aws.bedrock",
    "azure.ai.inference",
    "azure.ai.openai",
    "cohere",
    "deepseek",
    "gcp.gemini",
    "gcp.gen_ai",
    "gcp.vertex_ai",
    "groq",
    "ibm.watsonx.ai",
    "mistral_ai",
    "moonshot_ai",
    "openai",
    "perplexity",
    "x_ai",
];

const OPERATIONS: &[&str] = &[
    "chat",
    "create_agent",
    "create_memory",
    "create_memory_store",
    "delete_memory",
    "delete_memory_store",
    "embeddings",
    "execute_tool",
    "fetch_response",
    "generate_content",
    "invoke_agent",
    "invoke_workflow",
    "plan",
    "retrieval",
    "search_memory",
    "text_completion",
    "update_memory",
    "upsert_memory",
];

const OUTPUT_TYPES: &[&str] = &["image", "json", "speech", "text"];
const RESPONSE_STATUSES: &[&str] = &["cancelled", "completed", "failed", "in_progress", "incomplete", "queued"];
const OPENAI_APIS: &[&str] = &["chat_completions", "responses"];
const SERVICE_TIERS: &[&str] = &["auto", "default"];

const fn row(name: &'static str, kind: &'static str, level: Level, source: &'static str) -> Row {
    Row { name, kind, level, values: &[], source, verified: true }
}

impl Row {
    const fn of(self, values: &'static [&'static str]) -> Self {
        Row { values, ..self }
    }

    const fn unverified(self) -> Self {
        Row { verified: false, ..self }
    }
}

/// Every attribute, in the order of the pages.
pub const ATTRIBUTE_ROWS: &[Row] = &[
    row("gen_ai.operation.name", "string", Required, INFERENCE).of(OPERATIONS),
    row("gen_ai.provider.name", "string", Required, INFERENCE).of(PROVIDERS),
    row("error.type", "string", Conditional, INFERENCE),
    row("gen_ai.request.model", "string", Conditional, INFERENCE),
    row("server.address", "string", Recommended, INFERENCE),
    row("server.port", "int", Conditional, INFERENCE),
    row("gen_ai.conversation.id", "string", Conditional, INFERENCE),
    row("gen_ai.output.type", "string", Conditional, INFERENCE).of(OUTPUT_TYPES),
    row("gen_ai.prompt.name", "string", Conditional, INFERENCE),
    row("gen_ai.prompt.version", "string", Conditional, INFERENCE),
    row("gen_ai.request.choice.count", "int", Conditional, INFERENCE),
    row("gen_ai.request.seed", "int", Conditional, INFERENCE),
    row("gen_ai.request.stream", "bool", Conditional, INFERENCE),
    row("gen_ai.request.top_k", "int", Conditional, INFERENCE),
    row("gen_ai.request.max_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.request.temperature", "double", Recommended, INFERENCE),
    row("gen_ai.request.top_p", "double", Recommended, INFERENCE),
    row("gen_ai.request.frequency_penalty", "double", Recommended, INFERENCE),
    row("gen_ai.request.presence_penalty", "double", Recommended, INFERENCE),
    row("gen_ai.request.stop_sequences", "strings", Recommended, INFERENCE),
    row("gen_ai.request.reasoning.level", "string", Recommended, INFERENCE),
    row("gen_ai.request.previous_response.id", "string", Recommended, INFERENCE),
    row("gen_ai.conversation.compacted", "bool", Recommended, INFERENCE),
    row("gen_ai.response.id", "string", Recommended, INFERENCE),
    row("gen_ai.response.model", "string", Recommended, INFERENCE),
    row("gen_ai.response.finish_reasons", "strings", Recommended, INFERENCE),
    row("gen_ai.response.time_to_first_chunk", "double", Recommended, INFERENCE),
    row("gen_ai.usage.input_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.usage.output_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.usage.cache_read.input_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.usage.cache_write.input_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.usage.reasoning.output_tokens", "int", Recommended, INFERENCE),
    row("gen_ai.usage.text.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.image.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.audio.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.text.output_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.image.output_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.audio.output_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.text.cache_read.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.image.cache_read.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.usage.audio.cache_read.input_tokens", "int", Recommended, REGISTRY),
    row("gen_ai.input.messages", "any", OptIn, INFERENCE),
    row("gen_ai.output.messages", "any", OptIn, INFERENCE),
    row("gen_ai.system_instructions", "any", OptIn, INFERENCE),
    row("gen_ai.tool.definitions", "any", OptIn, INFERENCE),
    row("gen_ai.prompt.variable.<key>", "string", OptIn, INFERENCE),
    row("gen_ai.embeddings.dimension.count", "int", Recommended, EMBEDDINGS),
    row("gen_ai.request.encoding_formats", "strings", Recommended, EMBEDDINGS),
    row("gen_ai.request.stream_cursor", "string", Conditional, SPANS_PAGE).unverified(),
    row("gen_ai.response.status", "string", Recommended, SPANS_PAGE).of(RESPONSE_STATUSES).unverified(),
    row("openai.api.type", "string", Recommended, OPENAI).of(OPENAI_APIS),
    row("openai.request.service_tier", "string", Conditional, OPENAI).of(SERVICE_TIERS),
    row("openai.response.service_tier", "string", Conditional, OPENAI),
    row("openai.response.system_fingerprint", "string", Recommended, OPENAI),
    // The page says that it is required, which only makes sense for requests that use a guardrail.
    row("aws.bedrock.guardrail.id", "string", Conditional, BEDROCK),
    row("aws.bedrock.knowledge_base.id", "string", Recommended, BEDROCK),
    row("azure.resource_provider.namespace", "string", Recommended, AZURE),
];
