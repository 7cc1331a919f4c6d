//! Redaction by custom patterns compared with `regex-lite` on generated texts, for every part of the syntax.

use crate::oracle::dice::Dice;
use gaugeway::text::redaction::Redaction;
use regex_lite::Regex;
use serde_json::json;

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
