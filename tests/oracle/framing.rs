//! Splits bodies into events: one JSON value, a sequence of values, server-sent events or AWS event-stream frames.

use super::reading::{ParseError, Reading};
use super::{Exchange, frames};
use serde_json::Value;

#[derive(Debug, Default)]
pub struct Event {
    /// The `event:` of SSE or the `:event-type` of a frame.
    pub name: String,
    pub data: Value,
    pub exception: Option<String>,
}

impl Event {
    /// The event's `type` in the JSON, otherwise the name of the frame.
    pub fn kind(&self) -> &str {
        ["type", "event_type"].iter().find_map(|key| self.data[*key].as_str()).unwrap_or(&self.name)
    }
}

#[derive(Debug, Default)]
pub struct Body {
    pub events: Vec<Event>,
    /// The body is framed as a stream, whatever the request asked for.
    pub streamed: bool,
    /// `[DONE]` was received.
    pub done: bool,
    /// The body ends inside a value or a frame.
    pub cut: bool,
}

pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The content type in lower case without parameters.
pub fn essence(headers: &[(String, String)]) -> String {
    let value = header(headers, "content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub fn response(exchange: &Exchange, reading: &mut Reading) -> Body {
    let bytes = without_bom(&exchange.response_body);
    let opens = bytes.iter().find(|b| !b.is_ascii_whitespace());
    match essence(&exchange.response_headers).as_str() {
        "text/event-stream" => server_sent(bytes, reading),
        "application/vnd.amazon.eventstream" => frames::read(bytes, reading),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonl"
        | "application/stream+json" => {
            let mut body = json(bytes, reading);
            body.streamed = true;
            body
        }
        kind if kind.ends_with("json") => json(bytes, reading),
        kind if kind.starts_with("audio/") || kind.starts_with("image/") || kind.starts_with("video/") => {
            Body::default()
        }
        _ if matches!(opens, Some(b'{' | b'[')) => json(bytes, reading),
        _ => Body::default(),
    }
}

/// A sequence of JSON values. A top-level array is replaced by its elements.
pub fn json(bytes: &[u8], reading: &mut Reading) -> Body {
    let bytes = without_bom(bytes);
    let text = readable(&lossy(bytes));
    let mut body = Body { cut: text.trim().is_empty(), ..Body::default() };
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    loop {
        let start = values.byte_offset();
        match values.next() {
            None => break,
            Some(Ok(Value::Array(items))) => body.events.extend(items.into_iter().map(Event::of)),
            Some(Ok(value)) => body.events.push(Event::of(value)),
            Some(Err(error)) => {
                if error.is_eof() {
                    body.cut = true;
                } else {
                    reading.parse_errors.insert(ParseError::Json);
                }
                let end = offset(&text, &error).max(start);
                match repaired(&text[start..end]) {
                    Some(Value::Array(items)) => body.events.extend(items.into_iter().map(Event::of)),
                    other => body.events.extend(other.map(Event::of)),
                }
                break;
            }
        }
    }
    body.streamed = body.events.len() > 1 && !text.trim_start().starts_with('[');
    body
}

impl Event {
    fn of(data: Value) -> Self {
        Self { data, ..Self::default() }
    }
}

/// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>) with two extensions: the last
/// event may lack its blank line, and Google ends a failed stream with a JSON error outside of any event.
fn server_sent(bytes: &[u8], reading: &mut Reading) -> Body {
    let text = lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut body = Body { streamed: true, ..Body::default() };
    let (mut name, mut data) = (String::new(), None::<String>);
    let mut at = 0;
    while at < text.len() && !body.done {
        let rest = &text[at..];
        let line = rest.split('\n').next().unwrap_or_default();
        at += (line.len() + 1).min(rest.len());
        if line.is_empty() {
            dispatch(&mut body, std::mem::take(&mut name), data.take(), true, reading);
        } else if line.trim_start().starts_with('{') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                body.events.push(Event::of(value));
                at += values.byte_offset().saturating_sub(line.len() + 1);
            }
        } else {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                // llama.cpp.
                "error" if data.is_none() => (name, data) = ("error".to_owned(), Some(value.to_owned())),
                "data" => match &mut data {
                    Some(lines) => {
                        lines.push('\n');
                        lines.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
    }
    dispatch(&mut body, name, data, false, reading);
    body
}

fn dispatch(body: &mut Body, name: String, data: Option<String>, closed: bool, reading: &mut Reading) {
    let Some(data) = data else { return };
    match data.trim() {
        "[DONE]" => body.done = true,
        "" => {}
        data => {
            let data = readable(data);
            match serde_json::from_str(&data) {
                Ok(Value::Array(items)) => body.events.extend(items.into_iter().map(Event::of)),
                Ok(data) => body.events.push(Event { name, data, exception: None }),
                Err(error) => {
                    if error.is_eof() && !closed {
                        body.cut = true;
                    } else {
                        reading.parse_errors.insert(ParseError::Json);
                    }
                    if let Some(data) = repaired(&data[..offset(&data, &error)]) {
                        body.events.push(Event { name, data, exception: None });
                    }
                }
            }
        }
    }
}

/// Marks the end of a string that the body broke off in. It is a Unicode noncharacter, so it occurs in no real text.
pub const BROKEN_OFF: char = '\u{FDD0}';

/// The byte offset at which the parser stopped.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line + error.column().saturating_sub(1)).min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Decodes UTF-8 lossily, but drops an incomplete character at the end of the body.
fn lossy(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into_owned()
}

/// Parses the longest prefix that can be closed into a JSON value, as a streaming reader sees a body that is truncated
/// or invalid. An unfinished number or key is dropped; an unfinished string is closed with [`BROKEN_OFF`].
fn repaired(text: &str) -> Option<Value> {
    let mut open = Vec::new();
    let mut best = None;
    let (mut key_next, mut scalar) = (false, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        let delimiter = matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
        if scalar && delimiter {
            scalar = false;
            best = Some((at, open.clone()));
        }
        match byte {
            b'{' | b'[' => {
                key_next = byte == b'{';
                open.push(if byte == b'{' { '}' } else { ']' });
                best = Some((at + 1, open.clone()));
            }
            b'}' | b']' => {
                open.pop();
                key_next = false;
                best = Some((at + 1, open.clone()));
            }
            b',' => key_next = open.last() == Some(&'}'),
            b':' => key_next = false,
            b'"' => {
                let mut end = None;
                let mut sound = at + 1;
                while let Some((at, byte)) = bytes.next() {
                    match byte {
                        b'\\' => {
                            let skip = if text[at..].starts_with("\\u") { 5 } else { 1 };
                            let skipped = bytes.by_ref().take(skip).count();
                            sound = if skipped == skip { at + 1 + skip } else { sound };
                        }
                        b'"' => {
                            end = Some(at + 1);
                            break;
                        }
                        _ => sound = at + 1,
                    }
                }
                match end {
                    _ if key_next => {}
                    Some(end) => best = Some((end, open.clone())),
                    None => return close(&format!("{}{BROKEN_OFF}\"", &text[..sound]), open),
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => scalar = true,
        }
    }
    let (end, open) = best?;
    close(&text[..end], open)
}

fn close(text: &str, open: Vec<char>) -> Option<Value> {
    let closed: String = text.chars().chain(open.into_iter().rev()).collect();
    serde_json::from_str(&readable(&closed)).ok()
}

/// Replaces lone surrogate escapes, which `serde_json` rejects but which occur in real bodies.
fn readable(text: &str) -> String {
    let unit = |at: usize| {
        let hex = text.get(at..).filter(|t| t.starts_with("\\u")).and_then(|t| t.get(2..6))?;
        u16::from_str_radix(hex, 16).ok()
    };
    let (mut out, mut at, mut plain) = (String::new(), 0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let skip = match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                out.push_str(&text[plain..at]);
                out.push('\u{FFFD}');
                plain = at + 6;
                6
            }
            Some(_) => 6,
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += skip;
    }
    out.push_str(&text[plain..]);
    out
}

pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}
