//! Tool calls that models have asked for, and the call of MCP that executes each of them.
//!
//! The host stores the calls for all workers in buckets, by the downstream address. A call stays until its result has gone to the model, or until
//! [`Wanted::wait`] is over. Memory: [`CALLS_OF_BUCKET`] calls of at most [`CALL`] bytes in a bucket.
//!
//! An identifier joins if the credential is the same, or name and arguments are: identifiers can be guessed. That of an item must look random
//! instead, because the call of a model may be a program that calls other tools. Without one, name and arguments must be equal, and only one call may fit: a doubt is [`JoinedBy::Ambiguous`]. A client may use one credential for the model and another one
//! for the tools. So without an equal credential, only calls of one caller may be open at the address.

use crate::json::is_random;
use crate::observation::{Text, clipped};
use crate::trace_context::{RunSpan, TraceContext};

/// Maximum number of calls in a bucket. A further one replaces the oldest.
pub const CALLS_OF_BUCKET: usize = 96;
/// Maximum length of a call, in bytes.
pub const CALL: usize = 10 * 8 + 1 + 4 + Closed::BYTES + 1 + NAME;
/// Maximum number of calls that an ambiguous call of MCP keeps. If more fit, it belongs to no run: a stream must not hold a copy of the bucket
/// for each of its operations.
pub const KEPT: usize = 4;
/// Maximum length of a kept name, in bytes.
const NAME: usize = 64;
/// The version of the format.
const FORM: u8 = 4;

/// A tool call of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskedCall {
    /// Keyed hash of the downstream address of the call to the model.
    pub peer: u64,
    /// Keyed hash of the caller.
    pub caller: u64,
    /// Hash of the identifier; 0 if it has none.
    pub id: u64,
    /// Hash of the identifier of its item; 0 if it has none.
    pub item: u64,
    /// Hash of the arguments.
    pub arguments: u64,
    /// Its key in the memory of calls, and a part of the hash of its conversation's beginning.
    pub key: u64,
    /// See `key`.
    pub beginning: u32,
    /// When the model asked for it, in nanoseconds since 1970.
    pub asked_at: u64,
    /// The calls of MCP for it so far.
    pub served: Served,
    /// Set once its result has gone to the model. A call of MCP that ended before the answer of the model may still find it.
    pub closed: Option<Closed>,
    /// Name of the tool as the model knows it.
    pub name: Text,
}

/// The end of a tool call: its result has gone to the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closed {
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// The span of the tool, if it is sent.
    pub place: Option<TraceContext>,
}

impl Closed {
    /// Length of its bytes.
    const BYTES: usize = 8 + 16 + 8;
    /// How long a call of MCP may find it, in nanoseconds: for some seconds, because workers look once per second.
    const KEPT: u64 = 5_000_000_000;

    fn write(closed: Option<Self>, out: &mut Vec<u8>) {
        let place = closed.and_then(|closed| closed.place);
        out.extend(closed.map_or(0, |closed| closed.at).to_le_bytes());
        out.extend(place.map_or([0; 16], |place| place.trace));
        out.extend(place.map_or([0; 8], |place| place.span));
    }

    fn read(rest: &mut &[u8]) -> Option<Option<Self>> {
        let at = number(rest)?;
        let (trace, tail) = rest.split_first_chunk()?;
        let (span, tail) = tail.split_first_chunk()?;
        *rest = tail;
        let place = TraceContext { trace: *trace, span: *span, sampled: true };
        let place = Some(place).filter(|place| place.span != [0; 8]);
        Some((at != 0).then_some(Closed { at, place }))
    }
}

/// The calls of MCP for one tool call, and the time while they were open. A program may make several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    /// Its length in nanoseconds.
    pub nanos: u64,
    /// The tool failed in the call that ended last.
    pub failed: bool,
    /// When the first one began, in nanoseconds since 1970.
    from: u64,
    /// When the last one ended.
    until: u64,
}

impl Served {
    /// Adds a call of MCP. Calls are added as they end. The length is never too large. It is too small if a call began in a gap between two
    /// others that have ended before it.
    fn add(&mut self, from: u64, until: u64) {
        if self.nanos == 0 {
            (self.from, self.until) = (from, from);
        }
        if from <= self.from && until >= self.until {
            self.nanos = until.saturating_sub(from);
        } else {
            let (before, after) = (until.min(self.from), from.max(self.until));
            let added = before.saturating_sub(from).saturating_add(until.saturating_sub(after));
            self.nanos = self.nanos.saturating_add(added);
        }
        (self.from, self.until) = (self.from.min(from), self.until.max(until));
    }
}

/// A call of MCP whose origin is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// Keyed hash of its downstream address.
    pub peer: u64,
    /// Keyed hash of its caller.
    pub caller: u64,
    /// Hash of the identifier of the model's call; 0 if the client does not send it.
    pub call: u64,
    /// Hash of the identifier of the item that is the model's call; 0 if the client does not send it.
    pub item: u64,
    /// Hash of the arguments.
    pub arguments: u64,
    /// Name of the tool as the server knows it.
    pub tool: &'w str,
    /// When it began, in nanoseconds since 1970.
    pub now: u64,
    /// How long a call waits to be executed, in nanoseconds.
    pub wait: u64,
    /// The call of MCP has ended already. Only identifiers join then, also with calls whose results have gone to the model.
    pub has_ended: bool,
}

/// How a call of MCP was joined with the model's call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JoinedBy {
    /// By the identifier of the model's call, or of its item.
    Id,
    /// By the caller, the name and the arguments.
    Arguments,
    /// Several calls of models fit, and nothing tells which it is.
    Ambiguous,
}

impl JoinedBy {
    /// The value of the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            JoinedBy::Id => "id",
            JoinedBy::Arguments => "arguments",
            JoinedBy::Ambiguous => "ambiguous",
        }
    }
}

/// The calls that share one key of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskedBucket {
    calls: Vec<AskedCall>,
    /// When a call was replaced that may still have waited, in nanoseconds since 1970. 0 if never.
    replaced_at: u64,
}

impl AskedBucket {
    /// Reads the bytes that [`AskedBucket::bytes`] wrote. Any other bytes are an empty bucket.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut bucket = AskedBucket::default();
        let Some((&FORM, mut rest)) = bytes.split_first() else { return bucket };
        bucket.replaced_at = number(&mut rest).unwrap_or_default();
        while bucket.calls.len() < CALLS_OF_BUCKET
            && let Some(call) = AskedCall::read(&mut rest)
        {
            bucket.calls.push(call);
        }
        bucket
    }

    /// The bytes that the host stores.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![FORM];
        out.extend(self.replaced_at.to_le_bytes());
        self.calls.iter().for_each(|call| call.write(&mut out));
        out
    }

    /// Adds a call. Forgets those that have waited for `wait` nanoseconds.
    pub fn put(&mut self, call: AskedCall, wait: u64) {
        let now = call.asked_at;
        self.calls.retain(|other| other.is_kept(now, wait) && (other.key, other.id) != (call.key, call.id));
        if self.calls.len() >= CALLS_OF_BUCKET {
            let closed = self.calls.iter().position(|call| call.closed.is_some());
            self.calls.remove(closed.unwrap_or(0));
            if closed.is_none() {
                self.replaced_at = now;
            }
        }
        self.calls.push(call);
    }

    /// Closes and returns the call with this identifier, whose result goes to the model at this time. `run` is the span of its run, if that is sent.
    pub fn close(&mut self, peer: u64, caller: u64, id: u64, now: u64, run: Option<RunSpan>) -> Option<AskedCall> {
        let is_it =
            |call: &&mut AskedCall| (call.peer, call.caller, call.id) == (peer, caller, id) && call.closed.is_none();
        let call = self.calls.iter_mut().find(is_it)?;
        let place = run.map(|run| TraceContext { span: run.tool(call.asked_at, call.id), ..run.context() });
        call.closed = Some(Closed { at: now, place });
        Some(call.clone())
    }

    /// Adds a call of MCP to the call that asked for it: its time in nanoseconds since 1970, and if the tool failed. It may have begun before the
    /// answer of the model had ended: only the time from then on counts.
    pub fn serve(&mut self, asked: &AskedCall, from: u64, until: u64, failed: bool) -> Option<()> {
        let call = self.calls.iter_mut().find(|call| (call.key, call.id) == (asked.key, asked.id))?;
        if call.closed.is_some() {
            return None;
        }
        call.served.failed = failed;
        if until > call.asked_at {
            call.served.add(from.max(call.asked_at), until);
        }
        Some(())
    }

    /// The calls that a call of MCP may execute: one, unless it is ambiguous. None if no call fits.
    pub fn find(&self, wanted: &Wanted<'_>) -> Option<(JoinedBy, Vec<AskedCall>)> {
        let may_fit = |call: &AskedCall| match call.closed {
            Some(closed) => wanted.has_ended && closed.at.saturating_add(Closed::KEPT) >= wanted.now,
            None => true,
        };
        let is_open =
            |call: &&AskedCall| call.peer == wanted.peer && wanted.may_execute(call.asked_at) && may_fit(call);
        let open = self.calls.iter().filter(is_open);
        let open: Vec<_> = open.collect();
        let own = |call: &&AskedCall| call.caller == wanted.caller;
        let has_own = open.iter().copied().any(|call| own(&call));
        let is_equal = |call: &AskedCall| call.arguments == wanted.arguments && is_called(&call.name, wanted.tool);
        let has_id = |call: &AskedCall| wanted.call != 0 && call.id == wanted.call;
        let has_item = |call: &AskedCall| wanted.item != 0 && call.item == wanted.item;
        let is_known = open.iter().copied().any(has_id);
        let fits = |call: &&AskedCall| match (wanted.call, wanted.item) {
            (0, 0) if wanted.has_ended => false,
            (0, 0) => is_equal(call),
            _ if is_known => has_id(call) && (own(call) || is_equal(call)),
            // The call of a program that the model has written has an identifier of its own.
            _ => has_item(call) && (own(call) || is_random(wanted.item)),
        };
        let found: Vec<_> = open.iter().copied().filter(fits).filter(|call| !has_own || own(call)).collect();
        let first = found.first()?;
        let is_one_caller = has_own || open.iter().all(|call| call.caller == first.caller);
        let by_id = (wanted.call, wanted.item) != (0, 0);
        let is_safe = by_id || is_one_caller && !wanted.may_execute(self.replaced_at);
        let how = match (found.len(), by_id) {
            (1, true) => JoinedBy::Id,
            (1, false) if is_safe => JoinedBy::Arguments,
            _ => JoinedBy::Ambiguous,
        };
        // Calls of several callers have nothing in common.
        let may_tell = is_safe && found.len() <= KEPT && found.iter().all(|call| call.caller == first.caller);
        Some((how, if may_tell { found.into_iter().cloned().collect() } else { Vec::new() }))
    }
}

impl Wanted<'_> {
    /// Returns true if a call of a model at this time may still wait to be executed.
    fn may_execute(&self, asked_at: u64) -> bool {
        asked_at != 0 && asked_at <= self.now && asked_at.saturating_add(self.wait) >= self.now
    }
}

impl AskedCall {
    /// Returns true if a call of MCP may still find it.
    fn is_kept(&self, now: u64, wait: u64) -> bool {
        let until = match self.closed {
            Some(closed) => closed.at.saturating_add(Closed::KEPT),
            None => self.asked_at.saturating_add(wait),
        };
        until >= now
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Served { nanos, failed, from, until } = self.served;
        for number in [self.peer, self.caller, self.id, self.item, self.arguments, self.key, self.asked_at] {
            out.extend(number.to_le_bytes());
        }
        [nanos, from, until].iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.push(u8::from(failed));
        out.extend(self.beginning.to_le_bytes());
        Closed::write(self.closed, out);
        let name = clipped(&self.name, NAME);
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut next = || number(rest);
        let [peer, caller, id, item, arguments] = [next()?, next()?, next()?, next()?, next()?];
        let [key, asked_at, nanos, from, until] = [next()?, next()?, next()?, next()?, next()?];
        let (failed, tail) = rest.split_first()?;
        let served = Served { nanos, failed: *failed != 0, from, until };
        let (beginning, mut tail) = tail.split_first_chunk()?;
        let closed = Closed::read(&mut tail)?;
        let (length, tail) = tail.split_first()?;
        let (name, tail) = tail.split_at_checked(usize::from(*length))?;
        *rest = tail;
        let name = core::str::from_utf8(name).ok()?.into();
        let beginning = u32::from_le_bytes(*beginning);
        Some(AskedCall { peer, caller, id, item, arguments, key, beginning, asked_at, served, closed, name })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_le_bytes(*first))
}

/// Returns true if a model calls the server's tool by this name: by its own, or with the server's name before it. Clients replace
/// characters that models do not accept.
fn is_called(name: &str, tool: &str) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() || byte == b'-' { byte } else { b'_' };
    let is_equal = |a: &[u8], b: &[u8]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(*a) == plain(*b));
    let (name, tool) = (name.as_bytes(), clipped(tool, NAME).as_bytes());
    let Some((before, end)) = name.len().checked_sub(tool.len()).and_then(|at| name.split_at_checked(at)) else {
        return false;
    };
    let is_separated = before.last().is_none_or(|byte| matches!(byte, b'_' | b'.' | b'-' | b'/'));
    !tool.is_empty() && is_separated && is_equal(end, tool)
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
