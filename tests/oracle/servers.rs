//! Servers and vendors with small formats of their own: Anthropic's older completions, Aleph Alpha, llama.cpp, Text Generation
//! Inference, SGLang, LM Studio, OpenAI's Assistants, Bedrock's agents, and the endings at which several of them answer.

use super::framing::Body;
use super::openai::{self, Tally};
use super::reading::{Reading, each, either, fragment, text};
use super::{anthropic, cohere};

pub fn read_complete(body: &Body, reading: &mut Reading) {
    for event in &body.events {
        reading.name(&event.data["model"], &event.data["id"]);
        reading.say(&event.data["completion"]);
        reading.finish(0, &event.data["stop_reason"]);
    }
}

pub fn read_aleph_alpha(body: &Body, reading: &mut Reading) {
    let (mut input, mut output) = (None, None);
    for event in &body.events {
        let data = &event.data;
        for (position, part) in each(&data["completions"]).enumerate() {
            reading.finish(position as u64, &part["finish_reason"]);
            if position == 0 {
                reading.say(&part["completion"]);
            }
        }
        reading.overlay(&mut input, &data["num_tokens_prompt_total"]);
        reading.overlay(&mut output, &data["num_tokens_generated"]);
    }
    (reading.usage.input, reading.usage.output) = (input, output);
}

/// The words of chat completions stand for llama.cpp's own reasons. `none` means that it goes on.
pub fn read_llama_cpp(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let (mut input, mut output) = (None, None);
    for event in &body.events {
        let data = &event.data;
        reading.name(&data["model"], &serde_json::Value::Null);
        reading.say(&data["content"]);
        let reason = match data["stop_type"].as_str() {
            Some("eos" | "word") => "stop",
            Some("limit") => "length",
            _ => "",
        };
        reading.finish(0, &reason.into());
        reading.finished |= !reason.is_empty();
        reading.overlay_unless_zero(&mut input, &data["tokens_evaluated"]);
        reading.overlay_unless_zero(&mut output, &data["tokens_predicted"]);
    }
    (reading.usage.input, reading.usage.output) = (input, output);
}

/// Text Generation Inference sends token by token, and the whole text again in the last event. Each event of SGLang has the
/// whole text so far.
pub fn read_generation(body: &Body, reading: &mut Reading) {
    reading.needs_terminator = true;
    let (mut input, mut output, mut cached) = (None, None, None);
    for event in &body.events {
        let (data, details, meta) = (&event.data, &event.data["details"], &event.data["meta_info"]);
        if data["token"]["special"] != true {
            reading.say(&data["token"]["text"]);
        }
        // The last event of a stream repeats the text.
        if data["token"].is_null() && reading.text.is_empty() {
            reading.say(&data["generated_text"]);
        }
        if data["text"].is_string() {
            reading.text = fragment(&data["text"]).to_owned();
        }
        if data["generated_text"].is_string() {
            reading.shown_by("hugging_face");
        }
        if meta.is_object() {
            reading.shown_by("sglang");
        }
        reading.name(&serde_json::Value::Null, &meta["id"]);
        reading.finish(0, either(&details["finish_reason"], &meta["finish_reason"]["type"]));
        reading.finished |= data["generated_text"].is_string() || !reading.finish.is_empty();
        reading.overlay(&mut input, &details["input_length"]);
        reading.overlay(&mut output, &details["generated_tokens"]);
        reading.overlay_unless_zero(&mut input, &meta["prompt_tokens"]);
        reading.overlay_unless_zero(&mut output, &meta["completion_tokens"]);
        reading.overlay_unless_zero(&mut cached, &meta["cached_tokens"]);
    }
    (reading.usage.input, reading.usage.output, reading.usage.cache_read) = (input, output, cached);
}

/// The models of SageMaker have the format of a server: chat completions or Text Generation Inference.
pub fn read_sagemaker(body: &Body, reading: &mut Reading) {
    if body.events.iter().any(|event| event.data["choices"].is_array() || event.data["usage"].is_object()) {
        openai::read(body, openai::CHAT, reading);
    } else {
        body.events.iter().for_each(|event| reading.name(&event.data["model"], &event.data["id"]));
        read_generation(body, reading);
    }
    reading.needs_terminator = false;
}

/// A chat at a path ending that Cohere, Writer, LM Studio and others use.
pub fn read_chat(body: &Body, reading: &mut Reading) {
    let has = |keys: &[&str]| body.events.iter().any(|event| keys.iter().any(|key| !event.data[*key].is_null()));
    if has(&["model_instance_id", "stats", "response_id"]) {
        read_lm_studio(body, reading);
    } else if has(&["choices"]) {
        openai::read(body, openai::CHAT, reading);
    } else if body.events.iter().any(|event| matches!(event.kind(), "message" | "message_start")) {
        anthropic::read(body, reading);
    } else {
        cohere::read(body, reading);
        let units = |event: &super::framing::Event| {
            let usage = either(&event.data["delta"]["usage"], &event.data["usage"]);
            !usage["billed_units"]["input_tokens"].is_null()
        };
        if body.events.iter().any(units) {
            reading.shown_by("cohere");
        }
    }
}

/// The last event of a stream has the answer of one without.
fn read_lm_studio(body: &Body, reading: &mut Reading) {
    let usage = &mut super::reading::Usage::default();
    let is_delta = |event: &&super::framing::Event| event.kind() == "message.delta";
    body.events.iter().filter(is_delta).for_each(|event| reading.say(&event.data["content"]));
    let has_deltas = body.events.iter().any(|event| is_delta(&event));
    for data in body.events.iter().flat_map(|event| [&event.data, &event.data["result"]]) {
        let stats = &data["stats"];
        if text(&data["model_instance_id"]).is_some() {
            reading.shown_by("lm_studio");
        }
        reading.name(&data["model_instance_id"], &data["response_id"]);
        let said = each(&data["output"]).filter(|item| item["type"] == "message" && !has_deltas);
        said.for_each(|item| reading.say(&item["content"]));
        reading.overlay(&mut usage.input, &stats["input_tokens"]);
        reading.overlay(&mut usage.output, &stats["total_output_tokens"]);
        reading.overlay(&mut usage.reasoning, &stats["reasoning_output_tokens"]);
    }
    reading.usage = *usage;
}

/// The events of a run have the run, a step or a piece of a message.
pub fn read_run(body: &Body, reading: &mut Reading) {
    let mut tally = Tally::default();
    for event in &body.events {
        let data = &event.data;
        if let Some(model) = text(&data["model"]) {
            reading.model = Some(model.to_owned());
        }
        each(&data["delta"]["content"]).for_each(|part| reading.say(&part["text"]["value"]));
        tally.take(&data["usage"], reading);
        let status = data["status"].as_str();
        if is_run(event) && !matches!(status, None | Some("queued" | "in_progress" | "cancelling")) {
            reading.finish(0, either(&data["incomplete_details"]["reason"], &data["status"]));
        }
        reading.failed |= data["last_error"].is_object();
    }
    tally.settle(reading);
}

/// Replicate's predictions.
pub fn read_prediction(body: &Body, reading: &mut Reading) {
    for event in &body.events {
        let data = &event.data;
        reading.name(&data["model"], &data["id"]);
        let metrics = &data["metrics"];
        let usage = &mut reading.usage;
        usage.input = metrics["input_token_count"].as_u64().or(usage.input);
        usage.output = metrics["output_token_count"].as_u64().or(usage.output);
        if !matches!(data["status"].as_str(), Some("starting" | "processing")) {
            reading.finish(0, &data["status"]);
        }
        reading.failed |= data["status"] == "failed";
    }
}

/// The object says what the event has. Without it the name of the event does, which has the state too.
fn is_run(event: &super::framing::Event) -> bool {
    event.data["object"].as_str().unwrap_or(&event.name) == "thread.run"
}

/// Each trace has the usage of one call of a model.
pub fn read_agent(body: &Body, reading: &mut Reading) {
    for event in &body.events {
        let traces = &event.data["trace"];
        for kind in ["orchestrationTrace", "preProcessingTrace", "postProcessingTrace"] {
            let usage = &traces[kind]["modelInvocationOutput"]["metadata"]["usage"];
            let (input, output) = (reading.count(&usage["inputTokens"]), reading.count(&usage["outputTokens"]));
            for (sum, count) in [(&mut reading.usage.input, input), (&mut reading.usage.output, output)] {
                *sum = count.map(|count| sum.unwrap_or(0) + count).or(*sum);
            }
        }
        let model = &traces["orchestrationTrace"]["modelInvocationInput"]["foundationModel"];
        if let Some(model) = text(model) {
            reading.model = Some(model.to_owned());
        }
        reading.say(&event.data["plain"]);
    }
}
