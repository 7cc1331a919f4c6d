//! The exchange as a call of a conversation: the call that it continues, and what the provider's prompt cache lost in between.

use super::Exchange;
use crate::bytes::mix::Mix;
use crate::config::AgentSettings;
use crate::draft::Draft;
use crate::json::{Scalar, identity};
use crate::observation::{CacheBreak, Observation, Usage};
use crate::signal::cache::{Answered, Asked, CacheRules, Comparison, Record, Records, cache_rules};

/// Operations whose calls form conversations.
const OPERATIONS: [&str; 2] = ["chat", "generate_content"];

/// Memory of what is known of the call before, in bytes.
const MEMORY: usize = size_of::<Comparison>() + size_of::<CacheBreak>() + 32;

/// Keeps the hashes of the prefix if calls are remembered.
pub(super) fn start(draft: &mut Draft, settings: &AgentSettings, exchanges_share: bool) {
    if settings.conversations > 0 && exchanges_share && OPERATIONS.contains(&draft.observation.operation) {
        draft.start_prefix();
    }
}

/// A call to remember.
pub struct Remembered {
    /// The call, without its key.
    pub record: Record,
    /// The keys under which it is remembered. The second is for the first call of a conversation, if nothing shows yet what the next
    /// one names: the response, or the messages.
    pub keys: [Option<u64>; 2],
    /// When the call began that this one continues. 0 if there is none.
    pub continued: u64,
}

impl Exchange {
    /// The key of the conversation whose last call the request may continue. None if it continues none, or if calls are not remembered.
    pub fn continued_conversation(&self) -> Option<u64> {
        let prefix = self.draft.conversation.prefix()?;
        match (self.continued_response(), self.is_kept_by_provider()) {
            (0, true) => self.named_conversation(),
            (0, false) if prefix.shows_answer() => self.shown_conversation(),
            (0, false) => None,
            (response, _) => self.answered_by(response),
        }
    }

    /// Compares the request with the remembered calls of its conversation. `key` is that of the conversation.
    pub fn compare_with(&mut self, key: u64, records: &Records) {
        if !self.draft.keeps(MEMORY) {
            return;
        }
        if let Some(prefix) = self.draft.conversation.prefix() {
            let asked = Asked { prefix, model: model_hash(&self.draft.observation), shows_all: self.shows_all() };
            self.previous = Comparison::find(records.of(key), &asked).map(Box::new);
        }
    }

    /// The call to remember. None if the provider does not report what it read from a cache, or if calls are not remembered. Returns it
    /// once.
    pub fn take_conversation(&mut self) -> Option<Remembered> {
        let usage = self.cache_usage();
        let prefix = self.draft.conversation.prefix()?;
        let observation = &self.draft.observation;
        let is_reported = usage.cache_read.is_some() || usage.cache_creation.is_some() || self.cache_rules().omits_zero;
        let input = usage.input.filter(|_| is_reported)?;
        let (read, written) = (usage.cache_read.unwrap_or(0), usage.cache_creation.unwrap_or(0));
        let has_exact_counts = written > 0 || self.cache_rules().needs_marks;
        let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        let record = Record {
            caller: self.run.caller as u32,
            started: observation.timing.start,
            model: model_hash(observation),
            answered_by: answering_model(observation),
            input: count(input),
            cached: count(if has_exact_counts { read.saturating_add(written).min(input) } else { input }),
            kept_for: if self.draft.counts.details().cache_write_1h > 0 { 3600 } else { prefix.kept_for() },
            has_read: read > 0,
            ..Record::of(prefix, self.shows_all())
        };
        let response =
            || self.answered_by(identity(observation.response.id.as_deref().map_or(Scalar::Null, Scalar::Text)));
        let keys = match (self.continued_response(), self.is_kept_by_provider()) {
            (0, true) => [self.named_conversation(), None],
            (0, false) if self.api.remembers && !prefix.shows_answer() => [self.shown_conversation(), response()],
            (0, false) => [self.shown_conversation(), None],
            _ => [response(), None],
        };
        let continued = self.previous.take().map_or(0, |previous| previous.continued());
        self.draft.end_prefix();
        Some(Remembered { record, keys, continued })
    }

    /// Sets what the cache lost since the call that the request continues.
    pub(super) fn explain_cache(&mut self) {
        let Some(previous) = &self.previous else { return };
        let (usage, observation) = (self.cache_usage(), &self.draft.observation);
        let answered = Answered {
            started: observation.timing.start,
            model: answering_model(observation),
            input: usage.input,
            read: usage.cache_read,
        };
        let found = previous.judge(&answered, &self.cache_rules());
        let found = found.map(|found| CacheBreak { lost_nanousd: self.cost_of_lost(found.lost_tokens), ..found });
        self.draft.observation.cache_break = found.map(Box::new);
    }

    /// The counts of the answer itself. A local reply has none.
    fn cache_usage(&self) -> Usage {
        if self.is_local { Usage::default() } else { self.draft.counts.usage().possible() }
    }

    fn cache_rules(&self) -> CacheRules {
        let observation = &self.draft.observation;
        let model = observation.response.model.as_deref().or(observation.request.model.as_deref());
        cache_rules(&observation.provider, model.unwrap_or_default())
    }

    /// Returns true if the provider keeps the messages of a conversation that the request names.
    fn is_kept_by_provider(&self) -> bool {
        let is_named = self.draft.conversation.is_named() || self.draft.observation.request.conversation.is_none();
        self.api.remembers && !is_named
    }

    /// Returns true if the request has all messages of its conversation.
    fn shows_all(&self) -> bool {
        let continued = self.continued_response();
        continued == 0 && !self.is_kept_by_provider()
    }

    /// Hash of the identifier of the response that the request continues. 0 if it names none.
    fn continued_response(&self) -> u64 {
        self.draft.conversation.previous_response().unwrap_or_default()
    }

    /// The key of a conversation that the provider keeps, by its identifier.
    fn named_conversation(&self) -> Option<u64> {
        let id = self.draft.observation.request.conversation.as_deref()?;
        self.conversation_key("conversation", &[id.as_bytes()])
    }

    /// The key of the conversation that the messages show: its identifier or the client's session if there is one, and the first user
    /// message. Nothing else stays the same in all calls of a conversation.
    fn shown_conversation(&self) -> Option<u64> {
        let observation = &self.draft.observation;
        let session = || observation.client.as_ref()?.session.as_deref();
        let id = observation.request.conversation.as_deref().or_else(session).unwrap_or_default();
        let first = self.draft.conversation.first_user_message()?;
        self.conversation_key("messages", &[id.as_bytes(), &first])
    }

    /// The key of a response, by the hash of its identifier.
    fn answered_by(&self, response: u64) -> Option<u64> {
        self.conversation_key("response", &[&response.to_be_bytes()]).filter(|_| response != 0)
    }

    fn conversation_key(&self, kind: &str, names: &[&[u8]]) -> Option<u64> {
        Some(self.observer.callers.as_ref()?.conversation_key(self.run.caller, kind, names))
    }
}

/// Hash of the provider and the requested model.
fn model_hash(observation: &Observation) -> u32 {
    let model = observation.request.model.as_deref().unwrap_or_default();
    Mix::new(0).text(&observation.provider).text(model).finish() as u32
}

/// Hash of the model that answered. 0 if the answer does not name it.
fn answering_model(observation: &Observation) -> u32 {
    identity(observation.response.model.as_deref().map_or(Scalar::Null, Scalar::Text)) as u32
}
