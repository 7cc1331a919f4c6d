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
    ("modal.run", "modal"),
    ("modal.direct", "modal"),
    ("kepler.ai.cloud.ovh.net", "ovhcloud"),
];

/// Azure serves several APIs on one host; the path shows which.
const AZURE: &str = "azure.ai.openai";

/// `gen_ai.provider.name` of a request. An unknown host has the name of the vendor that defined the API.
pub fn provider(host: &str, path: &str, api: &Api) -> &'static str {
    let name = host.split(':').next().unwrap_or_default();
    let known = HOSTS.iter().find(|(end, _)| {
        name.len() >= end.len()
            && name.get(name.len() - end.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
            && (name.len() == end.len() || matches!(name.as_bytes().get(name.len() - end.len() - 1), Some(b'.' | b'-')))
    });
    match known {
        // Vertex AI serves Anthropic's format. The name shows which attributes to expect.
        _ if path.contains("/publishers/anthropic/") => "anthropic",
        Some((_, provider)) if *provider == AZURE => azure(path),
        Some((_, provider)) => provider,
        None if host.ends_with(":11434") => "ollama",
        None if path.contains("/openai/deployments/") => AZURE,
        None if path.contains("/publishers/google/") => "gcp.vertex_ai",
        None => match api.name.split('-').next() {
            Some("anthropic") => "anthropic",
            Some("bedrock") => "aws.bedrock",
            Some("cohere") => "cohere",
            Some("dashscope") => "alibaba_cloud",
            Some("gemini") => "gcp.gemini",
            Some("mistral") => "mistral_ai",
            Some("ollama") => "ollama",
            Some("tgi") => "hugging_face",
            Some("vertex") => "gcp.vertex_ai",
            Some("watsonx") => "ibm.watsonx.ai",
            _ => "openai",
        },
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
