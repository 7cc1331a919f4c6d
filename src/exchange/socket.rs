//! The exchanges of a WebSocket: each response on it is one, with the messages that ask for it and those that answer.

use std::rc::Rc;

use super::{Exchange, ExchangePhase, Observer, RunState, Unread, begin, readable};
use crate::budget::{Share, Side};
use crate::draft::BLOCK;
use crate::framing::Body;
use crate::json::{LIMIT, Program};
use crate::observation::{Changes, ClientDetails, Observation, Outcome, RareDetails, RequestKind, Text, Timing};
use crate::provider::{Api, Certainty, Dialect, Notice};
use crate::trace_context::TraceContext;

/// Maximum number of the texts of a connection, without the values of labels: the provider, the server, the route, the conversation, five
/// models, and six of the client.
const TEXTS: usize = 15;

/// The common part of the exchanges of a WebSocket, by the request for it.
pub struct Template {
    observer: Rc<Observer>,
    api: &'static Api,
    dialect: &'static Dialect,
    endpoint: usize,
    address: u64,
    certainty: Certainty,
    provider_is_guessed: bool,
    content_is_sampled: bool,
    place: Option<TraceContext>,
    caller: u64,
    /// The model that later requests name if they name none.
    pub request_model: Option<Text>,
    /// The model that answers, if the answers do not name it.
    pub response_model: Option<Text>,
    /// The model that transcribes what the user says.
    pub transcriber: Option<Text>,
    /// Number of tools that the session offers.
    pub tools: u16,
    /// The connection: what all exchanges have in common, and the sums of those that have ended.
    pub sums: Box<Observation>,
}

impl Exchange {
    /// Returns true if the request asks for a WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.api.dialect.is_some()
    }

    /// The server has agreed to speak over a WebSocket. Returns None if the request has not asked for it.
    pub fn into_template(self) -> Option<Template> {
        let mut sums = Box::new(self.draft.observation);
        let request_model = sums.request.model.clone();
        sums.response = Default::default();
        sums.limits = Default::default();
        // Other kinds are those of the client's first request.
        if let Some(client) = &mut sums.client {
            client.kind = client.kind.filter(|kind| *kind == RequestKind::Subagent);
            client.attempt = None;
        }
        Some(Template {
            observer: self.observer,
            api: self.api,
            dialect: self.api.dialect?,
            endpoint: self.endpoint,
            address: self.address,
            certainty: self.certainty,
            provider_is_guessed: self.draft.provider_is_guessed,
            content_is_sampled: self.content_is_sampled,
            place: self.place,
            caller: self.run.caller,
            request_model,
            response_model: None,
            transcriber: None,
            tools: 0,
            sums,
        })
    }

    /// Reads bytes of a message from the server. The request ends before the first one.
    pub fn answer_message(&mut self, bytes: &[u8], now: u64) {
        if matches!(self.phase, ExchangePhase::Request(_) | ExchangePhase::Waiting) {
            self.request_end(now);
            self.draft.begin_response();
            let share = Share::new(&self.observer.budget, Side::Response, self.address);
            let body = readable(&mut self.draft, Body::messages(share));
            self.phase = ExchangePhase::Response { body, is_error: false };
        }
        self.response_body(bytes, now);
    }

    /// The server's message ends. Returns true if it was the last one of the response.
    pub fn end_answer_message(&mut self) -> bool {
        let programs = self.observer.programs.get(self.endpoint);
        if let (ExchangePhase::Response { body: Some(body), .. }, Some(programs)) = (&mut self.phase, programs) {
            body.end_message(programs.response_rules(), &mut self.draft);
        }
        self.update_usage();
        self.draft.answer.is_complete()
    }

    /// The client's message ends. Another one may follow.
    pub fn end_request_message(&mut self) {
        let programs = self.observer.programs.get(self.endpoint);
        if let (ExchangePhase::Request(body), Some(programs)) = (&mut self.phase, programs) {
            body.end_message(super::request_rules(programs), &mut self.draft);
        }
    }

    /// Adds what the request for the WebSocket says to what the messages say. All messages of the request have been read.
    pub fn inherit(&mut self, template: &Template) {
        self.inherit_client(template);
        if template.tools > 0 {
            self.draft.session_offers(template.tools);
        }
        let observation = &mut self.draft.observation;
        if observation.request.model.is_none() {
            observation.request.model = template.request_model.clone();
        }
        let client = observation.client.as_deref();
        let own = client.and_then(|client| TraceContext::parse(client.traceparent.as_deref()?));
        if !self.observer.config.otlp.cluster.is_empty() {
            self.place = own.or(self.place);
        }
    }

    /// The model that answers, if the answer has not named it. It does nothing but answer.
    pub fn answered_by_model(&mut self, model: &Text) {
        if self.draft.observation.operation != self.api.operation {
            return;
        }
        self.draft.observation.response.model.get_or_insert_with(|| model.clone());
    }

    /// Starts an exchange that is no response: the session's own request for another operation, with the model that transcribes.
    pub fn start_aside(&mut self, template: &Template, operation: &'static str, now: u64) {
        self.inherit_client(template);
        self.draft.observation.operation = operation;
        self.draft.observation.request.model.clone_from(&template.transcriber);
        self.set_start(now);
        self.request_end(now);
        self.draft.complete();
    }

    fn inherit_client(&mut self, template: &Template) {
        if let Some(client) = template.sums.client.as_deref() {
            self.draft.inherit_client(client, false);
        }
    }

    /// Returns true if the answer calls tools of the client.
    pub fn calls_tools(&self) -> bool {
        self.draft.tool_call_count() > 0
    }
}

impl Template {
    /// The meaning of messages.
    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// The rules for the notices of the client's and the server's messages.
    pub fn notices(&self) -> Option<&[Program<Notice>; 2]> {
        self.observer.programs.get(self.endpoint)?.notices.as_ref()
    }

    /// A share of 0 bytes of the budget for the decoder of this direction.
    pub fn decoder_share(&self, side: Side) -> Share {
        Share::new(&self.observer.budget, side, self.address)
    }

    /// A share of 0 bytes of the budget for the state of the connection.
    pub fn state_share(&self) -> Share {
        Share::of_state(&self.observer.budget, self.address)
    }

    /// Maximum memory on the heap, in bytes.
    pub fn bound(&self) -> usize {
        let texts = TEXTS + self.sums.labels.len();
        let parts = size_of::<Observation>() + size_of::<ClientDetails>() + size_of::<RareDetails>();
        parts + texts * (size_of::<Text>() + LIMIT + BLOCK)
    }

    /// The configuration of the connection's route.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Starts an exchange.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn open(&self, now: u64) -> Result<Exchange, Unread> {
        let mut draft = begin(&self.observer, self.endpoint, self.api, self.address)?;
        let (config, sums) = (&self.observer.config, &self.sums);
        draft.provider_is_guessed = self.provider_is_guessed;
        if let Some(client) = &sums.client {
            draft.inherit_client(client, true);
        }
        if let Some(named) = &sums.request.conversation {
            draft.name_conversation(named);
        }
        let observation = &mut draft.observation;
        observation.provider = sums.provider.clone();
        observation.server = sums.server.clone();
        observation.route = sums.route.clone();
        observation.labels = sums.labels.clone();
        observation.request.stream = Some(true);
        observation.timing = Timing { start: now, ..Timing::default() };
        let body = Body::messages(Share::new(&self.observer.budget, Side::Request, self.address));
        let phase = readable(&mut draft, body).map_or(ExchangePhase::Waiting, ExchangePhase::Request);
        Ok(Exchange {
            observer: Rc::clone(&self.observer),
            api: self.api,
            endpoint: self.endpoint,
            draft,
            phase,
            changes: Changes::default(),
            address: self.address,
            is_local: false,
            certainty: self.certainty,
            path_asks_for_stream: true,
            path_model: None,
            content_is_sampled: self.content_is_sampled,
            place: self.place.filter(|_| !config.otlp.cluster.is_empty()),
            run: RunState { caller: self.caller, ..RunState::default() },
            previous: None,
            stream: None,
            cost_is_due: false,
        })
    }

    /// Adds an exchange that has ended to the sums.
    pub fn add(&mut self, seen: &Observation) {
        let sums = &mut self.sums;
        sums.usage = sums.usage.and(&seen.usage);
        sums.cost.nanousd = match (sums.cost.nanousd, seen.cost.nanousd) {
            (Some(sum), Some(cost)) => Some(sum.saturating_add(cost)),
            (sum, cost) => sum.or(cost),
        };
        if sums.request.model.is_none() {
            sums.request.model.clone_from(&seen.request.model);
        }
        if sums.response.model.is_none() {
            sums.response.model.clone_from(&seen.response.model);
        }
        let rare = sums.rare.get_or_insert_default();
        rare.responses = Some(rare.responses.unwrap_or(0).saturating_add(1));
    }

    /// The connection has ended.
    pub fn end(&mut self, outcome: Outcome, now: u64) {
        self.sums.outcome = Some(outcome);
        self.sums.timing.end = Some(now);
    }
}
