//! Gemini Live, also on Vertex AI. A response is a turn of the model: it ends with its last event or with calls of tools. Its counts
//! are those of the turn, and the last ones count.
//!
//! Specification: the types of the google-genai SDK. JSON of proto3 accepts names in snake_case, which the SDK sends for some members.

use super::{Dialect, MessagePart, Notice, tool};
use crate::draft::{Draft, ProviderTool};
use crate::json::{Rule, Scalar, close, deferred, open, raw, scalar, text};
use crate::provider::Api;
use crate::provider::common::{by_modality, said};
use crate::provider::gemini::{ERROR, cached_modes, input_modes, output_modes};

/// `GET .../BidiGenerateContent`, upgraded
pub const LIVE: Api = Api {
    name: "gemini-live",
    operation: "generate_content",
    request: &[
        ("clientContent", TURNS),
        ("client_content", TURNS),
        ("toolResponse.functionResponses[]", RESULT),
        ("toolResponse.function_responses[]", RESULT),
        ("tool_response.functionResponses[]", RESULT),
        ("tool_response.function_responses[]", RESULT),
    ],
    response: &[
        ("serverContent", CONTENT),
        ("toolCall", CALLS),
        ("usageMetadata", COUNTS),
        ("usageMetadata", MODALITIES),
        ("", ERROR),
    ],
    document,
    terminated: true,
    remembers: true,
    dialect: Some(&DIALECT),
    ..Api::DEFAULT
};

const TURNS: &[Rule<Draft>] = &[
    open("turns[]", |d, _| d.message_opened()),
    close("turns[]", Draft::message_closed),
    scalar("turns[].role", Draft::message_role),
    deferred("turns[].parts[].text", said),
    open("turns[].parts[].functionResponse", |d, _| d.result_opened()),
    close("turns[].parts[].functionResponse", Draft::result_part_closed),
    scalar("turns[].parts[].functionResponse.id", Draft::result_id),
    scalar("turns[].parts[].functionResponse.name", Draft::result_name),
    raw("turns[].parts[].functionResponse.response", Draft::result_json),
];

const RESULT: &[Rule<Draft>] = &[
    open("", |d, index| {
        if index == 0 {
            d.message_opened();
        }
        d.result_opened();
    }),
    close("", Draft::result_part_closed),
    scalar("id", Draft::result_id),
    scalar("name", Draft::result_name),
    raw("response", Draft::result_json),
];

const CONTENT: &[Rule<Draft>] = &[
    open("modelTurn.parts[]", Draft::part_marked),
    close("modelTurn.parts[]", |d| {
        if d.open.is_thought() {
            d.part_dropped();
        }
    }),
    scalar("modelTurn.parts[].thought", Draft::part_is_thought),
    text("modelTurn.parts[].text", Draft::answer_text),
    text("modelTurn.parts[].inlineData.data", Draft::other_content),
    text("outputTranscription.text", Draft::answer_text),
    scalar("groundingMetadata.webSearchQueries[]", |d, v| d.provider_query(v, ProviderTool::WebSearch)),
    scalar("turnCompleteReason", Draft::choice_finish_reason),
    scalar("interrupted", |d, v| {
        if v.is_true() {
            d.set_only_finish_reason(Some("interrupted".into()));
        }
    }),
    scalar("turnComplete", |d, v| d.complete_if(v.is_true())),
];

const CALLS: &[Rule<Draft>] = &[
    open("functionCalls[]", Draft::part_opened),
    close("functionCalls[]", |d| {
        // Each call arrives complete and once, so it is a new one.
        let place = d.tool_call_count();
        d.tool_call(place);
    }),
    scalar("functionCalls[].id", Draft::part_id),
    scalar("functionCalls[].name", Draft::part_name),
    raw("functionCalls[].args", Draft::structured_arguments),
];

const COUNTS: &[Rule<Draft>] = &[
    scalar("promptTokenCount", |d, v| d.count(v, |c| &mut c.input)),
    scalar("cachedContentTokenCount", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("responseTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("candidatesTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("thoughtsTokenCount", |d, v| {
        d.output_excludes_reasoning();
        d.count(v, |c| &mut c.reasoning);
    }),
    scalar("toolUsePromptTokenCount", |d, v| d.count(v, |c| &mut c.tool_input)),
    scalar("totalTokenCount", |d, v| d.count(v, |c| &mut c.total)),
    scalar("serviceTier", Draft::service_tier),
    scalar("trafficType", Draft::service_tier),
];

const MODALITIES: &[Rule<Draft>] = by_modality!("tokenCount":
    "promptTokensDetails" => input_modes,
    "cacheTokensDetails" => cached_modes,
    "responseTokensDetails" => output_modes,
    "candidatesTokensDetails" => output_modes,
);

/// Ends a message of the server.
fn document(d: &mut Draft) {
    let reason = d.open.take_finish_reason();
    if reason.is_some() {
        d.set_only_finish_reason(reason);
    }
    // If the counts come after the calls, the result of a call ends the turn.
    d.complete_if(d.tool_call_count() > 0 && d.counts.usage().is_known());
}

/// The name of a model without the names above it: `models/NAME`, or all of its path on Vertex AI.
fn model(n: &mut Notice, value: Scalar<'_>) {
    if let Scalar::Text(path) = value {
        n.model = path.rsplit('/').next().filter(|name| !name.is_empty()).map(Into::into);
    }
}

fn asks(n: &mut Notice, value: Scalar<'_>) {
    n.asks = value.is_true();
}

fn brings_results(n: &mut Notice, _: u32) {
    n.is(MessagePart::Addition);
    n.asks = true;
}

const DIALECT: Dialect = Dialect {
    client: &[
        open("setup", |n: &mut Notice, _| n.is(MessagePart::Settings)),
        scalar("setup.model", model),
        open("setup.tools[].functionDeclarations[]", tool),
        open("setup.tools[].function_declarations[]", tool),
        open("clientContent", |n, _| n.is(MessagePart::Addition)),
        open("client_content", |n, _| n.is(MessagePart::Addition)),
        scalar("clientContent.turnComplete", asks),
        scalar("clientContent.turn_complete", asks),
        scalar("client_content.turnComplete", asks),
        scalar("client_content.turn_complete", asks),
        open("toolResponse", brings_results),
        open("tool_response", brings_results),
        open("realtimeInput.activityEnd", |n, _| n.is(MessagePart::Prompt)),
        open("realtime_input.activityEnd", |n, _| n.is(MessagePart::Prompt)),
        open("realtime_input.activity_end", |n, _| n.is(MessagePart::Prompt)),
        scalar("realtimeInput.audioStreamEnd", |n, _| n.is(MessagePart::Prompt)),
        scalar("realtime_input.audioStreamEnd", |n, _| n.is(MessagePart::Prompt)),
        scalar("realtime_input.audio_stream_end", |n, _| n.is(MessagePart::Prompt)),
        scalar("realtimeInput.text", |n, _| n.is(MessagePart::Prompt)),
        scalar("realtime_input.text", |n, _| n.is(MessagePart::Prompt)),
    ],
    server: &[
        open("setupComplete", |n, _| n.is(MessagePart::Nothing)),
        open("serverContent.modelTurn", |n, _| n.is(MessagePart::Begin)),
        open("serverContent.outputTranscription", |n, _| n.is(MessagePart::Begin)),
        scalar("serverContent.turnComplete", |n, _| n.is(MessagePart::End)),
        scalar("serverContent.interrupted", |n, _| n.is(MessagePart::Event)),
        scalar("serverContent.generationComplete", |n, _| n.is(MessagePart::Event)),
        open("toolCall", |n, _| n.is(MessagePart::Begin)),
        open("goAway", |n, _| n.is(MessagePart::Nothing)),
        open("sessionResumptionUpdate", |n, _| n.is(MessagePart::Nothing)),
    ],
    client_part: MessagePart::Nothing,
    server_part: MessagePart::Event,
    names_responses: false,
    has_other_failures: false,
    goes_on_after: "",
};
