//! What became of a stream whose client did not ask for usage.

use crate::provider::Head;

/// What became of a stream whose client did not ask for usage: the label `result` of `gaugeway_usage_injections_total`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The request was changed, and its effect is hidden from the client.
    Injected,
    /// The body is larger than `stream_usage.max_held_bytes`.
    TooLarge,
    /// The request does not tell the length of its body.
    NoLength,
    /// The body of the request has a content encoding.
    Encoded,
    /// A signature or a digest may cover the body.
    Signed,
    /// The request has `expect`: its client waits for an answer before it sends the body.
    Expect,
    /// The request has trailers, or its body has another length than it told.
    Trailers,
    /// The body's JSON is ambiguous.
    Ambiguous,
    /// The host cannot hold the headers of requests, or has not shown in time that it can.
    NotHeld,
    /// The host refused a call.
    Refused,
    /// The request was changed, but the answer has a content encoding that cannot be removed with the usage.
    AnswerEncoded,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 11] = [
        Verdict::Injected,
        Verdict::TooLarge,
        Verdict::NoLength,
        Verdict::Encoded,
        Verdict::Signed,
        Verdict::Expect,
        Verdict::Trailers,
        Verdict::Ambiguous,
        Verdict::NotHeld,
        Verdict::Refused,
        Verdict::AnswerEncoded,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Injected => "injected",
            Verdict::TooLarge => "too_large",
            Verdict::NoLength => "no_length",
            Verdict::Encoded => "encoded",
            Verdict::Signed => "signed",
            Verdict::Expect => "expect",
            Verdict::Trailers => "trailers",
            Verdict::Ambiguous => "ambiguous",
            Verdict::NotHeld => "not_held",
            Verdict::Refused => "host_refused",
            Verdict::AnswerEncoded => "answer_encoded",
        }
    }
}

/// Parts of the names of headers that may sign the body or carry its checksum, such as `content-digest` (RFC 9530),
/// `signature-input` (RFC 9421), `content-md5` (RFC 1864) and the `-content-sha256` of cloud providers.
const SIGNING: [&str; 6] = ["digest", "signature", "md5", "sha256", "checksum", "hmac"];
/// The schemes of `authorization` that do not cover the body.
const PLAIN_SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Returns the length of the body of a request that may be changed.
///
/// # Errors
/// Why the request must not be changed. `max_held` is the largest body that may be held, in bytes.
pub fn held_length(head: Head<'_>, max_held: u64) -> Result<usize, Verdict> {
    if is_signed(head) {
        return Err(Verdict::Signed);
    }
    if head.bytes("content-encoding").is_some() {
        return Err(Verdict::Encoded);
    }
    if head.bytes("expect").is_some() {
        return Err(Verdict::Expect);
    }
    if head.bytes("transfer-encoding").is_some() {
        return Err(Verdict::NoLength);
    }
    let length: u64 = head.text("content-length").parse().map_err(|_| Verdict::NoLength)?;
    if length > max_held {
        return Err(Verdict::TooLarge);
    }
    usize::try_from(length).map_err(|_| Verdict::TooLarge)
}

/// Returns true if the body may be signed, or if a header has its checksum. An unknown scheme of `authorization` may sign it.
fn is_signed(head: Head<'_>) -> bool {
    let signs = |text: &[u8]| {
        // The search of the crate memchr would add 8 KB to the plugin.
        let has = |word: &&str| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        SIGNING.iter().any(has)
    };
    let has_plain_scheme = |value: &[u8]| {
        let scheme = value.trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
        // Without a scheme the value is a credential, such as a key.
        scheme.len() == value.trim_ascii().len()
            || PLAIN_SCHEMES.iter().any(|plain| scheme.eq_ignore_ascii_case(plain.as_bytes()))
    };
    // A presigned URL has its signature in the query.
    let path = head.bytes(":path").unwrap_or_default();
    let query = path.iter().position(|byte| *byte == b'?').and_then(|at| path.get(at..)).unwrap_or_default();
    signs(query)
        || head.0.iter().any(|(name, value)| signs(name) || *name == b"authorization" && !has_plain_scheme(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(headers: &[(&str, &str)]) -> Result<usize, Verdict> {
        let path = [(":path", "/v1/chat/completions?digits=1"), ("content-length", "20")];
        let pairs: Vec<(&[u8], &[u8])> =
            headers.iter().chain(&path).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        held_length(Head(&pairs), 20)
    }

    #[test]
    fn a_signed_body_is_not_held() {
        for (name, value) in [
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"),
            ("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a"),
            ("authorization", "Signature keyId=\"a\",signature=\"b\""),
            ("authorization", "Digest username=\"a\", qop=auth-int"),
            ("authorization", "TC3-HMAC-SHA256 Credential=a"),
            ("authorization", "HMAC a:b"),
            ("digest", "sha-256=x"),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("content-md5", "x"),
            ("signature", "sig1=:x:"),
            ("signature-input", "sig1=(\"content-digest\")"),
            ("x-hub-signature-256", "sha256=x"),
            ("x-amz-checksum-crc32", "x"),
            (":path", "/v1/chat/completions?X-Amz-Signature=a"),
        ] {
            assert_eq!(judged(&[(name, value)]), Err(Verdict::Signed), "{name}: {value}");
        }
        for (name, value) in [
            ("authorization", "Bearer a b"),
            ("authorization", "basic YTpi"),
            ("authorization", "sk-123"),
            ("api-key", "sha256"),
            ("x-request-id", "digest"),
        ] {
            assert_eq!(judged(&[(name, value)]), Ok(20), "{name}: {value}");
        }
    }

    #[test]
    fn a_body_that_is_too_large_or_whose_length_is_unknown_is_not_held() {
        for (name, value, verdict) in [
            ("content-length", "21", Verdict::TooLarge),
            ("content-length", "18446744073709551615", Verdict::TooLarge),
            ("content-length", "x", Verdict::NoLength),
            ("content-length", "", Verdict::NoLength),
            ("transfer-encoding", "chunked", Verdict::NoLength),
            ("content-encoding", "gzip", Verdict::Encoded),
            ("expect", "100-continue", Verdict::Expect),
        ] {
            assert_eq!(judged(&[(name, value)]), Err(verdict), "{name}: {value}");
        }
        assert_eq!(held_length(Head(&[]), 20), Err(Verdict::NoLength));
    }

    #[test]
    fn every_verdict_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        assert_eq!(names.len(), Verdict::ALL.len());
    }
}
