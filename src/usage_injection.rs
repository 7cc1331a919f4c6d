//! Asks a stream for its usage where the client did not, and takes out of the answer what was added because of it.
//!
//! OpenAI's chat completions, asked with `stream_options.include_usage`, add `"usage":null` to every chunk and a last chunk with
//! the usage and no choices. Bound: the request's body, which the shell limits, and of the answer one line of at most [`LINE`].

use core::ops::Range;

use memchr::memchr2;

/// Longest line of an answer looked at; a longer one passes as it is.
const LINE: usize = 64 << 10;
/// A line with so many blanks before its value passes as it is.
const BLANKS: usize = 16;

/// The request with its usage asked for; None where the client asked itself, or said that it does not want it, or asks for no
/// stream, or the body is not JSON of a form that leaves no doubt.
pub fn ask(body: &[u8]) -> Option<Vec<u8>> {
    let members = members(body)?;
    if value(&members, body, b"stream").ok()? != Some(b"true") {
        return None;
    }
    let (at, added): (usize, &[u8]) = match value(&members, body, b"stream_options").ok()? {
        None => {
            let first = members.first()?;
            (first.start, br#""stream_options":{"include_usage":true},"#)
        }
        Some(options) => {
            let inner = self::members(options)?;
            if value(&inner, options, b"include_usage").ok()?.is_some() {
                return None;
            }
            let place = members.iter().find(|member| body.get(member.key.clone()) == Some(b"stream_options"))?;
            let added: &[u8] = if inner.is_empty() { br#""include_usage":true"# } else { br#""include_usage":true,"# };
            (place.value.start + 1, added)
        }
    };
    let (head, tail) = body.split_at_checked(at)?;
    Some([head, added, tail].concat())
}

/// A member of an object, as places in its text.
struct Member {
    /// Its key's quote.
    start: usize,
    key: Range<usize>,
    value: Range<usize>,
}

/// The value of the one member with this key. An error where there are several, or where any key is spelt with escapes.
fn value<'b>(members: &[Member], json: &'b [u8], key: &[u8]) -> Result<Option<&'b [u8]>, ()> {
    let mut found = None;
    for member in members {
        let name = json.get(member.key.clone()).ok_or(())?;
        if name.contains(&b'\\') || name == key && found.is_some() {
            return Err(());
        }
        if name == key {
            found = json.get(member.value.clone());
        }
    }
    Ok(found)
}

/// The members of the object that is all of `json`; what is inside their values is only passed over.
fn members(json: &[u8]) -> Option<Vec<Member>> {
    let mut at = token(json, 0, b'{')?;
    let mut members = Vec::new();
    if let Some(end) = token(json, at, b'}') {
        return (blanks(json, end) == json.len()).then_some(members);
    }
    loop {
        let key = token(json, at, b'"')?;
        let key = key..text_end(json, key)?;
        let start = blanks(json, token(json, key.end + 1, b':')?);
        let value = start..value_end(json, start)?;
        at = value.end;
        members.push(Member { start: key.start - 1, key, value });
        match token(json, at, b',') {
            Some(next) => at = next,
            None => return (blanks(json, token(json, at, b'}')?) == json.len()).then_some(members),
        }
    }
}

fn blanks(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Behind a byte, which may stand behind blanks.
fn token(json: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = blanks(json, at);
    (json.get(at) == Some(&byte)).then_some(at + 1)
}

/// The quote that ends the string whose first byte is at `at`.
fn text_end(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Behind the value that begins at `at`.
fn value_end(json: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_u32);
    loop {
        match json.get(at)? {
            b'"' => {
                at = text_end(json, at + 1)? + 1;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' if depth <= 1 => return Some(if depth == 1 { at + 1 } else { at }).filter(|end| *end > start),
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at).filter(|end| *end > start),
            _ => {}
        }
        at += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Start,
    /// In a line that is held, because it may have to change.
    Held,
    Passed,
}

/// An answer's events on their way to a client that did not ask for usage.
#[derive(Debug)]
pub struct Strip {
    state: State,
    held: Vec<u8>,
    /// The event has a line that went on.
    in_event: bool,
    /// The blank line behind a line that was taken out goes as well.
    drop_blank: bool,
    /// The last byte was a carriage return, and whether it went on: a line feed behind it belongs to it.
    carriage: Option<bool>,
}

impl Default for Strip {
    fn default() -> Self {
        Strip { state: State::Start, held: Vec::new(), in_event: false, drop_blank: false, carriage: None }
    }
}

impl Strip {
    /// What goes on to the client of these bytes and of those held before. `end`: nothing follows.
    pub fn feed(&mut self, mut bytes: &[u8], end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len() + bytes.len());
        while let Some((&first, tail)) = bytes.split_first() {
            if let Some(passed) = self.carriage.take()
                && first == b'\n'
            {
                if passed {
                    out.push(first);
                }
                bytes = tail;
                continue;
            }
            if self.state == State::Start && !matches!(first, b'\n' | b'\r') {
                self.drop_blank = false;
                self.state = State::Held;
            }
            let size = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
            let (line, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
            bytes = rest;
            self.line(line, &mut out);
            if let Some((&end, tail)) = rest.split_first() {
                bytes = tail;
                let passed = self.line_ended(&mut out);
                if passed {
                    out.push(end);
                }
                self.carriage = (end == b'\r').then_some(passed);
            }
        }
        if end {
            out.append(&mut self.held);
        }
        out
    }

    /// What came and has not gone on.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    fn line(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.state == State::Held {
            self.held.extend_from_slice(piece);
            if !may_be_chunk(&self.held) || self.held.len() > LINE {
                self.state = State::Passed;
                out.append(&mut self.held);
            }
        } else {
            out.extend_from_slice(piece);
        }
    }

    /// Returns whether the line's end goes on.
    fn line_ended(&mut self, out: &mut Vec<u8>) -> bool {
        let state = core::mem::replace(&mut self.state, State::Start);
        if state == State::Start {
            // A blank line.
            self.in_event = false;
            return !core::mem::take(&mut self.drop_blank);
        }
        let line = core::mem::take(&mut self.held);
        match without_usage(&line) {
            Some(kept) if state == State::Held => {
                out.extend_from_slice(&kept);
                if kept.is_empty() {
                    self.drop_blank = !self.in_event;
                    return false;
                }
            }
            _ => out.extend_from_slice(&line),
        }
        self.in_event = true;
        true
    }
}

/// Whether a line that begins so may be a chunk. Looks at a bounded number of bytes, because it is asked of a held line with
/// each part of it.
fn may_be_chunk(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"data:") else { return b"data:".starts_with(line) };
    let begin = value.get(..BLANKS).unwrap_or(value).trim_ascii_start();
    if begin.is_empty() { value.len() < BLANKS } else { begin.first() == Some(&b'{') }
}

/// The line as it would have been: nothing of a chunk that only has usage, and others without a usage of null.
fn without_usage(line: &[u8]) -> Option<Vec<u8>> {
    let json = line.strip_prefix(b"data:")?;
    let offset = line.len() - json.len();
    let members = members(json)?;
    let usage = value(&members, json, b"usage").ok()??;
    let place = members.iter().position(|member| json.get(member.key.clone()) == Some(b"usage"))?;
    if usage == b"null" {
        let cut = match (place.checked_sub(1).and_then(|before| members.get(before)), members.get(place + 1)) {
            (Some(before), _) => before.value.end..members.get(place)?.value.end,
            (None, Some(after)) => members.get(place)?.start..after.start,
            (None, None) => return None,
        };
        return Some([line.get(..offset + cut.start)?, line.get(offset + cut.end..)?].concat());
    }
    let choices = value(&members, json, b"choices").ok()??;
    let none = choices
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .is_some_and(|rest| rest.trim_ascii().is_empty());
    (none && usage.starts_with(b"{")).then(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Option<String> {
        ask(body.as_bytes()).map(|asked| String::from_utf8(asked).unwrap())
    }

    #[test]
    fn usage_is_asked_for_where_nothing_was_said() {
        for (body, expected) in [
            (r#"{"stream":true}"#, r#"{"stream_options":{"include_usage":true},"stream":true}"#),
            (
                r#" { "model" : "a\"b{", "stream" : true }"#,
                r#" { "stream_options":{"include_usage":true},"model" : "a\"b{", "stream" : true }"#,
            ),
            (r#"{"stream":true,"stream_options":{}}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (
                r#"{"stream_options":{"include_obfuscation":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}"#,
            ),
        ] {
            assert_eq!(asked(body).as_deref(), Some(expected));
            let read: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(read["stream_options"]["include_usage"], true);
        }
    }

    #[test]
    fn what_leaves_a_doubt_is_left_alone() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"stream":false}"#,
            r#"{"stream":"true"}"#,
            r#"{"messages":[{"stream":true}]}"#,
            r#"{"stream":true,"stream":true}"#,
            r#"{"stream":true,"stream_options":null}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_\u006fptions":{"include_usage":false}}"#,
            r#"{"stream":true"#,
            r#"{"stream":true}}"#,
            r#"{"stream":true} {"#,
            r#"{"stream":true,}"#,
            r#"{"stream":true,"a":}"#,
            r#"{"stream":true,"a":"b}"#,
            "\u{feff}{\"stream\":true}",
        ] {
            assert_eq!(asked(body), None, "{body}");
        }
    }

    const ANSWER: &str = concat!(
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

    const UNASKED: &str = concat!(
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
    fn what_was_added_is_taken_out_wherever_the_answer_is_cut() {
        let bytes = ANSWER.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let mut strip = Strip::default();
            let out = [strip.feed(head, false), strip.feed(tail, true)].concat();
            assert_eq!(String::from_utf8(out).unwrap(), UNASKED, "cut at {cut}");
        }
        let mut strip = Strip::default();
        let mut out: Vec<u8> = bytes.iter().flat_map(|byte| strip.feed(&[*byte], false)).collect();
        out.extend(strip.feed(b"", true));
        assert_eq!(String::from_utf8(out).unwrap(), UNASKED);
    }

    #[test]
    fn lines_that_are_not_chunks_wait_for_nothing() {
        let mut strip = Strip::default();
        for piece in ["data: [DO", "NE]", "\n", "\nevent: x", "\r", "id", "\n\n"] {
            assert_eq!(strip.feed(piece.as_bytes(), false), piece.as_bytes());
        }
        let long = format!("data: {{\"a\":\"{}", "x".repeat(LINE));
        assert_eq!(strip.feed(long.as_bytes(), false), long.as_bytes());
    }

    #[test]
    fn a_line_of_blanks_is_not_held_and_so_not_read_again_with_each_part() {
        let mut strip = Strip::default();
        let line = format!("data:{}", " ".repeat(1000));
        let out: Vec<u8> = line.bytes().flat_map(|byte| strip.feed(&[byte], false)).collect();
        assert_eq!((out, strip.held().len()), (line.into_bytes(), 0));
        assert!(may_be_chunk(b"data:              {"));
    }
}
