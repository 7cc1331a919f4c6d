//! Unusual, malformed and contradictory framing, through the whole core: valid parts are read, invalid parts are
//! reported as parse errors.

use crate::oracle::endpoint::{self, Endpoint, Seen, chunk, event, frame, header, prelude, seen};
use serde_json::json;

/// The frames of a response: seven characters of text in two frames, the stop reason, and a usage of five input tokens.
fn conversation() -> [Vec<u8>; 4] {
    [
        event("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "Wind"}})),
        event("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": " NW"}})),
        event("messageStop", json!({"stopReason": "end_turn"})),
        event("metadata", json!({"usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}})),
    ]
}

/// The observation of [`conversation`] if only this many frames can be read.
fn after(frames: usize, parse_errors: &str) -> Seen {
    let characters = [0, 4, 7, 7, 7][frames];
    seen(characters, (frames == 4).then_some(5), if frames < 3 { "truncated" } else { "completed" }, parse_errors)
}

#[test]
fn frames_are_read_at_any_cut() {
    assert_eq!(Endpoint::converse().comes_to(&conversation().concat()), after(4, ""));
}

#[test]
fn a_stream_that_ends_in_a_frame_keeps_the_frames_before_it() {
    let (endpoint, frames) = (Endpoint::converse(), conversation());
    // The stop reason is known 5 bytes before the end of its frame: before the last brace and the checksum.
    let (body, stop) = (frames.concat(), frames[..3].concat().len() - 5);
    for end in 0..body.len() {
        let seen = endpoint.sees(&[&body[..end]]);
        assert_eq!(seen.parse_errors, "", "at {end}");
        assert!(end >= stop || seen.outcome == "truncated", "at {end}: {seen:?}");
        assert!(end < frames[0].len() || seen.characters >= 4, "at {end}: {seen:?}");
    }
}

#[test]
fn a_frame_with_a_wrong_checksum_is_a_parse_error_and_the_next_frame_is_read() {
    for bad in 0..4 {
        let mut frames = conversation();
        *frames[bad].last_mut().unwrap() ^= 1;
        assert_eq!(Endpoint::converse().comes_to(&frames.concat()), after(4, "framing"), "frame {bad}");
    }
}

#[test]
fn nothing_is_read_after_a_prelude_that_is_invalid() {
    let mut wrong_checksum = prelude(16, 0);
    wrong_checksum[11] ^= 1;
    for (what, prelude) in [
        ("wrong checksum", wrong_checksum),
        ("length of zero", prelude(0, 0)),
        ("length shorter than a frame", prelude(15, 0)),
        ("length shorter than the headers", prelude(16, 1)),
        ("frame of 4 GiB", prelude(u32::MAX, 0)),
        ("headers of 4 GiB", prelude(u32::MAX, u32::MAX - 16)),
        ("headers whose end overflows", prelude(16, u32::MAX)),
        ("payload too long", prelude((24 << 20) + (128 << 10) + 17, 0)),
        ("headers too long", prelude((128 << 10) + 17, (128 << 10) + 1)),
    ] {
        for valid in 0..4 {
            let frames = conversation();
            let body = [frames[..valid].concat(), prelude.clone(), frames[valid..].concat()].concat();
            assert_eq!(Endpoint::converse().comes_to(&body), after(valid, "framing"), "{what} after {valid} frames");
        }
    }
}

#[test]
fn headers_of_every_type_are_skipped() {
    let mut headers = header(":event-type", "contentBlockDelta");
    let sizes = [0, 0, 1, 2, 4, 8, usize::MAX, usize::MAX, 8, 16];
    for (kind, size) in sizes.into_iter().enumerate() {
        headers.extend([2, b'h', b'0' + kind as u8, kind as u8]);
        match size {
            usize::MAX => headers.extend([0, 3, b'a', b'b', b'c']),
            size => headers.extend(vec![0xff; size]),
        }
    }
    headers.extend([1, b'e', 7, 0, 0]);
    let [first, _, stop, usage] = conversation();
    let with_headers = frame(&headers, br#"{"contentBlockIndex":0,"delta":{"text":" NW"}}"#);
    assert_eq!(Endpoint::converse().comes_to(&[first, with_headers, stop, usage].concat()), after(4, ""));
}

#[test]
fn headers_longer_than_announced_are_parse_errors() {
    let payload = br#"{"contentBlockIndex":0,"delta":{"text":" NW"}}"#;
    let long = (payload.len() as u16).to_be_bytes();
    let mut wrong = Vec::new();
    for (what, headers) in [
        ("unknown type", vec![1, b'h', 10]),
        ("no name", vec![0, 7, 0, 0]),
        ("name longer than the headers", vec![9, b'h']),
        ("type after the headers", vec![1, b'h']),
        ("number longer than the headers", vec![1, b'h', 5, 0, 0]),
        ("length longer than the headers", vec![1, b'h', 7, 0]),
        ("string longer than the headers, shorter than the payload", vec![1, b'h', 7, 0, 9, b'v']),
        ("string as long as the payload", vec![1, b'h', 7, long[0], long[1]]),
        ("string longer than the frame", vec![1, b'h', 7, 0xff, 0xff]),
    ] {
        let [first, _, stop, usage] = conversation();
        let body = [first, frame(&headers, payload), stop, usage].concat();
        let seen = Endpoint::converse().comes_to(&body);
        if !seen.parse_errors.split(',').any(|word| word == "framing") || seen.characters < 4 {
            wrong.push((what, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_frame_may_have_no_payload_and_no_headers() {
    let [first, second, stop, usage] = conversation();
    let nothing = frame(&[], &[]);
    assert_eq!(nothing.len(), 16);
    let empty = frame(&header(":event-type", "ping"), &[]);
    let body = [nothing.clone(), first, empty, second, nothing.clone(), stop, usage, nothing].concat();
    assert_eq!(Endpoint::converse().comes_to(&body), after(4, ""));
}

#[test]
fn a_payload_that_is_not_json_is_a_parse_error_and_the_next_frame_is_read() {
    let [first, second, stop, usage] = conversation();
    for payload in ["{\"delta\"", "{\"delta\":}", "}", "\"", "{\"delta\":{\"text\":1"] {
        let odd = frame(&header(":event-type", "contentBlockDelta"), payload.as_bytes());
        let body = [&first[..], &odd, &second, &stop, &usage].concat();
        assert_eq!(Endpoint::converse().comes_to(&body), after(4, "json"), "{payload}");
    }
}

#[test]
fn the_error_type_is_the_name_of_the_exception_or_error() {
    for (name, kind) in [(":exception-type", "exception"), (":error-code", "error")] {
        let [first, ..] = conversation();
        let failure =
            frame(&[header(":message-type", kind), header(name, "throttled")].concat(), b"{\"message\":\"x\"}");
        let seen = Endpoint::converse().comes_to(&[first, failure].concat());
        let expected = Seen { error: "throttled".into(), ..endpoint::seen(4, None, "error", "") };
        assert_eq!(seen, expected);
    }
}

#[test]
fn base64_documents_of_any_length_are_read_at_any_cut_of_the_envelope() {
    let endpoint = Endpoint::invoke();
    for length in [0, 1, 2, 3, 4, 5, 1000, 5000] {
        let text = "x".repeat(length);
        let body = [
            chunk(
                &json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}})
                    .to_string(),
            ),
            chunk(
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
                    .to_string(),
            ),
            chunk(&json!({"type": "message_stop"}).to_string()),
        ];
        assert_eq!(endpoint.comes_to(&body.concat()), seen(length as u64, Some(5), "completed", ""), "{length}");
    }
    let odd = [
        chunk("{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}"),
        chunk("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"ab"),
        event("chunk", json!({"p": "abc"})),
        chunk("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"cd\"}}"),
    ];
    let found = endpoint.comes_to(&odd.concat());
    assert_eq!((found.input, found.parse_errors.as_str()), (Some(5), "json"), "{found:?}");
    assert!(found.characters >= 2, "{found:?}");
}

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Wind\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn unusual_events_are_read_as_the_standard_defines() {
    let chat = Endpoint::chat("text/event-stream");
    let long = "x".repeat(1 << 16);
    for (what, odd) in [
        (
            "unknown fields",
            "data : {\"usage\":{\"prompt_tokens\":9}}\n data: {\"usage\":1}\nDATA: {\"usage\":2}\n\n".to_owned(),
        ),
        ("data field without a colon", "data\n\ndata\ndata:\n\n".to_owned()),
        ("event with only a name", "event: ping\n\nevent\n\n".to_owned()),
        ("long comment, field name and value", format!(": {long}\n{long}: 1\nid: {long}\nevent: {long}\n\n")),
        ("HTML page", "<!doctype html>\n<html><p>data: {\"usage\":{\"prompt_tokens\":9}}</p></html>\n\n".to_owned()),
        ("empty documents without a field name", "{}\n[]\n{}data: {}\n\n{ }\n\n".to_owned()),
        ("end marker with missing brackets", "data: [D\n\ndata: [DON\n\ndata: [\n\n".to_owned()),
    ] {
        let seen = chat.comes_to([DELTA, &odd, USAGE, DONE].concat().as_bytes());
        let parse_errors = if what.starts_with("end marker") { seen.parse_errors.clone() } else { String::new() };
        assert_eq!(seen, endpoint::seen(4, Some(5), "completed", &parse_errors), "{what}");
    }
    let split = DELTA.replace(",\"delta\"", ",\ndata:\"delta\"").replace("[{", "\ndata: [\ndata\ndata:\t{");
    assert_eq!(chat.comes_to([&split, USAGE, DONE].concat().as_bytes()), seen(4, Some(5), "completed", ""));
}

#[test]
fn a_malformed_event_is_a_parse_error_and_the_next_event_is_read() {
    let chat = Endpoint::chat("text/event-stream");
    for malformed in ["{\"choices\":[}", "{\"choices\":", "}", "{\"usage\"", "{\"usage\":{\"prompt_tokens\":7}"] {
        let body = format!("{DELTA}data: {malformed}\n\n{DELTA}{USAGE}{DONE}");
        assert_eq!(chat.comes_to(body.as_bytes()), seen(8, Some(5), "completed", "json"), "{malformed}");
    }
}

#[test]
fn nothing_is_read_after_done_and_done_needs_no_line_end() {
    let chat = Endpoint::chat("text/event-stream");
    for done in ["data: [DONE]", "data:[DONE]", "data: [DONE]\r\n", "event: done\ndata: [DONE]\n\n"] {
        assert_eq!(chat.comes_to([DELTA, done].concat().as_bytes()), seen(4, None, "completed", ""), "{done:?}");
    }
    let more = [DELTA, DONE, DELTA, "data: {oops\n\n", USAGE].concat();
    assert_eq!(chat.comes_to(more.as_bytes()), seen(4, None, "completed", ""));
    assert_eq!(chat.comes_to([DELTA, "data: [DONE"].concat().as_bytes()), seen(4, None, "truncated", ""));
}

#[test]
fn the_first_byte_decides_the_format_if_the_content_type_is_wrong() {
    let whole =
        r#"{"choices":[{"index":0,"message":{"content":"Wind"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5}}"#;
    for kind in ["application/json", "application/json; charset=utf-8", "text/plain", "", "application/octet-stream"] {
        for before in ["", " \r\n\t", "\u{feff}", "\u{feff}\n"] {
            let body = format!("{before}{whole}");
            assert_eq!(
                Endpoint::chat(kind).comes_to(body.as_bytes()),
                seen(4, Some(5), "completed", ""),
                "{kind} {before:?}"
            );
        }
        let events = format!("\n{DELTA}{USAGE}{DONE}");
        assert_eq!(
            Endpoint::chat(kind).comes_to(events.as_bytes()),
            seen(4, Some(5), "completed", ""),
            "{kind} events"
        );
    }
    let failed = b"{\"error\":{\"type\":\"overloaded\"}}";
    let found = Endpoint::chat("text/event-stream").comes_to(failed);
    assert_eq!(found, Seen { error: "overloaded".into(), ..seen(0, None, "error", "") });
}

#[test]
fn a_body_of_blanks_is_truncated() {
    for body in ["", "\n", "\r\n \n\t"] {
        assert_eq!(
            Endpoint::chat("application/json").comes_to(body.as_bytes()),
            seen(0, None, "truncated", ""),
            "{body:?}"
        );
    }
}

#[test]
fn a_malformed_line_is_a_parse_error_and_the_next_line_is_read() {
    let lines = Endpoint::new("/api/chat", "application/x-ndjson");
    for malformed in ["{\"message\":}", "}", "{\"done\":true,}", "<html>"] {
        let body = format!(
            "{{\"message\":{{\"content\":\"Wind\"}},\"done\":false}}\n{malformed}\n{}\n",
            "{\"message\":{\"content\":\" NW\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":5}"
        );
        assert_eq!(lines.comes_to(body.as_bytes()), seen(7, Some(5), "completed", "json"), "{malformed}");
    }
}

#[test]
fn a_stream_of_many_short_documents_is_read_to_its_end() {
    let many = "data: {}\n\n".repeat(40_000);
    let end = [DELTA, USAGE, DONE].concat();
    let found = Endpoint::chat("text/event-stream").sees(&[many.as_bytes(), many.as_bytes(), end.as_bytes()]);
    assert_eq!(found, seen(4, Some(5), "completed", ""));

    let many = "{}\n".repeat(40_000);
    let end = "{\"message\":{\"content\":\"Wind\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":5}\n";
    let lines = Endpoint::new("/api/chat", "application/x-ndjson");
    let found = lines.sees(&[many.as_bytes(), many.as_bytes(), end.as_bytes()]);
    assert_eq!(found, seen(4, Some(5), "completed", ""));

    // Documents in envelopes.
    let (many, start) =
        (chunk("{}").repeat(40_000), r#"{"type":"message_start","message":{"usage":{"input_tokens":5}}}"#);
    let found = Endpoint::invoke().sees(&[&many, &many, &chunk(start)]);
    assert_eq!((found.input, found.parse_errors.as_str()), (Some(5), ""));
}

#[test]
fn too_many_documents_in_one_call_are_a_parse_error() {
    for kind in ["application/json", "text/event-stream", "application/x-ndjson"] {
        let found = Endpoint::chat(kind).sees(&["{}".repeat(100_000).as_bytes()]);
        assert_eq!(found.parse_errors, "json", "{kind}");
    }
}
