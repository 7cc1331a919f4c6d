//! Prices of models and the exact cost of an exchange.
//!
//! The plugin has a price table ([`table`]). Prices of the configuration have the same notation and take precedence.

mod rates;
mod table;
mod time;

use core::fmt;
use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::Value;

use self::table::Bundled;
use crate::bytes::mix::Mix;
use crate::config::value::{ConfigError, object};
use crate::documentation::documentation;
use crate::json::number;
use crate::observation::{Bill, Quantities};

/// The price of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price<'t> {
    /// The table's own name for the model. Many names on the wire have the same.
    pub name: &'t str,
    /// Rates, and the supplements that complete or replace them.
    rates: [&'t str; 1 + SUPPLEMENTS],
    /// The rates are those of another provider. Its service tiers do not apply.
    borrowed: bool,
}

/// Maximum number of supplements to the rates of a model.
const SUPPLEMENTS: usize = 3;

impl Price<'_> {
    /// The price by the bundled table alone.
    pub fn without_supplements(mut self) -> Self {
        self.rates.iter_mut().skip(1).for_each(|supplement| *supplement = "");
        self
    }

    /// The cost, rounded half up.
    pub fn bill(&self, used: &Quantities<'_>) -> Bill {
        let tier = if self.borrowed && !used.tier.is_empty() { OTHER_TIER } else { used.tier };
        rates::bill(&self.rates, &Quantities { tier, ..*used })
    }
}

/// A service tier for which no provider has rates.
const OTHER_TIER: &str = "?";

/// Prices by provider and model.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    bundled: Option<&'static Bundled>,
    /// Prices of the configuration, by the beginning of a model's name in lower case.
    own: HashMap<Box<str>, Box<str>>,
    longest: usize,
    recent: Recent,
}

/// The models of the last look-ups and their bundled prices. Nearly all calls use a few models. A hash of the names decides on the
/// pair: with single places, the requested model and the one that answered could replace each other in every call.
type Recent = RefCell<[[Option<(Box<str>, Box<str>, Option<Price<'static>>)>; 2]; 32]>;

/// A price that the configuration can set for a model.
pub struct PriceKey {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its name in the price table.
    rate: &'static str,
    /// How many of what it is the price of.
    per: &'static str,
    /// What has this price. Documentation only.
    pub doc: &'static str,
}

/// Every price that the configuration can set for a model.
pub const PRICE_KEYS: &[PriceKey] = &[
    tokens("input", "i", "input tokens of models whose name begins with MODEL; the longest such name wins"),
    tokens("cached_input", "r", "input tokens read from a cache; default: `input`"),
    tokens("cache_write", "w", "input tokens written to a cache; default: `input`"),
    tokens("cache_write_1h", "h", "input tokens written to a cache for one hour; default: `cache_write`"),
    tokens("output", "o", "output tokens"),
    tokens("reasoning", "n", "reasoning tokens; default: `output`"),
    tokens("input_audio", "ia", "audio input tokens; default: `input`"),
    tokens("cached_input_audio", "ra", "audio tokens read from a cache; default: `cached_input`, else `input_audio`"),
    tokens("output_audio", "oa", "audio output tokens; default: `output`"),
    tokens("input_image", "ii", "image input tokens; default: `input`"),
    tokens("cached_input_image", "ri", "image tokens read from a cache; default: `cached_input`, else `input_image`"),
    tokens("output_image", "oi", "image output tokens; default: `output`"),
    PriceKey { per: "1,000 requests", ..tokens("per_1000_requests", "q", "requests") },
    PriceKey { per: "1,000 web searches", ..tokens("per_1000_web_searches", "s", "web searches") },
    PriceKey { per: "1,000 file searches", ..tokens("per_1000_file_searches", "f", "searches in stored files") },
    PriceKey { per: "1,000 code runs", ..tokens("per_1000_code_runs", "x", "code that the provider runs") },
    PriceKey { per: "1,000 maps searches", ..tokens("per_1000_maps_searches", "m", "searches in maps") },
    PriceKey { per: "1,000 search units", ..tokens("per_1000_search_units", "u", "search units of rerankers") },
    PriceKey { per: "1,000 pages", ..tokens("per_1000_pages", "p", "pages of documents") },
    PriceKey {
        per: "1,000 images",
        ..tokens("per_1000_images", "g", "generated images that are billed by their number")
    },
    PriceKey { per: "million characters", ..tokens("per_million_characters", "k", "characters of speech") },
    PriceKey { per: "hour", ..tokens("per_hour_of_audio", "a", "audio that is billed by its duration") },
];

const fn tokens(name: &'static str, rate: &'static str, doc: &'static str) -> PriceKey {
    PriceKey { name, rate, per: "million tokens", doc: documentation(doc) }
}

/// The type of the price, as an error says it after "must be".
impl fmt::Display for PriceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a price in USD (per {}), 0 or more, with at most 18 decimals", self.per)
    }
}

impl PriceTable {
    /// The bundled table.
    ///
    /// # Errors
    /// The bundled table is damaged.
    pub fn bundled() -> Result<Self, ConfigError> {
        let bundled = Bundled::table();
        let damaged = || ConfigError::new("prices", "the table inside the plugin is damaged; build the plugin again");
        bundled.is_some().then(|| PriceTable { bundled, ..PriceTable::default() }).ok_or_else(damaged)
    }

    /// Sets the bundled table, before its first use. Returns false if it is damaged.
    pub fn load(text: String) -> bool {
        Bundled::load(text)
    }

    /// The date of the bundled prices, in seconds since 1970.
    pub fn date(&self) -> u64 {
        self.bundled.map_or(0, |table| table.date)
    }

    /// Adds prices of the configuration. They replace those of the same model. `path` is the path of the key, for errors.
    ///
    /// # Errors
    /// An unknown key, or a value that is not a price, with its path.
    pub fn add(&mut self, path: &str, models: &Value) -> Result<(), ConfigError> {
        for (model, entry) in object(path, models)? {
            let path = format!("{path}.{model}");
            let mut prices = String::new();
            for (key, value) in object(&path, entry)? {
                let Some(price) = PRICE_KEYS.iter().find(|price| price.name == key) else {
                    let known: Vec<_> = PRICE_KEYS.iter().map(|price| price.name).collect();
                    return Err(ConfigError::unknown(&path, key, &known));
                };
                let amount = value.as_f64().map(|number| {
                    let mut text = String::new();
                    number::write(&mut text, number);
                    text
                });
                let amount = amount.filter(|text| rates::decimal(text).is_some());
                let amount =
                    amount.ok_or_else(|| ConfigError::new(&format!("{path}.{key}"), format!("must be {price}")))?;
                prices.extend([price.rate, &amount, " "]);
            }
            self.longest = self.longest.max(model.len());
            self.own.insert(model.to_ascii_lowercase().into(), prices.into());
        }
        Ok(())
    }

    /// The price of a model, by `gen_ai.provider.name` and the model's name on the wire. Uses the longest name of the
    /// configuration that begins the model's name, else the bundled table.
    pub fn find(&self, provider: &str, model: &str) -> Option<Price<'_>> {
        self.own(model).or_else(|| self.of_bundled(provider, model))
    }

    /// The table's own name of a model, by `gen_ai.provider.name` and the model's name on the wire; None if it has no price. The
    /// bundled table decides before the configuration, where one price can be for the beginning of many names.
    pub fn name(&self, provider: &str, model: &str) -> Option<&str> {
        self.of_bundled(provider, model).or_else(|| self.own(model)).map(|price| price.name)
    }

    fn own(&self, model: &str) -> Option<Price<'_>> {
        if self.longest == 0 {
            return None;
        }
        let model = model.to_ascii_lowercase();
        let found = table::bare(&model).find_map(|name| {
            let mut beginnings = (1..=name.len().min(self.longest)).rev().filter_map(|end| name.get(..end));
            beginnings.find_map(|beginning| self.own.get_key_value(beginning))
        });
        found.map(|(name, rates)| Price { name, rates: [rates, "", "", ""], borrowed: false })
    }

    fn of_bundled(&self, provider: &str, model: &str) -> Option<Price<'static>> {
        let find = || self.bundled?.find(provider, &model.to_ascii_lowercase());
        let Ok(mut recent) = self.recent.try_borrow_mut() else { return find() };
        let at = Mix::new(0).text(provider).text(model).finish() as usize % recent.len();
        let Some(pair) = recent.get_mut(at) else { return find() };
        if let Some((_, _, price)) = pair.iter().flatten().find(|(p, m, _)| **p == *provider && **m == *model) {
            return *price;
        }
        let price = find();
        let [newer, older] = pair;
        *older = newer.replace((provider.into(), model.into(), price));
        price
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observation::Usage;

    /// Price of a million input tokens, in thousandths of a US dollar.
    fn input(table: &PriceTable, provider: &str, model: &str) -> Option<u64> {
        let thousand = Quantities { input: 1_000, ..Quantities::default() };
        Some(table.find(provider, model)?.bill(&thousand).total() / 1_000)
    }

    #[test]
    fn a_model_is_found_under_each_form_of_its_name() {
        let table = PriceTable::bundled().unwrap();
        for (provider, model, wanted) in [
            ("openai", "gpt-4o", Some(2500)),
            ("openai", "gpt-4o-2024-08-06", Some(2500)),
            ("openai", "gpt-4o-2024-05-13", Some(5000)),
            ("openai", "gpt-4o-20240513", Some(5000)),
            ("openai", "gpt-4o-mini-2024-07-18", Some(150)),
            ("openai", "GPT-4o-Mini", Some(150)),
            ("openai", "ft:gpt-4o-2024-08-06:acme::abc123", Some(3750)),
            ("azure.ai.openai", "gpt-4o-2024-11-20", Some(2500)),
            ("anthropic", "claude-sonnet-4-20250514", Some(3000)),
            ("anthropic", "claude-sonnet-4@20250514", Some(3000)),
            ("gcp.vertex_ai", "claude-sonnet-4@20250514", Some(3000)),
            ("aws.bedrock", "anthropic.claude-sonnet-4-20250514-v1:0", Some(3000)),
            ("aws.bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", Some(3000)),
            (
                "aws.bedrock",
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
                Some(3000),
            ),
            ("gcp.gemini", "models/gemini-2.5-pro", Some(1250)),
            ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", Some(1250)),
            ("openrouter", "openai/gpt-4o", Some(2500)),
            ("hugging_face", "meta-llama/Llama-3.3-70B-Instruct:groq", Some(590)),
            ("openai", "", None),
            ("openai", "模型", None),
            ("nobody", "gpt-4o", None),
        ] {
            assert_eq!(input(&table, provider, model), wanted, "{model} at {provider}");
        }
    }

    #[test]
    fn every_spelling_of_a_model_has_one_name_in_the_table() {
        let mut table = PriceTable::bundled().unwrap();
        table.add("prices", &json!({"gpt-4": {"input": 1}, "House-": {"input": 1}})).unwrap();
        for (provider, model, name) in [
            ("openai", "GPT-4O", Some("gpt-4o")),
            ("openai", "gpt-4o-2024-08-06", Some("gpt-4o")),
            ("openai", "gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
            ("openai", "ft:gpt-3.5-turbo-0125:acme::1", Some("ft:gpt-3.5-turbo")),
            ("anthropic", "claude-3-5-sonnet-invented-7", Some("claude-3-5-sonnet")),
            ("anthropic", "claude-sonnet-4-20250514", Some("claude-sonnet-4")),
            ("openai", "house-7", Some("house-")),
            ("openai", "invented", None),
        ] {
            assert_eq!(table.name(provider, model), name, "{model}");
        }
    }

    #[test]
    fn each_provider_has_its_own_price_for_the_same_model() {
        let table = PriceTable::bundled().unwrap();
        let at = |provider| input(&table, provider, "openai/gpt-oss-120b");
        assert_eq!(at("groq"), Some(150));
        assert_ne!(at("openrouter"), at("groq"));
        assert_eq!(at("ollama"), None);
    }

    #[test]
    fn an_unknown_host_has_the_prices_of_the_models_vendor() {
        let table = PriceTable::bundled().unwrap();
        assert_eq!(input(&table, "openai", "claude-sonnet-4-20250514"), Some(3000));
        assert_eq!(input(&table, "openai", "anthropic/claude-sonnet-4"), Some(3000));
        assert_eq!(input(&table, "openai", "gemini/gemini-2.5-pro"), Some(1250));
        assert_eq!(input(&table, "openai", "meta-llama/Llama-3.3-70B-Instruct"), None);
        assert_eq!(input(&table, "groq", "claude-sonnet-4-20250514"), None);
    }

    #[test]
    fn cached_and_written_tokens_are_part_of_the_input_at_their_own_price() {
        let usage = Usage { input: Some(1337), output: Some(421), cache_read: Some(1000), ..Usage::default() };
        let usage = Usage { cache_creation: Some(100), ..usage };
        let table = PriceTable::bundled().unwrap();
        let price = table.find("anthropic", "claude-sonnet-4-20250514").unwrap();
        // 237 * 3000 + 1000 * 300 + 100 * 3750 + 421 * 15000 nano-dollars
        assert_eq!(price.bill(&Quantities::default().with(&usage)).total(), 7_701_000);
    }

    #[test]
    fn parts_larger_than_their_whole_are_limited_to_it() {
        let mut table = PriceTable::default();
        table
            .add("prices", &json!({"m": {"input": 1, "cached_input": 0.1, "cache_write": 2, "input_audio": 8}}))
            .unwrap();
        let cost = |q: Quantities<'_>| table.find("", "m").unwrap().bill(&q).total();
        assert_eq!(cost(Quantities { input: 100, cached: 200, cache_write: 5, ..Quantities::default() }), 10_000);
        assert_eq!(
            cost(Quantities { input: 100, cached: 90, cache_write: 20, ..Quantities::default() }),
            9_000 + 20_000
        );
        assert_eq!(cost(Quantities { input: 100, input_audio: 120, ..Quantities::default() }), 800_000);
    }

    #[test]
    fn audio_tokens_beyond_the_fresh_tokens_are_cached_tokens() {
        let mut table = PriceTable::default();
        let prices = json!({"input": 1, "cached_input": 0.1, "input_audio": 10, "cached_input_audio": 5});
        table.add("prices", &json!({ "m": prices })).unwrap();
        let used = Quantities { input: 100, cached: 80, input_audio: 50, ..Quantities::default() };
        // 50 cached text, 20 audio, 30 cached audio
        assert_eq!(table.find("", "m").unwrap().bill(&used).total(), 5_000 + 200_000 + 150_000);
    }

    #[test]
    fn configured_prices_take_precedence_and_the_longest_name_wins() {
        let mut table = PriceTable::bundled().unwrap();
        table.add("prices", &json!({"gpt-4": {"input": 1}, "GPT-4o-mini": {"input": 0.0375, "output": 0.1}})).unwrap();
        assert_eq!(input(&table, "openai", "gpt-4o-2024-08-06"), Some(1000));
        assert_eq!(input(&table, "openrouter", "openai/gpt-4o-mini"), Some(37));
        assert_eq!(input(&table, "openai", "o3"), Some(2000));
        let exact = |input, output| Quantities { input, output, ..Quantities::default() };
        let price = table.find("anybody", "gpt-4o-mini").unwrap();
        assert_eq!([exact(1, 0), exact(2, 0), exact(0, 3)].map(|used| price.bill(&used).total()), [38, 75, 300]);
    }

    #[test]
    fn wrong_prices_are_refused_with_their_path() {
        let mut table = PriceTable::default();
        let refused = |table: &mut PriceTable, json| table.add("prices", &json).unwrap_err().to_string();
        for wrong in [json!(-1), json!("1"), json!(1e-30), json!(null)] {
            let error = refused(&mut table, json!({"m": {"input": wrong}}));
            assert!(error.starts_with("prices.m.input: must be a price"), "{error}");
        }
        let error = refused(&mut table, json!({"m": {"inptu": 1}}));
        assert!(error.starts_with("prices.m.inptu: unknown key"), "{error}");
        let error = refused(&mut table, json!({"m": 1}));
        assert!(error.starts_with("prices.m: must be an object"), "{error}");
    }
}
