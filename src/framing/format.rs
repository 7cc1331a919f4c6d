//! The format of a body: the content type decides it, or else the first byte.
//!
//! The first byte decides because errors of streaming requests come as plain JSON, and because some servers send events
//! with another content type.

use super::event_stream::EventStream;
use super::multipart::Multipart;
use super::sse::Sse;

/// How a body carries its documents, and the state of its reader.
pub(super) enum BodyFormat {
    /// The first byte that is not blank will decide.
    Undecided,
    /// JSON documents, in one of the ways of [`crate::json::Documents`].
    Json,
    /// Server-sent events.
    Events(Sse),
    /// AWS event stream.
    Frames(Box<EventStream>),
    /// One result of a batch per line. The draft knows which lines are read.
    Results,
    /// A multipart form.
    Form(Box<Multipart>),
    /// Another format. Nothing is read.
    Opaque,
}

impl BodyFormat {
    /// Maximum heap memory, in bytes: that of a form, which is larger than an event stream.
    pub const BOUND: usize = Multipart::BOUND;

    /// Returns the format that the content type determines. JSON types do not determine it.
    pub fn from_content_type(content_type: &str) -> Self {
        let media_type = media_type(content_type);
        if media_type.eq_ignore_ascii_case("text/event-stream") {
            BodyFormat::Events(Sse::new())
        } else if media_type.eq_ignore_ascii_case("application/vnd.amazon.eventstream") {
            BodyFormat::Frames(Box::default())
        } else if let Some(form) = Multipart::new(content_type) {
            BodyFormat::Form(Box::new(form))
        } else {
            BodyFormat::Undecided
        }
    }

    /// Returns the format of a body whose first byte, after blanks, is this one. Server-sent events begin with the name
    /// of a field (`data`, `event`, `id`, `retry`) or with a comment.
    pub fn from_first_byte(byte: u8, may_be_events: bool) -> Self {
        match byte {
            b'{' | b'[' => BodyFormat::Json,
            b'd' | b'e' | b'i' | b'r' | b':' if may_be_events => BodyFormat::Events(Sse::new()),
            _ => BodyFormat::Opaque,
        }
    }
}

/// Returns the content type without its parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Returns true if the media type is one of those in use for one JSON document per line. None of them is registered.
pub(super) fn is_json_lines(media_type: &str) -> bool {
    ["application/x-ndjson", "application/stream+json", "application/jsonl", "application/ndjson"]
        .iter()
        .any(|name| media_type.eq_ignore_ascii_case(name))
}
