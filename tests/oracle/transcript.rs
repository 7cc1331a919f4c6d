//! `gaugeway.prompt.full_hash` from its definition in tests/fixtures/README.md. It writes all records into one buffer.

use super::framing::BROKEN_OFF;
use super::reading::{each, short_hash};
use super::{Exchange, request, route};
use serde_json::Value;

/// The places of an image, a sound or a file in a part of a message, over all APIs.
const MEDIA: &[&str] = &[
    "/image_url",
    "/image_url/url",
    "/video_url/url",
    "/document_url",
    "/input_audio",
    "/input_audio/data",
    "/file/file_data",
    "/file/file_id",
    "/source/data",
    "/source/url",
    "/source/file_id",
    "/image/source/bytes",
    "/image/source/s3Location/uri",
    "/document/source/bytes",
    "/document/source/s3Location/uri",
    "/video/source/bytes",
    "/video/source/s3Location/uri",
    "/file_id",
    "/file_url",
    "/file_data",
    "/inlineData/data",
    "/inline_data/data",
    "/fileData/fileUri",
    "/file_data/file_uri",
    "/data",
    "/uri",
];

/// The hash of a request's messages. None if it has none, or if it is not an LLM call.
pub fn full_hash(exchange: &Exchange) -> Option<String> {
    let route = route::route(exchange)?;
    let body = request::body(exchange);
    let mut records = Vec::new();
    match request::list(route.api, &body) {
        Value::Array(items) => items.iter().for_each(|item| message(item, &mut records)),
        list => message(list, &mut records),
    }
    // Images without a message.
    if route.api == route::Api::CohereEmbed {
        each(&body["images"]).for_each(|image| string(image, b'M', &mut records));
        if body["images"].is_array() {
            record(b"", b'-', &mut records);
        }
    }
    (!records.is_empty()).then(|| short_hash(&records))
}

fn message(message: &Value, records: &mut Vec<u8>) {
    match message {
        Value::String(_) => {
            string(message, b'T', records);
            record(b"", b'u', records);
        }
        Value::Object(_) => {
            for place in ["content", "output", "prompt", "parts"] {
                content(&message[place], records);
            }
            content(&message["content"]["parts"], records);
            if message["type"] == "function.result" || message["type"] == "function_result" {
                content(&message["result"], records);
            }
            string(&message["text"], b'T', records);
            each(&message["images"]).for_each(|image| string(image, b'M', records));
            media(message, records);
            record(b"", role(&message["role"]), records);
        }
        _ => {}
    }
}

fn role(word: &Value) -> u8 {
    match word.as_str().unwrap_or_default() {
        "user" => b'u',
        "assistant" | "model" => b'a',
        "tool" | "function" => b't',
        "system" | "developer" => b's',
        _ => b'-',
    }
}

/// A string, or an array of parts.
fn content(content: &Value, records: &mut Vec<u8>) {
    string(content, b'T', records);
    for part in each(content) {
        for place in ["text", "stdout", "stderr"] {
            string(&part[place], b'T', records);
        }
        media(part, records);
        self::content(&part["content"], records);
        self::content(&part["toolResult"]["content"], records);
    }
    media(content, records);
}

fn media(part: &Value, records: &mut Vec<u8>) {
    MEDIA.iter().filter_map(|place| part.pointer(place)).for_each(|value| string(value, b'M', records));
}

fn string(value: &Value, letter: u8, records: &mut Vec<u8>) {
    if let Some(text) = value.as_str() {
        record(text.trim_end_matches(BROKEN_OFF).as_bytes(), letter, records);
    }
}

fn record(bytes: &[u8], letter: u8, records: &mut Vec<u8>) {
    records.extend_from_slice(bytes);
    records.extend((bytes.len() as u64).to_be_bytes());
    records.push(letter);
}
