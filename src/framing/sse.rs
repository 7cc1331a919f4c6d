//! Server-sent events (WHATWG HTML, section "Server-sent events"): splits the stream into parts of events.
//!
//! Supports line ends LF, CR and CRLF, a byte order mark, comments, and several data lines, which a line feed joins. In
//! addition, reads JSON that some servers send on a line without a field name, for example an error after the first
//! events.
//!
//! Memory: a few bytes of state. Data and names are passed on without a copy.

use memchr::memchr2;

/// The next part of the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SsePart<'a> {
    /// Bytes of the event's data. All of them, joined, are the data.
    Data(&'a [u8]),
    /// Bytes of the event's name. All of them, joined, are the name.
    Name(&'a [u8]),
    /// The end of the event: a blank line.
    End,
    /// A line that starts with `{`: a JSON document without a field name.
    BareDocument,
}

/// What the current byte of a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SseLine {
    /// The name of a field.
    FieldName,
    /// The value of a `data` field.
    Data,
    /// The value of an `event` field.
    Name,
    /// A comment or the value of another field.
    Ignored,
}

/// Reads a stream of events.
pub struct Sse {
    line: SseLine,
    /// The first bytes of the field's name. The names that are read have at most 5 bytes.
    field: [u8; 5],
    /// Length of the field's name in bytes, up to 255.
    length: u8,
    /// True if the next byte is the first one after the colon. A space there does not belong to the value.
    is_after_colon: bool,
    /// True if the previous byte was a carriage return. A line feed after it belongs to the same line end.
    is_after_cr: bool,
    has_data: bool,
    has_name: bool,
    /// Bytes of a byte order mark that may still arrive at the start of the stream.
    bom: &'static [u8],
}

impl Sse {
    /// Creates a reader at the start of a stream.
    pub const fn new() -> Self {
        Sse {
            line: SseLine::FieldName,
            field: [0; 5],
            length: 0,
            is_after_colon: false,
            is_after_cr: false,
            has_data: false,
            has_name: false,
            bom: b"\xef\xbb\xbf",
        }
    }

    /// Reads the next part. Returns it and the remaining bytes, or None and no bytes if `bytes` contain no further
    /// part.
    ///
    /// After [`SsePart::BareDocument`], the caller must read the JSON document from the remaining bytes and call this
    /// function with the bytes after it.
    pub fn next<'b>(&mut self, mut bytes: &'b [u8]) -> (Option<SsePart<'b>>, &'b [u8]) {
        while let Some((&byte, tail)) = bytes.split_first() {
            if self.is_after_cr {
                self.is_after_cr = false;
                if byte == b'\n' {
                    bytes = tail;
                    continue;
                }
            }
            let part = match self.line {
                SseLine::FieldName if byte == b'{' && self.length == 0 => return (Some(SsePart::BareDocument), bytes),
                SseLine::FieldName => match self.read_common_field(bytes) {
                    Some((part, rest)) => {
                        bytes = rest;
                        part
                    }
                    None => {
                        bytes = tail;
                        self.read_field_name(byte)
                    }
                },
                SseLine::Data | SseLine::Name | SseLine::Ignored => {
                    if self.is_after_colon {
                        self.is_after_colon = false;
                        if byte == b' ' {
                            bytes = tail;
                            continue;
                        }
                    }
                    let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                    let (value, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                    let line = self.line;
                    bytes = rest;
                    if let Some((end, rest)) = rest.split_first() {
                        bytes = rest;
                        self.line_ended(*end);
                    }
                    match line {
                        SseLine::Data => Some(SsePart::Data(value)),
                        SseLine::Name => Some(SsePart::Name(value)),
                        _ => None,
                    }
                    .filter(|_| !value.is_empty())
                }
            };
            if part.is_some() {
                return (part, bytes);
            }
        }
        (None, bytes)
    }

    /// Fast path for the two field names that almost all lines have, if they arrive in one piece.
    fn read_common_field<'b>(&mut self, bytes: &'b [u8]) -> Option<(Option<SsePart<'static>>, &'b [u8])> {
        if self.length > 0 || !self.bom.is_empty() {
            return None;
        }
        if let Some(rest) = bytes.strip_prefix(b"data: ") {
            self.line = SseLine::Data;
            let had_data = core::mem::replace(&mut self.has_data, true);
            return Some((had_data.then_some(SsePart::Data(b"\n")), rest));
        }
        let rest = bytes.strip_prefix(b"event: ")?;
        self.line = SseLine::Name;
        self.has_name = true;
        Some((None, rest))
    }

    /// Reads one byte of a field's name, the colon after it, or the end of the line.
    fn read_field_name(&mut self, byte: u8) -> Option<SsePart<'static>> {
        if let Some((first, rest)) = self.bom.split_first() {
            self.bom = if byte == *first { rest } else { &[] };
            if byte == *first {
                return None;
            }
        }
        match byte {
            b'\n' | b'\r' => {
                let is_blank = self.length == 0;
                self.line_ended(byte);
                if is_blank && (self.has_data || self.has_name) {
                    self.has_data = false;
                    self.has_name = false;
                    return Some(SsePart::End);
                }
            }
            b':' => {
                self.is_after_colon = true;
                match self.field.get(..usize::from(self.length)) {
                    Some(b"data") => {
                        self.line = SseLine::Data;
                        if core::mem::replace(&mut self.has_data, true) {
                            return Some(SsePart::Data(b"\n"));
                        }
                    }
                    Some(b"event") => {
                        self.line = SseLine::Name;
                        self.has_name = true;
                    }
                    // llama.cpp reports an error in a field of its own.
                    Some(b"error") if !self.has_data => {
                        self.line = SseLine::Data;
                        (self.has_data, self.has_name) = (true, true);
                        return Some(SsePart::Name(b"error"));
                    }
                    _ => self.line = SseLine::Ignored,
                }
            }
            _ => {
                if let Some(slot) = self.field.get_mut(usize::from(self.length)) {
                    *slot = byte;
                }
                self.length = self.length.saturating_add(1);
            }
        }
        None
    }

    /// Starts the next line. `end` is the first byte of the line end.
    fn line_ended(&mut self, end: u8) {
        self.line = SseLine::FieldName;
        self.length = 0;
        self.is_after_colon = false;
        self.is_after_cr = end == b'\r';
    }
}

impl Default for Sse {
    fn default() -> Self {
        Sse::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All events as (name, data), read in pieces of `size` bytes.
    fn events(stream: &[u8], size: usize) -> Vec<(String, String)> {
        let (mut sse, mut out) = (Sse::new(), Vec::new());
        let (mut name, mut data) = (Vec::new(), Vec::new());
        for mut piece in stream.chunks(size) {
            while !piece.is_empty() {
                let (part, rest) = sse.next(piece);
                piece = rest;
                match part {
                    Some(SsePart::Data(bytes)) => data.extend_from_slice(bytes),
                    Some(SsePart::Name(bytes)) => name.extend_from_slice(bytes),
                    Some(SsePart::End) => {
                        out.push((
                            String::from_utf8(std::mem::take(&mut name)).unwrap(),
                            String::from_utf8(std::mem::take(&mut data)).unwrap(),
                        ));
                    }
                    Some(SsePart::BareDocument) => {
                        data.extend_from_slice(piece);
                        piece = &[];
                    }
                    None => {}
                }
            }
        }
        if !data.is_empty() {
            out.push((String::from_utf8(name).unwrap(), String::from_utf8(data).unwrap()));
        }
        out
    }

    fn at_every_size(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        for size in 1..=stream.len() {
            assert_eq!(events(stream.as_bytes(), size), expected, "{stream:?} in pieces of {size}");
        }
    }

    #[test]
    fn line_ends_may_be_lf_cr_or_crlf() {
        for end in ["\n", "\r", "\r\n"] {
            let stream = ["event: a", "data: 1", "", "data:2", "", ""].join(end);
            at_every_size(&stream, &[("a", "1"), ("", "2")]);
        }
    }

    #[test]
    fn data_lines_are_joined_and_one_space_is_stripped() {
        at_every_size("data: 1\ndata:  2\ndata:\n\n", &[("", "1\n 2\n")]);
    }

    #[test]
    fn comments_unknown_fields_and_a_byte_order_mark_are_ignored() {
        at_every_size("\u{feff}data: 1\n: keep-alive\nid: 7\nretry:9\ndatabase: x\n\n: only\n\n", &[("", "1")]);
    }

    #[test]
    fn the_blank_line_after_the_last_event_is_optional() {
        at_every_size("data: 1\n\ndata: 2", &[("", "1"), ("", "2")]);
    }
}
