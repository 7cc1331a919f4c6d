//! The calls of client's tools in the answer.

use super::{Draft, entry};
use crate::json::{LIMIT, ObjectHash, Scalar, identity, unnamed_call};
use crate::observation::{FinishClass, FinishReason, LIST, Text, clipped};

/// The calls of client's tools. Their names are in the observation.
#[derive(Default)]
pub(super) struct AnswerCalls {
    list: Vec<AnsweredCall>,
    /// The arguments of a call that arrive in fragments, and the index of the call.
    fragments: (ObjectHash, Option<usize>),
    /// The choices that call tools, one bit for each.
    choices: u128,
}

/// A call of a client's tool, as far as it has been read.
struct AnsweredCall {
    position: u64,
    /// Hash of its identifier; 0 if it has none.
    id: u64,
    /// Hash of the identifier of its item; 0 if it has none.
    item: u64,
    /// Hash of its arguments; 0 if they are not known.
    arguments: u64,
}

/// A call of a client's tool in the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolCall<'a> {
    /// Hash of its identifier. If it has none, the same as `unnamed`.
    pub id: u64,
    /// Hash of the identifier of the item that it is, in OpenAI's Responses; 0 if it has none.
    pub item: u64,
    /// The identifier that its result has in a request without identifiers, see [`unnamed_call`].
    pub unnamed: u64,
    /// Name of the tool.
    pub name: &'a Text,
    /// Hash of the tool's name, for [`crate::observation::Step`].
    pub tool: u64,
    /// Hash of its arguments, the same as in a request that repeats the call; 0 if it is not known. APIs have it
    /// whose requests may lack earlier calls, or that agents use: Chat Completions, Responses, Interactions, Anthropic, Mistral's conversations.
    pub arguments: u64,
}

impl AnswerCalls {
    /// The number of calls.
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl Draft {
    /// The answer's calls of client's tools.
    pub fn answer_calls(&self) -> impl Iterator<Item = ToolCall<'_>> {
        let (tools, (fragments, fragments_of)) = (&self.observation.output.tools, &self.answer.calls.fragments);
        self.answer.calls.list.iter().zip(tools).enumerate().map(move |(at, (call, name))| {
            let earlier = tools.iter().take(at).filter(|earlier| *earlier == name).count();
            let tool = identity(Scalar::Text(name));
            let unnamed = unnamed_call(tool, earlier);
            let is_open = *fragments_of == Some(at) && !fragments.is_empty();
            ToolCall {
                id: if call.id == 0 { unnamed } else { call.id },
                item: call.item,
                unnamed,
                name,
                tool,
                arguments: if is_open { fragments.finish() } else { call.arguments },
            }
        })
    }

    /// The answer's calls of client's tools: identifier hashes, see [`ToolCall::id`], and names.
    pub fn tool_calls(&self) -> impl Iterator<Item = (u64, &Text)> {
        self.answer_calls().map(|call| (call.id, call.name))
    }

    /// The answer ends: an answer that calls tools has ended for that reason. Some APIs have no word for it.
    pub(super) fn settle_finish_reasons(&mut self) {
        for (index, reason) in self.observation.response.finish_reasons.iter_mut().enumerate() {
            if let Some(FinishReason { class: class @ (FinishClass::Stop | FinishClass::Other), .. }) = reason
                && self.answer.calls.choices.checked_shr(index as u32).is_some_and(|bits| bits & 1 == 1)
            {
                *class = FinishClass::ToolCall;
            }
        }
    }
}

/// Rules of calls.
impl Draft {
    /// The open part is a call of a client's tool. A call may come in fragments, of which only the first has the name, or again
    /// in a later document: `position` (of choice and call) and the identifier tell which call it is.
    #[inline(never)]
    pub fn tool_call(&mut self, position: u64) {
        let part = core::mem::take(&mut self.open.part);
        let Some(name) = part.name else { return };
        self.generated();
        match self.open.calling_choice() {
            Some(calls_tools) => *calls_tools = true,
            None => self.answer.calls.choices |= 1,
        }
        let arguments = part.arguments.as_ref().map_or(0, ObjectHash::finish);
        let same =
            |call: &AnsweredCall| call.position == position && (part.id == 0 || call.id == 0 || call.id == part.id);
        if let Some(at) = self.answer.calls.list.iter().position(same) {
            self.continue_tool_name(at, part.id, &name);
            // A further fragment: the whole is not known.
            if let Some(call) =
                self.answer.calls.list.get_mut(at).filter(|call| arguments != 0 && call.arguments != arguments)
            {
                call.arguments = 0;
            }
        } else if self.answer.calls.list.len() < LIST
            && self.keeps(entry::<AnsweredCall>(0) + entry::<Text>(name.len()))
        {
            self.answer.calls.list.push(AnsweredCall { position, id: part.id, item: part.item_id, arguments });
            self.observation.output.tools.push(name);
        }
    }

    /// As [`Draft::tool_call`], for a part that has the whole call. A stream may have it several times, not always with its index.
    pub fn whole_tool_call(&mut self, position: u64) {
        let known = self.answer.calls.list.iter().position(|call| call.id != 0 && call.id == self.open.part.id);
        let arguments = self.open.part.arguments.as_ref().filter(|arguments| !arguments.is_empty());
        let arguments = arguments.map(ObjectHash::finish);
        if known.is_none() {
            self.tool_call(position);
        }
        let at = known.or_else(|| self.answer.calls.list.iter().position(|call| call.position == position));
        if let (Some(call), Some(arguments)) = (at.and_then(|at| self.answer.calls.list.get_mut(at)), arguments) {
            call.arguments = arguments;
        }
    }

    /// The arguments of the last call follow in fragments. None follow for a part that is no call, unless `is_call`.
    pub fn fragments_opened(&mut self, is_call: bool) {
        self.settle_fragments(self.answer.calls.list.len().checked_sub(1).filter(|_| is_call));
    }

    /// Adds a fragment of the arguments of the call at this position, of which it may be the first.
    pub fn fragment_at(&mut self, position: u64, piece: &[u8]) {
        let list = &self.answer.calls.list;
        let at = list.iter().position(|call| call.position == position).unwrap_or(list.len());
        if self.answer.calls.fragments.1 != Some(at) {
            self.settle_fragments(Some(at));
        }
        self.arguments_fragment(piece);
    }

    /// Keeps the arguments of the call whose fragments came last. Those of the call at `next` follow.
    fn settle_fragments(&mut self, next: Option<usize>) {
        let (arguments, of) = core::mem::replace(&mut self.answer.calls.fragments, (ObjectHash::default(), next));
        if let Some(call) = of.and_then(|at| self.answer.calls.list.get_mut(at)).filter(|_| !arguments.is_empty()) {
            call.arguments = arguments.finish();
        }
    }

    /// Adds a fragment of a call's arguments.
    pub fn arguments_fragment(&mut self, piece: &[u8]) {
        self.call_text(piece);
        self.answer.calls.fragments.0.push(piece);
    }

    /// Adds a piece of a call's arguments as JSON, which are structured output if the request forces the call.
    pub fn structured_arguments(&mut self, piece: &[u8]) {
        self.answer.structured_arguments(piece);
    }

    /// Adds a piece of the arguments that are generated for a call.
    pub fn call_text(&mut self, piece: &[u8]) {
        self.other_text(piece);
        self.structured_arguments(piece);
    }

    /// Records that a choice calls tools.
    pub(super) fn choice_calls_tools(&mut self, index: u32) {
        self.answer.calls.choices |= 1_u128.checked_shl(index).unwrap_or_default();
    }

    /// Adds a piece to the name of a call. Only the first piece has the identifier; some servers repeat the whole name.
    fn continue_tool_name(&mut self, at: usize, id: u64, piece: &str) {
        let Some(begun) = self.observation.output.tools.get(at).filter(|begun| id == 0 && ***begun != *piece) else {
            return;
        };
        let name = clipped(&[&**begun, piece].concat(), LIMIT).into();
        if self.keeps(piece.len())
            && let Some(slot) = self.observation.output.tools.get_mut(at)
        {
            *slot = name;
        }
    }
}
