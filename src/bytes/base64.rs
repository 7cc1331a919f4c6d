//! Streaming base64 decoder (RFC 4648, sections 4 and 5) for a JSON string that arrives in pieces.
//!
//! Memory: the decoded bytes since the last [`Base64::take_decoded`].

/// Decodes one string after the other. Accepts the standard and the URL-safe alphabet, with or without padding.
#[derive(Default)]
pub struct Base64 {
    /// The last digits, 6 bits each. The last digit is in the lowest bits.
    bits: u32,
    /// Number of digits in `bits` that are not decoded: 0 to 3.
    count: u8,
    decoded: Vec<u8>,
}

impl Base64 {
    /// Decodes a piece of a string. An empty piece starts a new string. Ignores padding and bytes that are not in the
    /// alphabet.
    pub fn decode(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            self.count = 0;
        }
        for byte in piece {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => continue,
            };
            self.bits = self.bits << 6 | u32::from(digit);
            self.count += 1;
            if self.count == 4 {
                self.count = 0;
                self.decoded.extend_from_slice(self.bits.to_be_bytes().get(1..).unwrap_or_default());
            }
        }
    }

    /// Ends the string: decodes its last one to three digits.
    pub fn finish(&mut self) {
        let bits = self.bits << (6 * (4 - u32::from(self.count.clamp(1, 4))));
        let bytes = bits.to_be_bytes();
        let length = usize::from(self.count).saturating_sub(1);
        self.decoded.extend_from_slice(bytes.get(1..1 + length).unwrap_or_default());
        self.count = 0;
    }

    /// Returns the decoded bytes and removes them from the decoder. [`Base64::reuse_buffer`] takes the buffer back.
    pub fn take_decoded(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.decoded)
    }

    /// Uses the buffer for further decoded bytes, to save an allocation.
    pub fn reuse_buffer(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.decoded = buffer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_at_any_cut_with_and_without_padding() {
        for (encoded, plain) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob"), ("Zm9vYmE", "fooba")]
        {
            for size in 1..=encoded.len().max(1) {
                let mut base64 = Base64::default();
                base64.decode(b"");
                encoded.as_bytes().chunks(size).for_each(|piece| base64.decode(piece));
                base64.finish();
                assert_eq!(base64.take_decoded(), plain.as_bytes(), "{encoded}");
            }
        }
    }
}
