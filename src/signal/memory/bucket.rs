//! The entries that share one key of the host.

use core::cmp::Reverse;

use super::Pending;
use crate::trace_context::RunSpan;

/// Entries of a bucket. With this number nearly every call finds room until the slots are two thirds full.
pub const WAYS: usize = 32;
/// The version of the format. Buckets of another version of the plugin count as empty.
const FORM: u8 = 4;

/// The entries that share one key of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket(Vec<Pending>);

impl Bucket {
    /// Reads the bytes that [`Bucket::bytes`] wrote. Any other bytes are an empty bucket.
    pub fn parse(bytes: &[u8]) -> Self {
        let Some((&FORM, mut rest)) = bytes.split_first() else { return Bucket::default() };
        let mut entries = Vec::with_capacity(WAYS);
        while entries.len() < WAYS
            && let Some(entry) = Pending::read(&mut rest)
        {
            entries.push(entry);
        }
        Bucket(entries)
    }

    /// Returns false if the bytes of a bucket have no entry of the call. It is cheaper than to parse them.
    pub fn may_have(bytes: &[u8], call: u64) -> bool {
        let call = call.to_le_bytes();
        let [first, ..] = call;
        memchr::memchr_iter(first, bytes).any(|at| bytes.get(at..).is_some_and(|rest| rest.starts_with(&call)))
    }

    /// The bytes that the host stores.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.0.len() * 128);
        out.push(FORM);
        self.0.iter().for_each(|entry| entry.write(&mut out));
        out
    }

    /// Adds an entry. It replaces the entry of the same call. In a full bucket it replaces one whose run does not wait; else one of
    /// the caller that has the most entries with the new one; of several, the oldest. An entry that does not wait replaces no other.
    pub fn put(&mut self, entry: Pending) {
        self.0.retain(|other| (other.call, other.beginning) != (entry.call, entry.beginning));
        if self.0.len() >= WAYS {
            // An entry that waits for nothing itself does not replace one that does.
            if !entry.waits() && self.0.iter().all(Pending::waits) {
                return;
            }
            let all = || self.0.iter().chain([&entry]).filter(|other| other.waits());
            let share = |one: &Pending| all().filter(|other| other.caller == one.caller).count();
            let rank = |one: &Pending| (one.waits(), Reverse(share(one)), one.called_at);
            if let Some((least, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| rank(one)) {
                self.0.swap_remove(least);
            }
        }
        self.0.push(entry);
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of a call in a conversation with this beginning.
    pub fn find(&self, call: u64, beginning: u32) -> Option<&Pending> {
        self.position(call, beginning).and_then(|at| self.0.get(at))
    }

    /// Removes and returns the entry of a call in a conversation with this beginning.
    pub fn take(&mut self, call: u64, beginning: u32) -> Option<Pending> {
        self.position(call, beginning).map(|at| self.0.swap_remove(at))
    }

    /// The position of an entry. One of the same conversation comes before one whose identifier alone is equal.
    fn position(&self, call: u64, beginning: u32) -> Option<usize> {
        let exact = self.0.iter().position(|entry| entry.call == call && entry.beginning == beginning);
        exact.or_else(|| self.0.iter().position(|entry| entry.is_of(call, beginning)))
    }

    /// Returns true if the run still waits for the result of a call made at `called_at`.
    pub fn waits(&self, call: u64, called_at: u64) -> bool {
        self.0.iter().any(|entry| entry.call == call && entry.called_at == called_at && entry.waits())
    }

    /// Marks the run of a call made at `called_at` as ended, and returns the entry. Returns None if it does not wait for the result.
    pub fn close(&mut self, call: u64, called_at: u64) -> Option<Pending> {
        let entry = self.waiting(call, called_at)?;
        entry.run_has_ended = true;
        Some(entry.clone())
    }

    /// Marks that the conversation of a call made at `called_at` has gone on without the result. Returns None if that is known, or if
    /// the run does not wait for the result.
    pub fn mark_left(&mut self, call: u64, called_at: u64) -> Option<()> {
        let entry = self.waiting(call, called_at).filter(|entry| !entry.is_left)?;
        entry.is_left = true;
        Some(())
    }

    fn waiting(&mut self, call: u64, called_at: u64) -> Option<&mut Pending> {
        self.0.iter_mut().find(|entry| entry.call == call && entry.called_at == called_at && entry.waits())
    }

    /// Adds the span of a call's run. Returns None if the call is not remembered.
    pub fn trace(&mut self, call: u64, beginning: u32, run: RunSpan) -> Option<()> {
        let at = self.position(call, beginning)?;
        self.0.get_mut(at)?.run = Some(run);
        Some(())
    }

    /// Marks the run of a call as continued without its result. Returns None if it does not wait for the result.
    pub fn leave(&mut self, call: u64, called_at: u64) -> Option<()> {
        let entry = self.waiting(call, called_at)?;
        entry.has_continued = true;
        Some(())
    }
}
