//! The rows of the table that have times of streams.

use super::Attribute;
use super::Phase::{Answer, End};
use super::Read::{Billionths, Count};
use super::row::row;

pub(super) const TIME_TO_FIRST_CHUNK: Attribute = row(
    "gen_ai.response.time_to_first_chunk",
    "s",
    Answer,
    "seconds from the request's headers to the first bytes of a streamed response",
    Billionths(|o| o.timing.since_start(o.timing.first_chunk)),
);

pub(super) const TIME_TO_FIRST_TOKEN: Attribute = row(
    "gaugeway.time_to_first_token",
    "s",
    Answer,
    "seconds from the request's headers to the first generated token of a stream",
    Billionths(|o| o.timing.since_start(o.timing.first_token)),
);

pub(super) const CHUNK_GAP_MAX: Attribute = row(
    "gaugeway.response.chunk_gap.max",
    "s",
    End,
    "longest time in seconds between two chunks of a streamed response; chunks that arrive together count as one",
    Billionths(|o| o.timing.largest_gap()),
);

pub(super) const STALLS: Attribute = row(
    "gaugeway.response.stalls",
    "{stall}",
    End,
    "number of times that a stream was silent for longer than `streams.stalled_after`; not written if there were none",
    Count(|o| Some(o.timing.stalls.into()).filter(|stalls| *stalls > 0)),
);
