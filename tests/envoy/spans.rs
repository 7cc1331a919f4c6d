//! The trace of an agent run that the plugin exports from a real Envoy with two workers: parents of spans, with and
//! without other spans, and a collector that is slow, broken or missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::agent::{Api, Conversation, Line, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);
const SPANS: &str = "gaugeway_spans_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_three_calls_is_one_trace_under_the_span_of_the_first_call() {
    let site = Site::start(true, json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let apis = [Api::Completions, Api::Messages, Api::Responses].into_iter().enumerate();
    for (number, api, stream, parent) in apis.flat_map(|(n, api)| [(n, api, false, true), (n, api, true, false)]) {
        let client = (format!("{:032x}", 0xabc0 + number), format!("{:016x}", 0xdef0 + number));
        let mut conversation = Conversation::new(api, stream);
        if parent {
            conversation.headers.push(("traceparent", format!("00-{}-{}-01", client.0, client.1)));
        }
        let requests = three(&mut conversation, &mut lines).await;
        let envoys =
            [site.envoys(&requests[0]).await, site.envoys(&requests[1]).await, site.envoys(&requests[2]).await];
        let run = Trace::of(&site, &envoys[0].trace_id).await;

        // Envoy's span of the first call is between the client's span and the run's span.
        assert_eq!((envoys[0].trace_id == client.0, envoys[0].parent_id == client.1), (parent, parent));
        assert_eq!(run.agent.parent_id, envoys[0].span_id, "{api:?}");
        // Envoy's spans of the later calls keep their own traces and are linked.
        let linked: Vec<_> = run.chats.iter().map(|chat| chat.links.clone()).collect();
        let link = |span: &Span| vec![(span.trace_id.clone(), span.span_id.clone())];
        assert_eq!(linked, [vec![], link(&envoys[1]), link(&envoys[2])], "{api:?}");

        let model = if api == Api::Messages { "claude-sonnet-4-20250514" } else { "gpt-4o" };
        for (chat, iteration) in run.chats.iter().zip(1..) {
            assert_eq!(
                (chat.name.as_str(), chat.kind.as_str(), chat.status.as_str()),
                (&*format!("chat {model}"), "CLIENT", "UNSET")
            );
            for (key, value) in [
                ("gen_ai.operation.name", Attribute::String("chat".into())),
                ("gen_ai.response.model", Attribute::String(model.into())),
                ("gen_ai.usage.input_tokens", Attribute::Int(50)),
                ("gaugeway.agent.iteration", Attribute::Int(iteration)),
                ("gaugeway.outcome", Attribute::String("completed".into())),
            ] {
                assert_eq!(chat.attributes.get(key), Some(&value), "{api:?} {key} in {chat:?}");
            }
            assert!(matches!(chat.attributes.get("gaugeway.cost.usd"), Some(Attribute::Double(usd)) if *usd > 0.0));
            assert!(
                matches!(chat.attributes.get("gen_ai.response.finish_reasons"), Some(Attribute::Strings(reasons)) if reasons.len() == 1)
            );
            assert_eq!(chat.attributes.get("gen_ai.request.stream"), stream.then_some(&Attribute::Bool(true)));
        }
        for (tool, (name, between)) in run.tools.iter().zip(["search", "read"].into_iter().zip(run.chats.windows(2))) {
            assert_eq!((tool.name.as_str(), tool.kind.as_str()), (&*format!("execute_tool {name}"), "INTERNAL"));
            assert_eq!(tool.text("gen_ai.operation.name"), Some("execute_tool"));
            assert_eq!(tool.text("gen_ai.tool.name"), Some(name));
            assert!(
                tool.end == between[1].start && tool.start >= between[0].start && tool.start <= tool.end,
                "{api:?}"
            );
        }
        assert_eq!((run.agent.start, run.agent.end), (run.chats[0].start, run.chats[2].end));
        assert_eq!(run.agent.text("gen_ai.operation.name"), Some("invoke_agent"));
        assert_eq!(run.agent.text("gaugeway.agent.status"), Some("completed"));
        assert_eq!(run.agent.attributes.get("gaugeway.agent.iterations"), Some(&Attribute::Int(3)));
    }
    site.assert_all_sent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_a_single_call_is_beside_envoys_if_the_application_sends_its_trace_and_else_below_it() {
    let site = Site::start(true, json!({})).await;
    let mut line = Line::open(site.envoy.addr).await.unwrap();
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    for has_parent in [true, false] {
        let mut conversation = Conversation::plain();
        if has_parent {
            conversation.headers.push(("traceparent", format!("00-{trace}-{span}-01")));
        }
        let envoys = site.envoys(&conversation.turn(&mut line, "echo").await.request_id).await;
        let own = |one: &Span| one.trace_id == envoys.trace_id && one.service != "llm-gateway";
        let own = site.spans.wait_for(own, PATIENCE).await.expect("the plugin sent no span in the trace of Envoy's");
        let expected = if has_parent { [span, span] } else { ["", &envoys.span_id] };
        assert_eq!([envoys.parent_id.as_str(), own.parent_id.as_str()], expected, "{envoys:?} {own:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_envoys_spans_a_run_has_the_clients_span_as_parent_or_starts_a_trace() {
    let site = Site::start(false, json!({"agent": {"abandoned_after": 1}, "otlp": {"service": "helpdesk"}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let client = |flags: &str| ("traceparent", format!("00-{trace}-{span}-{flags}"));

    // The run is not recorded. The runs after it show that its spans are never sent.
    let mut silent = Conversation::new(Api::Completions, false);
    silent.headers.push(client("00"));
    for number in 0..2 {
        lines.rotate_left(number);
        three(&mut silent.clone(), &mut lines).await;
    }

    let mut alone = Conversation::new(Api::Completions, true);
    let requests = three(&mut alone, &mut lines).await;
    let run = Trace::of(&site, &requests[0].replace('-', "")).await;
    assert_eq!(run.agent.parent_id, "");
    assert!(run.chats.iter().all(|chat| chat.links.is_empty()));

    let mut under = Conversation::new(Api::Messages, false);
    under.headers.push(client("01"));
    three(&mut under, &mut lines).await;
    let run = Trace::of(&site, trace).await;
    assert_eq!(run.agent.parent_id, span);
    assert!(run.chats.iter().all(|chat| chat.links.is_empty()));

    // The sampling flag of a later call has no effect. A single call without tools has no run.
    let mut mixed = Conversation::new(Api::Completions, false);
    let first = mixed.turn(&mut lines[0], "agent=2").await;
    mixed.add_results(&first.calls);
    mixed.headers.push(("traceparent", format!("00-{trace}-{span}-00")));
    mixed.run(&mut lines, "agent=2").await;
    Trace::of(&site, &first.request_id.replace('-', "")).await;

    // Each call starts at the last event of the previous call, before the plugin has stored that call's trace context,
    // and ends after it.
    let (mut hasty, mut open, mut requests) = (Conversation::new(Api::Messages, true), Vec::new(), Vec::new());
    for linger in ["linger=300", "linger=500", "linger=700"] {
        let mut line = Line::open(site.envoy.addr).await.unwrap();
        let turn = hasty.turn(&mut line, &format!("agent=2 {linger}")).await;
        hasty.add_results(&turn.calls);
        requests.push(turn.request_id.replace('-', ""));
        open.push((line, turn.rest));
    }
    Trace::of(&site, &requests[0]).await;
    drop(open);

    // A run that is never continued.
    let mut left = Conversation::new(Api::Responses, false);
    let request = left.turn(&mut lines[0], "agent=2").await.request_id.replace('-', "");
    let agent =
        site.spans.wait_for(|one| one.trace_id == request && one.name == "invoke_agent", PATIENCE).await.unwrap();
    assert_eq!((agent.text("gaugeway.agent.status"), agent.status.as_str()), (Some("abandoned"), "ERROR"));
    assert_eq!(agent.text("error.type"), Some("abandoned"));

    site.assert_all_sent().await;
    let spans = site.spans.spans();
    assert!(spans.iter().all(|span| span.service == "helpdesk"));
    assert_eq!(spans.len(), 4 * 6 + 2, "there must be the spans of four runs and of one abandoned run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_do_not_fit_while_the_collector_is_slow_or_broken_are_dropped_and_counted() {
    let site = Site::start(false, json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let by = |samples: &[_]| {
        ["sent", "failed", "dropped"].map(|result| total(samples, SPANS, &[("result", result)]) as usize)
    };

    // The collector accepts requests and does not answer. One request of each worker is in flight and the queue fills.
    site.spans.answer(0);
    calls(&mut lines, 20).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    calls(&mut lines, 2000).await;
    let samples = site.envoy.samples_when(|samples| by(samples)[2] > 0, PATIENCE).await;
    let [_, _, dropped] = by(&samples);
    assert!(dropped > 500 && dropped < 2000, "{dropped} spans were dropped, not 500 to 2000");
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), 2020.0);
    // The request times out; then the collector is not available; then it works. Only the dropped spans are missing.
    site.spans.answer(503);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let [sent, failed, dropped] = by(&site.envoy.samples().await);
    assert_eq!((sent, failed), (0, 0));
    site.spans.answer(200);
    let samples = site.envoy.samples_when(|samples| by(samples).iter().sum::<usize>() == 2020, Duration::from_secs(40));
    assert_eq!(by(&samples.await), [2020 - dropped, 0, dropped]);
    assert_eq!(site.spans.spans().len(), 2020 - dropped);
    calls(&mut lines, 40).await;
    let samples = site.envoy.samples_when(|samples| by(samples)[0] == 2060 - dropped, PATIENCE).await;
    assert_eq!(by(&samples), [2060 - dropped, 0, dropped]);
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_collector_cluster_is_logged_once_per_worker_and_calls_still_work() {
    let site = Site::start(false, json!({"otlp": {"cluster": "nowhere"}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for round in 1..=3 {
        calls(&mut lines, 4).await;
        let failed = |samples: &[_]| total(samples, SPANS, &[("result", "failed")]);
        let samples = site.envoy.samples_when(|samples| failed(samples) == f64::from(round) * 4.0, PATIENCE).await;
        assert_eq!(failed(&samples), f64::from(round) * 4.0);
    }
    let log = site.envoy.log();
    let told = |line: &&str| line.contains("gaugeway: otlp.cluster: Envoy cannot send to 'nowhere'");
    assert_eq!(log.lines().filter(told).count(), 2, "each worker must log one line: {log}");
    assert_eq!(log.matches("[wasm]").count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_cluster_without_endpoints_keeps_the_spans_and_calls_still_work() {
    // Envoy answers the plugin's HTTP call before the host call returns.
    let cluster = "{name: empty, connect_timeout: 1s, load_assignment: {cluster_name: empty}}".to_owned();
    let site = Site::with(false, json!({"otlp": {"cluster": "empty"}}), &[cluster]).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for _ in 0..3 {
        calls(&mut lines, 4).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let samples = site.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), 12.0);
    let tried = total(&samples, "envoy_cluster_upstream_cx_none_healthy", &[("envoy_cluster_name", "empty")]);
    assert!((4.0..=10.0).contains(&tried), "each worker must have tried two to five times, together {tried}");
    assert_eq!(total(&samples, SPANS, &[]), 0.0);
    assert!(!site.envoy.log().contains("panicked"), "{}", site.envoy.log());
}

struct Site {
    _upstream: Upstream,
    spans: Receiver,
    envoy: Envoy,
}

impl Site {
    /// Starts Envoy; it and the plugin send their spans to the same collector.
    async fn start(tracing: bool, config: serde_json::Value) -> Self {
        Self::with(tracing, config, &[]).await
    }

    /// Like `start`, with more clusters.
    async fn with(tracing: bool, mut config: serde_json::Value, clusters: &[String]) -> Self {
        let upstream = Upstream::start(Vec::new()).await;
        let spans = Receiver::start().await;
        let otlp = config.as_object_mut().unwrap().entry("otlp").or_insert_with(|| json!({}));
        otlp.as_object_mut().unwrap().entry("cluster").or_insert_with(|| json!("otlp"));
        let options = Options { concurrency: 2, tracing, config, otlp: Some(spans.addr), ..Options::to(upstream.addr) };
        let options = if clusters.is_empty() { options } else { options.with(&[], clusters) };
        let envoy = Envoy::start(&options).await;
        Self { _upstream: upstream, spans, envoy }
    }

    /// Envoy's own span of a call.
    async fn envoys(&self, request_id: &str) -> Span {
        self.spans.wait_for_request(request_id, PATIENCE).await.expect("Envoy sent no span for the request")
    }

    /// Waits until the plugin has counted every span as sent, and checks that each arrived exactly once.
    async fn assert_all_sent(&self) {
        let deadline = Instant::now() + PATIENCE;
        let (counted, sent, mut ids) = loop {
            let own = self.spans.spans().into_iter().filter(|span| span.service != "llm-gateway");
            let ids: Vec<_> = own.map(|span| (span.trace_id, span.span_id)).collect();
            let samples = self.envoy.samples().await;
            let (counted, sent) = (total(&samples, SPANS, &[]), total(&samples, SPANS, &[("result", "sent")]));
            if (counted, sent) == (ids.len() as f64, ids.len() as f64) || Instant::now() > deadline {
                break (counted, sent, ids);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!((counted, sent), (ids.len() as f64, ids.len() as f64), "counted and sent spans");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len() as f64, counted, "the number of span ids differs from the number of spans");
    }
}

/// The spans of a run of three calls and two tools, in time order.
struct Trace {
    agent: Span,
    chats: Vec<Span>,
    tools: Vec<Span>,
}

impl Trace {
    /// Collects the plugin's spans of a trace once there are six. All spans but the run's own must be its children.
    async fn of(site: &Site, trace: &str) -> Self {
        let own = |span: &Span| span.trace_id == trace && span.service != "llm-gateway";
        site.spans.wait_for(|span| own(span) && span.name == "invoke_agent", PATIENCE).await;
        let mut kinds = BTreeMap::<_, Vec<_>>::new();
        let mut spans: Vec<_> = Vec::new();
        for _ in 0..300 {
            spans = site.spans.spans().into_iter().filter(own).collect();
            if spans.len() >= 6 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        spans.sort_by_key(|span| span.start);
        for span in spans {
            kinds.entry(span.name.split(' ').next().unwrap_or_default().to_owned()).or_default().push(span);
        }
        let mut take = |kind: &str| kinds.remove(kind).unwrap_or_default();
        let (agent, chats, tools) = (take("invoke_agent"), take("chat"), take("execute_tool"));
        assert_eq!((agent.len(), chats.len(), tools.len()), (1, 3, 2), "{:?}", site.spans.spans());
        let agent = agent.into_iter().next().unwrap();
        assert!(chats.iter().chain(&tools).all(|span| span.parent_id == agent.span_id));
        Self { agent, chats, tools }
    }
}

/// Sends a run of three calls over both workers and returns the request ids.
async fn three(conversation: &mut Conversation, lines: &mut [Line; 2]) -> Vec<String> {
    let mut requests = Vec::new();
    for number in 0..3 {
        let turn = conversation.turn(&mut lines[number % 2], "agent=2").await;
        conversation.add_results(&turn.calls);
        requests.push(turn.request_id);
    }
    requests
}

/// Sends `count` calls without tools over both workers.
async fn calls(lines: &mut [Line; 2], count: usize) {
    for number in 0..count {
        let turn = Conversation::plain().turn(&mut lines[number % 2], "echo").await;
        assert_eq!(turn.status, 200);
    }
}
