//! Feedback requests: reads the request, replies to it, and counts its score for the answer that it is about.
//!
//! A request without the secret of the settings is refused before anything else of it is read.
//!
//! These are addressed to the plugin, so they are held and go no further. Envoy shows the body of a held request only if the
//! plugin's configuration in Envoy has `allow_on_headers_stop_iteration`. If it does not, a tick replies that it is missing.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

use super::holding::{body_has_come, header_size};
use super::host;
use super::shared::Shared;
use crate::exchange::{Exchange, Head};
use crate::observation::{Attribution, Configured, Observation};
use crate::signal::feedback::{self, BODY, Feedback};

/// A feedback request, until the plugin has replied to it.
pub struct Submission {
    stream: u32,
    /// Size of the request's headers, in bytes.
    headers: u64,
    progress: Cell<Progress>,
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    /// The headers came; no part of the body has come yet.
    AwaitsBody,
    /// The same, and a tick has passed.
    Overdue,
    /// A part of the body came.
    ReadsBody,
    /// The plugin has replied.
    Answered,
}

impl Submission {
    /// Begins with the headers of a request. One that waits for its body is registered for ticks.
    pub fn start(stream: u32, head: Head<'_>, end_of_stream: bool, shared: &Shared) -> Rc<Self> {
        let submission =
            Rc::new(Submission { stream, headers: header_size(head), progress: Cell::new(Progress::AwaitsBody) });
        let content_type = head.text("content-type").split(';').next().unwrap_or_default().trim();
        if !shared.observer.config.feedback.secret.is_in(head.bytes("authorization").unwrap_or_default()) {
            submission.reply(401, "feedback needs the header authorization: Bearer, with feedback.secret\n");
        } else if head.bytes(":method") != Some(b"POST") {
            submission.reply(405, "send feedback by POST\n");
        } else if !content_type.eq_ignore_ascii_case("application/json") {
            submission.reply(415, "feedback has the content type application/json\n");
        } else if end_of_stream {
            submission.reply(400, "there is no body: send {\"response_id\": \"...\", \"score\": 0.5}\n");
        } else if let Ok(mut submissions) = shared.submissions.try_borrow_mut() {
            submissions.push(Rc::downgrade(&submission));
        }
        submission
    }

    /// Handles a part of the body. `size` is that of all parts so far, which the host keeps.
    pub fn on_body(&self, shared: &Shared, size: usize, end_of_stream: bool) {
        shared.holding.body_came_while_held();
        if self.progress.get() == Progress::Answered {
            return;
        }
        if size > BODY {
            return self.reply(413, "feedback has at most 4096 bytes\n");
        }
        if !end_of_stream {
            return self.progress.set(Progress::ReadsBody);
        }
        let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default();
        match Feedback::parse(&body) {
            Err(error) => self.reply(400, &format!("{error}\n")),
            Ok(feedback) if shared.count_score(feedback) => self.reply(204, ""),
            Ok(_) => self.reply(404, "no answer with this response_id is remembered, or it has its score\n"),
        }
    }

    /// Handles trailers, which end the body.
    pub fn on_trailers(&self) {
        if self.progress.get() != Progress::Answered {
            self.reply(400, "feedback has no trailers\n");
        }
    }

    /// Replies to a request whose body the host has kept back during a whole tick. If the body has not come to the host, the
    /// client is slow, and Envoy's timeouts apply. Returns true if the request needs further ticks.
    pub fn on_tick(&self, shared: &Shared) -> bool {
        match self.progress.get() {
            Progress::AwaitsBody | Progress::Overdue if shared.holding.is_able() => {
                self.progress.set(Progress::AwaitsBody);
            }
            Progress::AwaitsBody | Progress::Overdue if hostcalls::set_effective_context(self.stream).is_err() => {
                return false;
            }
            Progress::AwaitsBody | Progress::Overdue if !body_has_come(self.headers) => {
                self.progress.set(Progress::AwaitsBody);
            }
            Progress::AwaitsBody => self.progress.set(Progress::Overdue),
            Progress::Overdue => self.reply(
                500,
                "no body came: feedback needs allow_on_headers_stop_iteration: true in the plugin's configuration\n",
            ),
            Progress::ReadsBody | Progress::Answered => return false,
        }
        self.progress.get() != Progress::Answered
    }

    fn reply(&self, status: u32, body: &str) {
        self.progress.set(Progress::Answered);
        let challenge: &[_] = if status == 401 { &[("www-authenticate", "Bearer")] } else { &[] };
        host::reply(status, "gaugeway_feedback", challenge, body);
    }
}

impl Shared {
    /// Passes a tick to the submissions that wait for their bodies, and forgets the others.
    pub fn answer_stuck_submissions(&self) {
        if let Ok(mut submissions) = self.submissions.try_borrow_mut() {
            submissions.retain(|submission| submission.upgrade().is_some_and(|submission| submission.on_tick(self)));
        }
    }

    /// Remembers an answer by its identifier, if feedback is enabled.
    pub fn note_answer(&self, exchange: &Exchange) {
        let (settings, seen) = (&self.observer.config.feedback, exchange.observation());
        if let Some(id) = seen.response.id.as_deref().filter(|_| !settings.path.is_empty()) {
            let (key, caller) = (feedback::key(id), exchange.caller());
            let slot = slot(settings.slot(key));
            let is_shared = host::shared(&slot).is_some_and(|(bytes, _)| feedback::is_of_another(key, caller, &bytes));
            let kept = if is_shared {
                feedback::ambiguous(key)
            } else {
                feedback::remembered(key, caller, &Attribution::of(seen))
            };
            host::set_shared(&slot, &kept, 0);
        }
    }

    /// Counts a score, once for each answer. Returns false if the answer is not remembered.
    fn count_score(&self, feedback: Feedback) -> bool {
        let slot = slot(self.observer.config.feedback.slot(feedback.answer));
        let Some((bytes, version)) = host::shared(&slot) else { return false };
        let Some(who) = feedback::recalled(feedback.answer, &bytes) else { return false };
        if !host::set_shared(&slot, &[0], version) {
            return false;
        }
        let configured = Some(Box::new(Configured { feedback: Some(feedback.permille), ..Configured::default() }));
        let seen = Observation { configured, ..who.observation() };
        self.count(&seen, &self.observer.config, None);
        true
    }
}

fn slot(number: u64) -> String {
    format!("gaugeway.answers.{number}")
}
