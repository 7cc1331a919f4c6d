//! Hosts with their own APIs: Alibaba's DashScope and IBM's watsonx.

use super::Exchange;
use super::framing::{self, Body};
use super::openai::{self, Tally};
use super::reading::{Reading, content_text, each, fragment, text};
use serde_json::Value;

/// `output` resembles chat and `usage` has the names of OpenAI Responses. Unless the request asks for incremental
/// output, each event of a stream contains the whole text so far.
pub fn read_dashscope(exchange: &Exchange, body: &Body, reading: &mut Reading) {
    let request = framing::json(&exchange.request_body, &mut Reading::default());
    let increments =
        request.events.first().is_some_and(|request| request.data["parameters"]["incremental_output"] == true);
    let mut tally = Tally::default();
    reading.needs_terminator = true;
    for event in &body.events {
        let (data, output) = (&event.data, &event.data["output"]);
        reading.name(&data["model"], &data["request_id"]);
        tally.take(&data["usage"], reading);
        finish(0, &output["finish_reason"], reading);
        let mut said = fragment(&output["text"]).to_owned();
        for (position, choice) in each(&output["choices"]).enumerate() {
            finish(position as u64, &choice["finish_reason"], reading);
            if position == 0 {
                content_text(&choice["message"]["content"], &mut said);
            }
            for call in each(&choice["message"]["tool_calls"]) {
                reading.tool(&call["function"]["name"]);
            }
        }
        if increments {
            reading.text.push_str(&said);
        } else if !said.is_empty() {
            reading.text = said;
        }
    }
    tally.settle(reading);
}

/// Embeddings have no output, so the total is the input.
pub fn read_dashscope_embeddings(body: &Body, reading: &mut Reading) {
    let mut input = None;
    for event in &body.events {
        reading.name(&event.data["model"], &event.data["request_id"]);
        reading.overlay(&mut input, &event.data["usage"]["total_tokens"]);
    }
    reading.usage.input = input;
}

/// The string `null` means that there is no finish reason yet.
fn finish(index: u64, reason: &Value, reading: &mut Reading) {
    if reason != "null" {
        reading.finish(index, reason);
        reading.finished |= reason.is_string();
    }
}

/// The chat format is OpenAI's, except that the model is in `model_id`.
pub fn read_watsonx_chat(body: &Body, reading: &mut Reading) {
    openai::read(body, openai::CHAT, reading);
    body.events.iter().for_each(|event| reading.name(&event.data["model_id"], &Value::Null));
}

/// Counts grow during a stream. The prompt's count may be sent once, with zeros after it.
pub fn read_watsonx_generation(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let (mut input, mut output) = (None, None);
    for event in &body.events {
        let data = &event.data;
        reading.name(&data["model_id"], &Value::Null);
        for (position, result) in each(&data["results"]).enumerate() {
            if result["stop_reason"] != "not_finished" {
                reading.finish(position as u64, &result["stop_reason"]);
                reading.finished |= text(&result["stop_reason"]).is_some();
            }
            input = input.max(reading.count(&result["input_token_count"]));
            output = output.max(reading.count(&result["generated_token_count"]));
            if position == 0 {
                reading.say(&result["generated_text"]);
            }
        }
    }
    (reading.usage.input, reading.usage.output) = (input, output);
}
