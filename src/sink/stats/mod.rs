//! The statistics of exchanges. The table [`METRICS`] has one row for each metric.
//!
//! Envoy never forgets a series, so their number is bounded: see [`shares`]. A name whose share is full becomes `other`, or for an
//! answer's model the name in the price table. Memory: one number per series, and one per tool.

mod conventions;
mod metric;
mod names;
mod plugin;
mod rpc;
#[cfg(test)]
mod rpc_tests;
mod shares;
mod table;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use self::names::{ANY, Names};
use self::shares::Shares;
use crate::bytes::mix::{BuildNumbers, Mix};
use crate::config::Config;
use crate::labels::{Label, NameKind, Scope, is_common_error};
use crate::observation::{COST_LIMIT, Observation, clipped};

pub use conventions::{GAP_METRICS, INFERENCE};
pub use metric::{Collect, Metric, MetricKind, Registry, Samples, Scale};
pub use plugin::{INJECTIONS, LOG_RECORDS, OVERFLOW, PLUGIN_METRICS, POINTS, PRICE_TABLE, SESSIONS, SPANS, UNREAD};
pub use rpc::RPC_METRICS;
pub use table::METRICS;

/// The longest value of a label, in bytes. Longer values are cut.
pub const LABEL_LIMIT: usize = 128;

/// Largest value passed to the host at once, so that a few of them cannot overflow a counter of 64 bits. The largest value
/// of an observation is a cost.
const SAMPLE_LIMIT: u64 = COST_LIMIT;

/// The value of a label without a bound, after its share of the series is full; and of a model or a tool that only the client
/// names.
const OTHER: &str = "other";

/// Maximum number of remembered servers of tools and agents.
const SERVERS: usize = 1024;

/// Maximum number of remembered tools. With the default limit, the share of tools has room for fewer on each route.
const TOOLS: usize = 4096;

/// The series that the host knows.
#[derive(Default)]
pub struct Stats {
    seed: u64,
    /// By a hash of the metric and the values of its labels.
    series: HashMap<u64, Known, BuildNumbers>,
    shares: Shares,
    /// Hashes of the tools that answers have named.
    tools: HashSet<u64, BuildNumbers>,
    /// Hashes of the servers at which an operation of MCP or A2A has succeeded.
    servers: HashSet<u64, BuildNumbers>,
    /// By the kind of the lost name.
    overflow: [Option<u32>; NameKind::ALL.len()],
}

/// A series of the output, and the room that it takes.
#[derive(Clone, Copy)]
struct Known {
    series: u32,
    /// The set of the kinds of its names.
    kinds: u8,
    kind: MetricKind,
}

/// A sample's metric and the values of its own labels.
#[derive(Clone, Copy)]
struct Sample<'s> {
    /// Index in [`METRICS`] and, after them, in [`GAP_METRICS`].
    at: usize,
    metric: &'s Metric,
    values: &'s [&'s str],
}

impl Stats {
    /// No series yet. Label values come from clients: without the seed a client cannot make two series collide.
    pub fn new(seed: u64) -> Self {
        Stats { seed, ..Stats::default() }
    }

    /// Passes the samples of an exchange that has ended to the host.
    pub fn record<R: Registry>(&mut self, seen: &Observation, config: &Config, host: &mut R) {
        match seen.parts_of_batch() {
            Some(parts) => parts.iter().for_each(|part| self.record_one(part, config, host)),
            None => self.record_one(seen, config, host),
        }
    }

    fn record_one<R: Registry>(&mut self, seen: &Observation, config: &Config, host: &mut R) {
        self.remember_tools(seen, host);
        let mut names = Names::of(seen, config);
        let mixes = names.mixes(self.seed, ANY);
        let mut is_looked_up = false;
        let gaps = seen.timing.gaps.as_deref().filter(|_| R::TAKES_GAPS && seen.outcome.is_some());
        let metrics = METRICS.iter().chain(if gaps.is_some() { GAP_METRICS } else { &[] }).enumerate();
        // Nobody waits for a response that only prepares another one.
        let is_waited_for = !seen.is_prewarm();
        let is_of_interest =
            |metric: &Metric| metric.is_in(config.conventions) && (is_waited_for || metric.scale != Scale::Nanoseconds);
        for (at, metric) in metrics.filter(|(_, metric)| is_of_interest(metric)) {
            (metric.collect)(seen, &mut |values, value| {
                if value == 0 && metric.kind == MetricKind::Counter {
                    return;
                }
                let sample = Sample { at, metric, values };
                let known = self.series.get(&sample.key(&mixes, values.iter().copied()));
                let mut series = known.map(|known| known.series);
                if series.is_none() {
                    if !core::mem::replace(&mut is_looked_up, true) {
                        names.look_up(config);
                    }
                    series = self.find_or_define(sample, &names, config.labels.max_series, host);
                }
                match (series, gaps) {
                    (Some(series), Some(gaps)) if at >= METRICS.len() => host.merge(metric, series, gaps),
                    (Some(series), _) => host.emit(metric, series, value.min(SAMPLE_LIMIT)),
                    (None, _) => {}
                }
            });
        }
        self.record_tool_times(seen, config, host);
    }

    /// Forgets the series that the output no longer has. Their names have room again.
    pub fn retain(&mut self, mut has: impl FnMut(u32) -> bool) {
        let shares = &mut self.shares;
        self.series.retain(|_, known| {
            let is_kept = has(known.series);
            if !is_kept {
                shares.give_back(known.kinds.into(), known.kind);
            }
            is_kept
        });
        for overflow in &mut self.overflow {
            *overflow = overflow.filter(|series| has(*series));
        }
    }

    /// Remembers the tools that the answer calls, and those of remembered calls of earlier answers.
    fn remember_tools(&mut self, seen: &Observation, host: &mut impl Registry) {
        let recalled = seen.agent.results.iter().filter(|result| result.called_at.is_some());
        let names = seen.output.tools.iter().chain(recalled.filter_map(|result| result.name.as_ref()));
        for name in names {
            let tool = name_hash(self.seed, name);
            if self.tools.len() < TOOLS {
                self.tools.insert(tool);
            } else if !self.tools.contains(&tool) {
                self.count_lost(NameKind::ToolName.bit(), host);
            }
        }
    }

    /// The series of a sample with as many of its names as have room.
    fn find_or_define(
        &mut self,
        sample: Sample<'_>,
        names: &Names<'_>,
        limit: usize,
        host: &mut impl Registry,
    ) -> Option<u32> {
        let scope = sample.metric.scope;
        let own: Vec<_> =
            sample.metric.labels.iter().zip(sample.values).map(|(row, name)| self.own(row, name)).collect();
        let kinds = own.iter().fold(names.kinds(scope), |kinds, (_, _, kind)| kinds | kind);
        let mut allowed = kinds;
        loop {
            let own =
                own.iter().map(|(label, name, kind)| (*label, if allowed & kind == *kind { *name } else { OTHER }));
            let key = sample.key(&names.mixes(self.seed, allowed), own.clone().map(|(_, name)| name));
            let known = self.series.get(&key).map(|known| known.series);
            if known.is_some() || self.shares.take(allowed, sample.metric.kind, limit) {
                self.count_lost(kinds & !allowed, host);
                return known.or_else(|| {
                    self.define((key, allowed), sample.metric, names.pairs(scope, allowed).chain(own), host)
                });
            }
            // The next smaller subset. The highest bit stays longest. The empty set always has room.
            allowed = allowed.checked_sub(1)? & kinds;
        }
    }

    /// One of a metric's own labels: its name, its value and the set of its kind.
    fn own<'v>(&self, label: &Label, value: &'v str) -> (&'static str, &'v str, usize) {
        let (value, kind) = match label.kind {
            Some(NameKind::ErrorType) if value.is_empty() || is_common_error(value) => (value, None),
            Some(NameKind::ToolName | NameKind::ServerAddress) if value.is_empty() => (value, None),
            Some(NameKind::ToolName) if !self.tools.contains(&name_hash(self.seed, value)) => (OTHER, None),
            Some(NameKind::ServerAddress) if !self.servers.contains(&name_hash(self.seed, value)) => (OTHER, None),
            kind => (value, kind),
        };
        (label.name, value, kind.map_or(0, NameKind::bit))
    }

    /// Counts a sample for each kind of which it lost a name.
    fn count_lost(&mut self, kinds: usize, host: &mut impl Registry) {
        for (kind, overflow) in NameKind::ALL.into_iter().zip(&mut self.overflow) {
            if kinds & kind.bit() != 0 {
                let labels = OVERFLOW.labels.iter().map(|label| (label.name, kind.as_str()));
                *overflow = overflow.or_else(|| host.define(&OVERFLOW, &labels.collect::<Vec<_>>()));
                if let Some(series) = *overflow {
                    host.emit(&OVERFLOW, series, 1);
                }
            }
        }
    }

    fn define<'n>(
        &mut self,
        (key, kinds): (u64, usize),
        metric: &Metric,
        labels: impl Iterator<Item = (&'n str, &'n str)>,
        host: &mut impl Registry,
    ) -> Option<u32> {
        let labels: Vec<_> = labels.map(|(name, value)| (name, cleaned(value))).collect();
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
        let labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let series = host.define(metric, &labels)?;
        self.series.insert(key, Known { series, kinds: kinds as u8, kind: metric.kind });
        Some(series)
    }
}

impl Sample<'_> {
    /// The key of the series with these values of the metric's own labels. `mixes` are those of the common labels.
    fn key<'v>(&self, mixes: &[Mix; Scope::ALL.len()], values: impl Iterator<Item = &'v str>) -> u64 {
        let mix = mixes.get(self.metric.scope as usize).copied().unwrap_or(Mix::new(0));
        values.fold(mix.number(self.at as u64), Mix::text).finish()
    }
}

/// The hash of the name of a tool or a server.
fn name_hash(seed: u64, name: &str) -> u64 {
    Mix::new(seed).text(clipped(name, LABEL_LIMIT)).finish()
}

/// A label's value within [`LABEL_LIMIT`], without spaces around it, with `_` for each control character.
fn cleaned(value: &str) -> Cow<'_, str> {
    let value = clipped(value, LABEL_LIMIT).trim_matches(' ');
    match value.contains(char::is_control) {
        true => value.chars().map(|c| if c.is_control() { '_' } else { c }).collect(),
        false => value.into(),
    }
}

#[cfg(test)]
mod tests;
