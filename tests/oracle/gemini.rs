//! Gemini and Vertex: generateContent, embeddings, predict, and Gemini's interactions.

use super::framing::Body;
use super::reading::{Reading, each, sum, text};
use serde_json::Value;

pub fn read(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let (mut prompt, mut cached, mut answer, mut thoughts, mut tools, mut total) = (None, None, None, None, None, None);
    for event in &body.events {
        // Gemini Code Assist has the response inside another one.
        let data = if event.data["response"].is_object() { &event.data["response"] } else { &event.data };
        reading.name(&data["modelVersion"], &data["responseId"]);
        let usage = &data["usageMetadata"];
        reading.overlay(&mut prompt, &usage["promptTokenCount"]);
        reading.overlay(&mut cached, &usage["cachedContentTokenCount"]);
        reading.overlay(&mut answer, &usage["candidatesTokenCount"]);
        reading.overlay(&mut thoughts, &usage["thoughtsTokenCount"]);
        reading.overlay(&mut tools, &usage["toolUsePromptTokenCount"]);
        reading.overlay(&mut total, &usage["totalTokenCount"]);
        modes(usage, reading);
        for (position, candidate) in each(&data["candidates"]).enumerate() {
            let index = candidate["index"].as_u64().unwrap_or(position as u64);
            reading.finish(index, &candidate["finishReason"]);
            reading.finished |= reading.finish.contains_key(&index);
            for part in each(&candidate["content"]["parts"]) {
                if index == 0 && part["thought"] != true {
                    reading.say(&part["text"]);
                }
                reading.tool(&part["functionCall"]["name"]);
            }
        }
        if let Some(reason) = text(&data["promptFeedback"]["blockReason"]) {
            reading.finished = true;
            reading.finish.entry(0).or_insert(reason.to_owned());
        }
    }
    // If prompt, answer and tools already add up to the total, the answer's count includes the thoughts.
    let inclusive = total.is_some() && total == Some(sum(&[prompt, answer, tools]));
    // Tool results are billed as input and are not part of the prompt's count.
    reading.usage.input = prompt.map(|prompt| sum(&[Some(prompt), tools]));
    reading.usage.cache_read = cached;
    reading.usage.reasoning = thoughts;
    reading.usage.output = match (answer, thoughts) {
        (None, None) => None,
        (Some(answer), _) if inclusive => Some(answer),
        parts => Some(sum(&[parts.0, parts.1])),
    };
}

const INPUT: [&str; 3] = ["text.input_tokens", "audio.input_tokens", "image.input_tokens"];
const CACHED: [&str; 3] =
    ["text.cache_read.input_tokens", "audio.cache_read.input_tokens", "image.cache_read.input_tokens"];
const OUTPUT: [&str; 3] = ["text.output_tokens", "audio.output_tokens", "image.output_tokens"];

fn modes(usage: &Value, reading: &mut Reading) {
    for (keys, list) in [
        (INPUT, "promptTokensDetails"),
        (INPUT, "promptTokenDetails"),
        (CACHED, "cacheTokensDetails"),
        (OUTPUT, "candidatesTokensDetails"),
    ] {
        reading.mode_list(keys, &usage[list], "tokenCount");
    }
}

/// embedContent, batchEmbedContents, and Vertex's predict, which has one count per instance.
pub fn read_embeddings(body: &Body, reading: &mut Reading) {
    for event in &body.events {
        let data = &event.data;
        let mut input = None;
        reading.overlay(&mut input, &data["usageMetadata"]["promptTokenCount"]);
        modes(&data["usageMetadata"], reading);
        for prediction in each(&data["predictions"]) {
            if let Some(count) = reading.count(&prediction["embeddings"]["statistics"]["token_count"]) {
                input = Some(input.unwrap_or(0) + count);
            }
        }
        reading.usage.input = input;
    }
}

pub fn read_interaction(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let (mut input, mut output, mut thought, mut cached, mut tools) = (None, None, None, None, None);
    for event in &body.events {
        let data = &event.data;
        let mut usage = &Value::Null;
        match event.kind() {
            "interaction.completed" | "interaction.complete" => {
                reading.finished = true;
                reading.finish(0, &data["interaction"]["status"]);
                usage = &data["interaction"]["usage"];
            }
            "step.start" => step(&data["step"], reading),
            "step.delta" if matches!(data["delta"]["type"].as_str(), None | Some("text")) => {
                reading.say(&data["delta"]["text"]);
            }
            _ if !body.streamed || data["object"] == "interaction" => {
                reading.name(&data["model"], &data["id"]);
                reading.finish(0, &data["status"]);
                usage = &data["usage"];
                each(&data["steps"]).for_each(|item| step(item, reading));
            }
            _ => {}
        }
        reading.name(&data["interaction"]["model"], &data["interaction"]["id"]);
        reading.overlay(&mut input, &usage["total_input_tokens"]);
        reading.overlay(&mut output, &usage["total_output_tokens"]);
        reading.overlay(&mut thought, &usage["total_thought_tokens"]);
        reading.overlay(&mut cached, &usage["total_cached_tokens"]);
        reading.overlay(&mut tools, &usage["total_tool_use_tokens"]);
        for (keys, list) in [
            (INPUT, "input_tokens_by_modality"),
            (CACHED, "cached_tokens_by_modality"),
            (OUTPUT, "output_tokens_by_modality"),
        ] {
            reading.mode_list(keys, &usage[list], "tokens");
        }
    }
    reading.usage.input = input.map(|input| sum(&[Some(input), tools]));
    reading.usage.output = output.or(thought).map(|_| sum(&[output, thought]));
    reading.usage.cache_read = cached;
    reading.usage.reasoning = thought;
}

fn step(step: &Value, reading: &mut Reading) {
    match step["type"].as_str() {
        Some("function_call") => reading.tool(&step["name"]),
        Some("model_output") => {
            let text = |part: &&Value| matches!(part["type"].as_str(), None | Some("text"));
            each(&step["content"]).filter(text).for_each(|part| reading.say(&part["text"]));
        }
        _ => {}
    }
}
