//! Internal redirects: Envoy follows a redirect of the provider itself, for example to another model. The client makes one
//! call, and one call is reported.

use std::net::SocketAddr;
use std::time::Duration;

use crate::collector::{Collector, text};
use crate::support::acting::{ActingUpstream, Served, TOKENS, answer};
use crate::support::client::{self, Http, Reply};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::prometheus::{Sample, total};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);
/// A redirect to the route of the fallback.
const FALLBACK: &str = "to=/fallback/v1/chat/completions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_call_is_reported_once_for_the_leg_that_answered() {
    let gateway = Gateway::start(json!({}), false).await;
    for _ in 0..3 {
        let call = gateway.call(&body(false, None), &format!("{FALLBACK} ok")).await;
        assert_eq!(call.reply.status, 200);
        let [away, answered] = call.entries.as_slice() else { panic!("{:#?}", call.entries) };
        assert_eq!((&away["response_code"], &away["gaugeway.outcome"]), (&302.into(), &"redirected".into()), "{away}");
        assert!(away["error.type"].is_null() && away["gaugeway.cost.usd"].is_null(), "{away}");
        assert_eq!(
            (&answered["route"], &answered["gaugeway.outcome"], &answered["gen_ai.usage.input_tokens"]),
            (&"fallback".into(), &"completed".into(), &TOKENS.0.to_string().into()),
            "{answered}"
        );
        assert!(answered["error.type"].is_null(), "{answered}");
    }
    let samples = gateway.counted(3.0).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 3.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("route", "fallback"), ("outcome", "completed")]), 3.0);
    assert_eq!(total(&samples, "gaugeway_input_tokens_total", &[]), (3 * TOKENS.0) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_starts_with_its_first_leg() {
    let gateway = Gateway::start(json!({}), false).await;
    let call = gateway.call(&body(true, Some(true)), &format!("wait=400,{FALLBACK} ok")).await;
    let first_token: f64 = call.entries[1]["gaugeway.time_to_first_token"].as_str().unwrap().parse().unwrap();
    assert!(first_token >= 0.4, "{first_token} s: {:#?}", call.entries);
    let duration = call.entries[1]["duration_ms"].as_u64().unwrap() as f64 / 1000.0;
    assert!(first_token <= duration + 0.01, "the first token came after {first_token} s of {duration} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_that_the_client_gets_is_reported() {
    let gateway = Gateway::start(json!({}), false).await;
    let call = gateway.call(&body(false, None), &format!("{FALLBACK} to=/third/v1/chat/completions")).await;
    // The route allows one internal redirect.
    assert_eq!(call.reply.status, 302);
    assert_eq!(call.entries.len(), 2, "{:#?}", call.entries);
    let samples = gateway.counted(1.0).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("route", "fallback")]), 1.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_client_gets_no_usage_that_it_did_not_ask_for() {
    let gateway = Gateway::start(json!({"stream_usage": {"inject": true}}), false).await;
    let mut calls = 0.0;
    for asks in [None, Some(false), Some(true)] {
        for acts in ["ok".to_owned(), format!("{FALLBACK} ok")] {
            let asked = body(true, asks);
            let call = gateway.call(&asked, &acts).await;
            let expected = answer(asked.as_bytes()).1.replace(r#","usage":null"#, "");
            let got = String::from_utf8(call.reply.body.to_vec()).unwrap();
            let is_client_s = if asks == Some(true) { answer(asked.as_bytes()).1 } else { expected };
            assert_eq!(got, is_client_s, "include_usage {asks:?}, {acts}");
            let last = call.served.last().unwrap();
            assert_eq!(String::from_utf8_lossy(&last.body).contains("\"include_usage\":true"), asks != Some(false));
            let tokens = call.entries.last().unwrap()["gen_ai.usage.input_tokens"].as_str().map(str::to_owned);
            assert_eq!(tokens, (asks != Some(false)).then(|| TOKENS.0.to_string()), "include_usage {asks:?}, {acts}");
            calls += 1.0;
        }
    }
    let samples = gateway.counted(calls).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), calls);
    // Both calls that did not decide are counted, the redirected one too.
    for labels in [&[("result", "injected")][..], &[]] {
        assert_eq!(total(&samples, "gaugeway_usage_injections_total", labels), 2.0, "{labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_the_client_does_not_make_a_call_a_redirected_one() {
    let gateway = Gateway::start(json!({"stream_usage": {"inject": true}}), true).await;
    let call = gateway.call(&body(true, None), "ok").await;
    let got = String::from_utf8(call.reply.body.to_vec()).unwrap();
    assert_eq!(got, answer(body(true, None).as_bytes()).1);
    assert_eq!(total(&gateway.counted(1.0).await, "gaugeway_requests_total", &[("outcome", "completed")]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_call_has_one_span_from_its_first_leg_to_the_end_of_the_answer() {
    let collector = Collector::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": ""}});
    let gateway = Gateway::exporting(config, false, Some(collector.addr)).await;
    for acts in [format!("wait=400,{FALLBACK} ok"), "ok".to_owned()] {
        assert_eq!(gateway.call(&body(false, None), &acts).await.reply.status, 200);
    }
    let spans = collector.spans_when(2, PATIENCE).await;
    let [redirected, plain] = spans.as_slice() else { panic!("{spans:#?}") };
    let seconds = (redirected.end_time_unix_nano - redirected.start_time_unix_nano) as f64 / 1e9;
    assert!((0.4..5.0).contains(&seconds), "{seconds} s");
    for span in [redirected, plain] {
        assert_eq!(text(&span.attributes, "gaugeway.outcome").as_deref(), Some("completed"), "{span:?}");
        assert_eq!(text(&span.attributes, "gen_ai.usage.input_tokens"), Some(TOKENS.0.to_string()), "{span:?}");
    }
    assert_ne!(redirected.trace_id, plain.trace_id);
}

struct Gateway {
    upstream: ActingUpstream,
    envoy: Envoy,
    /// True if the client pretends that its request was redirected.
    pretends: bool,
}

struct Call {
    reply: Reply,
    /// The lines of the access log, one per leg.
    entries: Vec<Value>,
    served: Vec<Served>,
}

impl Gateway {
    async fn start(config: Value, pretends: bool) -> Self {
        Self::exporting(config, pretends, None).await
    }

    /// The same with the collector of the cluster `otlp`.
    async fn exporting(config: Value, pretends: bool, otlp: Option<SocketAddr>) -> Self {
        let upstream = ActingUpstream::start().await;
        let redirects = "internal_redirect_policy: {max_internal_redirects: 1, redirect_response_codes: [302]}";
        let route = "route: {cluster: llm, timeout: 0s";
        let mut options = Options { config, otlp, ..Options::to(upstream.addr) };
        options.replace.push((format!("{route}}}   # 0s"), format!("{route}, {redirects}}}   # 0s")));
        options.replace.push(envoy::holding_requests());
        let fallback = format!("{{name: fallback, match: {{prefix: /fallback/}}, {route}, {redirects}}}}}");
        Self { envoy: Envoy::start(&options.with(&[&fallback], &[])).await, upstream, pretends }
    }

    /// Makes a call, of which each leg has its word in `acts`.
    async fn call(&self, body: &str, acts: &str) -> Call {
        let id = client::request_id();
        let mut request = Request::post("/v1/chat/completions").header("host", "api.openai.com");
        if self.pretends {
            request = request.header("x-envoy-original-url", "http://api.openai.com/before");
        }
        let request = request.header("x-request-id", &id).header("x-acts", acts);
        let request = request.header("content-type", "application/json").body(Full::from(body.to_owned())).unwrap();
        let reply = client::send(self.envoy.addr, request, Http::One).await.unwrap();
        let served: Vec<_> = self.upstream.served().into_iter().filter(|one| one.request_id == id).collect();
        let of_call = |entry: &&Value| entry["request_id"] == id.as_str();
        let last = served.len();
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let entries: Vec<_> = self.envoy.entries().iter().filter(of_call).cloned().collect();
            if entries.len() == last {
                return Call { reply, entries, served };
            }
            assert!(std::time::Instant::now() < end, "{entries:#?}\n{}", self.envoy.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The metrics once `count` calls are counted.
    async fn counted(&self, count: f64) -> Vec<Sample> {
        self.envoy.samples_when(|samples| total(samples, "gaugeway_requests_total", &[]) >= count, PATIENCE).await
    }
}

/// A request that sets `include_usage` to `asks`, if it is given.
fn body(stream: bool, asks: Option<bool>) -> String {
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Is it?"}]});
    if stream {
        body["stream"] = true.into();
    }
    if let Some(asks) = asks {
        body["stream_options"] = json!({"include_usage": asks});
    }
    body.to_string()
}
