//! OpenAI chat, completions and embeddings, and compatible APIs; images and audio.

use super::framing::{Body, Event};
use super::reading::{Reading, content_text, each, either, text};
use serde_json::Value;

/// The member of a choice that has the answer, in a whole body and in a stream. Other members must be ignored: Together
/// sends `text` with each delta, and Perplexity repeats the message so far.
pub struct Answer {
    whole: &'static str,
    delta: &'static str,
}

pub const CHAT: Answer = Answer { whole: "/message/content", delta: "/delta/content" };
pub const COMPLETIONS: Answer = Answer { whole: "/text", delta: "/text" };

/// Speech to text. The last event of a stream repeats the text of all deltas.
pub fn read_transcription(body: &Body, reading: &mut Reading) {
    read(body, CHAT, reading);
    let delta = |event: &&Event| matches!(event.kind(), "" | "transcript.text.delta");
    body.events.iter().filter(delta).for_each(|event| reading.say(&event.data["delta"]));
    if reading.text.is_empty() {
        let whole = |event: &&Event| !body.streamed || event.kind() == "transcript.text.done";
        body.events.iter().filter(whole).for_each(|event| reading.say(&event.data["text"]));
    }
}

/// Ranks of documents. The root of an answer can be a list of them.
pub fn read_ranks(body: &Body, reading: &mut Reading) {
    read_embeddings(body, reading);
    for data in body.events.iter().map(|event| &event.data) {
        let mut ranks = each(&data["results"]).chain(each(&data["data"]));
        reading.is_shown |= ranks.any(|rank| !rank["relevance_score"].is_null());
        reading.is_shown |= each(&data["data"]).any(|rank| !rank["score"].is_null());
        if !body.streamed && !data["score"].is_null() {
            reading.shown_by("hugging_face");
        }
    }
}

/// A total without other counts is all input.
pub fn read_embeddings(body: &Body, reading: &mut Reading) {
    read(body, CHAT, reading);
    for event in &body.events {
        let input = &mut reading.usage.input;
        *input = input.or(event.data["usage"]["total_tokens"].as_u64());
    }
}

pub fn read(body: &Body, answer: Answer, reading: &mut Reading) {
    reading.needs_terminator = true;
    let mut tally = Tally::default();
    let mut calls = Calls::default();
    for event in &body.events {
        let data = &event.data;
        reading.name(&data["model"], &data["id"]);
        served(data, reading);
        tally.take(&data["x_groq"]["usage"], reading);
        tally.take(&data["usage"], reading);
        for (position, choice) in each(&data["choices"]).enumerate() {
            let index = choice["index"].as_u64().unwrap_or(position as u64);
            reading.finish(index, &choice["finish_reason"]);
            reading.finished |= choice["finish_reason"].is_string();
            tally.take(&choice["usage"], reading);
            let (place, said) =
                if body.streamed { (answer.delta, &choice["delta"]) } else { (answer.whole, &choice["message"]) };
            if index == 0 {
                content_text(choice.pointer(place).unwrap_or(&Value::Null), &mut reading.text);
            }
            calls.take(index, said, reading);
        }
        reading.finished |= event.kind().ends_with(".completed") || event.kind().ends_with(".done");
    }
    tally.settle(reading);
}

/// The last service tier and the last fingerprint. `auto` is no tier.
pub fn served(data: &Value, reading: &mut Reading) {
    let words = [("service_tier", &mut reading.tier), ("system_fingerprint", &mut reading.fingerprint)];
    for (key, slot) in words {
        if let Some(word) = text(&data[key]).filter(|word| (key, *word) != ("service_tier", "auto")) {
            *slot = Some(word.to_owned());
        }
    }
}

/// Mistral's conversations. Each entry names its model, and a handoff may change it; the last one counts. Every
/// fragment of a function call repeats the call's name.
pub fn read_conversation(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let mut tally = Tally::default();
    let mut calls = Calls::default();
    for event in &body.events {
        let data = &event.data;
        tally.take(&data["usage"], reading);
        for entry in each(&data["outputs"]).chain([data]) {
            if let Some(model) = text(&entry["model"]) {
                reading.model = Some(model.to_owned());
            }
        }
        for entry in each(&data["outputs"]) {
            match entry["type"].as_str() {
                None | Some("message.output") => conversation_text(&entry["content"], reading),
                Some("function.call") => reading.tool(&entry["name"]),
                _ => {}
            }
        }
        match event.kind() {
            "message.output.delta" => conversation_text(&data["content"], reading),
            "function.call.delta" => {
                let id = data["tool_call_id"].as_str().unwrap_or_default();
                calls.one(0, data["output_index"].as_u64().unwrap_or(0), id, &data["name"], reading);
            }
            "conversation.response.done" => reading.finished = true,
            _ => {}
        }
    }
    tally.settle(reading);
}

/// A delta may also be a single part without an array.
fn conversation_text(content: &Value, reading: &mut Reading) {
    content_text(content, &mut reading.text);
    if content.is_object() {
        reading.say(&content["text"]);
    }
}

/// The last count of each usage field, with the names `prompt_tokens` or `input_tokens`.
#[derive(Default)]
pub struct Tally {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    reasoning: Option<u64>,
}

impl Tally {
    pub fn take(&mut self, usage: &Value, reading: &mut Reading) {
        if !usage.is_object() {
            return;
        }
        let details = either(
            either(&usage["prompt_tokens_details"], &usage["input_tokens_details"]),
            &usage["input_token_details"],
        );
        let spent = either(&usage["completion_tokens_details"], &usage["output_tokens_details"]);
        for (key, mode) in
            [("text.input_tokens", "text"), ("audio.input_tokens", "audio"), ("image.input_tokens", "image")]
        {
            reading.mode(key, &details[format!("{mode}_tokens")]);
        }
        for (key, mode) in
            [("text.output_tokens", "text"), ("audio.output_tokens", "audio"), ("image.output_tokens", "image")]
        {
            reading.mode(key, &spent[format!("{mode}_tokens")]);
        }
        // Some relays end with zeros.
        reading.overlay_unless_zero(&mut self.input, either(&usage["prompt_tokens"], &usage["input_tokens"]));
        reading.overlay_unless_zero(&mut self.output, either(&usage["completion_tokens"], &usage["output_tokens"]));
        reading.overlay(&mut self.total, &usage["total_tokens"]);
        let own =
            either(&usage["prompt_cache_hit_tokens"], either(&usage["cached_tokens"], &usage["num_cached_tokens"]));
        let hit = either(own, &usage["cache_read_input_tokens"]);
        reading.overlay(&mut self.read, either(&details["cached_tokens"], hit));
        let named = either(&details["cache_creation_tokens"], &details["cache_creation_input_tokens"]);
        let made = either(named, &usage["cache_creation_input_tokens"]);
        reading.overlay(&mut self.written, either(&details["cache_write_tokens"], made));
        reading.overlay(&mut self.reasoning, either(&spent["reasoning_tokens"], &usage["reasoning_tokens"]));
    }

    pub fn settle(self, reading: &mut Reading) {
        let usage = &mut reading.usage;
        (usage.input, usage.output) = (self.input, self.output);
        (usage.cache_read, usage.cache_creation, usage.reasoning) = (self.read, self.written, self.reasoning);
        let reasoning = self.reasoning.unwrap_or(0);
        if let (Some(input), Some(output), Some(total)) = (self.input, self.output, self.total) {
            // xAI counts reasoning separately from the completion, which shows in the total.
            if reasoning > 0 && total == input + output + reasoning {
                usage.output = Some(output + reasoning);
            }
        }
    }
}

/// A call is new if its index is new, or if its id differs from the id seen at that index. Fragments may repeat the
/// name, or continue it. The last member of a call is its place in the list of names.
#[derive(Default)]
struct Calls(Vec<(u64, u64, String, usize)>);

impl Calls {
    fn take(&mut self, choice: u64, said: &Value, reading: &mut Reading) {
        for (position, call) in each(&said["tool_calls"]).enumerate() {
            let name = either(&call["function"]["name"], &call["custom"]["name"]);
            let index = call["index"].as_u64().unwrap_or(position as u64);
            self.one(choice, index, call["id"].as_str().unwrap_or_default(), name, reading);
        }
        reading.tool(&said["function_call"]["name"]);
    }

    fn one(&mut self, choice: u64, index: u64, id: &str, name: &Value, reading: &mut Reading) {
        if name.as_str().is_none_or(str::is_empty) {
            return;
        }
        let same = |known: &str| id.is_empty() || known.is_empty() || id == known;
        match self.0.iter().find(|(c, i, known, _)| (*c, *i) == (choice, index) && same(known)) {
            None => {
                self.0.push((choice, index, id.to_owned(), reading.tools.len()));
                reading.tool(name);
            }
            Some((.., place)) => {
                let begun = &mut reading.tools[*place];
                if id.is_empty() && name != begun.as_str() {
                    begun.push_str(name.as_str().unwrap_or_default());
                }
            }
        }
    }
}
