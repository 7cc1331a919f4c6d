//! Removes the usage from a response whose request was changed by [`super::request_usage`].

use memchr::memchr2;

use super::members::{find_value, parse_members};
use crate::budget::Share;

/// Longest line of a response that may be changed, in bytes. A longer line passes unchanged.
const MAX_LINE: usize = 64 << 10;
/// Memory that is reserved at once for the held line, in bytes.
const STEP: usize = 4 << 10;
/// A line with this many blanks before its value is passed on unchanged.
const MAX_BLANKS: usize = 16;

/// What happens to the current line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LineState {
    /// No byte of the line has arrived.
    Start,
    /// The line is held until it is complete, because it may have to change.
    Held,
    /// The line passes unchanged.
    Passed,
}

/// Removes the usage from the events of a response to a client that did not request it.
#[derive(Debug)]
pub struct UsageStripper {
    state: LineState,
    /// Bytes of the current line.
    held: Vec<u8>,
    /// True if a line of the current event was passed on.
    is_in_event: bool,
    /// True if the blank line after the current event must be removed, because all its lines were.
    removes_blank: bool,
    /// If the last byte was a carriage return: whether it was passed on. A line feed after it belongs to the same line
    /// end.
    after_cr: Option<bool>,
    /// What the held line has of the budget. Without a budget its memory is not counted.
    share: Option<Share>,
}

impl Default for UsageStripper {
    fn default() -> Self {
        UsageStripper {
            state: LineState::Start,
            held: Vec::new(),
            is_in_event: false,
            removes_blank: false,
            after_cr: None,
            share: None,
        }
    }
}

impl UsageStripper {
    /// The stripper at the start of a response. The line that it holds reserves memory in `share`.
    pub fn new(share: Option<Share>) -> Self {
        UsageStripper { share, ..UsageStripper::default() }
    }

    /// Reads the next bytes of the response. Returns the bytes to pass on to the client. `is_end` is true if no bytes
    /// follow.
    pub fn feed(&mut self, mut bytes: &[u8], is_end: bool) -> Vec<u8> {
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
            if self.state == LineState::Start && !matches!(first, b'\n' | b'\r') {
                self.removes_blank = false;
                self.state = LineState::Held;
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
            out.append(&mut self.held);
        }
        out
    }

    /// Bytes that were read and neither passed on nor removed yet.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads bytes of a line, without its line end.
    fn read_line(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.state == LineState::Held {
            let fits = self.has_memory(self.held.len().saturating_add(piece.len()));
            if fits {
                self.held.extend_from_slice(piece);
            }
            if !fits || !may_be_chunk(&self.held) {
                self.state = LineState::Passed;
                out.append(&mut self.held);
            }
            if !fits {
                out.extend_from_slice(piece);
            }
        } else {
            out.extend_from_slice(piece);
        }
    }

    /// Reserves memory for a held line of this length. Returns false if the line must pass unchanged.
    fn has_memory(&mut self, length: usize) -> bool {
        // The list may have twice the room that it needs.
        let bytes = (2 * length).next_multiple_of(STEP);
        length <= MAX_LINE && self.share.as_mut().is_none_or(|share| bytes <= share.bytes() || share.resize(bytes))
    }

    /// Ends a line. Returns true if the line end must be passed on.
    fn line_ended(&mut self, out: &mut Vec<u8>) -> bool {
        let state = core::mem::replace(&mut self.state, LineState::Start);
        if state == LineState::Start {
            // A blank line: the end of the event.
            self.is_in_event = false;
            return !core::mem::take(&mut self.removes_blank);
        }
        let line = core::mem::take(&mut self.held);
        match without_usage(&line) {
            Some(kept) if state == LineState::Held => {
                out.extend_from_slice(&kept);
                if kept.is_empty() {
                    self.removes_blank = !self.is_in_event;
                    return false;
                }
            }
            _ => out.extend_from_slice(&line),
        }
        self.is_in_event = true;
        true
    }
}

/// Returns true if a line that begins with these bytes may be a chunk. Reads at most [`MAX_BLANKS`] bytes, because it is called
/// for a held line with each piece of it.
fn may_be_chunk(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"data:") else { return b"data:".starts_with(line) };
    let begin = value.get(..MAX_BLANKS).unwrap_or(value).trim_ascii_start();
    if begin.is_empty() { value.len() < MAX_BLANKS } else { begin.first() == Some(&b'{') }
}

/// Returns the line as it would be without the request for usage: nothing if the chunk has only usage, or the chunk
/// without its `"usage":null`. Returns None if the line needs no change.
fn without_usage(line: &[u8]) -> Option<Vec<u8>> {
    let json = line.strip_prefix(b"data:")?;
    let offset = line.len() - json.len();
    let members = parse_members(json)?;
    let usage = find_value(&members, json, b"usage").ok()??;
    let at = members.iter().position(|member| member.has_key(json, b"usage"))?;
    if usage == b"null" {
        let cut = match (at.checked_sub(1).and_then(|before| members.get(before)), members.get(at + 1)) {
            (Some(before), _) => before.value.end..members.get(at)?.value.end,
            (None, Some(after)) => members.get(at)?.start..after.start,
            (None, None) => return None,
        };
        return Some([line.get(..offset + cut.start)?, line.get(offset + cut.end..)?].concat());
    }
    let choices = find_value(&members, json, b"choices").ok()??;
    let has_no_choices = choices
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .is_some_and(|rest| rest.trim_ascii().is_empty());
    (has_no_choices && usage.starts_with(b"{")).then(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = concat!(
        ": hello\n\n",
        "data: {\"id\":1,\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[], \"usage\": null, \"x\":{\"usage\":null}}\r\n\r\n",
        "data: {\"usage\":null,\"choices\":[]}\r\r",
        "event: ping\ndata: {\"usage\":{\"prompt_tokens\":1},\"choices\":[ ]}\n\n",
        "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n",
        "data: [DONE]\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt",
    );

    const STRIPPED: &str = concat!(
        ": hello\n\n",
        "data: {\"id\":1,\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[], \"x\":{\"usage\":null}}\r\n\r\n",
        "data: {\"choices\":[]}\r\r",
        "event: ping\n\n",
        "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt",
    );

    #[test]
    fn the_added_usage_is_removed_at_any_cut() {
        let bytes = RESPONSE.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let mut strip = UsageStripper::default();
            let out = [strip.feed(head, false), strip.feed(tail, true)].concat();
            assert_eq!(String::from_utf8(out).unwrap(), STRIPPED, "cut at {cut}");
        }
        let mut strip = UsageStripper::default();
        let mut out: Vec<u8> = bytes.iter().flat_map(|byte| strip.feed(&[*byte], false)).collect();
        out.extend(strip.feed(b"", true));
        assert_eq!(String::from_utf8(out).unwrap(), STRIPPED);
    }

    #[test]
    fn lines_that_are_not_chunks_are_passed_on_at_once() {
        let mut strip = UsageStripper::default();
        for piece in ["data: [DO", "NE]", "\n", "\nevent: x", "\r", "id", "\n\n"] {
            assert_eq!(strip.feed(piece.as_bytes(), false), piece.as_bytes());
        }
        let long = format!("data: {{\"a\":\"{}", "x".repeat(MAX_LINE));
        assert_eq!(strip.feed(long.as_bytes(), false), long.as_bytes());
    }

    #[test]
    fn a_line_of_blanks_is_not_held() {
        let mut strip = UsageStripper::default();
        let line = format!("data:{}", " ".repeat(1000));
        let out: Vec<u8> = line.bytes().flat_map(|byte| strip.feed(&[byte], false)).collect();
        assert_eq!((out, strip.held().len()), (line.into_bytes(), 0));
        assert!(may_be_chunk(b"data:              {"));
    }

    #[test]
    fn without_memory_a_long_line_passes_unchanged_and_the_rest_is_still_stripped() {
        let budget = std::rc::Rc::new(crate::budget::Budget::new(64 << 10));
        let mut strip = UsageStripper::new(Some(Share::of_state(&budget, 0)));
        let long = format!("data: {{\"a\":\"{}\"}}\n\n", "x".repeat(40 << 10));
        let out: Vec<u8> = long.as_bytes().chunks(100).flat_map(|piece| strip.feed(piece, false)).collect();
        assert_eq!(out, long.as_bytes());
        assert!(budget.reserved() > 0 && budget.reserved() <= 40 << 10);
        assert_eq!(strip.feed(RESPONSE.as_bytes(), true), STRIPPED.as_bytes());
        drop(strip);
        assert_eq!(budget.reserved(), 0);
    }
}
