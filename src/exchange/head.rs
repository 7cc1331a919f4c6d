//! The heads of messages, as every host can give them.

use crate::observation::Limits;

/// A message's head: `:method`, `:authority`, `:path` and `:status` are headers as in HTTP/2.
#[derive(Clone, Copy, Default)]
pub struct Head<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl<'a> Head<'a> {
    /// The first value of a header, as bytes; names are lower case.
    pub fn bytes(self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The first value of a header; empty where it is missing or not UTF-8.
    pub fn text(self, name: &str) -> &'a str {
        self.bytes(name).and_then(|value| core::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// What OpenAI's and Anthropic's header families, and those who imitate them, say of rate limits.
    pub(super) fn limits(self) -> Limits {
        let mut limits = Limits::default();
        for (name, value) in self.0 {
            let slot = match *name {
                b"x-ratelimit-remaining-requests" | b"anthropic-ratelimit-requests-remaining" => &mut limits.requests,
                b"x-ratelimit-remaining-tokens" | b"anthropic-ratelimit-tokens-remaining" => &mut limits.tokens,
                b"anthropic-ratelimit-input-tokens-remaining" => &mut limits.input_tokens,
                b"anthropic-ratelimit-output-tokens-remaining" => &mut limits.output_tokens,
                b"retry-after" => &mut limits.retry_after,
                _ => continue,
            };
            *slot = core::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok());
        }
        limits
    }
}
