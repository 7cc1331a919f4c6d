//! The bundled price table: `prices.json`, which describes its own format. It is unpacked and indexed once.
//!
//! A look-up compares a name with those of one provider and, if the provider is unknown, with those of the vendors. It takes
//! microseconds. Memory: 0.2 MiB.

use std::sync::OnceLock;

use super::time::day;
use super::{Price, SUPPLEMENTS};

/// Prices by provider and model.
#[derive(Debug)]
pub struct Bundled {
    /// The date of the prices, in seconds since 1970.
    pub date: u64,
    providers: Vec<Provider>,
}

/// The models of a provider.
#[derive(Debug)]
struct Provider {
    /// Its name, then the names of other providers that have its models.
    names: &'static str,
    /// Models and their rates.
    exact: Vec<(&'static str, &'static str)>,
    /// The same for names with `*` or `#`. The first that matches counts.
    patterns: Vec<(&'static str, &'static str)>,
    /// Rates that complete or replace those of the models that match. All that match count, in this order.
    supplements: Vec<(&'static str, &'static str)>,
}

/// The entry of a model in the table.
#[derive(Clone, Copy)]
struct Found<'t> {
    /// The index of the provider in the list of those that were asked.
    at: usize,
    provider: &'t Provider,
    name: &'static str,
    rates: &'static str,
}

/// Values of `gen_ai.provider.name` that have another name in the table. The others have `-` in place of `_` there.
const CALLED: &[(&str, &str)] = &[
    ("aws.bedrock", "aws"),
    ("azure.ai.inference", "azure"),
    ("azure.ai.openai", "azure"),
    ("gcp.gemini", "google"),
    ("gcp.vertex_ai", "google"),
    ("hyperbolic", "huggingface-hyperbolic"),
    ("mistral_ai", "mistral"),
    ("moonshot_ai", "moonshotai"),
    ("sambanova", "huggingface-sambanova"),
    ("together_ai", "together"),
];

/// Provider names that an unknown host can get from the API that it uses.
const GUESSED: &[&str] = &["anthropic", "cohere", "gcp.gemini", "mistral_ai", "openai"];

/// The vendors of models, in which a model of such a host is looked up. Prices of other hosts would be arbitrary.
const MAKERS: &str = "openai anthropic google mistral deepseek x-ai cohere moonshotai zai zhipuai minimax meta perplexity voyageai arcee typesafe";

/// In place of rates: the model has no known price.
const UNKNOWN: &str = "?";

static TABLE: OnceLock<Option<Bundled>> = OnceLock::new();

#[cfg(feature = "envoy")]
fn packed() -> Option<String> {
    let packed = include_bytes!(concat!(env!("OUT_DIR"), "/prices.deflate"));
    String::from_utf8(miniz_oxide::inflate::decompress_to_vec(packed).ok()?).ok()
}

/// The host passes the table to [`Bundled::load`].
#[cfg(not(feature = "envoy"))]
fn packed() -> Option<String> {
    None
}

impl Bundled {
    /// The table. Returns None if it is damaged.
    pub fn table() -> Option<&'static Self> {
        TABLE.get_or_init(|| Bundled::read(packed()?.leak())).as_ref()
    }

    /// Sets the table, unless it is set. Returns false if it is damaged.
    pub fn load(text: String) -> bool {
        TABLE.get_or_init(|| Bundled::read(text.leak())).is_some()
    }

    fn read(text: &'static str) -> Option<Self> {
        let mut lines = text.lines();
        let mut table = Bundled { date: day(lines.next()?)?, providers: Vec::new() };
        for line in lines {
            if let Some(names) = line.strip_prefix('[') {
                let names = names.strip_suffix(']')?;
                let lists = [(); 3].map(|()| Vec::new());
                let [exact, patterns, supplements] = lists;
                table.providers.push(Provider { names, exact, patterns, supplements });
                continue;
            }
            let provider = table.providers.last_mut()?;
            let (names, rates) = line.split_once(" =")?;
            if let Some(name) = names.strip_prefix('+') {
                provider.supplements.push((name, rates.trim_start()));
                continue;
            }
            for name in names.split(' ') {
                let pattern = name.bytes().any(|byte| matches!(byte, b'*' | b'#'));
                let known = if pattern { &mut provider.patterns } else { &mut provider.exact };
                known.push((name, rates.trim_start()));
            }
        }
        Some(table)
    }

    /// The price of a model, by `gen_ai.provider.name` and the model's name in lower case.
    pub fn find(&self, provider: &str, model: &str) -> Option<Price<'static>> {
        let called = CALLED.iter().find(|(name, _)| *name == provider).map(|(_, called)| *called);
        let (name, model) = match model.rsplit_once(':') {
            // Hugging Face's router: `MODEL:HOST`.
            Some((model, host)) if provider == "hugging_face" => (["huggingface-", host].concat(), model),
            _ => (called.map_or_else(|| provider.replace('_', "-"), str::to_owned), model),
        };
        let forms = forms(model);
        let asked = self.provider(&name).map_or("", |own| own.names);
        let makers = if GUESSED.contains(&provider) { MAKERS } else { "" };
        let own = self.find_at(asked, &forms);
        let found = own.or_else(|| self.find_at(makers, &forms).map(|found| Found { at: 0, ..found }));
        // Supplements of the provider that has the model's rates, then those of the provider that was asked.
        let asked = self.provider(&name);
        let holder = found.as_ref().map(|found| found.provider);
        let holder = holder.filter(|holder| asked.is_none_or(|asked| asked.names != holder.names));
        let mut supplements = holder.into_iter().chain(asked).flat_map(|provider| provider.supplements(&forms));
        let mut rates = [""; 1 + SUPPLEMENTS];
        let first = found.as_ref().map_or("", |found| found.rates);
        for (slot, (_, text)) in rates.iter_mut().zip([("", first)].into_iter().chain(&mut supplements)) {
            *slot = text;
        }
        let is_unknown = found.as_ref().is_none_or(|found| found.rates == UNKNOWN);
        // A supplement that begins with a semicolon only completes other rates.
        if is_unknown && rates.iter().skip(1).all(|text| text.is_empty() || text.starts_with(';')) {
            return None;
        }
        let name = found.as_ref().map(|found| found.name).or_else(|| {
            asked?.supplements(&forms).map(|(pattern, _)| bare_pattern(pattern)).find(|name| !name.is_empty())
        });
        let borrowed = own.is_some_and(|found| found.at > 0);
        Some(Price { name: name.unwrap_or_default(), rates, borrowed })
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.names.split(' ').next() == Some(name))
    }

    /// Finds the first form of the name that any of these providers has, and returns the entry of the first provider that has it.
    fn find_at(&self, providers: &str, forms: &[String]) -> Option<Found<'_>> {
        let asked: Vec<&Provider> = providers.split(' ').filter_map(|name| self.provider(name)).collect();
        let look = |form: &String| {
            asked.iter().enumerate().find_map(|(at, provider)| Some((at, *provider, provider.find(form)?)))
        };
        let (at, provider, (pattern, rates)) = forms.iter().find_map(look)?;
        // The name without its date says more than a pattern such as `NAME-2025*`.
        let exact = forms.iter().find_map(|form| provider.exact(form));
        let name = exact.map_or_else(|| bare_pattern(pattern), |(name, _)| *name);
        Some(Found { at, provider, name, rates })
    }
}

impl Provider {
    /// The name or the pattern that a model's name fits, and the rates.
    fn find(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let fits = |(pattern, _): &&(&str, &str)| fits(pattern.as_bytes(), name.as_bytes());
        self.exact(name).or_else(|| self.patterns.iter().find(fits)).copied()
    }

    fn exact(&self, name: &str) -> Option<&(&'static str, &'static str)> {
        self.exact.iter().find(|(exact, _)| *exact == name)
    }

    /// The supplements for a model with these forms of its name.
    fn supplements(&self, forms: &[String]) -> impl Iterator<Item = (&'static str, &'static str)> {
        let fit = |pattern: &str| {
            let fits = |pattern: &str, form: &String| fits(pattern.as_bytes(), form.as_bytes());
            pattern.split(' ').any(|pattern| forms.iter().any(|form| fits(pattern, form)))
        };
        self.supplements.iter().filter(move |(pattern, _)| fit(pattern)).copied()
    }
}

/// The first name in a list of patterns, without its wildcards.
fn bare_pattern(pattern: &'static str) -> &'static str {
    pattern.split(' ').next().unwrap_or_default().trim_matches(['*', '#', '-', '@'])
}

/// The name of a model, and the name without a prefix such as `models/`, `openai/` or the path of an ARN.
pub fn bare(model: &str) -> impl Iterator<Item = &str> {
    [Some(model), model.rsplit_once('/').map(|(_, name)| name)].into_iter().flatten()
}

/// The names that a model can have in the table: with and without prefix, with its final date as it is, with dashes, and
/// without date.
fn forms(model: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for name in bare(model) {
        forms.push(name.to_owned());
        if let Some((start, [year, month, day], rest)) = date(name) {
            forms.push([start, "-", year, "-", month, "-", day, rest].concat());
            forms.push([start, rest].concat());
        }
    }
    forms
}

/// The parts of a name with a date at its end or before a colon: the text before the date; year, month and day; the text
/// after it. Returns None if the name has no date.
fn date(name: &str) -> Option<(&str, [&str; 3], &str)> {
    let (head, rest) = name.split_at(name.find(':').unwrap_or(name.len()));
    [("20##-##-##", 1), ("20######", 0)].into_iter().find_map(|(shape, dash)| {
        let (start, date) = head.split_at_checked(head.len().checked_sub(shape.len())?)?;
        let start = start.strip_suffix(['-', '@']).filter(|_| fits(shape.as_bytes(), date.as_bytes()))?;
        Some((start, [date.get(..4)?, date.get(4 + dash..6 + dash)?, date.get(date.len() - 2..)?], rest))
    })
}

/// Returns true if a name matches a pattern: `*` stands for any text, `#` for a digit.
fn fits(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // The pattern after the last star, and the rest of the name that it was compared with. A mismatch retries one byte later.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                if rest.is_empty() {
                    return true;
                }
                pattern = rest;
                retry = Some((rest, name));
            }
            ([wanted, rest @ ..], [byte, tail @ ..]) if wanted == byte || *wanted == b'#' && byte.is_ascii_digit() => {
                (pattern, name) = (rest, tail);
            }
            ([], []) => return true,
            _ => {
                let Some((again, [_, tail @ ..])) = retry else { return false };
                (pattern, name) = (again, tail);
                retry = Some((again, tail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_table_has_the_content_of_its_file_in_the_same_order() {
        let file: Value = serde_json::from_str(include_str!("../prices.json")).unwrap();
        let table = Bundled::table().unwrap();
        assert_eq!(Some(table.date), day(file["date"].as_str().unwrap()));
        let providers = file["providers"].as_object().unwrap();
        assert_eq!(table.providers.len(), providers.len());
        for provider in &table.providers {
            let (mut exact, mut patterns) = (provider.exact.iter(), provider.patterns.iter());
            for model in providers[provider.names].as_array().unwrap() {
                for name in model[0].as_str().unwrap().split(' ') {
                    let known = if name.contains(['*', '#']) { &mut patterns } else { &mut exact };
                    assert_eq!(known.next(), Some(&(name, model[1].as_str().unwrap())));
                }
            }
            assert_eq!((exact.next(), patterns.next()), (None, None), "{}", provider.names);
        }
    }
}
