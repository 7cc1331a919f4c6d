//! The prefix of a request as providers cache it: the tools, the system prompt, the messages, and the parameters that a cached prefix
//! depends on. Only hashes are kept. They are never reported.
//!
//! Bound: [`Prefix::BOUND`], whatever the size of the request.

use super::Draft;
use crate::bytes::mix::Mix;
use crate::json::Scalar;

/// Number of the last messages that have a hash of their own.
pub const WINDOW: usize = 256;
/// Number of messages after which the hash of all messages so far is kept.
pub const BLOCK: u32 = 64;
/// Number of such hashes: of the last 512 messages.
const BLOCKS: usize = 8;

/// The hashes of the prefix of a request.
#[derive(Clone)]
pub struct Prefix {
    tools: Mix,
    system: Mix,
    parameters: u64,
    messages: MessageHashes,
    message_is_open: bool,
    /// True after the system messages at the begin.
    system_has_ended: bool,
    shows_answer: bool,
    is_marked: bool,
    kept_for: u32,
}

impl Default for Prefix {
    fn default() -> Self {
        Prefix {
            tools: Mix::new(0),
            system: Mix::new(0),
            parameters: 0,
            messages: MessageHashes::default(),
            message_is_open: false,
            system_has_ended: false,
            shows_answer: false,
            is_marked: false,
            kept_for: 0,
        }
    }
}

impl Prefix {
    /// Memory of a prefix, in bytes.
    pub const BOUND: usize = size_of::<Prefix>() + 16;

    /// Hash of the offered tools as the request has them, without Anthropic's marks.
    pub fn tools(&self) -> u32 {
        short(self.tools.finish())
    }

    /// Hash of the system prompt: its texts outside of the messages, and the system messages before all others.
    pub fn system(&self) -> u32 {
        short(self.system.finish())
    }

    /// Hash of the parameters that a cached prefix depends on, without the model. Their order does not count.
    pub fn parameters(&self) -> u32 {
        short(Mix::new(0).number(self.parameters).finish())
    }

    /// The hashes of the messages.
    pub fn messages(&self) -> &MessageHashes {
        &self.messages
    }

    /// Returns true if there is a message of the model, so that the request continues a conversation.
    pub fn shows_answer(&self) -> bool {
        self.shows_answer
    }

    /// Returns true if the request marks what to cache.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// The longest time that the request asks to keep its prefix, in seconds. 0 if it names none.
    pub fn kept_for(&self) -> u32 {
        self.kept_for
    }

    /// A message begins.
    pub(super) fn message_opened(&mut self) {
        self.message_is_open = true;
    }

    /// The open message ends, if there is one. `role` is its letter in [`crate::text::transcript`], `hash` that of its strings.
    pub(super) fn message_closed(&mut self, role: u8, hash: u64) {
        if !core::mem::take(&mut self.message_is_open) {
            return;
        }
        let hash = Mix::new(u64::from(role)).number(hash).finish();
        self.shows_answer |= role == b'a';
        self.system_has_ended |= role != b's';
        if !self.system_has_ended {
            self.system = self.system.number(hash);
        }
        self.messages.push(hash);
    }

    /// The open message does not count.
    pub(super) fn message_dropped(&mut self) {
        self.message_is_open = false;
    }
}

/// The hashes of a list of messages. A message is known by its number, from 1.
#[derive(Clone)]
pub struct MessageHashes {
    count: u32,
    /// The message with the number `n` is at `(n - 1) % WINDOW`.
    last: [u16; WINDOW],
    all: Mix,
    /// Hashes of all messages up to a multiple of [`BLOCK`]. That of multiple `n` is at `n % BLOCKS`.
    blocks: [u32; BLOCKS],
}

impl Default for MessageHashes {
    fn default() -> Self {
        MessageHashes { count: 0, last: [0; WINDOW], all: Mix::new(0), blocks: [0; BLOCKS] }
    }
}

impl MessageHashes {
    /// Adds a message.
    pub fn push(&mut self, hash: u64) {
        if let Some(slot) = self.last.get_mut(self.count as usize % WINDOW) {
            *slot = short(hash) as u16;
        }
        self.count = self.count.saturating_add(1);
        self.all = self.all.number(hash);
        if let Some(slot) = self.blocks.get_mut((self.count / BLOCK) as usize % BLOCKS)
            && self.count.is_multiple_of(BLOCK)
        {
            *slot = short(self.all.finish());
        }
    }

    /// Number of messages.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The number of the first message that has a hash of its own.
    pub fn first(&self) -> u32 {
        self.count.saturating_sub(WINDOW as u32) + 1
    }

    /// The hash of a message. None if there is none.
    pub fn get(&self, number: u32) -> Option<u16> {
        let is_known = (self.first()..=self.count).contains(&number);
        self.last.get(number.wrapping_sub(1) as usize % WINDOW).copied().filter(|_| is_known)
    }

    /// The hash of all messages up to this number, which is a multiple of [`BLOCK`]. None if it is not known.
    pub fn up_to(&self, number: u32) -> Option<u32> {
        let (block, last) = (number / BLOCK, self.count / BLOCK);
        let is_known = block > 0 && block <= last && last - block < BLOCKS as u32;
        self.blocks.get(block as usize % BLOCKS).copied().filter(|_| is_known)
    }
}

/// 32 bits of a hash.
const fn short(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

impl Draft {
    /// Keeps the hashes of the request's prefix from now on, if there is memory.
    pub fn start_prefix(&mut self) {
        self.conversation.prefix = self.keeps(Prefix::BOUND).then(Box::default);
    }

    /// The hashes of the request's prefix are no longer needed.
    pub fn end_prefix(&mut self) {
        if self.conversation.prefix.take().is_some() {
            self.room.give(Prefix::BOUND);
        }
    }
}

/// Rules of the prefix.
impl Draft {
    /// Adds the hash of a part of the offered tools.
    pub fn tools_hashed(&mut self, hash: u64) {
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.tools = prefix.tools.number(hash);
        }
    }

    /// Adds the hash of a text of the system prompt that is not in a message.
    pub fn system_hashed(&mut self, hash: u64) {
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.system = prefix.system.number(hash);
        }
    }

    /// Adds the hash of a parameter that a cached prefix depends on.
    pub fn parameter_hashed(&mut self, hash: u64) {
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.parameters = prefix.parameters.wrapping_add(Mix::new(0).number(hash).finish());
        }
    }

    /// The request marks what to cache.
    pub fn prefix_marked(&mut self) {
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.is_marked = true;
        }
    }

    /// A time for which the request asks to keep its prefix: a number with `m` for minutes or `h` for hours. Of several the longest
    /// counts. Any other text names no time.
    pub fn prefix_kept_for(&mut self, value: Scalar<'_>) {
        let Scalar::Text(text) = value else { return };
        let units = [('m', 60), ('h', 3600)];
        let seconds = units
            .into_iter()
            .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(seconds));
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.kept_for = prefix.kept_for.max(seconds.unwrap_or(0));
        }
    }

    /// An item of the input ends that clients may leave out, such as the model's reasoning.
    pub fn reasoning_item_closed(&mut self) {
        if let Some(prefix) = &mut self.conversation.prefix {
            prefix.message_dropped();
        }
        self.message_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: u64) -> MessageHashes {
        let mut hashes = MessageHashes::default();
        (1..=count).for_each(|n| hashes.push(Mix::new(0).number(n).finish()));
        hashes
    }

    #[test]
    fn the_last_messages_have_their_own_hashes_and_blocks_those_of_all_before() {
        for count in [0, 1, 63, 64, 255, 256, 257, 700, 100_000] {
            let (seen, more) = (hashes(count), hashes(count + 100));
            let count = count as u32;
            assert_eq!((seen.count(), seen.get(0), seen.get(count + 1)), (count, None, None));
            let first = count.saturating_sub(255).max(1);
            assert_eq!(seen.first(), first);
            assert!(count < 257 || seen.get(first - 1).is_none());
            let shared = more.first().max(first)..=count;
            assert!(shared.clone().all(|n| seen.get(n).is_some() && seen.get(n) == more.get(n)), "{count}");
            let block = count / BLOCK * BLOCK;
            assert_eq!(seen.up_to(block).is_some(), block > 0);
            assert_eq!(seen.up_to(block), more.up_to(block), "{count}");
            assert_eq!(seen.up_to(block + BLOCK), None);
        }
    }

    #[test]
    fn the_longest_time_counts_and_other_words_name_none() {
        let mut draft = Draft::default();
        draft.start_prefix();
        for (word, seconds) in [("in_memory", 0), ("30m", 1800), ("5m", 1800), ("24h", 86_400), ("99999999h", 86_400)] {
            draft.prefix_kept_for(Scalar::Text(word));
            assert_eq!(draft.conversation.prefix().unwrap().kept_for(), seconds, "{word}");
        }
    }
}
