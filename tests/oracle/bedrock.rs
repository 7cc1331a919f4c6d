//! Bedrock: Converse, and Invoke with the bodies of each model family.

use super::anthropic::{self, Spent};
use super::framing::{Body, header};
use super::reading::{Reading, each, either, sum, word};
use super::{Exchange, openai};
use serde_json::Value;

pub fn read_converse(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    for event in &body.events {
        let data = &event.data;
        let chosen = data["trace"]["promptRouter"]["invokedModelId"].as_str().and_then(|arn| arn.rsplit('/').next());
        reading.model = chosen.map(str::to_owned).or(reading.model.take());
        match event.name.as_str() {
            "contentBlockStart" => tool(&data["start"]["toolUse"], reading),
            "contentBlockDelta" => reading.say(&data["delta"]["text"]),
            "messageStop" => {
                reading.finished = true;
                reading.finish(0, &data["stopReason"]);
            }
            "metadata" => {
                reading.finished = true;
                usage(&data["usage"], reading);
            }
            _ => answer(data, reading),
        }
    }
}

pub fn read_invoke(exchange: &Exchange, body: &Body, reading: &mut Reading) {
    let first = body.events.first().map(|event| &event.data).unwrap_or(&Value::Null);
    if body.events.iter().any(|event| event.data["choices"].is_array()) {
        openai::read(body, openai::CHAT, reading);
    } else if matches!(first["type"].as_str(), Some("message" | "message_start")) || first["content"].is_array() {
        anthropic::read(body, reading);
    } else {
        each_family(body, exchange.path.contains("embed"), reading);
    }
    reading.needs_terminator = false;
    from_metrics(body, reading);
    from_headers(exchange, reading);
}

/// Reads the fields of all families. The families share few field names, and a shared name has the same meaning.
fn each_family(body: &Body, embeds: bool, reading: &mut Reading) {
    let (mut input, mut output) = (None, None);
    let mut spent = Spent::default();
    for event in &body.events {
        let data = &event.data;
        anthropic::take(event, &mut spent, reading);
        // In Cohere's generations and embeddings `id` is the request's id, not the response's.
        if data["generations"].is_null() && !embeds {
            reading.name(&data["model"], &data["id"]);
        }
        // Nova: the objects of Converse, with one key per event in a stream.
        answer(data, reading);
        tool(&data["contentBlockStart"]["start"]["toolUse"], reading);
        reading.say(&data["contentBlockDelta"]["delta"]["text"]);
        reading.finish(0, &data["messageStop"]["stopReason"]);
        if data["metadata"]["usage"].is_object() {
            usage(&data["metadata"]["usage"], reading);
        }
        // Claude before Messages, Llama, Cohere.
        reading.say(&data["completion"]);
        reading.say(&data["generation"]);
        reading.say(&data["text"]);
        reading.finish(0, either(&data["stop_reason"], &data["finish_reason"]));
        reading.overlay(&mut input, &data["prompt_token_count"]);
        reading.overlay(&mut output, &data["generation_token_count"]);
        for (position, part) in each(&data["generations"]).chain(each(&data["outputs"])).enumerate() {
            reading.finish(position as u64, either(&part["finish_reason"], &part["stop_reason"]));
            if position == 0 {
                reading.say(&part["text"]);
            }
        }
        // AI21's first API.
        for (position, part) in each(&data["completions"]).enumerate() {
            if position == 0 {
                reading.say(&part["data"]["text"]);
            }
        }
        // Titan.
        reading.overlay(&mut input, &data["inputTextTokenCount"]);
        reading.say(&data["outputText"]);
        reading.finish(0, &data["completionReason"]);
        reading.overlay(&mut output, &data["totalOutputTextTokenCount"]);
        for (position, part) in each(&data["results"]).enumerate() {
            reading.finish(position as u64, &part["completionReason"]);
            if let Some(count) = reading.count(&part["tokenCount"]) {
                output = Some(output.unwrap_or(0) + count);
            }
            if position == 0 {
                reading.say(&part["outputText"]);
            }
        }
    }
    reading.usage.input = reading.usage.input.or(input);
    reading.usage.output = reading.usage.output.or(output);
}

/// Reads a second copy of the usage for the counts that the family's own fields do not contain.
fn from_metrics(body: &Body, reading: &mut Reading) {
    for event in &body.events {
        let metrics = &event.data["amazon-bedrock-invocationMetrics"];
        if metrics.is_object() {
            let read = reading.count(&metrics["cacheReadInputTokenCount"]);
            let written = reading.count(&metrics["cacheWriteInputTokenCount"]);
            let input = reading.count(&metrics["inputTokenCount"]);
            let output = reading.count(&metrics["outputTokenCount"]);
            spare(input, output, read, written, reading);
        }
    }
}

fn from_headers(exchange: &Exchange, reading: &mut Reading) {
    let said = |name: &str| {
        header(&exchange.response_headers, &format!("x-amzn-bedrock-{name}-token-count"))?.trim().parse::<u64>().ok()
    };
    let (read, written) = (said("cache-read-input"), said("cache-write-input"));
    spare(said("input"), said("output"), read, written, reading);
}

fn spare(input: Count, output: Count, read: Count, written: Count, reading: &mut Reading) {
    let usage = &mut reading.usage;
    if usage.input.is_none() {
        (usage.cache_read, usage.cache_creation) = (usage.cache_read.or(read), usage.cache_creation.or(written));
        usage.input = input.map(|input| sum(&[Some(input), usage.cache_read, usage.cache_creation]));
    }
    usage.output = usage.output.or(output);
}

type Count = Option<u64>;

fn answer(data: &Value, reading: &mut Reading) {
    reading.finish(0, &data["stopReason"]);
    for part in each(&data["output"]["message"]["content"]) {
        reading.say(&part["text"]);
        tool(&part["toolUse"], reading);
    }
    if ["inputTokens", "outputTokens"].iter().any(|key| !data["usage"][*key].is_null()) {
        usage(&data["usage"], reading);
    }
}

fn tool(call: &Value, reading: &mut Reading) {
    if word(&call["type"]).as_deref() != Some("server_tool_use") {
        reading.tool(&call["name"]);
    }
}

fn usage(said: &Value, reading: &mut Reading) {
    let read = reading.count(either(&said["cacheReadInputTokens"], &said["cacheReadInputTokenCount"]));
    let written = reading.count(either(&said["cacheWriteInputTokens"], &said["cacheWriteInputTokenCount"]));
    let input = reading.count(&said["inputTokens"]);
    reading.usage.input = input.map(|input| sum(&[Some(input), read, written]));
    reading.usage.output = reading.count(&said["outputTokens"]);
    (reading.usage.cache_read, reading.usage.cache_creation) = (read, written);
}
