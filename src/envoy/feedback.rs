//! Takes feedback: reads the request, answers it, and counts what it says for the answer it is about.
//!
//! The only request the plugin holds: its own. Envoy shows the body of a request that is held only where the plugin's
//! configuration has `allow_on_headers_stop_iteration`; without it the next tick answers that it is missing.

use super::Envoy;
use super::host::{self, Buffer};
use super::shared::Shared;
use crate::exchange::Head;
use crate::observation::{Observation, Rare, Who};
use crate::signal::feedback::{self, BODY, Feedback};

/// A request that brings feedback, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taking {
    /// Its head came, and its body is to come.
    Waits,
    /// The same, since a tick ago.
    Stuck,
    /// A part of the body came.
    Reads,
    /// It was answered.
    Done,
}

impl Taking {
    /// Begins with the head.
    pub fn begin(head: Head<'_>, end_of_stream: bool) -> Self {
        if head.bytes(":method") != Some(b"POST") {
            host::answer(405, "send feedback by POST\n");
        } else if end_of_stream {
            host::answer(400, "there is no body: send {\"response_id\": \"...\", \"score\": 0.5}\n");
        } else {
            return Taking::Waits;
        }
        Taking::Done
    }

    /// A part of the body came; the host shows all that has come so far.
    pub fn body(self, shared: &Shared, size: usize, end_of_stream: bool) -> Self {
        shared.shows_held.set(true);
        match self {
            Taking::Done => return Taking::Done,
            _ if size > BODY => host::answer(413, "feedback has at most 4096 bytes\n"),
            _ if !end_of_stream => return Taking::Reads,
            _ => {
                let body = host::buffer(Buffer::Request, size).unwrap_or_default();
                match Feedback::parse(&body) {
                    Err(wrong) => host::answer(400, &format!("{wrong}\n")),
                    Ok(feedback) if shared.count(feedback) => host::answer(204, ""),
                    Ok(_) => host::answer(404, "no answer with this response_id is remembered, or it has its score\n"),
                }
            }
        }
        Taking::Done
    }

    /// The body ends with trailers.
    pub fn trailers(self) -> Self {
        if self != Taking::Done {
            host::answer(400, "feedback has no trailers\n");
        }
        Taking::Done
    }

    /// A tick passed. A request of which nothing is shown for a whole one is answered, unless others were shown: then its
    /// client is slow, and Envoy's own limits apply.
    pub fn tick(self, shared: &Shared, context: u32) -> Self {
        match self {
            Taking::Waits | Taking::Stuck if shared.shows_held.get() => Taking::Waits,
            Taking::Waits => Taking::Stuck,
            Taking::Stuck => {
                if host::act_for(context) {
                    host::answer(
                        500,
                        "no body came: feedback needs allow_on_headers_stop_iteration: true in the plugin's configuration\n",
                    );
                }
                Taking::Done
            }
            Taking::Reads | Taking::Done => self,
        }
    }
}

impl Shared {
    /// Remembers whose answer it is that has this identifier, where feedback is taken.
    pub fn note_answer(&self, seen: &Observation) {
        let settings = &self.observer.config.feedback;
        if let Some(id) = seen.response.id.as_deref().filter(|_| !settings.path.is_empty()) {
            let key = feedback::key(id);
            host::set_shared(&slot(settings.slot(key)), &feedback::remembered(key, &Who::of(seen)), 0);
        }
    }

    /// Counts feedback, once for an answer; false where the answer is not known.
    fn count(&self, feedback: Feedback) -> bool {
        let slot = slot(self.observer.config.feedback.slot(feedback.answer));
        let Some((bytes, cas)) = host::shared(&slot) else { return false };
        let Some(who) = feedback::recalled(feedback.answer, &bytes) else { return false };
        if !host::set_shared(&slot, &[0], cas) {
            return false;
        }
        let rare = Some(Box::new(Rare { feedback: Some(feedback.permille), ..Rare::default() }));
        let seen = Observation { rare, ..who.observation() };
        if let Ok(mut stats) = self.stats.try_borrow_mut() {
            stats.record(&seen, &self.observer.config, &mut Envoy);
        }
        true
    }
}

fn slot(number: u64) -> String {
    format!("gaugeway.answers.{number}")
}
