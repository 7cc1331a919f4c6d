//! The answer to a request that was changed: removes what the change added, also from an answer with gzip or deflate.
//!
//! The request says that the answer must not be encoded. Some servers encode it nevertheless. Then the client gets the decoded
//! answer, without `content-encoding`. The memory of these two decoders has a bound, so it is reserved before the first byte:
//! later nothing could be undone. Answers with br and zstd, whose decoders may need megabytes, are not changed.

use std::rc::Rc;

use super::UsageStripper;
use crate::budget::{Budget, Share, Side};
use crate::framing::Decoder;

/// Largest memory of a decoder for gzip or deflate: its state and a window of 32 KiB, in bytes.
const DECODER: usize = 48 << 10;
/// Number of encoded bytes that are decoded at once, so that their output is within the limits of a call of the decoder.
const PIECE: usize = 1 << 10;

/// The rest of the answer cannot be decoded: it is malformed, or its output needs memory that the budget does not have.
#[derive(Debug, PartialEq)]
pub struct BrokenAnswer;

/// Removes the usage from an answer.
pub struct AnswerChange {
    stripper: UsageStripper,
    decoding: Option<Decoding>,
}

struct Decoding {
    decoder: Decoder,
    /// The memory of the decoder, and while bytes are decoded, of their output.
    memory: Share,
}

impl AnswerChange {
    /// Begins an answer with this content encoding. Returns None if the answer must pass unchanged: its encoding is none that is
    /// decoded here, or the budget has no memory for the decoder. `share` is the part of the budget.
    pub fn start(encoding: &str, max_held: usize, mut memory: Share) -> Option<Self> {
        let encoding = encoding.trim().to_ascii_lowercase();
        let decoding = match encoding.as_str() {
            "" | "identity" => None,
            "gzip" | "x-gzip" | "deflate" => {
                // The decoder has a budget of its own, so that it cannot run short later.
                let own = Rc::new(Budget::for_one_decoder(DECODER));
                let decoder = Decoder::new(&encoding, Share::new(&own, Side::Response, 0))?;
                if !memory.resize(DECODER) {
                    return None;
                }
                Some(Decoding { decoder, memory })
            }
            _ => return None,
        };
        Some(AnswerChange { stripper: UsageStripper::new(max_held), decoding })
    }

    /// Returns true if the client gets the answer decoded.
    pub fn is_decoded(&self) -> bool {
        self.decoding.is_some()
    }

    /// Bytes that were read and neither passed on nor removed yet.
    pub fn held(&self) -> &[u8] {
        self.stripper.held()
    }

    /// Reads the next bytes of the answer, see [`UsageStripper::feed`]. Returns the bytes for the client.
    ///
    /// # Errors
    /// The answer cannot be decoded from here on.
    pub fn feed(&mut self, bytes: &[u8], is_finishing: bool, is_end: bool) -> Result<Vec<u8>, BrokenAnswer> {
        let Some(Decoding { decoder, memory }) = &mut self.decoding else {
            return Ok(self.stripper.feed(bytes, is_finishing, is_end));
        };
        let mut decoded = Vec::new();
        for piece in bytes.chunks(PIECE) {
            decoder.feed(piece, |output| decoded.extend_from_slice(output)).map_err(|_| BrokenAnswer)?;
            if !memory.resize(DECODER + decoded.len()) {
                return Err(BrokenAnswer);
            }
        }
        let kept = self.stripper.feed(&decoded, is_finishing, is_end);
        // A smaller size is always possible.
        let _ = memory.resize(DECODER);
        Ok(kept)
    }
}

#[cfg(all(test, feature = "encodings"))]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let written = encoder.write_all(text);
        written.and_then(|()| encoder.finish()).unwrap_or_default()
    }

    const EVENTS: &str =
        "data: {\"choices\":[{}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"n\":1}}\n\ndata: [DONE]\n\n";
    const WANTED: &str = "data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n";

    #[test]
    fn an_encoded_answer_is_decoded_without_the_usage_at_any_cut() {
        let budget = Rc::new(Budget::new(8 << 20));
        let encoded = gzip(EVENTS.as_bytes());
        for cut in 0..=encoded.len() {
            let share = Share::new(&budget, Side::Response, 1);
            let mut answer = AnswerChange::start(" GZIP", 1024, share).unwrap();
            assert!(answer.is_decoded() && budget.reserved() == DECODER);
            let (head, tail) = encoded.split_at(cut);
            let out = [answer.feed(head, true, false).unwrap(), answer.feed(tail, true, true).unwrap()].concat();
            assert_eq!(String::from_utf8(out).unwrap(), WANTED, "cut at {cut}");
            assert_eq!(budget.reserved(), DECODER);
        }
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn an_answer_without_room_for_its_decoder_or_with_another_encoding_is_not_changed() {
        let share = |limit: usize| Share::new(&Rc::new(Budget::new(limit)), Side::Response, 1);
        assert!(AnswerChange::start("gzip", 1024, share(32 * DECODER - 32)).is_none());
        for encoding in ["br", "zstd", "gzip, gzip", "compress"] {
            assert!(AnswerChange::start(encoding, 1024, share(8 << 20)).is_none(), "{encoding}");
        }
        for encoding in ["", "identity"] {
            assert!(!AnswerChange::start(encoding, 1024, share(0)).unwrap().is_decoded());
        }
    }

    #[test]
    fn malformed_data_and_output_beyond_the_budget_break_the_answer() {
        let mut answer = AnswerChange::start("gzip", 64, Share::new(&Rc::new(Budget::new(8 << 20)), Side::Response, 1));
        assert_eq!(answer.as_mut().unwrap().feed(b"no gzip at all", true, false), Err(BrokenAnswer));
        let budget = Rc::new(Budget::new(32 * DECODER + 32 * 1000));
        let mut answer = AnswerChange::start("gzip", 64, Share::new(&budget, Side::Response, 1)).unwrap();
        assert_eq!(answer.feed(&gzip(&[b'x'; 3000]), true, false), Err(BrokenAnswer));
    }
}
