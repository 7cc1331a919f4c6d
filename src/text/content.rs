//! Captured text: the last message of the prompt and the answer, redacted and then truncated.
//!
//! Off unless `privacy.capture` is set. Bound: [`HELD`] bytes of each text are held, [`CHARACTERS`] characters are reported.
//! A text may be cut at [`HELD`] or because the exchange ended early. The cut may fall into a secret, of which no kind then
//! recognises the beginning. So what touches the cut is not reported.

use crate::text::redaction::Redaction;

/// Most characters of a text that are reported.
const CHARACTERS: usize = 1000;
/// Most bytes of a text that are held.
const HELD: usize = 4 * CHARACTERS + MARGIN;
/// Bytes before the cut at [`HELD`] that are not reported. A secret of at most so many bytes is either held as a whole, or no
/// part of it is reported.
const MARGIN: usize = 512;

/// The first [`HELD`] bytes of a text.
#[derive(Clone, Debug, Default)]
pub struct Content {
    held: Vec<u8>,
    /// True if the text has more bytes.
    has_more: bool,
}

impl Content {
    /// Maximum memory of a text and of its report, in bytes.
    pub const BOUND: usize = size_of::<Content>() + 2 * HELD + 4 * CHARACTERS;

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends a piece of the text.
    pub fn push(&mut self, piece: &[u8]) {
        let room = HELD.saturating_sub(self.held.len());
        self.has_more |= piece.len() > room;
        self.held.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Drops all bytes after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.has_more &= length > self.held.len();
        self.held.truncate(length);
    }

    /// The text that is reported: redacted, then truncated to [`CHARACTERS`]. None if nothing remains. `is_cut` is true if the
    /// exchange ended before the text did.
    pub fn report(&self, redaction: &Redaction, is_cut: bool) -> Option<Box<str>> {
        let text = String::from_utf8_lossy(&self.held);
        let mut limit = text.len();
        if is_cut || self.has_more {
            limit = loose_end(&text);
        }
        if self.has_more {
            limit = limit.min((0..=HELD - MARGIN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        let text = redaction.apply_before(&text, limit);
        let end = text.char_indices().nth(CHARACTERS).map_or(text.len(), |(at, _)| at);
        text.get(..end).filter(|text| !text.is_empty()).map(Box::from)
    }
}

/// Most bytes of an e-mail address, and of its part before the `@` (RFC 5321).
const ADDRESS: usize = 254;
const LOCAL_PART: usize = 64;
/// Most bytes of a number of an account, a card or a telephone with its separators.
const NUMBER: usize = 128;

/// The offset in a text from which on it may be the beginning of a secret that the cut at its end divides: the start of its
/// last token, with the groups of digits before it.
fn loose_end(text: &str) -> usize {
    let is_token = |c: char| c.is_ascii_graphic() && !"\"'`,;<>()[]{}|".contains(c);
    let start_of = |text: &str, class: &dyn Fn(char) -> bool| text.trim_end_matches(class).len();
    let mut start = start_of(text, &is_token);
    // An address may have letters beyond ASCII. Other text with such letters may have no spaces at all.
    let word = start_of(text, &|c| is_token(c) || !c.is_ascii() && !c.is_whitespace());
    let has_sign = text.get(word..).is_some_and(|word| word.contains('@'));
    if text.len() - word <= if has_sign { ADDRESS } else { LOCAL_PART } {
        start = word;
    }
    loop {
        let head = text.get(..start).unwrap_or_default();
        let head = head.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '+');
        let group = start_of(head, &is_token);
        let word = head.get(group..).unwrap_or_default();
        if !word.bytes().any(|byte| byte.is_ascii_digit()) || text.len() - group > NUMBER {
            return start;
        }
        start = group;
    }
}

#[cfg(test)]
#[cfg(feature = "capture")]
mod tests {
    use super::*;

    fn report(text: &str, is_cut: bool) -> String {
        let mut content = Content::default();
        text.as_bytes().chunks(7).for_each(|piece| content.push(piece));
        content.report(&Redaction::new(None).unwrap(), is_cut).unwrap_or_default().into()
    }

    #[test]
    fn text_is_redacted_before_it_is_truncated_and_memory_is_bounded() {
        let redaction = Redaction::new(None).unwrap();
        let mut content = Content::default();
        content.push("x".repeat(CHARACTERS - 5).as_bytes());
        content.push(b" ada@mail.example and more");
        let report = content.report(&redaction, false).unwrap();
        assert!(!report.contains("ada"), "{}", &report[CHARACTERS - 10..]);
        for _ in 0..10_000 {
            content.push("é".as_bytes());
        }
        assert!(content.held.len() <= HELD);
        assert!(content.report(&redaction, false).unwrap().chars().count() <= CHARACTERS);
        assert_eq!(Content::default().report(&redaction, false), None);
    }

    /// Secrets with an end that is needed to recognise them, and the bytes of each that must not be reported.
    fn secrets() -> Vec<(String, &'static str)> {
        vec![
            (format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", "QUJD".repeat(1100)), "QUJD"),
            (format!("bearer {}", "QUJD".repeat(1100)), "QUJD"),
            (format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}", "QUJD\n".repeat(900)), "QUJD"),
            ("sk-ant-api03-QUJDQUJDQUJDQUJDQUJDQUJD".to_owned(), "QUJD"),
            ("4111 1111 1111 1111".to_owned(), "1111"),
            ("de89 3704 0044 0532 0130 00".to_owned(), "3704"),
            ("+49 (0)30 901820".to_owned(), "+49"),
            ("用户QUJD@例え.jp".to_owned(), "QUJD"),
            ("jürgen.müller@example.org".to_owned(), "rgen.m"),
        ]
    }

    #[test]
    fn a_text_cut_at_any_byte_of_a_secret_reports_no_part_of_it() {
        for (secret, part) in secrets() {
            // The first cut falls on the first byte of the part, the last one behind the secret.
            let first = secret.find(part).unwrap();
            for cut in
                (first..secret.len()).filter(|cut| secret.is_char_boundary(*cut) && (*cut < 200 || cut % 397 == 0))
            {
                let reported = report(&format!("this is {}", &secret[..cut]), true);
                assert!(reported.starts_with("this is ") && !reported.contains(part), "{cut}: {reported}");
            }
            // Here the cut is that of the held text. Redaction shortens the text before it, so that this place is reported.
            for cut in (first + 1..secret.len()).filter(|cut| *cut < 200 || cut % 397 == 0) {
                let Some(room) = (HELD - 12).checked_sub(cut) else { continue };
                let before = format!("sk-{} ", "x".repeat(room));
                let reported = report(&format!("this is {before}{secret} {}", "end ".repeat(200)), false);
                let expected = if room < 16 { "this is " } else { "this is [key]" };
                assert!(reported.starts_with(expected) && !reported.contains(part), "{cut}: {reported}");
            }
        }
    }

    #[test]
    fn only_what_touches_the_cut_is_dropped() {
        assert_eq!(report("the answer is 42 sk", true), "the answer is ");
        assert_eq!(report("the answer is long", true), "the answer is ");
        assert_eq!(report("the answer is long", false), "the answer is long");
        assert_eq!(report("\"a\":\"b\",\"c\":\"sk-a", true), "\"a\":\"b\",\"c\":\"");
        assert_eq!(report("write to ada@mail.example. The e", true), "write to [email]. The ");
        let chinese = "中文没有空格".repeat(400);
        assert_eq!(report(&chinese, false).chars().count(), CHARACTERS);
        assert_eq!(report(&chinese[..300], true), chinese[..300]);
        assert!(report(&"item7 ".repeat(100), true).len() >= 600 - NUMBER - 6);
    }

    #[test]
    fn a_secret_that_was_removed_again_does_not_count_as_a_cut() {
        let redaction = Redaction::new(None).unwrap();
        let mut content = Content::default();
        content.push(b"whole ");
        content.push("word".repeat(HELD).as_bytes());
        content.truncate(6);
        content.push(b"text");
        assert_eq!(content.report(&redaction, false).as_deref(), Some("whole text"));
    }
}
