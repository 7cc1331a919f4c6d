//! OpenAI Realtime, also as Azure and xAI serve it. The session has the model and the tools; a response may begin without a request
//! when the user stops to speak.
//!
//! Specification: OpenAI's SDK types of Realtime events, and those before its general availability.

use super::{Dialect, MessagePart, Notice, id, tool};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, close, deferred, open, scalar, text};
use crate::provider::Api;
use crate::provider::common::{result, said};
use crate::provider::openai::{COST, ERROR, TOKENS};
use crate::provider::responses::{self, EVENT, RESPONSE};

/// `GET .../realtime`, upgraded
pub const REALTIME: Api = Api {
    name: "openai-realtime",
    operation: "chat",
    request: &[("", ADDITION), ("response", CREATE)],
    response: &[
        ("", EVENT),
        ("", DELTA),
        ("", ERROR),
        ("response", RESPONSE),
        ("response", DETAILS),
        ("response.usage", TOKENS),
        ("response.usage", COST),
        ("response.usage", PARTS),
        // A transcription has it.
        ("usage", TOKENS),
        ("usage", PARTS),
        ("usage", &[scalar("seconds", Draft::audio_seconds)]),
    ],
    document,
    terminated: true,
    remembers: true,
    dialect: Some(&DIALECT),
    ..Api::DEFAULT
};

/// An item that the client adds to the conversation: a message, or the result of a call.
const ADDITION: &[Rule<Draft>] = &[
    open("item", |d, _| {
        d.message_opened();
        d.part_opened(0);
    }),
    close("item", |d| match d.open.part_kind() {
        "function_call_output" => d.result_item_closed(),
        _ => d.message_closed(),
    }),
    scalar("item.type", Draft::part_kind),
    scalar("item.role", Draft::message_role),
    deferred("item.content[].text", said),
    scalar("item.call_id", Draft::result_id),
    deferred("item.output", result),
];

/// Parameters of a response.
const CREATE: &[Rule<Draft>] = &[
    scalar("max_output_tokens", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("output_modalities[]", modality),
    scalar("modalities[]", modality),
    scalar("tools[].name", Draft::offered_name),
    open("tools[]", |d, _| d.tool_offered()),
];

fn modality(d: &mut Draft, value: Scalar<'_>) {
    if value == Scalar::Text("audio") {
        d.set_output_type("speech");
    }
}

/// The kinds of the events with a piece of the answer's text.
const TEXTS: [&str; 4] = [
    "response.output_text.delta",
    "response.output_audio_transcript.delta",
    "response.text.delta",
    "response.audio_transcript.delta",
];

const DELTA: &[Rule<Draft>] = &[
    text("delta", |d, piece| match piece {
        [] => d.choice_marked(),
        _ if matches!(d.open.kind(), "response.output_audio.delta" | "response.audio.delta") => d.other_content(piece),
        _ => d.answer_text(piece),
    }),
    // A transcription has it.
    text("transcript", Draft::other_text),
    open("rate_limits[]", Draft::part_opened),
    scalar("rate_limits[].name", Draft::part_kind),
    scalar("rate_limits[].remaining", Draft::rate_limit),
];

const DETAILS: &[Rule<Draft>] = &[
    scalar("status_details.reason", Draft::choice_finish_detail),
    open("status_details.error", |d, _| d.failed()),
    scalar("status_details.error.code", Draft::error_code),
    scalar("status_details.error.type", Draft::error_type),
    scalar("conversation_id", Draft::conversation_id),
];

/// The parts of the counts.
const PARTS: &[Rule<Draft>] = &[
    scalar("input_token_details.cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("input_token_details.text_tokens", |d, v| d.detail(v, |q| &mut q.input_text)),
    scalar("input_token_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("input_token_details.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("input_token_details.cached_tokens_details.text_tokens", |d, v| d.detail(v, |q| &mut q.cached_text)),
    scalar("input_token_details.cached_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.cached_audio)),
    scalar("input_token_details.cached_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.cached_image)),
    scalar("output_token_details.text_tokens", |d, v| d.detail(v, |q| &mut q.output_text)),
    scalar("output_token_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.output_audio)),
    scalar("output_token_details.image_tokens", |d, v| d.detail(v, |q| &mut q.output_image)),
    scalar("output_token_details.reasoning_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
];

/// Evaluates an event.
fn document(d: &mut Draft) {
    let kind = d.open.kind_word();
    let kind = kind.as_str();
    if TEXTS.contains(&kind) {
        d.set_text_comes_in_deltas(true);
    } else {
        d.choice_dropped();
    }
    match kind {
        "response.done" => {
            let status = d.open.take_finish_reason();
            d.complete();
            if status.is_some() {
                d.set_only_finish_reason(status);
            }
            d.generated_before();
        }
        "response.output_item.added" | "response.output_item.done" => {
            responses::document(d);
        }
        "error" => {
            d.failed();
            d.complete();
        }
        _ if kind.ends_with(".delta") => {}
        _ => d.generated_before(),
    }
}

const DIALECT: Dialect = Dialect {
    client: &[
        scalar("type", |n: &mut Notice, v| {
            n.is(match v {
                Scalar::Text("response.create") => MessagePart::Request,
                Scalar::Text("conversation.item.create") => MessagePart::Addition,
                Scalar::Text("input_audio_buffer.commit") => MessagePart::Prompt,
                Scalar::Text("session.update") => MessagePart::Settings,
                _ => MessagePart::Nothing,
            });
        }),
        scalar("event_id", |n, v| id(&mut n.event, v)),
        open("session.tools[]", tool),
        scalar("session.model", |n, v| n.model = v.text()),
        scalar("session.audio.input.transcription.model", |n, v| n.transcriber = v.text()),
        scalar("session.input_audio_transcription.model", |n, v| n.transcriber = v.text()),
    ],
    server: &[
        scalar("type", |n, v| {
            n.is(match v {
                Scalar::Text("response.created") => MessagePart::Begin,
                Scalar::Text("response.done") => MessagePart::End,
                Scalar::Text("error") => MessagePart::Failure,
                Scalar::Text("session.created" | "session.updated") => MessagePart::Settings,
                Scalar::Text("input_audio_buffer.speech_stopped" | "input_audio_buffer.committed") => {
                    MessagePart::Prompt
                }
                Scalar::Text("conversation.item.input_audio_transcription.completed") => MessagePart::Aside,
                Scalar::Text("rate_limits.updated") => MessagePart::Event,
                Scalar::Text(word) if word.starts_with("response.") => MessagePart::Event,
                _ => MessagePart::Nothing,
            });
        }),
        scalar("response_id", |n, v| id(&mut n.response, v)),
        scalar("response.id", |n, v| id(&mut n.response, v)),
        scalar("item_id", |n, v| id(&mut n.item, v)),
        scalar("error.event_id", |n, v| id(&mut n.event, v)),
        open("session.tools[]", tool),
        scalar("session.model", |n, v| n.model = v.text()),
        scalar("session.audio.input.transcription.model", |n, v| n.transcriber = v.text()),
        scalar("session.input_audio_transcription.model", |n, v| n.transcriber = v.text()),
    ],
    // Audio is long, and other messages are short.
    client_part: MessagePart::Nothing,
    server_part: MessagePart::Event,
    names_responses: true,
    has_other_failures: true,
    goes_on_after: "",
};
