//! Strings (RFC 8259, section 7): decodes escapes in pieces of any size, and keeps short values until they are
//! complete.
//!
//! Memory: 256 bytes for the value that is kept and 256 bytes on the stack while escapes are decoded.

use super::search::{find_closing_quote, find_quote_or_backslash, plain_string, trailing_backslashes};

/// Longest decoded string, number or key that a rule receives in one call, in bytes.
pub const LIMIT: usize = 256;

/// Size of the buffer that joins decoded pieces, in bytes.
const PIECE_BUFFER: usize = 256;

/// Joins small pieces of decoded text, because each call of the output function has a cost.
struct PieceBuffer {
    bytes: [u8; PIECE_BUFFER],
    length: usize,
}

impl PieceBuffer {
    fn push(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.length + piece.len() > PIECE_BUFFER {
            self.flush(out);
            if piece.len() >= PIECE_BUFFER {
                return out(piece);
            }
        }
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        copy(room, piece);
        self.length += piece.len();
    }

    fn flush(&mut self, out: &mut dyn FnMut(&[u8])) {
        if self.length > 0 {
            out(self.bytes.get(..self.length).unwrap_or_default());
            self.length = 0;
        }
    }
}

/// Copies a short piece to the start of `room`. For short pieces, this is faster than the `memory.copy` instruction of
/// WebAssembly.
#[inline(always)]
fn copy(room: &mut [u8], mut piece: &[u8]) {
    let mut at = 0;
    while let Some((block, rest)) = piece.split_first_chunk::<16>() {
        let Some(into) = room.get_mut(at..).and_then(|room| room.first_chunk_mut::<16>()) else { return };
        *into = *block;
        piece = rest;
        at += block.len();
    }
    for byte in piece {
        let Some(into) = room.get_mut(at) else { return };
        *into = *byte;
        at += 1;
    }
}

/// Decodes a string and passes it to `out` in pieces. `text` starts after the opening quote.
pub(super) fn unescape(text: &[u8], out: impl FnMut(&[u8])) {
    Unescape::default().feed(text, out);
}

/// Decodes the escapes of one string, which may arrive in pieces of any size. The first piece starts after the opening
/// quote.
pub struct Unescape(EscapeState);

impl Default for Unescape {
    fn default() -> Self {
        Unescape(EscapeState::new())
    }
}

impl Unescape {
    /// Decodes `bytes` up to the closing quote and passes the result to `out` in pieces.
    pub fn feed(&mut self, bytes: &[u8], out: impl FnMut(&[u8])) {
        self.0.decode(bytes, out);
    }

    /// Decodes the escapes of all strings in `bytes`, which are JSON, and passes the result to `out` in pieces. All else stays as it is.
    pub fn feed_json(&mut self, mut bytes: &[u8], mut out: impl FnMut(&[u8])) {
        while let (rest, true) = self.0.decode(bytes, &mut out) {
            out(b"\"");
            bytes = rest;
        }
    }
}

/// State of an escape that two pieces of input share.
#[derive(Clone, Copy)]
pub(super) struct EscapeState {
    /// 0: outside an escape. 1: after the backslash. 2 to 5: after `\u` and `step - 2` hexadecimal digits.
    step: u8,
    /// The hexadecimal digits so far: a UTF-16 code unit.
    unit: u16,
    /// A high surrogate whose low surrogate has not arrived. 0 if there is none.
    high: u16,
}

impl EscapeState {
    /// Outside an escape.
    pub const fn new() -> Self {
        EscapeState { step: 0, unit: 0, high: 0 }
    }

    /// Returns true if an escape or a surrogate pair is incomplete.
    pub const fn is_open(self) -> bool {
        self.step != 0 || self.high != 0
    }

    /// Decodes `bytes` up to the closing quote and passes the result to `out`. Returns the bytes after the quote and
    /// true, or no bytes and false if the string continues.
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8], mut out: impl FnMut(&[u8])) -> (&'b [u8], bool) {
        if !self.is_open()
            && let Some((run, rest)) = plain_string(bytes)
        {
            if !run.is_empty() {
                out(run);
            }
            return (rest, true);
        }
        self.decode_escapes(bytes, &mut out)
    }

    /// Does the same for a string with escapes.
    fn decode_escapes<'b>(&mut self, mut bytes: &'b [u8], out: &mut dyn FnMut(&[u8])) -> (&'b [u8], bool) {
        let mut pieces = PieceBuffer { bytes: [0; PIECE_BUFFER], length: 0 };
        loop {
            if self.step > 0 {
                let Some((&byte, rest)) = bytes.split_first() else { break };
                if self.push_escape_byte(byte, &mut |piece| pieces.push(piece, out)) {
                    bytes = rest;
                }
                continue;
            }
            let end = find_quote_or_backslash(bytes).unwrap_or(bytes.len());
            let (run, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            if !run.is_empty() {
                self.replace_lone_surrogate(&mut |piece| pieces.push(piece, out));
                if pieces.length == 0 && matches!(rest, [b'"', ..] | []) {
                    out(run);
                } else {
                    pieces.push(run, out);
                }
            }
            match rest.split_first() {
                Some((b'"', rest)) => {
                    self.replace_lone_surrogate(&mut |piece| pieces.push(piece, out));
                    pieces.flush(out);
                    return (rest, true);
                }
                Some((_, rest)) => {
                    self.step = 1;
                    bytes = rest;
                }
                None => {
                    bytes = rest;
                    break;
                }
            }
        }
        pieces.flush(out);
        (bytes, false)
    }

    /// Reads one byte of an escape. Returns false if the byte does not belong to the escape.
    fn push_escape_byte(&mut self, byte: u8, out: &mut dyn FnMut(&[u8])) -> bool {
        if self.step > 1 {
            let Some(digit) = char::from(byte).to_digit(16) else {
                self.step = 0;
                self.replace_lone_surrogate(out);
                out("\u{fffd}".as_bytes());
                return false;
            };
            self.unit = self.unit << 4 | digit as u16;
            self.step += 1;
            if self.step == 6 {
                self.step = 0;
                self.push_code_unit(out);
            }
            return true;
        }
        self.step = 0;
        if byte == b'u' {
            self.step = 2;
            self.unit = 0;
            return true;
        }
        self.replace_lone_surrogate(out);
        out(&[match byte {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other => other,
        }]);
        true
    }

    /// Decodes a complete UTF-16 code unit. A surrogate without its partner becomes U+FFFD.
    fn push_code_unit(&mut self, out: &mut dyn FnMut(&[u8])) {
        let unit = u32::from(self.unit);
        let code = match (self.high, self.unit) {
            (0, 0xd800..=0xdbff) => {
                self.high = self.unit;
                return;
            }
            (1.., 0xdc00..=0xdfff) => {
                let pair = 0x10000 + ((u32::from(self.high) - 0xd800) << 10) + (unit - 0xdc00);
                self.high = 0;
                pair
            }
            (1.., 0xd800..=0xdbff) => {
                self.replace_lone_surrogate(out);
                self.high = self.unit;
                return;
            }
            _ => {
                self.replace_lone_surrogate(out);
                unit
            }
        };
        let decoded = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out(decoded.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Writes U+FFFD for a high surrogate that no low surrogate follows.
    fn replace_lone_surrogate(&mut self, out: &mut dyn FnMut(&[u8])) {
        if self.high != 0 {
            self.high = 0;
            out("\u{fffd}".as_bytes());
        }
    }

    /// Skips a string without decoding it. Returns the bytes after the closing quote and true, or no bytes and false if
    /// the string continues.
    pub fn skip_string<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let escaped_bytes = usize::from(self.step > 0);
        let Some(bytes) = bytes.get(escaped_bytes..) else { return (bytes, false) };
        self.step = 0;
        match find_closing_quote(bytes) {
            Some(end) => (bytes.get(end + 1..).unwrap_or_default(), true),
            None => {
                self.step = (trailing_backslashes(bytes) % 2) as u8;
                (&[], false)
            }
        }
    }
}

/// A key or scalar that arrives in pieces. At most [`LIMIT`] bytes; a longer value is lost.
#[derive(Clone, Copy)]
pub(super) struct HeldValue {
    bytes: [u8; LIMIT],
    length: u16,
    is_too_long: bool,
}

impl HeldValue {
    /// An empty value.
    pub const fn new() -> Self {
        HeldValue { bytes: [0; LIMIT], length: 0, is_too_long: false }
    }

    /// Starts the next value.
    pub fn clear(&mut self) {
        self.length = 0;
        self.is_too_long = false;
    }

    /// Returns true if no byte was added.
    pub fn is_clear(&self) -> bool {
        self.length == 0 && !self.is_too_long
    }

    /// Adds bytes to the value.
    pub fn push(&mut self, piece: &[u8]) {
        let from = usize::from(self.length);
        match self.bytes.get_mut(from..from + piece.len()) {
            Some(room) if !self.is_too_long => {
                room.copy_from_slice(piece);
                self.length += piece.len() as u16;
            }
            _ => self.is_too_long = true,
        }
    }

    /// The value, or None if it is too long.
    pub fn value(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length)).filter(|_| !self.is_too_long)
    }
}
