//! Decodes and encodes AWS event-stream frames: total length, header length and the CRC of both; headers; payload; CRC
//! of everything before it.

use super::framing::{Body, Event, json};
use super::reading::{ParseError, Reading};

pub fn read(bytes: &[u8], reading: &mut Reading) -> Body {
    let mut body = Body { streamed: true, ..Body::default() };
    let mut rest = bytes;
    while !rest.is_empty() {
        match next(rest) {
            Next::Frame(Some((headers, payload)), after) => {
                event(headers, payload, &mut body, reading);
                rest = after;
            }
            Next::Frame(None, after) => {
                reading.parse_errors.insert(ParseError::Framing);
                rest = after;
            }
            Next::Cut => {
                body.cut = true;
                break;
            }
            Next::Lost => {
                reading.parse_errors.insert(ParseError::Framing);
                break;
            }
        }
    }
    body
}

/// The headers and payloads of all frames, or `None` unless every frame is complete and valid.
pub fn split(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let Next::Frame(Some((headers, payload)), after) = next(rest) else { return None };
        out.push((headers.to_vec(), payload.to_vec()));
        rest = after;
    }
    Some(out)
}

pub fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((headers.len() as u32 + payload.len() as u32 + 16).to_be_bytes());
    out.extend((headers.len() as u32).to_be_bytes());
    out.extend(crc32(&out).to_be_bytes());
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32(&out).to_be_bytes());
    out
}

enum Next<'a> {
    /// Headers and payload if the CRC is correct, and the rest of the bytes.
    Frame(Option<(&'a [u8], &'a [u8])>, &'a [u8]),
    Cut,
    /// The length is invalid, so no later frame can be found.
    Lost,
}

fn next(rest: &[u8]) -> Next<'_> {
    if rest.len() < 12 {
        return Next::Cut;
    }
    let (total, headers) = (be32(rest, 0), be32(rest, 4));
    if crc32(&rest[..8]) != be32(rest, 8) as u32 || total < headers + 16 {
        return Next::Lost;
    }
    if rest.len() < total {
        return Next::Cut;
    }
    let (frame, after) = rest.split_at(total);
    let sound = crc32(&frame[..total - 4]) == be32(frame, total - 4) as u32;
    Next::Frame(sound.then_some((&frame[12..12 + headers], &frame[12 + headers..total - 4])), after)
}

fn event(headers: &[u8], payload: &[u8], body: &mut Body, reading: &mut Reading) {
    let (mut name, mut exception, mut failed) = (String::new(), None, false);
    for (key, value) in frame_headers(headers) {
        match (key.as_str(), value.as_str()) {
            (":event-type", _) => name = value,
            (":message-type", "exception" | "error") => failed = true,
            (":exception-type" | ":error-code", _) => exception = Some(value),
            _ => {}
        }
    }
    let mut parsed = json(payload, reading);
    let mut data = parsed.events.pop().unwrap_or_default().data;
    if let Some(inner) = data["bytes"].as_str() {
        let decoded = from_base64(inner);
        data = if decoded.starts_with(b"{") {
            json(&decoded, reading).events.pop().unwrap_or_default().data
        } else {
            // The answer of an agent.
            serde_json::json!({"plain": String::from_utf8_lossy(&decoded)})
        };
    }
    body.events.push(Event { name, data, exception: exception.or(failed.then(|| "_OTHER".to_owned())) });
}

fn frame_headers(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let Some((name, rest)) = rest.split_at_checked(length.into()) else { break };
        let Some((&kind, rest)) = rest.split_first() else { break };
        let (skip, length) = match (kind, rest) {
            (0 | 1, _) => (0, 0),
            (2, _) => (0, 1),
            (3, _) => (0, 2),
            (4, _) => (0, 4),
            (5 | 8, _) => (0, 8),
            (9, _) => (0, 16),
            (6 | 7, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
            _ => break,
        };
        let Some(value) = rest.get(skip..skip + length) else { break };
        out.push((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()));
        bytes = &rest[skip + length..];
    }
    out
}

fn be32(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + 4].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// CRC-32/ISO-HDLC (IEEE), as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

pub fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

pub fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([0u8, 0].iter()).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for digit in 0..4 {
            let shown = digit <= three.len();
            out.push(if shown { char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]) } else { '=' });
        }
    }
    out
}
