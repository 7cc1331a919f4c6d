//! Anthropic Messages (direct, on Vertex and in Bedrock's frames) and the older text completions.

use super::framing::{Body, Event};
use super::reading::{Reading, each, sum};
use serde_json::Value;

pub fn read(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let mut spent = Spent::default();
    for event in &body.events {
        take(event, &mut spent, reading);
    }
    spent.settle(reading);
}

/// Reads a whole message or an event. No member has two meanings, so only tool calls and the end of the stream depend
/// on the event's name.
pub fn take(event: &Event, spent: &mut Spent, reading: &mut Reading) {
    let data = &event.data;
    reading.finished |= event.kind() == "message_stop";
    for message in [data, &data["message"]] {
        if message["content"].is_array() || message["role"].is_string() {
            reading.name(&message["model"], &message["id"]);
        }
        reading.finish(0, &message["stop_reason"]);
        spent.take(&message["usage"], std::ptr::eq(message, data), reading);
        each(&message["content"]).for_each(|part| block(part, reading));
    }
    if event.kind() == "content_block_start" {
        block(&data["content_block"], reading);
    }
    let delta = &data["delta"];
    if matches!(delta["type"].as_str(), None | Some("text_delta")) {
        reading.say(&delta["text"]);
    }
    reading.finish(0, &delta["stop_reason"]);
}

fn block(block: &Value, reading: &mut Reading) {
    match block["type"].as_str() {
        None | Some("text") => reading.say(&block["text"]),
        Some("tool_use") => reading.tool(&block["name"]),
        _ => {}
    }
}

#[derive(Default)]
pub struct Spent {
    input: Option<u64>,
    output: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    thinking: Option<u64>,
    /// The first event of a stream counts the output so far. Only a later count is final.
    output_is_final: bool,
    /// The entries of `iterations`: attempts, compactions and calls of advisors.
    iterations: Vec<Value>,
}

impl Spent {
    /// The last count is used. Zeros are ignored if there is a count, because some servers end with zeros for the
    /// counts of the start.
    ///
    /// A zero beside `iterations` is meant: the count of the start belongs to another attempt.
    fn take(&mut self, usage: &Value, is_final: bool, reading: &mut Reading) {
        for (slot, key) in [
            (&mut self.input, "input_tokens"),
            (&mut self.read, "cache_read_input_tokens"),
            (&mut self.written, "cache_creation_input_tokens"),
        ] {
            if let Some(count) = reading.count(&usage[key])
                && (count > 0
                    || slot.is_none()
                    || self.iterations.iter().chain(each(&usage["iterations"])).next().is_some())
            {
                *slot = Some(count);
            }
        }
        if usage["output_tokens"].is_number() {
            self.output_is_final = is_final;
        }
        reading.overlay(&mut self.output, &usage["output_tokens"]);
        reading.overlay(&mut self.thinking, &usage["output_tokens_details"]["thinking_tokens"]);
        if usage["iterations"].is_array() {
            self.iterations = each(&usage["iterations"]).cloned().collect();
        }
    }

    pub fn settle(mut self, reading: &mut Reading) {
        if !self.output_is_final {
            self.output = None;
            self.input = self.input.filter(|input| *input > 0);
        }
        let other_answered = self.iterations.iter().any(|entry| entry["type"] == "fallback_message");
        let is_extra = |entry: &&Value| match entry["type"].as_str() {
            Some("compaction" | "advisor_message") => true,
            Some("fallback_message") => false,
            // A declined attempt is billed if it had output.
            _ => other_answered && entry["output_tokens"].as_u64() > Some(0),
        };
        for entry in self.iterations.iter().filter(|entry| entry["type"] == "fallback_message") {
            if let Some(model) = entry["model"].as_str() {
                reading.model = Some(model.to_owned());
            }
        }
        for step in self.iterations.iter().filter(is_extra) {
            for (slot, key) in [
                (&mut self.input, "input_tokens"),
                (&mut self.read, "cache_read_input_tokens"),
                (&mut self.written, "cache_creation_input_tokens"),
                (&mut self.output, "output_tokens"),
            ] {
                if let Some(count) = step[key].as_u64() {
                    *slot = Some(slot.unwrap_or(0) + count);
                }
            }
        }
        let usage = &mut reading.usage;
        usage.input = self.input.map(|input| sum(&[Some(input), self.read, self.written]));
        usage.output = self.output;
        (usage.cache_read, usage.cache_creation, usage.reasoning) = (self.read, self.written, self.thinking);
    }
}
