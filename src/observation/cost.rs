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
    /// The computed cost by part. All zero if the cost was not computed.
    pub bill: Bill,
}

impl Cost {
    /// The sum of two costs. Its status is that of both, or `partial` if they differ.
    #[must_use]
    pub fn and(&self, other: &Cost) -> Self {
        let status = match (self.status, other.status) {
            (None, status) | (status, None) => status,
            (own, status) if own == status => own,
            _ => Some(CostStatus::Partial),
        };
        let nanousd = match (self.nanousd, other.nanousd) {
            (Some(own), Some(more)) => Some(own.saturating_add(more)),
            (own, more) => own.or(more),
        };
        Cost { nanousd, status, bill: self.bill.and(&other.bill) }
    }
}

/// A computed cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Cost of each part in nano-dollars, in the order of [`CostPart::ALL`]. The sum is the whole cost.
    pub parts: [u64; CostPart::ALL.len()],
    /// The amount that reading input tokens from a cache saved, compared with the price of new input, in nano-dollars.
    pub cache_savings: u64,
    /// The quantities that were used and have no rate of their own.
    pub unpriced: Unpriced,
}

impl Bill {
    /// The whole cost in nano-dollars.
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// The sum of two bills.
    #[must_use]
    pub fn and(mut self, other: &Bill) -> Self {
        for (part, more) in self.parts.iter_mut().zip(&other.parts) {
            *part = part.saturating_add(*more);
        }
        self.cache_savings = self.cache_savings.saturating_add(other.cache_savings);
        self.unpriced = self.unpriced.and(other.unpriced);
        self
    }

    /// The cost of one part in nano-dollars. None if it costs nothing.
    pub fn part(&self, part: CostPart) -> Option<u64> {
        self.parts.get(part as usize).copied().filter(|nanousd| *nanousd > 0)
    }

    /// The parts that cost something, with their cost in nano-dollars.
    pub fn paid(&self) -> impl Iterator<Item = (CostPart, u64)> {
        CostPart::ALL.into_iter().zip(self.parts).filter(|(_, nanousd)| *nanousd > 0)
    }
}

/// A part of the cost, by what it paid for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostPart {
    /// Input that was neither read from a cache nor written to one.
    Input,
    /// Input that was read from a cache.
    CacheRead,
    /// Input that was written to a cache.
    CacheWrite,
    /// Output other than reasoning.
    Output,
    /// Reasoning.
    Reasoning,
    /// Audio, in tokens, seconds or characters.
    Audio,
    /// Images and video.
    Image,
    /// Tools that the provider ran.
    Tools,
    /// Units that are not tokens: requests, search units, pages.
    Requests,
}

impl CostPart {
    /// Every part.
    pub const ALL: [CostPart; 9] = [
        CostPart::Input,
        CostPart::CacheRead,
        CostPart::CacheWrite,
        CostPart::Output,
        CostPart::Reasoning,
        CostPart::Audio,
        CostPart::Image,
        CostPart::Tools,
        CostPart::Requests,
    ];

    /// The value of labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            CostPart::Input => "input",
            CostPart::CacheRead => "cache_read",
            CostPart::CacheWrite => "cache_write",
            CostPart::Output => "output",
            CostPart::Reasoning => "reasoning",
            CostPart::Audio => "audio",
            CostPart::Image => "image",
            CostPart::Tools => "tools",
            CostPart::Requests => "requests",
        }
    }
}

/// A set of names from [`Unpriced::NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unpriced(u32);

impl Unpriced {
    /// Names of everything that can lack a rate. The first are quantities, in the order of `UNITS` in `signal::cost::rates`.
    pub const NAMES: [&'static str; 28] = [
        "cache_write_1h",
        "cached_audio",
        "cached_image",
        "cache_read",
        "cache_write",
        "input_audio",
        "input_image",
        "input_video",
        "reasoning",
        "citations",
        "output_audio",
        "output_image",
        "output_video",
        "input",
        "output",
        "request",
        "web_search",
        "file_search",
        "audio_seconds",
        "search_units",
        "characters",
        "pages",
        "images",
        "code_execution",
        "maps_search",
        // Not quantities.
        "service_tier",
        "model",
        "usage",
    ];
    /// The output count is unknown.
    pub const OUTPUT: usize = 14;
    /// The service tier has no rates.
    pub const SERVICE_TIER: usize = 25;
    /// An attempt was made by a model without a price.
    pub const MODEL: usize = 26;
    /// The usage has a number with an unknown name.
    pub const USAGE: usize = 27;

    /// Adds the name with an index in [`Unpriced::NAMES`].
    pub fn add(&mut self, index: usize) {
        self.0 |= 1u32.checked_shl(index as u32).unwrap_or(0);
    }

    /// The union of two sets.
    #[must_use]
    pub fn and(self, other: Unpriced) -> Self {
        Unpriced(self.0 | other.0)
    }

    /// Returns true if the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Unpriced::NAMES.into_iter().enumerate().filter(move |(index, _)| self.0 >> index & 1 == 1).map(|(_, name)| name)
    }
}

/// How a cost was found, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostStatus {
    /// The response says the cost.
    Reported,
    /// The response says an estimate of the cost.
    ReportedEstimate,
    /// The cost was computed, and every quantity had a rate.
    Priced,
    /// The cost was computed, but a quantity had no rate: see [`Bill::unpriced`].
    Partial,
    /// There is usage, but the price table does not have the model.
    Unpriced,
    /// The call used capacity that was paid for in advance.
    Prepaid,
    /// A successful response without usage.
    NoUsage,
    /// The answer comes later, in the response to another request, and its usage with it.
    Deferred,
    /// The exchange was cut before its usage was known in full. A cost is that of the known part.
    Hidden,
}

impl CostStatus {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            CostStatus::Reported => "reported",
            CostStatus::ReportedEstimate => "reported_estimate",
            CostStatus::Priced => "priced",
            CostStatus::Partial => "partial",
            CostStatus::Unpriced => "unpriced",
            CostStatus::Prepaid => "prepaid",
            CostStatus::NoUsage => "no_usage",
            CostStatus::Deferred => "deferred",
            CostStatus::Hidden => "hidden",
        }
    }
}
