//! Spans of exchanges and agents' runs: `invoke_agent` with its `chat` and `execute_tool` spans.
//!
//! The trace of a run is the trace of its first call. The spans of later calls are children of the run's span and link to
//! their own trace. Spec: OTLP 1 (protobuf), OpenTelemetry's `gen_ai` spans. Memory: [`QUEUE`] bytes.

use std::rc::Rc;

use super::delivery::{Batch, Source};
use super::envelope::Envelope;
use super::wire::{attribute, bytes, fixed, message, number};
use crate::config::CacheAttribute;
use crate::observation::{Agent, Observation, Outcome, RunEnd};
use crate::sink::attributes::{ATTRIBUTES, AttributeValue};
use crate::trace_context::{RunSpan, TraceContext};

/// Maximum number of bytes of spans that wait to be sent. Further spans are dropped.
pub const QUEUE: usize = 256 * 1024;

/// Encoded spans that wait to be sent.
pub struct SpanQueue {
    envelope: Rc<Envelope>,
    /// The fields `spans` of a `ScopeSpans` message.
    spans: Vec<u8>,
    count: u64,
    dropped: u64,
    /// The last span did not fit.
    is_full: bool,
}

/// The trace context of an exchange's own span. The exchange started at `start`, has this `place` and is part of `run`.
pub fn call_span(place: TraceContext, run: Option<RunSpan>, start: u64) -> TraceContext {
    let trace = run.map_or(place.trace, |run| run.trace);
    TraceContext { trace, span: place.derive(start, 1), sampled: place.sampled || run.is_some() }
}

impl SpanQueue {
    /// An empty queue of spans with this resource and scope.
    pub fn new(envelope: Rc<Envelope>) -> Self {
        SpanQueue { envelope, spans: Vec::new(), count: 0, dropped: 0, is_full: false }
    }

    /// Returns true if the queue should be sent soon.
    pub fn is_half_full(&self) -> bool {
        self.spans.len() > QUEUE / 2
    }

    /// Adds the spans of an exchange that is over, at `place` and as part of `run`. `names` is the setting `compat.cache_attribute`. Returns
    /// true if there was room for the exchange's own span.
    pub fn exchange(
        &mut self,
        seen: &Observation,
        names: CacheAttribute,
        place: TraceContext,
        run: Option<RunSpan>,
    ) -> bool {
        let (start, end) = (seen.timing.start, seen.timing.end.unwrap_or(seen.timing.start));
        let own = call_span(place, run, start);
        let chat = Span {
            trace: own.trace,
            span: own.span,
            parent: run.map_or(place.span, |run| run.span),
            name: [seen.operation, seen.request.model.as_deref().unwrap_or_default()],
            kind: CLIENT,
            times: [start, end],
        };
        let has_room = self.push(&chat, |out| {
            for row in ATTRIBUTES {
                if let Some(value) = row.value(seen, names) {
                    write(out, row.name, value);
                }
            }
            if place.span != [0; 8] && run.is_some_and(|run| ![run.span, run.parent].contains(&place.span)) {
                link(out, place);
            }
            if seen.outcome != Some(Outcome::Completed) {
                failed(out);
            }
        });

        let Some(run) = run else { return has_room };
        for (at, result) in seen.agent.results.iter().enumerate() {
            if let Some(called_at) = result.called_at {
                let other = place.derive(start, 2 + at as u64);
                let own = if result.call == 0 { other } else { run.tool(called_at, result.call) };
                self.tool(result, run, own, [called_at, start]);
            }
        }
        if let Some(ended) = seen.agent.ended {
            self.run(seen, run, ended, end);
        }
        has_room
    }

    /// Adds the span of a run that ended at `end`.
    pub fn run(&mut self, seen: &Observation, run: RunSpan, ended: RunEnd, end: u64) {
        let RunSpan { trace, span, parent, start } = run;
        let span = Span { trace, span, parent, name: ["invoke_agent", ""], kind: INTERNAL, times: [start, end] };
        self.push(&span, |out| {
            write(out, "gen_ai.operation.name", AttributeValue::Text("invoke_agent"));
            write(out, "gen_ai.provider.name", AttributeValue::Text(&seen.provider));
            if let Some(model) = &seen.request.model {
                write(out, "gen_ai.request.model", AttributeValue::Text(model));
            }
            // The run's span has the same client as the spans of its calls.
            for row in ATTRIBUTES.iter().filter(|row| OF_A_RUN.contains(&row.name)) {
                if let Some(value) = row.value(seen, CacheAttribute::default()) {
                    write(out, row.name, value);
                }
            }
            write(out, "gaugeway.agent.status", AttributeValue::Text(ended.as_str()));
            let Agent { iteration, looping, .. } = seen.agent;
            if let Some(iterations) = iteration {
                write(out, "gaugeway.agent.iterations", AttributeValue::Count(iterations));
            }
            if let Some(kind) = looping {
                write(out, "gaugeway.agent.loop", AttributeValue::Text(kind.as_str()));
            }
            if ended != RunEnd::Completed {
                write(out, "error.type", AttributeValue::Text(ended.as_str()));
                failed(out);
            }
        });
    }

    /// Writes a span behind the others. `rest` writes its attributes, links and status. If there is no room for all of it, it is
    /// removed, and later spans are dropped until the queue is empty again. Returns true if there was room.
    pub(super) fn push(&mut self, span: &Span<'_>, rest: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.spans.len();
        if !self.is_full {
            message(&mut self.spans, 2, |out| {
                span.write(out);
                rest(out);
            });
            self.is_full = self.spans.len() > QUEUE;
        }
        if self.is_full {
            self.spans.truncate(before);
            self.dropped += 1;
        } else {
            self.count += 1;
        }
        !self.is_full
    }
}

impl Source for SpanQueue {
    fn take(&mut self, _: u64) -> Option<Batch> {
        self.is_full = false;
        let items = core::mem::take(&mut self.count);
        if items == 0 {
            return None;
        }
        let body = self.envelope.wrap(&self.spans);
        self.spans.clear();
        Some(Batch { body, items })
    }

    fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }
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
pub(super) const INTERNAL: u64 = 1;
pub(super) const CLIENT: u64 = 3;

/// The fields that every `Span` message has.
pub(super) struct Span<'n> {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// All zero if there is none.
    pub parent: [u8; 8],
    /// Two words. The second one may be empty.
    pub name: [&'n str; 2],
    pub kind: u64,
    /// Start and end.
    pub times: [u64; 2],
}

impl Span<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        bytes(out, 1, &self.trace);
        bytes(out, 2, &self.span);
        if self.parent != [0; 8] {
            bytes(out, 4, &self.parent);
        }
        message(out, 5, |name| {
            let [first, second] = self.name;
            name.extend_from_slice(first.as_bytes());
            if !second.is_empty() {
                name.push(b' ');
                name.extend_from_slice(second.as_bytes());
            }
        });
        number(out, 6, self.kind);
        for (field, time) in (7..).zip(self.times) {
            fixed(out, field, time);
        }
    }
}

/// Appends an attribute of a span.
pub(super) fn write(out: &mut Vec<u8>, key: &str, value: AttributeValue<'_>) {
    attribute(out, 9, key, &value);
}

/// Appends a link.
pub(super) fn link(out: &mut Vec<u8>, to: TraceContext) {
    message(out, 13, |link| {
        bytes(link, 1, &to.trace);
        bytes(link, 2, &to.span);
    });
}

/// Appends the status `STATUS_CODE_ERROR`.
pub(super) fn failed(out: &mut Vec<u8>) {
    bytes(out, 15, &[3 << 3, 2]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Text, ToolResult};
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

    fn queue() -> SpanQueue {
        SpanQueue::new(Rc::new(Envelope::new(&[("service.name", "gateway")])))
    }

    fn exported(queue: &mut SpanQueue) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
        let Batch { body, items: count } = queue.take(0).unwrap();
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
        let mut queue = queue();
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
        assert!(queue.take(0).is_none());
    }

    #[test]
    fn attributes_keep_their_types() {
        let place = TraceContext::parse(PARENT).unwrap();
        let mut queue = queue();
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
        let mut queue = queue();
        for _ in 0..5_000 {
            queue.exchange(&agent(None), CacheAttribute::default(), TraceContext::parse(PARENT).unwrap(), None);
        }
        assert!(queue.is_half_full() && queue.spans.len() <= QUEUE);
        let dropped = queue.take_dropped();
        assert!(dropped > 0 && queue.take_dropped() == 0);
        let spans = exported(&mut queue);
        assert_eq!(spans.len() as u64 + dropped, 5_000);
        assert!(spans.iter().all(|span| span.attributes.len() == spans[0].attributes.len()), "a span is cut");
        queue.exchange(&agent(None), CacheAttribute::default(), TraceContext::parse(PARENT).unwrap(), None);
        assert_eq!((exported(&mut queue).len(), queue.take_dropped()), (1, 0));
    }

    #[test]
    fn a_call_without_a_model_has_the_operation_as_name_and_a_failed_one_an_error_as_status() {
        let mut seen = agent(None);
        seen.request.model = None;
        seen.response.model = Some("m".into());
        seen.outcome = Some(Outcome::Timeout);
        seen.error = Some("timeout".into());
        let place = TraceContext::parse(PARENT).unwrap();
        let mut queue = queue();
        queue.exchange(&seen, CacheAttribute::default(), place, None);
        let spans = exported(&mut queue);
        assert_eq!((spans.len(), spans[0].name.as_str()), (1, "chat"));
        let status = spans[0].status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (2, ""));
        assert!(spans[0].attributes.iter().any(|attribute| attribute.key == "error.type"));
        assert_eq!(spans[0].span_id, call_span(place, None, seen.timing.start).span);
    }
}
