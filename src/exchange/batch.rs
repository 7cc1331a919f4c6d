//! Files with the results of a batch. Each line counts once, whoever downloads it and however often. The shell claims ranges of the
//! file that no exchange has counted yet, and releases what this exchange did not count.

use core::ops::Range;
use std::rc::Rc;

use super::cost::Pricing;
use super::{Exchange, ExchangePhase, Head};
use crate::budget::{Share, Side};
use crate::bytes::Ranges;
use crate::draft::{ResultLines, ResultReader};
use crate::framing::Body;
use crate::observation::BatchResults;
use crate::provider::Results;

/// A range of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRange {
    /// Keyed hash of the host and the file's identifier.
    pub key: u64,
    /// Positions of decoded bytes.
    pub range: Range<u64>,
}

impl Exchange {
    /// The reader of a file. None if it has no results, or if it cannot be told where its lines are: in an encoded part of a file, or in
    /// several parts.
    pub(super) fn results_body(&mut self, head: Head<'_>, status: Option<u16>) -> Option<Body> {
        let encoding = head.whole("content-encoding");
        let is_encoded = !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity");
        let range = match status {
            Some(200) => 0..head.text("content-length").parse().ok().filter(|_| !is_encoded).unwrap_or(u64::MAX),
            Some(206) if !is_encoded => content_range(head.text("content-range"))?,
            _ => return None,
        };
        let share = Share::new(&self.observer.budget, Side::Response, self.address);
        let body = Body::results(encoding, share)?;
        self.read_results(ResultLines::of(range));
        Some(body)
    }

    /// Prepares for results. A list of them counts as a whole: it is one position.
    pub(super) fn read_results(&mut self, mut lines: ResultLines) {
        let observer = Rc::clone(&self.observer);
        let price =
            move |draft: &_| Pricing { draft, prices: &observer.config.prices, usage_expected: true }.cost(None);
        if self.observer.callers.is_none() {
            lines.counted.add(lines.range.clone());
        }
        self.draft.read_results(ResultReader::new(Box::new(price), lines));
    }

    /// The range that the shell is to claim before the next bytes of the body are read. None if it is claimed, or if the response has
    /// no results.
    pub fn wanted_range(&self) -> Option<FileRange> {
        let ExchangePhase::Response { body: Some(_), .. } = self.phase else { return None };
        let lines = &self.draft.results.as_ref()?.lines;
        let is_wanted = lines.position < lines.range.end && !lines.counted.contains(lines.position);
        Some(FileRange { key: self.file_key().filter(|_| is_wanted)?, range: lines.position..lines.range.end })
    }

    /// Nobody has counted this part of the claimed range. `begins_line`: a line begins at the start of the range.
    pub fn grant(&mut self, part: &Ranges, begins_line: bool) {
        let Some(reader) = &mut self.draft.results else { return };
        part.iter().for_each(|range| _ = reader.lines.counted.add(range.clone()));
        if begins_line && reader.lines.position == reader.lines.range.start {
            reader.lines.skips_line = false;
        }
    }

    /// Takes the ranges that were granted and not counted, after the end.
    pub fn uncounted_ranges(&mut self) -> Vec<FileRange> {
        let (Some(key), Some(reader)) = (self.file_key(), &mut self.draft.results) else { return Vec::new() };
        let lines = core::mem::take(&mut reader.lines);
        // Without a line that is a result, nothing was counted.
        let end = if self.draft.shows_api { lines.line_start } else { lines.range.start };
        let end = if lines.skips_line { lines.range.start } else { end };
        let before = lines.range.start..lines.first_line;
        let uncounted = [before, end..u64::MAX];
        let granted = lines.counted.iter();
        let parts = granted.flat_map(|granted| {
            let part = |gone: &Range<u64>| granted.start.max(gone.start)..granted.end.min(gone.end);
            uncounted.each_ref().map(part).into_iter().filter(|range| !range.is_empty())
        });
        parts.map(|range| FileRange { key, range }).collect()
    }

    /// The exchange ends: it reports what the results have used. `is_cut`: the body ended inside a line.
    pub(super) fn end_results(&mut self, is_cut: bool) {
        let Some(reader) = &mut self.draft.results else { return };
        // A list that was cut, or of a batch that goes on, counts when it is fetched again.
        let is_cut = is_cut || reader.is_unfinished;
        self.draft.shows_api &= !reader.is_unfinished;
        if self.api.results == Results::List && !is_cut {
            reader.lines.position = reader.lines.range.end;
        }
        if !is_cut {
            reader.lines.line_start = reader.lines.position;
        }
        let results = reader.take();
        let results = if self.api.results == Results::List && is_cut { BatchResults::default() } else { results };
        let sum = results.sum();
        let seen = &mut self.draft.observation;
        (seen.usage, seen.cost, seen.response.model) = (sum.usage, sum.cost, sum.model);
        seen.quantities = Some(Box::new(sum.quantities)).filter(|quantities| **quantities != Default::default());
        seen.rare.get_or_insert_default().batch = Some(Box::new(results));
        self.cost_is_due = false;
    }

    fn file_key(&self) -> Option<u64> {
        let seen = &self.draft.observation;
        let (callers, file) = (self.observer.callers.as_ref()?, seen.rare.as_ref()?.fetched.as_deref()?);
        let host = seen.server.as_ref().map_or("", |server| &*server.address);
        // Names of hosts have no case, and may end with a dot.
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        Some(callers.conversation_key(0, "file", &[host.as_bytes(), file.as_bytes()]))
    }
}

/// The range in a header such as `bytes 0-499/1234`. None if it is no range of bytes.
///
/// Spec: RFC 9110, section 14.4.
fn content_range(value: &str) -> Option<Range<u64>> {
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some(first..last.checked_add(1)?).filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_only_if_it_has_positions() {
        assert_eq!(content_range("bytes 0-499/1234"), Some(0..500));
        assert_eq!(content_range("bytes 7-7/*"), Some(7..8));
        for wrong in ["bytes */1234", "bytes 5-4/9", "items 0-1/2", "bytes 0-1", "bytes 0-18446744073709551615/*", ""] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
