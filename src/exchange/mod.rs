//! One request and its response: which reader gets which bytes, when something became known, and how it all ended.
//!
//! Bound: two scanners, two fingerprints and the observation's strings. Nothing here blocks, fails or panics; time is an
//! argument, in nanoseconds of any clock that does not jump.

mod calls;
mod cost;
mod end;
mod head;
mod routes;
mod texts;

use std::rc::Rc;

use crate::budget::{Budget, Share, Side};
use crate::config::{Capture, Config, ConfigError};
use crate::draft::{self, Draft};
use crate::framing::{Body, Rules};
use crate::json::{LIMIT, Scalar};
use crate::observation::{Changes, Observation, Outcome, RunEnd, Text, Trouble, clipped, finish_class};
use crate::provider::{self, Api, Programs};
use crate::signal::memory::Pending;
use crate::trace_context::RunSpan;

pub use end::End;
pub use head::Head;
pub use routes::Routes;
use texts::{begin_hashes, is_sampled};

/// What all exchanges of a configuration share: the configuration, the compiled rules and the VM's memory budget.
pub struct Observer {
    /// The configuration.
    pub config: Config,
    programs: Rc<[Programs]>,
    budget: Rc<Budget>,
}

impl Observer {
    /// Compiles the rules. The budget is one of its own.
    pub fn new(config: Config) -> Self {
        Observer::with_budget(config, Rc::default())
    }

    /// Compiles the rules. All observers of a VM share one budget; its limit becomes the one of this configuration.
    pub fn with_budget(config: Config, budget: Rc<Budget>) -> Self {
        budget.set_limit(config.limits.stream_memory_bytes as usize);
        Observer { programs: provider::compile(config.privacy.hash).into(), config, budget }
    }

    /// The same with what a route says differently.
    ///
    /// # Errors
    /// As [`Config::on_route`].
    pub fn on_route(&self, text: &str) -> Result<Self, ConfigError> {
        let (programs, budget) = (Rc::clone(&self.programs), Rc::clone(&self.budget));
        Ok(Observer { config: self.config.on_route(text)?, programs, budget })
    }
}

/// One exchange being read.
pub struct Exchange {
    observer: Rc<Observer>,
    api: &'static Api,
    endpoint: usize,
    draft: Draft,
    /// Boxed, so that the request's room is free again when the response comes.
    request: Option<Box<Body>>,
    response: Option<Box<Body>>,
    /// Hash of the downstream address, for the memory budget; 0 if it is unknown.
    address: u64,
    path_streams: bool,
    /// The model the path names counts more than the body's.
    path_model: Option<Text>,
    /// The status says so.
    failed: bool,
    changes: Changes,
    /// What is remembered of the calls whose results the request brings.
    #[expect(clippy::box_collection, reason = "most exchanges have none, and this takes less room in those")]
    recalled: Option<Box<Vec<Pending>>>,
    /// The request does not show where in its run it is.
    hidden: bool,
    /// The calls the answer asks for were given to be remembered.
    asked: bool,
    /// The trace is among those whose words are reported.
    sampled: bool,
    /// The agent's run was counted as ended already.
    run_over: bool,
    run: Option<Box<RunSpan>>,
}

impl Exchange {
    /// Begins with the request's head; None where it is not LLM traffic.
    pub fn start(observer: &Rc<Observer>, head: Head<'_>, now: u64) -> Option<Self> {
        Exchange::start_from(observer, head, 0, now)
    }

    /// The same for the downstream address with the hash `address`. Only exchanges with encoded bodies need it.
    pub fn start_from(observer: &Rc<Observer>, head: Head<'_>, address: u64, now: u64) -> Option<Self> {
        let method = head.bytes(":method").unwrap_or_default();
        let overrides = &observer.config.apis;
        let target = provider::detect(method, head.whole(":authority"), head.whole(":path"), overrides)?;
        let mut draft = Draft::default();
        draft.document = Some(target.api.document);
        draft.seen.operation = target.api.operation;
        draft.seen.provider = target.provider;
        draft.seen.request.model = target.model.clone();
        draft.seen.timing.start = now;
        draft.seen.cache_attribute = observer.config.compat.cache_attribute;
        let labels = &observer.config.labels.headers;
        draft.seen.labels = labels.iter().map(|(header, _)| head.text(header).into()).collect();
        let header = &observer.config.conversation_header;
        draft.seen.request.conversation = Some(head.text(header)).filter(|id| !id.is_empty()).map(Text::from);
        draft.conversation_named = draft.seen.request.conversation.is_some();
        let privacy = &observer.config.privacy;
        begin_hashes(&mut draft, privacy);
        draft.history.measures = !observer.config.otlp.cluster.is_empty();
        let sampled = privacy.capture == Capture::Sampled && is_sampled(head, privacy.sample);
        let sse = head.text("x-dashscope-sse").eq_ignore_ascii_case("enable");
        draft.seen.request.stream = (target.expects_stream || sse).then_some(true);
        let share = Share::new(&observer.budget, Side::Request, address);
        let request = Body::request(head.text("content-type"), head.whole("content-encoding"), share);
        let request = readable(&mut draft, request);
        Some(Exchange {
            observer: Rc::clone(observer),
            api: target.api,
            endpoint: target.endpoint,
            draft,
            request,
            response: None,
            address,
            path_streams: target.streams,
            path_model: target.model,
            failed: false,
            changes: Changes::default(),
            recalled: None,
            hidden: false,
            asked: false,
            sampled,
            run_over: false,
            run: None,
        })
    }

    /// Sets the hash of the downstream address, for the memory of the response.
    pub fn set_address(&mut self, address: u64) {
        self.address = address;
    }

    /// Names the route, where the host tells it.
    pub fn route(&mut self, name: &str) {
        self.draft.seen.route = clipped(name, LIMIT).into();
    }

    /// Bytes of the request's body.
    pub fn request_body(&mut self, bytes: &[u8]) {
        if let (Some(body), Some(programs)) = (&mut self.request, self.observer.programs.get(self.endpoint)) {
            body.feed(Rules { document: &programs.request, envelope: None }, &mut self.draft, bytes);
        }
    }

    /// The request is whole.
    pub fn request_end(&mut self, now: u64) {
        let Some(mut body) = self.request.take() else { return };
        self.draft.now = now;
        if let Some(programs) = self.observer.programs.get(self.endpoint) {
            body.finish(Rules { document: &programs.request, envelope: None }, &mut self.draft);
        }
        if self.path_model.is_some() {
            self.draft.seen.request.model = self.path_model.take();
        }
        self.end_hashes();
        self.draft.seen.agent = self.draft.history.settle();
        *self.draft.history = Default::default();
        let required = core::mem::take(&mut self.draft.required);
        self.hidden = self.draft.seen.agent.iteration.is_none();
        if self.draft.seen.request.output_type == Some("json") {
            self.draft.answer.expect_json(required);
        }
        self.changes.request = true;
    }

    /// The response's head. What was read of the request by now is all that is used of it.
    pub fn response(&mut self, head: Head<'_>, now: u64) {
        if self.draft.seen.outcome.is_some() {
            return;
        }
        self.request_end(now);
        let status = head.text(":status").parse().ok();
        self.draft.seen.response.status = status;
        self.draft.open = Default::default();
        self.draft.done = false;
        self.headers(head);
        let failed = status.is_some_and(|s| s >= 400);
        self.draft.error.present |= failed;
        let share = Share::new(&self.observer.budget, Side::Response, self.address);
        let body = Body::response(head.text("content-type"), head.whole("content-encoding"), self.path_streams, share);
        self.response = readable(&mut self.draft, body);
        self.failed = failed;
    }

    /// Bytes of the response's body. A call without bytes reads what a decoder has kept.
    pub fn response_body(&mut self, bytes: &[u8], now: u64) {
        let (Some(body), Some(programs)) = (&mut self.response, self.observer.programs.get(self.endpoint)) else {
            return;
        };
        if bytes.is_empty() && !body.waits() {
            return;
        }
        self.draft.now = now;
        let had_token = self.draft.seen.timing.first_token.is_some();
        self.draft.streams = body.streams() && !self.failed;
        body.feed(programs.response_rules(), &mut self.draft, bytes);
        self.draft.streams = body.streams() && !self.failed;
        let timing = &mut self.draft.seen.timing;
        if self.draft.streams {
            timing.first_chunk.get_or_insert(now);
            self.changes.first_token |= !had_token && timing.first_token.is_some();
        }
        if !self.draft.streams || body.is_late() {
            timing.first_token = None;
        }
        self.count();
        self.changes.asks = !self.asked && self.answered() && !self.draft.seen.output.tools.is_empty();
        // OpenAI's SDKs hang up here, and what became known after that is in no span.
        if self.draft.done {
            self.finish(End::Whole, now);
        }
    }

    /// The exchange is over; what is said after the first time changes nothing.
    pub fn finish(&mut self, end: End, now: u64) {
        if self.draft.seen.outcome.is_some() {
            return;
        }
        self.request_end(now);
        // Of a body that could not be read nobody knows whether it was whole.
        let read = self.response.as_ref().is_some_and(|body| !body.is_unread());
        let (mut cut, mut empty) = (false, true);
        if let (Some(mut body), Some(programs)) = (self.response.take(), self.observer.programs.get(self.endpoint)) {
            empty = body.is_empty();
            cut = !body.finish(programs.response_rules(), &mut self.draft);
        }
        self.draft.seen.timing.end = Some(now);
        self.draft.seen.output.hash = self.draft.answer.hash();
        self.draft.seen.output.characters = self.draft.answer.characters();
        self.draft.seen.output.parsed = self.draft.answer.parsed();
        self.report_words();
        self.draft.answer = Default::default();
        if self.draft.seen.response.status.is_some_and(|s| s >= 400) {
            // An error's identifier names no completion.
            self.draft.seen.response.id = None;
        }
        let streams = self.draft.streams;
        let unterminated = streams && self.api.terminated && !self.draft.complete;
        let empty = empty && self.api.usage_expected && self.draft.seen.response.status == Some(200);
        let truncated = read && (empty || unterminated || cut && !(streams && self.draft.complete));
        // A client may leave as soon as it has heard the last word.
        let heard = streams && self.draft.complete && self.draft.seen.usage.is_known();
        let end = if end == End::ClientDisconnect && heard { End::Whole } else { end };
        let outcome = match end {
            End::Whole if self.draft.error.present => Outcome::Error,
            End::Unheard if self.draft.error.present => Outcome::Error,
            End::Whole if truncated => Outcome::Truncated,
            End::Whole | End::Unheard => Outcome::Completed,
            End::ClientDisconnect => Outcome::ClientDisconnect,
            End::UpstreamReset => Outcome::UpstreamReset,
            End::Timeout => Outcome::Timeout,
            End::LocalReply => Outcome::LocalReply,
        };
        self.draft.seen.outcome = Some(outcome);
        self.draft.seen.error = error_type(&self.draft, outcome);
        self.judge(outcome);
        let answered = if self.answered() { Outcome::Completed } else { outcome };
        let limit = self.observer.config.agent.max_iterations;
        let seen = &mut self.draft.seen;
        let ended = draft::ended(&seen.agent, answered, !seen.output.tools.is_empty(), limit);
        // A request that failed may come again: whether the run ended with it shows when nobody has gone on with it.
        let open = ended == Some(RunEnd::Error) && (self.asked || self.recalled.is_some());
        seen.agent.ended = ended.filter(|_| !self.run_over && !open);
        self.count();
        self.price(outcome, end);
        self.changes.end = true;
    }

    /// Whether the answer refuses, or has nothing in it.
    fn judge(&mut self, outcome: Outcome) {
        let seen = &mut self.draft.seen;
        let ends = |classes: &[&str]| {
            let mut reasons = seen.response.finish_reasons.iter().flatten();
            reasons.any(|reason| classes.contains(&finish_class(reason)))
        };
        let (filtered, ended) = (ends(&["content_filter"]), ends(&["stop", "length"]));
        seen.output.refused |= filtered;
        let told = seen.output.refused || seen.output.characters.is_some() || !seen.output.tools.is_empty();
        let wordless = matches!(seen.request.output_type, Some("image" | "speech")) || self.draft.other_content;
        seen.output.empty =
            outcome == Outcome::Completed && ended && SPEAKS.contains(&self.api.operation) && !told && !wordless;
    }

    /// The configuration of its route.
    pub fn config(&self) -> &Config {
        &self.observer.config
    }

    /// The API's name.
    pub fn api(&self) -> &'static str {
        self.api.name
    }

    /// What is known.
    pub fn observation(&self) -> &Observation {
        &self.draft.seen
    }

    /// Whether this is LLM traffic; where only the bodies' shape tells, that shows with what is read.
    pub fn is_recognised(&self) -> bool {
        let seen = &self.draft.seen;
        !self.api.by_shape
            || seen.usage.is_known()
            || !seen.response.finish_reasons.is_empty()
            || seen.response.model.is_some() && seen.output.characters.is_some()
    }

    /// What became known since the last call.
    pub fn changes(&mut self) -> Changes {
        if !self.is_recognised() {
            return Changes::default();
        }
        core::mem::take(&mut self.changes)
    }

    /// Reads headers: Gemini's tier; Bedrock's counts, for model families whose body has none; the error's name. A count that
    /// is none is reported as [`Trouble::Number`].
    fn headers(&mut self, head: Head<'_>) {
        let mut trouble = false;
        let mut count = |name: &str| {
            let text = head.text(name);
            let count = Scalar::Number(text).count();
            trouble |= count.is_none() && !text.is_empty();
            count
        };
        self.draft.seen.limits = head.limits();
        self.draft.tier(Scalar::Text(head.text("x-gemini-service-tier")));
        let counts = &mut self.draft.counts;
        counts.spare_input = count("x-amzn-bedrock-input-token-count");
        counts.spare_output = count("x-amzn-bedrock-output-token-count");
        counts.spare_cache_read = count("x-amzn-bedrock-cache-read-input-token-count");
        counts.spare_cache_write = count("x-amzn-bedrock-cache-write-input-token-count");
        if trouble {
            self.draft.seen.trouble.add(Trouble::Number);
        }
        let error = head.text("x-amzn-errortype").split([':', '#']).next().unwrap_or_default();
        self.draft.error.outer = Some(error).filter(|e| !e.is_empty()).map(Text::from);
    }
}

/// Operations whose answers are words, and whose requests are conversations.
const SPEAKS: [&str; 3] = ["chat", "generate_content", "text_completion"];

/// A body's reader, if it has one.
fn readable(draft: &mut Draft, body: Option<Body>) -> Option<Box<Body>> {
    if body.is_none() {
        draft.seen.trouble.add(Trouble::Encoding);
    }
    body.map(Box::new)
}

/// The error's name: the provider's own word if it gave one, else the HTTP status, else how the exchange ended.
fn error_type(draft: &Draft, outcome: Outcome) -> Option<Text> {
    match outcome {
        Outcome::Completed => None,
        Outcome::Error => {
            let error = &draft.error;
            let word = [&error.code, &error.kind, &error.status, &error.outer].into_iter().flatten().next();
            let status = draft.seen.response.status.filter(|s| *s >= 400).or(error.number);
            word.cloned().or_else(|| status.map(|s| s.to_string().into())).or_else(|| Some("_OTHER".into()))
        }
        other => Some(other.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Scanner;

    const HEAD: [(&[u8], &[u8]); 3] =
        [(b":method", b"POST"), (b":authority", b"llm.internal:8443"), (b":path", b"/gateway/v9/ask")];

    /// The observation of an exchange at a path nobody knows, under a configuration.
    fn at_unknown_path(config: &str, request: &str, response: &str) -> Option<Exchange> {
        let mut exchange = start(config, request, response)?;
        exchange.response_body(response.as_bytes(), 0);
        exchange.finish(End::Whole, 0);
        Some(exchange).filter(Exchange::is_recognised)
    }

    /// Up to the head of a response that begins so.
    fn start(config: &str, request: &str, response: &str) -> Option<Exchange> {
        let observer = Rc::new(Observer::new(Config::parse(config).unwrap()));
        let mut exchange = Exchange::start(&observer, Head(&HEAD), 0)?;
        exchange.request_body(request.as_bytes());
        exchange.request_end(0);
        let kind: &[u8] = if response.starts_with("data:") { b"text/event-stream" } else { b"application/json" };
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind)]), 0);
        Some(exchange)
    }

    const CHAT: &str = r#"{"id":"c","model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
    const BY_SHAPE: &str = r#"{"apis": [{"path": "/gateway/", "api": "detect"}]}"#;

    #[test]
    fn a_path_nobody_knows_is_not_llm_traffic() {
        assert!(at_unknown_path("", "{}", CHAT).is_none());
    }

    #[test]
    fn the_configuration_names_the_api_and_the_provider_of_a_host() {
        let config = r#"{"apis": [{"host": "internal", "api": "openai-chat", "provider": "acme"}]}"#;
        let exchange = at_unknown_path(config, r#"{"model":"m"}"#, CHAT).unwrap();
        assert_eq!(exchange.observation().usage.input, Some(3));
        assert_eq!(exchange.observation().provider, "acme");
    }

    #[test]
    fn where_nothing_tells_the_shape_of_the_bodies_does() {
        let usage = |response: &str| {
            let exchange = at_unknown_path(BY_SHAPE, r#"{"model":"m"}"#, response).unwrap();
            (exchange.observation().usage.input, exchange.observation().usage.output, exchange.observation().outcome)
        };
        let done = Some(Outcome::Completed);
        assert_eq!(usage(CHAT), (Some(3), Some(1), done));
        let anthropic = r#"{"type":"message","id":"a","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}"#;
        assert_eq!(usage(anthropic), (Some(7), Some(1), done));
        let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"thoughtsTokenCount":2}}"#;
        assert_eq!(usage(gemini), (Some(3), Some(3), done));
        let responses = "data: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"usage\":null}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
        assert_eq!(usage(responses), (Some(3), Some(1), done));
    }

    #[test]
    fn a_client_that_leaves_after_the_last_word_had_the_whole_answer() {
        let stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
        let openai = r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#;
        let left_after = |events: &[&str]| {
            let mut exchange = start(openai, "{}", "data:").unwrap();
            events.iter().for_each(|event| exchange.response_body(event.as_bytes(), 0));
            let early = exchange.observation().outcome;
            exchange.finish(End::ClientDisconnect, 0);
            (early, exchange.observation().outcome)
        };
        let (done, gone) = (Some(Outcome::Completed), Some(Outcome::ClientDisconnect));
        assert_eq!(left_after(&[stop, "data: [DONE]"]), (done, done));
        assert_eq!(left_after(&[stop, usage]), (None, done));
        assert_eq!(left_after(&[stop]), (None, gone));
        assert_eq!(left_after(&[usage]), (None, gone));
    }

    #[test]
    fn steps_of_an_answer_are_one_request_and_what_is_no_count_is_trouble() {
        let config = r#"{"apis": [{"host": "internal", "api": "anthropic-messages"}],
            "prices": {"m": {"input": 1000, "output": 1000, "per_1000_requests": 10}}}"#;
        let seen = |steps: &str| {
            let answer = format!(
                r#"{{"type":"message","model":"m","content":[],"usage":{{"input_tokens":2,"output_tokens":1,"iterations":{steps}}}}}"#
            );
            at_unknown_path(config, "{}", &answer).unwrap().observation().clone()
        };
        let message = r#"{"type":"message","input_tokens":2,"output_tokens":1}"#;
        let compaction = r#"{"type":"compaction","input_tokens":4,"output_tokens":3}"#;
        let cost = |steps: &str| (seen(steps).usage.input, seen(steps).cost.nanousd);
        assert_eq!(cost(&format!("[{message}]")), (Some(2), Some(13_000_000)));
        assert_eq!(cost(&format!("[{compaction},{message}]")), (Some(6), Some(20_000_000)));
        for odd in ["[null]", "{}", "[[]]", "\"7\"", r#"[{"type":7,"input_tokens":null}]"#] {
            assert_eq!((cost(odd), seen(odd).trouble.iter().count()), ((Some(2), Some(13_000_000)), 0), "{odd}");
        }
        let million = "9".repeat(1_000_000);
        for odd in ["\"4\"", "-1", &million] {
            let seen = seen(&format!(r#"[{{"type":"compaction","input_tokens":{odd}}}]"#));
            assert_eq!(seen.trouble.iter().collect::<Vec<_>>(), [Trouble::Number], "{}", &odd[..2]);
            assert_eq!(seen.usage.input, Some(2));
        }
    }

    #[test]
    fn sums_of_possible_counts_stay_bounded_and_are_trouble_above_the_limit() {
        let embeddings = r#"{"apis": [{"host": "internal", "api": "vertex-predict"}]}"#;
        let anthropic = r#"{"apis": [{"host": "internal", "api": "anthropic-messages"}], "prices": {"m": {"input": 1, "output": 1}}}"#;
        let part = r#"{"embeddings":{"statistics":{"token_count":4294967296}}}"#;
        let step = r#"{"type":"compaction","input_tokens":4294967296,"cache_read_input_tokens":4294967296}"#;
        let steps = |count: usize| {
            let steps = vec![step; count].join(",");
            format!(
                r#"{{"type":"message","model":"m","content":[],"usage":{{"input_tokens":2,"output_tokens":1,"iterations":[{steps}]}}}}"#
            )
        };
        let seen = |config: &str, answer: &str| at_unknown_path(config, "{}", answer).unwrap().observation().clone();
        for count in [2, 3, 100_000] {
            let seen = seen(embeddings, &format!(r#"{{"predictions":[{}]}}"#, vec![part; count].join(",")));
            assert_eq!((seen.usage.input, seen.cost.nanousd), (None, None), "{count} parts");
            assert_eq!(seen.trouble.iter().collect::<Vec<_>>(), [Trouble::Number], "{count} parts");
        }
        for count in [1, 2, 100_000] {
            let seen = seen(anthropic, &steps(count));
            assert_eq!((seen.usage.input, seen.usage.output), (None, Some(1)), "{count} steps");
            assert_eq!((seen.cost.nanousd, seen.cost.status), (None, None), "{count} steps");
            assert_eq!(seen.trouble.iter().collect::<Vec<_>>(), [Trouble::Number], "{count} steps");
        }
        let one = seen(embeddings, &format!(r#"{{"predictions":[{part}]}}"#));
        assert_eq!((one.usage.input, one.trouble.iter().count()), (Some(1 << 32), 0));
    }

    #[test]
    fn a_request_is_no_stream_of_events_whatever_it_begins_with() {
        let openai = r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#;
        let event = "data: {\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}\n\n";
        let exchange = start(openai, &event.repeat(9), "{").unwrap();
        assert_eq!((&exchange.observation().request.model, exchange.observation().request.messages), (&None, None));
    }

    #[test]
    fn poisoned_shapes_lead_nowhere_and_hide_nothing() {
        for poison in [r#"{"type":"ping"}"#, r#"{"type":"message"}"#, r#"{"candidates":"x"}"#, r#"{"candidates":[]}"#] {
            assert!(at_unknown_path(BY_SHAPE, "{}", poison).is_none(), "{poison}");
            let stream = format!("data: {poison}\n\ndata: {CHAT}\n\n");
            let exchange = at_unknown_path(BY_SHAPE, "{}", &stream).unwrap();
            assert_eq!(exchange.observation().usage.input, Some(3), "{poison}");
        }
    }

    #[test]
    fn the_state_of_a_stream_is_under_4_kib() {
        // One body is read at a time. The request's has up to 1 KiB of text that is not hashed yet. A response's has a beginning.
        let state = size_of::<Exchange>() + size_of::<Body>() + Scanner::BOUND.max(1024);
        assert!(state < 4096, "{state} bytes");
    }
}
