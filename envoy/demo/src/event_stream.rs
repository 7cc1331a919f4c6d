//! Encoder for `application/vnd.amazon.eventstream`. Fixtures have one frame per line of text; this makes the binary
//! frames. Specification: the AWS event stream encoding (prelude, prelude CRC, headers, payload, message CRC;
//! CRC-32/ISO-HDLC).

use serde_json::Value;

/// Encodes every non-empty line of a fixture's body: `<event> <json>`, `<event> base64:<json>` or `!<exception>
/// <json>`.
pub fn frames(text: &str) -> Vec<Vec<u8>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(frame_of_line).collect()
}

/// A frame with string headers and this payload.
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("the name of an event stream header has more than 255 bytes"));
        head.extend_from_slice(name.as_bytes());
        head.push(7); // the type of a string value
        head.extend_from_slice(
            &u16::try_from(value.len())
                .expect("the value of an event stream header has more than 65535 bytes")
                .to_be_bytes(),
        );
        head.extend_from_slice(value.as_bytes());
    }
    let length = |n: usize| u32::try_from(n).expect("a frame has 4 GiB or more").to_be_bytes();
    let mut out = Vec::with_capacity(16 + head.len() + payload.len());
    out.extend_from_slice(&length(16 + head.len() + payload.len()));
    out.extend_from_slice(&length(head.len()));
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

fn frame_of_line(line: &str) -> Vec<u8> {
    let (kind, payload) =
        line.split_once(' ').unwrap_or_else(|| panic!("a line of frames must have a type and a payload: {line}"));
    if let Some(exception) = kind.strip_prefix('!') {
        let headers =
            [(":exception-type", exception), (":content-type", "application/json"), (":message-type", "exception")];
        return frame(&headers, payload.as_bytes());
    }
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    match payload.strip_prefix("base64:") {
        Some(json) => frame(&headers, format!("{{\"bytes\":{}}}", Value::String(base64(json.as_bytes()))).as_bytes()),
        None => frame(&headers, payload.as_bytes()),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let six = (word >> (18 - 6 * place) & 63) as usize;
            out.push(if place <= group.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_and_base64_match_their_published_examples() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
    }

    #[test]
    fn an_empty_frame_has_the_sixteen_bytes_of_the_specification() {
        assert_eq!(frame(&[], b""), [0, 0, 0, 16, 0, 0, 0, 0, 5, 0xC2, 0x48, 0xEB, 0x7D, 0x98, 0xC8, 0xFF]);
    }
}
