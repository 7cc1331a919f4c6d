//! What could not be read.

/// A kind of data that could not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Malformed JSON.
    Json,
    /// A count that is not an integer from 0 to [`COUNT_LIMIT`](super::COUNT_LIMIT), or a cost above
    /// [`COST_LIMIT`](super::COST_LIMIT).
    Number,
    /// A frame with inconsistent lengths or a wrong checksum.
    Framing,
    /// A content encoding that cannot be decoded.
    Encoding,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Trouble; 4] = [Trouble::Json, Trouble::Number, Trouble::Framing, Trouble::Encoding];

    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Json => "json",
            Trouble::Number => "number",
            Trouble::Framing => "framing",
            Trouble::Encoding => "encoding",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Troubles(u8);

impl Troubles {
    /// Adds a kind.
    pub fn add(&mut self, trouble: Trouble) {
        self.0 |= 1 << trouble as u8;
    }

    /// The kinds in the set, each once, in the order of [`Trouble::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Trouble> {
        Trouble::ALL.into_iter().filter(move |t| self.0 & 1 << *t as u8 != 0)
    }
}
