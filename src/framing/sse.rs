//! Server-sent events: cuts the stream into the parts of events without holding any of it.
//!
//! Bound: a few bytes of state. Spec: WHATWG HTML, "Server-sent events" (line ends LF, CR or CRLF, an optional BOM, comments,
//! several data lines joined by a line feed), and the JSON some servers put on a line of its own after the events.

use memchr::memchr2;

/// A part of the stream, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// Bytes of the event's data.
    Data(&'a [u8]),
    /// Bytes of the event's name.
    Name(&'a [u8]),
    /// The event is over.
    End,
    /// A line begins with `{`: no field, but JSON that was sent without one.
    Bare,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// In a field's name.
    Field,
    Data,
    Name,
    Ignored,
}

/// Where the stream stands.
pub struct Sse {
    line: Line,
    /// The field's name so far; names longer than the ones known are not kept.
    field: [u8; 5],
    length: u8,
    /// One space after the colon does not belong to the value.
    strip: bool,
    after_cr: bool,
    /// The event has data, or only a name.
    has_data: bool,
    has_name: bool,
    /// Bytes of a byte order mark still possible at the start of the stream.
    bom: &'static [u8],
}

impl Sse {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Sse {
            line: Line::Field,
            field: [0; 5],
            length: 0,
            strip: false,
            after_cr: false,
            has_data: false,
            has_name: false,
            bom: b"\xef\xbb\xbf",
        }
    }

    /// Reads the next part of `bytes` and returns it with what follows; None where there is no part in them.
    /// After [`Part::Bare`] the caller takes the JSON document from what follows and comes back with the rest.
    pub fn next<'b>(&mut self, mut bytes: &'b [u8]) -> (Option<Part<'b>>, &'b [u8]) {
        while let Some((&byte, tail)) = bytes.split_first() {
            if self.after_cr {
                self.after_cr = false;
                if byte == b'\n' {
                    bytes = tail;
                    continue;
                }
            }
            let part = match self.line {
                Line::Field if byte == b'{' && self.length == 0 => return (Some(Part::Bare), bytes),
                Line::Field => match self.usual(bytes) {
                    Some((part, rest)) => {
                        bytes = rest;
                        part
                    }
                    None => {
                        bytes = tail;
                        self.field(byte)
                    }
                },
                Line::Data | Line::Name | Line::Ignored => {
                    if self.strip {
                        self.strip = false;
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
                        Line::Data => Some(Part::Data(value)),
                        Line::Name => Some(Part::Name(value)),
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

    /// Takes the fields nearly all lines have, where they come whole.
    fn usual<'b>(&mut self, bytes: &'b [u8]) -> Option<(Option<Part<'static>>, &'b [u8])> {
        if self.length > 0 || !self.bom.is_empty() {
            return None;
        }
        if let Some(rest) = bytes.strip_prefix(b"data: ") {
            self.line = Line::Data;
            let more = core::mem::replace(&mut self.has_data, true);
            return Some((more.then_some(Part::Data(b"\n")), rest));
        }
        let rest = bytes.strip_prefix(b"event: ")?;
        self.line = Line::Name;
        self.has_name = true;
        Some((None, rest))
    }

    fn field(&mut self, byte: u8) -> Option<Part<'static>> {
        if let Some((first, rest)) = self.bom.split_first() {
            self.bom = if byte == *first { rest } else { &[] };
            if byte == *first {
                return None;
            }
        }
        match byte {
            b'\n' | b'\r' => {
                let blank = self.length == 0;
                self.line_ended(byte);
                if blank && (self.has_data || self.has_name) {
                    self.has_data = false;
                    self.has_name = false;
                    return Some(Part::End);
                }
            }
            b':' => {
                self.strip = true;
                match self.field.get(..usize::from(self.length)) {
                    Some(b"data") => {
                        self.line = Line::Data;
                        if core::mem::replace(&mut self.has_data, true) {
                            return Some(Part::Data(b"\n"));
                        }
                    }
                    Some(b"event") => {
                        self.line = Line::Name;
                        self.has_name = true;
                    }
                    _ => self.line = Line::Ignored,
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

    fn line_ended(&mut self, end: u8) {
        self.line = Line::Field;
        self.length = 0;
        self.strip = false;
        self.after_cr = end == b'\r';
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

    /// Every event as (name, data), whole, read in pieces of `size` bytes.
    fn events(stream: &[u8], size: usize) -> Vec<(String, String)> {
        let (mut sse, mut out) = (Sse::new(), Vec::new());
        let (mut name, mut data) = (Vec::new(), Vec::new());
        for mut piece in stream.chunks(size) {
            while !piece.is_empty() {
                let (part, rest) = sse.next(piece);
                piece = rest;
                match part {
                    Some(Part::Data(bytes)) => data.extend_from_slice(bytes),
                    Some(Part::Name(bytes)) => name.extend_from_slice(bytes),
                    Some(Part::End) => {
                        out.push((
                            String::from_utf8(std::mem::take(&mut name)).unwrap(),
                            String::from_utf8(std::mem::take(&mut data)).unwrap(),
                        ));
                    }
                    Some(Part::Bare) => {
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
    fn comments_unknown_fields_and_a_byte_order_mark_say_nothing() {
        at_every_size("\u{feff}data: 1\n: keep-alive\nid: 7\nretry:9\ndatabase: x\n\n: only\n\n", &[("", "1")]);
    }

    #[test]
    fn the_last_event_may_lack_its_blank_line() {
        at_every_size("data: 1\n\ndata: 2", &[("", "1"), ("", "2")]);
    }
}
