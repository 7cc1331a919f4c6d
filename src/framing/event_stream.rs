//! AWS event stream: binary frames with typed headers and two checksums, taken apart without holding a payload.
//!
//! Bound: one header's name and value of at most 64 bytes each. Spec: the frame layout of AWS's SDKs ("vnd.amazon.eventstream").

#[cfg(not(feature = "encodings"))]
use crate::bytes::crc32::Hasher;
#[cfg(feature = "encodings")]
use crc32fast::Hasher;

/// Largest frame believed: 24 MiB of payload and 128 KiB of headers, botocore's limits.
const LARGEST: u32 = (24 << 20) + (128 << 10) + 16;
const LARGEST_HEADERS: u32 = 128 << 10;

/// A part of the stream, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// The frame is an exception or error of this name.
    Exception(&'a str),
    /// Bytes of the frame's payload.
    Payload(&'a [u8]),
    /// The frame is over; false where its checksum is wrong.
    End(bool),
    /// Lengths that cannot be, or a checksum over them that is wrong: nothing more can be read.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Prelude,
    /// A header name's length, the name, the value's type, the value's length, the value.
    NameLength,
    Name,
    Type,
    ValueLength,
    Value,
    Payload,
    Checksum,
    Broken,
}

/// Where the stream stands.
pub struct EventStream {
    state: State,
    /// Bytes of the frame still to come, the checksum included, and of its headers.
    left: u32,
    headers: u32,
    /// Bytes of the current field still to come.
    need: u32,
    /// The current field, as far as it is kept.
    field: [u8; 64],
    held: usize,
    /// The header's value names an exception.
    exception: bool,
    hasher: Hasher,
}

impl EventStream {
    /// At the start of a stream.
    pub fn new() -> Self {
        EventStream {
            state: State::Prelude,
            left: 0,
            headers: 0,
            need: 12,
            field: [0; 64],
            held: 0,
            exception: false,
            hasher: Hasher::new(),
        }
    }

    /// Whether a frame is not over.
    pub fn is_open(&self) -> bool {
        self.state != State::Prelude || self.held > 0
    }

    /// Passes the parts of `bytes` to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(Part<'_>)) {
        while !bytes.is_empty() {
            match self.state {
                State::Broken => return,
                State::Payload => {
                    let size = (self.left - 4).min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    let (payload, rest) = bytes.split_at_checked(size as usize).unwrap_or((bytes, &[]));
                    bytes = rest;
                    self.hasher.update(payload);
                    self.left -= size;
                    out(Part::Payload(payload));
                    if self.left == 4 {
                        self.expect(State::Checksum, 4);
                    }
                }
                _ => {
                    let size = self.need.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    let (part, rest) = bytes.split_at_checked(size as usize).unwrap_or((bytes, &[]));
                    bytes = rest;
                    self.keep(part);
                    self.need -= size;
                    if self.need == 0 {
                        self.field_ended(&mut out);
                    }
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.state != State::Checksum && self.state != State::Prelude {
            self.hasher.update(part);
            self.left = self.left.saturating_sub(part.len() as u32);
            self.headers = self.headers.saturating_sub(part.len() as u32);
        }
        for byte in part {
            if let Some(slot) = self.field.get_mut(self.held) {
                *slot = *byte;
            }
            self.held = self.held.saturating_add(1);
        }
    }

    /// A field of a header that runs past the headers is as good as a wrong length.
    fn expect(&mut self, state: State, need: u32) {
        let in_headers = !matches!(state, State::Prelude | State::Payload | State::Checksum);
        self.state = if in_headers && need > self.headers { State::Broken } else { state };
        self.need = need;
        self.held = 0;
    }

    fn field_ended(&mut self, out: &mut impl FnMut(Part<'_>)) {
        self.field_taken(out);
        if self.state == State::Broken {
            out(Part::Broken);
        }
    }

    fn field_taken(&mut self, out: &mut impl FnMut(Part<'_>)) {
        let held = self.field.get(..self.held.min(self.field.len())).unwrap_or_default();
        match (self.state, held) {
            (State::Prelude, [lengths @ .., a, b, c, d]) => {
                self.hasher = Hasher::new();
                self.hasher.update(lengths);
                let total = word(lengths);
                self.headers = word(lengths.get(4..).unwrap_or_default());
                let sound = self.hasher.clone().finalize() == word(&[*a, *b, *c, *d])
                    && total <= LARGEST
                    && self.headers <= LARGEST_HEADERS
                    && total >= self.headers.saturating_add(16);
                self.hasher.update(&[*a, *b, *c, *d]);
                if !sound {
                    self.state = State::Broken;
                    return;
                }
                self.left = total - 12;
                self.next_header();
            }
            (State::NameLength, [length]) => {
                let length = u32::from(*length);
                self.expect(State::Name, length);
                if length == 0 {
                    self.state = State::Broken;
                }
            }
            (State::Name, name) => {
                self.exception = matches!(name, b":exception-type" | b":error-code");
                self.expect(State::Type, 1);
            }
            (State::Type, [kind]) => match kind {
                0 | 1 => self.next_header(),
                2 => self.expect(State::Value, 1),
                3 => self.expect(State::Value, 2),
                4 => self.expect(State::Value, 4),
                5 | 8 => self.expect(State::Value, 8),
                6 | 7 => self.expect(State::ValueLength, 2),
                9 => self.expect(State::Value, 16),
                _ => self.state = State::Broken,
            },
            (State::ValueLength, [high, low]) => {
                let length = u32::from(*high) << 8 | u32::from(*low);
                self.expect(State::Value, length);
                if length == 0 {
                    self.next_header();
                }
            }
            (State::Value, value) => {
                if self.exception {
                    out(Part::Exception(core::str::from_utf8(value).unwrap_or_default()));
                }
                self.exception = false;
                self.next_header();
            }
            (State::Checksum, sum) => {
                let sound = self.hasher.clone().finalize() == word(sum);
                self.expect(State::Prelude, 12);
                out(Part::End(sound));
            }
            _ => self.state = State::Broken,
        }
    }

    /// A header follows, or the payload, or the checksum.
    fn next_header(&mut self) {
        match (self.headers, self.left) {
            (0, ..=4) => self.expect(State::Checksum, 4),
            (0, _) => self.expect(State::Payload, 0),
            _ => self.expect(State::NameLength, 1),
        }
    }
}

impl Default for EventStream {
    fn default() -> Self {
        EventStream::new()
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
