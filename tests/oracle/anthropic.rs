//! Anthropic Messages: directly, on Vertex, in Bedrock's frames; and the text completions before it.

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

pub fn take(event: &Event, spent: &mut Spent, reading: &mut Reading) {
    let data = &event.data;
    match event.kind() {
        "message_start" => {
            let message = &data["message"];
            reading.name(&message["model"], &message["id"]);
            spent.take(&message["usage"], reading);
        }
        "content_block_start" => block(&data["content_block"], reading),
        "content_block_delta" if data["delta"]["type"] == "text_delta" => reading.say(&data["delta"]["text"]),
        "message_delta" => {
            reading.finish(0, &data["delta"]["stop_reason"]);
            spent.take(&data["usage"], reading);
        }
        "message_stop" => reading.finished = true,
        "message" => {
            reading.name(&data["model"], &data["id"]);
            reading.finish(0, &data["stop_reason"]);
            spent.take(&data["usage"], reading);
            each(&data["content"]).for_each(|part| block(part, reading));
        }
        _ => {}
    }
}

fn block(block: &Value, reading: &mut Reading) {
    match block["type"].as_str() {
        Some("text") => reading.say(&block["text"]),
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
}

impl Spent {
    /// The last count said stands; but some servers end with zeros for what they said at the start.
    fn take(&mut self, usage: &Value, reading: &mut Reading) {
        for (slot, key) in [
            (&mut self.input, "input_tokens"),
            (&mut self.read, "cache_read_input_tokens"),
            (&mut self.written, "cache_creation_input_tokens"),
        ] {
            if let Some(count) = reading.count(&usage[key])
                && (count > 0 || slot.is_none())
            {
                *slot = Some(count);
            }
        }
        reading.overlay(&mut self.output, &usage["output_tokens"]);
        reading.overlay(&mut self.thinking, &usage["output_tokens_details"]["thinking_tokens"]);
    }

    pub fn settle(self, reading: &mut Reading) {
        let usage = &mut reading.usage;
        usage.input = self.input.map(|input| sum(&[Some(input), self.read, self.written]));
        usage.output = self.output;
        (usage.cache_read, usage.cache_creation, usage.reasoning) = (self.read, self.written, self.thinking);
    }
}
