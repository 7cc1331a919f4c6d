//! Calls of tools that the provider runs and bills by the call, counted from the answer.

use super::Draft;
use crate::bytes::mix::Mix;
use crate::json::Scalar;
use crate::observation::Quantities;

/// Maximum number of different search queries that are counted. Later ones are not counted.
const QUERIES: usize = 64;

/// A tool that the provider runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProviderTool {
    /// A search in the web.
    WebSearch,
    /// A search in stored files.
    FileSearch,
    /// Code that runs in a container.
    CodeRun,
    /// A search in maps.
    MapsSearch,
    /// The retrieval of a page.
    WebFetch,
}

/// The number of tools.
const TOOLS: usize = 5;

/// Calls by tool.
#[derive(Debug, Default)]
pub struct ProviderTools {
    /// Calls in the events of a stream.
    in_events: [u64; TOOLS],
    /// Calls in the list of the whole answer. A list replaces the one before it.
    in_list: [u64; TOOLS],
    /// Calls as the response counts them itself. They replace the others.
    reported: [Option<u64>; TOOLS],
    /// Hashes of different search queries.
    queries: Vec<u64>,
}

impl ProviderTools {
    /// Memory without the queries, in bytes.
    pub const BOUND: usize = size_of::<ProviderTools>();

    /// Adds the calls to the quantities.
    pub fn add_to(&self, used: &mut Quantities<'_>) {
        let slots = [
            &mut used.web_searches,
            &mut used.file_searches,
            &mut used.code_runs,
            &mut used.maps_searches,
            &mut used.web_fetches,
        ];
        for (tool, slot) in slots.into_iter().enumerate() {
            let of = |counts: &[u64; TOOLS]| counts.get(tool).copied().unwrap_or_default();
            let counted = of(&self.in_events).max(of(&self.in_list));
            *slot = self.reported.get(tool).copied().flatten().unwrap_or(counted);
        }
    }
}

/// Rules of tools that the provider runs.
impl Draft {
    /// Sets the number of calls that the response reports. A value that is not a count is ignored.
    #[inline(never)]
    pub fn provider_calls(&mut self, value: Scalar<'_>, tool: ProviderTool) {
        if let (Some(count), Some(slot)) = (value.count(), self.counts.provider_tools().reported.get_mut(tool as usize))
        {
            *slot = Some(count);
        }
    }

    /// Sets the number of calls to the count of the open part.
    pub fn provider_calls_from_part(&mut self, tool: ProviderTool) {
        let count = self.open.part.tokens;
        if let Some(slot) = self.counts.provider_tools().reported.get_mut(tool as usize) {
            *slot = Some(count);
        }
    }

    /// A list of the answer's items begins.
    pub fn provider_list_opened(&mut self) {
        if let Some(tools) = self.counts.provider_tools_if_any() {
            tools.in_list = [0; TOOLS];
        }
    }

    /// An item of the answer is a call. `is_event`: the item is that of an event, and not in the list of the whole answer.
    pub fn provider_call(&mut self, tool: ProviderTool, is_event: bool) {
        let tools = self.counts.provider_tools();
        let counts = if is_event { &mut tools.in_events } else { &mut tools.in_list };
        if let Some(count) = counts.get_mut(tool as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a call for each different query. A stream may repeat a query in each event. An empty one is not counted.
    pub fn provider_query(&mut self, value: Scalar<'_>, tool: ProviderTool) {
        let Scalar::Text(query) = value else { return };
        let hash = Mix::new(tool as u64).text(query).finish();
        let known = &self.counts.provider_tools().queries;
        let is_new = !query.is_empty() && known.len() < QUERIES && !known.contains(&hash);
        if is_new && self.keeps(2 * size_of::<u64>()) {
            self.counts.provider_tools().queries.push(hash);
            self.provider_call(tool, true);
        }
    }

    /// Counts at most one call of the tool, whatever the number of its queries is.
    pub fn provider_calls_once(&mut self, tool: ProviderTool) {
        let tools = self.counts.provider_tools_if_any();
        if let Some(count) = tools.and_then(|tools| tools.in_events.get_mut(tool as usize)) {
            *count = (*count).min(1);
        }
    }
}
