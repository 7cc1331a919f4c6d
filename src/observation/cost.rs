//! The cost of an exchange.

/// Maximum cost of one call that is accepted, in nano-dollars: 1,000,000 USD.
pub const COST_LIMIT: u64 = 1_000_000_000_000_000;

/// The cost of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Cost in nano-dollars (1e-9 USD), at most [`COST_LIMIT`].
    pub nanousd: Option<u64>,
    /// How the cost was found, or why there is none.
    pub status: Option<CostStatus>,
}

/// How a cost was found, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostStatus {
    /// The response says the cost.
    Reported,
    /// The cost was computed with the price table.
    Priced,
    /// There is usage, but the price table does not have the model.
    Unpriced,
    /// A successful response without usage.
    NoUsage,
    /// The exchange was cut before its usage was known in full. A cost is that of the known part.
    Hidden,
}

impl CostStatus {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            CostStatus::Reported => "reported",
            CostStatus::Priced => "priced",
            CostStatus::Unpriced => "unpriced",
            CostStatus::NoUsage => "no_usage",
            CostStatus::Hidden => "hidden",
        }
    }
}
