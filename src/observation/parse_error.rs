//! Parse errors: what could not be read.

/// A kind of data that could not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParseError {
    /// Malformed JSON.
    Json,
    /// A count that is not an integer from 0 to [`COUNT_LIMIT`](super::COUNT_LIMIT), or a cost above
    /// [`COST_LIMIT`](super::COST_LIMIT).
    Number,
    /// A frame with inconsistent lengths or a wrong checksum.
    Framing,
    /// A content encoding that cannot be decoded.
    Encoding,
    /// Entries of a list that the memory budget had no room for.
    Memory,
}

impl ParseError {
    /// Every kind.
    pub const ALL: [ParseError; 5] =
        [ParseError::Json, ParseError::Number, ParseError::Framing, ParseError::Encoding, ParseError::Memory];

    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            ParseError::Json => "json",
            ParseError::Number => "number",
            ParseError::Framing => "framing",
            ParseError::Encoding => "encoding",
            ParseError::Memory => "memory",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ParseErrors(u8);

impl ParseErrors {
    /// Adds a kind.
    pub fn add(&mut self, parse_errors: ParseError) {
        self.0 |= 1 << parse_errors as u8;
    }

    /// The kinds in the set, each once, in the order of [`ParseError::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ParseError> {
        ParseError::ALL.into_iter().filter(move |t| self.0 & 1 << *t as u8 != 0)
    }
}
