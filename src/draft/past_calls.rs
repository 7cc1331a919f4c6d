//! The tool calls and results in a request's messages, as rules report them.

use super::Draft;
use crate::json::Scalar;

/// Rules of the tool calls and results in a request's messages, see [`History`].
impl Draft {
    /// A call begins.
    pub fn past_call_opened(&mut self) {
        self.conversation.history.call_opened();
    }

    /// The call ends.
    pub fn past_call_closed(&mut self) {
        self.conversation.history.call_closed();
    }

    /// The call's identifier.
    pub fn past_call_id(&mut self, value: Scalar<'_>) {
        self.conversation.history.call_id(value);
    }

    /// The name of the call's tool.
    pub fn past_call_name(&mut self, value: Scalar<'_>) {
        self.conversation.history.call_name(value);
    }

    /// Adds a piece of the call's arguments, as JSON.
    pub fn past_call_arguments(&mut self, piece: &[u8]) {
        self.conversation.history.call_arguments(piece);
    }

    /// The open part of a message, which is a call, ends.
    pub fn past_call_part_closed(&mut self) {
        self.conversation.history.call_part_closed(self.open.part.name.take());
    }

    /// The open item, which is a call, ends.
    pub fn past_call_item_closed(&mut self) {
        self.conversation.close_in_prefix(b'a');
        self.conversation.history.call_item_closed(self.open.part.name.take());
    }

    /// A result begins.
    pub fn result_opened(&mut self) {
        self.conversation.history.result_opened();
    }

    /// The identifier of the call that the result belongs to.
    pub fn result_id(&mut self, value: Scalar<'_>) {
        self.conversation.history.result_id(value);
    }

    /// The name of the result's tool.
    pub fn result_name(&mut self, value: Scalar<'_>) {
        self.conversation.history.result_name(value);
    }

    /// The result belongs to the call with the own identifier of the open item, unless it has another one.
    pub fn result_id_is_item_id(&mut self) {
        self.conversation.history.result_id_unless_set(self.open.item_id());
    }

    /// The result's tool is that of the open item.
    pub fn result_name_is_part_name(&mut self) {
        self.conversation.history.result_name_unless_set(self.open.part.name.take());
    }

    /// The identifier of the call is the own one of the open item.
    pub fn past_call_id_is_item_id(&mut self) {
        self.conversation.history.set_call_id(self.open.item_id());
    }

    /// Adds a word or a number to the content of the result.
    pub fn result_detail(&mut self, value: Scalar<'_>) {
        self.conversation.history.result_detail(value);
    }

    /// Sets that the tool failed, if `value` is true or a word for a failure.
    pub fn result_failed(&mut self, value: Scalar<'_>) {
        self.conversation.history.result_failed(value);
    }

    /// Adds a piece of the result's text, which is also the message's.
    pub fn result_text(&mut self, piece: &[u8]) {
        self.message_text(piece);
        self.conversation.history.result_text(piece);
    }

    /// As [`Draft::result_text`], for a text that is a result only if the message's role is that of a tool.
    pub fn possible_result_text(&mut self, piece: &[u8]) {
        self.message_text(piece);
        if self.conversation.history.may_be_result() {
            self.conversation.history.result_text(piece);
        }
    }

    /// Adds a piece of a result that is JSON and no text.
    pub fn result_json(&mut self, piece: &[u8]) {
        self.conversation.history.result_json(piece);
    }

    /// Reads a result's text that is not in the last message: only its length and its beginning. It is an escaped JSON string.
    pub fn result_passed(&mut self, text: &[u8]) {
        self.conversation.history.result_escaped_text(text);
    }

    /// As [`Draft::result_passed`], for a text that is a result only if the message's role is that of a tool.
    pub fn possible_result_passed(&mut self, text: &[u8]) {
        if self.conversation.history.may_be_result() {
            self.result_passed(text);
        }
    }

    /// Adds the hash of a string of the result, or of the message, if only its role tells which of the two it is.
    pub fn result_hashed(&mut self, hash: u64) {
        self.conversation.history.result_hashed(hash);
    }

    /// The open part of a message, which is a result, ends.
    pub fn result_part_closed(&mut self) {
        self.conversation.history.result_part_closed();
    }

    /// The open item, which is a result, ends.
    pub fn result_item_closed(&mut self) {
        self.conversation.close_in_prefix(b't');
        self.conversation.history.result_item_closed();
    }
}
