//! OpenAI images, audio and moderations, also as other vendors serve them.
//!
//! Specification: OpenAI's SDK types. The usage follows the image, which can be megabytes of base64. Requests may be multipart
//! forms.

use super::openai::{self, COST, ERROR, SAMPLING, TOKENS};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, open, scalar, text};

/// `POST .../images/generations`, `/edits`, `/variations`
pub const IMAGES: Api = Api {
    name: "openai-images",
    operation: "image_generation",
    request: REQUEST,
    response: &[("", ERROR), ("", EVENT), ("usage", TOKENS), ("usage", COST)],
    document: Draft::output_is_images,
    usage_expected: false,
    ..Api::DEFAULT
};

/// `POST .../audio/transcriptions`
pub const TRANSCRIPTIONS: Api = Api {
    name: "openai-transcriptions",
    operation: "transcription",
    request: REQUEST,
    response: &[
        ("", ERROR),
        ("", EVENT),
        ("", &[text("text", spoken), scalar("duration", duration)]),
        ("usage", TOKENS),
        ("usage", COST),
        ("usage", SOUND),
    ],
    usage_expected: false,
    document,
    ..Api::DEFAULT
};

/// `POST .../audio/translations`
pub const TRANSLATIONS: Api = Api { name: "openai-translations", operation: "translation", ..TRANSCRIPTIONS };

/// `POST .../audio/speech`
pub const SPEECH: Api = Api {
    name: "openai-speech",
    operation: "speech",
    request: &[("", SAMPLING), ("", &[text("input", to_be_spoken)])],
    document: |_| {},
    ..IMAGES
};

/// `POST .../moderations`
pub const MODERATIONS: Api = Api {
    name: "openai-moderations",
    operation: "moderation",
    request: REQUEST,
    response: &[("", ERROR), ("", &[scalar("id", Draft::response_id), scalar("model", Draft::response_model)])],
    usage_expected: false,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/images/generations", &IMAGES),
    Endpoint::new("/images/edits", &IMAGES),
    Endpoint::new("/images/variations", &IMAGES),
    Endpoint::new("/v1/images", &IMAGES).host("openrouter.ai"),
    Endpoint::new("/audio/transcriptions", &TRANSCRIPTIONS),
    Endpoint::new("/audio/translations", &TRANSLATIONS),
    Endpoint::new("/audio/speech", &SPEECH),
    Endpoint::new("/moderations", &MODERATIONS),
];

const REQUEST: &[Group<Draft>] = &[
    ("", SAMPLING),
    ("", &[text("prompt", openai::prompt), text("input", openai::prompt), text("input[]", openai::prompt)]),
];

const EVENT: &[Rule<Draft>] = &[
    scalar("type", Draft::document_kind),
    text("delta", Draft::answer_text),
    open("data[]", |d, _| d.add_detail(1, |q| &mut q.images)),
    text("b64_json", Draft::other_text),
    text("audio", Draft::other_text),
];

/// Speech to text is billed by tokens or by duration.
const SOUND: &[Rule<Draft>] = &[
    scalar("input_token_details.text_tokens", |d, v| d.detail(v, |q| &mut q.input_text)),
    scalar("input_token_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("seconds", Draft::audio_seconds),
];

/// The length of the audio in the answer's own form. Groq bills at least ten seconds.
///
/// Specification: groq.com/pricing.
fn duration(d: &mut Draft, value: Scalar<'_>) {
    d.audio_seconds(value);
    if d.observation.provider == "groq" {
        d.audio_seconds_at_least(10);
    }
}

/// A piece of the text to be spoken, which some models bill by its characters.
fn to_be_spoken(d: &mut Draft, piece: &[u8]) {
    // The bytes that begin a character.
    let characters = piece.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    d.add_detail(characters as u64, |q| &mut q.characters);
    openai::prompt(d, piece);
}

/// A piece of the text. The last event of a stream repeats the whole text, which is ignored.
fn spoken(d: &mut Draft, piece: &[u8]) {
    if d.answer.is_first_document() {
        d.answer_text(piece);
    }
}

fn document(d: &mut Draft) {
    d.complete_if(d.open.kind().ends_with(".done"));
}
