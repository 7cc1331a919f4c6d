//! Base64 inside a JSON string, decoded as it passes. Bound: what one piece of the string decodes to. Spec: RFC 4648.

/// A decoder and what it has decoded since that was last taken.
#[derive(Default)]
pub struct Base64 {
    bits: u32,
    count: u8,
    decoded: Vec<u8>,
}

impl Base64 {
    /// Decodes a piece; an empty one begins anew. Bytes outside the alphabet, and padding, are passed over.
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

    /// Decodes what is left of the string, which need not be padded.
    pub fn finish(&mut self) {
        let bits = self.bits << (6 * (4 - u32::from(self.count.clamp(1, 4))));
        let bytes = bits.to_be_bytes();
        let kept = usize::from(self.count).saturating_sub(1);
        self.decoded.extend_from_slice(bytes.get(1..1 + kept).unwrap_or_default());
        self.count = 0;
    }

    /// What was decoded, to be given back to [`Base64::reuse`].
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.decoded)
    }

    /// Takes the room of what was taken back.
    pub fn reuse(&mut self, mut room: Vec<u8>) {
        room.clear();
        self.decoded = room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_in_any_cutting_and_with_any_padding() {
        for (encoded, plain) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob"), ("Zm9vYmE", "fooba")]
        {
            for size in 1..=encoded.len().max(1) {
                let mut base64 = Base64::default();
                base64.decode(b"");
                encoded.as_bytes().chunks(size).for_each(|piece| base64.decode(piece));
                base64.finish();
                assert_eq!(base64.take(), plain.as_bytes(), "{encoded}");
            }
        }
    }
}
