//! Recognisers of keys and tokens, each for the pattern in its documentation.
//!
//! Each returns the leftmost match that starts at or after `from`. Each seeks a rare byte first and reads only around it.
//! Bound: no byte is read more than a constant number of times, whatever the text.

use std::ops::Range;

use super::text::{at, before, continues, is_word, run, seek_byte, seek_either, starts_word};

/// Prefixes of tokens of GitHub, GitLab, Hugging Face and Slack. The last byte of each is `_` or `-`.
const PREFIXES: [&[u8]; 13] = [
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"github_pat_",
    b"glpat-",
    b"hf_",
    b"xoxa-",
    b"xoxb-",
    b"xoxp-",
    b"xoxr-",
    b"xoxs-",
];

/// `[A-Za-z0-9_-]`
fn is_token(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

/// A private key in PEM armour, to the end of its armour if that is there:
/// `-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`
pub fn private_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"-----END ";
    let mut next = from;
    loop {
        // The G is the rarest byte of the armour.
        let anchor = seek_byte(text, next, b'G')?;
        next = anchor + 1;
        let Some(start) = anchor.checked_sub(7).filter(|start| *start >= from && continues(text, *start, BEGIN)) else {
            continue;
        };
        let Some(body) = label(text, start + BEGIN.len()) else { continue };
        let end = run(text, body, |byte| byte != b'-');
        let closed = continues(text, end, END).then(|| label(text, end + END.len())).flatten();
        return Some(start..closed.unwrap_or(end));
    }
}

/// The end of `[A-Z ]*PRIVATE KEY-----` at an offset. The class has no dash, so that it ends where the dashes start.
fn label(text: &[u8], offset: usize) -> Option<usize> {
    let end = run(text, offset, |byte| byte.is_ascii_uppercase() || byte == b' ');
    let named = text.get(offset..end).is_some_and(|label| label.ends_with(b"PRIVATE KEY"));
    (named && continues(text, end, b"-----")).then_some(end + 5)
}

/// A key of OpenAI, Anthropic or Stripe: `\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}`
pub fn secret_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_either(text, next, b'-', b'_')?;
        next = anchor + 1;
        let start = anchor.checked_sub(2).filter(|start| *start >= from);
        let Some(start) = start.filter(|_| before(text, anchor) == b'k') else { continue };
        if matches!(at(text, start), b's' | b'p' | b'r') && starts_word(text, start) {
            let end = run(text, next, is_token);
            if end - next >= 16 {
                return Some(start..end);
            }
        }
    }
}

/// A key of Google: `\bAIza[A-Za-z0-9_-]{30,}`
pub fn google_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_byte(text, next, b'z')?;
        next = anchor + 1;
        let start = anchor.checked_sub(2).filter(|start| *start >= from && continues(text, *start, b"AIza"));
        let Some(start) = start.filter(|start| starts_word(text, *start)) else { continue };
        let end = run(text, start + 4, is_token);
        if end - start >= 34 {
            return Some(start..end);
        }
    }
}

/// The identifier of an AWS access key: `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`
pub fn aws_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_either(text, next, b'K', b'S')?;
        next = anchor + 1;
        let Some(start) = anchor.checked_sub(1).filter(|start| *start >= from) else { continue };
        if at(text, start) == b'A' && continues(text, next, b"IA") && starts_word(text, start) {
            let end = start + 20;
            let body = text.get(start + 4..end).unwrap_or_default();
            let fits = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if !body.is_empty() && body.iter().all(fits) && !is_word(at(text, end)) {
                return Some(start..end);
            }
        }
    }
}

/// A token with one of the prefixes above: `\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-)[A-Za-z0-9_-]{16,}`
pub fn prefixed_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_either(text, next, b'-', b'_')?;
        next = anchor + 1;
        if !before(text, anchor).is_ascii_lowercase() {
            continue;
        }
        let head = text.get(from..next).unwrap_or_default();
        let Some(prefix) = PREFIXES.iter().find(|prefix| head.ends_with(prefix)) else { continue };
        let start = next - prefix.len();
        if starts_word(text, start) {
            let end = run(text, next, is_token);
            if end - next >= 16 {
                return Some(start..end);
            }
        }
    }
}

/// A JSON Web Token: `\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`
pub fn web_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_byte(text, next, b'J')?;
        next = anchor + 1;
        let start = anchor.checked_sub(2).filter(|start| *start >= from && continues(text, *start, b"ey"));
        let Some(start) = start.filter(|start| starts_word(text, *start)) else { continue };
        let header = run(text, next, is_token);
        if header - next >= 8 && at(text, header) == b'.' {
            let payload = run(text, header + 1, is_token);
            if payload - header > 8 && at(text, payload) == b'.' {
                return Some(start..run(text, payload + 1, is_token));
            }
        }
        // Another token that starts in this header is shorter and is followed by the same bytes: it fails, too.
        next = header;
    }
}

/// A bearer token: `(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{16,}`
pub fn bearer_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek_either(text, next, b'b', b'B')?;
        next = start + 1;
        let named = text.get(start..start + 6).is_some_and(|word| word.eq_ignore_ascii_case(b"bearer"));
        if !named || !starts_word(text, start) {
            continue;
        }
        let space = |byte| matches!(byte, b' ' | b'\t'..=b'\r');
        let token = run(text, start + 6, space);
        let end = run(text, token, |byte| is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'='));
        if token > start + 6 && end - token >= 16 {
            return Some(start..end);
        }
    }
}
