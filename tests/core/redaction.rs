//! Redaction compared with the regular expressions that define it, run by `regex-lite`, on generated texts: the built-in
//! kinds, and custom patterns of every part of the syntax.

use crate::oracle::dice::Dice;
use gaugeway::text::redaction::Redaction;
use regex_lite::{Captures, Regex};
use serde_json::json;

/// The built-in kinds, in the order of their passes.
const PATTERNS: [(&str, &str); 11] = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?", "[key]"),
    (r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}", "[key]"),
    (r"\bAIza[A-Za-z0-9_-]{30,}", "[key]"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "[key]"),
    (r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-)[A-Za-z0-9_-]{16,}", "[key]"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "[key]"),
    (r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{16,}", "[key]"),
    (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "[email]"),
    (r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b", "[iban]"),
    (r"\b[0-9](?:[ -]?[0-9]){12,18}\b", "[card]"),
    (
        r"(?:\+[0-9]{1,3}|\b00[1-9][0-9]{0,2}|\([0-9]{2,5}\)|\b0[0-9]{1,4}|\b[0-9]{3})(?:[ ./-]?\(?[0-9]{2,5}\)?){2,4}\b",
        "[phone]",
    ),
];

/// For each kind, parts that its matches are made of, and parts that break them.
const PARTS: [&[&str]; 9] = [
    &[
        "-----BEGIN ",
        "-----END ",
        "PRIVATE KEY",
        "-----",
        "-",
        "RSA ",
        " ",
        "G",
        "MIIE\n",
        "é",
        "-----BEGIN PRIVATE KEY-----",
    ],
    &[
        "sk-",
        "pk_",
        "rk-",
        "k-",
        "_",
        "-",
        "abcdefgh",
        "A1",
        ".",
        " ",
        "AIza",
        "z",
        "AIzaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
    &[
        "AKIA",
        "ASIA",
        "A",
        "K",
        "S",
        "IA",
        "0123456789",
        "ABCDEF",
        "ABCDEFGHIJ012345",
        "AKIAABCDEFGHIJ012345",
        "ASIA0123456789012345",
        " ",
        "_",
        "é",
        "x",
    ],
    &["ghp_", "gho_", "github_pat_", "glpat-", "hf_", "xoxb-", "xoxq-", "abcdefghij", "0123456", "-", "_", " ", "h"],
    &["eyJ", "eyJ", "J", "abcdefgh", "012345678", "eyJhbGciOiJI", ".", ".", ".", "-", " ", "ey", "é"],
    &[
        "bearer ",
        "Bearer\t\n",
        "BEARER",
        "b",
        " ",
        "\u{b}",
        "abcdefgh",
        "012345678",
        "=",
        "/+~",
        ".",
        "-",
        "é",
        "\u{a0}",
    ],
    &["a", "@", "b.c", ".", "-", "+", "%", "_", " ", "é", "mail.example", "@@", "ada@", "..", "1"],
    &[
        "DE89",
        "GB82",
        "AB",
        "12",
        " ",
        "3704 0044 0532 0130 00",
        "WEST12345698765432",
        "A",
        "0",
        "x",
        "_",
        "é",
        "DE89 3704 0044 0532 0130 00",
    ],
    &[
        "0",
        "1",
        "00",
        "49",
        "555",
        "4111 1111 1111 1111",
        " ",
        "-",
        "+",
        "(",
        ")",
        ".",
        "/",
        "x",
        "_",
        "é",
        "000000",
        "12345",
    ],
];

#[test]
fn built_in_kinds_are_what_their_patterns_match() {
    let patterns = PATTERNS.map(|(pattern, word)| (Regex::new(pattern).unwrap(), word));
    let redaction = Redaction::new(None).unwrap();
    let mut changed = [0; PATTERNS.len()];
    for seed in 0..6_000 {
        let mut dice = Dice::new(seed);
        let text = text(&mut dice);
        let mut expected = text.clone();
        for ((pattern, word), changed) in patterns.iter().zip(&mut changed) {
            let replaced = pattern
                .replace_all(&expected, |found: &Captures<'_>| {
                    if holds(word, &found[0]) { *word } else { "\u{1}" }.to_owned()
                })
                .into_owned();
            // What does not hold stays: the marks are put back one after the other.
            let mut kept = pattern.find_iter(&expected).map(|found| found.as_str()).filter(|found| !holds(word, found));
            let replaced: String = replaced
                .split('\u{1}')
                .enumerate()
                .flat_map(|(at, part)| [if at > 0 { kept.next().unwrap() } else { "" }, part].map(str::to_owned))
                .collect();
            *changed += usize::from(replaced != expected);
            expected = replaced;
        }
        assert_eq!(redaction.apply(&text), expected, "seed {seed}: {text:?}");
    }
    assert!(changed.iter().all(|count| *count > 20), "each kind is found: {changed:?}");
}

/// Parts of one kind, or of two kinds in turn.
fn text(dice: &mut Dice) -> String {
    let kinds = [dice.below(PARTS.len()), dice.below(PARTS.len())];
    let mixed = dice.rarely(4);
    let count = 1 + dice.below(30);
    let part = |_| {
        let kind = kinds[usize::from(mixed && dice.rarely(3))];
        dice.pick(PARTS[kind])
    };
    (0..count).map(part).collect()
}

/// The checks of a match that a pattern does not express, written in another way than in the plugin.
fn holds(word: &str, found: &str) -> bool {
    let digits: Vec<u32> = found.chars().filter_map(|c| c.to_digit(10)).collect();
    match word {
        "[card]" => {
            let doubled = |digit: u32| [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit as usize];
            let place = |at: usize| (digits.len() - at).is_multiple_of(2);
            let sum: u32 =
                digits.iter().enumerate().map(|(at, digit)| if place(at) { doubled(*digit) } else { *digit }).sum();
            sum.is_multiple_of(10) && digits.iter().any(|digit| *digit > 0)
        }
        "[iban]" => {
            let compact = found.replace(' ', "");
            let moved = format!("{}{}", &compact[4..], &compact[..4]);
            let number: String = moved.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
            let rest = number.bytes().fold(0_u64, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 97);
            (15..=34).contains(&compact.len()) && rest == 1
        }
        // A closing bracket alone does not group digits.
        "[phone]" => (8..=15).contains(&digits.len()) && digits.len() < found.replace(')', "").len(),
        _ => true,
    }
}

#[test]
fn custom_patterns_match_what_regex_lite_matches_in_ascii() {
    let parts = [
        "EMP-",
        "4711",
        "ABC",
        "123456",
        "project ",
        "Project X",
        "k",
        "K",
        "\n",
        "\r\n",
        " ",
        "_",
        "-",
        ".",
        "\t",
        "a",
        "b",
        "aab",
        "]",
        "\\",
    ];
    for pattern in [
        "EMP-[0-9]+",
        "[A-Z]{3}[0-9]{6}",
        "(?i)project [a-z]+",
        "[0-9]{6,}",
        r"\w+",
        r"\W+\d",
        r"\bk\b|\Ba",
        r"[^a-z]{2}",
        "(?i:[^K])a",
        "a+?b|aa",
        "(?U)a+b?.",
        "(?m)^.+$",
        "(?mR)^.+$",
        r"(?m)^\s*\S",
        r"\A[[:upper:]]|[[:^alpha:]]\z",
        r"(?x) a \  # comment \d
            | b [ \] ]",
        r"\u0061(?:b|-){1,3}",
        "(?P<name>a|ab)(?:-|$)",
        r"\b{start}\w\w\b{end}|.\b{end-half}",
        "(?i)[^k-z_]+x?|[J-L]{2,}?",
        r"(?:a{2}+|[-a]b|[]a-]\.|[a\-\x{2e}]_){1, 2}",
        r"(?x: [ a - b ] # [
            {2 } ) | (?-i)\x41",
    ] {
        let (old, new) = (Regex::new(pattern).unwrap(), Redaction::new(Some(&json!([pattern]))).unwrap());
        let built_in = Redaction::new(None).unwrap();
        let mut found = 0;
        for seed in 0..500 {
            let mut dice = Dice::new(seed);
            let count = 1 + dice.below(12);
            let text: String = (0..count).map(|_| dice.pick(&parts)).collect();
            let expected = old.replace_all(&text, "[redacted]").into_owned();
            found += usize::from(expected != text);
            assert_eq!(new.apply(&text), built_in.apply(&expected), "{pattern} in {text:?}");
        }
        assert!(found > 2, "{pattern} is found in {found} texts");
    }
}

#[test]
fn patterns_that_cannot_be_bounded_are_refused_with_the_name_of_their_key() {
    for (pattern, error) in [
        (r"(?:a{1000}){1000}".to_owned(), "privacy.redact[1]: is too large"),
        (r"\pL+".to_owned(), "privacy.redact[1]: is not a valid regular expression: Unicode not allowed"),
        (
            "(".repeat(100) + "a" + &")".repeat(100),
            "privacy.redact[1]: is not a valid regular expression: exceed the maximum number of nested",
        ),
        ("a".to_owned() + &"+".repeat(1000), "privacy.redact[1]: is not a valid regular expression: "),
        (r"(a)\1".to_owned(), "privacy.redact[1]: is not a valid regular expression: backreferences"),
        ("x|".to_owned(), "privacy.redact[1]: matches the empty text"),
        (r"\b".to_owned(), "privacy.redact[1]: matches the empty text"),
    ] {
        let found = Redaction::new(Some(&json!(["a", pattern]))).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
}
