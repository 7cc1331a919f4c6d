//! Rules of the request's parameters. A method that takes a [`Scalar`] sets the parameter it is named after.

use super::{Draft, entry};
use crate::json::Scalar;
use crate::observation::{LIST, Text};

impl Draft {
    /// The requested model.
    pub fn request_model(&mut self, value: Scalar<'_>) {
        self.observation.request.model = value.text();
    }

    /// Sets whether the request asks for a stream.
    pub fn request_stream(&mut self, value: Scalar<'_>) {
        self.observation.request.stream = Some(value.is_true());
    }

    /// Sets that the request says whether its stream has usage.
    pub fn request_stream_usage(&mut self, _: Scalar<'_>) {
        self.observation.request.decides_usage = true;
    }

    /// The maximum number of tokens to generate.
    pub fn max_tokens(&mut self, value: Scalar<'_>) {
        self.observation.request.max_tokens = value.count();
    }

    /// The maximum number of tokens to generate, unless it is set.
    pub fn max_tokens_unless_set(&mut self, value: Scalar<'_>) {
        let request = &mut self.observation.request;
        request.max_tokens = request.max_tokens.or(value.count());
    }

    /// The maximum number of tokens to generate. A value that is no count does not change it.
    pub fn max_tokens_if_count(&mut self, value: Scalar<'_>) {
        let request = &mut self.observation.request;
        request.max_tokens = value.count().or(request.max_tokens);
    }

    /// The sampling temperature.
    pub fn temperature(&mut self, value: Scalar<'_>) {
        self.observation.request.temperature = value.float();
    }

    /// The nucleus sampling threshold.
    pub fn top_p(&mut self, value: Scalar<'_>) {
        self.observation.request.top_p = value.float();
    }

    /// The number of candidates per token.
    pub fn top_k(&mut self, value: Scalar<'_>) {
        self.observation.request.top_k = value.float();
    }

    /// The seed.
    pub fn seed(&mut self, value: Scalar<'_>) {
        self.observation.request.seed = value.integer();
    }

    /// The frequency penalty.
    pub fn frequency_penalty(&mut self, value: Scalar<'_>) {
        self.observation.request.frequency_penalty = value.float();
    }

    /// The presence penalty.
    pub fn presence_penalty(&mut self, value: Scalar<'_>) {
        self.observation.request.presence_penalty = value.float();
    }

    /// The number of requested answers.
    pub fn choice_count(&mut self, value: Scalar<'_>) {
        self.observation.request.choice_count = value.count();
    }

    /// Adds a stop sequence.
    pub fn stop_sequence(&mut self, value: Scalar<'_>) {
        if let Some(text) = value.text().filter(|_| self.observation.request.stop_sequences.len() < LIST)
            && self.keeps(entry::<Text>(text.len()))
        {
            self.observation.request.stop_sequences.push(text);
        }
    }

    /// Sets the requested output type: `text`, `json`, `image` or `speech`.
    pub fn set_output_type(&mut self, output_type: &'static str) {
        self.observation.request.output_type = Some(output_type);
    }

    /// Sets the operation: `gen_ai.operation.name`.
    pub fn set_operation(&mut self, operation: &'static str) {
        self.observation.operation = operation;
    }

    /// The conversation's identifier, of the request or the response. The last one counts, unless a request header has it.
    #[inline(never)]
    pub fn conversation_id(&mut self, value: Scalar<'_>) {
        if let Some(id) = value.text().filter(|_| !self.conversation.is_named()) {
            self.observation.request.conversation = Some(id);
        }
    }
}
