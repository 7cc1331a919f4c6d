//! Ollama's own API.

use super::framing::Body;
use super::reading::{Reading, each};
use serde_json::Value;

pub fn read(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    for event in &body.events {
        let data = &event.data;
        reading.name(&data["model"], &Value::Null);
        reading.say(&data["message"]["content"]);
        reading.say(&data["response"]);
        for call in each(&data["message"]["tool_calls"]) {
            reading.tool(&call["function"]["name"]);
        }
        reading.finish(0, &data["done_reason"]);
        reading.finished |= data["done"] == true || data["done_reason"].is_string();
        let (mut input, mut output) = (reading.usage.input, reading.usage.output);
        reading.overlay(&mut input, &data["prompt_eval_count"]);
        reading.overlay(&mut output, &data["eval_count"]);
        (reading.usage.input, reading.usage.output) = (input, output);
    }
}
