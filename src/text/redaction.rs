//! Replaces what identifies a person or grants access in captured text, before the text is reported.
//!
//! E-mail addresses, numbers of cards (ISO/IEC 7812), of accounts (ISO 13616) and of telephones, keys and tokens become a word
//! in brackets, and so does what the operator's own patterns match. Built in with the feature `capture`.
//! Bound: time linear in the text for the built-in kinds, and one pass for each kind and pattern.

mod custom;
mod email;
mod keys;
mod numbers;
mod phone;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use crate::config::value::{self, ConfigError};
use custom::Pattern;

/// What is replaced in captured text.
#[derive(Debug)]
pub struct Redaction {
    custom: Vec<Pattern>,
}

/// Returns the leftmost match that starts at or after an offset.
type Find = fn(&[u8], usize) -> Option<Range<usize>>;

/// The built-in kinds in the order of their passes. Keys are first, because they may contain what looks like a number. The
/// other kinds follow, the most specific first.
const KINDS: [(Find, &str); 10] = [
    (keys::private_key, "[key]"),
    (keys::prefixed_key, "[key]"),
    (keys::google_key, "[key]"),
    (keys::aws_key, "[key]"),
    (keys::web_token, "[key]"),
    (keys::bearer_token, "[key]"),
    (email::email, "[email]"),
    (numbers::iban, "[iban]"),
    (numbers::card, "[card]"),
    (phone::phone, "[phone]"),
];

impl Redaction {
    /// The built-in kinds, and the operator's own patterns: the value of `privacy.redact`.
    ///
    /// # Errors
    /// The value is not an array of patterns, or a pattern is invalid, too large or matches the empty text.
    pub fn new(own: Option<&Value>) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::new("privacy.redact", "must be an array of regular expressions");
        let own = own.map(|own| own.as_array().ok_or_else(wrong)).transpose()?;
        let compiled = own.into_iter().flatten().enumerate().map(|(at, pattern)| {
            let path = format!("privacy.redact[{at}]");
            Pattern::new(value::text(&path, pattern)?).map_err(|error| ConfigError::new(&path, error))
        });
        Ok(Redaction { custom: compiled.collect::<Result<_, _>>()? })
    }

    /// The text with every match replaced.
    pub fn apply(&self, text: &str) -> String {
        self.apply_before(text, text.len())
    }

    /// The text before an offset, with every match replaced that starts there. What follows the offset is read too, so that it
    /// may complete a match. The operator's patterns come first, in their order.
    pub fn apply_before(&self, text: &str, limit: usize) -> String {
        let (mut text, mut limit) = (Cow::Borrowed(text), limit);
        for pattern in &self.custom {
            replace(&mut text, &mut limit, "[redacted]", |text, from| pattern.find(text, from));
        }
        for (find, word) in KINDS {
            replace(&mut text, &mut limit, word, find);
        }
        text.get(..limit).unwrap_or(&text).to_owned()
    }
}

/// Replaces all matches. `limit` is an offset that moves with the text around it, to the end of a match in which it lies.
fn replace(
    text: &mut Cow<'_, str>,
    limit: &mut usize,
    word: &str,
    find: impl Fn(&[u8], usize) -> Option<Range<usize>>,
) {
    let (mut replaced, mut kept, mut from, mut moved) = (String::new(), 0, 0, None);
    while let Some(found) = find(text.as_bytes(), from) {
        // A match is never empty: this makes the loop end if one was.
        from = found.end.max(from + 1);
        if found.start >= *limit {
            moved = moved.or_else(|| Some(replaced.len() + *limit - kept));
        }
        replaced.push_str(text.get(kept..found.start).unwrap_or_default());
        replaced.push_str(word);
        kept = found.end;
        if found.end >= *limit {
            moved = moved.or(Some(replaced.len()));
        }
    }
    if kept > 0 {
        *limit = moved.unwrap_or_else(|| replaced.len() + *limit - kept);
        replaced.push_str(text.get(kept..).unwrap_or_default());
        *text = Cow::Owned(replaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redaction::new(None).unwrap().apply(text)
    }

    #[test]
    fn personal_data_and_keys_are_replaced() {
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
            ("gsk_A1b2C3d4E5f6G7h8I9 xai-A1b2C3d4E5f6G7h8I9", "[key] [key]"),
            ("pplx-A1b2C3d4E5f6G7h8I9,nvapi-A1b2C3d4-_E5f6G7h8I9", "[key],[key]"),
            (r#"{"a":"{\"b\":\"x\\nsk-ant-api03-A1b2C3d4E5f6\"}"}"#, r#"{"a":"{\"b\":\"x\\n[key]\"}"}"#),
            ("?key%3DAIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6", "?key%3D[key]"),
            ("\u{1b}[31mAKIAIOSFODNN7EXAMPLE\u{1b}[0m", "\u{1b}[31m[key]\u{1b}[0m"),
            ("eyJhbGciOiJkaXIifQ..aXZpdml2.Y2lwaGVy.dGFn.", "[key]"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-1,A\n\nQUJD\n-----END RSA PRIVATE KEY-----\nok",
                "[key]\nok",
            ),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: a-b\n\nQUJD", "[key]"),
            ("------BEGIN PRIVATE KEY-----\n-QUJD\n------END PRIVATE KEY-----", "-[key]"),
            ("+49 (0)30 901820, +33 1 23 45 67 89, (0)30 901820", "[phone], [phone], [phone]"),
            ("4111\u{a0}1111\u{202f}1111\u{2011}1111 12/27 cvc 123", "[card] 12/27 cvc 123"),
            ("4111 1111 1111 1111 123", "[card] 123"),
            ("de89 3704 0044 0532 0130 00 BIC COBADEFFXXX", "[iban] BIC COBADEFFXXX"),
            ("jürgen@müller.example und 用户@例え.jp", "[email] und [email]"),
            ("“ada@mail.example”。", "“[email]”。"),
        ] {
            assert_eq!(redacted(text), wanted);
        }
    }

    #[test]
    fn a_pattern_that_needs_too_many_states_redacts_the_rest_instead_of_searching_on() {
        let own = serde_json::json!(["1[01]{12}z"]);
        let digit = |n: u64| if crate::bytes::mix::Mix::new(0).number(n).finish() & 1 == 0 { '0' } else { '1' };
        let hard: String = (0..4000).map(digit).collect();
        let redacted = Redaction::new(Some(&own)).unwrap().apply(&format!("ask {hard}"));
        assert!(redacted.ends_with("[redacted]") && redacted.len() < 4000, "{redacted:.80}");
        assert_eq!(Redaction::new(Some(&own)).unwrap().apply("a 1010101010101z b"), "a [redacted] b");
    }

    #[test]
    fn words_stay() {
        for text in [
            "a risk-assessment-framework-for-banks, and desk_booking_system_of_offices",
            "pk_orders_by_customer_id, sk-learn-contrib-something, npm_config_user_agent",
            "secret_manager_of_the_team; fw_version_of_the_board; pa-ra-graphs-of-a-text",
            "the bearer of bad news, an @mention, user@host, 2 + 2 = 4, +1 for that",
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----",
            "sha256 d0b462e105d3e8cb185fdb1bd78be972f85d22c9f436907d408495e4b1ca6897",
            "in 2019–2020, 5%20 or \\u00fc; v1.2.3-rc.4; 2026-11-29T00:51:10Z",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn other_numbers_stay() {
        for text in
            ["4111 1111 1111 1112", "order 1234567", "in 2026 and 1999", "DE00 3704 0044 0532 0130 00", "3.14159"]
        {
            let found = redacted(text);
            assert!(!found.contains("[card]") && !found.contains("[iban]"), "{found}");
        }
        assert_eq!(redacted("order 1234567, in 2026, pi 3.14159"), "order 1234567, in 2026, pi 3.14159");
    }

    #[test]
    fn custom_patterns_are_replaced_and_invalid_ones_are_refused() {
        let own = serde_json::json!(["EMP-[0-9]+"]);
        assert_eq!(Redaction::new(Some(&own)).unwrap().apply("ask EMP-4711"), "ask [redacted]");
        let own = serde_json::json!(["x.", "(?i)caf\\W\\W"]);
        assert_eq!(Redaction::new(Some(&own)).unwrap().apply("xé modèle CAFé"), "[redacted] modèle [redacted]");
        for (wrong, error) in [
            (serde_json::json!("x"), "privacy.redact: must be an array"),
            (serde_json::json!([1]), "privacy.redact[0]: must be a string"),
            (serde_json::json!(["a", "("]), "privacy.redact[1]: is not a valid regular expression"),
            (serde_json::json!(["a*"]), "privacy.redact[0]: matches the empty text"),
        ] {
            let found = Redaction::new(Some(&wrong)).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
