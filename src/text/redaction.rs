//! Takes out of words what names a person or opens a door, before anybody reads them.
//!
//! An e-mail address, the number of a card (ISO/IEC 7812), account (ISO 13616) or telephone, or what has the shape of a key
//! becomes a word in brackets. Bound: linear time in the text, whatever the pattern; built in with the feature `capture`.

use regex_lite::Regex;
use serde_json::Value;

use crate::config::value::{ConfigError, text};

/// What is taken out of words.
#[derive(Clone, Debug)]
pub struct Redaction {
    patterns: Vec<(Regex, &'static str, Check)>,
}

/// What a pattern alone cannot tell.
type Check = fn(&str) -> bool;

/// Keys come first: what they hold may look like a number. Then the rest, the most specific first.
const PATTERNS: &[(&str, &str, Check)] = &[
    // Prefixes of OpenAI, Anthropic, Google, AWS, GitHub, GitLab, Slack, Stripe, Hugging Face; JSON Web Tokens; bearer tokens.
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?", "[key]", always),
    (r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}", "[key]", always),
    (r"\bAIza[A-Za-z0-9_-]{30,}", "[key]", always),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "[key]", always),
    (r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-)[A-Za-z0-9_-]{16,}", "[key]", always),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "[key]", always),
    (r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{16,}", "[key]", always),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "[email]", always),
    (r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b", "[iban]", is_iban),
    (r"\b[0-9](?:[ -]?[0-9]){12,18}\b", "[card]", is_card),
    // With a country's code, a zone in brackets or groups: bare numbers are left.
    (
        r"(?:\+[0-9]{1,3}|\b00[1-9][0-9]{0,2}|\([0-9]{2,5}\)|\b0[0-9]{1,4}|\b[0-9]{3})(?:[ ./-]?\(?[0-9]{2,5}\)?){2,4}\b",
        "[phone]",
        is_phone,
    ),
];

fn always(_: &str) -> bool {
    true
}

impl Redaction {
    /// The patterns above, and the user's own.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(own: Option<&Value>) -> Result<Self, ConfigError> {
        let mut patterns = Vec::new();
        let wrong = || ConfigError::new("privacy.redact", "must be an array of regular expressions");
        for (at, pattern) in own.map_or(Ok(&Vec::new()), |own| own.as_array().ok_or_else(wrong))?.iter().enumerate() {
            let path = format!("privacy.redact[{at}]");
            let pattern = text(&path, pattern)?;
            let regex =
                Regex::new(pattern).map_err(|error| ConfigError::new(&path, format!("is no pattern: {error}")))?;
            if regex.is_match("") {
                return Err(ConfigError::new(&path, "matches nothing at all, which is everywhere"));
            }
            patterns.push((regex, "[redacted]", always as Check));
        }
        for (pattern, word, holds) in PATTERNS {
            patterns.push((Regex::new(pattern).map_err(|_| wrong())?, word, *holds));
        }
        Ok(Redaction { patterns })
    }

    /// The text without what the patterns find.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, word, holds) in &self.patterns {
            let replace = |found: &regex_lite::Captures<'_>| {
                let found = found.get(0).map(|found| found.as_str()).unwrap_or_default();
                if holds(found) { (*word).to_owned() } else { found.to_owned() }
            };
            text = pattern.replace_all(&text, replace).into_owned();
        }
        text
    }
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// Luhn's checksum (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => digit,
            (_, twice) => twice / 10 + twice % 10,
        })
        .sum();
    sum.is_multiple_of(10) && digits(text).any(|digit| digit > 0)
}

/// The check digits of ISO 13616: the number, its first four characters last and letters as 10 to 35, leaves 1 over 97.
fn is_iban(text: &str) -> bool {
    let compact: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    let (head, tail) = compact.split_at(compact.len().min(4));
    let rest = tail.iter().chain(head).try_fold(0_u32, |rest, c| {
        let digit = c.to_digit(36)?;
        Some((rest * if digit > 9 { 100 } else { 10 } + digit) % 97)
    });
    (15..=34).contains(&compact.len()) && rest == Some(1)
}

/// As long as telephone numbers are (ITU-T E.164), and no date.
fn is_phone(text: &str) -> bool {
    let count = digits(text).count();
    let grouped = text.contains([' ', '.', '/', '-', '(', '+']);
    (8..=15).contains(&count) && grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redaction::new(None).unwrap().apply(text)
    }

    #[test]
    fn what_names_a_person_or_opens_a_door_is_taken_out() {
        for (text, wanted) in [
            ("write to ada.l+x@mail.example.co.uk today", "write to [email] today"),
            ("card 4111 1111 1111 1111, please", "card [card], please"),
            ("card 5500-0000-0000-0004.", "card [card]."),
            ("IBAN DE89 3704 0044 0532 0130 00 ok", "IBAN [iban] ok"),
            ("GB82WEST12345698765432", "[iban]"),
            ("call +49 30 901820 or (212) 555-0187", "call [phone] or [phone]"),
            ("key sk-proj-abcdefghijklmnop1234 end", "key [key] end"),
            ("AKIAIOSFODNN7EXAMPLE", "[key]"),
            ("Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: [key]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[key]"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[key]"),
        ] {
            assert_eq!(redacted(text), wanted);
        }
    }

    #[test]
    fn numbers_that_are_none_of_those_stay() {
        for text in
            ["4111 1111 1111 1112", "order 1234567", "in 2026 and 1999", "DE00 3704 0044 0532 0130 00", "3.14159"]
        {
            let found = redacted(text);
            assert!(!found.contains("[card]") && !found.contains("[iban]"), "{found}");
        }
        assert_eq!(redacted("order 1234567, in 2026, pi 3.14159"), "order 1234567, in 2026, pi 3.14159");
    }

    #[test]
    fn own_patterns_count_too_and_wrong_ones_are_refused() {
        let own = serde_json::json!(["EMP-[0-9]+"]);
        assert_eq!(Redaction::new(Some(&own)).unwrap().apply("ask EMP-4711"), "ask [redacted]");
        for (wrong, error) in [
            (serde_json::json!("x"), "privacy.redact: must be an array"),
            (serde_json::json!([1]), "privacy.redact[0]: must be a string"),
            (serde_json::json!(["a", "("]), "privacy.redact[1]: is no pattern"),
            (serde_json::json!(["a*"]), "privacy.redact[0]: matches nothing"),
        ] {
            let found = Redaction::new(Some(&wrong)).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
