//! Requests the token usage of a stream if the client did not, and removes from the response what the provider added
//! for that.
//!
//! This is for APIs with [`takes_stream_options`](crate::provider::Api::takes_stream_options). If a request has
//! `stream_options.include_usage`, every chunk of the response has `"usage":null`, and one more chunk at the end has the
//! usage and no choices.
//!
//! Memory: the request's body, and one line of the response, each of at most `stream_usage.max_held_bytes`.

mod answer;
mod members;
mod stripper;
mod verdict;

use members::{find_value, parse_members};

pub use answer::{AnswerChange, BrokenAnswer};
pub use stripper::UsageStripper;
pub use verdict::{Verdict, held_length};

/// Adds `stream_options.include_usage` to a request's body. Returns None if the body must not change: the client set
/// `include_usage` itself (to true or false), the request is not for a stream, or the body is not JSON or ambiguous
/// (duplicate keys, keys with escapes).
pub fn request_usage(body: &[u8]) -> Option<Vec<u8>> {
    let members = parse_members(body)?;
    if find_value(&members, body, b"stream").ok()? != Some(b"true") {
        return None;
    }
    let (position, added): (usize, &[u8]) = match find_value(&members, body, b"stream_options").ok()? {
        None => {
            let first = members.first()?;
            (first.start, br#""stream_options":{"include_usage":true},"#)
        }
        Some(options) => {
            let inner = parse_members(options)?;
            if find_value(&inner, options, b"include_usage").ok()?.is_some() {
                return None;
            }
            let member = members.iter().find(|member| member.has_key(body, b"stream_options"))?;
            let added: &[u8] = if inner.is_empty() { br#""include_usage":true"# } else { br#""include_usage":true,"# };
            (member.value.start + 1, added)
        }
    };
    let (head, tail) = body.split_at_checked(position)?;
    Some([head, added, tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_usage(body: &str) -> Option<String> {
        request_usage(body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn usage_is_requested_if_the_client_did_not_decide() {
        for (body, expected) in [
            (r#"{"stream":true}"#, r#"{"stream_options":{"include_usage":true},"stream":true}"#),
            (
                r#" { "model" : "a\"b{", "stream" : true }"#,
                r#" { "stream_options":{"include_usage":true},"model" : "a\"b{", "stream" : true }"#,
            ),
            (r#"{"stream":true,"stream_options":{}}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (
                r#"{"stream_options":{"include_obfuscation":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}"#,
            ),
        ] {
            assert_eq!(with_usage(body).as_deref(), Some(expected));
            let read: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(read["stream_options"]["include_usage"], true);
        }
    }

    #[test]
    fn a_body_that_is_ambiguous_or_not_json_is_not_changed() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"stream":false}"#,
            r#"{"stream":"true"}"#,
            r#"{"messages":[{"stream":true}]}"#,
            r#"{"stream":true,"stream":true}"#,
            r#"{"stream":true,"stream_options":null}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_\u006fptions":{"include_usage":false}}"#,
            r#"{"stream":true"#,
            r#"{"stream":true}}"#,
            r#"{"stream":true} {"#,
            r#"{"stream":true,}"#,
            r#"{"stream":true,"a":}"#,
            r#"{"stream":true,"a":"b}"#,
            "\u{feff}{\"stream\":true}",
        ] {
            assert_eq!(with_usage(body), None, "{body}");
        }
    }
}
