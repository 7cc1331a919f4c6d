//! The state of the document that is being read. The meaning of a member may depend on a sibling that comes later (`type`,
//! `index`, `thought`). So rules only record members here, and the end of the object or document decides.

use super::{Draft, Word};
use crate::json::{Ended, ObjectHash, Scalar};
use crate::observation::{ParseError, Text};
use crate::text::fingerprint::{Begins, Mark};

/// The member of an action that is a search, without blanks.
const SEARCH_ACTION: &[u8] = br#""type":"search""#;

/// The state of the document that is being read. It is reset when a document begins.
#[derive(Clone, Default)]
pub struct OpenDocument {
    kind: Word,
    /// When the document's first generated content was read, in nanoseconds.
    generated: Option<u64>,
    choice: OpenChoice,
    pub(super) part: OpenPart,
}

/// The choice, candidate, output item or delta that is being read.
#[derive(Clone, Default)]
struct OpenChoice {
    index: u32,
    finish_reason: Option<Text>,
    /// A more exact reason that the document gives. It replaces the finish reason.
    finish_detail: Option<Text>,
    /// The end of the answer's text before this choice.
    start: Option<Mark>,
    /// True from the begin of the choice to its end. Not all APIs have choices.
    is_open: bool,
    /// True if the choice calls tools of the client.
    calls_tools: bool,
}

/// The content part, block, output item or tool call that is being read.
#[derive(Clone, Default)]
pub(super) struct OpenPart {
    pub kind: Word,
    pub index: u32,
    /// The name of the tool, if the part is a call.
    pub name: Option<Text>,
    /// True if the part is the call of a search tool that does not search, but opens what was found.
    only_opens: bool,
    /// Number of bytes of [`SEARCH_ACTION`] at the end of what has been read of the action.
    action_match: u8,
    /// Hash of the call's identifier. 0 if there is none.
    pub id: u64,
    /// Hash of the item's own identifier. 0 if there is none.
    pub item_id: u64,
    /// The call's arguments, if they have been read.
    pub arguments: Option<ObjectHash>,
    /// Number of tokens, if the part is an entry of a list of counts.
    pub tokens: u64,
    /// True if the part's text is not the answer's: thoughts, or repeated input.
    is_thought: bool,
    /// The end of the answer's text before this part.
    start: Option<Mark>,
}

impl OpenDocument {
    /// Resets the state for the next document. The bytes of words stay: a stream may have a document in every second byte.
    fn reset(&mut self) {
        let OpenDocument { kind, generated, choice, part } = self;
        kind.clear();
        *generated = None;
        let OpenChoice { index, finish_reason, finish_detail, start, is_open, calls_tools } = choice;
        (*index, *finish_reason, *finish_detail, *start) = (0, None, None, None);
        (*is_open, *calls_tools) = (false, false);
        let OpenPart { kind, index, name, only_opens, action_match, id, item_id, arguments, tokens, is_thought, start } =
            part;
        kind.clear();
        (*item_id, *arguments, *action_match) = (0, None, 0);
        (*index, *name, *only_opens, *id, *tokens, *is_thought, *start) = (0, None, false, 0, 0, false, None);
    }

    /// The document's type.
    pub fn kind(&self) -> &str {
        self.kind.as_str()
    }

    /// The document's type, as a copy.
    pub fn kind_word(&self) -> Word {
        self.kind
    }

    /// The index of the open choice: the one that it has, else its position.
    pub fn choice_index(&self) -> u32 {
        self.choice.index
    }

    /// The flag of the open choice that it calls tools. None if no choice is open.
    pub(super) fn calling_choice(&mut self) -> Option<&mut bool> {
        self.choice.is_open.then_some(&mut self.choice.calls_tools)
    }

    /// Returns true if the open choice has a finish reason.
    pub fn has_finish_reason(&self) -> bool {
        self.choice.finish_reason.is_some()
    }

    /// Takes the finish reason of the open choice.
    pub fn take_finish_reason(&mut self) -> Option<Text> {
        let reason = self.choice.finish_reason.take();
        self.choice.finish_detail.take().filter(|_| reason.is_some()).or(reason)
    }

    /// The open part's type.
    pub fn part_kind(&self) -> &str {
        self.part.kind.as_str()
    }

    /// Returns true if the open part is the call of a search tool that does not search, but opens what was found.
    pub fn part_only_opens(&self) -> bool {
        self.part.only_opens
    }

    /// The index of the open part: the one that it has, else its position.
    pub fn part_index(&self) -> u32 {
        self.part.index
    }

    /// Hash of the identifier of the open part, which is a call. 0 if it has none.
    pub fn part_id(&self) -> u64 {
        self.part.id
    }

    /// Hash of the own identifier of the open part, which is an item. 0 if it has none.
    pub fn item_id(&self) -> u64 {
        self.part.item_id
    }

    /// Returns true if the open part's text is not the answer's.
    pub fn is_thought(&self) -> bool {
        self.part.is_thought
    }
}

/// Rules of documents. A method that takes a [`Scalar`] sets what it is named after.
impl Draft {
    /// A document begins.
    pub fn document_opened(&mut self) {
        self.open.reset();
    }

    /// A document of the request, or an envelope, ends.
    pub fn request_document_ended(&mut self, ended: Ended) {
        if ended == Ended::Malformed {
            self.report(ParseError::Json);
        }
    }

    /// A document of the response ends. If it is whole, the API decides what it means.
    pub fn response_document_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Whole => {
                if self.event.as_str() == "error" {
                    self.failed();
                }
                if !self.event.as_str().is_empty() && self.open.kind().is_empty() {
                    self.open.kind = self.event;
                }
                // The name belongs to the first document of the event. An event may have a document in every second byte.
                self.event.clear();
                if let Some(document) = self.document {
                    document(self);
                }
                if let Some(at) = self.open.generated {
                    self.observation.timing.first_token.get_or_insert(at);
                }
                self.answer.document_ended();
            }
            Ended::Malformed => self.report(ParseError::Json),
            Ended::Cut => {}
        }
    }

    /// Adds a piece of the name of the current server-sent event.
    pub fn event_name(&mut self, piece: &[u8]) {
        self.event.push(piece);
    }

    /// The current server-sent event ends.
    pub fn event_ended(&mut self) {
        self.event.clear();
    }

    /// The document has generated content.
    pub fn generated(&mut self) {
        self.open.generated.get_or_insert(self.now);
    }

    /// The document's content is no first token: it was generated before.
    pub fn generated_before(&mut self) {
        self.open.generated = None;
    }

    /// The document's type.
    pub fn document_kind(&mut self, value: Scalar<'_>) {
        self.open.kind.set(value);
    }

    /// A choice, candidate or output item begins.
    #[inline(never)]
    pub fn choice_opened(&mut self, position: u32) {
        let start = Some(self.answer.mark(Begins::Choice));
        self.open.choice = OpenChoice { index: position, start, is_open: true, ..OpenChoice::default() };
    }

    /// A choice ends. Its finish reason is kept; its text is kept only if it is the first choice.
    #[inline(never)]
    pub fn choice_closed(&mut self) {
        let choice = core::mem::take(&mut self.open.choice);
        if choice.calls_tools {
            self.choice_calls_tools(choice.index);
        }
        if choice.index != 0
            && let Some(mark) = choice.start
        {
            self.answer.rewind(mark);
        }
        if choice.finish_reason.is_some() {
            self.set_finish_reason(choice.index, choice.finish_reason);
            self.complete();
        }
    }

    /// The following text belongs to the choice. [`Draft::choice_dropped`] removes it.
    pub fn choice_marked(&mut self) {
        self.open.choice.start = Some(self.answer.mark(Begins::Choice));
    }

    /// The text since the choice was marked is not the answer's.
    pub fn choice_dropped(&mut self) {
        if let Some(mark) = self.open.choice.start.take() {
            self.answer.rewind(mark);
        }
    }

    /// The choice's index. A value that is no count does not change it.
    pub fn choice_index(&mut self, value: Scalar<'_>) {
        self.open.choice.index = value.count().map_or(self.open.choice.index, |n| n as u32);
    }

    /// The choice's index. A value that is no count sets it to 0.
    pub fn choice_index_or_zero(&mut self, value: Scalar<'_>) {
        self.open.choice.index = value.count().map_or(0, |n| n as u32);
    }

    /// The choice's finish reason. It counts when the choice or the document ends.
    pub fn choice_finish_reason(&mut self, value: Scalar<'_>) {
        self.open.choice.finish_reason = value.text();
    }

    /// Sets the more exact reason of the only choice, which replaces its finish reason.
    pub fn choice_finish_detail(&mut self, value: Scalar<'_>) {
        self.open.choice.finish_detail = value.text();
    }

    /// A part, block, item or call begins.
    #[inline(never)]
    pub fn part_opened(&mut self, position: u32) {
        self.open.part = OpenPart { index: position, ..OpenPart::default() };
    }

    /// As [`Draft::part_opened`], for parts whose text may turn out not to be the answer's: [`Draft::part_dropped`] removes it.
    #[inline(never)]
    pub fn part_marked(&mut self, position: u32) {
        let start = Some(self.answer.mark(Begins::Part));
        self.open.part = OpenPart { index: position, start, ..OpenPart::default() };
    }

    /// The text since the part began is not the answer's.
    #[inline(never)]
    pub fn part_dropped(&mut self) {
        if let Some(mark) = self.open.part.start.take() {
            self.answer.rewind(mark);
        }
    }

    /// The part's type.
    pub fn part_kind(&mut self, value: Scalar<'_>) {
        self.open.part.kind.set(value);
    }

    /// The part's index. A value that is no count does not change it.
    pub fn part_index(&mut self, value: Scalar<'_>) {
        self.open.part.index = value.count().map_or(self.open.part.index, |n| n as u32);
    }

    /// The part's index. A value that is no count sets it to 0.
    pub fn part_index_or_zero(&mut self, value: Scalar<'_>) {
        self.open.part.index = value.count().map_or(0, |n| n as u32);
    }

    /// The identifier of the part, which is a call.
    pub fn part_id(&mut self, value: Scalar<'_>) {
        self.open.part.id = crate::json::identity(value);
    }

    /// The own identifier of the part, which is an item.
    pub fn part_item_id(&mut self, value: Scalar<'_>) {
        self.open.part.item_id = crate::json::identity(value);
    }

    /// The part, a call, has no identifier but that of the item.
    pub fn part_id_is_item_id(&mut self) {
        self.open.part.id = self.open.part.item_id;
    }

    /// Adds a piece of the arguments of the part, which is a call.
    pub fn part_arguments(&mut self, piece: &[u8]) {
        self.open.part.arguments.get_or_insert_default().push(piece);
    }

    /// Adds a piece of the action of the part, which is a call, as JSON. Of the actions of the provider's search tool only `search`
    /// is billed, others open a page.
    pub fn part_action(&mut self, piece: &[u8]) {
        let part = &mut self.open.part;
        if piece.is_empty() {
            (part.only_opens, part.action_match) = (true, 0);
        }
        for byte in piece.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            let matches = SEARCH_ACTION.get(usize::from(part.action_match)) == Some(byte);
            part.action_match = if matches { part.action_match + 1 } else { u8::from(*byte == b'"') };
            part.only_opens &= usize::from(part.action_match) < SEARCH_ACTION.len();
        }
        self.part_arguments(piece);
    }

    /// The name of the tool that the part calls.
    pub fn part_name(&mut self, value: Scalar<'_>) {
        self.open.part.name = value.text();
    }

    /// The name of the tool that the part calls, if the part has none.
    pub fn part_name_unless_set(&mut self, name: Option<&str>) {
        if let (None, Some(name)) = (&self.open.part.name, name) {
            self.open.part.name = Some(name.into());
        }
    }

    /// Removes the name of the tool that the part calls.
    pub fn clear_part_name(&mut self) {
        self.open.part.name = None;
    }

    /// Sets that the part's text is not part of the answer, if `value` is true.
    pub fn part_is_thought(&mut self, value: Scalar<'_>) {
        self.set_thought(value.is_true());
    }

    /// Sets whether the part's text is not the answer's.
    pub fn set_thought(&mut self, is_thought: bool) {
        self.open.part.is_thought = is_thought;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_belongs_to_its_first_document() {
        let mut draft = Draft::default();
        draft.event_name(b"error");
        let kinds = [0, 1].map(|_| {
            draft.document_opened();
            draft.response_document_ended(Ended::Whole);
            draft.open.kind().to_owned()
        });
        assert_eq!((kinds, draft.error.is_present()), (["error".to_owned(), String::new()], true));
    }
}
