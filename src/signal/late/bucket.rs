//! The entries that share one key of the host.

use core::ops::Range;

use super::Claim;
use crate::bytes::{MOST_RANGES, Ranges};

/// Number of buckets.
pub const BUCKETS: u64 = 128;
/// Entries of a bucket.
pub const WAYS: usize = 32;
/// The version of the format. Buckets of another version of the plugin count as empty.
const FORM: u8 = 1;

/// An answer or a file.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    key: u64,
    /// When the request that created it started, in nanoseconds since 1970. 0 if it is unknown.
    created_at: u64,
    /// The counted parts: byte positions of a file, or position 0 of an answer.
    counted: Ranges,
}

/// The entries that share one key of the host. The one that was used last is the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LateBucket(Vec<Entry>);

impl LateBucket {
    /// Reads the bytes that [`LateBucket::bytes`] wrote. Any other bytes are an empty bucket.
    pub fn parse(bytes: &[u8]) -> Self {
        let Some((&FORM, mut rest)) = bytes.split_first() else { return LateBucket::default() };
        let mut entries = Vec::new();
        while entries.len() < WAYS
            && let Some(entry) = Entry::read(&mut rest)
        {
            entries.push(entry);
        }
        LateBucket(entries)
    }

    /// The bytes that the host stores.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![FORM];
        for entry in &self.0 {
            out.extend(entry.key.to_le_bytes());
            out.extend(entry.created_at.to_le_bytes());
            out.push(entry.counted.iter().len() as u8);
            for range in entry.counted.iter() {
                out.extend(range.start.to_le_bytes());
                out.extend(range.end.to_le_bytes());
            }
        }
        out
    }

    /// A request at this time has created the answer with this key.
    pub fn create(&mut self, key: u64, at: u64) {
        self.entry(key).created_at = at;
    }

    /// Claims a range of what has this key.
    pub fn claim(&mut self, key: u64, range: Range<u64>) -> Claim {
        let entry = self.entry(key);
        let begins_line = entry.counted.ends_at(range.start);
        Claim { granted: entry.counted.add(range), begins_line, created_at: entry.created_at }
    }

    /// Gives back a claimed range that was not counted. An entry that says nothing is removed.
    pub fn release(&mut self, key: u64, range: &Range<u64>) {
        self.entry(key).counted.remove(range);
        self.0.pop_if(|last| last.counted.is_empty() && last.created_at == 0);
    }

    /// The entry of a key, as the last one.
    fn entry(&mut self, key: u64) -> &mut Entry {
        let known = self.0.iter().position(|entry| entry.key == key).map(|at| self.0.remove(at));
        if known.is_none() && self.0.len() >= WAYS {
            self.0.remove(0);
        }
        let last = self.0.len();
        self.0.push(known.unwrap_or(Entry { key, created_at: 0, counted: Ranges::default() }));
        #[expect(clippy::indexing_slicing, reason = "the entry has just been added")]
        &mut self.0[last]
    }
}

impl Entry {
    /// Reads the entry at the beginning of `rest` and moves on to the next one.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let (key, created_at) = (number(rest)?, number(rest)?);
        let (&count, tail) = rest.split_first().filter(|(count, _)| usize::from(**count) <= MOST_RANGES)?;
        *rest = tail;
        let mut counted = Ranges::default();
        for _ in 0..count {
            counted.add(number(rest)?..number(rest)?);
        }
        Some(Entry { key, created_at, counted })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_granted_once_with_the_time_of_its_creation() {
        let mut bucket = LateBucket::default();
        bucket.create(7, 1_000);
        let mut bucket = LateBucket::parse(&bucket.bytes());
        let first = bucket.claim(7, 0..1);
        assert_eq!((first.granted.is_empty(), first.created_at), (false, 1_000));
        let mut bucket = LateBucket::parse(&bucket.bytes());
        assert_eq!((bucket.claim(7, 0..1).granted.is_empty(), bucket.claim(8, 0..1).created_at), (true, 0));
    }

    #[test]
    fn the_entry_that_was_not_used_for_the_longest_time_is_replaced() {
        let mut bucket = LateBucket::default();
        (0..WAYS as u64).for_each(|key| _ = bucket.claim(key, 0..1));
        bucket.claim(0, 0..1);
        bucket.claim(99, 0..1);
        let mut bucket = LateBucket::parse(&bucket.bytes());
        assert!(bucket.claim(0, 0..1).granted.is_empty());
        assert!(!bucket.claim(1, 0..1).granted.is_empty());
    }

    #[test]
    fn a_line_begins_where_a_counted_range_ends() {
        let mut bucket = LateBucket::default();
        bucket.claim(7, 0..u64::MAX);
        bucket.release(7, &(120..u64::MAX));
        let mut bucket = LateBucket::parse(&bucket.bytes());
        assert!(bucket.clone().claim(7, 120..200).begins_line);
        assert!(!bucket.claim(7, 121..200).begins_line);
    }

    #[test]
    fn a_file_of_which_nothing_was_counted_leaves_no_entry() {
        let mut bucket = LateBucket::default();
        bucket.claim(7, 0..10);
        bucket.claim(8, 0..10);
        bucket.release(8, &(0..u64::MAX));
        assert_eq!(bucket.0.len(), 1);
        bucket.create(9, 1_000);
        bucket.release(9, &(0..u64::MAX));
        bucket.release(7, &(5..u64::MAX));
        assert_eq!(bucket.0.len(), 2);
    }

    #[test]
    fn other_bytes_are_an_empty_bucket() {
        let mut bucket = LateBucket::default();
        bucket.claim(7, 5..10);
        let bytes = bucket.bytes();
        for length in 0..bytes.len() {
            assert_eq!(LateBucket::parse(&bytes[..length]), LateBucket::default(), "{length}");
        }
        assert_eq!(LateBucket::parse(&[&[FORM], &[0xff; 60][..]].concat()), LateBucket::default());
    }
}
