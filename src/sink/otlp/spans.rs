//! Spans of exchanges and agents' runs: `invoke_agent` with its `chat` and `execute_tool` spans.
//!
//! The trace of a run is the trace of its first call. The spans of later calls are children of the run's span and link to
//! their own trace. Spec: OTLP 1 (protobuf), OpenTelemetry's `gen_ai` spans. Memory: [`QUEUE`] bytes.

use super::wire::{attribute, bytes, fixed, number};
use crate::config::CacheAttribute;
use crate::observation::{Agent, Observation, Outcome, RunEnd, ToolResult};
use crate::sink::attributes::{ATTRIBUTES, AttributeValue};
use crate::trace_context::{RunSpan, TraceContext};

/// Maximum number of bytes of spans that wait to be sent. Further spans are dropped.
pub const QUEUE: usize = 256 * 1024;

/// Encoded spans that wait to be sent.
#[derive(Default)]
pub struct SpanQueue {
    /// The fields `spans` of a `ScopeSpans` message.
    spans: Vec<u8>,
    count: u64,
    /// Number of dropped spans. The caller resets it.
    pub dropped: u64,
}

impl SpanQueue {
    /// The spans of an exchange that is over, at `place` and as part of `run`. `names` is the setting `compat.cache_attribute`.
    pub fn exchange(&mut self, seen: &Observation, names: CacheAttribute, place: TraceContext, run: Option<RunSpan>) {
        let trace = run.map_or(place.trace, |run| run.trace);
        let parent = run.map_or(place.span, |run| run.span);
        let (start, end) = (seen.timing.start, seen.timing.end.unwrap_or(seen.timing.start));
        let model = seen.request.model.as_deref().or(seen.response.model.as_deref()).unwrap_or_default();
        let name = format!("{} {model}", seen.operation);
        let mut chat = Span::new(trace, place.derive(start, 1), parent, name.trim_end(), CLIENT, [start, end]);
        for attribute in ATTRIBUTES {
            if let Some(value) = attribute.value(seen, names) {
                chat.attribute(attribute.name, value);
            }
        }
        if place.span != [0; 8] && run.is_some_and(|run| ![run.span, run.parent].contains(&place.span)) {
            chat.link(place);
        }
        if seen.outcome != Some(Outcome::Completed) {
            chat.failed();
        }
        self.push(chat);

        let Some(run) = run else { return };
        for (at, result) in seen.agent.results.iter().enumerate() {
            if let Some(called_at) = result.called_at {
                let span = place.derive(start, 2 + at as u64);
                self.tool(result, Span::new(trace, span, run.span, &tool_name(result), INTERNAL, [called_at, start]));
            }
        }
        if let Some(ended) = seen.agent.ended {
            self.run(seen, run, ended, end);
        }
    }

    /// Adds the span of a run that ended at `end`.
    pub fn run(&mut self, seen: &Observation, run: RunSpan, ended: RunEnd, end: u64) {
        let mut span = Span::new(run.trace, run.span, run.parent, "invoke_agent", INTERNAL, [run.start, end]);
        span.attribute("gen_ai.operation.name", AttributeValue::Text("invoke_agent"));
        span.attribute("gen_ai.provider.name", AttributeValue::Text(&seen.provider));
        if let Some(model) = &seen.request.model {
            span.attribute("gen_ai.request.model", AttributeValue::Text(model));
        }
        // The run's span has the same client as the spans of its calls.
        for attribute in ATTRIBUTES.iter().filter(|attribute| OF_A_RUN.contains(&attribute.name)) {
            if let Some(value) = attribute.value(seen, CacheAttribute::default()) {
                span.attribute(attribute.name, value);
            }
        }
        span.attribute("gaugeway.agent.status", AttributeValue::Text(ended.as_str()));
        let Agent { iteration, looping, .. } = seen.agent;
        if let Some(iterations) = iteration {
            span.attribute("gaugeway.agent.iterations", AttributeValue::Count(iterations));
        }
        if let Some(kind) = looping {
            span.attribute("gaugeway.agent.loop", AttributeValue::Text(kind.as_str()));
        }
        if ended != RunEnd::Completed {
            span.attribute("error.type", AttributeValue::Text(ended.as_str()));
            span.failed();
        }
        self.push(span);
    }

    fn tool(&mut self, result: &ToolResult, mut span: Span) {
        span.attribute("gen_ai.operation.name", AttributeValue::Text("execute_tool"));
        if let Some(name) = &result.name {
            span.attribute("gen_ai.tool.name", AttributeValue::Text(name));
        }
        if let Some(bytes) = result.bytes {
            span.attribute("gaugeway.tool.result.bytes", AttributeValue::Count(bytes));
        }
        if result.failed {
            span.attribute("error.type", AttributeValue::Text("tool_error"));
            span.failed();
        }
        self.push(span);
    }

    fn push(&mut self, span: Span) {
        if self.spans.len() + span.0.len() > QUEUE {
            self.dropped += 1;
            return;
        }
        bytes(&mut self.spans, 2, &span.0);
        self.count += 1;
    }

    /// Removes all waiting spans. Returns them as an `ExportTraceServiceRequest`, and their number; None if there are none.
    pub fn export(&mut self, service: &str) -> Option<(Vec<u8>, u64)> {
        if self.count == 0 {
            return None;
        }
        let (mut resource, mut scope, mut scope_spans, mut resource_spans, mut request) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        attribute(&mut resource, 1, "service.name", &AttributeValue::Text(service));
        bytes(&mut scope, 1, b"gaugeway");
        bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
        bytes(&mut scope_spans, 1, &scope);
        scope_spans.append(&mut self.spans);
        bytes(&mut resource_spans, 1, &resource);
        bytes(&mut resource_spans, 2, &scope_spans);
        bytes(&mut request, 1, &resource_spans);
        Some((request, core::mem::take(&mut self.count)))
    }
}

fn tool_name(result: &ToolResult) -> String {
    format!("execute_tool {}", result.name.as_deref().unwrap_or_default()).trim_end().to_owned()
}

/// Attributes of an exchange that are also those of its run.
const OF_A_RUN: [&str; 6] = [
    "gen_ai.conversation.id",
    "gaugeway.client.name",
    "gaugeway.client.version",
    "gaugeway.agent.id",
    "gaugeway.agent.parent_id",
    "gaugeway.agent.name",
];

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CLIENT`
const INTERNAL: u64 = 1;
const CLIENT: u64 = 3;

/// An encoded `Span` message.
struct Span(Vec<u8>);

impl Span {
    fn new(trace: [u8; 16], span: [u8; 8], parent: [u8; 8], name: &str, kind: u64, times: [u64; 2]) -> Self {
        let mut out = Vec::with_capacity(512);
        bytes(&mut out, 1, &trace);
        bytes(&mut out, 2, &span);
        if parent != [0; 8] {
            bytes(&mut out, 4, &parent);
        }
        bytes(&mut out, 5, name.as_bytes());
        number(&mut out, 6, kind);
        for (field, time) in (7..).zip(times) {
            fixed(&mut out, field, time);
        }
        Span(out)
    }

    fn attribute(&mut self, key: &str, value: AttributeValue<'_>) {
        attribute(&mut self.0, 9, key, &value);
    }

    fn link(&mut self, to: TraceContext) {
        let mut link = Vec::new();
        bytes(&mut link, 1, &to.trace);
        bytes(&mut link, 2, &to.span);
        bytes(&mut self.0, 13, &link);
    }

    /// Sets the status to `STATUS_CODE_ERROR`.
    fn failed(&mut self) {
        bytes(&mut self.0, 15, &[3 << 3, 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Text;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use prost::Message;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn agent(ended: Option<RunEnd>) -> Observation {
        let mut seen = Observation { operation: "chat", provider: "openai".into(), ..Observation::default() };
        seen.request.model = Some("gpt-4o".into());
        seen.request.temperature = Some(0.5);
        seen.usage.input = Some(300);
        seen.outcome = Some(Outcome::Completed);
        seen.timing.start = 2_000;
        seen.timing.end = Some(3_000);
        seen.output.tools = vec![Text::from("search")];
        seen.agent.iteration = Some(2);
        seen.agent.ended = ended;
        seen.agent.results = vec![ToolResult {
            name: Some("search".into()),
            called_at: Some(1_000),
            failed: true,
            ..ToolResult::default()
        }];
        seen
    }

    fn exported(queue: &mut SpanQueue) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
        let (body, count) = queue.export("gateway").unwrap();
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let [resource] = &request.resource_spans[..] else { panic!("one resource") };
        assert_eq!(resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let spans = resource.scope_spans[0].spans.clone();
        assert_eq!(spans.len() as u64, count);
        spans
    }

    #[test]
    fn b3_headers_of_every_length_are_read() {
        let (trace, span) = ("80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1");
        let read = |header: &str| TraceContext::parse_b3(header).map(|place| place.sampled);
        for (rest, sampled) in [("", true), ("-1", true), ("-d", true), ("-0", false), ("-1-05e3ac9a4f6e3b90", true)] {
            assert_eq!(read(&format!("{trace}-{span}{rest}")), Some(sampled), "{rest}");
        }
        let short = TraceContext::parse_b3(&format!("{}-{span}-1", &trace[16..])).unwrap();
        assert_eq!(short.trace[..8], [0; 8]);
        assert_eq!(TraceContext::parse_b3(&format!("{trace}-{span}")).unwrap().trace[..2], [0x80, 0xf1]);
        for wrong in ["", "0", "1", trace, &format!("{trace}-{}", &span[1..]), &format!("{}-{span}", "0".repeat(32))] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_traceparent_is_read_by_the_rules_of_the_standard() {
        let place = TraceContext::parse(PARENT).unwrap();
        assert_eq!((place.trace[0], place.span[7], place.sampled), (0x0a, 0x31, true));
        assert!(!TraceContext::parse(&PARENT.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceContext::parse(&PARENT.replace("00-0a", "01-0a").replace("-01", "-01-more")).is_some());
        for wrong in [
            "",
            "00",
            &PARENT.replace("00-0a", "ff-0a"),
            &PARENT.to_uppercase(),
            &format!("{PARENT}-more"),
            &PARENT.replace("b7ad6b7169203331", "0000000000000000"),
            &PARENT.replace("b7", "é"),
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_span_of_a_run_is_the_parent_of_its_calls_and_tools() {
        let place = TraceContext::parse(PARENT).unwrap();
        let run = TraceContext { span: [5; 8], ..place }.run_span(500);
        let mut queue = SpanQueue::default();
        queue.exchange(&agent(Some(RunEnd::Completed)), CacheAttribute::default(), place, Some(run));
        let spans = exported(&mut queue);
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["chat gpt-4o", "execute_tool search", "invoke_agent"]);
        let times: Vec<_> = spans.iter().map(|s| (s.start_time_unix_nano, s.end_time_unix_nano)).collect();
        assert_eq!(times, [(2_000, 3_000), (1_000, 2_000), (500, 3_000)]);
        assert!(spans.iter().all(|span| span.trace_id == place.trace));
        assert!(spans[..2].iter().all(|span| span.parent_span_id == spans[2].span_id));
        assert_eq!(spans[2].parent_span_id, [5; 8]);
        assert_eq!(spans[0].links[0].span_id, place.span);
        assert_eq!(spans.iter().map(|s| s.status.as_ref().map_or(0, |s| s.code)).collect::<Vec<_>>(), [0, 2, 0]);
        let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert_eq!(queue.export("gateway"), None);
    }

    #[test]
    fn attributes_keep_their_types() {
        let place = TraceContext::parse(PARENT).unwrap();
        let mut queue = SpanQueue::default();
        queue.exchange(&agent(None), CacheAttribute::default(), place, None);
        let spans = exported(&mut queue);
        assert_eq!(spans[0].parent_span_id, place.span);
        let value = |key: &str| {
            let found = spans[0].attributes.iter().find(|a| a.key == key).unwrap_or_else(|| panic!("{key}"));
            found.value.clone().and_then(|v| v.value).unwrap()
        };
        assert_eq!(value("gen_ai.usage.input_tokens"), any_value::Value::IntValue(300));
        assert_eq!(value("gen_ai.request.temperature"), any_value::Value::DoubleValue(0.5));
        assert_eq!(value("gen_ai.operation.name"), any_value::Value::StringValue("chat".into()));
        assert!(
            matches!(value("gaugeway.tool_call.names"), any_value::Value::ArrayValue(list) if list.values.len() == 1)
        );
    }

    #[test]
    fn the_queue_is_bounded_and_dropped_spans_are_counted() {
        let mut queue = SpanQueue::default();
        for _ in 0..5_000 {
            queue.exchange(&agent(None), CacheAttribute::default(), TraceContext::parse(PARENT).unwrap(), None);
        }
        assert!(queue.dropped > 0 && queue.spans.len() < QUEUE + 16);
        let (body, count) = queue.export("gateway").unwrap();
        assert_eq!(count + queue.dropped, 5_000);
        assert!(body.len() < QUEUE + 200);
    }
}
