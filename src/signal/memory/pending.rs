//! The entry that is remembered of a tool call, or of a conversation that waits for something, and its bytes.

use crate::observation::{LoopState, Text};
use crate::trace_context::RunSpan;

/// Maximum length of an entry, in bytes.
pub const ENTRY: usize = FIXED + RUN + LOOPS + OTHERS * 8 + NAME;
/// Maximum number of calls of one answer that are remembered.
pub const CALLS: usize = 16;
/// Maximum length of a tool's name, in bytes. The limit of OpenAI and Anthropic is 64.
const NAME: usize = 128;
const FIXED: usize = 47;
const RUN: usize = 40;
const LOOPS: usize = LoopState::BYTES;
const OTHERS: usize = CALLS;

/// A tool call whose result is awaited. Or, under the key of a conversation, the tool calls or the failed request that the
/// conversation's next request is expected to continue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// Keyed hash of the caller and the call's identifier; or that of the caller and the conversation.
    pub call: u64,
    /// Part of the hash of the conversation's beginning. 0 if it is not known; then the call belongs to any conversation.
    pub beginning: u32,
    /// The identifier is long and random enough to tell the call from all others, whatever the conversation's beginning. The
    /// beginning changes if an agent hands over to another one, and if a client trims the history.
    pub is_unique: bool,
    /// Key of the first call of the same answer. Its entry says whether the run has continued.
    pub lead: u64,
    /// Keys of all calls of the answer. Only in the entry of a conversation.
    pub calls: Vec<u64>,
    /// Number of messages in the request that the calls answer. Only in the entry of a conversation.
    pub messages: u16,
    /// Part of the keyed hash of the caller.
    pub caller: u32,
    /// When the answer ended, or the request with the result failed, in nanoseconds since 1970.
    pub called_at: u64,
    /// Iteration of the run that made the call; 0 if it is unknown.
    pub iteration: u64,
    /// Hash of the call's arguments; 0 if it is unknown.
    pub arguments: u64,
    /// The repetitions of the run before the call's turn.
    pub loops: LoopState,
    /// The run is already counted as ended.
    pub run_has_ended: bool,
    /// Another result of the same answer has arrived, so the run has continued.
    pub has_continued: bool,
    /// The result has arrived in a request that failed. The client may send it again.
    pub has_failed_result: bool,
    /// The conversation has gone on without the result. The result may still arrive: it may have been another conversation that
    /// begins equally.
    pub is_left: bool,
    /// The server numbers its calls, so that a call of another conversation may have the same identifier.
    pub is_numbered: bool,
    /// Name of the tool.
    pub name: Text,
    /// The span of the run, if the plugin makes spans.
    pub run: Option<RunSpan>,
}

impl Pending {
    /// Returns true if the run waits for the result.
    pub fn waits(&self) -> bool {
        !self.run_has_ended && !self.has_continued
    }

    /// Returns true if a call with this key, of a conversation with this beginning, is the one of the entry.
    pub fn is_of(&self, call: u64, beginning: u32) -> bool {
        self.call == call && (self.is_unique || self.beginning == beginning || self.beginning == 0 || beginning == 0)
    }

    /// Writes the entry.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.call, self.lead, self.called_at, self.arguments] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.beginning.to_le_bytes());
        out.extend(self.caller.to_le_bytes());
        out.extend(u16::try_from(self.iteration).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(self.messages.to_le_bytes());
        let flags = [
            self.run_has_ended,
            self.has_continued,
            self.has_failed_result,
            self.is_unique,
            self.run.is_some(),
            self.loops != LoopState::default(),
            self.is_left,
            self.is_numbered,
        ];
        out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        let calls = self.calls.get(..self.calls.len().min(OTHERS)).unwrap_or_default();
        out.push(calls.len() as u8);
        let name = self.name.as_bytes().get(..self.name.len().min(NAME)).unwrap_or_default();
        out.push(name.len() as u8);
        calls.iter().for_each(|call| out.extend(call.to_le_bytes()));
        out.extend_from_slice(name);
        if let Some(run) = &self.run {
            out.extend(run.trace);
            out.extend(run.span);
            out.extend(run.parent);
            out.extend(run.start.to_le_bytes());
        }
        if self.loops != LoopState::default() {
            out.extend(self.loops.to_bytes());
        }
    }

    /// Reads the entry at the beginning of `rest` and moves on to the next one.
    pub(super) fn read(rest: &mut &[u8]) -> Option<Self> {
        let [call, lead, called_at, arguments] = [number(rest)?, number(rest)?, number(rest)?, number(rest)?];
        let beginning = u32::from_le_bytes(array(rest)?);
        let caller = u32::from_le_bytes(array(rest)?);
        let iteration = u64::from(u16::from_le_bytes(array(rest)?));
        let messages = u16::from_le_bytes(array(rest)?);
        let [flags, others, length] = array(rest)?;
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let calls = (0..others).map(|_| number(rest)).collect::<Option<Vec<_>>>()?;
        let (name, tail) = rest.split_at_checked(usize::from(length))?;
        *rest = tail;
        let run = match flag(4) {
            false => None,
            true => {
                Some(RunSpan { trace: array(rest)?, span: array(rest)?, parent: array(rest)?, start: number(rest)? })
            }
        };
        let loops = if flag(5) { LoopState::from_bytes(array(rest)?) } else { LoopState::default() };
        let name = core::str::from_utf8(name).unwrap_or_default().into();
        Some(Pending {
            call,
            beginning,
            is_unique: flag(3),
            lead,
            calls,
            messages,
            caller,
            called_at,
            iteration,
            arguments,
            loops,
            run_has_ended: flag(0),
            has_continued: flag(1),
            has_failed_result: flag(2),
            is_left: flag(6),
            is_numbered: flag(7),
            name,
            run,
        })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    array(rest).map(u64::from_le_bytes)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*first)
}
