//! The state of an exchange that is being read. Rules of providers write to it.
//!
//! Rules call methods of [`Draft`]. Each method is in the file of the part that it changes: [`Conversation`] and the request's
//! parameters, [`Answer`], [`Counts`], [`WireError`], [`OpenDocument`]. Values that are final at once, such as
//! parameters, go to the [`Observation`] directly. The others go there when the request or the answer ends.

mod answer;
mod attempts;
mod calls;
mod client;
mod conversation;
mod counts;
mod document;
mod error;
mod history;
mod lines;
mod parameters;
mod past_calls;
mod prefix;
mod provider_tools;
mod rare;
mod room;
mod tool_choice;
mod usage;
mod word;

use crate::budget::Share;
use crate::bytes::Base64;
use crate::observation::{FinishClass, Observation, ParseError};

pub use answer::Answer;
pub use attempts::{AttemptKind, BilledAttempt};
pub use calls::ToolCall;
pub use client::{ClientState, SessionSource};
pub use conversation::Conversation;
pub use counts::{Counts, UsageDetails};
pub use document::OpenDocument;
pub use error::WireError;
use history::History;
pub use lines::{PriceOfResult, ResultLines, ResultReader};
pub use prefix::{BLOCK as MESSAGE_BLOCK, MessageHashes, Prefix, WINDOW};
pub use provider_tools::ProviderTool;
pub use room::{BLOCK, Room, entry};
pub use tool_choice::ToolChoice;
pub use usage::{TokenCounts, TokenSlot, WireCost};
pub use word::Word;

/// The state of an exchange that is being read.
#[derive(Default)]
pub struct Draft {
    /// The observation, as far as it is known.
    pub observation: Observation,
    /// The messages of the request.
    pub conversation: Conversation,
    /// The program that sent the request.
    client_state: ClientState,
    /// The answer.
    pub answer: Answer,
    /// Tokens, quantities and costs of the response.
    pub counts: Counts,
    /// The error that the response reports.
    pub error: WireError,
    /// The document that is being read.
    pub open: OpenDocument,
    /// Decodes a document that is inside a string of another one.
    pub nested: Base64,
    /// The time of the bytes that are being read, in nanoseconds.
    pub now: u64,
    /// True if neither the configuration nor the host names the provider, so that the bodies may.
    pub provider_is_guessed: bool,
    /// True if the bodies have a form that only the API has.
    pub shows_api: bool,
    /// Reads the results of a batch. None if the response has none.
    pub results: Option<Box<ResultReader>>,
    /// Memory for lists.
    room: Room,
    /// The name of the current server-sent event.
    event: Word,
    /// Decides what a whole document of the response means.
    document: Option<fn(&mut Draft)>,
    /// The API's classes of finish reasons.
    finish_class: Option<fn(&str) -> FinishClass>,
}

impl Draft {
    /// The state before the request is read. `document` decides what a whole document of the response means, `finish_class`
    /// is the API's table of finish reasons, `room` the memory for lists.
    pub fn new(document: fn(&mut Draft), finish_class: fn(&str) -> FinishClass, room: Room) -> Self {
        let mut draft = Draft { document: Some(document), finish_class: Some(finish_class), ..Draft::default() };
        draft.conversation.set_share(room.another());
        draft.room = room;
        draft
    }

    /// A share of 0 bytes of the budget, for another part of the stream's state. None without a budget.
    pub fn another_share(&self) -> Option<Share> {
        self.room.another()
    }

    /// The bodies have a form that only this provider has. The name counts if nothing else names the provider.
    pub fn provider_by_shape(&mut self, provider: &'static str) {
        self.shows_api = true;
        if self.provider_is_guessed {
            self.observation.provider = provider.into();
        }
    }

    /// Reports something that could not be read.
    pub fn report(&mut self, parse_error: ParseError) {
        self.observation.parse_errors.add(parse_error);
    }
}
