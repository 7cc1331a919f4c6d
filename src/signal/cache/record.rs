//! The calls of conversations that are remembered until the next call of the same conversation.
//!
//! The host stores them for all workers in a fixed number of buckets with [`WAYS`] records each. In a full bucket a new record
//! replaces one of the caller with the most records, and of those the oldest: a client with many conversations forgets its own first.
//! Memory: at most [`RECORD`] bytes per record. A record has hashes, counts and a clock reading, and no content of a conversation.

use core::cmp::Reverse;

use crate::draft::{MESSAGE_BLOCK, MessageHashes, Prefix, WINDOW};

/// Records of a bucket.
pub const WAYS: usize = 8;
/// Maximum length of a record, in bytes.
pub const RECORD: usize = FIXED + 2 * WINDOW;
const FIXED: usize = 2 * 8 + 11 * 4 + 1 + 2;
/// The version of the format. Buckets of another version of the plugin count as empty.
const FORM: u8 = 1;

/// A call of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Keyed hash of the caller and the conversation.
    pub key: u64,
    /// Part of the keyed hash of the caller.
    pub caller: u32,
    /// When the call began, in nanoseconds since 1970.
    pub started: u64,
    /// Hash of the provider and the requested model.
    pub model: u32,
    /// Hash of the model that answered. 0 if the answer did not name it.
    pub answered_by: u32,
    /// As [`Prefix::parameters`].
    pub parameters: u32,
    /// As [`Prefix::tools`].
    pub tools: u32,
    /// As [`Prefix::system`].
    pub system: u32,
    /// All input tokens.
    pub input: u32,
    /// The input tokens that were in the cache after the call, as far as it is known.
    pub cached: u32,
    /// As [`Prefix::kept_for`].
    pub kept_for: u32,
    /// As [`Prefix::is_marked`].
    pub is_marked: bool,
    /// The call read from a cache.
    pub has_read: bool,
    /// Number of messages. 0 if the provider keeps them and the request does not show all.
    pub count: u32,
    /// Hash of all messages up to the last multiple of [`MESSAGE_BLOCK`]. 0 if there is none.
    pub block: u32,
    /// The hashes of the last messages.
    pub last: Vec<u16>,
}

impl Record {
    /// The prefix of a call. `shows_all`: the request has all messages of the conversation. The other fields have their default
    /// values.
    pub fn of(prefix: &Prefix, shows_all: bool) -> Self {
        let messages = prefix.messages();
        let shown = if shows_all { messages.count() } else { 0 };
        Record {
            parameters: prefix.parameters(),
            tools: prefix.tools(),
            system: prefix.system(),
            kept_for: prefix.kept_for(),
            is_marked: prefix.is_marked(),
            count: shown,
            block: messages.up_to(last_block(shown)).unwrap_or(0),
            last: (messages.first()..=shown).filter_map(|number| messages.get(number)).collect(),
            ..Record::default()
        }
    }

    /// The number of the first message that has a hash.
    pub fn first(&self) -> u32 {
        self.count.saturating_sub(self.last.len() as u32) + 1
    }

    /// The hash of a message, by its number from 1.
    pub fn get(&self, number: u32) -> Option<u16> {
        self.last.get(number.checked_sub(self.first())? as usize).copied()
    }

    /// Returns true if `messages` differ from those of the record in the last block that both have.
    pub fn differs_before(&self, messages: &MessageHashes) -> bool {
        messages.up_to(last_block(self.count)).is_some_and(|hash| hash != self.block)
    }

    fn bytes(&self, out: &mut Vec<u8>) {
        out.extend(self.key.to_le_bytes());
        out.extend(self.started.to_le_bytes());
        for number in self.numbers() {
            out.extend(number.to_le_bytes());
        }
        out.push(u8::from(self.is_marked) | u8::from(self.has_read) << 1);
        out.extend((self.last.len() as u16).to_le_bytes());
        self.last.iter().for_each(|hash| out.extend(hash.to_le_bytes()));
    }

    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let mut record = Record {
            key: u64::from_le_bytes(array(rest)?),
            started: u64::from_le_bytes(array(rest)?),
            ..Record::default()
        };
        let mut numbers = [0; 11];
        for number in &mut numbers {
            *number = u32::from_le_bytes(array(rest)?);
        }
        [
            record.caller,
            record.model,
            record.answered_by,
            record.parameters,
            record.tools,
            record.system,
            record.input,
            record.cached,
            record.kept_for,
            record.count,
            record.block,
        ] = numbers;
        let [flags] = array(rest)?;
        (record.is_marked, record.has_read) = (flags & 1 == 1, flags & 2 == 2);
        let length = usize::from(u16::from_le_bytes(array(rest)?));
        let (hashes, tail) = rest.split_at_checked(2 * length).filter(|_| length <= WINDOW)?;
        *rest = tail;
        record.last = hashes.as_chunks().0.iter().map(|hash| u16::from_le_bytes(*hash)).collect();
        Some(record)
    }

    fn numbers(&self) -> [u32; 11] {
        [
            self.caller,
            self.model,
            self.answered_by,
            self.parameters,
            self.tools,
            self.system,
            self.input,
            self.cached,
            self.kept_for,
            self.count,
            self.block,
        ]
    }
}

/// The records that share one key of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records(Vec<Record>);

impl Records {
    /// Reads the bytes that [`Records::bytes`] wrote. Any other bytes are an empty bucket.
    pub fn parse(bytes: &[u8]) -> Self {
        let Some((&FORM, mut rest)) = bytes.split_first() else { return Records::default() };
        let mut records = Vec::with_capacity(WAYS);
        while records.len() < WAYS
            && let Some(record) = Record::parse(&mut rest)
        {
            records.push(record);
        }
        Records(records)
    }

    /// The bytes that the host stores.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.0.iter().map(|record| FIXED + 2 * record.last.len()).sum::<usize>());
        out.push(FORM);
        self.0.iter().for_each(|record| record.bytes(&mut out));
        out
    }

    /// The records of a conversation.
    pub fn of(&self, key: u64) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(move |record| record.key == key)
    }

    /// Adds a record. It replaces the one of the conversation that began at `continued`, and one with the same messages.
    pub fn put(&mut self, record: Record, continued: u64) {
        let is_newer =
            |old: &Record| old.started == continued || (old.count, &old.last) == (record.count, &record.last);
        self.0.retain(|old| old.key != record.key || !is_newer(old));
        if self.0.len() >= WAYS {
            let share = |caller: u32| self.0.iter().chain([&record]).filter(|other| other.caller == caller).count();
            let rank = |one: &Record| (Reverse(share(one.caller)), one.started);
            if let Some((least, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| rank(one)) {
                self.0.swap_remove(least);
            }
        }
        self.0.push(record);
    }
}

fn last_block(count: u32) -> u32 {
    count / MESSAGE_BLOCK * MESSAGE_BLOCK
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*first)
}
