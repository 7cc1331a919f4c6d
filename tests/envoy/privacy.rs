//! Privacy in a real Envoy whose access log writes everything it can. By default no text of a prompt or an answer is
//! reported. Captured texts are redacted, cut and reported only where documented. Hashes are as documented. A last test
//! checks the counters of structured output, empty answers and refusals.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::planted::{MARK, conversations, failures, word};
use crate::support::client::{self, Raw};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::otlp::Receiver;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// The attributes with captured texts.
pub const WORDS: [&str; 2] = ["gaugeway.prompt.text", "gaugeway.response.text"];
const SECRETS: &str = "ada@mail.example, +49 30 901820, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00, sk-proj-abcdefghijklmnop1234, EMP-4711";
const REDACTED: &str = "[email], [phone], [card], [iban], [key], [redacted]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_a_prompt_or_an_answer_is_reported_by_default() {
    let mut fixtures = conversations(&word(), &word());
    fixtures.extend(failures());
    let site = Site::start(json!({}), &fixtures).await;
    site.replay(&fixtures, "whole").await;
    site.replay(&fixtures, "cut=11").await;
    site.replay(&fixtures, "reset-after=300").await;
    for body in [json!({"response_id": word(), "score": 1}), json!({"response_id": "x", word(): word()}), json!(word())]
    {
        let body = body.to_string();
        let head = "POST /feedback HTTP/1.1\r\nhost: llm\r\nauthorization: Bearer correct-horse-battery\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut raw = Raw::send(site.envoy.addr, request.as_bytes()).await.unwrap();
        assert!(raw.read_until(b"\r\n\r\n").await.unwrap());
    }
    let outputs = site.outputs(fixtures.len() * 3 + 3).await;
    assert_eq!(said(&outputs, &[]), Vec::<String>::new());
    // The metrics and the spans show that everything was read.
    let samples = site.envoy.samples().await;
    let completed = total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]);
    assert!(completed >= 16.0, "{completed}");
    assert_eq!(total(&samples, "gaugeway_tool_calls_total", &[("gen_ai_tool_name", "search")]), completed_calls(&site));
    assert!(site.envoy.log().contains("[debug]"));
    let services = site.spans.spans().into_iter().map(|span| span.service);
    assert_eq!(services.collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_texts_are_redacted_and_cut_and_appear_only_in_spans_and_access_log() {
    let (prompt, answer) = (word(), word());
    let long = |word: &str| format!("{word}: {SECRETS}. {}", "é ".repeat(1000));
    let fixtures = conversations(&long(&prompt), &long(&answer));
    let privacy = json!({"capture": "truncated", "redact": ["EMP-[0-9]+"]});
    let site = Site::start(json!({"privacy": privacy}), &fixtures).await;
    let mut entries = Vec::new();
    for travel in ["whole", "cut=11"] {
        entries.extend(site.replay(&fixtures, travel).await);
    }
    for (fixture, entry) in &entries {
        for (key, word) in WORDS.iter().zip([&prompt, &answer]) {
            let text = entry[*key]
                .as_str()
                .unwrap_or_else(|| panic!("the access log line of {fixture} has no {key}: {entry}"));
            assert!(text.starts_with(&format!("{word}: {REDACTED}. é é")), "{fixture}: {text}");
            assert_eq!(text.chars().count(), 1000, "{fixture} {key}");
        }
    }
    let outputs = site.outputs(entries.len()).await;
    assert_eq!(said(&outputs, &WORDS), Vec::<String>::new());
    for (kind, text) in &outputs {
        assert!(!text.contains("ada@mail") && !text.contains("EMP-4711"), "{kind}: {text}");
        assert!(*kind == "span" || *kind == "access log" || !text.contains(MARK), "{kind}: {text}");
    }
    let with_words = || site.spans.spans().into_iter().filter(|span| span.text(WORDS[1]).is_some()).count();
    // The plugin sends its spans a moment later.
    let end = Instant::now() + PATIENCE;
    while with_words() < 2 * entries.len() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        with_words(),
        2 * entries.len(),
        "the captured texts must be in Envoy's span and the plugin's span of each call"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_sampling_selects_whole_traces() {
    let fixtures = conversations(&word(), &word());
    let site = Site::start(json!({"privacy": {"capture": "sampled", "sample": 0.5}}), &fixtures[..1]).await;
    let mut seen = [0, 0];
    for number in 0..200_u64 {
        let trace = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let parent = format!("00-{:016x}{trace:016x}-{:016x}-01", !trace, number + 1);
        let uuid = format!("{number:08x}-0000-9000-80{:02x}-{:012x}", trace & 0xff, trace >> 8 & 0xffff_ffff_ffff);
        // Half of the calls have no trace. They are sampled by call.
        let (header, value, calls) =
            if number % 2 == 0 { ("traceparent", parent, 3) } else { ("x-request-id", uuid, 2) };
        let mut captured = Vec::new();
        for _ in 0..calls {
            let id = client::request_id();
            let own = [("x-request-id", id.as_str())];
            let own = if header == "x-request-id" { &[][..] } else { &own[..] };
            let before = site.envoy.entries().len();
            client::replay(site.envoy.addr, &fixtures[0], &[own, &[(header, value.as_str())]].concat()).await;
            let entries = site.envoy.entries_of(before + 1, PATIENCE).await;
            captured.push(WORDS.map(|key| entries[before][key].is_string()));
        }
        assert!(captured.iter().all(|one| *one == captured[0]), "{header} {value}: {captured:?}");
        assert_eq!(captured[0][0], captured[0][1]);
        seen[usize::from(captured[0][0])] += 1;
    }
    assert!(seen.iter().all(|count| (70..=130).contains(count)), "about half of 200 must be captured, not {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_are_hmacs_of_the_documented_texts_and_distinguish_conversations() {
    const KEY: &str = "a key of the team's";
    let texts =
        ["You are terse.", "Which wind is the mistral?", "A cold one.", "And the föhn?", "Which wind is the föhn?"];
    let expected = hmac(KEY, &texts);
    let turn = |id: &str, said: &[(&str, &str)], tool: &str| {
        let messages: Vec<_> = said.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        let tools = json!([{"type": "function", "function": {"name": "wind", "description": tool}}]);
        let request = json!({"model": "gpt-4o", "messages": messages, "tools": tools});
        Fixture::made(
            id,
            ("api.openai.com", "/v1/chat/completions"),
            &request,
            "application/json",
            chat(texts[2], "stop"),
        )
    };
    let first = [("system", texts[0]), ("user", texts[1])];
    let second = [first[0], first[1], ("assistant", texts[2]), ("user", texts[3])];
    let fixtures = [
        turn("turn/1", &first, "tells"),
        turn("turn/2", &second, "tells"),
        turn("turn/other", &[("system", texts[0]), ("user", texts[4])], "asks"),
        Fixture::load("openai-responses/unary-conversation-object"),
    ];
    let all = ["conversation", "last_message", "prompt", "response", "system", "tools"];
    let config = |hash: &[&str], key: &str| json!({"privacy": {"hash": hash, "key": key}, "conversation": {"header": "x-session"}});
    let site = Site::start(config(&all, KEY), &fixtures).await;
    let seen = site.replay(&fixtures, "whole").await;
    let of = |at: usize, key: &str| seen[at].1[format!("gaugeway.{key}")].as_str().unwrap_or_default().to_owned();
    assert_eq!([0, 1, 2].map(|at| of(at, "prompt.hash")), [1, 3, 4].map(|text| expected[text][..16].to_owned()));
    assert_eq!(of(0, "response.hash"), expected[2][..16]);
    assert_eq!([0, 1, 2].map(|at| of(at, "system.hash")), [0, 0, 0].map(|text: usize| expected[text][..16].to_owned()));
    assert_eq!(of(0, "conversation.hash"), of(1, "conversation.hash"));
    assert_eq!(of(0, "tools.hash"), of(1, "tools.hash"));
    for key in ["conversation.hash", "tools.hash", "prompt.full_hash"] {
        assert_eq!(of(0, key).len(), 16, "{key}");
        assert_ne!(of(0, key), of(2, key), "{key}");
    }
    let records = |said: &[(&str, &str)]| {
        let record = |(role, text): &(&str, &str)| {
            let length = (text.len() as u64).to_be_bytes();
            [text.as_bytes(), &length, b"T", &[0; 8], &role.as_bytes()[..1]].concat()
        };
        hmac_of(KEY, &[said.iter().flat_map(record).collect()])[0][..16].to_owned()
    };
    assert_eq!([0, 1].map(|at| of(at, "prompt.full_hash")), [records(&first), records(&second)]);
    let both = unhex(&expected[0]).into_iter().chain(unhex(&expected[1])).collect::<Vec<_>>();
    assert_eq!(of(0, "conversation.hash"), hmac_of(KEY, &[both])[0][..16]);

    // Only a call that names its conversation has a conversation id. A header takes precedence over the body.
    let named = seen.iter().map(|(_, entry)| entry["gen_ai.conversation.id"].as_str());
    let own = fixtures[3].observation["gen_ai.conversation.id"].as_str();
    assert_eq!(named.collect::<Vec<_>>(), [None, None, None, own]);
    assert!(own.is_some());
    for (fixture, value, id) in [(0, "s-17", Some("s-17")), (3, "s-18", Some("s-18")), (0, "", None), (3, "", own)] {
        let request = client::request_id();
        client::replay(site.envoy.addr, &fixtures[fixture], &[("x-request-id", &request), ("x-session", value)]).await;
        let entry = site.envoy.entry(&request, PATIENCE).await.unwrap();
        assert_eq!(entry["gen_ai.conversation.id"].as_str(), id, "{value:?}");
    }

    let site = Site::start(config(&["tools"], ""), &fixtures).await;
    for (fixture, entry) in site.replay(&fixtures[..3], "whole").await {
        let has: Vec<_> = entry.as_object().unwrap().keys().filter(|key| key.ends_with("hash")).cloned().collect();
        assert_eq!(has, ["gaugeway.tools.hash"], "{fixture}");
        assert_ne!(entry["gaugeway.tools.hash"], of(0, "tools.hash"), "another key must give another hash");
        assert!(entry["gaugeway.prompt.characters"].is_string(), "the length must still be reported");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structured_output_empty_answers_and_refusals_are_counted_in_streams_too() {
    let schema = json!({"type": "object", "required": ["wind", "from"], "properties": {"wind": {"required": ["x"]}}});
    let asked = |id: &str, answer: String, kind: &str| {
        let format = json!({"type": "json_schema", "json_schema": {"name": "wind", "schema": schema}});
        let request = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}], "response_format": format,
            "stream": kind == "text/event-stream"});
        Fixture::made(id, ("api.openai.com", "/v1/chat/completions"), &request, kind, answer)
    };
    let cases = [
        ("{\"from\": \"north\", \"wind\": {}}", "stop"),
        ("{\"from\": {\"wind\": 1}}", "stop"),
        ("```json\n{}\n```", "stop"),
        ("{\"from\": \"north\", \"wind\": 1", "length"),
        ("", "stop"),
        ("", "content_filter"),
    ];
    let mut fixtures = Vec::new();
    for (number, (text, end)) in cases.iter().enumerate() {
        fixtures.push(asked(&format!("judged/{number}"), chat(text, end), "application/json"));
        fixtures.push(asked(&format!("judged/{number}-stream"), chat_stream(text, end), "text/event-stream"));
    }
    fixtures.extend(
        [
            "openai-chat/unary-refusal",
            "openai-chat/stream-refusal",
            "anthropic-messages/unary-refusal",
            "openai-responses/unary-refusal",
            "gemini-generate/stream-safety-finish",
        ]
        .map(Fixture::load),
    );
    let site = Site::start(json!({}), &fixtures).await;
    let entries = [site.replay(&fixtures, "whole").await, site.replay(&fixtures, "cut=5").await].concat();
    let samples = site.envoy.samples().await;
    let outputs = ["ok", "incomplete", "failed"]
        .map(|result| total(&samples, "gaugeway_structured_output_total", &[("result", result)]));
    let told = entries.iter().map(|(id, entry)| (id, &entry["gaugeway.outcome"], &entry["gen_ai.output.type"]));
    assert_eq!(outputs, [4.0, 4.0, 8.0], "{:?}", told.collect::<Vec<_>>());
    assert_eq!(total(&samples, "gaugeway_empty_answers_total", &[]), 4.0);
    assert_eq!(total(&samples, "gaugeway_refusals_total", &[]), 4.0 + 10.0);
}

/// An Envoy whose access log, spans and metrics contain everything.
pub struct Site {
    _upstream: Upstream,
    spans: Receiver,
    envoy: Envoy,
}

impl Site {
    /// Starts Envoy with its own spans, the plugin's spans, feedback and an access log that contains everything.
    pub async fn start(mut config: Value, fixtures: &[Fixture]) -> Self {
        let upstream = Upstream::start(fixtures.to_vec()).await;
        let spans = Receiver::start().await;
        config["otlp"] = json!({"cluster": "otlp"});
        config["feedback"] = json!({"path": "/feedback", "secret": "correct-horse-battery"});
        let replace = vec![envoy::holding_requests()];
        let options =
            Options { config, replace, otlp: Some(spans.addr), log_level: "debug", ..Options::to(upstream.addr) };
        Self { envoy: Envoy::start(&options).await, _upstream: upstream, spans }
    }

    /// Sends the fixtures and returns the access log line of each.
    pub async fn replay(&self, fixtures: &[Fixture], travel: &str) -> Vec<(String, Value)> {
        let mut entries = Vec::new();
        for fixture in fixtures {
            let id = client::request_id();
            client::replay(self.envoy.addr, fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
            let entry = self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
            entries.push((fixture.id.clone(), entry));
        }
        entries
    }

    /// Returns everything that Envoy has written or sent, as kind and text, once it is complete.
    pub async fn outputs(&self, calls: usize) -> Vec<(&'static str, String)> {
        for _ in 0..60 {
            if self.spans_of("llm-gateway") >= calls && self.spans_of("gaugeway") >= calls {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let entries = self.envoy.entries_of(calls, PATIENCE).await;
        let mut all: Vec<_> = entries.into_iter().map(|entry| ("access log", entry.to_string())).collect();
        for span in self.spans.spans() {
            all.push(("span", json!({"name": span.name, "status": span.status}).to_string()));
            let attributes: BTreeMap<_, _> =
                span.attributes.iter().map(|(key, value)| (key, value.to_string())).collect();
            all.push(("span", json!(attributes).to_string()));
        }
        for path in ["/stats", "/stats/prometheus"] {
            all.extend(self.envoy.admin(path).await.lines().map(|line| ("metrics", line.to_owned())));
        }
        all.extend(self.envoy.log().lines().map(|line| ("log", line.to_owned())));
        all
    }

    fn spans_of(&self, service: &str) -> usize {
        self.spans.spans().iter().filter(|span| span.service == service).count()
    }
}

/// Returns the outputs that contain a marker word under a key that is not allowed.
fn said(outputs: &[(&str, String)], allowed: &[&str]) -> Vec<String> {
    let without = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut members)) => {
            members.retain(|key, _| !allowed.contains(&key.as_str()));
            Value::Object(members).to_string()
        }
        _ => text.to_owned(),
    };
    let found = outputs.iter().filter(|(_, text)| without(text).contains(MARK));
    found.map(|(kind, text)| format!("{kind}: {text}")).collect()
}

fn completed_calls(site: &Site) -> f64 {
    let names = site
        .envoy
        .entries()
        .into_iter()
        .filter_map(|entry| Some(entry["gaugeway.tool_call.names"].as_str()?.to_owned()));
    names.map(|names| serde_json::from_str::<Vec<String>>(&names).unwrap().len() as f64).sum()
}

fn chat(text: &str, end: &str) -> String {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4});
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": end});
    json!({"id": "c", "object": "chat.completion", "model": "gpt-4o", "choices": [choice], "usage": usage}).to_string()
}

/// A stream of OpenAI's chat completions with one event for each letter of the text.
pub fn chat_stream(text: &str, end: &str) -> String {
    let event = |delta: Value, end: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": end});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]})
        )
    };
    let letters = text.chars().map(|letter| event(json!({"content": letter}), Value::Null)).collect::<String>();
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}});
    letters + &event(json!({}), end.into()) + &format!("data: {usage}\n\ndata: [DONE]\n\n")
}

/// HMAC-SHA-256 in hexadecimal, computed by Python's implementation.
fn hmac(key: &str, texts: &[&str]) -> Vec<String> {
    hmac_of(key, &texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
}

fn hmac_of(key: &str, texts: &[Vec<u8>]) -> Vec<String> {
    const CODE: &str = "import hmac, sys\nfor t in sys.argv[2:]: print(hmac.new(sys.argv[1].encode(), bytes.fromhex(t), 'sha256').hexdigest())";
    let hex = texts.iter().map(|text| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let output = Command::new("python3").args(["-c", CODE, key]).args(hex).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
