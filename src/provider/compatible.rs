//! The names of providers by host, with one row for each host of a vendor.
//!
//! Specifications: the base URLs in the documentation of the vendors. Names are OpenTelemetry's values of
//! `gen_ai.provider.name` where one fits.

use super::Api;

/// Ends of host names and the provider. A host matches if it is the name, ends with `.` and the name, or ends with `-` and the
/// name.
const HOSTS: &[(&str, &str)] = &[
    ("api.openai.com", "openai"),
    ("chatgpt.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("cloudcode-pa.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("rep.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("api.aws", "aws.bedrock"),
    ("openai.azure.com", AZURE),
    ("cognitiveservices.azure.com", AZURE),
    ("azure-api.net", AZURE),
    ("services.ai.azure.com", AZURE),
    ("inference.ai.azure.com", AZURE),
    ("models.inference.ai.azure.com", AZURE),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("codestral.mistral.ai", "mistral_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.x.ai", "x_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
    ("openrouter.ai", "openrouter"),
    ("api.replicate.com", "replicate"),
    ("api.together.xyz", "together_ai"),
    ("api.together.ai", "together_ai"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.githubcopilot.com", "github_copilot"),
    ("models.github.ai", "github_models"),
    ("api.venice.ai", "venice"),
    ("api.doubleword.ai", "doubleword"),
    ("ollama.com", "ollama"),
    ("huggingface.co", "hugging_face"),
    ("huggingface.cloud", "hugging_face"),
    ("dashscope.aliyuncs.com", "alibaba_cloud"),
    ("dashscope-intl.aliyuncs.com", "alibaba_cloud"),
    ("api.sambanova.ai", "sambanova"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("api.deepinfra.com", "deepinfra"),
    ("api.novita.ai", "novita"),
    ("api.hyperbolic.xyz", "hyperbolic"),
    ("cloud.databricks.com", "databricks"),
    ("azuredatabricks.net", "databricks"),
    ("gcp.databricks.com", "databricks"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zhipuai"),
    ("api.minimax.io", "minimax"),
    ("api.minimax.com", "minimax"),
    ("api.minimaxi.com", "minimax"),
    ("api.meta.ai", "meta"),
    ("api.voyageai.com", "voyageai"),
    ("api.arcee.ai", "arcee"),
    ("api.avian.io", "avian"),
    ("api.typesafe.ai", "typesafe"),
    ("api.quicksilverpro.io", "quicksilverpro"),
    ("inference.baseten.co", "baseten"),
    ("api.cloudflare.com", "cloudflare"),
    ("gateway.ai.cloudflare.com", CLOUDFLARE_GATEWAY),
    ("modal.run", "modal"),
    ("modal.direct", "modal"),
    ("kepler.ai.cloud.ovh.net", "ovhcloud"),
    ("ai-gateway.vercel.sh", "vercel_ai_gateway"),
    ("snowflakecomputing.com", "snowflake"),
    ("crusoecloud.com", "crusoe"),
    ("api.portkey.ai", "portkey"),
    ("api.ai21.com", "ai21"),
    ("inference.heroku.com", "heroku"),
    ("api.writer.com", "writer"),
    ("api.aleph-alpha.com", "aleph_alpha"),
    ("elevenlabs.io", "elevenlabs"),
    ("api.cursor.com", "cursor"),
    ("nebius.com", "nebius"),
    ("inference.api.nscale.com", "nscale"),
    ("api.publicai.co", "publicai"),
    ("api.lambda.ai", "lambda"),
    ("api.inceptionlabs.ai", "inception"),
    ("api.siliconflow.com", "siliconflow"),
    ("api.siliconflow.cn", "siliconflow"),
    ("api.stepfun.com", "stepfun"),
    ("api.friendli.ai", "friendli"),
    ("inference.do-ai.run", "digitalocean"),
    ("api.scaleway.ai", "scaleway"),
];

/// Azure serves several APIs on one host; the path shows which.
pub const AZURE: &str = "azure.ai.openai";

/// Cloudflare's gateway has the vendor in its path, after the version, the account and the gateway.
const CLOUDFLARE_GATEWAY: &str = "cloudflare gateway";

/// Parts of paths that name a provider, and the provider, beside the providers of [`HOSTS`] by their own names. A gateway has them
/// if it serves several vendors under one host.
const SEGMENTS: &[(&str, &str)] = &[
    ("azure", AZURE),
    ("azure-openai", AZURE),
    ("bedrock", "aws.bedrock"),
    ("gemini", "gcp.gemini"),
    ("github", "github_models"),
    ("huggingface", "hugging_face"),
    ("mistral", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("together", "together_ai"),
    ("vertex", "gcp.vertex_ai"),
    ("vertex-ai", "gcp.vertex_ai"),
    ("watsonx", "ibm.watsonx.ai"),
    ("xai", "x_ai"),
];

/// `gen_ai.provider.name` of a request with this path and query. Returns None if neither the host nor the path names the provider.
pub fn provider(host: &str, path: &str) -> Option<&'static str> {
    let name = host.split(':').next().unwrap_or_default();
    let known = HOSTS.iter().find(|(end, _)| {
        name.len() >= end.len()
            && name.get(name.len() - end.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
            && (name.len() == end.len() || matches!(name.as_bytes().get(name.len() - end.len() - 1), Some(b'.' | b'-')))
    });
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    match known {
        // Vertex AI serves Anthropic's format. The name shows which attributes to expect.
        _ if bare.contains("/publishers/anthropic/") => Some("anthropic"),
        Some((_, provider)) if *provider == AZURE => Some(azure(bare)),
        _ if name.starts_with("runtime.sagemaker.") => Some("aws.sagemaker"),
        Some((_, CLOUDFLARE_GATEWAY)) => bare.split('/').skip(4).take(1).find_map(by_segment).or(Some("cloudflare")),
        Some((_, provider)) => Some(provider),
        None if host.ends_with(":11434") => Some("ollama"),
        None if bare.contains("/openai/deployments/") => Some(AZURE),
        None if query.split('&').any(|field| field.starts_with("api-version=")) => Some(azure(bare)),
        None if bare.contains("/publishers/google/") => Some("gcp.vertex_ai"),
        // The first parts of the path: later ones belong to the API.
        None => bare.split('/').skip(1).take(2).find_map(by_segment),
    }
}

fn by_segment(segment: &str) -> Option<&'static str> {
    let same = |known: &str| {
        known.len() == segment.len()
            && known.bytes().zip(segment.bytes()).all(|pair| matches!(pair, (b'_', b'-')) || pair.0 == pair.1)
    };
    let own = || HOSTS.iter().map(|(_, provider)| *provider).find(|provider| same(provider));
    SEGMENTS.iter().find(|(name, _)| *name == segment).map(|(_, provider)| *provider).or_else(own)
}

/// The vendor that defined an API, for a request whose provider nothing names.
pub fn vendor(api: &Api) -> &'static str {
    match api.name.split('-').next() {
        Some("aleph") => "aleph_alpha",
        Some("anthropic") => "anthropic",
        Some("bedrock") => "aws.bedrock",
        Some("cohere") => "cohere",
        Some("dashscope") => "alibaba_cloud",
        Some("gemini") => "gcp.gemini",
        Some("llamacpp") => "llama_cpp",
        Some("mistral") => "mistral_ai",
        Some("ollama") => "ollama",
        Some("sagemaker") => "aws.sagemaker",
        Some("replicate") => "replicate",
        Some("tgi") => "hugging_face",
        Some("vertex") => "gcp.vertex_ai",
        Some("watsonx") => "ibm.watsonx.ai",
        _ => "openai",
    }
}

fn azure(path: &str) -> &'static str {
    if path.contains("/anthropic/") {
        "anthropic"
    } else if path.starts_with("/models/") {
        "azure.ai.inference"
    } else {
        AZURE
    }
}
