//! Secrets in captured texts in a real Envoy: their forms are redacted, and a text that is cut reports no part of one.

use serde_json::json;

use crate::planted::conversations;
use crate::privacy::{Site, WORDS, chat_stream};
use crate::support::fixtures::Fixture;

/// Secrets in the forms in which they occur, and a part of each that identifies it.
fn secrets() -> Vec<(String, &'static str)> {
    let armoured = |label: &str, headers: &str| {
        format!("-----BEGIN {label}-----\n{headers}{}\n-----END {label}-----", "bG9yZW0gaXBzdW0g\n".repeat(9))
    };
    let nested = |text: &str| json!({"log": json!({"line": text}).to_string()}).to_string();
    vec![
        (armoured("ENCRYPTED PRIVATE KEY", ""), "bG9yZW0"),
        (armoured("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A-1B\n\n"), "bG9yZW0"),
        (armoured("PGP PRIVATE KEY BLOCK", "Version: a-b\n\n"), "bG9yZW0"),
        (nested("key:\ngsk_a1B2c3D4e5F6g7H8i9J0"), "g7H8i9"),
        (nested("card:\n4111\u{a0}1111\u{a0}1111\u{a0}1111"), "1111"),
        (nested("mail:\njürgen@müller.example"), "rgen"),
        ("xai-a1B2c3D4e5F6g7H8i9J0".to_owned(), "g7H8i9"),
        ("pplx-a1B2c3D4e5F6g7H8i9J0".to_owned(), "g7H8i9"),
        ("nvapi-a1B2c3D4e5F6g7H8i9J0".to_owned(), "g7H8i9"),
        ("+49 (0)30 901820".to_owned(), "901820"),
        ("4111\u{202f}1111\u{202f}1111\u{202f}1111 12/27".to_owned(), "1111"),
        ("de89 3704 0044 0532 0130 00 BIC".to_owned(), "3704"),
        ("ada@bücher.example".to_owned(), "cher"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_in_every_form_are_redacted_and_a_cut_reports_no_part_of_one() {
    let all: Vec<_> = secrets().into_iter().map(|(secret, _)| secret).collect();
    // The text is cut inside of the token. What is before the token is less than is reported.
    let cut = format!("before eyJhbGciOiJIUzI1NiJ9.{}.c2ln after", "QUJD".repeat(1200));
    for (text, is_cut) in [(all.join(" and "), false), (cut, true)] {
        let fixtures = conversations(&text, &text);
        let site = Site::start(json!({"privacy": {"capture": "truncated"}}), &fixtures).await;
        let entries = [site.replay(&fixtures, "whole").await, site.replay(&fixtures, "cut=7").await].concat();
        for ((fixture, entry), key) in entries.iter().flat_map(|entry| WORDS.map(|key| (entry, key))) {
            let text = entry[key].as_str().unwrap_or_else(|| panic!("{fixture} has no {key}: {entry}"));
            if is_cut {
                assert_eq!(text, "before ", "{fixture} {key}");
            } else {
                let said = secrets().into_iter().filter(|(_, part)| text.contains(part)).collect::<Vec<_>>();
                assert!(said.is_empty(), "{fixture} {key} has {said:?}: {text}");
                assert!(
                    text.starts_with("[key] and [key]") && text.ends_with(" and [email]"),
                    "{fixture} {key}: {text}"
                );
            }
        }
        for (kind, text) in site.outputs(entries.len()).await {
            assert!(!text.contains("QUJDQUJD") && !text.contains("bG9yZW0"), "{kind}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_inside_of_a_secret_reports_no_part_of_it() {
    let request = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let at = ("api.openai.com", "/v1/chat/completions");
    let body = chat_stream("the key is sk-proj-a1B2c3D4e5F6g7H8i9J0 and more", "stop");
    let event = body.find("\n\n").unwrap() + 2;
    let fixture = Fixture::made("planted/breaks-off", at, &request, "text/event-stream", body);
    let fixtures = [fixture];
    let site = Site::start(json!({"privacy": {"capture": "truncated"}}), &fixtures).await;
    for letters in [12, 18, 25] {
        // Some bytes of the next letter's event arrive, too.
        let entries = site.replay(&fixtures, &format!("reset-after={}", letters * event + 20)).await;
        let entry = &entries[0].1;
        assert_eq!(entry[WORDS[1]], "the key is ", "{letters} letters: {entry}");
    }
}
