//! Token counts, from each API's way of counting to the one that is reported.

use crate::observation::Usage;

/// Token counts before they are normalised; which are parts of which depends on the API.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
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
    /// Input of provider-run tools that the input count leaves out.
    pub tool_input: Option<u64>,
    /// The provider's own total.
    pub total: Option<u64>,
    /// Input and output once more, in other words (headers, a second object): used where the first are missing.
    pub spare_input: Option<u64>,
    /// See `spare_input`.
    pub spare_output: Option<u64>,
    /// See `spare_input`, which leaves them out: used with it only.
    pub spare_cache_read: Option<u64>,
    /// See `spare_cache_read`.
    pub spare_cache_write: Option<u64>,
    /// The cost as the provider itself says it, in nano-dollars.
    pub cost: Option<u64>,
    /// The cost as who serves it for a relay says it, in nano-dollars.
    pub upstream_cost: Option<u64>,
    /// The client's own key was used there, so that the relay's cost leaves it out (OpenRouter).
    pub own_key: bool,
    /// Cached input stands beside the input, not in it (Anthropic, Bedrock).
    pub cache_beside: bool,
    /// Reasoning stands beside the output, not in it (Gemini).
    pub thoughts_beside: bool,
}

/// Steps of an answer that have counts of their own (Anthropic).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// Those of the step being read, its input without what was cached.
    pub open: Usage,
    /// Those that the message's counts leave out, in the form that is reported.
    pub beside: Usage,
}

impl Counts {
    /// The cost as the answer itself says it, in nano-dollars.
    pub fn reported_cost(&self) -> Option<u64> {
        let upstream = self.upstream_cost.filter(|_| self.own_key);
        self.cost.map(|cost| cost.saturating_add(upstream.unwrap_or(0))).or(upstream)
    }

    /// Normalises: input with what was cached, output with reasoning. A part larger than its whole (Azure-hosted Grok says
    /// 161 cached of 7; Cohere bills 11 of 506, of which 448 were cached) is told as it came.
    #[inline(never)]
    pub fn settle(&self) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let spare = self.input.is_none();
        let mut usage = Usage {
            input: self.input.or(self.spare_input),
            output: self.output.or(self.spare_output),
            cache_read: self.cache_read.or(self.spare_cache_read.filter(|_| spare)),
            cache_creation: self.cache_write.or(self.spare_cache_write.filter(|_| spare)),
            reasoning: self.reasoning,
        };
        let spare_cache = self.spare_cache_read.is_some() || self.spare_cache_write.is_some();
        if self.cache_beside || spare && spare_cache {
            usage.input = sum(sum(usage.input, usage.cache_read), usage.cache_creation);
        }
        usage.input = sum(usage.input, self.tool_input);
        let without = sum(usage.input, usage.output);
        if self.thoughts_beside {
            // The total tells where the output already holds the thoughts.
            if self.reasoning.is_some() && (without.is_none() || without != self.total) {
                usage.output = sum(usage.output.or(Some(0)), self.reasoning);
            }
        } else if self.total.is_some() && self.total == sum(without, self.reasoning) {
            // xAI's reasoning is beside the output, which only its total shows.
            usage.output = sum(usage.output, self.reasoning);
        }
        usage
    }
}
