//! The finish reasons of all APIs and their classes.
//!
//! Specifications: the SDK types of OpenAI, Anthropic, Google, Cohere, Mistral and Ollama; botocore's service model of Amazon
//! Bedrock; the API references of IBM watsonx and Hugging Face Text Generation Inference.

use crate::observation::FinishClass;

/// The class of a finish reason. No word has two meanings in two APIs, so all APIs share one table. A word that is not in the
/// table has the class [`FinishClass::Other`].
pub fn finish_class(word: &str) -> FinishClass {
    match word {
        "stop" | "end_turn" | "stop_sequence" | "STOP" | "COMPLETE" | "STOP_SEQUENCE" | "FINISH" | "completed"
        | "eos_token" => FinishClass::Stop,
        "length"
        | "max_tokens"
        | "MAX_TOKENS"
        | "LENGTH"
        | "ERROR_LIMIT"
        | "model_length"
        | "incomplete"
        | "max_output_tokens"
        | "model_context_window_exceeded" => FinishClass::Length,
        "tool_calls" | "tool_call" | "tool_use" | "function_call" | "TOOL_CALL" | "requires_action" => {
            FinishClass::ToolCall
        }
        "content_filter"
        | "refusal"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "guardrail_intervened"
        | "content_filtered"
        | "CONTENT_FILTERED"
        | "ERROR_TOXIC"
        | "MODEL_ARMOR"
        | "JAILBREAK" => FinishClass::ContentFilter,
        "error" | "ERROR" | "TIMEOUT" | "failed" => FinishClass::Error,
        _ if word.starts_with("malformed_") || word.starts_with("MALFORMED_") => FinishClass::Error,
        _ => FinishClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_different_apis_for_one_reason_have_one_class() {
        for (words, class) in [
            (["stop", "end_turn", "STOP", "COMPLETE", "eos_token"], FinishClass::Stop),
            (["length", "max_tokens", "MAX_TOKENS", "ERROR_LIMIT", "incomplete"], FinishClass::Length),
            (["tool_calls", "tool_use", "TOOL_CALL", "function_call", "requires_action"], FinishClass::ToolCall),
            (
                ["content_filter", "refusal", "SAFETY", "guardrail_intervened", "ERROR_TOXIC"],
                FinishClass::ContentFilter,
            ),
            (["error", "ERROR", "failed", "MALFORMED_FUNCTION_CALL", "malformed_tool_use"], FinishClass::Error),
            (["", "Stop", "in_progress", "FINISH_REASON_UNSPECIFIED", "7"], FinishClass::Other),
        ] {
            for word in words {
                assert_eq!(finish_class(word), class, "{word}");
            }
        }
    }
}
