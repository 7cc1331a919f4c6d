//! The headers that particular providers use: to ask for a stream, and to report token counts, service tier, errors and rate
//! limits.
//!
//! Specifications: the API references of OpenAI (rate limits), Anthropic (rate limits), Alibaba Cloud DashScope
//! (`x-dashscope-sse`) and Google Gemini (`x-gemini-service-tier`); botocore's service model of Amazon Bedrock (`x-amzn-*`);
//! RFC 9110 (`retry-after`).

use super::Head;
use crate::draft::{Draft, TokenSlot};
use crate::json::Scalar;
use crate::observation::{COUNT_LIMIT, RateLimits};

/// Response headers with Bedrock's token counts.
const BEDROCK_COUNTS: [(&str, TokenSlot); 4] = [
    ("x-amzn-bedrock-input-token-count", |c| &mut c.spare_input),
    ("x-amzn-bedrock-output-token-count", |c| &mut c.spare_output),
    ("x-amzn-bedrock-cache-read-input-token-count", |c| &mut c.spare_cache_read),
    ("x-amzn-bedrock-cache-write-input-token-count", |c| &mut c.spare_cache_write),
];

/// Reads the request headers: DashScope asks for a stream with a header.
pub fn request(head: Head<'_>, draft: &mut Draft) {
    if head.text("x-dashscope-sse").eq_ignore_ascii_case("enable") {
        draft.request_stream(Scalar::Bool(true));
    }
    tier(head, draft);
    let host = head.text(":authority");
    draft.place(Scalar::Text(place(host)));
}

/// The service tiers in headers of Amazon Bedrock, Gemini and Vertex AI.
fn tier(head: Head<'_>, draft: &mut Draft) {
    for name in ["x-amzn-bedrock-service-tier", "x-gemini-service-tier", "x-vertex-ai-llm-shared-request-type"] {
        let tier = head.text(name);
        if !tier.is_empty() {
            draft.service_tier(Scalar::Text(tier));
        }
    }
}

/// The place that a host stands for: OpenAI's `us.api.openai.com` and `eu.api.openai.com`, Vertex AI's
/// `REGION-aiplatform.googleapis.com` and `aiplatform.REGION.rep.googleapis.com`.
fn place(host: &str) -> &str {
    if let Some(region) = host.strip_suffix(".api.openai.com") {
        return region;
    }
    if let Some(rest) = host.strip_suffix(".googleapis.com") {
        let multi_region = rest.strip_prefix("aiplatform.").and_then(|rest| rest.strip_suffix(".rep"));
        return multi_region.unwrap_or(if rest.ends_with("-aiplatform") { "regional" } else { "" });
    }
    ""
}

/// Reads the response headers: rate limits, Gemini's service tier, Bedrock's token counts (some model families have none in
/// the body) and the name of Bedrock's error. A count that is not an integer from 0 to [`COUNT_LIMIT`] is reported as
/// [`ParseError::Number`](crate::observation::ParseError::Number).
pub fn response(head: Head<'_>, draft: &mut Draft) {
    draft.observation.limits = rate_limits(head);
    tier(head, draft);
    let cost = head.text("x-litellm-response-cost");
    if !cost.is_empty() {
        draft.cost(Scalar::Number(cost), |c| &mut c.cost);
    }
    for (name, slot) in BEDROCK_COUNTS {
        let text = head.text(name);
        if !text.is_empty() {
            draft.count(Scalar::Number(text), slot);
        }
    }
    // The name may be followed by a colon and a URL.
    let error = head.text("x-amzn-errortype").split([':', '#']).next().unwrap_or_default();
    draft.set_outer_error(Some(error).filter(|error| !error.is_empty()));
}

/// The rate limits in the headers of OpenAI and Anthropic, which other providers use too. A number above [`COUNT_LIMIT`] is
/// not a limit in practice and is left out.
fn rate_limits(head: Head<'_>) -> RateLimits {
    let mut limits = RateLimits::default();
    for (name, value) in head.0 {
        let slot = match *name {
            b"x-ratelimit-remaining-requests" | b"anthropic-ratelimit-requests-remaining" => &mut limits.requests,
            b"x-ratelimit-remaining-tokens" | b"anthropic-ratelimit-tokens-remaining" => &mut limits.tokens,
            b"anthropic-ratelimit-input-tokens-remaining" => &mut limits.input_tokens,
            b"anthropic-ratelimit-output-tokens-remaining" => &mut limits.output_tokens,
            b"retry-after" => &mut limits.retry_after,
            _ => continue,
        };
        *slot = core::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok()).filter(|n| *n <= COUNT_LIMIT);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::ParseError;

    fn read(pairs: &[(&str, &str)]) -> Draft {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut draft = Draft::default();
        request(Head(&pairs), &mut draft);
        response(Head(&pairs), &mut draft);
        draft
    }

    #[test]
    fn rate_limits_are_numbers_up_to_2_to_the_32() {
        let limits = |value: &str| {
            let limits = read(&[("x-ratelimit-remaining-tokens", value), ("retry-after", value)]).observation.limits;
            assert_eq!(limits.tokens, limits.retry_after, "{value}");
            limits.tokens
        };
        assert_eq!((limits("0"), limits(" 7 "), limits("4294967296")), (Some(0), Some(7), Some(1 << 32)));
        for value in ["4294967297", "9007199254740991", "18446744073709551615", "99999999999999999999", "-1", "1e3", ""]
        {
            assert_eq!(limits(value), None, "{value}");
        }
    }

    #[test]
    fn each_rate_limit_header_has_its_field() {
        let limits = |prefix: &str, suffix: &str, kinds: &[&str]| {
            let names: Vec<_> = kinds.iter().map(|kind| format!("{prefix}{kind}{suffix}")).collect();
            let pairs: Vec<_> = names.iter().map(String::as_str).zip(["1", "2", "3", "4"]).collect();
            read(&pairs).observation.limits
        };
        let expected = RateLimits { requests: Some(1), tokens: Some(2), ..RateLimits::default() };
        assert_eq!(limits("x-ratelimit-remaining-", "", &["requests", "tokens"]), expected);
        let expected = RateLimits { input_tokens: Some(3), output_tokens: Some(4), ..expected };
        let kinds = ["requests", "tokens", "input-tokens", "output-tokens"];
        assert_eq!(limits("anthropic-ratelimit-", "-remaining", &kinds), expected);
    }

    #[test]
    fn a_header_can_ask_for_a_stream() {
        assert_eq!(read(&[("x-dashscope-sse", "Enable")]).observation.request.stream, Some(true));
        assert_eq!(read(&[("x-dashscope-sse", "disable")]).observation.request.stream, None);
    }

    #[test]
    fn a_count_in_a_header_that_is_not_a_count_is_reported_as_a_parse_error() {
        let draft = read(&[
            ("x-amzn-bedrock-input-token-count", "7"),
            ("x-amzn-bedrock-output-token-count", "8"),
            ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/"),
        ]);
        let usage = draft.counts.usage();
        assert_eq!((usage.input, usage.output), (Some(7), Some(8)));
        assert_eq!(draft.error.name(None).as_deref(), Some("ThrottlingException"));
        assert_eq!(draft.observation.parse_errors.iter().count(), 0);
        let draft = read(&[("x-amzn-bedrock-input-token-count", "-1")]);
        assert_eq!(draft.counts.usage().input, None);
        assert_eq!(draft.observation.parse_errors.iter().collect::<Vec<_>>(), [ParseError::Number]);
    }
}
