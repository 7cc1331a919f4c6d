//! The rules by which providers cache prompts: the shortest prompt, the time for which they keep it, the exactness of their counts.
//!
//! Specifications. Numbers that they do not give are marked as assumed:
//! - OpenAI: developers.openai.com/api/docs/guides/prompt-caching. 1,024 tokens and more are cached, and counted in steps of 128.
//!   Prefixes are kept for 5 to 10 minutes without use, or for the time in `prompt_cache_retention`; from GPT-5.6 on for at least 30
//!   minutes or the time in `prompt_cache_options.ttl`. GPT-5.5 keeps them for 24 hours.
//! - Azure: learn.microsoft.com/azure/foundry/openai/how-to/prompt-caching, with the same numbers.
//! - Anthropic: platform.claude.com/docs/en/build-with-claude/prompt-caching. Only what a request marks is cached, for 5 minutes since
//!   the last use, or for one hour. The minimum depends on the model. Secondary sources differ on Sonnet 4.6: 1,024 or 2,048 tokens. Bedrock
//!   and Vertex AI are assumed to have the same rules.
//! - Gemini: ai.google.dev/gemini-api/docs/caching and cloud.google.com/vertex-ai/generative-ai/docs/context-cache. The minimum is 2,048
//!   tokens for Gemini 2.5 and 4,096 for later models. How long an implicit cache is kept is not documented, and neither is the
//!   exactness of the counts. Counts of 0 are left out of responses, as in all JSON of proto3.
//! - DeepSeek: api-docs.deepseek.com/guides/kv_cache. A prefix is kept for hours. Two hours are assumed.
//!
//! Assumed are all tolerances but OpenAI's, which follows from its steps.

/// The rules by which a provider caches prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheRules {
    /// Length of the shortest prompt that is cached, in tokens. 0 if it is not known.
    pub minimum: u64,
    /// Time after which an unused prefix may be gone, in seconds. None if it is not known.
    pub kept_for: Option<u32>,
    /// A loss of up to this number of tokens is none: counts are rounded down to a block, and the end of a prompt is not cached.
    pub tolerance: u64,
    /// Only what the request marks is cached.
    pub needs_marks: bool,
    /// A response leaves out a count that is 0.
    pub omits_zero: bool,
}

const OTHER: CacheRules =
    CacheRules { minimum: 0, kept_for: None, tolerance: 128, needs_marks: false, omits_zero: false };
/// Two steps of 128 tokens: the end of a prompt has tokens of the chat's format, which the next prompt does not repeat.
const OPENAI: CacheRules = CacheRules { minimum: 1024, kept_for: Some(5 * 60), tolerance: 256, ..OTHER };
/// Reads end at a mark, so the counts should be exact. The tolerance is assumed.
const ANTHROPIC: CacheRules =
    CacheRules { minimum: 1024, kept_for: Some(5 * 60), tolerance: 64, needs_marks: true, ..OTHER };
const GEMINI: CacheRules = CacheRules { minimum: 4096, tolerance: 1024, omits_zero: true, ..OTHER };
const DEEPSEEK: CacheRules = CacheRules { kept_for: Some(2 * 3600), ..OTHER };

/// The rules of a provider for a model.
pub fn cache_rules(provider: &str, model: &str) -> CacheRules {
    if model.contains("claude") || provider == "anthropic" {
        return CacheRules { minimum: claude_minimum(model), ..ANTHROPIC };
    }
    if model.contains("gemini") || provider.starts_with("gcp.") {
        return CacheRules { minimum: if model.contains("gemini-2") { 2048 } else { 4096 }, ..GEMINI };
    }
    match provider {
        "openai" | "azure.ai.openai" => CacheRules { kept_for: Some(openai_kept_for(model)), ..OPENAI },
        "deepseek" => DEEPSEEK,
        _ => OTHER,
    }
}

/// The shortest prompt of a Claude model that is cached, in tokens. Later models than these have 1,024.
fn claude_minimum(model: &str) -> u64 {
    let is_one = |names: &[&str]| names.iter().any(|name| model.contains(name));
    if is_one(&["opus-4-5", "opus-4-6", "opus-4-7", "haiku-4-5", "mythos"]) {
        4096
    } else if is_one(&["claude-3-haiku", "claude-3-5-haiku", "sonnet-4-6"]) {
        2048
    } else {
        1024
    }
}

/// The time for which OpenAI keeps a prefix if the request names none, in seconds.
fn openai_kept_for(model: &str) -> u32 {
    let version = model.strip_prefix("gpt-").unwrap_or_default();
    let number = |text: &str| {
        text.bytes()
            .take_while(u8::is_ascii_digit)
            .fold(0_u32, |n, digit| n.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    };
    let (major, minor) = (number(version), version.split_once('.').map_or(0, |(_, minor)| number(minor)));
    match (major, minor) {
        (5, 5) => 24 * 3600,
        (5, 6..) | (6..100, _) => 30 * 60,
        _ => 5 * 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_follow_from_the_vendor_of_the_model_and_else_from_the_provider() {
        let rules = |provider, model| {
            let CacheRules { minimum, kept_for, needs_marks, .. } = cache_rules(provider, model);
            (minimum, kept_for, needs_marks)
        };
        for (provider, model, expected) in [
            ("openai", "gpt-4o-mini", (1024, Some(300), false)),
            ("openai", "gpt-5.4", (1024, Some(300), false)),
            ("azure.ai.openai", "gpt-5.5-pro", (1024, Some(86_400), false)),
            ("openai", "gpt-5.6", (1024, Some(1800), false)),
            ("openai", "gpt-99999999999", (1024, Some(300), false)),
            ("openai", "o3", (1024, Some(300), false)),
            ("anthropic", "claude-opus-4-5", (4096, Some(300), true)),
            ("anthropic", "ours", (1024, Some(300), true)),
            ("aws.bedrock", "eu.anthropic.claude-haiku-4-5-v1:0", (4096, Some(300), true)),
            ("openrouter", "anthropic/claude-sonnet-4-6", (2048, Some(300), true)),
            ("gcp.gemini", "gemini-2.5-flash", (2048, None, false)),
            ("gcp.vertex_ai", "gemini-3.6-flash", (4096, None, false)),
            ("deepseek", "deepseek-chat", (0, Some(7200), false)),
            ("x_ai", "grok-4", (0, None, false)),
        ] {
            assert_eq!(rules(provider, model), expected, "{provider} {model}");
        }
    }
}
