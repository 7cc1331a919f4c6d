//! OpenAI Responses. A stream contains each value up to three times; each value is read from one place.

use super::framing::Body;
use super::openai::{Tally, served};
use super::reading::{Reading, each, either, fragment, text};
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
        served(&data["response"], reading);
        served(data, reading);
    }
    if let Some(response) = whole {
        // Copilot's last event has another id than its first. The last one is used.
        if text(&response["id"]).is_some() {
            reading.id = None;
        }
        reading.name(&response["model"], &response["id"]);
        // Only with a status: the reason says more than it.
        if text(&response["status"]).is_some() {
            reading.finish(0, either(&response["incomplete_details"]["reason"], &response["status"]));
        }
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
    let name = text(&item["name"]).map(str::to_owned);
    match item["type"].as_str() {
        Some("function_call" | "custom_tool_call") => name,
        // The client runs these, which have no name.
        Some("shell_call") => name.or(Some("shell".to_owned())),
        Some("local_shell_call") => name.or(Some("local_shell".to_owned())),
        Some("apply_patch_call") => name.or(Some("apply_patch".to_owned())),
        Some("computer_call") => name.or(Some("computer".to_owned())),
        _ => None,
    }
}

fn output_text(response: &Value) -> String {
    each(&response["output"])
        .filter(|item| item["type"] == "message" && item["role"] != "user")
        .flat_map(|item| each(&item["content"]))
        .filter(|part| matches!(part["type"].as_str(), None | Some("output_text")))
        .map(|part| fragment(&part["text"]))
        .collect()
}
