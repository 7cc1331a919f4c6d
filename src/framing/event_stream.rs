//! AWS event stream (`application/vnd.amazon.eventstream`): reads binary frames with typed headers and two checksums.
//!
//! A frame has a prelude (total length, length of the headers, CRC-32 of both), headers, a payload, and a CRC-32 of all
//! bytes before it. All numbers are big-endian. Source: the "Event Stream" specification of Smithy, Amazon's interface
//! language.
//!
//! Memory: 64 bytes of a header's name or value. The payload is passed on without a copy.

#[cfg(not(feature = "encodings"))]
use crate::bytes::crc32::Crc32;
#[cfg(feature = "encodings")]
use crc32fast::Hasher as Crc32;

/// Largest frame, in bytes: 24 MiB of payload and 128 KiB of headers, the limits of Amazon's SDK for Python (botocore).
const MAX_FRAME: u32 = (24 << 20) + (128 << 10) + 16;
/// Largest headers of a frame, in bytes.
const MAX_HEADERS: u32 = 128 << 10;

/// The next part of the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FramePart<'a> {
    /// The frame is an exception or an error. The name comes from the header `:exception-type` or `:error-code`.
    Exception(&'a str),
    /// Bytes of the frame's payload.
    Payload(&'a [u8]),
    /// The end of the frame.
    End {
        /// True if the checksum of the frame is correct.
        is_valid: bool,
    },
    /// The lengths of the frame or their checksum are wrong, or a header is malformed. The start of the next frame is
    /// unknown, so the rest of the stream is ignored.
    Malformed,
}

/// The field that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum EventStreamState {
    /// The two lengths and their checksum.
    Prelude,
    /// The length of a header's name.
    NameLength,
    /// A header's name.
    Name,
    /// The type of a header's value.
    Type,
    /// The length of a header's value.
    ValueLength,
    /// A header's value.
    Value,
    /// The payload.
    Payload,
    /// The checksum of the frame.
    Checksum,
    /// After an error.
    Malformed,
}

/// Reads a stream of frames.
pub struct EventStream {
    state: EventStreamState,
    /// Bytes of the frame that are missing, including its checksum.
    frame_left: u32,
    /// Bytes of the headers that are missing.
    headers_left: u32,
    /// Bytes of the current field that are missing.
    field_left: u32,
    /// The first bytes of the current field.
    field: [u8; 64],
    /// Number of bytes of the current field that were read.
    field_length: usize,
    /// True if the value of the current header is the name of an exception or error.
    is_exception: bool,
    checksum: Crc32,
}

impl EventStream {
    /// Creates a reader at the start of a stream.
    pub fn new() -> Self {
        EventStream {
            state: EventStreamState::Prelude,
            frame_left: 0,
            headers_left: 0,
            field_left: 12,
            field: [0; 64],
            field_length: 0,
            is_exception: false,
            checksum: Crc32::new(),
        }
    }

    /// Returns true if a frame is incomplete.
    pub fn is_open(&self) -> bool {
        self.state != EventStreamState::Prelude || self.field_length > 0
    }

    /// Reads the next bytes and passes the parts of frames to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(FramePart<'_>)) {
        while !bytes.is_empty() {
            match self.state {
                EventStreamState::Malformed => return,
                EventStreamState::Payload => {
                    let size = (self.frame_left - 4).min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    let (payload, rest) = bytes.split_at_checked(size as usize).unwrap_or((bytes, &[]));
                    bytes = rest;
                    self.checksum.update(payload);
                    self.frame_left -= size;
                    out(FramePart::Payload(payload));
                    if self.frame_left == 4 {
                        self.begin_field(EventStreamState::Checksum, 4);
                    }
                }
                _ => {
                    let size = self.field_left.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    let (part, rest) = bytes.split_at_checked(size as usize).unwrap_or((bytes, &[]));
                    bytes = rest;
                    self.push_field(part);
                    self.field_left -= size;
                    if self.field_left == 0 {
                        self.field_ended(&mut out);
                    }
                }
            }
        }
    }

    /// Adds bytes to the current field and to the checksum.
    fn push_field(&mut self, part: &[u8]) {
        if self.state != EventStreamState::Checksum && self.state != EventStreamState::Prelude {
            self.checksum.update(part);
            self.frame_left = self.frame_left.saturating_sub(part.len() as u32);
            self.headers_left = self.headers_left.saturating_sub(part.len() as u32);
        }
        for byte in part {
            if let Some(slot) = self.field.get_mut(self.field_length) {
                *slot = *byte;
            }
            self.field_length = self.field_length.saturating_add(1);
        }
    }

    /// Starts a field of `length` bytes. The frame is malformed if a field of a header is longer than the headers.
    fn begin_field(&mut self, state: EventStreamState, length: u32) {
        let is_in_headers =
            !matches!(state, EventStreamState::Prelude | EventStreamState::Payload | EventStreamState::Checksum);
        self.state = if is_in_headers && length > self.headers_left { EventStreamState::Malformed } else { state };
        self.field_left = length;
        self.field_length = 0;
    }

    /// Ends a field, and reports an error in it.
    fn field_ended(&mut self, out: &mut impl FnMut(FramePart<'_>)) {
        self.read_field(out);
        if self.state == EventStreamState::Malformed {
            out(FramePart::Malformed);
        }
    }

    /// Interprets a complete field and starts the next one.
    fn read_field(&mut self, out: &mut impl FnMut(FramePart<'_>)) {
        let field = self.field.get(..self.field_length.min(self.field.len())).unwrap_or_default();
        match (self.state, field) {
            (EventStreamState::Prelude, [lengths @ .., a, b, c, d]) => {
                self.checksum = Crc32::new();
                self.checksum.update(lengths);
                let total = read_u32(lengths);
                self.headers_left = read_u32(lengths.get(4..).unwrap_or_default());
                let is_valid = self.checksum.clone().finalize() == read_u32(&[*a, *b, *c, *d])
                    && total <= MAX_FRAME
                    && self.headers_left <= MAX_HEADERS
                    && total >= self.headers_left.saturating_add(16);
                self.checksum.update(&[*a, *b, *c, *d]);
                if !is_valid {
                    self.state = EventStreamState::Malformed;
                    return;
                }
                self.frame_left = total - 12;
                self.begin_header();
            }
            (EventStreamState::NameLength, [length]) => {
                let length = u32::from(*length);
                self.begin_field(EventStreamState::Name, length);
                if length == 0 {
                    self.state = EventStreamState::Malformed;
                }
            }
            (EventStreamState::Name, name) => {
                self.is_exception = matches!(name, b":exception-type" | b":error-code");
                self.begin_field(EventStreamState::Type, 1);
            }
            // The size of a value depends on its type: booleans have no bytes, byte arrays and strings have a length.
            (EventStreamState::Type, [kind]) => match kind {
                0 | 1 => self.begin_header(),
                2 => self.begin_field(EventStreamState::Value, 1),
                3 => self.begin_field(EventStreamState::Value, 2),
                4 => self.begin_field(EventStreamState::Value, 4),
                5 | 8 => self.begin_field(EventStreamState::Value, 8),
                6 | 7 => self.begin_field(EventStreamState::ValueLength, 2),
                9 => self.begin_field(EventStreamState::Value, 16),
                _ => self.state = EventStreamState::Malformed,
            },
            (EventStreamState::ValueLength, [high, low]) => {
                let length = u32::from(*high) << 8 | u32::from(*low);
                self.begin_field(EventStreamState::Value, length);
                if length == 0 {
                    self.begin_header();
                }
            }
            (EventStreamState::Value, value) => {
                if self.is_exception {
                    out(FramePart::Exception(core::str::from_utf8(value).unwrap_or_default()));
                }
                self.is_exception = false;
                self.begin_header();
            }
            (EventStreamState::Checksum, sum) => {
                let is_valid = self.checksum.clone().finalize() == read_u32(sum);
                self.begin_field(EventStreamState::Prelude, 12);
                out(FramePart::End { is_valid });
            }
            _ => self.state = EventStreamState::Malformed,
        }
    }

    /// Starts the next header, or the payload after the last header, or the checksum if the payload is empty.
    fn begin_header(&mut self) {
        match (self.headers_left, self.frame_left) {
            (0, ..=4) => self.begin_field(EventStreamState::Checksum, 4),
            (0, _) => self.begin_field(EventStreamState::Payload, 0),
            _ => self.begin_field(EventStreamState::NameLength, 1),
        }
    }
}

impl Default for EventStream {
    fn default() -> Self {
        EventStream::new()
    }
}

/// Reads a big-endian number.
fn read_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
