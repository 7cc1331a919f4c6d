//! OpenAI Responses. A stream contains each value up to three times; each value is read from one place.

use super::framing::Body;
use super::openai::Tally;
use super::reading::{Reading, each, fragment, text};
use serde_json::Value;

pub fn read(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let mut tally = Tally::default();
    let (mut deltas, mut done) = (String::new(), Vec::new());
    let mut whole = None;
    for event in &body.events {
        let data = &event.data;
        match event.kind() {
            "response.output_text.delta" => deltas.push_str(fragment(&data["delta"])),
            "response.output_item.done" => done.extend(call(&data["item"])),
            "response.completed" | "response.incomplete" | "response.failed" => {
                reading.finished = true;
                whole = Some(&data["response"]).filter(|response| response.is_object()).or(whole);
            }
            "" if text(&data["response"]["status"]).is_some() => {
                reading.finished = true;
                whole = Some(&data["response"]);
            }
            _ if !body.streamed || text(&data["object"]).is_some() => whole = Some(data),
            _ => {}
        }
        reading.name(&data["response"]["model"], &data["response"]["id"]);
    }
    if let Some(response) = whole {
        // Copilot's last event has another id than its first. The last one is used.
        if text(&response["id"]).is_some() {
            reading.id = None;
        }
        reading.name(&response["model"], &response["id"]);
        reading.finish(0, &response["status"]);
        tally.take(&response["usage"], reading);
        if deltas.is_empty() {
            deltas = output_text(response);
        }
        // ChatGPT's backend completes with an empty `output`.
        if done.is_empty() {
            done = each(&response["output"]).filter_map(call).collect();
        }
    }
    reading.text = deltas;
    reading.tools = done;
    tally.settle(reading);
}

fn call(item: &Value) -> Option<String> {
    let ours = matches!(item["type"].as_str(), Some("function_call" | "custom_tool_call"));
    text(&item["name"]).filter(|_| ours).map(str::to_owned)
}

fn output_text(response: &Value) -> String {
    each(&response["output"])
        .filter(|item| item["type"] == "message" && item["role"] != "user")
        .flat_map(|item| each(&item["content"]))
        .filter(|part| matches!(part["type"].as_str(), None | Some("output_text")))
        .map(|part| fragment(&part["text"]))
        .collect()
}
