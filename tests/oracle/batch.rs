//! Files with the results of a batch: one JSON object per line.

use super::Map;
use serde_json::Value;

/// The keys of a file. None if its first line is no result.
pub fn read(body: &[u8]) -> Option<Map> {
    let text = String::from_utf8_lossy(super::framing::without_bom(body));
    let mut lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // Lists of results in one document.
    if let Ok(whole) = serde_json::from_str::<Value>(&text) {
        let (output, response) = (&whole["metadata"]["output"], &whole["response"]);
        let lists =
            [&output["inlinedResponses"]["inlinedResponses"], &response["inlinedResponses"]["inlinedResponses"]];
        let list = lists.into_iter().chain([&whole["outputs"]]).find_map(Value::as_array);
        lines = list.cloned().unwrap_or_else(|| lines.clone());
    }
    lines.first().filter(|first| is_result(first))?;
    let (mut responses, mut failures, mut models) = (0u64, 0u64, Vec::new());
    let mut sums = Map::new();
    let mut add = |key: &str, count: &Value| {
        if let Some(count) = count.as_u64() {
            let sum = sums.get(key).and_then(Value::as_u64).unwrap_or(0);
            sums.insert(key.to_owned(), (sum + count).into());
        }
    };
    for line in lines.iter().filter(|line| is_result(line)) {
        responses += 1;
        let answers = [&line["response"]["body"], &line["result"]["message"], &line["response"], line];
        let usage = |answer: &&&Value| answer["usage"].is_object() || answer["usageMetadata"].is_object();
        let Some(answer) = answers.iter().find(usage) else {
            failures += 1;
            continue;
        };
        let model = answer["model"].as_str().or(answer["modelVersion"].as_str()).unwrap_or_default();
        if !models.contains(&model) {
            models.push(model);
        }
        let (usage, google) = (&answer["usage"], &answer["usageMetadata"]);
        for (key, count) in [
            ("input_tokens", &usage["prompt_tokens"]),
            ("input_tokens", &usage["input_tokens"]),
            ("input_tokens", &usage["cache_read_input_tokens"]),
            ("input_tokens", &usage["cache_creation_input_tokens"]),
            ("output_tokens", &usage["completion_tokens"]),
            ("output_tokens", &usage["output_tokens"]),
            ("cache_read.input_tokens", &usage["cache_read_input_tokens"]),
            ("cache_creation.input_tokens", &usage["cache_creation_input_tokens"]),
            ("cache_write.input_tokens", &usage["cache_creation_input_tokens"]),
            ("cache_read.input_tokens", &usage["prompt_tokens_details"]["cached_tokens"]),
            ("cache_read.input_tokens", &usage["input_tokens_details"]["cached_tokens"]),
            ("reasoning.output_tokens", &usage["completion_tokens_details"]["reasoning_tokens"]),
            ("reasoning.output_tokens", &usage["output_tokens_details"]["reasoning_tokens"]),
            ("input_tokens", &google["promptTokenCount"]),
            ("output_tokens", &google["candidatesTokenCount"]),
            ("output_tokens", &google["thoughtsTokenCount"]),
            ("reasoning.output_tokens", &google["thoughtsTokenCount"]),
        ] {
            add(&format!("gen_ai.usage.{key}"), count);
        }
        for part in
            google["promptTokensDetails"].as_array().into_iter().flatten().filter(|part| part["modality"] == "TEXT")
        {
            add("gen_ai.usage.text.input_tokens", &part["tokenCount"]);
        }
    }
    let mut map = sums;
    map.insert("gaugeway.batch.responses".into(), responses.into());
    if failures > 0 {
        map.insert("gaugeway.batch.failures".into(), failures.into());
    }
    if let [model] = models[..] {
        map.insert("gen_ai.response.model".into(), model.into());
    }
    map.insert("gaugeway.outcome".into(), "completed".into());
    Some(map)
}

/// Each result names its request, and has a response or an error.
fn is_result(line: &Value) -> bool {
    let is_named = line["custom_id"].is_string() || line["key"].is_string();
    let is_decided = ["response", "error", "result"].iter().any(|key| line[key].is_object());
    let is_of_list = line["response"]["usageMetadata"].is_object() || line["error"].is_object();
    is_named && is_decided || is_of_list || line["usageMetadata"].is_object()
}
