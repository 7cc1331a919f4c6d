//! Answers the upstream makes up, where no fixture can be large enough or knows what was asked.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

pub struct Answer {
    /// Its content type.
    pub kind: &'static str,
    pub pieces: VecDeque<Bytes>,
    /// Where the provider knows it before it sends.
    pub length: Option<usize>,
}

impl Answer {
    /// `size` bytes of text without holding them (every piece is a view of the same 64 KiB), then the usage: a chat completion,
    /// or a stream of the Responses API, whose last event repeats the text.
    pub fn big(size: usize, stream: bool) -> Self {
        let (kind, head, tail) = if stream { RESPONSE } else { COMPLETION };
        let page = Bytes::from(vec![b'a'; 64 * 1024]);
        let mut pieces = VecDeque::from([Bytes::from_static(head.as_bytes())]);
        let mut left = size;
        while left > 0 {
            let piece = page.slice(..left.min(page.len()));
            left -= piece.len();
            pieces.push_back(piece);
        }
        pieces.push_back(Bytes::from_static(tail.as_bytes()));
        Self { kind, pieces, length: (!stream).then_some(head.len() + size + tail.len()) }
    }

    /// A chat completion by the model that the request names.
    pub fn echo(request: &[u8]) -> Self {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let body = json!({
            "id": "chatcmpl-echo", "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        })
        .to_string();
        let length = Some(body.len());
        Self { kind: "application/json", pieces: VecDeque::from([Bytes::from(body)]), length }
    }
}

/// Content type, what comes before the text, what comes after it.
type Frame = (&'static str, &'static str, &'static str);

const COMPLETION: Frame = (
    "application/json",
    r#"{"id":"chatcmpl-big","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    r#""},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}}"#,
);

const RESPONSE: Frame = (
    "text/event-stream",
    concat!(
        "event: response.completed\n",
        r#"data: {"type":"response.completed","response":{"id":"resp_big","object":"response","status":"completed","#,
        r#""model":"gpt-4o-2024-08-06","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":""#
    ),
    concat!(r#""}]}],"usage":{"input_tokens":11,"output_tokens":22,"total_tokens":33}}}"#, "\n\n"),
);
