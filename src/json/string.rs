//! The inside of a JSON string: escapes resolved while the bytes pass, and a small store for what must be held whole.

use super::search::{closing, slashes, special, whole_string};

/// Longest decoded string, number or key that is handed over whole, in bytes.
pub const LIMIT: usize = 256;

/// Decoded text put together, in bytes.
const PIECES: usize = 256;

struct Pieces {
    bytes: [u8; PIECES],
    length: usize,
}

impl Pieces {
    fn push(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.length + piece.len() > PIECES {
            self.flush(out);
            if piece.len() >= PIECES {
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

/// Copies a short piece to the start of `room`. In wasm a call of the engine's own copy costs more.
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

/// Passes what a string says to `out`, in pieces; `text` is all behind its first quote.
pub(super) fn unescaped(text: &[u8], out: impl FnMut(&[u8])) {
    Unescape::default().feed(text, out);
}

/// A string being unescaped, from behind its first quote, cut anywhere.
pub struct Unescape(Escape);

impl Default for Unescape {
    fn default() -> Self {
        Unescape(Escape::new())
    }
}

impl Unescape {
    /// Passes on what these bytes of it say.
    pub fn feed(&mut self, bytes: &[u8], out: impl FnMut(&[u8])) {
        self.0.decode(bytes, out);
    }
}

/// Where an unfinished escape stands between two pieces of input.
#[derive(Clone, Copy)]
pub(super) struct Escape {
    /// 0: none; 1: after the backslash; 2 to 5: as many hexadecimal digits less one were read.
    step: u8,
    unit: u16,
    /// A high surrogate waiting for its other half.
    high: u16,
}

impl Escape {
    pub const fn new() -> Self {
        Escape { step: 0, unit: 0, high: 0 }
    }

    pub const fn is_open(self) -> bool {
        self.step != 0 || self.high != 0
    }

    /// Passes decoded bytes up to the closing quote to `out`; returns what follows and whether the quote was there.
    #[inline]
    pub fn decode<'b>(&mut self, bytes: &'b [u8], mut out: impl FnMut(&[u8])) -> (&'b [u8], bool) {
        if let Some((run, rest)) = whole_string(!self.is_open(), bytes) {
            if !run.is_empty() {
                out(run);
            }
            return (rest, true);
        }
        self.resolve(bytes, &mut out)
    }

    /// Escapes cut text into small pieces, and each has its price where it goes: they are put together first.
    fn resolve<'b>(&mut self, mut bytes: &'b [u8], out: &mut dyn FnMut(&[u8])) -> (&'b [u8], bool) {
        let mut pieces = Pieces { bytes: [0; PIECES], length: 0 };
        loop {
            if self.step > 0 {
                let Some((&byte, rest)) = bytes.split_first() else { break };
                if self.consumes(byte, &mut |piece| pieces.push(piece, out)) {
                    bytes = rest;
                }
                continue;
            }
            let end = special(bytes).unwrap_or(bytes.len());
            let (run, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            if !run.is_empty() {
                self.lone(&mut |piece| pieces.push(piece, out));
                if pieces.length == 0 && matches!(rest, [b'"', ..] | []) {
                    out(run);
                } else {
                    pieces.push(run, out);
                }
            }
            match rest.split_first() {
                Some((b'"', rest)) => {
                    self.lone(&mut |piece| pieces.push(piece, out));
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

    /// Takes one byte of an escape; false where it does not belong to it.
    fn consumes(&mut self, byte: u8, out: &mut dyn FnMut(&[u8])) -> bool {
        if self.step > 1 {
            let Some(digit) = char::from(byte).to_digit(16) else {
                self.step = 0;
                self.lone(out);
                out("\u{fffd}".as_bytes());
                return false;
            };
            self.unit = self.unit << 4 | digit as u16;
            self.step += 1;
            if self.step == 6 {
                self.step = 0;
                self.unicode(out);
            }
            return true;
        }
        self.step = 0;
        if byte == b'u' {
            self.step = 2;
            self.unit = 0;
            return true;
        }
        self.lone(out);
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

    fn unicode(&mut self, out: &mut dyn FnMut(&[u8])) {
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
                self.lone(out);
                self.high = self.unit;
                return;
            }
            _ => {
                self.lone(out);
                unit
            }
        };
        let decoded = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out(decoded.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// A high surrogate whose other half did not come.
    fn lone(&mut self, out: &mut dyn FnMut(&[u8])) {
        if self.high != 0 {
            self.high = 0;
            out("\u{fffd}".as_bytes());
        }
    }

    /// Finds the closing quote of a string nobody reads; returns what follows and whether it was there.
    pub fn pass<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let escaped = usize::from(self.step > 0);
        let Some(bytes) = bytes.get(escaped..) else { return (bytes, false) };
        self.step = 0;
        match closing(bytes) {
            Some(end) => (bytes.get(end + 1..).unwrap_or_default(), true),
            None => {
                self.step = (slashes(bytes) % 2) as u8;
                (&[], false)
            }
        }
    }
}

/// A value held until it is whole; one that does not fit is marked and lost.
#[derive(Clone, Copy)]
pub(super) struct Held {
    bytes: [u8; LIMIT],
    length: u16,
    overlong: bool,
}

impl Held {
    pub const fn new() -> Self {
        Held { bytes: [0; LIMIT], length: 0, overlong: false }
    }

    pub fn clear(&mut self) {
        self.length = 0;
        self.overlong = false;
    }

    pub fn is_clear(&self) -> bool {
        self.length == 0 && !self.overlong
    }

    pub fn push(&mut self, piece: &[u8]) {
        let from = usize::from(self.length);
        match self.bytes.get_mut(from..from + piece.len()) {
            Some(room) if !self.overlong => {
                room.copy_from_slice(piece);
                self.length += piece.len() as u16;
            }
            _ => self.overlong = true,
        }
    }

    /// What is held, or None where it was too long.
    pub fn whole(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length)).filter(|_| !self.overlong)
    }
}
