//! Errors in a response and their names.

use super::Exchange;
use super::framing::{Body, Event, header};
use super::reading::{Reading, each, text};
use serde_json::Value;

/// Marks the reading as failed if this body or event contains an error. Refusals and content filters are finish
/// reasons, not errors.
pub fn note(event: &Event, reading: &mut Reading) {
    let data = &event.data;
    if let Some(exception) = &event.exception {
        reading.failed = true;
        reading.failure.get_or_insert(exception.clone());
        return;
    }
    let kind = event.kind();
    let carrier = match kind {
        "response.failed" => Some(&data["response"]),
        "interaction.failed" => Some(&data["interaction"]),
        "message-end" if is_said(&data["delta"]["error"]) => Some(&data["delta"]),
        _ if is_said(&data["error"])
            || data["object"] == "error"
            || matches!(kind, "error" | "conversation.response.error")
            || event.name == "error" =>
        {
            Some(data)
        }
        _ if data["status"] == "failed" => Some(data),
        _ => None,
    };
    reading.failed |= each(&data["choices"]).any(|choice| choice["error"].is_object());
    // MiniMax.
    let code = &data["base_resp"]["status_code"];
    if code.is_number() && *code != 0 {
        reading.failed = true;
        reading.failure = Some(code.to_string());
    }
    if let Some(carrier) = carrier {
        reading.failed = true;
        if reading.failure.is_none() {
            reading.failure = said(carrier);
        }
    }
}

/// Returns true for a finish reason that means an error.
pub fn is_error(reason: &str) -> bool {
    let malformed = ["malformed_", "MALFORMED_"].iter().any(|start| reason.starts_with(start));
    malformed || matches!(reason, "error" | "ERROR" | "TIMEOUT" | "failed")
}

/// The `error.type` of a failed exchange.
pub fn name(exchange: &Exchange, body: &Body, reading: &Reading) -> String {
    if let Some(failure) = &reading.failure {
        return failure.clone();
    }
    if exchange.status < 400 {
        // In a stream that started with a success, a numeric code is the HTTP status that the response would have had.
        let code = body.events.iter().find_map(|event| {
            let of_choice = || each(&event.data["choices"]).find_map(|choice| status(&choice["error"]["code"]));
            status(&event.data["error"]["code"]).or_else(|| status(&event.data["code"])).or_else(of_choice)
        });
        return code.unwrap_or_else(|| "_OTHER".into());
    }
    // The error bodies of some vendors have no `error` member; their fields are at the top level.
    let aws = header(&exchange.response_headers, "x-amzn-errortype").and_then(|v| v.split([':', '#']).next());
    aws.filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or_else(|| body.events.iter().find_map(|event| top_level(&event.data)))
        .unwrap_or_else(|| exchange.status.to_string())
}

fn status(code: &Value) -> Option<String> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    (400..600).contains(&number).then(|| number.to_string())
}

fn is_said(error: &Value) -> bool {
    match error {
        Value::String(s) => !s.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => false,
    }
}

fn said(carrier: &Value) -> Option<String> {
    let error = &carrier["error"];
    code(&error["code"])
        .or_else(|| text(&error["type"]))
        .or_else(|| text(&error["status"]))
        .map(str::to_owned)
        .or_else(|| top_level(carrier))
}

fn top_level(body: &Value) -> Option<String> {
    code(&body["code"]).or_else(|| text(&body["error_type"])).map(str::to_owned)
}

/// An error code that is a name. Vendors also send the HTTP status in this field, as a number or a string.
fn code(value: &Value) -> Option<&str> {
    text(value).filter(|code| !code.bytes().all(|b| b.is_ascii_digit()))
}
