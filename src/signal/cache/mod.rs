//! The cause of a loss of the provider's prompt cache: the previous call of the conversation is remembered as hashes, and compared
//! with the next one.
//!
//! Providers cache the prefix of a prompt in the order tools, system prompt, messages, for one model and some parameters. The first part
//! that changed is the cause. If nothing changed, the provider may not have kept the prefix, or it was too short to be cached.
//!
//! The loss is an estimate: what the cache had after the previous call, but at most this call's input, minus what this call read from
//! the cache. What the cache had is the previous call's input, or what the call read and wrote if the provider reports both. There
//! is no loss if the provider does not report what this call read. [`rules`] has what differs between providers.

mod record;
mod rules;
#[cfg(test)]
mod tests;

use crate::draft::{MessageHashes, Prefix};
use crate::observation::{CacheBreak, CacheBreakCause};

pub use record::{RECORD, Record, Records, WAYS};
pub use rules::{CacheRules, cache_rules};

/// A request that may continue a remembered call.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The prefix of the request.
    pub prefix: &'a Prefix,
    /// Hash of the provider and the requested model.
    pub model: u32,
    /// True if the request has all messages of the conversation. Otherwise the provider has kept those before.
    pub shows_all: bool,
}

/// The facts of an answer about the cache.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When the call began, in nanoseconds since 1970.
    pub started: u64,
    /// Hash of the model that answered. 0 if the answer does not name it.
    pub model: u32,
    /// All input tokens.
    pub input: Option<u64>,
    /// The input tokens that were read from a cache.
    pub read: Option<u64>,
}

/// A request and the call that it continues.
#[derive(Clone, Debug)]
pub struct Comparison {
    previous: Record,
    /// The first part that differs, and the number of the message if it is one.
    change: Option<(CacheBreakCause, Option<u32>)>,
}

/// The messages of a request, compared with those of a remembered call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Messages {
    /// The request begins with the messages of the call.
    Continued,
    /// The request continues the call, but a message changed or is missing: the first one, if its number is known.
    Changed(Option<u32>),
    /// The request does not continue the call: another branch of the conversation.
    Other,
}

impl Comparison {
    /// Compares a request with the call that it continues. Of several branches of a conversation this is the longest that the request
    /// begins with, else the latest that it changes. None if it continues none.
    pub fn find<'r>(records: impl Iterator<Item = &'r Record>, asked: &Asked<'_>) -> Option<Self> {
        let compared = records.map(|record| (record, compare(record, asked)));
        let continued = compared.filter(|(_, messages)| *messages != Messages::Other);
        let rank = |record: &Record, messages| match messages {
            Messages::Continued => (true, record.count, record.started),
            _ => (false, 0, record.started),
        };
        let (record, messages) = continued.max_by_key(|(record, messages)| rank(record, *messages))?;
        let prefix = asked.prefix;
        let lacks_marks = record.is_marked && !prefix.is_marked();
        let change = match messages {
            _ if record.model != asked.model => Some((CacheBreakCause::Model, None)),
            _ if record.parameters != prefix.parameters() || lacks_marks => Some((CacheBreakCause::Parameters, None)),
            _ if record.tools != prefix.tools() => Some((CacheBreakCause::Tools, None)),
            _ if record.system != prefix.system() => Some((CacheBreakCause::System, None)),
            Messages::Changed(number) => Some((CacheBreakCause::Message, number)),
            _ => None,
        };
        let previous = Record { last: Vec::new(), ..record.clone() };
        Some(Comparison { previous, change })
    }

    /// When the call began that the request continues.
    pub fn continued(&self) -> u64 {
        self.previous.started
    }

    /// The loss, without its cost. None if the cache had as much as it could.
    pub fn judge(&self, answered: &Answered, rules: &CacheRules) -> Option<CacheBreak> {
        let previous = &self.previous;
        let read = answered.read.or(Some(0).filter(|_| rules.omits_zero && previous.has_read))?;
        let is_cached = if rules.needs_marks { previous.cached > 0 || !previous.is_marked } else { previous.has_read };
        let is_short = !is_cached && u64::from(previous.input) < rules.minimum;
        let had = if is_short { previous.input } else { previous.cached };
        let lost_tokens = u64::from(had).min(answered.input?).saturating_sub(read);
        if lost_tokens <= rules.tolerance {
            return None;
        }
        let has_other_model =
            ![previous.answered_by, answered.model].contains(&0) && previous.answered_by != answered.model;
        let kept_for = if previous.kept_for > 0 { Some(previous.kept_for) } else { rules.kept_for };
        let unused = answered.started.saturating_sub(previous.started) / 1_000_000_000;
        let (cause, message) = match self.change {
            _ if is_short => (CacheBreakCause::BelowMinimum, None),
            _ if has_other_model => (CacheBreakCause::Model, None),
            Some(change) => change,
            None if kept_for.is_some_and(|seconds| unused > u64::from(seconds)) => (CacheBreakCause::Expired, None),
            None => (CacheBreakCause::Unknown, None),
        };
        Some(CacheBreak { cause, message, lost_tokens, lost_nanousd: None })
    }
}

/// Compares the messages of a request with those of a remembered call.
///
/// A request whose messages differ continues the call only if something of the call follows the difference: a later message at its
/// place, or the last two messages at any place, or if the difference is the last message and the request goes on after it. Otherwise it
/// is another branch: a user went back and wrote something else, or two conversations begin alike.
fn compare(record: &Record, asked: &Asked<'_>) -> Messages {
    let messages = asked.prefix.messages();
    if !asked.shows_all || record.count == 0 {
        return Messages::Continued;
    }
    let (first, shared) = (record.first().max(messages.first()), record.count.min(messages.count()));
    let is_equal = |number: &u32| record.get(*number) == messages.get(*number);
    match (first..=shared).find(|number| !is_equal(number)) {
        // A message before the first known one may have changed too.
        Some(number) => {
            let is_known = number > first || first == 1;
            let continues = (number + 1..=shared).any(|later| is_equal(&later))
                || number == record.count && messages.count() > record.count
                || has_end_of(record, messages);
            if continues { Messages::Changed(Some(number).filter(|_| is_known)) } else { Messages::Other }
        }
        None if messages.count() < record.count => Messages::Other,
        None if record.differs_before(messages) => Messages::Changed(None),
        None => Messages::Continued,
    }
}

/// Returns true if the request has the last two messages of the call in a row, at any place.
fn has_end_of(record: &Record, messages: &MessageHashes) -> bool {
    let end = [record.get(record.count.saturating_sub(1)), record.get(record.count)];
    let is_end = |number: u32| [messages.get(number - 1), messages.get(number)] == end;
    !end.contains(&None) && (messages.first() + 1..=messages.count()).any(is_end)
}
