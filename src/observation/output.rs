//! Properties of the generated output.

use super::Text;

/// Properties of the generated output. It holds none of the generated text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneratedOutput {
    /// The name of the tool in each call of a client's tool, in the order of the calls.
    pub tools: Vec<Text>,
    /// First 8 bytes of the hash of the answer's text.
    pub hash: Option<[u8; 8]>,
    /// Length of the answer's text in Unicode code points; None if there is no text.
    pub characters: Option<u64>,
    /// True if the answer is the JSON that the request asks for; None if it asks for none.
    pub parsed: Option<Parsed>,
    /// The model refused to answer, by a refusal in the response or by the finish reason.
    pub refused: bool,
    /// The answer is complete and has no content: no text, no tool call, no refusal, nothing of another type.
    pub empty: bool,
}

/// The result of checking an answer against the JSON format that the request asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed {
    /// Well-formed JSON with every key that the schema requires of the outermost object.
    Whole,
    /// Well-formed JSON that lacks at least one of these keys.
    Incomplete,
    /// Not well-formed JSON.
    Malformed,
}

impl Parsed {
    /// The result for a document that is whole, or not, and has the required keys, or not.
    pub const fn of(is_whole: bool, has_required: bool) -> Self {
        match (is_whole, has_required) {
            (true, true) => Parsed::Whole,
            (true, false) => Parsed::Incomplete,
            (false, _) => Parsed::Malformed,
        }
    }

    /// The value of labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Parsed::Whole => "ok",
            Parsed::Incomplete => "incomplete",
            Parsed::Malformed => "failed",
        }
    }
}
