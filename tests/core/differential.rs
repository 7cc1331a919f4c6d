//! Compares the core with the oracle, an independent reader of the wire formats. Both must agree with the fixtures, and
//! with each other on every rewriting of the bytes.

use crate::oracle::fixture::{self, Fixture};
use crate::oracle::mutate::mutations;
use crate::oracle::transcript::full_hash;
use crate::oracle::{COVERED, Exchange, Map, differences, observe};
use crate::support::core::{Wire, observer, pass, timeless};
use gaugeway::config::Config;
use gaugeway::exchange::{End, Observer};
use std::rc::Rc;

#[test]
fn the_oracle_agrees_with_every_fixture() {
    let mut wrong = Vec::new();
    for fixture in fixture::all() {
        let found = observe(&fixture.exchange).unwrap_or_default();
        let unlike = differences(&fixture.observation, &found, COVERED);
        wrong.extend(unlike.into_iter().map(|line| format!("{}: {line}", fixture.name)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_core_reads_rewritten_bytes_like_the_original() {
    let before = |fixture: &Fixture, _: &Exchange| observe(&fixture.exchange);
    let after = |mutated: &Exchange| observe(mutated);
    agree(before, after, &["same:", "twice:"]);
}

#[test]
fn the_core_agrees_with_the_oracle() {
    let shared = observer();
    let extract = |exchange: &Exchange| {
        let wire = Wire {
            method: &exchange.method,
            host: &exchange.host,
            path: &exchange.path,
            request_headers: &exchange.request_headers,
            request: exchange.request_body.chunks(1000).collect(),
            status: exchange.status,
            response_headers: &exchange.response_headers,
            response: exchange.response_body.chunks(100).collect(),
        };
        let exchange = pass(&shared, &wire, End::Whole).filter(|exchange| exchange.is_recognised());
        exchange.map(|exchange| timeless(exchange.observation()))
    };
    agree(|_, mutated| observe(mutated), extract, &["same:", "less:"]);
}

#[test]
fn the_core_and_the_oracle_agree_on_the_hash_of_all_messages() {
    let shared = hashing_all_messages();
    let (mut present, mut wrong) = (0, Vec::new());
    for fixture in fixture::all() {
        let expected = full_hash(&fixture.exchange);
        for size in [1, 7, 100_000] {
            let found = core_full_hash(&shared, &fixture.exchange, size);
            present += usize::from(found.is_some());
            if found != expected {
                wrong.push(format!("{} in pieces of {size}: expected {expected:?}, found {found:?}", fixture.name));
            }
        }
    }
    assert!(present > 300, "only {present} exchanges have the hash");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn boundaries_roles_and_media_change_the_hash_of_all_messages() {
    let shared = hashing_all_messages();
    let hash = |host: &str, path: &str, body: &str| {
        let exchange = Exchange {
            method: "POST".into(),
            host: host.into(),
            path: path.into(),
            request_headers: vec![("content-type".into(), "application/json".into())],
            request_body: body.into(),
            status: 200,
            response_headers: vec![("content-type".into(), "application/json".into())],
            response_body: b"{}".to_vec(),
        };
        let found = core_full_hash(&shared, &exchange, 5);
        assert_eq!(found, full_hash(&exchange), "{path} {body}");
        found.unwrap_or_else(|| panic!("{path} has no hash: {body}"))
    };
    let chat = ("api.openai.com", "/v1/chat/completions");
    let messages = ("api.anthropic.com", "/v1/messages");
    let gemini = ("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.0-flash:generateContent");
    let bedrock = ("bedrock-runtime.eu-west-1.amazonaws.com", "/model/amazon.nova-pro-v1%3A0/converse");
    // `@` stands for what makes the difference.
    for ((host, path), body) in [
        (chat, r#"{"messages":[{"role":"user","content":"@"},{"content":"c","role":"user"}]}"#),
        (chat, r#"{"messages":[{"content":"a","role":"@"}]}"#),
        (
            chat,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,@"}}]}]}"#,
        ),
        (chat, r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"@"}]}]}"#),
        (
            chat,
            r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"@","format":"wav"}}]}]}"#,
        ),
        (chat, r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"@"}}]}]}"#),
        (
            messages,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"@"}},{"type":"text","text":"?"}]}]}"#,
        ),
        (
            messages,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"url":"@"}}]}]}]}"#,
        ),
        (
            gemini,
            r#"{"contents":[{"role":"user","parts":[{"text":"?"},{"inlineData":{"mimeType":"image/png","data":"@"}}]}]}"#,
        ),
        (gemini, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"@"}}]}]}"#),
        (bedrock, r#"{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"@"}}}]}]}"#),
        (
            ("api.openai.com", "/v1/responses"),
            r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"@"}]}]}"#,
        ),
        (("localhost:11434", "/api/chat"), r#"{"messages":[{"role":"user","content":"?","images":["iVBO","@"]}]}"#),
        (
            ("api.mistral.ai", "/v1/conversations"),
            r#"{"inputs":[{"role":"user","content":[{"type":"image_url","image_url":"@"}]}]}"#,
        ),
    ] {
        let hashes = ["user", "system", "", "us"].map(|word| hash(host, path, &body.replace('@', word)));
        for (at, one) in hashes.iter().enumerate() {
            // Roles other than the known ones are one.
            assert!(!hashes[..at].contains(one) || body.contains(r#""role":"@""#) && at == 3, "{path} {body}");
        }
    }
    let two = |a: &str, b: &str| {
        hash(
            chat.0,
            chat.1,
            &format!(r#"{{"messages":[{{"role":"user","content":"{a}"}},{{"role":"user","content":"{b}"}}]}}"#),
        )
    };
    assert_ne!(two("ab", "c"), two("a", "bc"));
}

/// An observer that hashes all messages, and no other text.
fn hashing_all_messages() -> Rc<Observer> {
    Rc::new(Observer::new(Config::parse(r#"{"privacy": {"hash": ["prompt"]}}"#).unwrap()))
}

/// The hash of all messages according to the core, which gets the request in pieces of this size.
fn core_full_hash(observer: &Rc<Observer>, exchange: &Exchange, size: usize) -> Option<String> {
    let wire = Wire {
        method: &exchange.method,
        host: &exchange.host,
        path: &exchange.path,
        request_headers: &exchange.request_headers,
        request: exchange.request_body.chunks(size).collect(),
        status: exchange.status,
        response_headers: &exchange.response_headers,
        response: vec![&exchange.response_body],
    };
    let found = timeless(pass(observer, &wire, End::Whole)?.observation());
    found.get("gaugeway.prompt.full_hash")?.as_str().map(str::to_owned)
}

/// Fails with every key in which two readings differ, over all mutations of all fixtures whose label starts with one of
/// `kinds`.
fn agree(
    expected: impl Fn(&Fixture, &Exchange) -> Option<Map>,
    found: impl Fn(&Exchange) -> Option<Map>,
    kinds: &[&str],
) {
    let (mut compared, mut wrong) = (0, Vec::new());
    for fixture in fixture::all() {
        // The seed depends only on the fixture's name, so adding a fixture does not change the mutations of others.
        let seed = fixture
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        for (label, exchange) in mutations(&fixture.exchange, seed) {
            if kinds.iter().any(|kind| label.starts_with(kind)) {
                compared += 1;
                let (expected, found) = (expected(&fixture, &exchange), found(&exchange));
                let unlike = differences(&expected.unwrap_or_default(), &found.unwrap_or_default(), COVERED);
                wrong.extend(unlike.into_iter().map(|line| format!("{} ({label}): {line}", fixture.name)));
            }
        }
    }
    assert!(compared > 0, "no mutation was made: check that tests/fixtures exists");
    assert!(wrong.is_empty(), "{} differences in {compared} exchanges:\n{}", wrong.len(), wrong.join("\n"));
}
