//! The texts of tool results that report a failure.
//!
//! Sources: the texts of OpenAI's Agents SDK, LangChain and LangGraph, Claude Code, Codex, and the results of the Model Context
//! Protocol as JSON. An exit code is no failure: commands such as `grep` and `test` use it for answers.
//!
//! Bound: the first [`HEAD`] and the last [`TAIL`] bytes of a text.

use crate::json::Unescape;

/// Number of bytes that are kept of the begin, without white space and quotes.
const HEAD: usize = 64;
/// Number of bytes that are kept of the end.
const TAIL: usize = 16;
/// Number of bytes of a long text among which the kept bytes of the end usually are.
const END: usize = 256;
/// Maximum length of an escape of JSON in bytes: two code units of UTF-16.
const ESCAPE: usize = 12;

/// Begins of results that report a failure, in lower case.
const BEGINS: [&[u8]; 5] =
    [b"traceback (", b"an error occurred", b"<tool_use_error>", b"script failed", b"unsupported call:"];

/// Words after `error` or `exception` with which a text reports a failure. Others are part of a term: `error rate`.
const AFTER_ERROR: [&[u8]; 9] = [b"in", b"on", b"at", b"from", b"with", b"while", b"when", b"during", b"code"];

/// Begin and end of a result's text, as far as it has been read.
#[derive(Default)]
pub(super) struct TextEnds {
    head: Head,
    tail: [u8; TAIL],
    /// Number of bytes in `tail`.
    tail_length: usize,
}

/// The first bytes without quotes, and with one blank in place of white space.
struct Head {
    bytes: [u8; HEAD],
    length: usize,
}

impl Default for Head {
    fn default() -> Self {
        Head { bytes: [0; HEAD], length: 0 }
    }
}

impl Head {
    fn is_full(&self) -> bool {
        self.length == HEAD
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            let byte = if byte.is_ascii_whitespace() { b' ' } else { *byte };
            if is_quote(byte) || byte == b' ' && matches!(self.bytes().last(), None | Some(b' ')) {
                continue;
            }
            let Some(slot) = self.bytes.get_mut(self.length) else { return };
            *slot = byte;
            self.length += 1;
        }
    }
}

/// Quotes of JSON, also in JSON that is inside a string of JSON.
const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

impl TextEnds {
    /// Adds a piece of the text.
    pub fn push(&mut self, piece: &[u8]) {
        self.head.push(piece);
        let mut last = [0; TAIL];
        let kept = piece.iter().rev().filter(|byte| !byte.is_ascii_whitespace() && !is_quote(**byte));
        let count = last.iter_mut().rev().zip(kept).map(|(slot, byte)| *slot = *byte).count();
        self.tail.rotate_left(count);
        for (slot, byte) in self.tail.iter_mut().zip(last).skip(TAIL - count) {
            *slot = byte;
        }
        self.tail_length = TAIL.min(self.tail_length + count);
    }

    /// Adds a whole text, as an escaped JSON string up to its closing quote. Reads the begin and the end of a long one.
    pub fn push_escaped(&mut self, text: &[u8]) {
        let mut escape = Unescape::default();
        let mut rest = text;
        while !rest.is_empty() && !(self.head.is_full() && rest.len() > 2 * END) {
            let (block, after) = rest.split_at(HEAD.min(rest.len()));
            escape.feed(block, |piece| self.push(piece));
            rest = after;
        }
        if rest.is_empty() {
            return;
        }
        // A place that is in no escape.
        let from = rest.len().saturating_sub(END);
        let place = (from.saturating_sub(END)..from).rev().find(|at| {
            let before = at.checked_sub(ESCAPE).and_then(|first| rest.get(first..*at));
            before.is_some_and(|before| !before.contains(&b'\\'))
        });
        if let Some(end) = place.and_then(|at| rest.get(at..)) {
            self.tail_length = 0;
            Unescape::default().feed(end, |piece| self.push(piece));
            if self.tail_length == TAIL {
                return;
            }
        }
        escape.feed(rest, |piece| self.push(piece));
    }

    /// Returns true if the text reports a failure.
    pub fn report_failure(&self) -> bool {
        let head = self.head.bytes();
        BEGINS.iter().any(|begin| stripped(head, begin).is_some())
            || [&b"error"[..], b"exception"].iter().any(|word| stripped(head, word).is_some_and(follows_error))
            || is_exception(head)
            || is_error_object(head)
            || [&b",isError:true}"[..], b",is_error:true}"].iter().any(|end| self.tail.ends_with(end))
    }
}

/// `text` without the prefix, which is in lower case. None if it has another one.
fn stripped<'t>(text: &'t [u8], prefix: &[u8]) -> Option<&'t [u8]> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns true if this continues the word `error` or `exception` to the report of a failure.
fn follows_error(rest: &[u8]) -> bool {
    match rest.trim_ascii_end() {
        [b':', value @ ..] => is_something(value),
        [b' ', after @ ..] => {
            let end = after.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(after.len());
            let word = after.get(..end).unwrap_or_default();
            let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
            AFTER_ERROR.iter().any(|known| is(known))
                || word.first().is_some_and(u8::is_ascii_digit)
                || word.ends_with(b"ing") && !is(b"handling") && !is(b"logging") && !is(b"reporting")
        }
        [next, ..] => matches!(next, b'(' | b'[' | b'!' | b'.' | b','),
        [] => true,
    }
}

/// Returns true if this is a word such as `ValueError` or `tools.ToolException`, and a colon or a parenthesis.
fn is_exception(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'_'));
    let Some((name, rest)) = end.and_then(|end| text.split_at_checked(end)) else { return false };
    let continues = match rest {
        [b':', message @ ..] => is_something(message),
        _ => rest.starts_with(b"("),
    };
    continues
        && name.first().is_some_and(u8::is_ascii_alphabetic)
        && (name.ends_with(b"Error") || name.ends_with(b"Exception"))
}

/// Returns true if this is an object of JSON whose first member is an error, or says that there is one.
fn is_error_object(text: &[u8]) -> bool {
    let Some(members) = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    let value = |key: &[u8]| stripped(members, key)?.trim_ascii_start().strip_prefix(b":");
    let is_true = |value: &[u8]| value.trim_ascii_start().starts_with(b"true");
    value(b"error").is_some_and(is_something)
        || [&b"iserror"[..], b"is_error"].into_iter().filter_map(value).any(is_true)
}

/// Returns false if the value is one with which programs say that there is no error.
fn is_something(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let ends = |rest: &[u8]| matches!(rest.first(), None | Some(b' ' | b',' | b'}' | b'.'));
    let is = |nothing: &[u8]| stripped(value, nothing).is_some_and(ends);
    let is_empty = matches!(value.first(), Some(b',' | b'}'));
    !is_empty && ![&b"null"[..], b"none", b"false", b"0", b"[]"].into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the text is read the same in any pieces, and as an escaped string. Returns whether it reports a failure.
    fn fails(text: &str) -> bool {
        let mut whole = TextEnds::default();
        whole.push(text.as_bytes());
        for size in [1, 3, 7, 50] {
            let mut cut = TextEnds::default();
            text.as_bytes().chunks(size).for_each(|piece| cut.push(piece));
            assert_eq!((cut.head.bytes(), cut.tail), (whole.head.bytes(), whole.tail), "{text}");
        }
        let mut escaped = TextEnds::default();
        escaped.push_escaped(&serde_json::to_vec(text).unwrap()[1..]);
        assert_eq!((escaped.head.bytes(), escaped.tail), (whole.head.bytes(), whole.tail), "{text}");
        whole.report_failure()
    }

    #[test]
    fn texts_of_frameworks_that_report_a_failure() {
        let long = "x".repeat(3000);
        for text in [
            "Error: no such file",
            "error",
            "ERROR: disk full",
            "Error: ToolException('no')\n Please fix your mistakes.",
            "Error executing tool search: timeout",
            "Error invoking tool 'search' with kwargs {}",
            "Error code: 500 - {}",
            "Error 404",
            "\"Error: in JSON\"",
            "  \n Error: after blanks",
            "An error occurred while running the tool. Please try again. Error: division by zero",
            "ValueError: bad",
            "ToolException('quota')",
            "requests.exceptions.HTTPError: 404",
            "Exception in x",
            "Exception: no",
            "Traceback (most recent call last):\n",
            "<tool_use_error>File not read</tool_use_error>",
            "Script failed\nWall time 0.0 seconds\n",
            "unsupported call: shell",
            "{\"error\": \"no\"}",
            "  { \"error\" : {\"code\": 1} }",
            "{\"error\": 1}",
            "{\"error\": {}}",
            "{\"isError\":true,\"content\":[]}",
            "{\"content\":[],\"isError\":true}",
            &format!("{{\"content\":\"{long}\",\n  \"isError\": true\n}}\n"),
            &format!("{{\"content\":\"\n\u{1f600}{}\",\"isError\": true}}", "\n".repeat(2000)),
            &format!("{{\"content\":1,\"isError\": true}}{}", "\n".repeat(2000)),
        ] {
            assert!(fails(text), "{text}");
        }
    }

    #[test]
    fn texts_that_only_mention_errors() {
        for text in [
            "",
            "fine",
            "Errors: 0",
            "errors",
            "no errors found",
            "0 errors",
            "error-free",
            "Error rate: 0.1%",
            "Error handling is described in chapter 3",
            "Error: none",
            "errata",
            "Exceptional",
            "Terror: a film",
            "The ValueError: class",
            "Traceback",
            "{\"errors\": []}",
            "{\"errata\": []}",
            "{\"error\": null, \"rows\": 3}",
            "{\"error\": \"\", \"rows\": 3}",
            "{\"error\": false}",
            "{\"error\": []}",
            "{\"isError\": false, \"content\": []}",
            "{\"content\": [], \"isError\": false}",
            "set isError: true}",
            "Process exited with code 3",
            "Exit code 1\nnot found",
        ] {
            assert!(!fails(text), "{text}");
        }
    }
}
