use super::*;

fn read(text: &str) -> Validator {
    let mut validator = Validator::default();
    text.as_bytes().chunks(3).for_each(|piece| validator.feed(piece));
    validator
}

#[test]
fn a_document_is_well_formed_exactly_if_serde_json_accepts_it() {
    for text in [
        "{}",
        "[]",
        " [1, 2.5, -0, 1e9, 1E-2 ] ",
        "\"a\\u00e9\\n\"",
        "true",
        "null",
        "12",
        "{\"a\":{\"b\":[{},[]]}}",
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "nul",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "{}{}",
        "[1 2]",
        "```json\n{}\n```",
        "]",
        "{]",
        "[}",
        "\"open",
        "[\"a\":1]",
        "{\"a\"}",
        "1.5.2",
        "--1",
    ] {
        let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
        assert_eq!(read(text).is_whole(), expected, "{text:?}");
    }
}

#[test]
fn required_keys_may_be_listed_twice_and_come_in_any_order() {
    let keys = ["b", "a", "c", "a"].map(key_hash).to_vec();
    for (text, has_all) in [(r#"{"c":1,"a":2,"x":3,"b":4}"#, true), (r#"{"a":1,"a":2,"c":3}"#, false)] {
        let mut validator = Validator::requiring(keys.clone());
        validator.feed(text.as_bytes());
        assert_eq!((validator.is_whole(), validator.has_required()), (true, has_all), "{text}");
    }
}
