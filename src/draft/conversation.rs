//! The messages of the request: their texts, the history of tool calls, the tools offered.

use std::rc::Rc;

use super::{Draft, History, Prefix, ToolChoice, entry};
use crate::budget::Share;
use crate::json::{Scalar, identity};
use crate::observation::{LIST, LoopLimits, ParseError, Text, ToolResult};
use crate::text::content::Content;
use crate::text::fingerprint::Fingerprint;
use crate::text::hash::{self, Hashes, Key};
use crate::text::opening::{Opening, OpeningHashes};
use crate::text::transcript::{Part, Transcript};

/// The messages of the request, as far as they have been read. [`Draft::end_request`] empties it.
#[derive(Default)]
pub struct Conversation {
    /// The text of the last message so far.
    last_message: Fingerprint,
    /// The last message's text itself, if it may be reported. Set when the request ends.
    content: Option<Box<Content>>,
    /// All messages, if their hash is wanted.
    all_messages: Option<Box<Transcript>>,
    /// The tools offered, if their hash is wanted.
    tools: Option<Box<Fingerprint>>,
    /// The beginning of the conversation, if its hash is wanted.
    opening: Option<Box<Opening>>,
    /// The hashes of the beginning, once the request has ended. They are known even if they are not reported.
    hashes: OpeningHashes,
    pub(super) history: Box<History>,
    /// The hashes of what the provider may cache, if they are wanted.
    pub(super) prefix: Option<Box<Prefix>>,
    /// Hashes of the keys that an answer in JSON must have.
    required_keys: Vec<u64>,
    /// Hashes of the keys that the arguments of the last offered tool must have.
    tool_keys: Vec<u64>,
    /// True if a request header has the conversation's identifier.
    is_named: bool,
    /// The rule about tools.
    pub(super) choice: ToolChoice,
    /// Hash of the identifier of the response that the request continues. 0 if it names none.
    previous: u64,
}

impl Conversation {
    /// Returns true if a request header has the conversation's identifier.
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    /// Sets where the history of the agent's run reserves memory.
    pub(super) fn set_share(&mut self, share: Option<Share>) {
        self.history.set_share(share);
    }

    /// The hash of the system prompt and the first user message. None until the request ends, or if it was not wanted.
    pub fn beginning(&self) -> Option<[u8; 8]> {
        self.hashes.both
    }

    /// The hash of the first user message. Agents that hand over to each other share it, whatever their system prompts. None until
    /// the request ends, or if it was not wanted.
    pub fn first_user_message(&self) -> Option<[u8; 8]> {
        self.hashes.user
    }

    /// The hash of the system prompt and the first bytes of the first user message: equal for the requests of a client that adds
    /// errors to that message, as smolagents does. None as for [`Conversation::beginning`].
    pub fn task(&self) -> Option<u64> {
        self.hashes.task
    }

    /// Returns true if the first user message ends with the error of the last step, as smolagents writes it.
    pub fn asks_to_retry(&self) -> bool {
        self.hashes.asks_to_retry
    }

    /// The rule about tools.
    pub fn tool_choice(&self) -> &ToolChoice {
        &self.choice
    }

    /// Hash of the identifier of the response that the request continues, with state that the server keeps. None if it names none.
    pub fn previous_response(&self) -> Option<u64> {
        Some(self.previous).filter(|previous| *previous != 0)
    }

    /// The hashes of what the provider may cache. They are complete when the request has ended. None if they are not wanted.
    pub fn prefix(&self) -> Option<&Prefix> {
        self.prefix.as_deref()
    }

    /// The open message or item ends, for the hashes of the prefix. `role` is the letter of its role.
    pub(super) fn close_in_prefix(&mut self, role: u8) {
        if let Some(prefix) = &mut self.prefix {
            prefix.message_closed(role, self.history.text_hash());
        }
    }

    /// Measures the length of tool results from now on.
    pub fn measure_results(&mut self) {
        self.history.measure_results();
    }

    /// Sets after how many repetitions the agent's run counts as a loop.
    pub fn set_loop_limits(&mut self, limits: LoopLimits) {
        self.history.set_loop_limits(limits);
    }

    /// Takes the last message's text, if it was captured.
    pub fn take_content(&mut self) -> Option<Box<Content>> {
        self.content.take()
    }
}

impl Draft {
    /// Starts the hashes of the texts of request and answer. `captures`: the texts themselves may be reported. `has_opening`:
    /// the hash of the conversation's beginning is needed.
    pub fn start_texts(&mut self, key: Option<&Rc<Key>>, hashes: Hashes, captures: bool, has_opening: bool) {
        let conversation = &mut self.conversation;
        conversation.last_message = Fingerprint::new(key, hashes.last_message);
        if captures {
            conversation.last_message.capture();
        }
        self.answer.start(key, hashes.response, captures);
        conversation.all_messages = hashes.prompt.then(|| Box::new(Transcript::new(key)));
        conversation.tools = hashes.tools.then(|| Box::new(Fingerprint::new(key, true)));
        let is_reported = hashes.system || hashes.conversation;
        conversation.opening =
            has_opening.then(|| Box::new(Opening::new(key, &mut conversation.last_message, is_reported)));
    }

    /// Sets the conversation's identifier from a request header. An empty one is ignored.
    pub fn name_conversation(&mut self, id: &str) {
        if !id.is_empty() {
            self.observation.request.conversation = Some(Text::from(id));
            self.conversation.is_named = true;
        }
    }

    /// The request ends: sets the hashes and lengths of its texts, the state of the agent's run, and what an answer in JSON
    /// must have.
    pub fn end_request(&mut self, wanted: Hashes) {
        self.settle_client();
        self.end_request_texts(wanted);
        self.conversation.close_in_prefix(self.conversation.history.role_letter());
        let mut agent = self.conversation.history.settle();
        if self.conversation.history.lacks_memory() {
            self.report(ParseError::Memory);
        }
        *self.conversation.history = History::default();
        let named = |result: &ToolResult| entry::<ToolResult>(result.name.as_deref().map_or(0, str::len));
        if !self.keeps(agent.results.iter().map(named).sum()) {
            agent.results = Vec::new();
        }
        self.observation.agent = agent;
        let required = core::mem::take(&mut self.conversation.required_keys);
        self.room.give(required.len() * entry::<u64>(0));
        if self.observation.request.output_type == Some("json") && self.keeps(Fingerprint::json_bound(required.len())) {
            self.answer.expect_json(required);
        }
        self.expect_structure();
    }

    /// If the request forces the call of a tool, its arguments are structured output.
    fn expect_structure(&mut self) {
        let choice = &self.conversation.choice;
        let Some(forced) = choice.forced() else { return };
        // Only of the last tool the required keys are known.
        let is_last = choice.last_offered() == Some(forced);
        let required = core::mem::take(&mut self.conversation.tool_keys);
        let required = if is_last { required } else { Vec::new() };
        if self.keeps(Fingerprint::json_bound(required.len())) {
            self.answer.expect_structure(required);
        }
    }

    fn end_request_texts(&mut self, wanted: Hashes) {
        let (conversation, observation) = (&mut self.conversation, &mut self.observation);
        let mut last_message = core::mem::take(&mut conversation.last_message);
        if let Some(opening) = conversation.opening.take() {
            let known = opening.of_prompt(&last_message).filter(|_| wanted.last_message);
            observation.request.hash = known.map(hash::short);
            let hashes = opening.settle(&mut last_message);
            if wanted.system {
                observation.configured.get_or_insert_default().system_hash = hashes.system;
            }
            conversation.hashes = hashes;
            observation.request.conversation_hash = hashes.both.filter(|_| wanted.conversation);
        }
        let request = &mut observation.request;
        request.hash = request.hash.or_else(|| last_message.hash());
        request.characters = last_message.characters();
        conversation.content = last_message.take_content();
        if let Some(mut all) = conversation.all_messages.take() {
            all.message_closed(conversation.history.role_letter());
            observation.configured.get_or_insert_default().prompt_hash = all.hash();
        }
        if let Some(tools) = conversation.tools.take() {
            observation.configured.get_or_insert_default().tools_hash = tools.hash();
        }
    }
}

/// Rules of messages. The last message of the request is the prompt.
impl Draft {
    /// A message begins. The one before was not the last.
    #[inline(never)]
    pub fn message_opened(&mut self) {
        self.conversation.last_message.clear();
        if let Some(all) = &mut self.conversation.all_messages {
            all.message_closed(self.conversation.history.role_letter());
            all.message_opened();
        }
        // In some APIs nothing marks the end of a message.
        self.conversation.close_in_prefix(self.conversation.history.role_letter());
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.message_opened();
        }
        self.conversation.history.message_opened();
        if let Some(opening) = &mut self.conversation.opening {
            opening.message_opened();
        }
        self.count_message();
    }

    /// The message ends.
    #[inline(never)]
    pub fn message_closed(&mut self) {
        self.conversation.close_in_prefix(self.conversation.history.role_letter());
        let Conversation { opening, history, last_message, .. } = &mut self.conversation;
        if let (Some(of_user), Some(opening)) = (history.message_closed(), opening) {
            opening.message_closed(of_user, last_message);
        }
    }

    /// The path of an agent that sends (`sign` -1) or receives (`sign` 1) the message.
    pub fn message_level(&mut self, path: Scalar<'_>, sign: i32) {
        if let Scalar::Text(path) = path {
            self.conversation.history.message_level(path, sign);
        }
    }

    /// A message between agents ends. One from an agent to an agent below it begins the run of the latter.
    pub fn agent_message_closed(&mut self) {
        self.conversation.history.agent_message_closed();
        self.message_closed();
    }

    /// Counts a message. Its text is not the prompt.
    pub fn count_message(&mut self) {
        let messages = &mut self.observation.request.messages;
        *messages = Some(messages.unwrap_or(0).saturating_add(1));
    }

    /// A prompt that is a string, and no message, begins.
    pub fn prompt_opened(&mut self) {
        self.message_opened();
        self.conversation.history.prompt_opened();
    }

    /// The message's role: `user`, `assistant` or `model`, `tool` or `function`, `system` or `developer`. Any other word is an
    /// unknown role.
    pub fn message_role(&mut self, value: Scalar<'_>) {
        self.conversation.history.role(value);
    }

    /// Adds a piece of the message's text.
    #[inline(never)]
    pub fn message_text(&mut self, piece: &[u8]) {
        self.conversation.last_message.push(piece);
        if let Some(opening) = &mut self.conversation.opening {
            opening.push(piece);
        }
        if let Some(all) = &mut self.conversation.all_messages {
            all.push(Part::Text, piece);
        }
    }

    /// Adds the hash of a string of the message that is no tool's result.
    pub fn text_hashed(&mut self, hash: u64) {
        self.conversation.history.text_hashed(hash);
    }

    /// Adds a piece of an image, a sound or a file of the message: of its data, its URL or its identifier.
    #[inline(never)]
    pub fn message_media(&mut self, piece: &[u8]) {
        if let Some(all) = &mut self.conversation.all_messages {
            all.push(Part::Media, piece);
        }
    }

    /// Returns true if the text of a message is wanted even if it is not the last.
    pub fn wants_every_message(&self) -> bool {
        self.conversation.all_messages.is_some()
            || self.conversation.opening.as_ref().is_some_and(|opening| opening.listens())
    }

    /// Adds a piece of the system instructions that are not in a message.
    #[inline(never)]
    pub fn system_text(&mut self, piece: &[u8]) {
        if let Some(opening) = &mut self.conversation.opening {
            opening.push_beside(piece);
        }
    }

    /// Adds a piece of the offered tools, as JSON.
    pub fn tools_json(&mut self, piece: &[u8]) {
        if let Some(tools) = &mut self.conversation.tools {
            tools.push(piece);
        }
        if piece.contains(&b'{') {
            self.tools_offered();
        }
    }

    /// The request offers tools, of an unknown number.
    pub fn tools_offered(&mut self) {
        self.conversation.history.tools_offered();
    }

    /// The request offers a tool.
    pub fn tool_offered(&mut self) {
        self.conversation.history.tool_offered();
        self.room.give(self.conversation.tool_keys.len() * entry::<u64>(0));
        self.conversation.tool_keys.clear();
    }

    /// The session of the request offers tools, unless the request itself does.
    pub fn session_offers(&mut self, tools: u16) {
        self.conversation.history.session_offers(tools);
    }

    /// A key that the arguments of the offered tool must have.
    pub fn tool_required_key(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(name) = value
            && self.conversation.tool_keys.len() < LIST
            && self.keeps(entry::<u64>(0))
        {
            self.conversation.tool_keys.push(crate::json::key_hash(name));
        }
    }

    /// The identifier of the response that the request continues, with state that the server keeps.
    pub fn previous_response(&mut self, value: Scalar<'_>) {
        self.conversation.previous = identity(value);
        self.previous_response_id(value);
    }

    /// Adds a key that an answer in JSON must have.
    pub fn required_key(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(name) = value
            && self.conversation.required_keys.len() < LIST
            && self.keeps(entry::<u64>(0))
        {
            self.conversation.required_keys.push(crate::json::key_hash(name));
        }
    }
}
