//! The message that is being read in one direction: its beginning, until it shows to which response the message belongs.

use crate::budget::Side;
use crate::json::{Documents, Program, Scanner};
use crate::provider::{Dialect, MessagePart, Notice};

/// Maximum number of bytes of a message that are held until it shows to which response it belongs.
pub const HELD: usize = 2048;

/// The reader of the bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Goal {
    /// There is no message, or no response reads it.
    #[default]
    Nothing,
    /// It is not known yet.
    Undecided,
    /// The response with this number.
    Response(u32),
}

/// Reads the messages of one direction. Between messages it has no memory on the heap.
#[derive(Default)]
pub(super) struct MessageReader {
    goal: Goal,
    notice: Notice,
    /// Reads the notice. None if the rest of the message says no more.
    scanner: Option<Box<Scanner>>,
    held: Vec<u8>,
}

impl MessageReader {
    /// Maximum memory on the heap during a message, in bytes.
    pub const BOUND: usize = HELD + size_of::<Scanner>() + Scanner::BOUND;

    /// A message begins.
    pub fn start(&mut self) {
        *self = MessageReader { goal: Goal::Undecided, ..MessageReader::default() };
    }

    /// Returns true if it is not known to which response the message belongs.
    pub fn is_undecided(&self) -> bool {
        self.goal == Goal::Undecided
    }

    /// Returns true if it is not known to which response the message belongs, and no byte of it was read.
    pub fn has_held_nothing(&self) -> bool {
        self.is_undecided() && self.held.is_empty()
    }

    /// Returns true if no more of the message may be held.
    pub fn is_full(&self) -> bool {
        self.held.len() >= HELD
    }

    /// The reader of the bytes of the message.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The notice so far.
    pub fn current(&self) -> &Notice {
        &self.notice
    }

    /// Searches the next bytes for the notice, and holds them. Returns the rest. One call passes at most one value, whatever the cuts: the
    /// caller decides after each.
    pub fn hold<'b>(&mut self, rules: Option<&[Program<Notice>; 2]>, side: Side, bytes: &'b [u8]) -> &'b [u8] {
        let room = HELD.saturating_sub(self.held.len()).max(1);
        let room = memchr::memchr(b',', bytes).map_or(bytes.len(), |comma| comma + 1).min(room);
        let (next, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.scanner.get_or_insert_with(|| Box::new(Scanner::new(Documents::Plain)));
        self.scan(rules, side, next);
        self.held.extend_from_slice(next);
        rest
    }

    /// Searches bytes that are not held.
    pub fn scan(&mut self, rules: Option<&[Program<Notice>; 2]>, side: Side, bytes: &[u8]) {
        let Some([of_client, of_server]) = rules else { return };
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(if side == Side::Request { of_client } else { of_server }, &mut self.notice, bytes);
        }
    }

    /// The part of the message: what its notice says, else the most likely one. Keeps it.
    pub fn part(&mut self, dialect: &Dialect, side: Side) -> MessagePart {
        let likely = if side == Side::Request { dialect.client_part } else { dialect.server_part };
        *self.notice.part.get_or_insert(likely)
    }

    /// The message has this part and belongs to this response. Returns the bytes that were held.
    pub fn decided(&mut self, part: MessagePart, response: Option<u32>) -> Vec<u8> {
        if !matches!(part, MessagePart::Settings | MessagePart::Addition | MessagePart::Request | MessagePart::Begin) {
            self.scanner = None;
        }
        self.goal = response.map_or(Goal::Nothing, Goal::Response);
        core::mem::take(&mut self.held)
    }

    /// The message ends. Returns what it was for, and its notice.
    pub fn end(&mut self) -> (Goal, Notice) {
        let MessageReader { goal, notice, .. } = core::mem::take(self);
        (goal, notice)
    }
}
