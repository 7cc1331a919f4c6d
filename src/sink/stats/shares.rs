//! The room for series. Envoy never removes a series and a backend keeps those of OTLP for days, so their number is bounded by `labels.max_series`, and each set of
//! [`NameKind`]s has its own share of it.
//!
//! A series belongs to the set of the kinds of its names. Names of one kind, however many, only fill shares of sets with this kind. So
//! the share of a set without it always has room for honest names: nobody can keep a model of the price table from its own
//! series by inventing tools, answers, error types or header values.

use super::metric::MetricKind;
use crate::labels::NameKind::{ErrorType, Header, RequestModel, ResponseModel, ServerAddress, ToolName};

/// Number of sets of kinds.
const SETS: usize = 64;

/// Units that a histogram takes from the limit of series. A counter takes one.
const HISTOGRAM: usize = 6;

/// The units that are taken of each share.
pub(super) struct Shares {
    /// By the set of kinds: a sum of [`NameKind::bit`](crate::labels::NameKind::bit)s.
    taken: [usize; SETS],
}

impl Default for Shares {
    fn default() -> Self {
        Shares { taken: [0; SETS] }
    }
}

impl Shares {
    /// Takes room for a series with names of these kinds. Returns false if their share of `limit` is full. A series without
    /// such names always has room: the operator bounds their number.
    pub fn take(&mut self, kinds: usize, kind: MetricKind, limit: usize) -> bool {
        let Some(taken) = self.taken.get_mut(kinds) else { return false };
        let after = *taken + units(kind);
        let has_room = kinds == 0 || after <= limit * percent(kinds) / 100;
        if has_room {
            *taken = after;
        }
        has_room
    }

    /// Gives back the room of a series.
    pub fn give_back(&mut self, kinds: usize, kind: MetricKind) {
        if let Some(taken) = self.taken.get_mut(kinds) {
            *taken = taken.saturating_sub(units(kind));
        }
    }
}

const fn units(kind: MetricKind) -> usize {
    match kind {
        MetricKind::Histogram => HISTOGRAM,
        MetricKind::Counter | MetricKind::Gauge => 1,
    }
}

/// The share of a set of kinds, in percent of `labels.max_series`. Series with labels of headers have as much again. Tools and servers
/// do not occur with models.
const fn percent(kinds: usize) -> usize {
    const MODEL: usize = RequestModel.bit();
    const ANSWER: usize = ResponseModel.bit();
    const MODEL_AND_ANSWER: usize = MODEL | ANSWER;
    const TOOL: usize = ToolName.bit();
    const SERVER: usize = ServerAddress.bit();
    const TOOL_AND_SERVER: usize = TOOL | SERVER;
    match kinds & !Header.bit() {
        MODEL => 44,
        MODEL_AND_ANSWER => 26,
        ANSWER => 8,
        TOOL => 5,
        TOOL_AND_SERVER => 4,
        SERVER => 2,
        // Only with a label of a header.
        0 => 5,
        // With an error type: with or without the names of models, four sets; and of a server and its tools, two.
        set if set & ErrorType.bit() != 0 && (set & TOOL_AND_SERVER == 0 || is_of_server(set)) => 1,
        _ => 0,
    }
}

/// Returns true if the set has an error type and a server, with a tool or without, and nothing else but labels of headers.
const fn is_of_server(set: usize) -> bool {
    set & !Header.bit() & !ToolName.bit() == ErrorType.bit() | ServerAddress.bit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::NameKind;

    #[test]
    fn the_shares_add_up_to_the_limit_with_and_without_labels_of_headers() {
        let sum = |with: usize| (0..SETS).filter(|set| set & 1 == with).map(percent).sum::<usize>();
        assert_eq!((Header.bit(), sum(0), sum(1)), (1, 100, 100));
    }

    #[test]
    fn every_kind_of_name_alone_has_a_share() {
        for kind in NameKind::ALL {
            let mut shares = Shares::default();
            let taken = (0..).take_while(|_| shares.take(kind.bit(), MetricKind::Counter, 1000)).count();
            assert_eq!(taken, percent(kind.bit()) * 10);
            assert!(
                taken >= 10
                    && NameKind::ALL
                        .iter()
                        .all(|other| { *other == kind || shares.take(other.bit(), MetricKind::Counter, 1000) })
            );
        }
    }

    #[test]
    fn a_histogram_takes_six_times_the_room_of_a_counter() {
        let mut shares = Shares::default();
        let kinds = RequestModel.bit();
        assert_eq!((0..).take_while(|_| shares.take(kinds, MetricKind::Histogram, 100)).count(), 44 / 6);
        assert_eq!((0..).take_while(|_| shares.take(kinds, MetricKind::Gauge, 100)).count(), 44 % 6);
    }

    #[test]
    fn series_without_names_of_a_kind_always_have_room() {
        let mut shares = Shares::default();
        assert!((0..100).all(|_| shares.take(0, MetricKind::Histogram, 1)));
    }
}
