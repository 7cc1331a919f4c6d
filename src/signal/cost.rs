//! Prices of models and the exact cost of an exchange.
//!
//! All arithmetic is on integers: a price of one USD per million tokens is 10^9 femto-dollars (1e-15 USD) a token, so six
//! more decimals than any published price are exact, and only the sum is rounded, to the nano-dollar.

use std::collections::HashMap;

use serde_json::Value;

use crate::config::{ConfigError, object};
use crate::observation::Usage;

/// Femto-dollars in a nano-dollar.
const NANO: u128 = 1_000_000;

/// What a model's tokens cost, in femto-dollars (1e-15 USD) each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
}

impl Price {
    /// The cost of `usage` in nano-dollars (1e-9 USD), rounded half up. Counts that are unknown cost nothing.
    pub fn cost(&self, usage: &Usage) -> u64 {
        // Some wires say a part larger than its whole; no token is paid twice.
        let input = usage.input.unwrap_or(0);
        let read = usage.cache_read.unwrap_or(0).min(input);
        let written = usage.cache_creation.unwrap_or(0).min(input - read);
        let fresh = input - read - written;
        let output = usage.output.unwrap_or(0);
        let parts = [(fresh, self.input), (read, self.cached_input), (written, self.cache_write), (output, self.output)];
        let femto: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        u64::try_from((femto + NANO / 2) / NANO).unwrap_or(u64::MAX)
    }
}

/// Prices by the beginning of a model's name.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    models: HashMap<Box<str>, Price>,
    longest: usize,
}

impl PriceTable {
    /// The table the plugin carries.
    pub fn bundled() -> Result<Self, ConfigError> {
        let mut table = PriceTable::default();
        let bundled: Value = serde_json::from_str(include_str!("prices.json")).unwrap_or_default();
        table.add("prices", bundled.get("models").unwrap_or(&Value::Null))?;
        Ok(table)
    }

    /// Adds prices, in USD per million tokens, replacing those of the same name. `path` is where they stand, for errors.
    pub fn add(&mut self, path: &str, models: &Value) -> Result<(), ConfigError> {
        for (model, entry) in object(path, models)? {
            let path = format!("{path}.{model}");
            let mut price = Price::default();
            let (mut cached, mut written) = (None, None);
            for (key, value) in object(&path, entry)? {
                let amount = femto(&format!("{path}.{key}"), value)?;
                match key.as_str() {
                    "input" => price.input = amount,
                    "output" => price.output = amount,
                    "cached_input" => cached = Some(amount),
                    "cache_write" => written = Some(amount),
                    _ => return Err(ConfigError::unknown(&path, key, &["input", "cached_input", "cache_write", "output"])),
                }
            }
            price.cached_input = cached.unwrap_or(price.input);
            price.cache_write = written.unwrap_or(price.input);
            self.longest = self.longest.max(model.len());
            self.models.insert(model.as_str().into(), price);
        }
        Ok(())
    }

    /// The price under the longest name that `model` begins with.
    pub fn find(&self, model: &str) -> Option<&Price> {
        (1..=model.len().min(self.longest)).rev().find_map(|end| self.models.get(model.get(..end)?))
    }
}

/// USD per million tokens as femto-dollars a token, from the decimal number as it was written.
fn femto(path: &str, value: &Value) -> Result<u64, ConfigError> {
    let wrong = || ConfigError::new(path, "must be a price in USD per million tokens, 0 or more, with at most 9 decimals");
    let number = value.as_number().ok_or_else(wrong)?.to_string();
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = format!("{whole}{fraction:0<9}");
    if fraction.len() > 9 { Err(wrong()) } else { digits.parse().map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input: Some(input), output: Some(output), ..Usage::default() }
    }

    #[test]
    fn the_longest_beginning_of_a_models_name_sets_the_price() {
        let table = PriceTable::bundled().unwrap();
        let cost = |model| table.find(model).map(|p| p.cost(&usage(1_000_000, 0)));
        assert_eq!(cost("gpt-4o-2024-08-06"), Some(2_500_000_000));
        assert_eq!(cost("gpt-4o-mini-2024-07-18"), Some(150_000_000));
        assert_eq!(cost("gpt-4"), None);
        assert_eq!(cost(""), None);
        assert_eq!(cost("模型"), None);
    }

    #[test]
    fn cached_and_written_tokens_are_part_of_the_input_at_their_own_price() {
        let table = PriceTable::bundled().unwrap();
        let usage = Usage { cache_read: Some(1000), cache_creation: Some(100), ..usage(1337, 421) };
        // 237 * 3000 + 1000 * 300 + 100 * 3750 + 421 * 15000 nano-dollars
        assert_eq!(table.find("claude-sonnet-4-20250514").unwrap().cost(&usage), 7_701_000);
    }

    #[test]
    fn absurd_counts_saturate() {
        let table = PriceTable::bundled().unwrap();
        assert_eq!(table.find("gpt-4o").unwrap().cost(&usage(u64::MAX, u64::MAX)), u64::MAX);
    }

    #[test]
    fn prices_are_decimal_and_exact() {
        let mut table = PriceTable::default();
        table.add("prices", &serde_json::json!({"m": {"input": 0.0375, "output": 0.1}})).unwrap();
        assert_eq!(table.find("m").unwrap().cost(&usage(1, 0)), 38);
        assert_eq!(table.find("m").unwrap().cost(&usage(2, 0)), 75);
        assert_eq!(table.find("m").unwrap().cost(&usage(0, 3)), 300);
    }

    #[test]
    fn wrong_prices_are_refused_with_their_path() {
        let mut table = PriceTable::default();
        let refused = |table: &mut PriceTable, json| table.add("prices", &json).unwrap_err().to_string();
        let error = refused(&mut table, serde_json::json!({"m": {"input": -1}}));
        assert!(error.starts_with("prices.m.input: must be a price"), "{error}");
        let error = refused(&mut table, serde_json::json!({"m": {"inptu": 1}}));
        assert!(error.starts_with("prices.m.inptu: unknown key"), "{error}");
        let error = refused(&mut table, serde_json::json!({"m": 1}));
        assert!(error.starts_with("prices.m: must be an object"), "{error}");
    }
}
