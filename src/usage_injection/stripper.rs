//! Removes the usage from a response whose request was changed by [`super::request_usage`].
//!
//! From the callback of the response's trailers, a host gives no access to the body. So the stripper holds back as little as
//! possible: what it still holds at the trailers is lost. It holds
//!
//! - the first bytes of a member that may be `"usage":null`, until they differ from that or the value ends;
//! - an event that may be the chunk with the usage, until its `choices` have an element or the JSON object ends. Such an event
//!   comes after a finish reason only. So an earlier event is never held as a whole.
//!
//! The bytes that trailers can find held are thus the added chunk or an unfinished JSON object, which no client can read.

mod object;

use memchr::memchr2;

use object::{ChunkKind, ObjectScan};

/// The name of the field whose value is a chunk, with its colon.
const DATA: &[u8] = b"data:";

/// The kind of the current line, as far as its bytes have arrived.
#[derive(Debug)]
enum LineState {
    /// No byte of the line has arrived.
    Start,
    /// The line begins with this number of bytes of [`DATA`].
    Name(usize),
    /// The line is a data field. Its value is blank so far.
    Blank,
    /// The line is a data field with a JSON object.
    Object(ObjectScan),
    /// The rest of the line passes unchanged.
    Passed,
}

/// Removes the usage from the events of a response to a client that did not request it.
#[derive(Debug)]
pub struct UsageStripper {
    state: LineState,
    /// The bytes of the current line that were not passed on.
    held: Vec<u8>,
    /// Largest size of `held` between two calls, in bytes. A line that needs more passes unchanged.
    max_held: usize,
    /// True if the current line is held until it is known not to be the chunk with the usage.
    holds_line: bool,
    /// True if a line of the current event was passed on.
    is_in_event: bool,
    /// True if the blank line after the current event must be removed, because all its lines were.
    removes_blank: bool,
    /// If the last byte was a carriage return: true if it was passed on. A line feed after it belongs to the same line end.
    after_cr: Option<bool>,
}

impl UsageStripper {
    /// Creates a stripper that holds back at most `max_held` bytes.
    pub fn new(max_held: usize) -> Self {
        UsageStripper {
            state: LineState::Start,
            held: Vec::new(),
            max_held,
            holds_line: false,
            is_in_event: false,
            removes_blank: false,
            after_cr: None,
        }
    }

    /// Reads the next bytes of the response. Returns the bytes to pass on to the client. `is_finishing` is true if the
    /// response has had a finish reason, in these bytes or before. `is_end` is true if no bytes follow.
    pub fn feed(&mut self, mut bytes: &[u8], is_finishing: bool, is_end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len() + bytes.len());
        while let Some((&first, tail)) = bytes.split_first() {
            if let Some(passed) = self.after_cr.take()
                && first == b'\n'
            {
                if passed {
                    out.push(first);
                }
                bytes = tail;
                continue;
            }
            if matches!(self.state, LineState::Start) && !matches!(first, b'\n' | b'\r') {
                self.removes_blank = false;
                self.holds_line = is_finishing;
                self.state = LineState::Name(0);
            }
            let size = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
            let (line, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
            bytes = rest;
            self.read_line(line, &mut out);
            if let Some((&end, tail)) = rest.split_first() {
                bytes = tail;
                let passed = self.line_ended(&mut out);
                if passed {
                    out.push(end);
                }
                self.after_cr = (end == b'\r').then_some(passed);
            }
        }
        if is_end {
            if self.is_usage_chunk() {
                self.held.clear();
            }
            out.append(&mut self.held);
        }
        out
    }

    /// Bytes that were read and neither passed on nor removed yet.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads bytes of a line, without its line end.
    fn read_line(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, tail)) = piece.split_first() {
            match &mut self.state {
                LineState::Name(length) if DATA.get(*length) == Some(&byte) => {
                    *length += 1;
                    if *length == DATA.len() {
                        self.state = LineState::Blank;
                    }
                }
                LineState::Blank if matches!(byte, b' ' | b'\t') => {}
                LineState::Blank if byte == b'{' => self.state = LineState::Object(ObjectScan::default()),
                LineState::Object(scan) => {
                    let begin = self.held.len();
                    self.held.extend_from_slice(piece);
                    let is_object = scan.read(&mut self.held, begin);
                    if !is_object || scan.kind() == ChunkKind::Other {
                        self.holds_line = false;
                    }
                    let kept_from = if self.holds_line { 0 } else { scan.undecided().unwrap_or(self.held.len()) };
                    if !is_object || self.held.len() - kept_from > self.max_held {
                        return self.pass_line(out);
                    }
                    if let LineState::Object(scan) = &mut self.state {
                        scan.passed(kept_from);
                    }
                    out.extend(self.held.drain(..kept_from));
                    return;
                }
                _ => {
                    self.pass_line(out);
                    return out.extend_from_slice(piece);
                }
            }
            if self.holds_line { &mut self.held } else { &mut *out }.push(byte);
            if self.held.len() > self.max_held {
                self.pass_line(out);
                return out.extend_from_slice(tail);
            }
            piece = tail;
        }
    }

    /// Passes on what is held of the current line, and the rest of the line when it arrives.
    fn pass_line(&mut self, out: &mut Vec<u8>) {
        self.state = LineState::Passed;
        self.holds_line = false;
        out.append(&mut self.held);
    }

    /// Returns true if the current line is whole and is the chunk that a request for usage adds.
    fn is_usage_chunk(&self) -> bool {
        self.holds_line && matches!(&self.state, LineState::Object(scan) if scan.kind() == ChunkKind::Usage)
    }

    /// Ends a line. Returns true if the line end must be passed on.
    fn line_ended(&mut self, out: &mut Vec<u8>) -> bool {
        if matches!(self.state, LineState::Start) {
            // A blank line: the end of the event.
            self.is_in_event = false;
            return !core::mem::take(&mut self.removes_blank);
        }
        let is_removed = self.is_usage_chunk();
        self.state = LineState::Start;
        if is_removed {
            self.held.clear();
            self.removes_blank = !self.is_in_event;
        } else {
            out.append(&mut self.held);
            self.is_in_event = true;
        }
        !is_removed
    }
}

#[cfg(test)]
mod tests;
