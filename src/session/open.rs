//! The responses of a WebSocket that have not ended: to which of them a message belongs, and when they begin and end.

use super::message::Goal;
use super::{SessionEvent, Told};
use crate::budget::Side;
use crate::exchange::{End, Exchange, Template, Unread};
use crate::observation::FinishReason;
use crate::provider::{Dialect, MessagePart, Notice};

/// Maximum number of responses that are read at a time. Others are counted, and their messages are not read.
pub const OPEN: usize = 16;
/// Maximum number of responses that are known at a time. Beyond it, the session is not read any more.
const KNOWN: usize = 32;
/// Maximum number of responses that begin with the bytes of one callback and are read. It bounds the work of a callback.
const AT_ONCE: usize = 64;

/// The progress of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The client adds to the request.
    Gathering,
    /// The client waits for it.
    Asked,
    /// The server has sent an event of it.
    Answering,
}

/// A response that has not ended.
struct OpenResponse {
    number: u32,
    stage: Stage,
    /// None if the response is not read.
    exchange: Option<Box<Exchange>>,
    lane: u64,
    response: u64,
    item: u64,
    event: u64,
}

/// The responses that have not ended, in the order of their requests.
pub(super) struct OpenResponses {
    dialect: &'static Dialect,
    list: Vec<OpenResponse>,
    next_number: u32,
    /// True if the client has named a lane.
    has_lanes: bool,
    /// The lane whose next response begins without a request.
    going_on: Option<u64>,
    /// When the user's speech ended, in nanoseconds. 0 if a response has begun since.
    prompted: u64,
    /// The last start of a response. No two have the same, because identifiers of spans depend on it.
    last_start: u64,
    /// Number of responses that may begin and be read until [`OpenResponses::allow`] is called again.
    left: usize,
    /// True if there were more responses than can be known.
    is_lost: bool,
}

impl OpenResponses {
    pub fn new(dialect: &'static Dialect) -> Self {
        OpenResponses {
            dialect,
            list: Vec::new(),
            next_number: 0,
            has_lanes: false,
            going_on: None,
            prompted: 0,
            last_start: 0,
            left: AT_ONCE,
            is_lost: false,
        }
    }

    /// Maximum memory of the list, in bytes. Responses that are read have reserved their own.
    pub const BOUND: usize = 2 * KNOWN * size_of::<OpenResponse>();

    /// Allows more responses to begin. Called for each callback of the host.
    pub fn allow(&mut self) {
        self.left = AT_ONCE;
    }

    /// Returns true if nothing more can be read.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Stops reading: messages can no longer be told apart, or there is no memory for them. Nobody knows how the open responses end.
    pub fn lose(&mut self, unread: Unread, tell: Told<'_>) {
        self.is_lost = true;
        self.list = Vec::new();
        tell(SessionEvent::Unread(unread));
    }

    /// Returns true if the notice does not tell yet to which response the message belongs.
    pub fn needs_more(&self, side: Side, notice: &Notice) -> bool {
        let is_one_of_many = self.has_lanes || self.list.len() > 1;
        match notice.part {
            None => true,
            Some(MessagePart::Failure) => self.dialect.has_other_failures || self.has_lanes && notice.lane == 0,
            Some(MessagePart::Begin) if !self.dialect.names_responses => false,
            Some(MessagePart::Begin) => notice.response == 0 || self.has_lanes && notice.lane == 0,
            Some(MessagePart::Event | MessagePart::End) if side == Side::Response && is_one_of_many => {
                self.lane(notice) == 0 && !self.list.iter().any(|open| is(open.response, notice.response))
            }
            Some(_) => false,
        }
    }

    /// The response that a message belongs to. Begins it if the message does.
    pub fn find(&mut self, template: &Template, side: Side, notice: &Notice, now: u64, tell: Told<'_>) -> Option<u32> {
        let part = notice.part?;
        let at = match (side, part) {
            (Side::Request, MessagePart::Request | MessagePart::Addition) => {
                let gathering = self.position(|open| open.stage == Stage::Gathering);
                Some(gathering.or_else(|| self.open(template, now, tell))?)
            }
            (Side::Response, MessagePart::Begin) => self.begun(template, notice, now, tell),
            (Side::Response, MessagePart::Event | MessagePart::End) => self.answered(notice),
            (Side::Response, MessagePart::Failure) => self.failed(notice),
            (Side::Response, MessagePart::Aside) => {
                let at = self.open(template, now, tell)?;
                let start = self.next_start(now);
                if let Some(exchange) = self.exchange(at) {
                    exchange.start_aside(template, "transcription", start);
                }
                Some(at)
            }
            _ => None,
        };
        self.list.get(at?).map(|open| open.number)
    }

    /// Bytes of a message that belongs to the response with this number.
    pub fn read(&mut self, number: u32, side: Side, bytes: &[u8], now: u64) {
        let Some(open) = self.list.iter_mut().find(|open| open.number == number) else { return };
        if let Some(exchange) = open.exchange.as_mut().filter(|_| !bytes.is_empty()) {
            match side {
                Side::Request => exchange.request_body(bytes),
                Side::Response => exchange.answer_message(bytes, now),
            }
        }
    }

    /// A message ends. `goal` is the response that has read it.
    pub fn end_message(
        &mut self,
        template: &mut Template,
        side: Side,
        goal: Goal,
        notice: Notice,
        now: u64,
        tell: Told<'_>,
    ) {
        if let Goal::Response(number) = goal {
            let Some(at) = self.position(|open| open.number == number) else { return };
            match side {
                Side::Request => self.end_request_message(template, at, &notice, now, tell),
                Side::Response => self.end_answer_message(template, at, &notice, now, tell),
            }
            return;
        }
        match notice.part {
            Some(MessagePart::Prompt) => self.prompted = now,
            Some(MessagePart::Settings) => {
                let Notice { model, transcriber, tools, .. } = notice;
                match side {
                    // The path may name the model.
                    Side::Request => template.request_model = template.request_model.take().or(model),
                    Side::Response => template.response_model = model.or(template.response_model.take()),
                }
                template.transcriber = transcriber.or(template.transcriber.take());
                template.tools = if tools > 0 { tools } else { template.tools };
            }
            _ => {}
        }
    }

    /// The connection has ended.
    pub fn close(&mut self, template: &mut Template, end: End, now: u64, tell: Told<'_>) {
        while let Some(open) = self.list.first() {
            match (open.stage, end) {
                (Stage::Gathering, _) => _ = self.list.remove(0),
                // The server has not answered.
                (Stage::Asked, End::Whole) => self.finish(template, 0, End::UpstreamReset, now, tell),
                _ => self.finish(template, 0, end, now, tell),
            }
        }
    }

    fn end_request_message(&mut self, template: &mut Template, at: usize, notice: &Notice, now: u64, tell: Told<'_>) {
        let Some(open) = self.list.get_mut(at) else { return };
        (open.lane, open.event) = (notice.lane, notice.event);
        self.has_lanes |= notice.lane != 0;
        if let Some(exchange) = &mut open.exchange {
            exchange.end_request_message();
        }
        if notice.part == Some(MessagePart::Request) || notice.asks {
            self.ask(template, at, now, tell);
        }
        // The result of a call ends the turn that has called.
        if !self.dialect.names_responses {
            let calls = |open: &OpenResponse| open.exchange.as_ref().is_some_and(|exchange| exchange.calls_tools());
            if let Some(at) = self.position(|open| open.stage == Stage::Answering && calls(open)) {
                self.finish(template, at, End::Whole, now, tell);
            }
        }
    }

    fn end_answer_message(&mut self, template: &mut Template, at: usize, notice: &Notice, now: u64, tell: Told<'_>) {
        let Some(open) = self.list.get_mut(at) else { return };
        open.stage = Stage::Answering;
        if notice.part == Some(MessagePart::Begin) {
            open.response = notice.response;
        }
        if notice.item != 0 {
            open.item = notice.item;
        }
        let is_last = matches!(notice.part, Some(MessagePart::Failure | MessagePart::Aside));
        let has_ended = match &mut open.exchange {
            Some(exchange) => exchange.end_answer_message(),
            None => notice.part == Some(MessagePart::End),
        };
        if has_ended || is_last {
            self.finish(template, at, End::Whole, now, tell);
        } else if let Some(exchange) = &mut open.exchange {
            tell(SessionEvent::Changed(exchange));
        }
    }

    /// The response that the server begins.
    fn begun(&mut self, template: &Template, notice: &Notice, now: u64, tell: Told<'_>) -> Option<usize> {
        let lane = self.lane(notice);
        if self.going_on == Some(lane) {
            self.going_on = None;
        } else if let Some(at) =
            self.position(|open| open.stage == Stage::Answering && open.response == notice.response)
        {
            return Some(at);
        } else if let Some(at) = self.position(|open| open.stage == Stage::Asked && open.lane == lane) {
            return Some(at);
        }
        let gathering = self.position(|open| open.stage == Stage::Gathering && self.dialect.goes_on_after.is_empty());
        let at = gathering.or_else(|| self.open(template, now, tell))?;
        if let Some(open) = self.list.get_mut(at) {
            open.lane = lane;
        }
        let start = if self.prompted > 0 { self.prompted } else { now };
        self.ask(template, at, start, tell);
        Some(at)
    }

    /// The response that an event belongs to.
    fn answered(&self, notice: &Notice) -> Option<usize> {
        let lane = self.lane(notice);
        let waits = |open: &OpenResponse| open.stage != Stage::Gathering;
        let named = self.position(|open| waits(open) && is(open.response, notice.response));
        // A response that goes on without a request comes before those that wait in its lane.
        let in_lane = |stage| self.position(|open| open.stage == stage && open.lane == lane);
        let in_lane = || in_lane(Stage::Answering).or_else(|| in_lane(Stage::Asked));
        let by_item = || self.position(|open| waits(open) && is(open.item, notice.item));
        named.or_else(by_item).or_else(in_lane)
    }

    /// The lane of a server's message. Without lanes of the client there is only one.
    fn lane(&self, notice: &Notice) -> u64 {
        if self.has_lanes { notice.lane } else { 0 }
    }

    /// The response that a failure ends.
    fn failed(&self, notice: &Notice) -> Option<usize> {
        if !self.dialect.has_other_failures {
            return self.answered(notice);
        }
        let is_about = |open: &OpenResponse| notice.event == 0 || open.event == notice.event;
        self.position(|open| open.stage == Stage::Asked && is_about(open))
    }

    /// Opens a response. One that is not read is counted. Returns its position, or None if there are too many.
    fn open(&mut self, template: &Template, now: u64, tell: Told<'_>) -> Option<usize> {
        if self.list.len() >= KNOWN {
            self.lose(Unread::Websocket, tell);
            return None;
        }
        let read = self.list.iter().filter(|open| open.exchange.is_some()).count();
        let opened = if read < OPEN && self.left > 0 { template.open(now) } else { Err(Unread::Budget) };
        self.left = self.left.saturating_sub(1);
        if let Err(unread) = opened {
            tell(SessionEvent::Unread(unread));
        }
        self.next_number = self.next_number.wrapping_add(1);
        let exchange = opened.ok().map(Box::new);
        let number = self.next_number;
        self.list.push(OpenResponse {
            number,
            stage: Stage::Gathering,
            exchange,
            lane: 0,
            response: 0,
            item: 0,
            event: 0,
        });
        Some(self.list.len() - 1)
    }

    /// The client waits for the response since `start`.
    fn ask(&mut self, template: &Template, at: usize, start: u64, tell: Told<'_>) {
        let start = self.next_start(start);
        self.prompted = 0;
        let Some(open) = self.list.get_mut(at) else { return };
        open.stage = Stage::Asked;
        if let Some(exchange) = &mut open.exchange {
            exchange.set_start(start);
            exchange.inherit(template);
            exchange.request_end(start);
            tell(SessionEvent::Changed(exchange));
        }
    }

    /// The time `now`, or later if another response has started then.
    fn next_start(&mut self, now: u64) -> u64 {
        self.last_start = now.max(self.last_start.saturating_add(1));
        self.last_start
    }

    /// The response has ended.
    fn finish(&mut self, template: &mut Template, at: usize, end: End, now: u64, tell: Told<'_>) {
        if at >= self.list.len() {
            return;
        }
        let OpenResponse { exchange, lane, .. } = self.list.remove(at);
        let Some(mut exchange) = exchange else { return };
        if let Some(model) = &template.response_model {
            exchange.answered_by_model(model);
        }
        exchange.finish(end, now);
        if !exchange.is_recognised() {
            return;
        }
        let seen = exchange.observation();
        let goes_on = |reason: &FinishReason| !reason.word.is_empty() && &*reason.word == self.dialect.goes_on_after;
        if seen.response.finish_reasons.iter().flatten().any(goes_on) {
            self.going_on = Some(lane);
        }
        template.add(seen);
        tell(SessionEvent::Changed(&mut exchange));
    }

    fn exchange(&mut self, at: usize) -> Option<&mut Exchange> {
        self.list.get_mut(at)?.exchange.as_deref_mut()
    }

    fn position(&self, is_it: impl Fn(&OpenResponse) -> bool) -> Option<usize> {
        self.list.iter().position(is_it)
    }
}

/// Returns true if both are the same identifier.
fn is(known: u64, named: u64) -> bool {
    named != 0 && known == named
}
