//! Token counts and costs as the response reports them, and their normalisation.

use crate::observation::Usage;

/// Token counts as the response reports them. Whether a count includes another depends on the API.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenCounts {
    /// Input.
    pub input: Option<u64>,
    /// Output.
    pub output: Option<u64>,
    /// Read from a cache.
    pub cache_read: Option<u64>,
    /// Written to a cache.
    pub cache_write: Option<u64>,
    /// Reasoning.
    pub reasoning: Option<u64>,
    /// Input of tools that the provider runs, which `input` does not include.
    pub tool_input: Option<u64>,
    /// Total.
    pub total: Option<u64>,
    /// Input from a second source (headers, another object). Used if `input` is missing.
    pub spare_input: Option<u64>,
    /// Output from a second source. Used if `output` is missing.
    pub spare_output: Option<u64>,
    /// Read from a cache, from a second source. `spare_input` does not include it. Used with `spare_input` only.
    pub spare_cache_read: Option<u64>,
    /// Written to a cache, from a second source. As `spare_cache_read`.
    pub spare_cache_write: Option<u64>,
    /// True if `input` does not include cached input (Anthropic, Bedrock).
    pub(super) excludes_cache: bool,
    /// True if `output` does not include reasoning (Gemini).
    pub(super) excludes_reasoning: bool,
}

/// Selects a count.
pub type TokenSlot = fn(&mut TokenCounts) -> &mut Option<u64>;

impl TokenCounts {
    /// The counts as they are reported: input includes cached input, output includes reasoning. A part that is larger than its
    /// whole is kept as it is: Azure-hosted Grok reports 161 cached tokens of 7, Cohere bills 11 of 506, of which 448 were cached.
    #[inline(never)]
    pub fn usage(&self) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let uses_spare = self.input.is_none();
        let mut usage = Usage {
            input: self.input.or(self.spare_input),
            output: self.output.or(self.spare_output),
            cache_read: self.cache_read.or(self.spare_cache_read.filter(|_| uses_spare)),
            cache_creation: self.cache_write.or(self.spare_cache_write.filter(|_| uses_spare)),
            reasoning: self.reasoning,
        };
        let has_spare_cache = self.spare_cache_read.is_some() || self.spare_cache_write.is_some();
        if self.excludes_cache || uses_spare && has_spare_cache {
            usage.input = sum(sum(usage.input, usage.cache_read), usage.cache_creation);
        }
        usage.input = sum(usage.input, self.tool_input);
        let without = sum(usage.input, usage.output);
        if self.excludes_reasoning {
            // If the total is the sum without the reasoning, the output includes it.
            if self.reasoning.is_some() && (without.is_none() || without != self.total) {
                usage.output = sum(usage.output.or(Some(0)), self.reasoning);
            }
        } else if self.total.is_some() && self.total == sum(without, self.reasoning) {
            // xAI's output does not include reasoning. Only the total shows it.
            usage.output = sum(usage.output, self.reasoning);
        }
        usage
    }
}

/// Costs as the response reports them, in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WireCost {
    /// The provider's cost.
    pub cost: Option<u64>,
    /// An estimate of the cost (DeepInfra). Used if there is no cost.
    pub estimate: Option<u64>,
    /// The cost of the provider behind a relay (OpenRouter).
    pub upstream_cost: Option<u64>,
    /// True if one of the costs was above [`crate::observation::COST_LIMIT`], so that none is reported.
    pub(super) is_above_limit: bool,
    /// True if the client used its own key at the provider behind the relay, so that the relay's cost does not include
    /// it.
    pub(super) uses_own_key: bool,
}

impl WireCost {
    /// The cost to report, in nano-dollars: at most twice [`crate::observation::COST_LIMIT`].
    pub fn total(&self) -> Option<u64> {
        if self.is_above_limit {
            return None;
        }
        let upstream = self.upstream_cost.filter(|_| self.uses_own_key);
        self.cost.map(|cost| cost.saturating_add(upstream.unwrap_or(0))).or(upstream)
    }
}
