//! The names of providers fit the other tables that use them.

use gaugeway::provider::{Override, detect};
use gaugeway::signal::cost::PriceTable;

#[test]
fn the_host_of_a_vendor_leads_to_the_prices_of_the_vendor() {
    let table = PriceTable::bundled().unwrap();
    for (host, model) in [
        ("api.z.ai", "glm-4.5"),
        ("open.bigmodel.cn", "glm-4-air"),
        ("api.minimax.io:443", "minimax-m2"),
        ("api.minimax.com", "minimax-m2"),
        ("api.minimaxi.com", "minimax-m2"),
        ("api.meta.ai", "muse-spark-1.2"),
        ("api.voyageai.com", "voyage-2"),
        ("api.arcee.ai", "deepseek/deepseek-v4-pro"),
        ("api.avian.io", "meta-llama-3.1-8b-instruct"),
        ("api.typesafe.ai", "jev-1.14"),
        ("api.quicksilverpro.io", "claude-haiku-4-5"),
        ("inference.baseten.co", "deepseek-ai/deepseek-v4-pro"),
        ("api.cloudflare.com", "@cf/baai/bge-base-en-v1.5"),
        ("acme--llm.modal.run", "qwen/qwen3.8-2.4t-a95b"),
        ("acme--llm.modal.direct", "qwen/qwen3.8-2.4t-a95b"),
        ("oai.endpoints.kepler.ai.cloud.ovh.net", "llama-3.1-8b-instruct"),
        ("adb-1.2.gcp.databricks.com", "databricks-bge-large-en"),
    ] {
        let provider = detect(b"POST", host, "/v1/chat/completions", NONE).unwrap().provider;
        assert_ne!(provider, "openai", "{host}");
        assert!(table.find(&provider, model).is_some(), "{model} at {host}, which is {provider}");
    }
}

#[test]
fn vendors_that_serve_openais_api_have_names_of_their_own() {
    for (host, provider) in [
        ("ai-gateway.vercel.sh", "vercel_ai_gateway"),
        ("acme-prod.snowflakecomputing.com", "snowflake"),
        ("managed-inference-api-proxy.crusoecloud.com", "crusoe"),
        ("api.portkey.ai", "portkey"),
        ("api.ai21.com", "ai21"),
        ("us.inference.heroku.com", "heroku"),
        ("api.writer.com", "writer"),
        ("api.cursor.com", "cursor"),
        ("api.elevenlabs.io", "elevenlabs"),
        ("api.doubleword.ai", "doubleword"),
        ("api.novita.ai", "novita"),
        ("api.githubcopilot.com", "github_copilot"),
        ("api.together.xyz", "together_ai"),
        ("router.huggingface.co", "hugging_face"),
        ("eu.api.openai.com", "openai"),
    ] {
        let provider_of = |path| detect(b"POST", host, path, NONE).map(|target| target.provider.to_string());
        assert_eq!(provider_of("/v1/chat/completions").as_deref(), Some(provider), "{host}");
        // The prefix of a gateway gives way to a known host.
        assert_eq!(provider_of("/groq/v1/chat/completions").as_deref(), Some(provider), "{host}");
    }
    let gateway = |path| detect(b"POST", "gateway.ai.cloudflare.com", path, NONE).unwrap().provider.to_string();
    assert_eq!(gateway("/v1/account/gateway/groq/chat/completions"), "groq");
    assert_eq!(gateway("/v1/account/gateway/compat/chat/completions"), "cloudflare");
}

/// No overrides.
const NONE: &[Override] = &[];
