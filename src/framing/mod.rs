//! Framing: how a body carries its JSON documents. [`Body`] decodes the content encoding, splits the body into
//! documents and passes them to a JSON scanner.
//!
//! | format | specification |
//! |---|---|
//! | one JSON document, or several in a row | RFC 8259 |
//! | one document per line | NDJSON, JSON Lines |
//! | one array of documents | Gemini's streams without `alt=sse` |
//! | server-sent events | WHATWG HTML, "Server-sent events" |
//! | AWS event stream | `application/vnd.amazon.eventstream` |
//! | multipart form | RFC 7578 |
//!
//! [`websocket`] reads the messages of a WebSocket connection.
//!
//! Memory: one or two JSON scanners, a few bytes of state for the format, and the decoder of the content encoding,
//! which takes its memory from the budget.

mod body;
#[cfg(feature = "encodings")]
mod encoding;
#[cfg(not(feature = "encodings"))]
#[path = "encoding_disabled.rs"]
mod encoding;
mod event_stream;
mod format;
mod multipart;
mod sse;
pub mod websocket;

pub use body::{Body, Rules};
pub use encoding::Decoder;
pub use sse::{Sse, SsePart};
