//! One request and its response. An exchange passes the bodies to their readers, and decides the outcome when it ends.
//!
//! Bound: two scanners, two fingerprints and the observation's strings, which `memory` adds up. Nothing here blocks, fails or panics. Time is an
//! argument, in nanoseconds of a clock that never goes back.

mod asked;
mod attempt;
mod batch;
mod cache;
mod calls;
mod cost;
mod end;
mod late;
mod local_reply;
mod memory;
mod observer;
mod outcome;
mod response;
mod routes;
mod run_end;
mod socket;
#[cfg(test)]
mod tests;
mod texts;
#[cfg(test)]
#[path = "tools/tests.rs"]
mod tool_tests;
mod waits;

use std::rc::Rc;

use crate::budget::{Share, Side};
use crate::config::{Capture, Config};
use crate::draft::{Draft, Room};
use crate::framing::{Body, Rules};
use crate::json::{LIMIT, Scalar};
use crate::observation::{Changes, Observation, Outcome, ParseError, Step, Text, clipped};
use crate::provider::{self, Api, Certainty, Programs};
use crate::signal::cache::Comparison;
use crate::signal::memory::Pending;
use crate::signal::stalls::OpenStream;
use crate::trace_context::{RunSpan, TraceContext};

pub use crate::provider::Head;
pub use attempt::AttemptFacts;
pub use batch::FileRange;
pub use calls::MemoryKey;
pub use end::End;
pub use late::LateAnswer;
pub use local_reply::{LOCAL_REPLY, REASONS, shows_upstream};
pub use memory::{SHELL, Unread};
pub use observer::Observer;
pub use routes::Routes;
pub use socket::Template;
pub use waits::Continuation;

/// Operations whose requests are conversations and whose answers are text.
const TEXT_OPERATIONS: [&str; 3] = ["chat", "generate_content", "text_completion"];

/// One request and its response, as far as they have been read.
pub struct Exchange {
    observer: Rc<Observer>,
    api: &'static Api,
    /// The endpoint's index, see [`provider::Target::endpoint`].
    endpoint: usize,
    draft: Draft,
    phase: ExchangePhase,
    changes: Changes,
    /// Hash of the downstream address, for the memory budget. 0 if it is unknown.
    address: u64,
    /// True if no provider gave the answer, which is not read.
    is_local: bool,
    certainty: Certainty,
    /// True if the path asks for a stream.
    path_asks_for_stream: bool,
    /// The model in the path. It replaces the one in the body.
    path_model: Option<Text>,
    /// True if the texts are reported, as those of a sampled trace.
    content_is_sampled: bool,
    /// None if no spans or log records are sent, or the request has no place in a trace.
    place: Option<TraceContext>,
    run: RunState,
    /// The remembered call that the request continues.
    previous: Option<Box<Comparison>>,
    /// Set while the response is a stream that is watched for stalls.
    stream: Option<Rc<OpenStream>>,
    /// The usage changed since the cost was set.
    cost_is_due: bool,
}

/// The phase of an exchange. A body whose content encoding is not supported is not read.
enum ExchangePhase {
    /// The request is being read. The box frees the body's memory before the response comes.
    Request(Box<Body>),
    /// The request has ended, or is not read.
    Waiting,
    /// The response is being read. `is_error`: its status is 400 or more.
    Response { body: Option<Box<Body>>, is_error: bool },
    /// The exchange has ended.
    Ended,
}

/// What an exchange knows about its agent's run from other exchanges, and what others may know from it.
#[derive(Default)]
struct RunState {
    /// Keyed hash of the caller. 0 until [`Exchange::identify`].
    caller: u64,
    /// The remembered calls whose results the request brings.
    #[expect(clippy::box_collection, reason = "most exchanges have none, and this takes less room in those")]
    recalled: Option<Box<Vec<Pending>>>,
    /// True if the request shows fewer turns of the run than are remembered.
    shows_less: bool,
    /// True if an earlier attempt of the request has counted the loop of the run.
    loop_is_counted: bool,
    /// The remembered calls, with the results that the request brings.
    steps: Vec<Step>,
    /// True if the request forces the call of a tool, whose arguments are structured output.
    is_structured: bool,
    /// True if the request failed and the client may repeat it.
    waits_for_repetition: bool,
    /// True if [`Exchange::take_calls`] has returned the calls to remember.
    calls_are_taken: bool,
    /// True if the end of the run was counted with an earlier exchange.
    has_ended: bool,
    span: Option<Box<RunSpan>>,
}

impl Exchange {
    /// Starts with the head of the request. Returns None if it is not LLM traffic, or if there is no memory for it.
    pub fn start(observer: &Rc<Observer>, head: Head<'_>, now: u64) -> Option<Self> {
        Exchange::start_from(observer, head, 0, now).ok()
    }

    /// As [`Exchange::start`], for the downstream address with the hash `address`. Only encoded bodies need it, and streams that
    /// start while [`Observer::is_crowded`].
    ///
    /// # Errors
    /// Why the exchange is not read.
    pub fn start_from(observer: &Rc<Observer>, head: Head<'_>, address: u64, now: u64) -> Result<Self, Unread> {
        let config = &observer.config;
        let (method, host, path) =
            (head.bytes(":method").unwrap_or_default(), head.whole(":authority"), head.whole(":path"));
        let target = match provider::is_upgrade(head) {
            true => provider::detect_socket(host, path, &config.apis),
            false => provider::detect(method, host, path, &config.apis),
        };
        let target = target.ok_or(Unread::OtherTraffic)?;
        let mut draft = begin(observer, target.endpoint, target.api, address)?;
        draft.provider_is_guessed = target.provider_is_guessed;
        let observation = &mut draft.observation;
        observation.provider = target.provider;
        observation.request.model = target.model.clone();
        observation.timing.start = now;
        observation.labels = config.labels.headers.iter().map(|(header, _)| head.text(header).into()).collect();
        observation.request.stream = target.expects_stream.then_some(true);
        draft.server(head.text(":authority"), head.text(":scheme"));
        provider::headers::request(head, &mut draft);
        provider::client::request(head, &mut draft);
        draft.name_conversation(head.text(&config.conversation_header));
        let place = if config.otlp.cluster.is_empty() { None } else { texts::place(head, config.otlp.sample) };
        if let Some(id) = &target.fetched {
            draft.fetched_by(Scalar::Text(id));
        }
        let share = Share::new(&observer.budget, Side::Request, address);
        let body = Body::request(head.text("content-type"), head.whole("content-encoding"), share);
        let phase = readable(&mut draft, body).map_or(ExchangePhase::Waiting, ExchangePhase::Request);
        let content_is_sampled =
            config.privacy.capture == Capture::Sampled && texts::is_sampled(head, config.privacy.sample);
        Ok(Exchange {
            observer: Rc::clone(observer),
            api: target.api,
            endpoint: target.endpoint,
            draft,
            phase,
            changes: Changes::default(),
            address,
            is_local: false,
            certainty: target.certainty,
            path_asks_for_stream: target.streams,
            path_model: target.model,
            content_is_sampled,
            place,
            run: RunState::default(),
            previous: None,
            stream: None,
            cost_is_due: false,
        })
    }

    /// Sets the caller, from the head of the request. `address` returns the downstream address without its port. It is called
    /// only if the head has no credential.
    pub fn identify(&mut self, head: Head<'_>, address: impl FnOnce() -> Vec<u8>) {
        if let Some(callers) = &self.observer.callers {
            self.run.caller = callers.caller(head, address);
        }
    }

    /// Keyed hash of the caller. 0 if it is unknown.
    pub fn caller(&self) -> u64 {
        self.run.caller
    }

    /// Sets the hash of the downstream address, for the memory of the response.
    pub fn set_address(&mut self, address: u64) {
        self.address = address;
    }

    /// A part of the memory budget for the response. [`Exchange::set_address`] comes before.
    pub fn response_memory(&self) -> Share {
        Share::new(&self.observer.budget, Side::Response, self.address)
    }

    /// Sets when the call started, if an earlier stream was a part of the same call.
    pub fn set_start(&mut self, start: u64) {
        self.draft.observation.timing.start = start;
    }

    /// Sets the name of the route.
    pub fn route(&mut self, name: &str) {
        self.draft.observation.route = clipped(name, LIMIT).into();
    }

    /// Reads bytes of the request's body.
    pub fn request_body(&mut self, bytes: &[u8]) {
        if let (ExchangePhase::Request(body), Some(programs)) =
            (&mut self.phase, self.observer.programs.get(self.endpoint))
        {
            body.feed(request_rules(programs), &mut self.draft, bytes);
        }
    }

    /// The request has ended.
    pub fn request_end(&mut self, now: u64) {
        let ExchangePhase::Request(body) = &mut self.phase else { return };
        self.draft.now = now;
        if let Some(programs) = self.observer.programs.get(self.endpoint) {
            body.finish(request_rules(programs), &mut self.draft);
        }
        self.phase = ExchangePhase::Waiting;
        if self.path_model.is_some() {
            self.draft.observation.request.model = self.path_model.take();
        }
        self.draft.end_request(self.observer.config.privacy.hash);
        self.find_structured_output();
        self.changes.request = true;
    }

    /// A request that forces the call of a tool asks for structured output. It belongs to a run only if a remembered call says so.
    fn find_structured_output(&mut self) {
        let forced = self.draft.conversation.tool_choice().forced();
        self.run.is_structured = forced.is_some_and(|tool| !self.observer.config.agent.delivers(tool));
        if self.run.is_structured || self.draft.observation.is_prewarm() {
            self.draft.observation.agent.iteration = None;
        }
    }

    /// The configuration of the exchange's route.
    pub fn config(&self) -> &Config {
        &self.observer.config
    }

    /// The API of the exchange.
    pub fn api(&self) -> &'static Api {
        self.api
    }

    /// The observation, as far as it is known.
    pub fn observation(&self) -> &Observation {
        &self.draft.observation
    }

    /// Returns true if this is LLM traffic. If only the bodies show it, the answer depends on what has been read.
    pub fn is_recognised(&self) -> bool {
        match self.certainty {
            Certainty::Sure => true,
            Certainty::UnlessBlank => !self.is_blank(),
            Certainty::ByBodies => self.has_form_of_api(),
            Certainty::OnceComplete => self.has_fetched(),
        }
    }

    /// Returns true if requests that are no LLM traffic have such paths too, so that only the bodies tell.
    pub fn may_be_other(&self) -> bool {
        self.certainty == Certainty::ByBodies
    }

    /// Returns true if neither body has anything of an API, as far as they have been read. Failures are reported nevertheless.
    fn is_blank(&self) -> bool {
        let Observation { request, response, output, .. } = &self.draft.observation;
        let asks = request.model.is_some() || request.messages.is_some();
        matches!(self.draft.observation.outcome, None | Some(Outcome::Completed))
            && !(asks || self.has_form_of_api() || response.model.is_some() || output.characters.is_some())
            && output.tools.is_empty()
            && self.draft.observation.parse_errors == Default::default()
    }

    /// Returns true if the answer has usage, a finish reason, or a model and a text. A failure shows nothing, so the request decides.
    fn has_form_of_api(&self) -> bool {
        let Observation { request, response, output, usage, .. } = &self.draft.observation;
        let asks = request.messages.is_some() && (request.model.is_some() || !self.draft.provider_is_guessed);
        self.draft.shows_api
            || asks && !matches!(self.draft.observation.outcome, None | Some(Outcome::Completed))
            || usage.is_known()
            || !response.finish_reasons.is_empty()
            || response.model.is_some() && output.characters.is_some()
    }

    /// What became known since the last call.
    pub fn changes(&mut self) -> Changes {
        if !self.is_recognised() {
            return Changes::default();
        }
        self.settle_cost();
        core::mem::take(&mut self.changes)
    }
}

/// The draft of an exchange at this endpoint, with the texts and hashes that the configuration wants.
fn begin(observer: &Observer, endpoint: usize, api: &Api, address: u64) -> Result<Draft, Unread> {
    let config = &observer.config;
    let mut state = Share::of_state(&observer.budget, address);
    if !state.resize(observer.charge_at(endpoint)) {
        return Err(Unread::Budget);
    }
    let mut draft = Draft::new(api.document, api.finish_class, Room::new(state));
    draft.observation.operation = api.operation;
    draft.observation.request.api_kind = api.kind;
    texts::start(&mut draft, &config.privacy, observer.callers.is_some());
    draft.conversation.set_loop_limits(config.agent.loops);
    cache::start(&mut draft, &config.agent, observer.callers.is_some());
    if !config.otlp.cluster.is_empty() {
        draft.conversation.measure_results();
    }
    Ok(draft)
}

fn request_rules(programs: &Programs) -> Rules<'_> {
    Rules { document: &programs.request, envelope: None }
}

/// A body to read. Reports [`ParseError::Encoding`] if there is none.
fn readable(draft: &mut Draft, body: Option<Body>) -> Option<Box<Body>> {
    if body.is_none() {
        draft.report(ParseError::Encoding);
    }
    body.map(Box::new)
}
