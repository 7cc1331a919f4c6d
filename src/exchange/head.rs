//! The heads of requests and responses.

use crate::json::LIMIT;
use crate::observation::{COUNT_LIMIT, Limits, clipped};

/// The head of a request or response. `:method`, `:authority`, `:path` and `:status` are headers, as in HTTP/2.
#[derive(Clone, Copy, Default)]
pub struct Head<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl<'a> Head<'a> {
    /// The first value of a header, as bytes. `name` is in lower case.
    pub fn bytes(self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The first value of a header, cut to [`LIMIT`] bytes. Empty if the header is missing or not UTF-8.
    pub fn text(self, name: &str) -> &'a str {
        clipped(self.whole(name), LIMIT)
    }

    /// As [`Head::text`], but not cut. Only for values that are parsed and not reported.
    pub fn whole(self, name: &str) -> &'a str {
        self.bytes(name).and_then(|value| core::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// The rate limits in the headers of OpenAI, Anthropic, and providers with the same headers. A number above [`COUNT_LIMIT`]
    /// is ignored.
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
            *slot = core::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok()).filter(|n| *n <= COUNT_LIMIT);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_whole_is_not_cut() {
        let long = format!("x{}", "é".repeat(30_000));
        let pairs = [(b"x-long".as_slice(), long.as_bytes()), (b"x-bin", b"\xff"), (b"x-short", b"yes")];
        let head = Head(&pairs);
        assert_eq!(head.text("x-long"), format!("x{}", "é".repeat(127)));
        assert_eq!(head.whole("x-long"), long);
        assert_eq!((head.text("x-bin"), head.text("x-short"), head.text("x-none")), ("", "yes", ""));
    }

    #[test]
    fn rate_limits_above_2_to_the_32_are_ignored() {
        let limits = |value: &str| {
            let pairs =
                [(b"x-ratelimit-remaining-tokens".as_slice(), value.as_bytes()), (b"retry-after", value.as_bytes())];
            let limits = Head(&pairs).limits();
            assert_eq!(limits.tokens, limits.retry_after, "{value}");
            limits.tokens
        };
        assert_eq!((limits("0"), limits(" 7 "), limits("4294967296")), (Some(0), Some(7), Some(1 << 32)));
        for value in ["4294967297", "9007199254740991", "18446744073709551615", "99999999999999999999", "-1", "1e3", ""]
        {
            assert_eq!(limits(value), None, "{value}");
        }
    }
}
