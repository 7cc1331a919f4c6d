//! Cohere v1 and v2: chat, generate, embed.

use super::framing::Body;
use super::reading::{Reading, content_text, each, either};
use serde_json::Value;

pub fn read(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let mut calls = Vec::new();
    for event in &body.events {
        let data = &event.data;
        match event.kind() {
            // v2
            "message-start" => reading.name(&Value::Null, &data["id"]),
            "content-start" | "content-delta" => reading.say(&data["delta"]["message"]["content"]["text"]),
            "tool-call-start" => reading.tool(&data["delta"]["message"]["tool_calls"]["function"]["name"]),
            "message-end" => {
                reading.finished = true;
                reading.finish(0, &data["delta"]["finish_reason"]);
                usage(&data["delta"]["usage"], reading);
            }
            // v1
            "stream-start" => reading.name(&Value::Null, &data["generation_id"]),
            "" if body.streamed && data["response"].is_null() => reading.say(&data["text"]),
            "text-generation" => reading.say(&data["text"]),
            "tool-calls-generation" => calls = each(&data["tool_calls"]).collect(),
            "" | "stream-end" if body.streamed => {
                reading.finished = true;
                let response = &data["response"];
                reading.name(&Value::Null, either(&response["generation_id"], &response["id"]));
                reading.finish(0, either(&data["finish_reason"], &response["finish_reason"]));
                usage(&response["meta"], reading);
                if calls.is_empty() {
                    calls = each(&response["tool_calls"]).collect();
                }
                if reading.finish.is_empty() {
                    each(&response["generations"]).for_each(|g| reading.finish(0, &g["finish_reason"]));
                }
            }
            _ if !body.streamed => whole(data, reading),
            _ => {}
        }
    }
    for call in calls {
        reading.tool(&call["name"]);
    }
}

fn whole(data: &Value, reading: &mut Reading) {
    reading.name(&Value::Null, either(&data["generation_id"], &data["id"]));
    reading.finish(0, &data["finish_reason"]);
    content_text(&data["message"]["content"], &mut reading.text);
    reading.say(&data["text"]);
    for call in each(&data["message"]["tool_calls"]).chain(each(&data["tool_calls"])) {
        reading.tool(either(&call["function"]["name"], &call["name"]));
    }
    for (position, generation) in each(&data["generations"]).enumerate() {
        reading.finish(position as u64, &generation["finish_reason"]);
        if position == 0 {
            reading.say(&generation["text"]);
        }
    }
    usage(either(&data["usage"], &data["meta"]), reading);
}

/// Billed units take precedence over processed tokens. Cached tokens are counted among the processed ones, so there may
/// be more of them than billed units.
fn usage(said: &Value, reading: &mut Reading) {
    let (billed, tokens) = (&said["billed_units"], &said["tokens"]);
    reading.usage.input = reading.count(either(&billed["input_tokens"], &tokens["input_tokens"]));
    reading.usage.output = reading.count(either(&billed["output_tokens"], &tokens["output_tokens"]));
    reading.usage.cache_read = reading.count(&said["cached_tokens"]);
    reading.mode("image.input_tokens", &billed["image_tokens"]);
}
